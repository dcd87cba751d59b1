"""Figures of `evaluate` against scikit-learn and by hand, and what it writes."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score
from tiny import picture

from mdmf_core.images import degrade
from mdmf_core.training import evaluate, metrics, tables
from mdmf_core.training.evaluate import Row
from mdmf_core.training.metrics import METRICS


def normal(seed: int, count: int, shift: float = 0.0, digits: int | None = None) -> np.ndarray:
    values = np.random.default_rng(seed).normal(shift, 1, count)
    return values if digits is None else values.round(digits)


def test_metrics_by_hand():
    found = metrics.metrics(np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.5, 4.0]))
    assert found["auroc"] == 7 / 8 and found["fpr95"] == 1 / 4
    assert found["ap"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert metrics.metrics(np.array([1.0, 2.0]), np.array([3.0])) == {"auroc": 1, "ap": 1, "fpr95": 0}
    assert metrics.metrics(np.zeros(3), np.zeros(2)) == pytest.approx({"auroc": 0.5, "ap": 0.4, "fpr95": 1})


def test_the_false_positive_rate_is_taken_where_95_of_100_are_caught():
    """The fifth lowest of 100 generated scores may be missed, the sixth may not."""
    real = np.array([4.5, 5.5, 6.5])
    assert metrics.metrics(real, np.arange(100.0))["fpr95"] == pytest.approx(2 / 3)
    assert metrics.metrics(real, np.arange(101.0))["fpr95"] == pytest.approx(2 / 3)
    assert metrics.metrics(real, np.arange(99.0))["fpr95"] == 1
    assert metrics.metrics(np.arange(20.0), np.arange(20.0))["fpr95"] == 0.95


@pytest.mark.parametrize("digits", [None, 1, 0])
def test_metrics_of_resamples_agree_with_scikit_learn_on_repeated_pictures(digits):
    real, generated = normal(0, 60, digits=digits), normal(1, 45, 0.8, digits)
    rng = np.random.default_rng(2)
    times, hits = rng.poisson(1, (40, 60)), rng.poisson(1, (40, 45))
    found = metrics.weighted_metrics(real, generated, times, hits)
    for row, many, more in zip(found, times, hits, strict=True):
        wanted = metrics.metrics(np.repeat(real, many), np.repeat(generated, more))
        assert row == pytest.approx([wanted[name] for name in METRICS], abs=1e-12)


def test_resampling_draws_with_replacement_and_keeps_the_size():
    counts = metrics._resample(50, 2000, np.random.default_rng(0))
    assert counts.shape == (2000, 50) and (counts.sum(1) == 50).all()
    assert counts.mean(0) == pytest.approx(1, abs=0.12) and counts.var() == pytest.approx(49 / 50, abs=0.03)


def all_against(real: np.ndarray, names) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    return np.full(len(real), "", object), {name: np.arange(len(real)) for name in names}


def test_bootstrap_is_seeded_and_independent_of_the_other_generators():
    real, generated = normal(0, 80), {"a": normal(1, 40, 1), "b": normal(2, 60, 2)}
    strata, opponents = all_against(real, generated)
    first = metrics.bootstrap(real, strata, generated, opponents, 200, seed=5)
    second = metrics.bootstrap(real, strata, {"b": generated["b"]}, opponents, 200, seed=5)
    other = metrics.bootstrap(real, strata, generated, opponents, 200, seed=6)
    assert first["a"].shape == (200, 3) and np.array_equal(first["b"], second["b"])
    assert not np.array_equal(first["a"], other["a"])


def test_bootstrap_of_paired_detectors_is_paired():
    """Two detectors that differ little on the same pictures: the interval of the difference is narrow."""
    real, fake = normal(0, 100), normal(1, 100, 1)
    strata, opponents = all_against(real, ["a"])
    one = metrics.bootstrap(real, strata, {"a": fake}, opponents, 300)["a"][:, 0]
    two = metrics.bootstrap(real + normal(3, 100) / 20, strata, {"a": fake}, opponents, 300)["a"][:, 0]
    assert np.std(one - two) < 0.3 * np.std(one)


def test_intervals_cover_the_truth():
    """The AUROC of two unit normals one apart is Phi(1 / sqrt 2) = 0.7602."""
    hits = 0
    for seed in range(100):
        real, fake = normal(2 * seed, 60), normal(2 * seed + 1, 60, 1)
        low, high = metrics.interval(metrics.bootstrap(real, *strata_first(real, fake), 200)["a"][:, 0])
        hits += low <= 0.7602 <= high
    assert 86 <= hits <= 100


def strata_first(real: np.ndarray, fake: np.ndarray):
    strata, opponents = all_against(real, ["a"])
    return strata, {"a": fake}, opponents


def test_real_pictures_are_resampled_once_for_all_generators():
    """With few real and many generated pictures the average over generators varies as much as each of them."""
    real = normal(0, 20)
    generated = {name: normal(seed, 2000, 1) for seed, name in enumerate("abcdef", 1)}
    strata, opponents = all_against(real, generated)
    drawn = metrics.bootstrap(real, strata, generated, opponents, 300)
    alone = np.mean([values[:, 0].std() for values in drawn.values()])
    assert np.mean([values[:, 0] for values in drawn.values()], axis=0).std() > 0.9 * alone


def test_strata_keep_their_sizes(monkeypatch):
    real = np.arange(30.0)
    strata = np.array(["a"] * 10 + [""] * 20, object)
    opponents = {"a": np.arange(10), "b": np.arange(30)}
    seen = []
    measure = metrics.weighted_metrics

    def spy(real, generated, times, hits):
        seen.append((len(real), set(times[:, :10].sum(1)), set(times.sum(1)), set(hits.sum(1))))
        return measure(real, generated, times, hits)

    monkeypatch.setattr(metrics, "weighted_metrics", spy)
    metrics.bootstrap(real, strata, {"a": normal(0, 7), "b": normal(1, 9)}, opponents, 50)
    assert seen == [(10, {10}, {10}, {7}), (30, {10}, {30}, {9})]


def test_chunks_of_draws_add_up(monkeypatch):
    real = normal(0, 30)
    monkeypatch.setattr(metrics, "VALUES_AT_ONCE", 500)
    drawn = metrics.bootstrap(real, *strata_first(real, normal(1, 20, 1)), 95)["a"]
    assert drawn.shape == (95, 3) and np.isfinite(drawn).all() and len(np.unique(drawn[:, 0])) > 60


def test_shares_have_wilson_intervals():
    """Wilson's interval by its formula; 1.959964 is the normal distribution's 97.5% quantile."""
    p_values = np.array([0.05, 0.0500001, 0.01, 0.9, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    found, z, n, p = metrics.share(p_values, 0.05), 1.959963984540054, 10, 0.2
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert found["share"] == 0.2
    assert found["interval"] == pytest.approx([(middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)])
    assert metrics.share(np.ones(10), 0.05)["interval"] == pytest.approx([0, 0.2775], abs=1e-4)


def row(label: int, source: str, score: float | None, p: float | None = 0.5, number: int = 0) -> Row:
    error = None if score is not None else "It is too small."
    return Row("f", source, label, f"{source}/{label}/{number}", "as_is", score, score, score, p, 1.0, 9, 4, error)


def test_a_generator_is_compared_with_its_own_real_pictures_or_else_with_all():
    rows = [row(0, "adm", s) for s in (0.0, 1.0)] + [row(0, "coco", s) for s in (10.0, 11.0, 12.0)]
    rows += [row(1, "adm", s) for s in (0.5, 2.0)] + [row(1, "flux", s) for s in (2.5, 20.0)]
    found = evaluate.summarise(rows, draws=20)
    adm, flux = found["generators"]["adm"], found["generators"]["flux"]
    assert (adm["n"], adm["n_real"], adm["auroc"]) == (2, 2, 0.75)
    assert (flux["n"], flux["n_real"], flux["auroc"]) == (2, 5, 0.7)
    assert found["average"]["auroc"] == pytest.approx(0.725) and found["average"]["n_generators"] == 2
    low, high = found["average"]["auroc_interval"]
    assert 0 <= low <= 0.725 <= high <= 1


def test_rates_at_alpha():
    p_real = {"a": [0.05, 0.2, 0.9, 0.01], "b": [0.5, 0.051]}
    rows = [row(0, name, i / 10, p, i) for name, ps in p_real.items() for i, p in enumerate(ps)]
    rows += [row(1, "x", 1.0, p) for p in (0.01, 0.05, 0.06)] + [row(1, "y", 1.0, 0.5)]
    found = evaluate.summarise(rows, alpha=0.05, draws=20)
    assert found["generators"]["x"]["tpr"]["share"] == pytest.approx(2 / 3)
    assert found["generators"]["x"]["tpr_strict"]["share"] == pytest.approx(1 / 3)
    assert found["average"]["tpr"] == pytest.approx(1 / 3) and found["average"]["tpr_strict"] == pytest.approx(1 / 6)
    assert found["real"]["a"]["fpr"]["share"] == 0.5 and found["real"]["a"]["fpr_strict"]["share"] == 0.25
    assert found["real"]["b"]["fpr"]["share"] == 0 and found["real"]["b"]["n"] == 2
    assert found["all_real"]["fpr"]["share"] == pytest.approx(2 / 6) and found["all_real"]["n"] == 6
    assert found["all_real"]["fpr_mean_over_sources"] == pytest.approx(0.25)


def test_what_failed_is_counted_and_left_out():
    rows = [row(0, "a", 0.0), row(0, "a", None), row(0, "b", None), row(1, "x", 1.0), row(1, "y", None)]
    found = evaluate.summarise(rows, draws=20)
    assert (found["pictures"], found["failures"]) == (5, 3)
    assert found["generators"]["y"] == {"n": 0, "failures": 1, "n_real": 1}
    assert found["average"]["n_generators"] == 1 and found["average"]["auroc"] == 1
    assert found["real"]["b"] == {"n": 0, "failures": 1} and found["real"]["a"]["failures"] == 1
    assert found["all_real"]["fpr_mean_over_sources"] == 0
    nothing = evaluate.summarise([row(0, "a", None), row(1, "x", 1.0)], draws=20)
    assert nothing["average"] == {"n_generators": 0} and nothing["all_real"]["n"] == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three generators, one with its own real pictures; one broken file and one that is soon too small."""
    root = tmp_path_factory.mktemp("evaluate") / "bench"
    plan = {"adm/0_real": 4, "adm/1_fake": 3, "fake/flux": 3, "fake/tiny": 1, "real/coco": 3}
    for number, (place, count) in enumerate(plan.items()):
        (root / place).mkdir(parents=True)
        for index in range(count):
            size = (64, 80) if place == "fake/tiny" else (96, 128)
            Image.fromarray(picture(50 * number + index, *size)).save(root / place / f"{index}.png")
    (root / "real" / "coco" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    return root


def test_folders_are_gathered_under_their_names(folder, tmp_path):
    found = evaluate.gather([folder / "adm", folder])
    assert len(found) == 4 + 3 + 3 + 1 + 4, "files of both folders count once"
    assert {entry.source for name, entry in found if name == "adm"} == {"adm"}
    assert {entry.source for name, entry in found if name == "bench"} == {"coco", "flux", "tiny"}
    assert [entry.key for _, entry in evaluate.gather([folder], ["adm"])][0] == "adm/0_real/0.png"
    other = Path(shutil.copytree(folder / "adm", tmp_path / "ldm"))
    assert {entry.source for _, entry in evaluate.gather([folder / "adm", other])} == {"adm", "ldm"}


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (["adm", "nope"], "No image comes from: nope."),
        (["coco"], "There is no generated image"),
        (["flux", "tiny"], "There is no real image"),
        ([], "There is no real image"),
    ],
)
def test_sources_that_do_not_fit_are_one_sentence(folder, sources, words):
    with pytest.raises(ValueError, match=words):
        evaluate.gather([folder], sources)


def test_folders_that_do_not_fit_are_one_sentence(folder, tmp_path, detector):
    with pytest.raises(ValueError, match="There is no folder"):
        evaluate.gather([folder, tmp_path / "gone"])
    with pytest.raises(ValueError, match="There is no real image"):
        evaluate.gather([])
    pictures = evaluate.gather([folder])
    for conditions, words in (([], "at least one condition"), (["as_is", "jpeg:0"], "no condition 'jpeg:0'")):
        with pytest.raises(ValueError, match=words):
            evaluate.score(detector, pictures, conditions)
    with pytest.raises(ValueError, match="false-alarm rate"):
        evaluate.score(detector, pictures, ["as_is"], alpha=0.5)


def test_every_picture_is_a_row_in_every_condition(folder, detector):
    pictures = evaluate.gather([folder])
    conditions = ["as_is", "alike", "resize:0.9", "as_is"]
    rows = evaluate.score(detector, pictures, conditions, seed=3)
    assert len(rows) == 3 * len(pictures) and len({(r.key, r.condition) for r in rows}) == len(rows)
    failed = {(r.key, r.condition): r.error for r in rows if r.error is not None}
    assert {key for key, _ in failed} == {"real/coco/broken.jpg", "fake/tiny/0.png"}
    assert "72 x 58 pixels, too small to judge; at least 64 x 64" in failed["fake/tiny/0.png", "resize:0.9"]
    assert ("fake/tiny/0.png", "as_is") not in failed
    assert all(r.score is None and r.p_value is None for r in rows if r.error is not None)
    by_key = {(r.key, r.condition): r for r in rows}
    for _, entry in pictures[:3]:
        assert by_key[entry.key, "as_is"].score == detector.detect(entry.path).verdict.score
        pixels = np.asarray(Image.open(entry.path))
        changed = degrade.alike(pixels, degrade.generator(3, "alike", entry.key))
        assert by_key[entry.key, "alike"].score == detector.detect(changed).verdict.score
    backwards = evaluate.score(detector, pictures[::-1], ["alike"], seed=3)
    assert {r.key: r.score for r in backwards} == {r.key: r.score for r in rows if r.condition == "alike"}


def scores_of(lines: list[dict], generator: str) -> list[tuple[int, float]]:
    """Labels and scores that a generator's figures are made of; "adm" has real pictures of its own."""
    return [
        (int(line["label"]), float(line["score"]))
        for line in lines
        if (line["label"] == "1" and line["source"] == generator)
        or (line["label"] == "0" and (generator != "adm" or line["source"] == "adm"))
    ]


def test_what_is_written(folder, detector, tmp_path):
    out = tmp_path / "deep" / "out"
    result = evaluate.evaluate(detector, [folder], out, ("as_is", "jpeg:60"), alpha=0.2, seed=1, draws=50)
    names = {"scores.csv", "metrics.csv", "metrics.json", "metrics.md", "histogram_as_is.png", "histogram_jpeg_60.png"}
    assert {path.name for path in out.iterdir()} == names
    text = (out / "metrics.json").read_text()
    assert json.loads(text) == result and str(folder.parent) not in text
    assert result["fingerprint"] == detector.fingerprint and result["model"] == "checkpoint"
    assert (result["folders"], result["pictures"], result["seed"], result["alpha"]) == (["bench"], 15, 1, 0.2)
    with open(out / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30 and all(str(folder.parent) not in line["error"] for line in rows)
    for condition, found in result["conditions"].items():
        here = [line for line in rows if line["condition"] == condition]
        assert found["failures"] == sum(line["error"] != "" for line in here) == 1 and found["pictures"] == 15
        good = [line for line in here if not line["error"]]
        for name, values in found["generators"].items():
            used = scores_of(good, name)
            labels, scores = zip(*used, strict=True)
            assert values["n"] + values["n_real"] == len(used)
            assert values["auroc"] == pytest.approx(roc_auc_score(labels, scores))
            assert values["ap"] == pytest.approx(average_precision_score(labels, scores))
            assert values["auroc_interval"][0] <= values["auroc"] <= values["auroc_interval"][1]
        real = [float(line["p_value"]) for line in good if line["label"] == "0"]
        assert found["all_real"]["fpr"]["share"] == np.mean(np.array(real) <= 0.2)
        with Image.open(out / f"histogram_{condition.replace(':', '_')}.png") as image:
            image.load()
            assert image.format == "PNG" and len(image.convert("RGB").getcolors(10**6)) > 10
    with open(out / "metrics.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    kinds = [(line["kind"], line["name"]) for line in lines if line["condition"] == "as_is"]
    assert kinds == [
        *(("generator", "adm"), ("generator", "flux"), ("generator", "tiny"), ("average", "")),
        *(("real", "adm"), ("real", "coco"), ("all real", "")),
    ]
    adm = result["conditions"]["as_is"]["generators"]["adm"]
    assert float(lines[0]["auroc"]) == adm["auroc"] and float(lines[0]["tpr_low"]) == adm["tpr"]["interval"][0]


def test_the_markdown_holds_the_figures(folder, detector, tmp_path):
    result = evaluate.evaluate(detector, [folder], tmp_path, ("as_is",), draws=50)
    text = (tmp_path / "metrics.md").read_text()
    assert text == tables.markdown(result)
    found = result["conditions"]["as_is"]
    for name, values in found["generators"].items():
        low, high = values["auroc_interval"]
        counts = f"| {name} | {values['n']} | {values['n_real']} |"
        assert f"{counts} {values['auroc']:.3f} [{low:.3f}, {high:.3f}] |" in text
    assert f"**average of 3** | 7 |  | {found['average']['auroc']:.3f}" in text
    assert "1 of 15 pictures could not be scored" in text and detector.fingerprint[:12] in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.strip().splitlines()}) == 1, "every line has every cell"


def test_a_run_is_reproducible_and_overwrites(folder, detector, tmp_path):
    texts = []
    for _ in range(2):
        evaluate.evaluate(detector, [folder], tmp_path, ("alike",), sources=["adm", "flux"], draws=50)
        texts.append([(tmp_path / name).read_text() for name in ("scores.csv", "metrics.csv")])
    assert texts[0] == texts[1] and "tiny" not in texts[0][0]
    assert json.loads((tmp_path / "metrics.json").read_text())["sources"] == ["adm", "flux"]


def test_a_condition_under_which_nothing_is_left_is_said_so(folder, detector, tmp_path):
    result = evaluate.evaluate(detector, [folder], tmp_path, ("resize:0.3",), draws=20)
    found = result["conditions"]["resize:0.3"]
    assert found["failures"] == found["pictures"] == 15 and found["average"] == {"n_generators": 0}
    assert "15 of 15 pictures could not be scored" in (tmp_path / "metrics.md").read_text()
    assert (tmp_path / "histogram_resize_0.3.png").exists() and result["n_calibration"] is None


def test_the_threshold_is_marked_where_there_is_one():
    rows = [row(0, "a", 0.0), row(0, "a", 2.0), row(1, "x", 3.0)]
    figure = tables.histogram(rows, "as_is", 0.05)
    assert [line.get_xdata()[0] for line in figure.axes[0].lines] == [1.0]
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["real (2)", "generated (1)", "p = 0.05"]
    endless = [Row(**{**vars(r), "threshold": np.inf}) for r in rows]
    assert not tables.histogram(endless, "as_is", 0.05).axes[0].lines
    same = [row(0, "a", 1.0), row(1, "x", 1.0)]
    assert tables.histogram(same, "as_is", 0.05).axes[0].get_legend() is not None
