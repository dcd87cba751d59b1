"""The map is a function of the value and the model's scale, and the sentences promise nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from evidence import SCALE, located, made
from tiny import make_checkpoint, picture

from mdmf_core.detector import Detector
from mdmf_core.method import calibration, mmd
from mdmf_core.show import charts, maps
from mdmf_core.show.maps import LONGEST_SIDE, colours, layer, overlay, ticks


def test_a_picture_without_evidence_is_left_as_it_is():
    pixels = picture(1)
    drawn = np.asarray(overlay(pixels, made(np.zeros(12))))
    assert drawn.shape[0] > 96 and drawn.shape[1] >= 128
    assert np.array_equal(drawn[:96, :128], pixels)
    assert np.array_equal(np.asarray(overlay(pixels, made(np.zeros(12)), colorbar=False)), pixels)


def test_the_input_is_not_written_to():
    pixels = picture(1)
    before = pixels.copy()
    overlay(pixels, made(np.full(12, 0.4), outlined=(0, 5)))
    assert np.array_equal(pixels, before)


def test_one_value_has_one_colour_in_every_picture():
    grey = np.full((96, 128, 3), 90, np.uint8)
    mild, strong = np.zeros(12), np.linspace(0.3, 5, 12)
    mild[5] = strong[5] = 0.3
    first, second = (np.asarray(overlay(grey, made(values), colorbar=False)) for values in (mild, strong))
    assert np.array_equal(first[32:64, 32:64], second[32:64, 32:64])
    assert not np.array_equal(first[32:64, 32:64], grey[32:64, 32:64])
    assert np.array_equal(first[:32], grey[:32])


def test_colour_begins_at_the_lower_end_grows_and_stops_at_the_upper():
    low, high = SCALE
    painted = colours(np.array([-9.0, low, low + 0.01, (low + high) / 2, high, 9.0]), SCALE)
    strength = painted[:, 3]
    assert np.allclose(strength[:2], 0) and np.allclose(strength[4:], 1)
    assert (np.diff(strength[1:5]) > 0).all() and strength[3] == pytest.approx(0.25)
    assert np.array_equal(painted[4], painted[5])
    lightness = colours(np.linspace(low, high, 30), SCALE)[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


def test_four_of_five_real_patches_are_left_as_they_are(checkpoint):
    reference = Detector.from_pretrained(checkpoint).reference
    for statistic, null in reference.patch_nulls.items():
        strength = colours(null, reference.scale(statistic))[:, 3]
        assert (strength == 0).mean() == pytest.approx(0.8, abs=0.01) and (strength == 1).sum() <= max(
            1, 0.001 * len(null)
        )
    assert calibration.SCALE_QUANTILES == pytest.approx([1 - p for p in maps.P_ENDS])


def test_flagged_cells_are_outlined_inside_their_area_only():
    pixels = np.full((96, 128, 3), 90, np.uint8)
    drawn = np.asarray(overlay(pixels, made(np.zeros(12), outlined=(5, 6)), colorbar=False))
    assert (drawn[32, 32:96] == 0).all() and (drawn[33, 33:95] == 255).all() and (drawn[34, 34:94] == 0).all()
    assert (drawn[40:56, 60:68] == 90).all(), "no line between two flagged neighbours"
    outside = drawn.copy()
    outside[32:64, 32:96] = 90
    assert (outside == 90).all()


def test_the_uncovered_border_stays_uncoloured():
    pixels = picture(2, 100, 140)
    drawn = np.asarray(overlay(pixels, made(np.full(12, 9.0), size=(140, 100)), colorbar=False))
    assert np.array_equal(drawn[96:], pixels[96:]) and np.array_equal(drawn[:, 128:], pixels[:, 128:])
    assert not np.array_equal(drawn[:96, :128], pixels[:96, :128])


def test_a_large_picture_is_shrunk_and_its_cells_with_it():
    pixels = np.full((2400, 3200, 3), 90, np.uint8)
    evidence = made(np.arange(12) * 0.05, size=(3200, 2400))
    grid = replace(evidence.grid, boxes=evidence.grid.boxes * 25, cells=evidence.grid.cells * 25)
    large = replace(evidence, grid=grid)
    drawn = np.asarray(overlay(pixels, large, colorbar=False))
    assert drawn.shape == (1200, LONGEST_SIDE, 3)
    small = np.asarray(overlay(np.full((96, 128, 3), 90, np.uint8), evidence, colorbar=False))
    assert np.array_equal(drawn[200::400, 200::400], small[16::32, 16::32])


def test_the_bar_names_the_ends_of_the_scale():
    (start, low, first), (end, high, last) = ticks(SCALE)
    assert (start, end, low, high) == (0, 1, *SCALE)
    assert "4 in 5" in first and "1 in 1,000" in last


def test_the_share_is_n_times_the_evidence():
    values = np.linspace(-1, 1, 12)
    shown = layer(made(values))
    assert np.allclose(shown.values, values) and shown.scale == SCALE
    assert [number for _, number, _ in shown.ticks] == ["0.1", "0.4"]


def test_the_witness_map_of_the_relative_statistic_is_the_share_in_other_units():
    values = np.linspace(-1, 1, 12)
    evidence = made(values, witness=(values - 0.3) / 2)
    shown = layer(evidence, "witness")
    assert shown.scale == pytest.approx((-0.1, 0.05)) and np.array_equal(shown.values, evidence.maps["witness"].values)
    assert np.allclose(colours(shown.values, shown.scale), colours(values, SCALE))


def test_the_witness_of_mmd_has_the_ends_of_its_evidence(tmp_path):
    """N c_i = witness - (r_i - C_R) + (a_i - 1) / n: equal, up to 1 / n, where r_i is the bank's own average."""
    evidence = made(np.zeros(12), statistic="mmd")
    assert layer(evidence, "witness").scale == SCALE
    detector = Detector.from_pretrained(make_checkpoint(tmp_path / "mmd", "mmd"))
    found = detector.detect(picture(3))
    points, bank = mmd.Points(torch.from_numpy(found.signatures)), detector.reference.real
    similarity = mmd.mean_kernel(points, bank.points, bank.weights, detector.model.kernel).numpy()
    gap = found.maps["evidence"].values - found.maps["witness"].values + (similarity - float(bank.self_term))
    assert np.abs(gap).max() <= 1 / found.n_patches


def test_the_p_value_map_has_fixed_ends():
    p = np.array([1.0, 0.2, 0.05, 0.001, 0.0001] + [1.0] * 7)
    evidence = made(np.zeros(12), p_values=p)
    shown = layer(evidence, "p_value")
    strength = colours(shown.values, shown.scale)[:, 3]
    assert strength[:2] == pytest.approx([0, 0]) and 0 < strength[2] < 1 and strength[3:5] == pytest.approx([1, 1])
    assert [number for _, number, _ in shown.ticks] == ["p = 0.2", "p = 0.001"]
    assert layer(made(np.ones(12), p_values=p, scale=(0, 9)), "p_value").scale == shown.scale


def test_mmd_can_be_drawn_where_it_does_not_decide():
    evidence = made(np.zeros(12), outlined=(0,))
    shown = layer(evidence, "mmd")
    assert np.allclose(shown.values, np.linspace(0, 1, 12)) and shown.scale == (0.2, 0.9) and "MMD" in shown.title
    drawn = np.asarray(overlay(picture(1), evidence, colorbar=False, shown="mmd"))
    assert np.array_equal(drawn[:32, :32], picture(1)[:32, :32]), "outlines belong to the deciding statistic"
    assert not shown.outlined.any() and evidence.maps["mmd"].outlined.any()
    decides = made(np.zeros(12), outlined=(3,), statistic="mmd")
    assert layer(decides, "mmd").title == layer(decides).title and layer(decides, "mmd").outlined[3]


def test_the_locator_s_map_has_its_own_values_scale_and_outlines():
    evidence = located(made(np.zeros(12), outlined=(0,)), np.linspace(-1, 1, 12), (11,))
    shown = layer(evidence, "locator")
    assert np.array_equal(shown.values, np.linspace(-1, 1, 12)) and shown.scale == (0.6, 0.998)
    assert [number for _, number, _ in shown.ticks] == ["0.6", "0.998"] and "unlike the rest" in shown.title.lower()
    pixels = picture(1)
    drawn = np.asarray(overlay(pixels, evidence, colorbar=False, shown="locator"))
    assert np.array_equal(drawn[:32, :32], pixels[:32, :32]), "outlined by the evidence alone"
    assert (drawn[64, 96:] == 0).all() and (drawn[64:, 96] == 0).all()
    default = np.asarray(overlay(pixels, evidence, colorbar=False))
    assert (default[0, :32] == 0).all() and np.array_equal(default[64:, 96:], pixels[64:, 96:])


def test_a_map_that_is_not_known_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="is not known here"):
        overlay(picture(1), made(np.zeros(12)), shown="locator")


@pytest.mark.parametrize("asked", ["score", "relative", ""])
def test_an_unknown_map_is_one_sentence(asked):
    with pytest.raises(ValueError, match="A map shows one of"):
        overlay(picture(1), made(np.zeros(12)), shown=asked)


@pytest.mark.parametrize("level", [0, 120, 255])
def test_doubtful_cells_are_hatched_on_dark_and_light(level):
    pixels = np.full((96, 128, 3), level, np.uint8)
    doubtful = np.isin(np.arange(12), (5, 11))
    drawn = np.asarray(overlay(pixels, made(np.zeros(12)), colorbar=False, doubtful=doubtful)).astype(int)
    changed = (np.abs(drawn - level) > 60).all(2)
    inside = np.zeros((96, 128), bool)
    inside[32:64, 32:64] = inside[64:, 96:] = True
    assert 0.05 < changed[inside].mean() < 0.3 and not changed[~inside].any()
    assert changed[32, 32:64].any() and np.array_equal(changed[33, 32:63], changed[32, 33:64]), "diagonal"


def test_the_bar_explains_hatching_only_where_there_is_some():
    evidence, none = made(np.zeros(12)), np.zeros(12, bool)
    plain, hatched = overlay(picture(1), evidence, doubtful=none), overlay(picture(1), evidence, doubtful=~none)
    assert plain.size == overlay(picture(1), evidence).size and hatched.height > plain.height


def test_a_crop_shows_the_pixels_and_nothing_else():
    pixels = picture(4)
    crop = np.asarray(maps.patch_crop(pixels, (32, 64, 32, 16), scale=3))
    assert crop.shape == (48, 96, 3) and np.array_equal(crop[1::3, 1::3], pixels[64:80, 32:64])
    assert np.array_equal(crop[::3], crop[2::3])


def test_a_residual_is_on_one_scale_and_knows_its_neighbours():
    ramp = np.broadcast_to(np.arange(128, dtype=np.uint8)[None, :, None], (96, 128, 3)).copy()
    flat = np.asarray(maps.residual_crop(ramp, np.array([32, 32, 32, 32]), scale=1))
    assert flat.shape == (32, 32, 3) and (np.abs(flat.astype(int) - 128) <= 1).all(), "a ramp leaves nothing"
    ramp[40, 40] += 9
    spot = np.asarray(maps.residual_crop(ramp, (32, 32, 32, 32), scale=1)).astype(int)
    assert (spot[8, 8] == round(127.5 * 1.8)).all() and (spot[8, 9] < 127).all() and abs(spot[20, 20, 0] - 128) <= 1
    assert maps.residual_crop(ramp, (0, 0, 16, 16)).size == (96, 96)
    assert maps.residual_crop(ramp, (112, 80, 16, 16)).size == (96, 96)


def test_nearest_patches_by_signature():
    evidence = made(np.zeros(12))
    assert maps.nearest(evidence, 5) == [4, 6, 3, 2] and maps.nearest(evidence, 0, 2) == [1, 2]
    assert len(maps.nearest(evidence, 3, 50)) == 11


def test_hatched_patches_come_after_all_others_among_the_strongest():
    evidence = made(np.arange(12.0))
    dull = replace(evidence, reasons=tuple("It is dark." if index in (11, 4) else "" for index in range(12)))
    rows = maps.top_patches(dull, 12, hatched=True)
    assert [row["index"] for row in rows] == [10, 9, 8, 7, 6, 5, 3, 2, 1, 0, 11, 4]
    assert [row["rank"] for row in rows] == list(range(1, 13))
    assert str(charts.describe_patch(dull, 10)).startswith("Patch 1 of 12 by evidence")
    assert [row["index"] for row in maps.top_patches(evidence, 3)] == [11, 10, 9]
    assert maps.top_patches(dull, 12) == rows[:10], "unless asked for, what is hatched is not named"
    assert maps.top_patches(replace(evidence, reasons=("flat",) * 12)) == []


def test_top_patches_carry_the_score():
    values = np.array([0.1, -0.5, 0.9, 0.4, 0.0, 0.2, 0.3, -0.1, 0.05, 0.15, 0.25, 0.35])
    evidence = made(values, outlined=(2,))
    rows = maps.top_patches(evidence, 12)
    assert [row["index"] for row in rows][:3] == [2, 3, 11] and [row["rank"] for row in rows] == list(range(1, 13))
    assert (rows[0]["x"], rows[0]["y"], rows[0]["w"], rows[0]["h"], rows[0]["flagged"]) == (64, 0, 32, 32, True)
    assert sum(row["share_of_score"] for row in rows) == pytest.approx(1)
    assert rows[0]["evidence_times_n"] == pytest.approx(0.9) == pytest.approx(12 * rows[0]["evidence"])
    assert len(maps.top_patches(evidence, 5)) == 5
    assert maps.top_patches(made(-np.ones(12)))[0]["share_of_score"] is None
    assert type(rows[0]["x"]) is int and type(rows[0]["flagged"]) is bool


def test_the_map_adds_up_to_the_score(checkpoint):
    evidence = Detector.from_pretrained(checkpoint).detect(picture(3))
    assert abs(evidence.verdict.shares.sum() - evidence.verdict.score) <= 1e-5 * max(1, abs(evidence.verdict.score))
    overlay(picture(3), evidence)
