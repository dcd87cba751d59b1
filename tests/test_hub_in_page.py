"""The page with models from a stand-in for the Hub."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest
from at_hub import EVERYTHING, GOOD_CARD, REPO
from tiny import make_checkpoint

from mdmf_app.context import Context, first_detector
from mdmf_app.tabs import model
from mdmf_core.checkpoint import hub


@pytest.fixture
def context(detector, monkeypatch):
    monkeypatch.setattr(model, "EVERY", 0.02)
    return Context(detector)


@pytest.fixture
def other(tmp_path) -> Path:
    """Another checkpoint than the page's own."""
    folder = make_checkpoint(tmp_path / "other", statistic="mmd")
    (folder / hub.CARD).write_text(GOOD_CARD)
    return folder


def test_the_app_loads_from_the_hub_and_shows_how_much_has_arrived(standin, home, context, other):
    commit = standin.publish(REPO, other)
    standin.fail("reference.safetensors", pause=0.05)
    steps = list(model.change(context, REPO, "", None))
    words = [step[1] for step in steps]
    total = sum((other / name).stat().st_size for name in EVERYTHING) / 1e6
    assert "Looking for" in words[0] and any(f"of {total:.1f} MB" in said for said in words), words
    choice, status, about, card = steps[-1]
    assert choice == (REPO, commit) and f"{REPO} is in use" in status and commit in about and "A detector" in card
    assert context.detector(choice).fingerprint == hub.fingerprint(other) != context.default.fingerprint


def test_the_app_says_when_the_hub_is_quiet(standin, home, context, other, monkeypatch):
    monkeypatch.setattr(model, "QUIET", 0)
    standin.publish(REPO, other)
    standin.fail("reference.safetensors", stall=0)
    words = [step[1] for step in model.change(context, REPO, "", None)]
    assert any("; no news from the Hub for 0 s" in said for said in words), words


def test_the_app_does_not_begin_with_what_is_too_large(standin, home, context, other, monkeypatch):
    monkeypatch.setattr(model, "MOST_BYTES", 1000)
    standin.publish(REPO, other)
    assert "larger than" in list(model.change(context, REPO, "", None))[-1][1] and not standin.bodies


@pytest.mark.parametrize(
    ("part", "fault", "words"),
    [
        ("/api/models", {"status": 429, "headers": {"Retry-After": "60"}}, "in 1 min"),
        ("/api/models", {"status": 500}, "in trouble"),
        ("/api/models", {"silent": True}, "could not be reached"),
        ("model.safetensors", {"status": 403, "headers": {"X-Error-Code": "GatedRepo"}}, "is gated"),
        ("/storage/", {"body": b"other"}, "connection to the Hub broke"),
        ("/storage/", {"stall": 500}, "connection to the Hub broke"),
    ],
)
def test_the_app_keeps_its_model_when_the_hub_fails(standin, home, context, other, checkpoint, part, fault, words):
    local = context.load(str(other))
    standin.publish(REPO, checkpoint)
    standin.fail(part, method="*", **fault)
    choice, status, about, card = list(model.change(context, REPO, "", local))[-1]
    assert choice == local and about == card == gr.skip()
    assert words in status and "The model in use stays." in status
    assert context.detector(choice).fingerprint == hub.fingerprint(other)


@pytest.mark.parametrize(
    ("fault", "words"),
    [({"status": 503}, "in trouble"), ({"silent": True}, "could not be reached"), (None, "There is no repository")],
)
def test_the_app_starts_with_the_bundled_model_where_the_hub_fails(standin, home, monkeypatch, fault, words):
    monkeypatch.setenv("MDMF_MODEL", REPO)
    if fault:
        standin.fail("/", method="*", **fault)
    detector, warning = first_detector()
    assert detector.located.model == "bundled" and words in warning and "The bundled detector is used" in warning
