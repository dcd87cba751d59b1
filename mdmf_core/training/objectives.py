"""What training maximises: the separation of whole pictures under the statistic that will decide.

J (`mmd.power_objective`) of Liu et al. (ICML 2020) compares pooled patches and never learns that patches of one picture
resemble each other; the image-level objectives do, because each picture is scored as a test picture will be: against
the other pictures of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mdmf_core.method import mmd
from mdmf_core.training.recipe import Objective


def picture_scores(points: mmd.Points, kernel: mmd.Kernel, labels: Tensor, statistic: str) -> Tensor:
    """Each picture's statistic against the other pictures, (B,), up to a constant that all share.

    Args:
        points: B * P points, P patches of each picture in turn.
        kernel: kernel parameters.
        labels: (B,) float, 0 real and 1 generated.
        statistic: "mmd" or "relative".
    """
    b = labels.shape[0]
    values = mmd.gram(points, points, kernel).reshape(b, -1, b, points.count // b)  # (B, P, B, P)
    between = values.mean((1, 3))  # (B, B)
    others = 1 - torch.eye(b, dtype=between.dtype, device=between.device)
    real = others * (1 - labels)
    to_real = (between * real).sum(1) / real.sum(1)
    if statistic == "relative":
        generated = others * labels
        return 2 * ((between * generated).sum(1) / generated.sum(1) - to_real)
    p = values.shape[1]
    within = torch.stack([values[i, :, i].sum() - values[i, :, i].diagonal().sum() for i in range(b)])
    return within / (p * (p - 1)) - 2 * to_real


def pairwise(scores: Tensor, labels: Tensor, sharpness: Tensor) -> Tensor:
    """Mean of log(1 + exp(-sharpness (s_generated - s_real))) over all pairs: a smooth 1 - AUROC."""
    gaps = scores[labels == 1][:, None] - scores[labels == 0][None]
    return F.softplus(-sharpness * gaps).mean()


def ratio(scores: Tensor, labels: Tensor) -> Tensor:
    """Minus (mean generated score - mean real score) over the deviation of the real ones."""
    real, generated = scores[labels == 0], scores[labels == 1]
    return -(generated.mean() - real.mean()) / (real.var() + 1e-8).sqrt()


def loss(
    points: mmd.Points, kernel: mmd.Kernel, labels: Tensor, statistic: str, mix: Objective, sharpness: Tensor
) -> Tensor:
    """Sum of the objectives with the weights of `mix`, as a loss to minimise."""
    total = torch.zeros(())
    if mix.pairwise or mix.ratio:
        scores = picture_scores(points, kernel, labels, statistic)
        if mix.pairwise:
            total = total + mix.pairwise * pairwise(scores, labels, sharpness)
        if mix.ratio:
            total = total + mix.ratio * ratio(scores, labels)
    if mix.power:
        kinds = labels.repeat_interleave(points.count // labels.shape[0])
        total = total - mix.power * mmd.power_objective(points[kinds == 0], points[kinds == 1], kernel)
    return total
