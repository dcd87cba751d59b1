"""`benchmarks/quality/held_out.py`: its figures against loops over pairs, and all of it on a small case."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import make_checkpoint, picture

from benchmarks.quality import held_out, held_out_figures, roles
from mdmf_core.errors import DatasetError
from mdmf_core.method.backbones.lite import Lite
from mdmf_core.training.evaluate import Row

ROOT = Path(__file__).resolve().parent.parent
KNOWN = {
    "real/camera": {"kind": "cameras", "role": "test"},
    "real/web": {"kind": "web", "role": "test"},
    "real/old": {"kind": "web", "role": "train"},
    "real/paint": {"kind": "art", "role": "test"},
    "fake/gan": {"kind": "gan", "role": "test"},
    "fake/xl": {"kind": "sdxl_era", "role": "test"},
    "fake/few": {"kind": "2025_on", "role": "test"},
    "fake/grown": {"kind": "upscalers", "role": "apart"},
}
SIZES = {"real/camera": 9, "real/web": 4, "real/paint": 5, "fake/gan": 10, "fake/xl": 8, "fake/few": 3}


def some_rows(seed: int = 0, condition: str = "alike") -> list[Row]:
    """Rows of `SIZES` pictures a source, with ties among the scores."""
    rng, rows = np.random.default_rng(seed), []
    for name, size in SIZES.items():
        kind, source = name.split("/")
        for index in range(size):
            score = round(rng.normal(kind == "fake"), 1)
            p = round(rng.uniform(0, 0.3), 2)
            row = Row("data", source, int(kind == "fake"), f"{name}/{index}", condition, score=score, p_value=p)
            rows.append(row)
    return rows


def scores_of(rows: list[Row], *names: str) -> list[float]:
    return [row.score for row in rows if roles.name_of(row.label, row.source) in names]


def naive_auroc(rows: list[Row], generated: list[str], real: list[str]) -> float:
    """Pair by pair."""
    pairs = [(g, r) for g in scores_of(rows, *generated) for r in scores_of(rows, *real)]
    return float(np.mean([(g > r) + 0.5 * (g == r) for g, r in pairs]))


def figures(rows: list[Row], named: list[dict] = (), matches: list = ()) -> dict:
    return held_out_figures.of_condition(held_out_figures.Condition(rows, KNOWN, draws=200), list(named), list(matches))


# Figures of a condition


def test_averages_are_against_photographs_and_art_has_its_own():
    rows = some_rows()
    found, photographs = figures(rows), ["real/camera", "real/web"]
    each = [naive_auroc(rows, [name], photographs) for name in ("fake/gan", "fake/xl")]
    generated = ["fake/gan", "fake/xl", "fake/few"]
    assert found["auroc"]["average"][0] == pytest.approx(np.mean(each))
    assert found["auroc"]["rest"][0] == pytest.approx(naive_auroc(rows, ["fake/few"], photographs))
    assert found["auroc"]["pooled"][0] == pytest.approx(naive_auroc(rows, generated, photographs))
    assert found["art"]["auroc"]["pooled"][0] == pytest.approx(naive_auroc(rows, generated, ["real/paint"]))
    assert found["families"]["gan"]["auroc"]["average"][0] == pytest.approx(each[0])
    assert found["families"]["2025_on"]["auroc"]["average"][0] is None
    assert found["families"]["2025_on"]["auroc"]["pooled"] == found["auroc"]["rest"]
    assert found["generators"]["xl"]["auroc"][0] == pytest.approx(each[1])
    assert set(found["generators"]) == {"gan", "xl"}
    low, high = found["auroc"]["pooled"][1:]
    assert low < found["auroc"]["pooled"][0] < high


def test_shares_at_the_level_are_counted_by_source_and_by_picture():
    rows = some_rows()
    found = figures(rows)

    def rate(*names: str) -> float:
        own = [row.p_value for row in rows if roles.name_of(row.label, row.source) in names]
        return sum(p <= 0.05 for p in own) / len(own)

    assert found["tpr"]["average"][0] == pytest.approx((rate("fake/gan") + rate("fake/xl")) / 2)
    assert found["tpr"]["pooled"][0] == pytest.approx(rate("fake/gan", "fake/xl", "fake/few"))
    alarms = found["false_alarms"]
    assert alarms["pictures"][0] == pytest.approx(rate("real/camera", "real/web"))
    assert alarms["mean"][0] == pytest.approx((rate("real/camera") + rate("real/web")) / 2)
    assert (alarms["n"], alarms["sources"]) == (13, 2)
    assert found["art"]["false_alarms"]["pictures"][0] == pytest.approx(rate("real/paint"))
    assert found["real"]["camera"]["false_alarms"]["share"] == pytest.approx(rate("real/camera"))
    assert set(found["real"]) == {"camera"} and found["above"] == ["camera"] * (rate("real/camera") > 0.12)
    limit = np.quantile(scores_of(rows, "real/camera", "real/web"), 0.95)
    above = np.array(scores_of(rows, "fake/gan", "fake/xl", "fake/few")) > limit
    assert found["found_at_own_point"] == pytest.approx(above.mean())


def test_what_cannot_be_judged_is_counted_by_class_and_stays_in_every_other_figure():
    rows = some_rows()
    told = [replace(row, reason="It is flat.") if row.key[-1] in "02" else row for row in rows]
    found, before = figures(told), figures(rows)
    refused = found.pop("refused")
    assert refused["photographs"][0] == pytest.approx(4 / 13) and refused["art"][0] == pytest.approx(2 / 5)
    assert refused["generated"][0] == pytest.approx(6 / 21)
    assert all(low <= value <= high for value, low, high in refused.values())
    assert before.pop("refused")["photographs"] == [0, 0, 0] and found == before


def test_pairs_of_like_subject_are_compared_with_each_other_alone():
    rows = some_rows()
    named = [
        {"subject": "faces", "real": "web", "generated": "gan"},
        {"subject": "art", "real": "paint", "generated": "few"},
        {"subject": "gone", "real": "nowhere", "generated": "gan"},
    ]
    found = figures(rows, named)["pairs"]
    each = [naive_auroc(rows, ["fake/gan"], ["real/web"]), naive_auroc(rows, ["fake/few"], ["real/paint"])]
    assert found["n"] == 2 and [pair["auroc"] for pair in found["each"]] == pytest.approx(each)
    assert found["auroc"][0] == pytest.approx(np.mean(each))


def test_matched_pairs_are_compared_picture_by_picture():
    rows = some_rows()
    keys = {row.key: row.score for row in rows}
    generated = [row for row in rows if row.label == 1]
    real = [row.key for row in rows if row.label == 0]
    matches = [(row.key, real[5 * index % len(real)], index / 100) for index, row in enumerate(generated)]
    found = figures(rows, (), [*matches, ("fake/gan/gone", "real/web/0", 0.9)])["matched"]

    def higher(pairs: list) -> float:
        return np.mean([(keys[g] > keys[r]) + 0.5 * (keys[g] == keys[r]) for g, r, _ in pairs])

    own = [[pair for pair in matches if pair[0].startswith(name)] for name in ("fake/gan/", "fake/xl/")]
    assert found["n"] == len(generated) and found["higher"][0] == pytest.approx(higher(matches))
    assert found["higher_of_the_closer_half"][0] == pytest.approx(higher(matches[len(matches) // 2 :]))
    assert found["mean_over_generators"][0] == pytest.approx((higher(own[0]) + higher(own[1])) / 2)


def test_pictures_that_could_not_be_scored_are_counted_and_left_out():
    rows = some_rows()
    failed = Row("data", "gan", 1, "fake/gan/bad", "alike", error="It is too small.")
    found, before = figures([*rows, failed]), figures(rows)
    assert found["failures"] == 1 and found["pictures"] == len(rows) + 1
    assert found["auroc"] == before["auroc"] and found["generators"] == before["generators"]


def test_without_art_or_without_generated_pictures_figures_are_none():
    rows = some_rows()
    found = figures([row for row in rows if row.source != "paint"])
    assert found["art"]["auroc"]["pooled"] == [None] * 3 and found["art"]["false_alarms"]["n"] == 0
    found = figures([row for row in rows if row.label == 0])
    assert found["auroc"]["pooled"] == [None] * 3 and found["found_at_own_point"] is None
    assert found["false_alarms"]["pictures"][0] is not None


# The file of roles and the named pairs


def test_named_pairs_are_of_held_out_sources_and_none_is_named_twice():
    known = roles.load()
    named = json.loads(held_out.PAIRS.read_text("utf-8"))
    for pair in named:
        for name in (f"real/{pair['real']}", f"fake/{pair['generated']}"):
            assert known[name]["role"] == "test", name
    assert len({(pair["real"], pair["generated"]) for pair in named}) == len(named) >= 20


def test_upscalers_and_sources_that_are_trained_on_are_not_held_out(data):
    entries = roles.held_out(data, KNOWN)
    assert {roles.name_of(entry.label, entry.source) for entry in entries} == set(SIZES)
    assert {entry.source for entry in roles.without_art(entries, KNOWN)} == {"camera", "web", "gan", "xl", "few"}
    fewer = roles.held_out(data, KNOWN, 2)
    assert len(fewer) == 2 * len(SIZES) and {entry.key for entry in fewer} < {entry.key for entry in entries}
    with pytest.raises(DatasetError, match="held out"):
        roles.held_out(data, {})


# The command


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Small pictures of every source of `KNOWN`."""
    root = tmp_path_factory.mktemp("data")
    for number, name in enumerate(KNOWN):
        (root / name).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(picture(10 * number + index, 136, 144)).save(root / name / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A tiny checkpoint, its folds and pairs, and weights of random values for the embeddings."""
    folder = tmp_path_factory.mktemp("files")
    make_checkpoint(folder / "checkpoint", located=False)
    (folder / "folds.json").write_text(json.dumps(KNOWN))
    (folder / "pairs.json").write_text(json.dumps([{"subject": "faces", "real": "web", "generated": "gan"}]))
    torch.manual_seed(0)
    torch.save(Lite.base().state_dict(), folder / "lite.pth")
    return folder


def run(monkeypatch, files: Path, data: Path, *more: str) -> dict:
    """What the command writes."""
    options = [f"--{name}={files / name}.json" for name in ("folds", "pairs")]
    options += [f"--out={files / 'out.json'}", "--draws=50", "--processes=1", *more]
    monkeypatch.setattr(sys, "argv", ["held_out.py", str(files / "checkpoint"), str(data), *options])
    held_out.main()
    return json.loads((files / "out.json").read_text())


def test_the_command_scores_once_and_makes_tables_again_without_scoring(monkeypatch, capsys, files, data):
    monkeypatch.setattr(held_out, "AT_ONCE", 5)
    monkeypatch.setattr(held_out_figures, "LEAST", 2)
    first = run(monkeypatch, files, data, "--most=2", f"--start={files / 'lite.pth'}")
    with open(files / "out.csv", newline="") as file:
        kept = list(csv.DictReader(file))
    assert len(kept) == 4 * 2 * len(SIZES) and {row["condition"] for row in kept} == set(held_out.CONDITIONS)
    assert set(first["conditions"]) == set(held_out.CONDITIONS)
    for found in first["conditions"].values():
        assert found["failures"] == 0 and found["matched"]["n"] == 6 and found["pairs"]["n"] == 1
        assert found["false_alarms"]["n"] == 4 and found["art"]["false_alarms"]["n"] == 2
    printed = capsys.readouterr().out
    assert (files / "out.md").read_text() in printed and "AUROC against genuine art" in printed
    assert "| gan | gan | 2 |" in printed and "grown" not in printed and "old" not in printed

    def refuse(*_) -> None:
        raise AssertionError("nothing is left to score or to embed")

    monkeypatch.setattr(held_out, "score", refuse)
    monkeypatch.setattr(held_out, "match", refuse)
    assert run(monkeypatch, files, data, "--most=2", f"--start={files / 'lite.pth'}") == first
    assert run(monkeypatch, files, data, "--most=2") == first


def test_scores_that_an_older_version_kept_are_refused(files, tmp_path):
    held_out.write_scores(tmp_path / "old.csv", some_rows(), "0" * 64)
    text = (tmp_path / "old.csv").read_text().replace("reason", "why")
    (tmp_path / "old.csv").write_text(text)
    with pytest.raises(DatasetError, match="other columns"):
        held_out.read_scores(tmp_path / "old.csv", "0" * 64)


def test_scores_of_another_checkpoint_are_refused(monkeypatch, files, data, tmp_path):
    held_out.write_scores(tmp_path / "other.csv", some_rows(), "0" * 64)
    with pytest.raises(DatasetError, match="another checkpoint"):
        run(monkeypatch, files, data, f"--scores={tmp_path / 'other.csv'}")


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [*some_rows(), Row("data", "gan", 1, "fake/gan/bad", "alike", error="It is too small.")]
    held_out.write_scores(tmp_path / "rows.csv", rows, "print")
    assert held_out.read_scores(tmp_path / "rows.csv", "print") == rows
    assert held_out.read_scores(tmp_path / "none.csv", "print") == []
