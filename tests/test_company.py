"""Trusted pictures among themselves: the maths of their scores, and which of them stand out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from trusted_ones import drawn, made

from mdmf_core import trusted
from mdmf_core.errors import TrustedError
from mdmf_core.method import company, mmd
from mdmf_core.trusted import pictures

KERNEL = mmd.Kernel(1.5)


def naive(kept: list[trusted.Kept], bank: mmd.Bank, share: float) -> list[float]:
    """s' of each picture among all the others, in loops."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a.astype(float) - b.astype(float)) ** 2).sum() / KERNEL.s_z**2))

    def mean(one: trusted.Kept, other: trusted.Kept) -> float:
        return float(np.mean([kernel(a, b) for a in one.signatures for b in other.signatures]))

    real, weights = bank.points.z.numpy(), bank.weights.numpy()
    scores = []
    for i, one in enumerate(kept):
        near = np.mean([mean(one, other) for j, other in enumerate(kept) if j != i])
        r = np.mean([sum(w * kernel(v, z) for w, z in zip(weights, real, strict=True)) for v in one.signatures])
        scores.append(one.score - 2 * share * (near - r))
    return scores


def test_scores_among_trusted_pictures_are_those_of_a_loop_over_all(monkeypatch, detector):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(pictures, "FEWEST", 4)
    monkeypatch.setattr(pictures, "MIXED_FROM", 4)
    monkeypatch.setattr(pictures, "PATCHES", 6)
    kept = [drawn(rng, index, patches=6) for index in range(7)]
    bank = mmd.bank(mmd.Points(torch.from_numpy(rng.normal(0, 1, (5, 4)))), KERNEL)
    reference = replace(made(kept[:-1], detector), kernel=KERNEL, bank=bank)
    z = reference.signatures.double()
    reference = replace(
        reference, likeness=company.likeness(z, KERNEL).numpy(), real=company.to_bank(z, bank, KERNEL).numpy()
    )
    score, null = reference.among(kept[-1])
    wanted = naive(kept, bank, pictures.SHARE)
    assert score == pytest.approx(wanted[-1], abs=1e-9)
    assert null == pytest.approx(sorted(wanted[:-1]), abs=1e-9)
    assert reference.own_scores == pytest.approx(naive(kept[:-1], bank, pictures.SHARE), abs=1e-9)


@pytest.mark.parametrize("n", [20, 60])
def test_p_values_of_pictures_like_the_trusted_ones_are_uniform(n, detector, monkeypatch):
    monkeypatch.setattr(pictures, "PATCHES", 16)
    rng = np.random.default_rng(n)
    p_values = []
    for _ in range(40):
        kept = [drawn(rng, index, patches=16) for index in range(n + 12)]
        reference = made(kept[:n], detector)
        assert (reference.share > 0) == (n >= 50)
        for one in kept[n:]:
            score, null = reference.among(one)
            p_values.append((1 + (null >= score).sum() - rng.uniform()) / (n + 1))
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_each_trusted_picture_is_scored_as_one_that_comes_new(detector):
    rng = np.random.default_rng(1)
    kept = [drawn(rng, index) for index in range(61)]
    whole = made(kept, detector)
    for left_out in (0, 17, 60):
        rest = made(kept[:left_out] + kept[left_out + 1 :], detector)
        fresh, member = rest.among(kept[left_out]), whole.among(kept[left_out])
        assert member[0] == pytest.approx(fresh[0], abs=1e-9) == whole.own_scores[left_out]
        assert len(member[1]) == 60 and member[1] == pytest.approx(fresh[1], abs=1e-9)


def test_how_scores_spread_by_size_is_read_off_the_general_null():
    rng, power = np.random.default_rng(5), 0.17
    nulls = {k: -0.4 + rng.normal(0, 0.3, 4000) * (k * k) ** -power for k in (2, 4, 7, 12, 20, 36)}
    found = company.sizes(nulls)
    assert found.centre == pytest.approx(-0.4, abs=0.01) and found.power == pytest.approx(power, abs=0.01)
    assert company.sizes({k: null * k for k, null in nulls.items()}).power == 0, "larger pictures spread no less"
    assert company.sizes({4: nulls[4]}) == company.sizes({2: np.zeros(3), 3: np.zeros(3)}) == (0, 0)


def test_a_score_keeps_its_rarity_at_another_size():
    sizes = company.Sizes(-0.4, 0.2)
    scores, patches = np.array([0.1, -0.9, -0.4]), np.array([100, 25, 7])
    found = company.evened(scores, patches, 400, sizes)
    for value, score, n in zip(found, scores, patches, strict=True):
        assert (value + 0.4) / 400**-0.2 == pytest.approx((score + 0.4) / float(n) ** -0.2)
    assert company.evened(scores, np.full(3, 9), 9, sizes).tolist() == scores.tolist()


def test_small_trusted_pictures_are_compared_at_the_size_of_the_picture_in_question(detector):
    """Uniform p-values for sizes that differ, and none of what is rare for a large picture is lost among small ones."""
    rng, sizes, n = np.random.default_rng(6), company.Sizes(-0.4, 0.2), 30

    def one(index: int, patches: int, z: float) -> trusted.Kept:
        return replace(drawn(rng, index), n_patches=patches, score=-0.4 + 0.6 * z * patches**-0.2)

    p_values, rare, plain = [], [], []
    for _ in range(40):
        kept = [one(index, int(rng.choice([64, 100, 900])), rng.normal()) for index in range(n + 8)]
        reference = replace(made(kept[:n], detector), sizes=sizes)
        for picture in kept[n:]:
            score, null = reference.among(picture)
            p_values.append((1 + (null >= score).sum() - rng.uniform()) / (n + 1))
        large = one(n + 8, 1600, 3.5)
        for found, of in ((rare, sizes), (plain, company.Sizes(0.0, 0.0))):
            score, null = replace(reference, sizes=of).among(large)
            found.append((null >= score).mean())
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(rare) < 0.01 < np.mean(plain)


def test_without_leaving_out_itself_a_trusted_picture_would_look_better_than_a_new_one(detector):
    rng = np.random.default_rng(2)
    z = made([drawn(rng, index) for index in range(60)], detector).signatures.double()
    own = torch.stack([mmd.gram(mmd.Points(one), mmd.Points(one), KERNEL).mean() for one in z])
    assert (own > company.likeness(z, KERNEL) / 59).all()


def test_signatures_are_spread_over_a_picture():
    assert company.spread(1600, 64).tolist() == list(range(12, 1600, 25))
    assert company.spread(3, 6).tolist() == [0, 0, 1, 1, 2, 2]


def test_from_fifty_pictures_on_their_signatures_are_mixed_in(detector):
    rng = np.random.default_rng(3)
    kept = [drawn(rng, index) for index in range(50)]
    assert made(kept[:49], detector).share == 0 and made(kept, detector).share == pictures.SHARE
    assert made(kept[:49], detector).own_scores.tolist() == [one.score for one in kept[:49]]


def test_a_large_reference_keeps_a_bounded_number_of_signatures(detector, monkeypatch):
    most = pictures.MOST_SIGNATURES // 5
    monkeypatch.setattr(pictures, "MOST_SIGNATURES", most)
    rng = np.random.default_rng(4)
    reference = made([drawn(rng, index) for index in range(140)], detector)
    assert reference.signatures.shape[:2] == (140, most // 140)


def test_a_generated_picture_among_the_trusted_is_named(detector):
    rng = np.random.default_rng(5)
    kept = [drawn(rng, index) for index in range(60)]
    poison = [replace(drawn(rng, 90 + index, shift=6), name=f"bad{index}.png", p_value=0.001) for index in range(5)]
    reference = made([*kept, *poison], detector)
    named = {doubt.picture: doubt.reasons for doubt in reference.doubts()}
    assert {name for name, why in named.items() if "stands_out" in why} == {f"bad{index}.png" for index in range(5)}
    assert all(named[f"bad{index}.png"] == ("stands_out", "generated") for index in range(5))
    lines = " ".join(trusted.told(reference))
    assert "5 stand out among your pictures" in lines and "bad3.png" in lines
    assert "p is at most 0.05 for 5 of the 65" in lines
    rest = reference.without(reference.outliers())
    assert rest.n == 60 and rest.own_scores == pytest.approx(made(kept, detector).own_scores)


def test_a_reference_of_mostly_generated_pictures_says_so(detector):
    rng = np.random.default_rng(6)
    kept = [replace(drawn(rng, index), p_value=0.01 if index < 20 else 0.5) for index in range(30)]
    lines = trusted.told(made(kept, detector))
    assert lines[-1].startswith("That is most of them") and not any("stand out" in line for line in lines)
    assert trusted.told(made([replace(one, p_value=0.5) for one in kept], detector)) == []


def test_equal_scores_do_not_stand_out():
    assert not company.stands_out(np.ones(30)).any()
    assert company.stands_out(np.r_[np.linspace(0, 1, 30), 9]).tolist() == [False] * 30 + [True]
    assert not company.stands_out(np.r_[np.linspace(0, 1, 30), -9]).any()


def test_too_few_pictures_and_too_many_are_a_sentence(detector):
    rng = np.random.default_rng(7)
    kept = [drawn(rng, index) for index in range(20)]
    with pytest.raises(TrustedError, match="at least 20 pictures that can be used, and there are 19"):
        made(kept[:19], detector)
    with pytest.raises(TrustedError, match="there are 19"):
        made([*kept[:19], kept[0]], detector)
    with pytest.raises(TrustedError, match="takes at most 2,000 pictures"):
        trusted.check_count(2001)
    with pytest.raises(TrustedError, match="there are 19"):
        made(kept, detector).without([3])
