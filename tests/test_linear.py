"""`benchmarks/quality/linear.py`: weights, the choice of a strength, and AUROCs against loops."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality import linear
from mdmf_core.training.recipe import Train


def some(shift: float, seed: int, sizes: dict[str, int]) -> linear.Means:
    """Pictures of sources, those that begin with "g" generated and `shift` away in the first of four dimensions."""
    rng, rows = np.random.default_rng(seed), []
    for source, size in sizes.items():
        label = int(source.startswith("g"))
        for _ in range(size):
            rows.append((rng.normal(size=4) + [shift * label, 0, 0, 0], label, source, "alike", rng.normal() + label))
    return linear.Means(*(np.array(column) for column in zip(*rows, strict=True)))


SIZES = {f"r{number}": 12 for number in range(5)} | {f"g{number}": 3 + 4 * number for number in range(5)}


def test_both_classes_weigh_alike_and_sources_as_the_signatures_training_draws_them():
    means = some(1, 0, SIZES)
    weight = linear.weights(means, Train(cap=15, tilt=0.5))
    halves = [weight[means.labels == label].sum() for label in (0, 1)]
    assert halves == pytest.approx([len(weight) / 2] * 2)
    of = {source: weight[means.sources == source].sum() for source in SIZES}
    assert of["g3"] / of["g0"] == pytest.approx((15 / 3) ** 0.5) and of["g4"] == pytest.approx(of["g3"])


def test_aurocs_are_those_of_a_loop_over_pairs():
    means = some(1, 1, SIZES)
    found = linear.aurocs(means, means.scores)
    real = means.scores[means.labels == 0]

    def naive(own: np.ndarray) -> float:
        return float(np.mean([(g > r) + 0.5 * (g == r) for g in own for r in real]))

    assert found["pooled"] == pytest.approx(naive(means.scores[means.labels == 1]))
    each = [naive(means.scores[means.sources == source]) for source in SIZES if source.startswith("g")]
    assert found["mean"] == pytest.approx(np.mean(each))


@pytest.mark.parametrize(("shift", "low", "high"), [(6.0, 0.99, 1.0), (0.0, 0.35, 0.65)])
def test_a_linear_head_finds_what_is_linear_and_nothing_where_nothing_is(shift, low, high):
    found = linear.compared(some(shift, 2, SIZES), some(shift, 3, SIZES), Train())["alike"]
    assert low <= found["linear"]["pooled"] <= high and found["pictures"] == [60, 55]
    assert found["score"]["pooled"] == linear.aurocs(some(shift, 3, SIZES), some(shift, 3, SIZES).scores)["pooled"]
    assert "| alike | 60 | 55 |" in linear.markdown({"alike": found})


def test_a_penalty_is_chosen_where_sources_that_were_left_out_need_one():
    means, rng = some(1, 4, SIZES), np.random.default_rng(0)
    noisy = means._replace(x=np.concatenate([means.x, rng.normal(size=(len(means.x), 60))], 1))
    assert linear.best_strength(noisy, linear.weights(noisy, Train())) < max(linear.STRENGTHS)
