"""Charts of one result, each with a line that says what it shows.

They are `matplotlib.figure.Figure`s without pyplot, with their own white background, for dark pages too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from mdmf_core.evidence import INCONCLUSIVE, Evidence
from mdmf_core.show.words import VERDICTS, rarity, score_line

if TYPE_CHECKING:
    from mdmf_core.show.stability import Variant

_CHART_INK, _CHART_BARS, _CHART_MARK = "#202020", "#9fb6c9", "#6a1f8a"
_MARKERS = {"generated": "^", "inconclusive": "D", "no_evidence": "o"}


def _chart(height: float) -> tuple[Figure, Axes]:
    """A white figure, `height` inches high, whose text can be read at the width of a phone."""
    figure = Figure((4.8, height), dpi=200, facecolor="white", layout="constrained")
    axes = figure.add_subplot(facecolor="white")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_CHART_INK)
    axes.tick_params(colors=_CHART_INK, labelsize=10)
    return figure, axes


def _histogram(axes: Axes, null: np.ndarray, mark: float, words: str, marked: str, unit: str) -> None:
    """Calibration values (M,) as bars and one value among them, with a legend below."""
    low, high = min(null[0], mark), max(null[-1], mark)
    room = 0.04 * max(high - low, 1e-9)
    axes.hist(null, bins=np.linspace(null[0], max(null[-1], null[0] + room), 31), color=_CHART_BARS, label=words)
    axes.axvline(mark, color=_CHART_MARK, linewidth=3, label=marked)
    axes.set_xlim(low - room, high + room)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel(unit, color=_CHART_INK, fontsize=11)


def _legend(figure: Figure) -> None:
    figure.legend(loc="outside upper left", fontsize=10, labelcolor=_CHART_INK, frameon=False, borderaxespad=0.2)


def null_plot(evidence: Evidence) -> Figure:
    """Histogram of the calibration scores with this picture's score and the threshold."""
    figure, axes = _chart(3.3)
    verdict = evidence.verdict
    words = f"{verdict.n_calibration:,} real pictures"
    _histogram(axes, verdict.null, verdict.score, words, f"this picture: {verdict.score:.3g}", "Score")
    if not math.isinf(verdict.threshold):
        label = f"likely generated above {verdict.threshold:.3g}"
        axes.axvline(verdict.threshold, color=_CHART_INK, linewidth=1.5, linestyle=(0, (4, 2)), label=label)
    _legend(figure)
    return figure


def describe_null(evidence: Evidence) -> str:
    """What `null_plot` shows, in one line."""
    return (
        f"Scores of {evidence.verdict.n_calibration:,} real pictures as a histogram, with this picture's score. "
        f"{rarity(evidence)}. Score: {score_line(evidence)}."
    )


def patch_null_plot(evidence: Evidence, index: int) -> Figure:
    """Where patch `index` lies among patches of real calibration images."""
    figure, axes = _chart(3.1)
    found = evidence.maps["evidence"]
    value = found.values[index]
    words = f"{len(found.null):,} patches of real pictures"
    marked = f"this patch: {value:.3g} (p = {found.p_values[index]:.2g})"
    _histogram(axes, found.null, value, words, marked, "Evidence, times the number of patches")
    _legend(figure)
    return figure


def describe_patch(evidence: Evidence, index: int) -> str:
    """Where patch `index` lies among patches of real pictures and in this picture, in one line."""
    found = evidence.maps["evidence"]
    value = found.values[index]
    rank = 1 + int((evidence.verdict.shares > evidence.verdict.shares[index]).sum())
    share = float(np.mean(found.null >= value))
    above = f"{share:.1%} of real patches lie at least as high" if share else "no calibration patch lies as high"
    return f"Patch {rank:,} of {evidence.n_patches:,} by evidence ({value:.3g} times the number of patches); {above}."


def stability_plot(variants: Sequence[Variant], alpha: float) -> Figure:
    """The p-value after each change, more evidence further right, over bands for the three decisions.

    Args:
        variants: in the order to draw, from above.
        alpha: the false-alarm rate that "generated" allows.
    """
    figure, axes = _chart(1.5 + 0.33 * len(variants))
    least = min([variant.p_value for variant in variants if variant.error is None] + [alpha / 2])
    ends = (1.15, least / 1.5)
    bands = {"no_evidence": (1.15, INCONCLUSIVE), "inconclusive": (INCONCLUSIVE, alpha), "generated": (alpha, ends[1])}
    for (decision, (start, stop)), colour in zip(bands.items(), ("#eef1f4", "#fbe9c6", "#f6cfc9"), strict=True):
        axes.axvspan(start, stop, color=colour, linewidth=0, label=VERDICTS[decision])
    for row, variant in enumerate(variants):
        if variant.error is None:
            axes.plot(variant.p_value, row, _MARKERS[variant.decision], color=_CHART_MARK, markersize=8)
        else:
            axes.text(0.97, row, "can't be judged", color=_CHART_INK, fontsize=10, va="center")
    axes.set_xscale("log")
    axes.set_xlim(ends)
    axes.set_ylim(len(variants) - 0.4, -0.6)
    axes.set_yticks(range(len(variants)), [variant.name for variant in variants])
    places = [p for p in (1, 0.2, 0.05, 0.01, 0.001, 0.0001) if ends[1] <= p]
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(places, [f"{p:g}" for p in places])
    axes.set_xlabel("p-value (further right: more evidence)", color=_CHART_INK, fontsize=11)
    _legend(figure)
    return figure


def describe_stability(variants: Sequence[Variant]) -> str:
    """What `stability_plot` shows, in one line."""
    found = [f"{v.name} {v.p_value:.2g}" if v.error is None else f"{v.name} can't be judged" for v in variants]
    return f"p-value of each changed copy: {', '.join(found)}."
