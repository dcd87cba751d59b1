"""Charts of one result, each with a line that says what it shows.

They are `matplotlib.figure.Figure`s without pyplot, with their own white background, which a dark page inverts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from mdmf_core.evidence import INCONCLUSIVE, NOT_JUDGED, TRACES, WEAK, Evidence
from mdmf_core.sentence import COMMA, Sentence, joined, said
from mdmf_core.show.maps import strongest_first
from mdmf_core.show.words import VERDICTS, compared_with, rarity, real_pictures, score_line

if TYPE_CHECKING:
    from mdmf_core.show.stability import Variant

Tell = Callable[[Sentence], str]  # says what is written into a plot, perhaps in another language

_CHART_INK, _CHART_BARS, _CHART_MARK = "#202020", "#9fb6c9", "#6a1f8a"
_MARKERS = {"generated": "^", "inconclusive": "D", "no_evidence": "o", NOT_JUDGED: "x"}
_P_PLACES = (1, 0.2, 0.05, 0.01, 0.001, 0.0001)
_RAREST = 0.001  # the upper end of the scale over time, unless a frame is rarer
_RATIO_PLACES = (0.01, 0.1, 0.5, 1, 2, 10, 100, 1000, 10000)
SCORE = said("figure.score", "Score")
EVIDENCE = said("chart.evidence", "Evidence, times the number of patches")
RATIO = said("figure.ratio", "Likelihood ratio")
P_VALUE = said("figure.p_value", "p-value")
NO_ANSWER = said("pair.not_judged", "can't be judged")
NULL = "Scores of {n:,} real pictures{of} as a histogram, with this picture's score. {rarity}. Score: {score}."
PATCH = (
    "Patch {rank:,} of {n:,} by evidence ({value:.3g} times the number of patches); {share:.1%} of real patches lie at "
    "least as high."
)
TOP_PATCH = (
    "Patch {rank:,} of {n:,} by evidence ({value:.3g} times the number of patches); no calibration patch lies as high."
)


def _chart(height: float) -> tuple[Figure, Axes]:
    """A white figure, `height` inches high, whose text can be read at the width of a phone."""
    figure = Figure((4.8, height), dpi=200, facecolor="white", layout="constrained")
    axes = figure.add_subplot(facecolor="white")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_CHART_INK)
    axes.tick_params(colors=_CHART_INK, labelsize=10)
    return figure, axes


def _histogram(
    axes: Axes, null: np.ndarray, mark: float, words: str, marked: str, unit: str, weights: np.ndarray | None = None
) -> None:
    """Sorted calibration values (M,), by their weights (M,), as bars and one value among them, with a legend below."""
    low, high = min(null[0], mark), max(null[-1], mark)
    room = 0.04 * max(high - low, 1e-9)
    bins = np.linspace(null[0], max(null[-1], null[0] + room), 31)
    axes.hist(null, bins=bins, weights=weights, color=_CHART_BARS, label=words)
    axes.axvline(mark, color=_CHART_MARK, linewidth=3, label=marked)
    axes.set_xlim(low - room, high + room)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel(unit, color=_CHART_INK, fontsize=11)


def _legend(figure: Figure) -> None:
    figure.legend(loc="outside upper left", fontsize=10, labelcolor=_CHART_INK, frameon=False, borderaxespad=0.2)


def null_plot(evidence: Evidence, tell: Tell = str) -> Figure:
    """Histogram of the calibration scores with this picture's score and the threshold."""
    figure, axes = _chart(3.3)
    verdict = evidence.verdict
    null, words = verdict.null, tell(real_pictures(verdict))
    marked = tell(said("chart.this_picture", "this picture: {score:.3g}", score=verdict.score))
    _histogram(axes, null.scores, verdict.score, words, marked, tell(SCORE), null.weights)
    if not math.isinf(verdict.threshold):
        values = {"alpha": verdict.alpha, "threshold": verdict.threshold}
        label = tell(said("chart.threshold", "p at most {alpha:.2g} above {threshold:.3g}", **values))
        axes.axvline(verdict.threshold, color=_CHART_INK, linewidth=1.5, linestyle=(0, (4, 2)), label=label)
    _legend(figure)
    return figure


def describe_null(evidence: Evidence) -> Sentence:
    """What `null_plot` shows, in one line."""
    values = {"rarity": rarity(evidence), "score": score_line(evidence), **compared_with(evidence.verdict)}
    return said("chart.null", NULL, **values)


def patch_null_plot(evidence: Evidence, index: int, tell: Tell = str) -> Figure:
    """Where patch `index` lies among patches of real calibration images."""
    figure, axes = _chart(3.1)
    found = evidence.maps["evidence"]
    value = found.values[index]
    words = tell(said("chart.real_patches", "{n:,} patches of real pictures", n=len(found.null)))
    values = {"value": float(value), "p": float(found.p_values[index])}
    marked = tell(said("chart.this_patch", "this patch: {value:.3g} (p = {p:.2g})", **values))
    _histogram(axes, found.null, value, words, marked, tell(EVIDENCE))
    _legend(figure)
    return figure


def describe_patch(evidence: Evidence, index: int) -> Sentence:
    """Where patch `index` lies among patches of real pictures and in this picture, in one line."""
    found = evidence.maps["evidence"]
    value = found.values[index]
    rank = 1 + strongest_first(evidence).tolist().index(index)
    share = float(np.mean(found.null >= value))
    values = {"rank": rank, "n": evidence.n_patches, "value": float(value)}
    return said("chart.patch", PATCH, **values, share=share) if share else said("chart.top_patch", TOP_PATCH, **values)


def stability_plot(variants: Sequence[Variant], alpha: float, tell: Tell = str) -> Figure:
    """Likelihood ratio or, without, p-value after each change, over bands for the headlines; more evidence is right.

    Args:
        variants: in the order to draw, from above.
        alpha: the false-alarm rate that "generated" allows.
        tell: says what is written.
    """
    figure, axes = _chart(1.5 + 0.33 * len(variants))
    values, edges, places, unit = _stability_scale(variants, alpha)
    bands = zip(("no_evidence", "inconclusive", "generated"), edges, edges[1:], strict=False)
    for (outcome, start, stop), colour in zip(bands, ("#eef1f4", "#fbe9c6", "#f6cfc9"), strict=True):
        axes.axvspan(start, stop, color=colour, linewidth=0, label=tell(VERDICTS[outcome]))
    for row, (variant, value) in enumerate(zip(variants, values, strict=True)):
        if value is not None:
            axes.plot(value, row, _MARKERS[variant.outcome], color=_CHART_MARK, markersize=8)
        else:
            start = edges[0] ** 0.97 * edges[1] ** 0.03
            axes.text(start, row, tell(NO_ANSWER), color=_CHART_INK, fontsize=10, va="center")
    axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(len(variants) - 0.4, -0.6)
    axes.set_yticks(range(len(variants)), [tell(variant.name) for variant in variants])
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(places, [f"{p:g}" for p in places])
    axes.set_xlabel(
        tell(said("chart.rising", "{unit} (further right: more evidence)", unit=unit)),
        color=_CHART_INK,
        fontsize=11,
        loc="right",  # there is room below the names at the left
    )
    _legend(figure)
    return figure


def _stability_scale(
    variants: Sequence[Variant], alpha: float
) -> tuple[list[float | None], list[float], list[float], Sentence]:
    """What is drawn of each variant, the four edges of the bands from the left, the places that are named, the unit."""
    good = [variant for variant in variants if variant.error is None]
    if good and all(variant.ratio is not None for variant in good):
        ratios = [variant.ratio for variant in good if variant.ratio is not None]
        edges = [min(*ratios, 0.5) / 1.5, WEAK, TRACES, max(*ratios, 20) * 1.5]
        places = [ratio for ratio in _RATIO_PLACES if edges[0] <= ratio <= edges[-1]]
        return [variant.ratio for variant in variants], edges, places, RATIO
    least = min([variant.p_value for variant in good if variant.p_value is not None] + [alpha / 2])
    edges = [1.15, INCONCLUSIVE, alpha, least / 1.5]
    return [variant.p_value for variant in variants], edges, [p for p in _P_PLACES if edges[-1] <= p], P_VALUE


def describe_stability(variants: Sequence[Variant]) -> Sentence:
    """What `stability_plot` shows, in one line."""
    values, _, _, unit = _stability_scale(variants, INCONCLUSIVE)
    found = [
        said("chart.copy_failed", "{name} can't be judged", name=v.name)
        if value is None or v.error is not None
        else said("chart.copy", "{name} {value:.2g}", name=v.name, value=value)
        for v, value in zip(variants, values, strict=True)
    ]
    return said("chart.stability", "{unit} of each changed copy: {copies}.", unit=unit, copies=joined(found, COMMA))


def time_plot(seconds: Sequence[float], p_values: Sequence[float]) -> Figure:
    """The p-values of a video's frames over time, on one scale for all videos; rarer among photographs is higher.

    Args:
        seconds: (F,) from the first frame of the video, rising.
        p_values: (F,) of the frames, among photographs.
    """
    figure, axes = _chart(2.8)
    axes.plot(seconds, p_values, "o-", color=_CHART_MARK, markersize=4, linewidth=1.2)
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(_P_PLACES, [f"{p:g}" for p in _P_PLACES])
    axes.set_ylim(1.3, min([*p_values, _RAREST]) / 1.5)
    axes.grid(axis="y", color=_CHART_BARS, linewidth=0.6)
    axes.set_ylabel("p among photographs,\nnot among videos", color=_CHART_INK, fontsize=10)
    axes.set_xlabel("Seconds (higher: rarer among photographs)", color=_CHART_INK, fontsize=11)
    return figure


def describe_time(seconds: Sequence[float], p_values: Sequence[float]) -> str:
    """What `time_plot` shows, in one line."""
    if not p_values:
        return "No frame could be analysed."
    return (
        f"p-values of {len(p_values):,} frames over {max(seconds):.3g} seconds, each among photographs and not among "
        f"frames of videos: from {min(p_values):.2g} to {max(p_values):.2g}, the middle one "
        f"{float(np.median(p_values)):.2g}."
    )
