"""The likelihood ratio: its arithmetic against naive loops, monotone, bounded, and in the right words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evidence import made, of_verdict
from safetensors.torch import load_file, save_file
from test_reference import make, signed
from tiny import make_checkpoint, picture

from mdmf_core import cli
from mdmf_core.detector import Detector
from mdmf_core.evidence import outcome
from mdmf_core.method import reference as references
from mdmf_core.method.strength import NO_SUPPORT, Strength, Table, equally_rare, strength, support
from mdmf_core.show import words
from mdmf_core.training import strength as fitting

TABLE = Table(np.array([-1.0, 0.0, 1.0]), np.array([-0.5, 0.0, 1.5]), np.array([-2.0, -1.0, 0.5]), np.array([0.0, 2.0]))


def scores(seed: int, real: int = 80, generated: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping scores of both kinds, some of them equal."""
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(0, 1, real), 2), np.round(rng.normal(1.2, 1.3, generated), 2)


def naive_isotonic(real: np.ndarray, generated: np.ndarray) -> dict[float, float]:
    """Pool adjacent violators, block by block; score -> log10 of the likelihood ratio."""
    points = [(score, 0.0, 1 / (len(real) + 1)) for score in real]
    points += [(score, 1.0, 1 / (len(generated) + 1)) for score in generated]
    points += [(np.inf, 0.0, 1 / (len(real) + 1)), (-np.inf, 1.0, 1 / (len(generated) + 1))]
    blocks: list[list] = []
    for score in sorted({score for score, _, _ in points}):
        own = [(of, weight) for at, of, weight in points if at == score]
        blocks.append([[score], sum(of * weight for of, weight in own), sum(weight for _, weight in own)])
        while len(blocks) > 1 and blocks[-2][1] / blocks[-2][2] >= blocks[-1][1] / blocks[-1][2]:
            last = blocks.pop()
            blocks[-1] = [blocks[-1][0] + last[0], blocks[-1][1] + last[1], blocks[-1][2] + last[2]]
    return {
        score: float(np.log10(hit / (total - hit)))
        for held, hit, total in blocks
        for score in held
        if np.isfinite(score)
    }


def naive_cost(real: np.ndarray, generated: np.ndarray, threshold: float) -> tuple[float, float]:
    """Costs of deciding at a threshold, by the ratios with one misleading picture more on both sides and without."""
    missed = sum(value <= threshold for value in generated) + 1
    alarms = sum(value > threshold for value in real) + 1
    by_ratio = missed / (len(generated) + 1) + 10**threshold * alarms / (len(real) + 1)
    return by_ratio, min(1.0, 10**threshold)


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_pool_adjacent_violators(seed):
    real, generated = scores(seed)
    found = dict(zip(*fitting.isotonic(real, generated), strict=True))
    wanted = naive_isotonic(real, generated)
    assert found.keys() == wanted.keys()
    assert all(found[score] == pytest.approx(ratio, abs=1e-12) for score, ratio in wanted.items())


@pytest.mark.parametrize("seed", range(4))
def test_the_bounds_are_where_the_ratios_stop_to_pay(seed):
    real, generated = scores(seed, 200, 150)
    at, ratios = fitting.isotonic(real, generated)
    of_real, of_generated = (np.interp(own, at, ratios) for own in (real, generated))
    low, high = fitting.bounds(of_real, of_generated)
    assert -np.log10(151) <= low < 0 < high <= np.log10(201)
    for threshold in np.arange(round(low / 0.01) + 1, round(high / 0.01)) * 0.01:
        by_ratio, by_none = naive_cost(of_real, of_generated, threshold)
        assert by_ratio <= by_none + 1e-9


def naive_shares(sources: list[str]) -> np.ndarray:
    return np.array([1 / sources.count(source) for source in sources])


@pytest.mark.parametrize("seed", range(3))
def test_the_bounds_by_source_ask_what_one_more_misleading_source_would_cost(seed):
    rng = np.random.default_rng(seed)
    real, generated = scores(seed, 300, 200)
    sources = [[f"s{number}" for number in rng.integers(0, count, n)] for count, n in ((30, 300), (15, 200))]
    weights = naive_shares(sources[0]), naive_shares(sources[1])
    at, ratios = fitting.isotonic(real, generated)
    of_real, of_generated = (np.interp(own, at, ratios) for own in (real, generated))
    low, high = fitting.bounds(of_real, of_generated, weights)
    by_picture = fitting.bounds(of_real, of_generated)
    assert by_picture[0] < low < 0 < high < by_picture[1] and low >= -np.log10(16) and high <= np.log10(31)
    for threshold in np.arange(round(low / 0.01) + 1, round(high / 0.01)) * 0.01:
        missed = 1 + sum(w for value, w in zip(of_generated, weights[1], strict=True) if value <= threshold)
        alarms = 1 + sum(w for value, w in zip(of_real, weights[0], strict=True) if value > threshold)
        assert missed / 16 + 10**threshold * alarms / 31 <= min(1.0, 10**threshold) + 1e-9
    assert fitting.fit(real, generated, weights).log10_lr[[0, -1]] == pytest.approx((low, high))


def test_tables_reach_as_far_as_enough_sources_do(monkeypatch):
    monkeypatch.setattr(fitting, "FEWEST", 6)
    monkeypatch.setattr(fitting, "FEWEST_SOURCES", 3)
    monkeypatch.setattr(fitting, "_score", lambda points, banks, model: float(points.z.mean()))
    many = [replace(signed(seed, 4, 4), source="abc"[seed % 3]) for seed in range(12)]
    few = [replace(each, source="a") if seed > 3 else each for seed, each in enumerate(many)]
    small = [replace(signed(20 + seed, 3, 3), source="abc"[seed % 3]) for seed in range(6)]
    assert list(fitting.tables(many, many, (None, None), None)) == [2, 3, 4]
    assert list(fitting.tables(many, [*few[4:], *small], (None, None), None)) == [2, 3], "4 x 4 has one source"
    by_picture = fitting.tables(many, few[4:], (None, None), None)
    assert list(by_picture) == [2, 3, 4], "with one source in all each picture counts for itself"


def test_scores_that_say_nothing_support_nothing():
    same = np.random.default_rng(5).normal(0, 1, 120)
    table = fitting.fit(same, same + 0)
    assert {support(10**value) for value in table.log10_lr} == {NO_SUPPORT}
    with pytest.raises(ValueError, match="both real and generated"):
        fitting.fit(same, same[:0])


@pytest.mark.parametrize("seed", range(4))
def test_fit_and_bounds_are_those_of_the_forensic_institute(seed):
    bayeserror = pytest.importorskip("lir.algorithms.bayeserror")
    isotonic = pytest.importorskip("lir.algorithms.isotonic_regression")
    real, generated = scores(seed, 300, 90)
    both = np.concatenate([real, generated])
    labels = np.repeat([0, 1], [len(real), len(generated)])
    wanted = isotonic.IsotonicCalibrator(add_misleading=1).fit(both, labels).transform(both)
    at, ratios = fitting.isotonic(real, generated)
    assert np.allclose(np.interp(both, at, ratios), wanted, atol=1e-9)
    low, high = bayeserror.elub(wanted.copy(), labels)
    found = fitting.bounds(*(np.interp(own, at, ratios) for own in (real, generated)))
    assert found == pytest.approx((low, high), abs=0.011), "one step of the thresholds"


@pytest.mark.parametrize("seed", range(4))
def test_a_table_never_falls_and_keeps_to_its_bounds(seed):
    real, generated = scores(seed)
    table = fitting.fit(real, generated)
    everywhere = table.at(np.linspace(-9, 9, 2001))
    assert (np.diff(everywhere) >= 0).all() and (np.diff(table.scores) > 0).all()
    assert everywhere[0] == table.log10_lr[0] and everywhere[-1] == table.log10_lr[-1]
    assert np.log10(1 / 62) <= everywhere[0] < 0 < everywhere[-1] <= np.log10(82)
    assert np.array_equal(table.real, np.sort(real)) and np.array_equal(table.generated, np.sort(generated))
    wanted = np.clip(list(naive_isotonic(real, generated).values()), everywhere[0], everywhere[-1])
    assert np.allclose(table.at(np.unique(np.concatenate([real, generated]))), wanted, atol=1e-12)


def test_how_many_are_as_strong_is_counted_on_the_side_of_the_score():
    for score in (-3.0, -1.0, -0.2, 0.0, 0.5, 0.7, 5.0):
        found, value = strength(score, TABLE), float(np.interp(score, *TABLE[:2]))
        for share, own in ((found.real, TABLE.real), (found.generated, TABLE.generated)):
            of_own = [float(np.interp(other, *TABLE[:2])) for other in own]
            count = sum(other >= value if value >= 0 else other <= value for other in of_own)
            assert share == count / len(own)
        assert found.ratio == pytest.approx(10**value) and (found.n_real, found.n_generated) == (3, 2)
        assert found.bounds == pytest.approx((10**-0.5, 10**1.5))


@pytest.mark.parametrize(
    ("ratio", "word"),
    [
        *((1.0, ""), (1.99, ""), (2.0, "weak"), (9.99, "weak"), (10.0, "moderate"), (99.9, "moderate")),
        *((100.0, "moderately strong"), (1e3, "strong"), (1e4, "very strong"), (999_999.0, "very strong")),
        (1e6, "extremely strong"),
    ],
)
def test_the_words_are_those_of_the_scale_on_both_sides(ratio, word):
    assert support(ratio) == (f"{word} support for generated" if word else NO_SUPPORT)
    assert support(1 / ratio) == (f"{word} support for real" if word else NO_SUPPORT)


def of_ratio(ratio: float, bounds: tuple[float, float] = (0.25, 90.0), real: float = 0.02, generated: float = 0.3):
    return of_verdict(made(np.zeros(12)), strength=Strength(ratio, bounds, real, generated, 400, 120))


@pytest.mark.parametrize(
    ("ratio", "side"), [(0.3, "real"), (0.6, ""), (1.0, ""), (3.0, "generated"), (30.0, "generated")]
)
def test_no_support_stands_alone(ratio, side):
    told, typed = words.explain(of_ratio(ratio)), cli._sentence("a.png", of_ratio(ratio))
    for other, doubt in words.DOUBTS.items():
        assert (doubt in told) == (doubt.rstrip(".") in typed) == (other == side)
    assert "no support either way" in told if not side else f"support for {side}" in told


def test_a_ratio_at_the_end_of_its_scale_says_so():
    assert "at least 90 times as common among generated pictures" in words.explain(of_ratio(90.0))
    assert "at least" not in words.explain(of_ratio(30.0))
    for ratio, said in ((90.0, "at least 90"), (0.25, "at most 0.25"), (30.0, "30")):
        assert f"(likelihood ratio {said})" in cli._sentence("a.png", of_ratio(ratio))
    doubt = words.DOUBTS["real"].rstrip(".")
    assert f"weak support for real (likelihood ratio 0.3). {doubt}; score" in cli._sentence("a.png", of_ratio(0.3))


def test_the_tests_are_told_of_a_hundred_pictures():
    told = words.of_hundred(of_ratio(20.0))
    assert told.startswith("Of 100 real pictures of the calibration 2 give an answer as strong as this or stronger, ")
    assert told.endswith("of 100 generated ones 30.")
    told = words.of_hundred(of_verdict(of_ratio(20.0, real=0.0, generated=0.004), detail="soft"))
    assert "that have as little fine detail of the calibration none gives" in told and told.endswith("fewer than 1.")
    assert words.of_hundred(made(np.zeros(12))) == ""


@pytest.mark.parametrize(
    ("ratio", "headline"),
    [
        *((0.01, "No traces found"), (1.99, "No traces found"), (2.0, "Weak traces"), (9.99, "Weak traces")),
        *((10.0, "Traces of generation"), (5000.0, "Traces of generation")),
    ],
)
def test_the_headline_goes_by_the_ratio_and_no_slider_moves_it(ratio, headline):
    evidence = of_ratio(ratio)
    for alpha in (0.01, 0.05, 0.2):
        assert words.headline(evidence.at(alpha)) == headline
    refused = of_verdict(evidence, reason="It is white.")
    assert words.headline(refused) == "Can't be judged" and words.explain(refused) == "It is white."


def test_no_headline_says_likely_or_real():
    for text in words.VERDICTS.values():
        assert "likely" not in text.lower() and "real" not in text.lower() and "%" not in text


def test_without_likelihood_ratios_one_sentence_says_so(tmp_path):
    detector = Detector.from_pretrained(make_checkpoint(tmp_path / "tiny"))
    evidence = detector.detect(picture(3, 128, 160))
    told = evidence.to_dict()
    assert evidence.verdict.strength is None and words.explain(evidence).count(words.NO_RATIO) == 1
    names = ("likelihood_ratio", "likelihood_ratio_range", "support", "as_strong")
    assert [told[name] for name in names] == [None] * 4
    assert outcome("generated", None, True) == "generated"


def test_the_detector_gives_the_ratio_of_the_table_that_fits(tmp_path):
    folder = make_checkpoint(tmp_path / "tiny")
    path = folder / "reference.safetensors"
    detector = Detector.from_pretrained(folder)
    tables = {2: Table(np.array([0.0]), np.array([9.0]), np.zeros(1), np.zeros(1)), 3: TABLE}
    references.save(replace(detector.reference, strength={"usual": tables}), path)
    evidence = Detector.from_pretrained(folder).detect(picture(3, 128, 160))
    wanted = strength(evidence.verdict.score, TABLE)
    assert evidence.verdict.strength == wanted
    told = evidence.to_dict()
    assert told["likelihood_ratio"] == wanted.ratio and told["support"] == wanted.support
    assert told["likelihood_ratio_range"] == list(wanted.bounds)
    assert told["as_strong"] == {"real": wanted.real, "generated": wanted.generated, "n_real": 3, "n_generated": 2}
    assert {"decision", "p_value", "score"} <= told.keys()


def test_tables_survive_storage_and_bad_ones_are_named(tmp_path: Path):
    tables = {"usual": {2: fitting.fit(*scores(1)), 10: fitting.fit(*scores(2))}, "soft": {2: fitting.fit(*scores(3))}}
    reference = replace(make(), strength=tables)
    path = references.save(reference, tmp_path / "reference.safetensors")
    found = references.load(path, 3, 5, False, "relative")
    assert list(found.strength) == ["usual", "soft"] and list(found.strength["usual"]) == [2, 10]
    for detail, blocks in tables.items():
        for k, table in blocks.items():
            assert all(np.array_equal(*pair) for pair in zip(table, found.strength[detail][k], strict=True))
    assert found.table(99) is found.strength["usual"][2] and found.table(100) is found.strength["usual"][10]
    assert found.table(4, "soft") is found.strength["soft"][2] and found.table(4, "noisy").real[0] == scores(1)[0].min()
    assert references.load(references.save(make(), path), 3, 5, False, "relative").table(9) is None
    for name, fault in (("log10_lr", lambda v: v.flip(0)), ("log10_lr", lambda v: v[:-1]), ("real", lambda v: v[:0])):
        references.save(reference, path)
        tensors = load_file(path)
        tensors[f"strength.usual.2.{name}"] = fault(tensors[f"strength.usual.2.{name}"]).contiguous()
        save_file(tensors, path)
        with pytest.raises(ValueError, match=r"strength\.usual\.2"):
            references.load(path, 3, 5, False, "relative")


def test_an_equally_rare_score_keeps_its_rank_and_the_ends():
    rng = np.random.default_rng(5)
    own, other = np.sort(rng.normal(0, 1, 40)), np.sort(rng.normal(3, 7, 25))
    for score in (*own, *rng.normal(0, 2, 60)):
        below = sum(score >= value for value in own)
        place = 0.0 if below == 0 else 1.0 if below == len(own) else None
        if place is None:
            low, high = own[below - 1], own[below]
            place = (below - 1 + (score - low) / (high - low)) / (len(own) - 1)
        at = place * (len(other) - 1)
        step = min(int(at), len(other) - 2)
        expected = other[step] + (at - step) * (other[step + 1] - other[step])
        assert equally_rare(float(score), own, other) == pytest.approx(expected)
        assert own[0] <= equally_rare(float(score), own, own) <= own[-1]
    found = [equally_rare(score, own, other) for score in np.linspace(-4, 4, 200)]
    assert found == sorted(found) and found[0] == other[0] and found[-1] == other[-1]


def test_a_picture_larger_than_the_tables_is_read_at_the_score_that_is_as_rare(bundled):
    reference = bundled.reference
    largest = max(reference.strength["usual"])
    small, large = (reference.null("relative", count).scores for count in (largest**2, 1600))
    for rank in (0.2, 0.5, 0.9, 0.99):
        found = reference.worth(float(np.quantile(large, rank)), "relative", 1600)
        same = reference.worth(float(np.quantile(small, rank)), "relative", largest**2)
        assert found.ratio == pytest.approx(same.ratio)
    own = reference.worth(0.1, "relative", largest**2)
    assert own == strength(0.1, reference.table(largest**2))
