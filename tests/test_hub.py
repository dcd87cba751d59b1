"""Downloads from and uploads to a stand-in for the Hub: caches, revisions, damage, refusals, and how long they take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typed
from at_hub import EVERYTHING, REPO, refused, same
from hub import connect, environment
from hub_answers import STRANGER, TOKEN

from mdmf_core.checkpoint import client, hub
from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError

ROOT = Path(hub.__file__).parents[2]


# What goes well


def test_the_first_download_is_whole_and_the_next_start_asks_for_no_content(standin, home, folder):
    (folder / "training.log").write_text("no part of a checkpoint")
    commit = standin.publish(REPO, folder)
    found = hub.locate(REPO)
    assert (found.model, found.revision) == (REPO, commit) and same(found.folder, folder)
    assert sorted(path.name for path in found.folder.iterdir()) == EVERYTHING
    assert sorted(standin.bodies) == EVERYTHING
    standin.heal()
    assert hub.locate(REPO) == found
    assert [request.path.split("?")[0] for request in standin.seen] == [f"/api/models/{REPO}"]


def test_a_start_without_the_hub_uses_the_cache(standin, home, folder, monkeypatch):
    standin.publish(REPO, folder)
    found = hub.locate(REPO)
    for fault in ({"status": 503}, {"status": 429}, {"silent": True}):
        standin.fail("/", method="*", **fault)
        assert hub.locate(REPO) == found
        standin.heal()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert hub.locate(REPO) == found and not standin.seen


def test_a_moved_branch_is_followed_and_only_what_changed_is_fetched(standin, home, folder):
    old = standin.publish(REPO, folder)
    hub.locate(REPO)
    new = standin.publish(REPO, {"reference.safetensors": b"another"})
    standin.heal()
    assert hub.locate(REPO).revision == new and standin.bodies == ["reference.safetensors"]
    standin.heal()
    found = hub.locate(REPO, old)
    assert found.revision == old and same(found.folder, folder)
    assert not standin.seen, "a commit that is in the cache never changes, so nobody is asked"


def test_a_pinned_revision_stays_where_it_is(standin, home, folder, monkeypatch):
    old = standin.publish(REPO, folder)
    standin.repositories[REPO].refs["v1"] = old
    standin.publish(REPO, {"reference.safetensors": b"another"})
    monkeypatch.setenv("MDMF_MODEL", REPO)
    monkeypatch.setenv("MDMF_REVISION", "v1")
    for revision in (None, "v1", old):
        assert hub.locate(None, revision).revision == hub.locate(REPO, revision).revision == old
    standin.fail("/", method="*", status=503)
    assert hub.locate(REPO, "v1").revision == old, "the tag is remembered, too"
    assert "in trouble" in refused(revision="main"), "what was never fetched is not there"
    standin.heal()
    other = standin.publish("someone/else", folder)
    assert hub.locate("someone/else").revision == other, "the setting is about the repository of MDMF_MODEL"


def test_an_update_that_fails_leaves_the_old_model_for_the_next_start(standin, home, folder):
    old = standin.publish(REPO, folder)
    hub.locate(REPO)
    standin.publish(REPO, {name: b"new " + name.encode() for name in hub.FILES})
    standin.fail("reference.safetensors", status=500)
    refused()
    standin.fail("/", method="*", status=503)
    found = hub.locate(REPO)
    assert found.revision == old and same(found.folder, folder)


def test_a_cut_off_file_is_resumed_where_it_broke(standin, home, monkeypatch):
    data = bytes(range(256)) * 2000
    standin.publish(REPO, {"model.safetensors": data})
    standin.fail("model.safetensors", cut=300_000, times=1)
    found = hub.download(REPO, ("model.safetensors",))
    assert (found.folder / "model.safetensors").read_bytes() == data
    ranges = [request.headers.get("range") for request in standin.seen if "/storage/" in request.path]
    assert ranges == [None, f"bytes={300_000 // client.PIECE * client.PIECE}-"]


def test_a_stalled_file_is_resumed(standin, home):
    data = bytes(range(256)) * 1000
    standin.publish(REPO, {"model.safetensors": data})
    standin.fail("model.safetensors", stall=200_000, times=1)
    assert (hub.download(REPO, ("model.safetensors",)).folder / "model.safetensors").read_bytes() == data


def test_a_slow_file_arrives_and_progress_is_told(standin, home):
    standin.publish(REPO, {"config.json": b"{}", "model.safetensors": bytes(4 * client.PIECE)})
    standin.fail("model.safetensors", pause=0.02)
    told = []
    with client.progress_to(lambda *what: told.append(what)):
        hub.download(REPO, ("config.json", "model.safetensors"))
    total = 4 * client.PIECE + 2
    assert told[0] == (REPO, 0, total) and told[-1] == (REPO, total, total) and len(told) >= 6
    arrived = [done for _, done, _ in told]
    assert arrived == sorted(arrived)
    told.clear()
    with client.progress_to(lambda *what: told.append(what)):
        hub.download(REPO, ("config.json", "model.safetensors"))
    assert told == [(REPO, 0, 0)], "nothing to fetch"


def test_a_listener_can_end_a_download(standin, home, folder):
    standin.publish(REPO, folder)

    def listener(repo: str, arrived: int, wanted: int) -> None:
        raise CheckpointError("Too large for here.")

    with client.progress_to(listener):
        assert refused() == "Too large for here."
    assert not standin.bodies


def test_the_token_goes_to_the_hub_and_not_to_the_storage(standin, home, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    standin.publish(REPO, folder)
    hub.locate(REPO)
    with_token = {"authorization" in request.headers for request in standin.seen if "/storage/" not in request.path}
    assert with_token == {True}
    assert not any("authorization" in request.headers for request in standin.seen if "/storage/" in request.path)


def test_the_usual_client_gets_along_with_the_stand_in(standin, home, folder):
    """`snapshot_download`, which others use, reads the same repository: the stand-in is not made for one caller."""
    from huggingface_hub import snapshot_download

    commit = standin.publish(REPO, folder)
    found = Path(snapshot_download(REPO))
    assert found.name == commit and same(found, folder)
    assert any("/tree/" in request.path for request in standin.seen)


# What is damaged


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("sent", ["other", "shorter", "longer"])
def test_a_file_with_another_content_than_stated_is_never_kept(standin, home, folder, name, sent):
    standin.publish(REPO, folder)
    data = (folder / name).read_bytes()
    body = {"other": data[:-1] + bytes([data[-1] ^ 1]), "shorter": data[:-9], "longer": data + b"more"}[sent]
    standin.fail(name, body=body)
    assert ("is damaged" if sent == "other" else "connection to the Hub broke") in refused()
    standin.heal()
    assert not [path for path in home.rglob("*") if path.is_file() and path.read_bytes() == body]
    found = hub.locate(REPO)
    assert same(found.folder, folder), "the next attempt fetches it again"


def test_a_file_that_was_damaged_in_the_cache_is_noticed_without_the_hub(standin, home, folder):
    standin.publish(REPO, folder)
    cached = hub.locate(REPO).folder / "reference.safetensors"
    cached.resolve().write_bytes(cached.read_bytes()[:-1] + b"?")
    standin.fail("/", method="*", status=503)
    assert "reference.safetensors" in refused() and not cached.exists()
    assert "in trouble" in refused(), "what is left is no whole checkpoint"
    standin.heal()
    assert same(hub.locate(REPO).folder, folder)


def test_an_interrupted_first_download_is_no_checkpoint(standin, home, folder):
    standin.publish(REPO, folder)
    standin.fail("reference.safetensors", status=500)
    refused()
    standin.fail("/", method="*", status=503)
    assert "in trouble" in refused()
    standin.heal()
    assert same(hub.locate(REPO).folder, folder)
    assert "model.safetensors" not in standin.bodies, "what had arrived is not fetched again"


# What the Hub refuses, and how long that takes


@pytest.mark.parametrize(("token", "status"), [("", 401), (STRANGER, 403)])
def test_a_gated_repository_says_what_to_do(standin, home, folder, monkeypatch, token, status):
    standin.publish(REPO, folder)
    standin.repositories[REPO].gated = True
    monkeypatch.setenv("HF_TOKEN", token)
    assert "is gated; accept its terms" in refused()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert same(hub.locate(REPO).folder, folder)


def test_a_checkpoint_without_a_locator_is_whole(standin, home, folder):
    (folder / hub.LOCATOR).unlink()
    standin.publish(REPO, folder)
    found = hub.locate(REPO).folder
    assert not (found / hub.LOCATOR).exists() and Detector.from_pretrained(REPO).locator is None


def test_a_download_that_ended_at_the_locator_is_no_checkpoint_yet(standin, home, folder):
    commit = standin.publish(REPO, folder)
    standin.fail(hub.LOCATOR, cut=1000)
    with pytest.raises(CheckpointError):
        hub.locate(REPO, commit)
    standin.heal()
    assert same(hub.locate(REPO, commit).folder, folder)


@pytest.mark.parametrize("name", hub.FILES)
def test_a_repository_that_lacks_a_file_is_refused(standin, home, folder, name):
    (folder / name).unlink()
    standin.publish(REPO, folder)
    assert refused() == f"The repository {REPO} lacks {name}." and not standin.bodies


def test_a_private_repository_is_as_good_as_none(standin, home, folder, monkeypatch):
    standin.publish(REPO, folder)
    standin.repositories[REPO].private = True
    assert "There is no repository" in refused() and "There is no repository" in refused("someone/else")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "no such revision" in refused(revision="v9") and same(hub.locate(REPO).folder, folder)


@pytest.mark.parametrize(
    ("part", "headers", "when"),
    [
        ("/api/models", {"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed";"api";q=500;w=300'}, "in 1 min"),
        ("/resolve/", {"Retry-After": "300"}, "in 5 min"),
        ("/storage/", {"Retry-After": "7200"}, "in 120 min"),
        ("/storage/", {}, "later"),
    ],
)
def test_a_quota_is_told_at_once_instead_of_waited_for(standin, home, folder, part, headers, when):
    standin.publish(REPO, folder)
    standin.fail(part, method="*", status=429, headers=headers)
    assert refused(most=4) == (f"The Hub takes no more requests from here at the moment (HTTP 429); try again {when}.")


@pytest.mark.parametrize("part", ["/api/models", "/resolve/", "/storage/"])
@pytest.mark.parametrize("status", [500, 503])
def test_a_hub_in_trouble_is_told_soon(standin, home, folder, part, status):
    standin.publish(REPO, folder)
    standin.fail(part, method="*", status=status)
    assert refused() == f"The Hub is in trouble and can't serve {REPO} now (HTTP {status}); try again later."


def test_one_bad_answer_is_forgiven(standin, home, folder):
    standin.publish(REPO, folder)
    standin.fail("/resolve/", method="HEAD", status=503, times=1)
    assert same(hub.locate(REPO).folder, folder)


@pytest.mark.parametrize(
    ("part", "fault", "words"),
    [
        ("/api/models", {"silent": True}, "could not be reached"),
        ("/resolve/", {"silent": True}, "connection to the Hub broke"),
        ("/storage/", {"silent": True}, "connection to the Hub broke"),
        ("/storage/", {"stall": 1000}, "connection to the Hub broke"),
        ("/storage/", {"cut": 1000}, "connection to the Hub broke"),
        ("/resolve/", {"status": 404, "headers": {"X-Error-Code": "EntryNotFound"}}, "lacks a file"),
        ("/resolve/", {"status": 418}, "HTTP 418"),
        ("/api/models", {"body": b"<html>log in</html>"}, "could not be reached"),
    ],
    ids=["facts-silent", "head-silent", "file-silent", "file-stalls", "file-cut", "file-gone", "teapot", "web-page"],
)
def test_a_hub_that_stops_is_given_up_on(standin, home, folder, part, fault, words):
    standin.publish(REPO, folder)
    standin.fail(part, method="*", **fault)
    assert words in refused()
    standin.heal()
    assert same(hub.locate(REPO).folder, folder)


def test_the_longest_silence_is_below_twenty_seconds():
    """Each attempt has its time, and after each the client sleeps: for 1 second, then for at most 2."""
    assert client.TRIES == 2 and client.TRIES * max(client.TIMEOUT, client.UPLOAD_TIMEOUT) + 1 + 2 < 20


def test_other_requests_of_the_process_keep_the_clients_own_habits(standin, home):
    import huggingface_hub

    with pytest.raises(CheckpointError):
        hub.locate(REPO)
    standin.heal()
    session = huggingface_hub.get_session()
    for _ in range(5):
        assert session.get(f"{standin.url}/api/models/{REPO}").status_code == 401
    standin.fail("/api/models", status=429)
    assert session.get(f"{standin.url}/api/models/{REPO}").status_code == 429


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/secret/place"), "no room on the disk"),
        (PermissionError(13, "Permission denied", "/secret/place"), "set HF_HOME"),
        (OSError(30, "Read-only file system", "/secret/place"), "set HF_HOME"),
        (ValueError("anything"), "connection to the Hub broke"),
    ],
)
def test_what_goes_wrong_on_this_machine_is_a_sentence_without_a_path(standin, home, folder, monkeypatch, error, words):
    def fail(*_: object, **__: object) -> None:
        raise error

    standin.publish(REPO, folder)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    said = refused()
    assert words in said and "secret" not in said


# As a user would: other programs with HF_ENDPOINT and HF_HOME


def run(*arguments: str, **environ: dict[str, str]) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mdmf_core", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, **environ)


@pytest.mark.stress
def test_the_command_line_pushes_fetches_and_starts_offline(standin, folder, photo, tmp_path, capsys):
    env = environment(standin.url, tmp_path / "home", HF_TOKEN=TOKEN)
    with pytest.MonkeyPatch.context() as patched:
        connect(patched, standin.url, tmp_path / "home", TOKEN)
        assert typed.run("push", folder, REPO) == 0
    assert f"Published: {standin.url}/{REPO}/commit/" in capsys.readouterr().out
    fetched = run("detect", str(photo), "--model", REPO, "--json", env=env)
    assert fetched.returncode == 0 and f'"model": "{REPO}@' in fetched.stdout or REPO in fetched.stdout, fetched.stderr
    dead = environment("http://127.0.0.1:9", tmp_path / "home", MDMF_MODEL=REPO, HF_HUB_OFFLINE="1")
    again = run("detect", str(photo), "--json", env=dead)
    assert again.returncode == 0 and again.stdout == fetched.stdout, again.stderr


def test_the_command_line_says_one_sentence(standin, home, folder, photo, capsys):
    standin.publish(REPO, folder)
    standin.fail("model.safetensors", method="HEAD", status=503)
    assert typed.run("detect", photo, "--model", REPO) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.strip() == (
        f"Error: The Hub is in trouble and can't serve {REPO} now (HTTP 503); try again later."
    )
