"""Fits likelihood ratios to scores of pictures that training did not see.

Sources: isotonic regression by pool adjacent violators, Zadrozny & Elkan (2002), with one misleading picture added at
each end; empirical upper and lower bounds (ELUB), Vergeer et al. (Science & Justice 56, 2016). Both are what the
Netherlands Forensic Institute's package `lir` computes, and the tests compare them with it. Against a logistic curve it
had the lower Cllr on held-out sources, and the bounds let it say more. The bounds ask what one more misleading source
would cost, where there are enough sources, and not one more picture: pictures of one generator are alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import isotonic_regression

from mdmf_core.checkpoint.store import Model
from mdmf_core.method import known, mmd
from mdmf_core.method.calibration import BLOCKS, ROUNDING, Null, Signed, evidence_of, shares, sources_of
from mdmf_core.method.strength import Table

FEWEST = 50  # pictures of each kind that a table is fitted to
FEWEST_SOURCES = 12  # of each kind from which on sources carry the bounds; tables of larger blocks need as many
STEP = 0.01  # of the thresholds, in log10, that bounds are looked for at


def fit(real: np.ndarray, generated: np.ndarray, weights: tuple[np.ndarray, np.ndarray] | None = None) -> Table:
    """The table for scores of real (R,) and generated (G,) pictures; `weights` are those of `bounds`.

    Raises:
        ValueError: none of one kind.
    """
    if not len(real) or not len(generated):
        raise ValueError("A likelihood ratio needs scores of both real and generated pictures.")
    scores, ratios = isotonic(real, generated)
    of_real, of_generated = (np.interp(own, scores, ratios) for own in (real, generated))
    low, high = bounds(of_real, of_generated, weights)
    real, generated = np.sort(real), np.sort(generated)
    ratios = np.clip(ratios, low, high)
    inner = np.r_[True, np.diff(ratios) != 0]
    ends = inner | np.r_[inner[1:], True]
    return Table(scores[ends], ratios[ends], real, generated)


def isotonic(real: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different scores, sorted, and log10 of the likelihood ratio at each, which never falls.

    Both kinds weigh the same. One more real picture above all scores and one more generated picture below them keep
    the ratios finite.
    """
    scores = np.unique(np.concatenate([real, generated]))
    place = [np.searchsorted(scores, own) + 1 for own in (real, generated)]
    weights = [np.bincount(own, minlength=len(scores) + 2) / (len(own) + 1) for own in place]
    weights[0][-1], weights[1][0] = 1 / (len(real) + 1), 1 / (len(generated) + 1)
    total = weights[0] + weights[1]
    share = isotonic_regression(weights[1] / total, weights=total).x[1:-1]
    return scores, np.log10(share) - np.log10(1 - share)


def bounds(
    real: np.ndarray, generated: np.ndarray, weights: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[float, float]:
    """Lowest and highest log10 of a likelihood ratio that the pictures can carry.

    A ratio is carried where deciding by it costs no more than deciding without any, also if one more source of the
    wrong kind had that ratio in all its pictures.

    Args:
        real, generated: log10 of the likelihood ratios of the pictures of each kind, (R,) and (G,).
        weights: the share of each picture in its source, (R,) and (G,); None: every picture counts as a source.
    """
    of_real, of_generated = weights or (np.ones(len(real)), np.ones(len(generated)))
    total_real, total_generated = of_real.sum() + 1, of_generated.sum() + 1
    low = max(min(real.min(), generated.min()), -np.log10(total_generated))
    high = min(max(real.max(), generated.max()), np.log10(total_real))
    first, last = min(0, int(low // STEP)), max(0, int(high // STEP) + 1)
    at = np.arange(first, last + 1) * STEP
    missed = (1 + of_generated @ (generated[:, None] <= at)) / total_generated
    alarms = (1 + of_real @ (real[:, None] > at)) / total_real
    gained = np.minimum(1.0, 10**at) / (missed + 10**at * alarms)
    below, above = at[(at <= 0) & (gained < 1 - ROUNDING)], at[(at >= 0) & (gained < 1 - ROUNDING)]
    lowest = max(below + STEP, default=at[0])
    highest = min(above - STEP, default=at[-1])
    return min(float(lowest), 0.0), max(float(highest), 0.0)


def tables(
    real: Sequence[Signed],
    generated: Sequence[Signed],
    banks: tuple[mmd.Bank, mmd.Bank | None],
    model: Model,
) -> dict[int, Table]:
    """k -> the table for scores of k x k blocks, for each k that `FEWEST` pictures of both kinds have.

    Where sources carry the bounds, `FEWEST_SOURCES` of both kinds must have it, too.

    Args:
        real, generated: pictures that training did not see.
        banks: the real bank, and the generated one or None.
        model: the checkpoint, whose statistic gives the scores.
    """
    found, by_source = {}, all(sources_of(own, FEWEST_SOURCES) is not None for own in (real, generated))
    for k in BLOCKS:
        fitting = [[each for each in own if min(each.rows, each.cols) >= k] for own in (real, generated)]
        names = [sources_of(own, FEWEST_SOURCES) if by_source else None for own in fitting]
        if min(map(len, fitting)) < FEWEST or (by_source and any(own is None for own in names)):
            break
        scores = [np.array([_score(each.block(k), banks, model) for each in own]) for own in fitting]
        weights = tuple(shares(len(own), of) for own, of in zip(scores, names, strict=True))
        found[k] = fit(*scores, weights)
    return found


def known_nulls(pictures: Sequence[Signed], banks: tuple[mmd.Points, torch.Tensor], width: float) -> dict[int, Null]:
    """k -> statistics of the test for known kinds, for each k that pictures of `known.FEWEST` sources have.

    A picture without a source counts as one.
    """
    found = {}
    for k in BLOCKS:
        fitting = [each for each in pictures if min(each.rows, each.cols) >= k]
        names = [each.source or f"{index}" for index, each in enumerate(fitting)]
        if len(set(names)) < known.FEWEST:
            break
        found[k] = Null.of(np.array([known.statistic(each.block(k), banks, width) for each in fitting]), names)
    return found


def _score(points: mmd.Points, banks: tuple[mmd.Bank, mmd.Bank | None], model: Model) -> float:
    return float(evidence_of(points, model.statistic, *banks, model.kernel)[0].sum())
