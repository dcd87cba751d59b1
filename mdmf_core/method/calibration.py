"""What a score means: p-values against real calibration pictures, and which patches stand out among many.

Sources: conformal p-values, Vovk et al. (2005); for pictures of a source that was never seen, hierarchical conformal
prediction, Lee, Barber & Willett (arXiv 2306.06342); Benjamini & Hochberg (1995).

Pictures of one source are alike, so that a thousand of one camera say little about the next. Where calibration pictures
come from at least `FEWEST_SOURCES` sources, each source therefore counts once, and so does the source that the picture
in question comes from: with G sources no p-value is below 1 / (G + 1).

How scores are compared with equal numbers of patches: each calibration image's grid is cut down to its central k x k
block, for k in `BLOCKS`; a picture with n patches uses the largest k with k * k <= n. A blurred or noisy picture is
compared with calibration pictures that were blurred or got noise, where the checkpoint has such (`state`; conformal
prediction calls it Mondrian).

When a picture may have outlines: neighbouring patches depend on each other, and pictures of one source are alike, so
the false discovery rate promises little about a whole picture. Patches are therefore picked at the lower rate at which
at most `OUTLINED` of untouched pictures of a source that was never seen have any (hierarchical conformal prediction,
Lee, Barber & Willett, 2023: each source weighs as much as the others; the least rate of a picture is Simes', 1986).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from mdmf_core.method import mmd

STATISTICS = ("mmd", "relative")
MOST_PATCH_NULLS = 20_000
BLOCKS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 24, 28, 32, 36, 40)  # sides of blocks of patches
ENOUGH = 150  # pictures that make a null of their own
FEWEST_SOURCES = 19  # from which on sources count and not pictures; with fewer p would never reach 0.05
SCALE_QUANTILES = (0.8, 0.999)
ROUNDING = 1e-9  # of sums of weights
FALSE_DISCOVERIES = 0.1  # the share of outlined patches that is expected by chance
OUTLINED = 0.05  # share of untouched pictures that may have an outline
FEWEST_BLOCK = 3  # side of the smallest block that outlines are calibrated for

Judged = tuple[str, np.ndarray, int, int]  # a calibration picture: source, p-values (N,) of its patches, rows, columns


def shares(count: int, sources: Sequence[str] | None) -> np.ndarray:
    """The share (n,) that each of `count` pictures has in its source; 1 each without sources."""
    if sources is None:
        return np.ones(count)
    _, which, counts = np.unique(np.asarray(sources), return_inverse=True, return_counts=True)
    return 1 / counts[which]


@dataclass(frozen=True, eq=False)
class Null:
    """Scores of real pictures, and how much each counts.

    Args:
        scores: (n,), sorted.
        weights: (n,), the share that each picture has in its source; 1 where every picture counts as a source.
    """

    scores: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, sources: Sequence[str] | None = None) -> Null:
        """Of scores (n,) in any order, with the source of each; without, every picture counts as a source."""
        order = np.argsort(scores, kind="stable")
        return cls(np.asarray(scores, np.float64)[order], shares(len(scores), sources)[order])

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def sources(self) -> int:
        """G, how many sources the pictures come from; n where every picture counts as one."""
        return round(float(self.weights.sum()))

    def p_value(self, score: float) -> float:
        """(1 + sum of the weights of scores >= `score`) / (G + 1)."""
        return (1 + float(self.weights[np.searchsorted(self.scores, score, side="left") :].sum())) / (self.sources + 1)

    def threshold(self, alpha: float) -> float:
        """The null score that a score must exceed for p <= alpha; infinite where there are too few sources for that."""
        allowed = alpha * (self.sources + 1) - 1 + ROUNDING
        above = np.append(np.cumsum(self.weights[::-1])[::-1][1:], 0.0)  # (n,) weights of what lies above each
        fitting = np.flatnonzero(above <= allowed)
        return float(self.scores[fitting[0]]) if allowed >= 0 else float("inf")


class Calibration(NamedTuple):
    """What real pictures with one kind of detail score.

    `nulls` is statistic -> {k -> scores} of k x k blocks of calibration images, `patch_nulls` statistic -> sorted
    evidence N * c_i of their patches.
    """

    nulls: dict[str, dict[int, Null]]
    patch_nulls: dict[str, np.ndarray]


def ends(null: np.ndarray) -> tuple[float, float]:
    """Ends of a colour scale: quantiles of values of real patches."""
    low, high = np.quantile(null, SCALE_QUANTILES)
    return float(low), float(high)


def p_value(score: float | np.ndarray, null: np.ndarray) -> np.ndarray:
    """(1 + number of null values >= score) / (N + 1), of the shape of `score`; `null` is sorted."""
    above = len(null) - np.searchsorted(null, score, side="left")
    return (1 + above) / (len(null) + 1)


def flag(p_values: np.ndarray, rate: float = FALSE_DISCOVERIES) -> np.ndarray:
    """Which p-values (N,) Benjamini-Hochberg rejects at false discovery rate `rate`."""
    from scipy.stats import false_discovery_control  # here: a quarter of a command's start, and few commands flag

    return false_discovery_control(p_values) <= rate


def least_rate(p_values: np.ndarray) -> float:
    """The least rate at which `flag` picks any of p-values (N,): min over i of N p_(i) / i."""
    return float((np.sort(p_values) * len(p_values) / np.arange(1, len(p_values) + 1)).min())


def outline_rates(pictures: Iterable[Judged]) -> dict[int, float]:
    """The rate for `flag`, by block size, from untouched pictures; of larger ones the central block counts.

    Block sizes as in `calibrate`; those that too few sources have for a promise (`rarest`) are left out.
    """
    pictures = [picture for picture in pictures if min(picture[2:]) >= FEWEST_BLOCK]
    rates = {}
    for k in sizes_of([min(picture[2:]) for picture in pictures], FEWEST_BLOCK):
        found: dict[str, list[float]] = {}
        for source, p_values, rows, cols in pictures:
            if min(rows, cols) >= k:
                found.setdefault(source, []).append(least_rate(p_values[central(rows, cols, k)]))
        rate = rarest(list(found.values()))
        if rate is not None:
            rates[k] = min(rate, FALSE_DISCOVERIES)
    return rates


def rarest(sources: Sequence[Sequence[float]], share: float = OUTLINED) -> float | None:
    """The greatest value that a picture of a source never seen is at or below with a probability of at most `share`.

    (sum over S sources of the share of their values <= t, + 1) / (S + 1) <= share, where sources are exchangeable.

    Args:
        sources: the values of each source's pictures.
        share: the probability.

    Returns:
        One of the values or 0; None where 1 / (S + 1) is above `share`.
    """
    if 1 / (len(sources) + 1) > share + ROUNDING:
        return None
    values = np.concatenate([np.asarray(own, float) for own in sources])
    null = Null.of(-values, np.repeat(np.arange(len(sources)), [len(own) for own in sources]))
    return max((float(value) for value in values if null.p_value(-value) <= share + ROUNDING), default=0.0)


def fitting(blocks: Mapping[int, Any], n_patches: int) -> Any:
    """What belongs to the largest k x k block of at most `n_patches` patches, or to the smallest there is."""
    own = [k for k in blocks if k * k <= n_patches]
    return blocks[max(own) if own else min(blocks)]


def central(rows: int, cols: int, k: int) -> np.ndarray:
    """Indices (k * k,) of the central block of a grid."""
    top, left = (rows - k) // 2, (cols - k) // 2
    return np.arange(rows * cols).reshape(rows, cols)[top : top + k, left : left + k].reshape(-1)


def sizes_of(sides: Sequence[int], least: int = min(BLOCKS)) -> list[int]:
    """Block sizes that nine in ten of the pictures have, by their shorter sides, or `ENOUGH` of them."""
    own = np.array(sides)
    return [k for k in BLOCKS if k >= least and len(own) and ((own >= k).mean() >= 0.9 or (own >= k).sum() >= ENOUGH)]


def evidence_of(x: mmd.Points, statistic: str, real: mmd.Bank, generated: mmd.Bank | None, kernel: mmd.Kernel):
    """c_i (N,) and witness (N,) of one picture's patches under a statistic.

    Raises:
        ValueError: the relative statistic without a bank of generated patches.
    """
    if statistic == "mmd":
        return mmd.evidence(x, real, kernel), mmd.witness(x, real, kernel)
    if generated is None:
        raise ValueError("The relative statistic needs a bank of generated patches.")
    return mmd.relative_evidence(x, real, generated, kernel), mmd.relative_witness(x, real, generated, kernel)


@dataclass(frozen=True)
class Signed:
    """One picture's patches as points, with the shape of its grid, and the source that it counts for ("": itself)."""

    points: mmd.Points
    rows: int
    cols: int
    source: str = ""

    def block(self, k: int) -> mmd.Points:
        """The central k x k block of patches."""
        return self.points[torch.from_numpy(central(self.rows, self.cols, k))]


def calibrate(
    pictures: Iterable[Signed], real: mmd.Bank, generated: mmd.Bank | None, kernel: mmd.Kernel
) -> Calibration:
    """Null scores by block size and null evidence of patches, for each statistic that the banks allow.

    A block size is kept while at least nine in ten of the pictures have it, or `ENOUGH` of them: larger blocks are
    those of larger pictures, as the pictures that they are for. Where sources count, at least `FEWEST_SOURCES` of them
    must have it, too.

    Raises:
        ValueError: no picture, or one smaller than 2 x 2 patches.
    """
    pictures = list(pictures)
    if not pictures or min(min(picture.rows, picture.cols) for picture in pictures) < 2:
        raise ValueError("Calibration needs pictures of at least 2 x 2 patches each.")
    sides = np.array([min(picture.rows, picture.cols) for picture in pictures])
    names = sources_of(pictures, FEWEST_SOURCES)
    sizes = [k for k in sizes_of(sides) if names is None or len(set(names[sides >= k])) >= FEWEST_SOURCES]
    nulls: dict[str, dict[int, Null]] = {}
    patch_nulls: dict[str, np.ndarray] = {}
    for statistic in STATISTICS if generated is not None else STATISTICS[:1]:
        nulls[statistic] = {}
        for k in sizes:
            scores = [
                float(evidence_of(picture.block(k), statistic, real, generated, kernel)[0].sum())
                for picture in tqdm(pictures, desc=f"calibrate {statistic} {k} x {k}")
                if min(picture.rows, picture.cols) >= k
            ]
            nulls[statistic][k] = Null.of(np.array(scores), None if names is None else names[sides >= k])
        values = [
            picture.points.count * evidence_of(picture.points, statistic, real, generated, kernel)[0].numpy()
            for picture in pictures
        ]
        values = np.sort(np.concatenate(values))
        if len(values) > MOST_PATCH_NULLS:
            values = values[np.linspace(0, len(values) - 1, MOST_PATCH_NULLS).round().astype(int)]
        patch_nulls[statistic] = values
    return Calibration(nulls, patch_nulls)


def sources_of(pictures: Sequence[Signed], fewest: int) -> np.ndarray | None:
    """The source of each picture, (n,); None where one has none or they are of fewer than `fewest` sources."""
    names = [picture.source for picture in pictures]
    return np.asarray(names) if all(names) and len(set(names)) >= fewest else None
