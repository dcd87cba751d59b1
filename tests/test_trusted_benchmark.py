"""`benchmarks/quality/trusted.py`: all of it on a small case, with two files of roles."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny import picture

from benchmarks.quality import trusted
from mdmf_core.errors import DatasetError

ROLES = [
    {"real/camera": {"kind": "cameras", "role": "test"}, "fake/gan": {"kind": "gan", "role": "test"}},
    {"real/phone": {"kind": "cameras", "role": "test"}, "real/few": {"kind": "web", "role": "test"}},
]
SIZES = {"real/camera": 24, "real/phone": 30, "real/few": 3, "fake/gan": 4}


@pytest.fixture
def given(tmp_path: Path, monkeypatch, checkpoint: Path) -> list:
    """Arguments for the command, which asks for 20 trusted pictures and leaves 2 over."""
    seed = 0
    for name, size in SIZES.items():
        for index in range(size):
            seed += 1
            path = tmp_path / "data" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(seed, 96, 96)).save(path)
    for number, known in enumerate(ROLES):
        (tmp_path / f"{number}.json").write_text(json.dumps(known))
    doc = tmp_path / "doc.md"
    doc.write_text("before\n<!-- trusted: x -->\nold\n<!-- /trusted -->\nafter\n")
    for name, value in {"SIZES": (20, 25), "HELD": 2, "LEAST": 22}.items():
        monkeypatch.setattr(trusted, name, value)
    monkeypatch.setattr(trusted.into_doc, "__defaults__", (doc,))
    options = ["--model", checkpoint, "--draws", 2, "--processes", 1, "--out", tmp_path / "out.json"]
    return [tmp_path / "data", *options, "--folds", tmp_path / "0.json"]


def run(monkeypatch, *given) -> None:
    monkeypatch.setattr(sys, "argv", ["trusted.py", *map(str, given)])
    trusted.main()


def test_sources_of_two_files_of_roles_make_one_table_and_what_was_kept_serves_again(
    given: list, tmp_path: Path, monkeypatch, capsys
):
    kept = ["--kept", tmp_path / "kept.npz"]
    run(monkeypatch, *given, tmp_path / "1.json", *kept)
    first = json.loads((tmp_path / "out.json").read_text())
    sources = first["figures"]["sources"]
    assert {name: row["pictures"] for name, row in sources.items()} == {"camera": 24, "phone": 30}
    assert first["figures"]["generated"] == 4 and sources["camera"]["sizes"]["25"] is None
    assert set(sources["phone"]["sizes"]["25"]) == {"false_alarms", "found"}
    assert first["command"].startswith("python benchmarks/quality/trusted.py FOLDER --folds ")
    told, doc = capsys.readouterr().out, (tmp_path / "doc.md").read_text()
    assert "| `phone` | 30 |" in told and "- 25 trusted pictures (1 sources)" in doc and "\nold\n" not in doc
    monkeypatch.setattr(trusted, "look_at", lambda *_: pytest.fail("all of it was kept"))
    run(monkeypatch, *given, tmp_path / "1.json", *kept)
    assert json.loads((tmp_path / "out.json").read_text())["figures"] == first["figures"]


def test_only_takes_some_sources_and_none_is_one_sentence(given: list, tmp_path: Path, monkeypatch):
    run(monkeypatch, *given, tmp_path / "1.json", "--only", "phone")
    made = json.loads((tmp_path / "out.json").read_text())
    assert list(made["figures"]["sources"]) == ["phone"] and made["command"].endswith("--only phone")
    with pytest.raises(DatasetError, match="lacks real sources of 22 pictures"):
        run(monkeypatch, *given, "--only", "phone")
