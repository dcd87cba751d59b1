"""A picture among pictures that someone trusts: scores that count all of them alike, and which of them stand out.

Let n trusted pictures and the one in question have general scores s_i, and P signatures each. K_ij is the mean kernel
between the signatures of pictures i and j, and r_i that between picture i and the real bank. Mixed into the real bank
are the signatures of all pictures but i itself, with the share m of its weight:

    r'(v) = (1 - m) r(v) + m / n sum_{j != i} mean kernel of v and picture j
    s'_i  = s_i - 2 m (1/n sum_{j != i} K_ij - r_i)                             m = 0: the general score

The picture in question is among the others of each trusted one, as these are among its own. So the n + 1 scores are
made alike, and p = (1 + #{i <= n: s'_i >= s'}) / (n + 1) is exact where the pictures are exchangeable ("full" conformal
prediction, Vovk et al., 2005). The bank's own term is left out: it is nearly the same for all. Which trusted pictures
stand out is told by the modified z-score of Iglewicz & Hoaglin (1993), which a minority of them can't spoil.

The score of few patches varies more than that of many. So trusted scores are read at the number of patches n of the
picture in question: c + (s'_i - c) (n_i / n)^g, where the general null's spread falls as n^-g around its centre c.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mdmf_core.method import mmd

OUTLIER = 3.5  # modified z-score, as its authors recommend
TO_DEVIATION = 0.6745  # median absolute deviation of a normal distribution, in standard deviations


class Sizes(NamedTuple):
    """How scores of real pictures spread by their number of patches: as n ** -`power` around `centre`."""

    centre: float
    power: float


def sizes(nulls: Mapping[int, np.ndarray]) -> Sizes:
    """`Sizes` of the general null, k -> scores of k x k patches: median of medians, slope of log deviations (>= 0)."""
    spreads = {k: float(np.std(null)) for k, null in nulls.items()}
    known = [k for k, spread in spreads.items() if spread > 0]
    if len(known) < 2:
        return Sizes(0.0, 0.0)
    slope = np.polyfit(np.log(np.square(known, dtype=float)), np.log([spreads[k] for k in known]), 1)[0]
    return Sizes(float(np.median([np.median(null) for null in nulls.values()])), max(0.0, -float(slope)))


def evened(scores: np.ndarray, n_patches: np.ndarray, to: float, sizes: Sizes) -> np.ndarray:
    """Scores (n,) of pictures of `n_patches` (n,) patches, as rare as they are, at `to` patches."""
    factor = (n_patches / to) ** sizes.power
    return scores * factor + sizes.centre * (1 - factor)


def spread(count: int, most: int) -> np.ndarray:
    """`most` indices of patches (P,), evenly spread over `count`; of fewer patches some come several times."""
    return ((np.arange(most) + 0.5) * count / most).astype(np.int64)


def between(own: Tensor, others: Tensor, kernel: mmd.Kernel) -> Tensor:
    """Mean kernel (n,) between one picture's signatures (P, K) and those of each of n others (n, P, K)."""
    flat = mmd.Points(others.reshape(-1, others.shape[-1]))
    return mmd.mean_kernel(flat, mmd.Points(own), mmd.uniform(len(own), own), kernel).reshape(len(others), -1).mean(1)


def likeness(signatures: Tensor, kernel: mmd.Kernel) -> Tensor:
    """Sums over the others of the mean kernel between pictures, (n,), of signatures (n, P, K)."""
    n, patches, _ = signatures.shape
    flat = mmd.Points(signatures.reshape(n * patches, -1))
    ones = torch.full((n * patches,), 1 / patches, dtype=signatures.dtype)
    all_of_them = mmd.mean_kernel(flat, flat, ones, kernel).reshape(n, patches).mean(1)
    own = [mmd.gram(mmd.Points(z), mmd.Points(z), kernel).mean() for z in signatures]
    return all_of_them - torch.stack(own)


def to_bank(signatures: Tensor, real: mmd.Bank, kernel: mmd.Kernel) -> Tensor:
    """r_i (n,): mean kernel between each picture's signatures (n, P, K) and the real bank."""
    n, patches, _ = signatures.shape
    points = mmd.Points(signatures.reshape(n * patches, -1))
    return mmd.mean_kernel(points, real.points, real.weights, kernel).reshape(n, patches).mean(1)


def mixed(scores: np.ndarray, sums: np.ndarray, real: np.ndarray, share: float, others: int) -> np.ndarray:
    """s' (n,) of general scores, sums over `others` of the mean kernel, and r_i, (n,) each."""
    return scores - 2 * share * (sums / others - real) if share else scores


def stands_out(scores: np.ndarray) -> np.ndarray:
    """Which scores (n,) lie far above the others: modified z-score over 3.5; none where half of them are equal."""
    middle = np.median(scores)
    deviation = np.median(np.abs(scores - middle))
    return TO_DEVIATION * (scores - middle) > OUTLIER * deviation if deviation else np.zeros(len(scores), bool)
