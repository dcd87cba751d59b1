"""What a score means: p-values by hand, by naive loops and by simulation, by picture and by source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_reference import PLAIN, points, signed

from mdmf_core.method import calibration, mmd


@pytest.mark.parametrize(
    ("score", "null", "wanted"),
    [
        (2.5, [1.0, 2.0, 3.0, 4.0], 3 / 5),
        (3.0, [1.0, 2.0, 3.0, 4.0], 3 / 5),
        (4.0, [1.0, 2.0, 3.0, 4.0], 2 / 5),
        (9.0, [1.0, 2.0, 3.0, 4.0], 1 / 5),
        (0.0, [1.0, 2.0, 3.0, 4.0], 1.0),
        (2.0, [1.0, 2.0, 2.0, 2.0, 3.0], 5 / 6),
        (2.0, [2.0, 2.0, 2.0], 1.0),
        (1.0, [0.0], 1 / 2),
    ],
)
def test_p_values_by_hand(score, null, wanted):
    assert calibration.p_value(score, np.array(null)) == wanted


def test_p_values_of_many_scores_at_once():
    null = np.array([1.0, 2.0, 2.0, 5.0])
    scores = np.array([[6.0, 2.0], [0.5, 5.0]])
    assert np.array_equal(calibration.p_value(scores, null), [[1 / 5, 4 / 5], [1.0, 2 / 5]])


def test_threshold_says_the_same_as_the_p_value():
    rng = np.random.default_rng(0)
    for trial in range(200):
        count = int(rng.integers(1, 120))
        null = np.sort(rng.normal(size=count))
        if trial % 2:
            null = np.sort(null.round(1))
        for alpha in (0.01, 0.05, 0.1, 0.2, float(rng.uniform(0.001, 0.2))):
            limit = calibration.Null.of(null).threshold(alpha)
            scores = np.concatenate([null, null + 1e-9, null - 1e-9, rng.normal(size=20), [-99.0, 99.0]])
            assert np.array_equal(scores > limit, calibration.p_value(scores, null) <= alpha), (count, alpha)


def test_a_small_calibration_set_never_reaches_a_small_alpha():
    assert calibration.Null.of(np.arange(18.0)).threshold(0.05) == np.inf
    assert calibration.Null.of(np.arange(19.0)).threshold(0.05) == 18.0


def naive_p_value(score: float, scores, sources) -> float:
    """A source has the share of its pictures that score as high; the one of the picture in question counts in full."""
    total = 1.0
    for source in set(sources):
        own = [value for value, of in zip(scores, sources, strict=True) if of == source]
        total += sum(value >= score for value in own) / len(own)
    return total / (len(set(sources)) + 1)


@pytest.mark.parametrize("seed", range(5))
def test_where_sources_count_each_of_them_counts_once(seed):
    rng = np.random.default_rng(seed)
    sources = [f"s{number}" for number in rng.integers(0, 25, 300)]
    scores = rng.normal(size=300).round(1)
    null = calibration.Null.of(scores, sources)
    assert null.sources == len(set(sources)) and len(null) == 300
    at = np.concatenate([scores, scores + 1e-9, [-9.0, 9.0]])
    p_values = np.array([null.p_value(score) for score in at])
    assert np.allclose(p_values, [naive_p_value(score, scores, sources) for score in at], atol=1e-12)
    assert p_values.min() == pytest.approx(1 / (null.sources + 1)) and p_values.max() == pytest.approx(1)
    for alpha in (0.02, 0.05, 0.1, 0.37):
        assert np.array_equal(at > null.threshold(alpha), p_values <= alpha + 1e-9)


def test_a_source_never_seen_gives_no_more_false_alarms_than_promised():
    """Sources of unlike size and level; the picture in question is of one more of the kind."""
    rng, trials, hits, by_picture = np.random.default_rng(3), 1500, 0, 0
    for _ in range(trials):
        sizes = rng.integers(1, 40, 31)
        levels = rng.normal(0, 2, 31)
        scores = [rng.normal(level, 1, size) for level, size in zip(levels, sizes, strict=True)]
        names = np.repeat(np.arange(30).astype(str), sizes[:30])
        null, asked = np.concatenate(scores[:30]), float(scores[30][0])
        hits += calibration.Null.of(null, names).p_value(asked) <= 0.1
        by_picture += calibration.Null.of(null).p_value(asked) <= 0.1
    assert hits / trials <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / trials)
    assert by_picture > hits


def test_sources_count_only_where_they_are_many_and_all_are_known():
    assert calibration.sources_of([signed(0, 2, 2)], 1) is None
    named = [replace(signed(number, 2, 2), source=f"s{number % 4}") for number in range(8)]
    assert (
        calibration.sources_of(named, 5) is None
        and list(calibration.sources_of(named, 4)) == ["s0", "s1", "s2", "s3"] * 2
    )
    assert calibration.sources_of([*named, signed(9, 2, 2)], 4) is None


def test_calibration_counts_sources_and_keeps_no_block_that_too_few_of_them_have(monkeypatch):
    monkeypatch.setattr(calibration, "FEWEST_SOURCES", 3)
    bank = mmd.bank(points(1, 6), PLAIN)
    named = [
        replace(signed(number, 4, 4) if number < 9 else signed(number, 2, 2), source="abc"[number % 3])
        for number in range(10)
    ]
    nulls, _ = calibration.calibrate(named, bank, None, PLAIN)
    assert {k: null.sources for k, null in nulls["mmd"].items()} == {2: 3, 3: 3, 4: 3}
    alone = [replace(each, source="a" if each.rows == 4 else f"b{number}") for number, each in enumerate(named)] + [
        replace(signed(11, 2, 2), source="c")
    ]
    monkeypatch.setattr(calibration, "ENOUGH", 5)
    assert list(calibration.calibrate(alone, bank, None, PLAIN)[0]["mmd"]) == [2]


@pytest.mark.parametrize("ties", [False, True])
def test_p_values_are_calibrated_in_finite_samples(ties):
    """For exchangeable scores P(p <= a) is floor(a (N + 1)) / (N + 1) without ties, and no more with them."""
    rng, trials = np.random.default_rng(1), 4000
    for count in (10, 19, 60):
        drawn = rng.standard_cauchy((trials, count + 1))
        drawn = drawn.round() if ties else drawn
        p = np.array([calibration.p_value(row[-1], np.sort(row[:-1])) for row in drawn])
        for alpha in (0.05, 0.1, 0.2, 0.5):
            exact = np.floor(alpha * (count + 1) + 1e-9) / (count + 1)
            error = 4 * np.sqrt(exact * (1 - exact) / trials) + 1e-12
            assert (p <= alpha).mean() <= exact + error and exact <= alpha + 1e-12
            if not ties:
                assert (p <= alpha).mean() >= exact - error


def test_flagging_by_hand():
    p = np.array([0.30, 0.001, 0.04, 0.012, 0.9])
    assert calibration.flag(p, 0.1).tolist() == [False, True, True, True, False]
    assert calibration.flag(p, 0.05).tolist() == [False, True, False, True, False]
    assert not calibration.flag(np.full(20, 0.2), 0.1).any()
    assert calibration.flag(np.full(20, 0.1), 0.1).all(), "equal p-values at the rate are all rejected"
