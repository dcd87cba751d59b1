"""`benchmarks/quality/refused.py`: what counts as wrongly refused, and the whole command on a small case."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import picture

from benchmarks.quality import refused, roles
from mdmf_core.training.evaluate import Row

KNOWN = {"real/camera": {"kind": "cameras", "role": "test"}, "fake/gan": {"kind": "gan", "role": "test"}}


def row(label: int, name: str, reason: str | None = None, error: str | None = None, condition: str = "alike") -> Row:
    return Row("data", ("camera", "gan")[label], label, name, condition, reason=reason, error=error)


def test_what_a_person_saw_to_be_bare_is_rightly_refused_and_all_else_wrongly():
    rows = [row(0, "wall", "flat"), row(0, "face", "soft"), row(0, "tree"), row(0, "lost", error="no picture")]
    rows += [row(1, "palette", "few colours"), row(1, "fine")]
    found = refused.figures(rows, {"wall", "palette", "another"})
    assert found["alike"] == {
        "photographs": {"n": 3, "refused": 2, "wrongly": {"face": "soft"}},
        "generated pictures": {"n": 2, "refused": 1, "wrongly": {}},
    }
    assert found["web"]["photographs"] == {"n": 0, "refused": 0, "wrongly": {}}
    lines = refused.markdown(found).splitlines()
    assert "| alike | photographs | 3 | 0.667 | 0.333 |" in lines
    assert "| alike | generated pictures | 2 | 0.500 | 0.000 |" in lines
    assert "| web | photographs | 0 |  |  |" in lines


def test_every_bare_photograph_is_of_a_source_that_is_held_out_and_says_what_it_shows():
    known = roles.load()
    with open(refused.BARE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({line["key"] for line in rows}) == len(rows) > 0 and all(line["shows"] for line in rows)
    for line in rows:
        kind, source, _ = line["key"].split("/")
        assert kind == "real" and known[f"{kind}/{source}"]["role"] == roles.HELD_OUT


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A photograph, a black frame, a generated picture and one of 200 colours, each 192 x 192 pixels."""
    few = (np.arange(192 * 192).reshape(192, 192) % 200).astype(np.uint8)
    pictures = {
        "real/camera/photo": picture(1, 192, 192),
        "real/camera/black": np.zeros((192, 192, 3), np.uint8),
        "fake/gan/fine": picture(2, 192, 192),
        "fake/gan/few": np.stack([few, few // 2, 255 - few], axis=2),
    }
    for name, pixels in pictures.items():
        path = tmp_path / "data" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "data"


def test_the_whole_command(data: Path, tmp_path: Path, monkeypatch, capsys, checkpoint: Path):
    folds, bare, sheet, out = (tmp_path / name for name in ("folds.json", "bare.csv", "sheet.png", "out.json"))
    folds.write_text(json.dumps(KNOWN))
    bare.write_text("key,shows\nreal/camera/black.png,a black frame\n")
    monkeypatch.setattr(refused, "BARE", bare)
    given = [checkpoint, data, "--folds", folds, "--sheet", sheet, "--out", out]
    monkeypatch.setattr(sys, "argv", ["refused.py", *map(str, given)])
    refused.main()
    assert "| as_is | photographs | 2 | 0.500 | 0.000 |" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert list(found) == list(refused.CONDITIONS)
    assert found["as_is"]["generated pictures"] == {"n": 2, "refused": 1, "wrongly": {}}, "a palette"
    with Image.open(sheet) as drawn:
        assert drawn.size == (refused.ACROSS * refused.SIDE, refused.SIDE + refused.LINE), "one photograph"
