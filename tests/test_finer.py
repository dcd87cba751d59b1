"""The finer map is the mean of overlapping patches; contour lines follow what real patches reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evidence import SCALE, made
from tiny import picture

from mdmf_app import panels, views
from mdmf_app.context import ALPHA
from mdmf_app.tabs.one import background, handlers
from mdmf_app.tabs.one.kept import Turn
from mdmf_core.images.reader import read
from mdmf_core.method.patches import ALIGN, Geometry, beside, cut
from mdmf_core.show import maps
from mdmf_core.show.finer import fine
from mdmf_core.show.ink import contour


@pytest.fixture
def shown(context, photo):
    turn = Turn()
    return turn, handlers.analyse(context, str(photo), ALPHA, None, None, turn)[0]


def stretched(result: views.Result) -> views.Result:
    """The same result, whose values lie within the scale."""
    evidence = result.whole.evidence
    found = evidence.maps["evidence"]
    maps_ = evidence.maps | {"evidence": replace(found, scale=(found.values.min(), found.values.max()))}
    return replace(result, whole=replace(result.whole, evidence=replace(evidence, maps=maps_)))


@pytest.mark.parametrize("geometry", [Geometry(32, 30), Geometry(32, 64, window=64)])
def test_the_second_pass_lies_half_a_patch_beside_the_first(geometry):
    pixels = picture(1, 160, 192)
    grid = cut(pixels, geometry)[1]
    regions = beside(grid, geometry)
    assert len(regions) == 3
    first = {tuple(box[:2]) for box in grid.boxes.tolist()}
    for region, offset in zip(regions, ((16, 0), (0, 16), (16, 16)), strict=True):
        moved = cut(pixels, geometry, region)[1].boxes
        assert (np.array(region[:2]) - offset == grid.boxes[0, :2]).all()
        assert all((x - offset[0], y - offset[1]) in first for x, y, *_ in moved.tolist())
        assert (moved[:, 0] + 32 <= 192).all() and (moved[:, :2] % ALIGN == 0).all()


def test_there_is_no_second_pass_where_pictures_are_resized_or_too_small():
    assert beside(cut(picture(1), Geometry(32, 16, resize=128))[1], Geometry(32, 16, resize=128)) == []
    small = Geometry(32, 16)
    assert beside(cut(picture(1, 64, 64), small)[1], small) == []


def test_overlapping_patches_get_what_the_detector_gives_them_alone(detector):
    seen = read(picture(2, 160, 192), 64)
    grid = detector.detect(seen).grid
    regions = beside(grid, detector.model.geometry)
    found = list(detector.overlapping(seen, grid))
    assert len(found) == len(regions) == 3
    for region, (moved, values) in zip(regions, found, strict=True):
        alone = detector.detect(seen, region=region)
        assert np.array_equal(moved.boxes, alone.grid.boxes)
        for name in ("evidence", "witness", "mmd"):
            assert np.allclose(values[name], alone.maps[name].values)


def test_each_square_has_the_mean_of_all_patches_that_stand_for_it():
    evidence, rng = made(np.arange(12.0)), np.random.default_rng(0)
    moved = replace(evidence.grid, cells=evidence.grid.cells + np.array([16, 16, 0, 0]))
    moved = replace(moved, cells=moved.cells[moved.cells[:, 0] < 96])
    values = {name: rng.normal(size=len(moved.cells)) for name in evidence.maps}
    sharp = replace(evidence, grid=replace(evidence.grid, cells=evidence.grid.cells))
    found = fine(sharp, [(moved, values)])
    assert found.step == ALIGN and found.covered.all() and set(found.values) == set(evidence.maps)
    naive = np.zeros((12, 16))
    for row in range(12):
        for col in range(16):
            inside = [
                value
                for grid, known in ((evidence.grid, evidence.maps["evidence"].values), (moved, values["evidence"]))
                for (x, y, w, h), value in zip(grid.cells, known, strict=True)
                if x <= 8 * col < x + w and y <= 8 * row < y + h
            ]
            naive[row, col] = np.mean(inside)
    blurred = [np.mean(naive[row - 1 : row + 1, col - 1 : col + 1]) for row in range(1, 12) for col in range(1, 16)]
    assert np.allclose(found.values["evidence"][1:, 1:].reshape(-1), blurred, atol=1e-5)


def test_the_mean_over_a_patch_is_that_of_its_squares():
    evidence, rng = made(np.zeros(12)), np.random.default_rng(3)
    flat = fine(evidence, [])
    known = replace(flat, values={"evidence": rng.normal(size=flat.values["evidence"].shape)})
    for value, (x, y, w, h) in zip(known.means("evidence", evidence.grid), evidence.grid.cells // ALIGN, strict=True):
        assert value == pytest.approx(known.values["evidence"][y : y + h, x : x + w].mean())


def test_a_map_that_one_pass_lacks_stays_as_it_is():
    evidence = made(np.zeros(12))
    assert set(fine(evidence, [(evidence.grid, {"evidence": np.zeros(12)})]).values) == {"evidence"}


def test_a_flat_finer_map_has_the_colour_of_its_value_everywhere():
    grey = np.full((96, 128, 3), 90, np.uint8)
    evidence = made(np.full(12, 0.3))
    blocks = maps.overlay(grey, evidence, colorbar=False)
    smooth = maps.overlay(grey, evidence, colorbar=False, fine=fine(evidence, []))
    assert np.abs(np.asarray(blocks).astype(int) - np.asarray(smooth)).max() <= 1


def test_a_contour_is_dotted_white_on_the_higher_side_and_black_on_the_lower():
    canvas, field = np.full((20, 20, 3), 120, np.uint8), np.full((20, 20), -np.inf)
    field[:, 10:] = 1.0
    contour(canvas, field, (0.5, 2.0))
    for column, colour in ((9, 0), (10, 255)):
        dots = (canvas[:, column] == colour).all(axis=1)
        assert dots.sum() in (8, 12) and (canvas[~dots, column] == 120).all()
    assert (canvas[:, :9] == 120).all() and (canvas[:, 11:] == 120).all()


def test_contours_stand_where_1_in_20_and_1_in_100_real_patches_lie_higher():
    evidence = made(np.linspace(*SCALE, 12))
    for shown in ("evidence", "mmd"):
        layer, null = maps.layer(evidence, shown), evidence.maps[shown].null
        shares = [np.mean(null > level) for level in layer.levels]
        assert shares == pytest.approx([0.05, 0.01], abs=0.002)
    assert [10**-level for level in maps.layer(evidence, "p_value").levels] == pytest.approx([0.05, 0.01])


def test_the_legend_says_what_is_drawn(shown):
    evidence = shown[1].whole.evidence
    plain, lines = panels.legend(evidence, "evidence"), panels.legend(evidence, "evidence", contours=True)
    assert "Dotted lines" not in plain and "<i " not in plain
    assert "1 in 20" in lines and lines.count("<i ") == 2 and "smoothed" not in lines
    assert "smoothed" in panels.legend(evidence, "evidence", contours=True, finer=True)


def test_the_page_draws_a_finer_map_of_the_picture_on_the_screen_alone(context, shown):
    turn, result = shown
    refined = background.refine(context, result, None, turn)
    assert refined[0] is result and "evidence" in refined[1].values
    scaled = stretched(result)
    blocks, finer = (views.draw(scaled, None, "evidence", 0.9, False, each) for each in (None, (scaled, refined[1])))
    assert blocks.size == finer.size and not np.array_equal(np.asarray(blocks), np.asarray(finer))
    assert "smoothed" in handlers.show_map(result, None, "evidence", 0.5, True, refined, None, None)[1]
    assert "smoothed" not in handlers.show_map(result, None, "p_value", 0.5, True, refined, None, None)[1]
    for others in ((result, refined), (None, None)):
        assert background.refine(context, *others, turn) == {"__type__": "update"}
    turn.begin()
    assert background.refine(context, result, None, turn) == {"__type__": "update"}
