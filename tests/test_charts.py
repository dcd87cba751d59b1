"""Charts of one picture, and what they say in words."""

from __future__ import annotations

import io

import numpy as np
import pytest
from evidence import made
from PIL import Image

from mdmf_core.method.calibration import Null
from mdmf_core.show import charts
from mdmf_core.show.stability import Variant


def rendered(figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB")).astype(int)


def purple(image: np.ndarray) -> np.ndarray:
    """Where the mark of this picture is, (H, W) bool."""
    return np.abs(image - [106, 31, 138]).sum(2) < 30


@pytest.mark.parametrize(("score", "threshold"), [(0.0, 0.08), (5.0, 0.08), (-5.0, float("inf"))])
def test_the_null_plot_shows_this_picture_wherever_it_lies(score, threshold):
    figure = charts.null_plot(made(np.zeros(12), score=score, threshold=threshold))
    image = rendered(figure)
    columns = np.flatnonzero(purple(image)[-300:-120].mean(0) > 0.9)
    assert 3 <= len(columns) <= 16 and (image[:3] == 255).all()
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "99 real pictures" in words and any(f"{score:.3g}" in each for each in words)
    assert any("0.08" in each for each in words) == (threshold == 0.08)


def test_a_null_without_spread_can_be_drawn():
    rendered(charts.null_plot(made(np.zeros(12), null=Null.of(np.zeros(5)), score=0.0)))


def test_a_patch_among_real_patches():
    evidence = made(np.linspace(0, 1, 12))
    assert purple(rendered(charts.patch_null_plot(evidence, 3))).any()
    low, high = charts.describe_patch(evidence, 0), charts.describe_patch(evidence, 11)
    assert low.startswith("Patch 12 of 12") and "69.2% of real patches" in low
    assert high.startswith("Patch 1 of 12") and "no calibration patch" in high


def test_the_stability_plot_has_a_row_for_each_variant():
    variants = [
        Variant("as it is", 0.3, 0.01, "generated"),
        Variant("JPEG 50", 0.1, 0.1, "inconclusive"),
        Variant("resized to 50%", error="Too small."),
        Variant("slight blur", 0.0, 0.9, "no_evidence"),
    ]
    figure = charts.stability_plot(variants, 0.05)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [variant.name for variant in variants]
    assert [line.get_xdata()[0] for line in axes.lines] == [0.01, 0.1, 0.9]
    assert len({line.get_marker() for line in axes.lines}) == 3
    assert axes.get_xlim()[0] > axes.get_xlim()[1], "more evidence further right"
    assert purple(rendered(figure)).any() and "can't be judged" in [text.get_text() for text in axes.texts]
    assert "JPEG 50 0.1" in charts.describe_stability(variants)
    rendered(charts.stability_plot([Variant("as it is", error="Too small.")], 0.05))


def test_the_null_in_words():
    assert "99 real pictures" in charts.describe_null(made(np.zeros(12)))
