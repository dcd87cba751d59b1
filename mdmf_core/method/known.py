"""Whether a picture is of a kind that the detector knows at all: a two-sample test against both banks together.

Source: the MMD two-sample test of Gretton et al. (JMLR 2012). The kernel compares signatures only and is narrower than
the one that decides, for that one calls almost everything alike. Its null are pictures, real and generated, of sources
that training did not see. Each source counts once, for pictures of one source are alike: p is the chance that a picture
of another source is as far from the banks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from mdmf_core.method import mmd
from mdmf_core.method.calibration import Null
from mdmf_core.sentence import said

NARROW = 0.35  # bandwidth over the median distance between points of the banks; anything from 0.1 to 0.5 does
STRANGE = 0.02  # p-value at which a picture can't be judged
FEWEST = 49  # sources that make a null, below which no p-value reaches `STRANGE`
MOST_POINTS = 300  # of the banks, that the median distance is taken of

STRANGER = said(
    "refused.stranger",
    "Its patches are far from all that this detector knows, from real and from generated pictures alike.",
)


class Known(NamedTuple):
    """The test's bandwidth, and its nulls: kind of detail -> {k -> statistics of k x k blocks}."""

    width: float
    nulls: dict[str, dict[int, Null]]


def union(real: mmd.Bank, generated: mmd.Bank | None) -> tuple[mmd.Points, torch.Tensor]:
    """Signatures (M, K) of both banks and their weights (M,); each bank weighs one half."""
    banks = [bank for bank in (real, generated) if bank is not None]
    z = torch.cat([bank.points.z for bank in banks]).double()
    return mmd.Points(z), torch.cat([bank.weights.double() / len(banks) for bank in banks])


def width(real: mmd.Bank, generated: mmd.Bank | None) -> float:
    """The bandwidth of the test: `NARROW` times the median distance between points of the banks."""
    points, _ = union(real, generated)
    some = points.z[:: -(-points.count // MOST_POINTS)]
    return NARROW * float(torch.pdist(some).median())


def statistic(points: mmd.Points, banks: tuple[mmd.Points, torch.Tensor], width: float) -> float:
    """MMD2_u of at least two patches to both banks together, less the banks' own term, which all pictures share."""
    x, kernel = mmd.Points(points.z.double()), mmd.Kernel(width)
    own = mmd.mean_of_others(x, kernel).mean()
    return float(own - 2 * mmd.mean_kernel(x, *banks, kernel).mean())


def is_stranger(value: float, null: Null) -> bool:
    """Whether a picture is further from both banks than its null allows."""
    return null.p_value(value) <= STRANGE
