"""`benchmarks/quality/by_source.py`: its figures against loops over pairs and over pictures that are repeated."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.quality import by_source


def test_pairs_won_are_counted_as_a_loop_counts_them():
    rng = np.random.default_rng(1)
    scores, real, of = rng.integers(0, 5, 20) / 4, rng.integers(0, 5, 30) / 4, rng.integers(0, 4, 30)
    found = by_source.beaten(scores, real, of, 4)
    for m in range(20):
        for source in range(4):
            own = real[of == source]
            assert found[m, source] == sum(float(scores[m] > s) + 0.5 * float(scores[m] == s) for s in own)


def test_aurocs_of_drawn_sources_are_those_of_their_pictures_repeated():
    rng = np.random.default_rng(2)
    of, real = np.repeat([0, 1, 2], [5, 3, 4]), rng.integers(0, 9, 12).astype(float)
    mine, scores = np.repeat([0, 1], [4, 6]), rng.integers(2, 11, 10).astype(float)
    times = by_source.resampled(np.zeros(3), 30, rng)
    won = by_source.sums(by_source.beaten(scores, real, of, 3), mine, 2)
    found = by_source.aurocs(won, np.bincount(mine), np.bincount(of), times)
    assert found.shape == (31, 2)
    for row, drawn in zip(found, times, strict=True):
        against = np.repeat(real, drawn[of])
        for source in (0, 1):
            own = scores[mine == source]
            labels = np.repeat([0, 1], [len(against), len(own)])
            assert row[source] == pytest.approx(roc_auc_score(labels, np.concatenate([against, own])))


def test_one_generators_pictures_are_resampled_with_the_real_sources():
    rng = np.random.default_rng(3)
    of, real, scores = np.repeat([0, 1], [5, 3]), rng.normal(size=8), rng.normal(1, 1, 6)
    times = by_source.resampled(np.zeros(2), 40, np.random.default_rng(0))
    rows = by_source.beaten(scores, real, of, 2)
    found = by_source.auroc_of_one(rows, np.bincount(of), times, np.random.default_rng(7))
    own = by_source.resampled(np.zeros(6), 40, np.random.default_rng(7))
    for value, drawn, mine in zip(found, times, own, strict=True):
        against, repeated = np.repeat(real, drawn[of]), np.repeat(scores, mine)
        labels = np.repeat([0, 1], [len(against), len(repeated)])
        assert value == pytest.approx(roc_auc_score(labels, np.concatenate([against, repeated])))


def test_as_many_sources_of_each_stratum_are_drawn_as_it_has():
    strata = np.array([0, 1, 0, 0, 1])
    found = by_source.resampled(strata, 50, np.random.default_rng(0))
    assert (found[0] == 1).all() and (found[:, strata == 0].sum(1) == 3).all() and (found.sum(1) == 5).all()
    assert len(np.unique(found[1:], axis=0)) > 10
    assert np.array_equal(found, by_source.resampled(strata, 50, np.random.default_rng(0)))


def test_means_are_over_sources_of_enough_pictures_and_pooled_for_the_rest():
    values, sizes = np.array([0.9, 0.5, 0.2, 0.4]), np.array([10, 8, 3, 1])
    hits = np.array([[1, 1, 1, 1], [2, 0, 0, 2], [1, 1, 0, 0]])
    found = by_source.three_means(values, sizes, hits, 8)
    assert found["average"] == pytest.approx([0.7, 0.9, 0.7])
    assert found["rest"][:2] == pytest.approx([(3 * 0.2 + 0.4) / 4, 0.4]) and np.isnan(found["rest"][2])
    assert found["pooled"][0] == pytest.approx((9 + 4 + 0.6 + 0.4) / 22)


def test_a_named_pair_counts_as_often_as_both_of_its_sources_are_drawn():
    auroc = np.array([[0.9, 0.6], [0.5, 0.8]])
    pairs = np.array([[0, 0], [1, 1]])
    times, hits = np.array([[1, 1], [2, 0], [1, 1]]), np.array([[1, 1], [1, 1], [0, 2]])
    assert by_source.of_pairs(auroc, pairs, times, hits) == pytest.approx([0.85, 0.9, 0.8])


def test_the_share_of_matched_pairs_is_that_of_a_loop():
    rng = np.random.default_rng(4)
    scores, partners = rng.integers(0, 4, 15), rng.integers(0, 4, 15)
    of, theirs = rng.integers(0, 3, 15), rng.integers(0, 2, 15)
    times, hits = (by_source.resampled(np.zeros(n), 20, rng) for n in (2, 3))
    found = by_source.share_higher(scores, partners, of, theirs, times, hits)
    for value, real, generated in zip(found, times, hits, strict=True):
        kept = []
        for score, partner, g, r in zip(scores, partners, of, theirs, strict=True):
            kept += [float(score > partner) + 0.5 * float(score == partner)] * (generated[g] * real[r])
        assert value == pytest.approx(np.mean(kept)) if kept else np.isnan(value)


def test_the_nearest_is_the_one_of_the_largest_cosine():
    rng = np.random.default_rng(5)
    mine, theirs = (value / np.linalg.norm(value, axis=1, keepdims=True) for value in rng.normal(size=(2, 6, 3)))
    best, alike = by_source.nearest(mine, theirs)
    for row in range(6):
        cosines = [float(mine[row] @ other) for other in theirs]
        assert best[row] == np.argmax(cosines) and alike[row] == pytest.approx(max(cosines))


def test_a_figure_that_does_not_exist_is_none_and_draws_without_it_are_left_out():
    assert by_source.figure(np.array([np.nan, np.nan])) == [None, None, None]
    assert by_source.figure(np.array([0.5, np.nan, 0.2, 0.2])) == [0.5, pytest.approx(0.2), pytest.approx(0.2)]
