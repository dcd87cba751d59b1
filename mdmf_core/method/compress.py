"""A bank of few weighted points in place of many: herding picks them, least squares weighs them."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor
from tqdm import tqdm

from mdmf_core.method import mmd

SUM_TO_ONE = 1e3  # weight of the row that makes non-negative least squares keep the sum


def compress(
    full: mmd.Bank, size: int, kernel: mmd.Kernel, candidates: int = 8192, seed: int = 0
) -> tuple[mmd.Bank, np.ndarray]:
    """A bank of at most `size` weighted points whose mean embedding is close to that of `full`.

    Kernel herding (Chen, Welling & Smola, 2010) picks points one by one where the mean embedding is
    worst matched; non-negative least squares on the Gram matrix then sets their weights.

    Args:
        full: M points.
        size: number of points wanted.
        kernel: kernel parameters.
        candidates: points to choose from, a seeded sample of the bank.
        seed: of that sample.

    Returns:
        The smaller bank, and which points of `full` it keeps, (M',).
    """
    if full.points.count <= size:
        return full, np.arange(full.points.count)
    chosen_from = np.sort(np.random.default_rng(seed).permutation(full.points.count)[:candidates])
    pool = full.points[torch.from_numpy(chosen_from)]
    rows = np.sort(_herd(full, pool, size, kernel))
    points = pool[torch.from_numpy(rows)]
    weights = _weigh(full, points, kernel)
    keep = torch.from_numpy(np.flatnonzero(weights > 0))
    kept = torch.from_numpy(weights)[keep].to(full.weights)
    return mmd.bank(points[keep], kernel, kept / kept.sum()), chosen_from[rows[keep.numpy()]]


def _herd(full: mmd.Bank, pool: mmd.Points, size: int, kernel: mmd.Kernel) -> list[int]:
    """Which points of the pool are picked, in their order."""
    target = mmd.mean_kernel(pool, *full[:2], kernel)
    picked: list[int] = []
    total: Tensor = torch.zeros_like(target)
    for count in tqdm(range(size), desc="compress", leave=False):
        gain = target - total / (count + 1)
        gain[picked] = -torch.inf
        best = int(gain.argmax())
        picked.append(best)
        total += mmd.gram(pool, pool[best : best + 1], kernel)[:, 0]
    return picked


def _weigh(full: mmd.Bank, points: mmd.Points, kernel: mmd.Kernel) -> np.ndarray:
    """The weights of points, none below 0, that match the mean embedding of `full` best."""
    values = mmd.gram(points, points, kernel).double()
    jitter = 1e-8 * torch.eye(points.count, dtype=torch.float64)
    root = torch.linalg.cholesky(values + jitter)
    wanted = mmd.mean_kernel(points, *full[:2], kernel).double()
    target = torch.linalg.solve_triangular(root, wanted[:, None], upper=False)[:, 0].numpy()
    sums = np.full((1, points.count), SUM_TO_ONE)
    return nnls(np.vstack([root.T.numpy(), sums]), np.append(target, SUM_TO_ONE))[0]
