"""What tabs share: which detector is loaded, what takes its place, and how models make room."""

from __future__ import annotations

import httpx
import huggingface_hub
import pytest
from tiny import make_checkpoint

import app
from mdmf_app import context as contexts
from mdmf_app.context import Context
from mdmf_core.checkpoint import hub
from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError


def test_an_unreachable_repository_falls_back_to_the_bundled_detector(monkeypatch, checkpoint):
    def unreachable(*args, **kwargs):
        raise httpx.ConnectError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", unreachable)
    monkeypatch.setattr(hub, "BUNDLED", checkpoint)
    monkeypatch.setenv("MDMF_MODEL", "someone/some-model")
    detector, warning = contexts.first_detector()
    assert detector.located.folder == checkpoint
    assert "someone/some-model" in warning and "could not be reached" in warning and "bundled" in warning


def test_a_missing_folder_falls_back_and_its_path_stays_private(monkeypatch, checkpoint, tmp_path):
    monkeypatch.setattr(hub, "BUNDLED", checkpoint)
    monkeypatch.setenv("MDMF_MODEL", str(tmp_path / "nowhere"))
    _, warning = contexts.first_detector()
    assert "nowhere" in warning and str(tmp_path) not in warning


def test_without_any_detector_the_program_ends_with_a_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(hub, "BUNDLED", tmp_path / "gone")
    monkeypatch.setenv("MDMF_MODEL", str(tmp_path / "nowhere"))
    assert app.main() == 1
    assert "There is no folder" in capsys.readouterr().err
    with pytest.raises(CheckpointError):
        contexts.first_detector()


def test_a_session_has_its_own_model_and_a_failure_changes_nothing(checkpoint, tmp_path):
    context = Context(Detector.from_pretrained(checkpoint))
    other = make_checkpoint(tmp_path / "other", statistic="mmd", images=18)
    choice = context.load(str(other))
    with pytest.raises(CheckpointError):
        context.load(str(tmp_path / "nowhere"))
    assert context.detector(None) is context.default, "nobody else's model changes"
    assert context.detector(choice).located.folder == other
    assert context.detector(choice) is context.detector(choice)
    assert context.load(str(checkpoint)) is None, "the page's own model is not loaded twice"


def test_models_make_room_and_come_back(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(contexts, "MOST_MODELS", 1)
    context = Context(Detector.from_pretrained(checkpoint))
    first = context.load(str(make_checkpoint(tmp_path / "first", images=18)))
    loaded = context.detector(first)
    context.load(str(make_checkpoint(tmp_path / "second", statistic="mmd", images=18)))
    assert context.detector(first) is not loaded
    assert context.detector(first).fingerprint == loaded.fingerprint
