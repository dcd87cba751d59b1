"""Tippett and PAV plots of log10 likelihood ratios of real (R,) and generated (G,) pictures, for `validate.py`."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression


def tippett(real: np.ndarray, generated: np.ndarray) -> Figure:
    """Share of the pictures of each class whose ratio is at least as high."""
    figure = Figure((5, 3.6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for values, name, colour in ((real, "real pictures", "#1f6feb"), (generated, "generated pictures", "#b3261e")):
        ordered = np.sort(values)
        axes.step(ordered, 1 - np.arange(len(ordered)) / len(ordered), where="post", label=name, color=colour)
    axes.axvline(0, color="#808080", linewidth=1)
    axes.set(xlabel="log10 of the likelihood ratio", ylabel="share at least as high", ylim=(0, 1))
    axes.legend()
    return figure


def pav(real: np.ndarray, generated: np.ndarray) -> Figure:
    """The ratio that was given against the one that isotonic regression of these pictures would give."""
    values = np.concatenate([real, generated])
    labels = np.repeat([0.0, 1.0], [len(real), len(generated)])
    weights = np.repeat([1 / len(real), 1 / len(generated)], [len(real), len(generated)])
    order = np.argsort(values, kind="stable")
    share = isotonic_regression(labels[order], weights=weights[order]).x
    inside = (share > 0) & (share < 1)
    figure = Figure((4.2, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(values[order][inside], np.log10(share[inside] / (1 - share[inside])), "o", markersize=3)
    axes.axline((0, 0), slope=1, color="#808080", linewidth=1)
    axes.set(xlabel="log10 of the likelihood ratio", ylabel="after PAV on these pictures")
    return figure
