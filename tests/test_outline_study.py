"""`benchmarks/quality/outlines.py`: which pictures it chooses, and what it counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from tiny import make_checkpoint, picture

from benchmarks.quality import outlines


def scene(blur: float, level: float = 60.0) -> np.ndarray:
    """A sharp square before a background that is blurred, (H, W) float32."""
    rng = np.random.default_rng(0)
    texture = 128 + level * rng.normal(0, 1, (640, 1024))
    soft = gaussian_filter(texture, blur)
    behind = 128 + (soft - soft.mean()) / soft.std() * 25 if blur else texture
    behind[200:480, 380:700] = texture[200:480, 380:700]
    return np.clip(behind, 0, 255).astype(np.float32)


def test_detail_is_the_deviation_of_the_bands_in_each_cell():
    grey = np.random.default_rng(1).uniform(0, 255, (160, 320)).astype(np.float32)
    fine, medium = outlines.details(grey)
    once, twice = (gaussian_filter(grey, sigma) for sigma in (1.0, 8.0))
    for row, col in ((0, 0), (7, 3), (15, 15)):
        cell = slice(10 * row, 10 * row + 10), slice(20 * col, 20 * col + 20)
        assert fine[row, col] == pytest.approx(np.sqrt(np.mean((grey - once)[cell] ** 2)), rel=1e-4)
        assert medium[row, col] == pytest.approx(np.sqrt(np.mean((once - twice)[cell] ** 2)), rel=1e-4)


def test_a_sharp_subject_before_a_blurred_background_is_chosen_and_nothing_else():
    assert outlines.is_shallow(*outlines.details(scene(blur=6.0)))
    assert not outlines.is_shallow(*outlines.details(scene(blur=0.0))), "sharp all over"
    empty = scene(blur=6.0)
    empty[:, :380] = empty[:, 700:] = empty[:200] = empty[480:] = 128
    assert not outlines.is_shallow(*outlines.details(empty)), "nothing behind it"


def test_chosen_pictures_are_linked_under_their_source(tmp_path, capsys, monkeypatch):
    for name, blur in (("a/shallow.png", 6.0), ("a/sharp.png", 0.0), ("b/shallow.png", 6.0)):
        path = tmp_path / "given" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(blur).astype(np.uint8)).save(path)
    (tmp_path / "given" / "a" / "small.png").write_bytes(b"no picture")
    monkeypatch.setattr(sys, "argv", ["outlines.py", f"--choose={tmp_path / 'given'}", str(tmp_path / "out")])
    outlines.main()
    found = [(kind, source, path.name) for kind, source, path in outlines.pictures(tmp_path / "out")]
    assert found == [("shallow", "a", "shallow.png"), ("shallow", "b", "shallow.png")]
    assert capsys.readouterr().out.startswith("2 pictures")
    (tmp_path / "list.csv").write_text("kind,source,picture\nmacro,a,sharp.png\nmacro,b,sharp.png\n")
    assert outlines.choose(tmp_path / "given", tmp_path / "listed", tmp_path / "list.csv") == 1
    assert [path.parts[-3:] for *_, path in outlines.pictures(tmp_path / "listed")] == [("macro", "a", "sharp.png")]
    outlines.sheets(tmp_path / "out", tmp_path / "sheets")
    assert Image.open(tmp_path / "sheets" / "shallow_0000.jpg").size == (1280, 1280)


def test_figures_count_pictures_of_each_kind_and_go_on_where_a_run_ended(tmp_path: Path, capsys, monkeypatch):
    folder = make_checkpoint(tmp_path / "checkpoint")
    for seed, name in enumerate(("portrait/a", "portrait/b", "macro/a")):
        path = tmp_path / "shallow" / name / f"{seed}.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(picture(seed)).save(path)
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["outlines.py", str(folder), str(tmp_path / "shallow"), f"--out={out}"])
    outlines.main()
    told = json.loads(out.read_text())
    told["pictures"].sort(key=lambda row: row["kind"])
    assert [row["kind"] for row in told["pictures"]] == ["macro", "portrait", "portrait"]
    told["pictures"][0]["outlined"] = {"evidence": 0.5, "locator": 0.0}
    told["pictures"][1]["outlined"] = {"evidence": 0.0, "locator": 0.0}
    out.write_text(json.dumps(told | {"pictures": told["pictures"][:2]}))
    outlines.main()
    again = json.loads(out.read_text())
    assert len(again["pictures"]) == 3 and again["pictures"][:2] == told["pictures"][:2]
    macro = again["figures"]["macro"]["evidence"]
    assert (macro["pictures"], macro["with_an_outline"], macro["patches_outlined_then"]) == (1, 1.0, 0.5)
    assert again["figures"]["macro"]["locator"]["with_an_outline"] == 0
    assert again["figures"]["all"]["evidence"]["pictures"] == 3
    assert "macro, evidence: 1.000 [1.000, 1.000] of 1 pictures of 1 sources" in capsys.readouterr().out
