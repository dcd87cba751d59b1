"""Objectives against the statistic, by hand, and lower for classes that differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mdmf_core.method import mmd
from mdmf_core.training import objectives
from mdmf_core.training.recipe import Objective


def batch(
    seed: int, shift: float, pictures: int = 5, patches: int = 4, dim: int = 3
) -> tuple[mmd.Points, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(2 * pictures * patches, dim, generator=generator, dtype=torch.float64)
    z[pictures * patches :] += shift
    labels = torch.arange(2).repeat_interleave(pictures).double()
    return mmd.Points(z), labels


@pytest.mark.parametrize("statistic", ["mmd", "relative"])
def test_picture_scores_are_the_statistic_up_to_one_constant(statistic: str) -> None:
    points, labels = batch(0, 1.0)
    kernel = mmd.Kernel(1.5)
    scores = objectives.picture_scores(points, kernel, labels, statistic)
    for b in range(10):
        mine = points[4 * b : 4 * b + 4]
        others = [i for i in range(10) if i != b]
        pools = [
            mmd.Points(torch.cat([points.z[4 * i : 4 * i + 4] for i in others if labels[i] == label]))
            for label in (0, 1)
        ]
        real, generated = (mmd.bank(pool, kernel) for pool in pools)
        if statistic == "mmd":
            wanted = mmd.mmd2_unbiased(mine, real, kernel) - real.self_term
        else:
            constant = real.self_term - generated.self_term
            wanted = mmd.relative_mmd2(mine, real, generated, kernel) - constant
        torch.testing.assert_close(scores[b], wanted)


@pytest.mark.parametrize("objective", Objective.model_fields)
@pytest.mark.parametrize("statistic", ["mmd", "relative"])
def test_every_objective_is_lower_for_classes_that_differ(objective: str, statistic: str) -> None:
    kernel, sharpness = mmd.Kernel(1.5), torch.tensor(10.0, dtype=torch.float64)
    near, far = (
        objectives.loss(*_with(batch(1, shift), kernel), statistic, Objective(**{objective: 1.0}), sharpness)
        for shift in (0.0, 3.0)
    )
    assert far < near


def _with(made: tuple[mmd.Points, torch.Tensor], kernel: mmd.Kernel) -> tuple:
    return made[0], kernel, made[1]


def test_pairwise_loss_by_hand() -> None:
    scores, labels = torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.0, 0.0, 1.0])
    wanted = np.mean([np.log1p(np.exp(-2 * 3)), np.log1p(np.exp(-2 * 2))])
    assert objectives.pairwise(scores, labels, torch.tensor(2.0)).item() == pytest.approx(wanted)
