"""`benchmarks/quality/screens.py`: the pages that screenshots are taken of, and where they are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality import screens, validate
from benchmarks.quality.outlines import pictures


@pytest.mark.parametrize("name", list(screens.LAYOUTS))
def test_a_page_shows_photographs_where_its_name_says_so(name):
    photographs = [f"file:///photographs/{index}.jpg" for index in range(3)]
    made = [screens.page(screens.LAYOUTS[name], photographs, np.random.default_rng([seed])) for seed in range(6)]
    shown = [sum(path in page for path in photographs) for page in made]
    assert shown == [{"page without photographs": 0, "page with photographs": 2, "gallery": 3, "desktop": 1}[name]] * 6
    assert len(set(made)) > 1 and all(page.startswith("<!doctype html>") for page in made)
    assert made[0] == screens.page(screens.LAYOUTS[name], photographs, np.random.default_rng([0]))


def test_screenshots_are_kinds_of_their_own_for_the_validation(tmp_path: Path, monkeypatch):
    pixels = np.zeros((40, 60, 3), np.uint8)
    monkeypatch.setattr(screens, "shot", lambda browser, file, scale: Image.fromarray(pixels))
    paths = [tmp_path / f"{index}.jpg" for index in range(2)]
    assert screens.make(None, paths, tmp_path / "out", 2, 0) == 2 * len(screens.LAYOUTS)
    found = list(pictures(tmp_path / "out"))
    assert {kind for kind, _, _ in found} == set(screens.LAYOUTS)
    assert sorted(path.suffix for _, _, path in found) == [".jpg"] * 4 + [".png"] * 4
    monkeypatch.setattr(validate.roles, "held_out", lambda data, known, most: [])
    wanted = validate.jobs(tmp_path, None, 1, 1, tmp_path / "out")
    assert {conditions for _, conditions in wanted} == {(f"given: {kind}",) for kind in screens.LAYOUTS}
    told = ("usual", 0.5, None, "")
    rows = [validate.Scored(0, "screens", entry.key, *conditions, *told) for entry, conditions in wanted]
    rows += [validate.Scored(1, "made", "made", condition, *told) for condition in validate.CONDITIONS]
    for table in (validate.alarm_table, validate.reason_table):
        titles = {row[: row.index("|", 1) + 1] for row in table(rows)}
        assert {f"| given: {kind} |" for kind in screens.LAYOUTS} <= titles
