"""The deep kernel, the Maximum Mean Discrepancy, its witness function and the evidence of each patch.

Pure functions. Sources: the paper's kernel and test-power objective are those of Liu et al., "Learning
Deep Kernels for Non-Parametric Two-Sample Tests" (ICML 2020); MMD, its estimators and the witness are
those of Gretton et al. (JMLR 2012); the relative statistic follows Bounliphone et al. (ICLR 2016) and
Kuebler et al. (AISTATS 2022).

Two statistics, each of which is the sum of one number per patch, the evidence c_i:

    mmd       MMD2_u(X, R)                   c_i = 1/n [ 1/(n-1) sum_{j!=i} k(x_i,x_j) - 2 r(x_i) + C_R ]
    relative  MMD2_u(X, R) - MMD2_u(X, G)    c_i = 1/n [ 2 g(x_i) - 2 r(x_i) + C_R - C_G ]

with r(v) = sum_j w_j k(v, r_j) over the bank R of real patches, g likewise over the bank G of generated
ones, and C_R = sum_jj' w_j w_j' k(r_j, r_j').
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

CHUNK_VALUES = 2**17  # kernel values held at once: 1 MiB in float64, which stays in the processor's cache


class Points(NamedTuple):
    """Patches as the kernel sees them: signatures z (N, K) and, for the full kernel, embeddings e (N, D)."""

    z: Tensor
    e: Tensor | None = None

    def __getitem__(self, rows) -> Points:  # type: ignore[override]
        return Points(self.z[rows], None if self.e is None else self.e[rows])

    @property
    def count(self) -> int:
        return self.z.shape[0]


class Kernel(NamedTuple):
    """Kernel parameters. `s_e` and `eps` are None for the plain kernel on signatures.

    k = [(1 - eps) exp(-|z - z'|^2 / s_z^2) + eps] exp(-|e - e'|^2 / s_e^2), or exp(-|z - z'|^2 / s_z^2).
    """

    s_z: Tensor | float
    s_e: Tensor | float | None = None
    eps: Tensor | float | None = None


class Bank(NamedTuple):
    """Reference points (M of them), their weights (M,) which sum to 1, and C = sum_jj' w_j w_j' k(y_j, y_j')."""

    points: Points
    weights: Tensor
    self_term: Tensor


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """|a_i - b_j|^2, (N, M), of a (N, K) and b (M, K); differentiable, never below 0."""
    return (a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T).clamp_min(0)


def gram(x: Points, y: Points, kernel: Kernel) -> Tensor:
    """Kernel values (N, M) between x (N points) and y (M points).

    Raises:
        ValueError: the kernel has a factor on embeddings and the points carry none.
    """
    values = torch.exp(-squared_distances(x.z, y.z) / kernel.s_z**2)
    if kernel.s_e is None:
        return values
    if x.e is None or y.e is None:
        raise ValueError("This kernel compares embeddings too, and the points carry signatures only.")
    outer = torch.exp(-squared_distances(x.e, y.e) / kernel.s_e**2)
    eps = 0.0 if kernel.eps is None else kernel.eps
    return ((1 - eps) * values + eps) * outer


def _chunks(x: Points, count: int) -> Iterator[slice]:
    return (slice(start, start + count) for start in range(0, x.count, count))


def _rows(x: Points) -> int:
    """How many points of x to take at once; not many, so that a block has columns enough for fast products."""
    return max(1, min(x.count, math.isqrt(CHUNK_VALUES)))


def mean_kernel(x: Points, y: Points, weights: Tensor, kernel: Kernel) -> Tensor:
    """sum_j w_j k(x_i, y_j), (N,), for x (N points), y (M points), weights (M,). Memory is bounded.

    It goes block by block over both: a block that left the cache would take several times as long.
    """
    columns = max(1, CHUNK_VALUES // _rows(x))
    parts = []
    for mine in _chunks(x, _rows(x)):
        part = x[mine]
        parts.append(sum(gram(part, y[theirs], kernel) @ weights[theirs] for theirs in _chunks(y, columns)))
    return torch.cat(parts)


def uniform(count: int, like: Tensor) -> Tensor:
    """Weights 1/M, (M,), with the type and device of `like`."""
    return torch.full((count,), 1 / count, dtype=like.dtype, device=like.device)


def bank(points: Points, kernel: Kernel, weights: Tensor | None = None) -> Bank:
    """Reference points with their own term C, computed once. Weights default to 1/M."""
    weights = uniform(points.count, points.z) if weights is None else weights
    return Bank(points, weights, weights @ mean_kernel(points, points, weights, kernel))


def mean_of_others(x: Points, kernel: Kernel) -> Tensor:
    """1/(n-1) sum_{j != i} k(x_i, x_j), (N,).

    Raises:
        ValueError: fewer than two patches.
    """
    if x.count < 2:
        raise ValueError("The unbiased MMD needs at least two patches.")
    own = torch.cat([gram(x[mine], x[mine], kernel).diagonal() for mine in _chunks(x, _rows(x))])
    return (x.count * mean_kernel(x, x, uniform(x.count, x.z), kernel) - own) / (x.count - 1)


def mmd2_biased(x: Points, reference: Bank, kernel: Kernel) -> Tensor:
    """MMD2_b of n patches to the bank, a scalar that is never negative but for rounding."""
    inner = mean_kernel(x, x, uniform(x.count, x.z), kernel).mean()
    return inner - 2 * mean_kernel(x, *reference[:2], kernel).mean() + reference.self_term


def mmd2_unbiased(x: Points, reference: Bank, kernel: Kernel) -> Tensor:
    """MMD2_u of n patches to the bank: unbiased in the patches, bank's term as stored."""
    cross = mean_kernel(x, *reference[:2], kernel).mean()
    return mean_of_others(x, kernel).mean() - 2 * cross + reference.self_term


def relative_mmd2(x: Points, real: Bank, generated: Bank, kernel: Kernel) -> Tensor:
    """MMD2_u(X, R) - MMD2_u(X, G), a scalar; positive is closer to generated patches."""
    gap = mean_kernel(x, *generated[:2], kernel).mean() - mean_kernel(x, *real[:2], kernel).mean()
    return 2 * gap + real.self_term - generated.self_term


def witness(x: Points, reference: Bank, kernel: Kernel) -> Tensor:
    """f(x_i) = 1/n sum_j k(x_i, x_j) - r(x_i), (N,): positive where this image has more than real ones."""
    return mean_kernel(x, x, uniform(x.count, x.z), kernel) - mean_kernel(x, *reference[:2], kernel)


def relative_witness(x: Points, real: Bank, generated: Bank, kernel: Kernel) -> Tensor:
    """g(x_i) - r(x_i), (N,): positive where generated patches are denser than real ones."""
    return mean_kernel(x, *generated[:2], kernel) - mean_kernel(x, *real[:2], kernel)


def evidence(x: Points, reference: Bank, kernel: Kernel) -> Tensor:
    """c_i, (N,), whose sum is `mmd2_unbiased`."""
    cross = mean_kernel(x, *reference[:2], kernel)
    return (mean_of_others(x, kernel) - 2 * cross + reference.self_term) / x.count


def relative_evidence(x: Points, real: Bank, generated: Bank, kernel: Kernel) -> Tensor:
    """c_i, (N,), whose sum is `relative_mmd2`."""
    gap = relative_witness(x, real, generated, kernel)
    return (2 * gap + real.self_term - generated.self_term) / x.count


def _h_matrix(x: Points, y: Points, kernel: Kernel) -> Tensor:
    """H_ij = k(x_i,x_j) + k(y_i,y_j) - k(x_i,y_j) - k(y_i,x_j), (N, N), for sets of equal size."""
    if x.count != y.count:
        raise ValueError("The asymptotic variance needs two sets of the same size.")
    cross = gram(x, y, kernel)
    return gram(x, x, kernel) + gram(y, y, kernel) - cross - cross.T


def variance_h1(x: Points, y: Points, kernel: Kernel) -> Tensor:
    """sigma^2_H1 = 4/n^3 sum_i (sum_j H_ij)^2 - 4/n^4 (sum_ij H_ij)^2, a scalar (Liu et al., eq. 5)."""
    h, n = _h_matrix(x, y, kernel), x.count
    return 4 / n**3 * h.sum(1).square().sum() - 4 / n**4 * h.sum().square()


def power_objective(x: Points, y: Points, kernel: Kernel, ridge: float = 1e-8) -> Tensor:
    """J = MMD2_u / sqrt(sigma^2_H1 + ridge), a scalar to maximise; MMD2_u is the U-statistic of H."""
    h, n = _h_matrix(x, y, kernel), x.count
    mmd2 = (h.sum() - h.diagonal().sum()) / (n * (n - 1))
    variance = 4 / n**3 * h.sum(1).square().sum() - 4 / n**4 * h.sum().square()
    return mmd2 / (variance.clamp_min(0) + ridge).sqrt()
