"""What is pushed to a stand-in for the Hub comes back; what can't be pushed is a sentence."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from at_hub import EVERYTHING, GOOD_CARD, NEEDED, REPO, one_sentence, same
from hub_answers import STRANGER, TOKEN

from mdmf_core.checkpoint import hub
from mdmf_core.errors import CheckpointError


@pytest.mark.parametrize("private", [False, True])
def test_what_is_pushed_comes_back_bit_for_bit(standin, home, folder, monkeypatch, private):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (folder / "training.log").write_text("stays here")
    address = hub.push(folder, REPO, private=private)
    repository = standin.repositories[REPO]
    assert address.endswith(f"/{REPO}/commit/{repository.refs['main']}") and repository.private == private
    assert len(repository.commits) == 1, "all files in one commit: nobody ever reads half a checkpoint"
    assert sorted(repository.commits[repository.refs["main"]]) == EVERYTHING
    found = hub.locate(REPO)
    assert same(found.folder, folder) and hub.fingerprint(found.folder) == hub.fingerprint(folder)


def test_a_second_push_sends_what_changed(standin, home, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.push(folder, REPO)
    (folder / "reference.safetensors").write_bytes(b"another")
    standin.heal()
    hub.push(folder, REPO)
    assert [request.method for request in standin.seen].count("PUT") == 1
    found = hub.locate(REPO)
    assert same(found.folder, folder) and len(standin.repositories[REPO].commits) == 2


def test_a_push_of_the_same_again_is_no_error(standin, home, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert hub.push(folder, REPO) == hub.push(folder, REPO)


def not_pushed(folder: Path, most: float = 8.0) -> str:
    start = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        hub.push(folder, REPO)
    assert time.monotonic() - start < most
    said = str(caught.value)
    one_sentence(said.removeprefix("Nothing was published. "))
    return said


@pytest.mark.parametrize("token", ["", STRANGER])
def test_who_may_not_publish_is_told(standin, home, folder, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    assert "Nothing was published" in (said := not_pushed(folder)) and "hf auth login" in said
    assert REPO not in standin.repositories


@pytest.mark.parametrize(
    ("part", "fault", "words"),
    [
        ("/api/repos/create", {"status": 429, "headers": {"Retry-After": "120"}}, "in 2 min"),
        ("/api/repos/create", {"silent": True}, "could not be reached"),
        ("/preupload/", {"status": 500}, "in trouble"),
        ("/objects/batch", {"status": 503}, "in trouble"),
        ("/upload/", {"status": 500}, "in trouble"),
        ("/upload/", {"silent": True}, "could not be reached"),
        ("/upload/", {"status": 400}, "HTTP 400"),
        ("/verify/", {"status": 404}, "HTTP 404"),
        ("/commit/", {"status": 403}, "refused access"),
        ("/commit/", {"silent": True}, "did not confirm"),
    ],
)
def test_a_push_that_fails_is_a_sentence_and_can_be_repeated(standin, home, folder, monkeypatch, part, fault, words):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    standin.fail(part, method="*", **fault)
    said = not_pushed(folder)
    assert words in said and ("Nothing was published" in said) == (words != "did not confirm")
    standin.heal()
    hub.push(folder, REPO)
    assert same(hub.locate(REPO).folder, folder)


@pytest.mark.parametrize("name", NEEDED)
def test_a_folder_that_lacks_a_file_is_not_pushed(standin, home, folder, name):
    (folder / name).unlink()
    assert f"lacks {name}; nothing was pushed" in not_pushed(folder) and not standin.seen


@pytest.mark.parametrize(
    ("card", "unsaid"),
    [
        ("# Only words\n", "license, library_name, tags, metrics"),
        (GOOD_CARD.replace("license: mit\n", ""), "license"),
        (GOOD_CARD.replace("metrics: [roc_auc]", "metrics: []"), "metrics"),
        (GOOD_CARD.replace("tags: [image-forensics]", "tags:"), "tags"),
        ("---\n- a\n- list\n---\n", "license, library_name, tags, metrics"),
        ("---\nlicense: [mit\n---\n", "license, library_name, tags, metrics"),
    ],
    ids=["none", "no-license", "no-metrics", "empty-tags", "list", "no-yaml"],
)
def test_a_card_that_says_too_little_is_not_pushed(standin, home, folder, card, unsaid):
    (folder / hub.CARD).write_text(card)
    assert f"has no {unsaid} in its front matter" in not_pushed(folder) and not standin.seen
    (folder / hub.CARD).write_text(GOOD_CARD)
    assert hub.card_lacks(folder / hub.CARD) == []
