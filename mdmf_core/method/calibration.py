"""What a score means: p-values against real calibration pictures, and which patches stand out among many.

Sources: conformal p-values, Vovk et al. (2005); Benjamini & Hochberg (1995).

How scores are compared with equal numbers of patches: each calibration image's grid is cut down to its central k x k
block, for k in `BLOCKS`; a picture with n patches uses the largest k with k * k <= n. A blurred or noisy picture is
compared with calibration pictures that were blurred or got noise, where the checkpoint has such (`state`; conformal
prediction calls it Mondrian).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import false_discovery_control
from tqdm import tqdm

from mdmf_core.method import mmd

STATISTICS = ("mmd", "relative")
MOST_PATCH_NULLS = 20_000
BLOCKS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 24, 28, 32, 36, 40)  # sides of blocks of patches
ENOUGH = 150  # pictures that make a null of their own
SCALE_QUANTILES = (0.8, 0.999)
FALSE_DISCOVERIES = 0.1  # the share of outlined patches that is expected by chance


class Calibration(NamedTuple):
    """What real pictures with one kind of detail score.

    `nulls` is statistic -> {k -> sorted scores (n_calibration,)} of k x k blocks of calibration images, `patch_nulls`
    statistic -> sorted evidence N * c_i of their patches.
    """

    nulls: dict[str, dict[int, np.ndarray]]
    patch_nulls: dict[str, np.ndarray]


def ends(null: np.ndarray) -> tuple[float, float]:
    """Ends of a colour scale: quantiles of values of real patches."""
    low, high = np.quantile(null, SCALE_QUANTILES)
    return float(low), float(high)


def p_value(score: float | np.ndarray, null: np.ndarray) -> np.ndarray:
    """(1 + number of null values >= score) / (N + 1), of the shape of `score`; `null` is sorted."""
    above = len(null) - np.searchsorted(null, score, side="left")
    return (1 + above) / (len(null) + 1)


def threshold(null: np.ndarray, alpha: float) -> float:
    """The null value that a score must exceed for p <= alpha; infinite where N is too small for that."""
    allowed = int(np.floor(alpha * (len(null) + 1) + 1e-9)) - 1
    return float(null[len(null) - 1 - allowed]) if allowed >= 0 else float("inf")


def flag(p_values: np.ndarray, rate: float = FALSE_DISCOVERIES) -> np.ndarray:
    """Which p-values (N,) Benjamini-Hochberg rejects at false discovery rate `rate`."""
    return false_discovery_control(p_values) <= rate


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
    """One picture's patches as points, with the shape of its grid."""

    points: mmd.Points
    rows: int
    cols: int

    def block(self, k: int) -> mmd.Points:
        """The central k x k block of patches."""
        top, left = (self.rows - k) // 2, (self.cols - k) // 2
        index = torch.arange(self.rows * self.cols).reshape(self.rows, self.cols)
        return self.points[index[top : top + k, left : left + k].reshape(-1)]


def calibrate(
    pictures: Iterable[Signed], real: mmd.Bank, generated: mmd.Bank | None, kernel: mmd.Kernel
) -> Calibration:
    """Null scores by block size and null evidence of patches, for each statistic that the banks allow.

    A block size is kept while at least nine in ten of the pictures have it, or `ENOUGH` of them: larger blocks are
    those of larger pictures, as the pictures that they are for.

    Raises:
        ValueError: no picture, or one smaller than 2 x 2 patches.
    """
    pictures = list(pictures)
    if not pictures or min(min(picture.rows, picture.cols) for picture in pictures) < 2:
        raise ValueError("Calibration needs pictures of at least 2 x 2 patches each.")
    sides = np.array([min(picture.rows, picture.cols) for picture in pictures])
    sizes = [k for k in BLOCKS if (sides >= k).mean() >= 0.9 or (sides >= k).sum() >= ENOUGH]
    nulls: dict[str, dict[int, np.ndarray]] = {}
    patch_nulls: dict[str, np.ndarray] = {}
    for statistic in STATISTICS if generated is not None else STATISTICS[:1]:
        nulls[statistic] = {}
        for k in sizes:
            scores = [
                float(evidence_of(picture.block(k), statistic, real, generated, kernel)[0].sum())
                for picture in tqdm(pictures, desc=f"calibrate {statistic} {k} x {k}")
                if min(picture.rows, picture.cols) >= k
            ]
            nulls[statistic][k] = np.sort(np.array(scores))
        values = [
            picture.points.count * evidence_of(picture.points, statistic, real, generated, kernel)[0].numpy()
            for picture in pictures
        ]
        values = np.sort(np.concatenate(values))
        if len(values) > MOST_PATCH_NULLS:
            values = values[np.linspace(0, len(values) - 1, MOST_PATCH_NULLS).round().astype(int)]
        patch_nulls[statistic] = values
    return Calibration(nulls, patch_nulls)
