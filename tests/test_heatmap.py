"""The map is a function of the value and the model's scale, and the sentences promise nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from tiny import picture

from mdmf_core.detector import Detector, Evidence, decide
from mdmf_core.heatmap import LONGEST_SIDE, NEUTRAL, VERDICTS, colours, explain, overlay, score_line, ticks

SCALE = (-0.2, 0.4)
ROWS, COLS, SIDE = 3, 4, 32


def made(values: np.ndarray, flagged: tuple[int, ...] = (), scale=SCALE, size=(128, 96), **changes) -> Evidence:
    """Evidence with N * c_i = `values` on a grid of 3 x 4 cells of 32 pixels."""
    corners = [(SIDE * col, SIDE * row, SIDE, SIDE) for row in range(ROWS) for col in range(COLS)]
    boxes, n = np.array(corners), ROWS * COLS
    null = np.linspace(-0.1, 0.1, 99)
    marks = np.isin(np.arange(n), flagged)
    evidence = Evidence(
        name="a.png",
        sha256="0" * 64,
        width=size[0],
        height=size[1],
        notes=(),
        score=float(np.mean(values)),
        statistic="relative",
        mmd2=0.0,
        relative=float(np.mean(values)),
        p_value=0.04,
        decision="generated",
        alpha=0.05,
        n_calibration=len(null),
        rows=ROWS,
        cols=COLS,
        boxes=boxes,
        cells=boxes,
        evidence=np.broadcast_to(np.asarray(values, float), n) / n,
        witness=np.zeros(n),
        patch_p_values=np.ones(n),
        flagged=marks,
        fdr=0.1,
        scale=scale,
        threshold=0.08,
        null=null,
        model="tiny",
        revision="local",
        fingerprint="f" * 64,
        backbone="compact",
        timings={},
    )
    return replace(evidence, **changes)


def test_a_picture_without_evidence_is_left_as_it_is():
    pixels = picture(1)
    drawn = np.asarray(overlay(pixels, made(np.zeros(12))))
    assert drawn.shape[0] > 96 and drawn.shape[1] >= 128
    assert np.array_equal(drawn[:96, :128], pixels)
    assert np.array_equal(np.asarray(overlay(pixels, made(np.zeros(12)), colorbar=False)), pixels)


def test_the_input_is_not_written_to():
    pixels = picture(1)
    before = pixels.copy()
    overlay(pixels, made(np.full(12, 0.4), flagged=(0, 5)))
    assert np.array_equal(pixels, before)


def test_one_value_has_one_colour_in_every_picture():
    grey = np.full((96, 128, 3), 90, np.uint8)
    mild, strong = np.zeros(12), np.linspace(0.3, 5, 12)
    mild[5] = strong[5] = 0.3
    first, second = (np.asarray(overlay(grey, made(values), colorbar=False)) for values in (mild, strong))
    assert np.array_equal(first[32:64, 32:64], second[32:64, 32:64])
    assert not np.array_equal(first[32:64, 32:64], grey[32:64, 32:64])
    assert np.array_equal(first[:32], grey[:32])


def test_colour_begins_at_the_neutral_end_grows_and_stops_at_the_end_of_the_scale():
    low, high = SCALE
    begins = low + NEUTRAL * (high - low)
    values = np.array([-9.0, low, begins, begins + 0.01, (begins + high) / 2, high, 9.0])
    painted = colours(values, SCALE)
    strength = painted[:, 3]
    assert np.allclose(strength[:3], 0) and np.allclose(strength[5:], 1)
    assert (np.diff(strength[2:6]) > 0).all()
    assert np.array_equal(painted[5], painted[6])
    lightness = colours(np.linspace(begins, high, 30), SCALE)[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


def test_flagged_cells_are_outlined_inside_their_area_only():
    pixels = np.full((96, 128, 3), 90, np.uint8)
    drawn = np.asarray(overlay(pixels, made(np.zeros(12), flagged=(5, 6)), colorbar=False))
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
    large = replace(evidence, boxes=evidence.boxes * 25, cells=evidence.cells * 25)
    drawn = np.asarray(overlay(pixels, large, colorbar=False))
    assert drawn.shape == (1200, LONGEST_SIDE, 3)
    small = np.asarray(overlay(np.full((96, 128, 3), 90, np.uint8), evidence, colorbar=False))
    assert np.array_equal(drawn[200::400, 200::400], small[16::32, 16::32])


def test_the_bar_names_the_ends_of_the_scale():
    (start, low, words), (_, begins, _), (end, high, _) = ticks(SCALE)
    assert (start, end, low, high) == (0, 1, *SCALE) and words
    assert begins == pytest.approx(low + NEUTRAL * (high - low))


def test_the_map_adds_up_to_the_score(checkpoint):
    evidence = Detector.from_pretrained(checkpoint).detect(picture(3))
    assert abs(evidence.evidence.sum() - evidence.score) <= 1e-5 * max(1, abs(evidence.score))
    overlay(picture(3), evidence)


@pytest.mark.parametrize("p_value", [0.01, 0.03, 0.05, 0.051, 0.1, 0.2, 0.21, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("flagged", [(), (3,), (1, 2, 3)])
def test_the_sentences_never_promise(p_value, flagged):
    score = 9.0 if p_value == 0.01 else 0.0
    evidence = made(np.zeros(12), flagged, p_value=p_value, decision=decide(p_value, 0.05), score=score)
    text = explain(evidence)
    assert text.endswith(".") and "%" not in text and not re.search(r"\bis real\b|\bauthentic\b|1 in 1\b", text)
    assert f"{evidence.n_calibration}" in text and "real and of generated" in text
    assert ("outlined" in text) == bool(flagged)
    assert VERDICTS[evidence.decision]


def test_rarity_counts_real_pictures():
    assert "About 1 in 25 real pictures scores this high." in explain(made(np.zeros(12)))
    assert "Fewer than 1 in 99 real pictures" in explain(made(np.zeros(12), p_value=0.01, score=0.5))
    assert "Most real pictures" in explain(made(np.zeros(12), p_value=0.9, decision="no_evidence"))
    assert "generated" not in explain(made(np.zeros(12), statistic="mmd", decision="no_evidence"))


def test_a_threshold_that_no_score_can_reach_is_said():
    assert "above 0.08" in score_line(made(np.zeros(12)))
    assert "too few" in score_line(made(np.zeros(12), threshold=float("inf")))
