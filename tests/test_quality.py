"""`benchmarks/quality/folds.py`: its baselines against naive ones, and all of it on a small run."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from tiny import picture

from benchmarks.quality import folds as quality
from benchmarks.quality import localise
from mdmf_core import cli
from mdmf_core.method import mmd
from mdmf_core.training import encoder
from mdmf_core.training.dataset import Entry
from mdmf_core.training.embed import Embedded

ROOT = Path(__file__).resolve().parent.parent
RECIPE = {
    "backbone": {"name": "compact"},
    "geometry": {"patch_size": 32, "max_patches": 24},
    "pretrain": {"channels": [6, 12], "patch_size": 32, "steps": 60, "versions": 1, "pictures": 4, "side": 96},
    "embed": {"lives": ["as_is", "alike"]},
    "train": {"steps": 20, "check": 10, "pictures": 6, "patches": 4, "bank_pictures": 8, "hidden": 8, "signature": 4},
    "bank": {"size": 32, "lives": ["as_is"]},
    "locate": {"composites": 40, "checks": 0, "steps": 10, "width": 4, "hidden": 4, "workers": 1},
    "split": {
        "test": ["camera4", "camera3", "gan5", "gan2"],
        "validation": ["camera2", "gan3"],
        "calibration_share": 0.4,
    },
}


@pytest.fixture(scope="module")
def fold(tmp_path_factory) -> quality.Fold:
    """A trained fold called `tiny` below a root of its own."""
    root = tmp_path_factory.mktemp("root")
    checkers = (np.indices((128, 128)).sum(0) % 2 * 16)[..., None]
    for index in range(60):
        fake = index % 2
        folder = root / "data" / ("real", "fake")[fake] / f"{('camera', 'gan')[fake]}{index % 7 if fake else index % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(picture(index, 128, 128).astype(int) + fake * checkers, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    recipe = root / "benchmarks" / "configs" / "tiny.json"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(json.dumps(RECIPE | {"data": str(root / "data"), "pretrain": RECIPE["pretrain"]}))
    for command in ("pretrain", "embed", "train", "bank", "locate"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encoder, "SAVE_EVERY", 60)
            patch.setattr(sys, "argv", ["mdmf_core", command, str(recipe), str(root / "runs" / "tiny")])
            try:
                cli.main()
            except SystemExit as end:
                assert not end.code
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "ROOT", root)
        yield quality.Fold("tiny")


def embedded(label: int, source: str, count: int, seed: int) -> Embedded:
    values = torch.from_numpy(np.random.default_rng(seed).normal(label, 1, (count, 4))).float()
    return Embedded(f"{source}/{seed}", label, source, "as_is", 1, count, values)


def test_the_average_is_over_generators_and_not_over_pictures():
    labels = np.array([0, 0, 0, 1, 1, 1])
    sources = np.array(["a", "a", "b", "g", "g", "h"])
    scores = np.array([0.1, 0.4, 0.3, 0.5, 0.6, 0.2])
    of_g = roc_auc_score([0, 0, 0, 1, 1], [0.1, 0.4, 0.3, 0.5, 0.6])
    of_h = roc_auc_score([0, 0, 0, 1], [0.1, 0.4, 0.3, 0.2])
    assert quality.average_auroc(labels, sources, scores) == pytest.approx((of_g + of_h) / 2)


def test_hard_voting_has_the_best_threshold_there_is():
    pictures = [embedded(i % 2, "ag"[i % 2], 3 + i % 4, i) for i in range(30)]
    values = [p.embeddings[:, 0].double().numpy() for p in pictures]
    votes, threshold = quality.best_votes(pictures, values)
    labels, sources = quality.labels_of(pictures)
    best = quality.average_auroc(labels, sources, votes)
    assert np.allclose(votes, [np.mean([v > threshold for v in patches]) for patches in values])
    for other in np.linspace(-2, 3, 11):
        # thresholds are quantiles of the values: another one may sit between two of them, not far above
        assert quality.average_auroc(labels, sources, quality.voted(values, other)) <= best + 0.03


def test_a_lead_is_the_paired_difference():
    draws = {"g": np.random.default_rng(0).uniform(0.5, 0.9, (200, 3))}
    better = {"g": draws["g"] + [0.05, 0, 0]}
    points = {"g": {"auroc": 0.7, "ap": 0.6, "fpr95": 0.5}}
    found = quality.over_generators(points, draws, better)
    assert found["lead"] == pytest.approx(0.05) and found["lead_interval"] == pytest.approx([0.05, 0.05])
    assert found["auroc"] == 0.7 and found["n_generators"] == 1


def test_every_source_is_held_out_by_one_fold_and_never_trained_on_there():
    seen: list[str] = []
    for name in ("bundled", "fold1", "fold2"):
        recipe = json.loads((ROOT / "benchmarks" / "configs" / f"{name}.json").read_text())
        held = recipe["split"]["test"]
        for role in ("validation", "calibration"):
            assert not set(held) & set(recipe["split"][role]), (name, role)
        seen += held
    assert len(seen) == len(set(seen)) == 31
    assert {member for family in quality.FAMILIES.values() for member in family} <= set(seen)


def test_pooling_judges_one_mean_signature(fold):
    pictures = fold.test("as_is")[:5]
    bank = fold.detector.reference
    found = quality.pooled(fold.model, (bank.real, bank.generated), pictures)
    for value, one in zip(found, pictures, strict=True):
        mean = mmd.Points(fold.model.points(one.embeddings).z.mean(0, keepdim=True))
        assert value == pytest.approx(
            float(mmd.relative_witness(mean, bank.real, bank.generated, fold.model.kernel)), abs=1e-12
        )


def test_rows_are_what_the_detector_says(fold):
    pictures = fold.test("as_is")
    rows = quality.rows_of(fold, pictures, "as_is")
    paths = {entry.key: entry.path for entry in fold.dealt.test}
    for row in rows[::5]:
        evidence = fold.detector.detect(paths[row.key])
        assert row.score == pytest.approx(evidence.verdict.score, abs=1e-9) and row.p_value == evidence.verdict.p_value
    assert {row.source for row in rows} == set(RECIPE["split"]["test"])


def test_the_whole_command(fold, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(quality, "CURVES", {"jpeg": (70,), "blur": (1,), "noise": (0.05,), "resize": (0.7,)})
    monkeypatch.setattr(quality, "FAMILIES", {"tiny": ("gan2",)})
    monkeypatch.setattr(quality, "PATCH_SIZES", (24, 32))
    parts = ["main", "robustness", "ablations", "localisation"]
    options = ["--per-source", "4", "--composites", "6", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["quality.py", "tiny", *options, "--only", *parts])
    quality.main()
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "quality.json").read_text())
    assert set(parts) <= set(found) and (tmp_path / "robustness.png").stat().st_size > 5_000
    assert (tmp_path / "quality.md").read_text().strip() in said
    methods = found["main"]["alike"]["methods"]
    assert len(methods) == 8 and methods[quality.DECIDES]["lead"] == 0
    assert all(0 <= row["auroc"] <= 1 and row["n_generators"] == 2 for row in methods.values())
    assert found["robustness"]["resize:0.7"]["too_small"] == 0
    assert len(found["ablations"]["signature"]) == 6 and len(found["ablations"]["W"]) == 2
    assert set(found["main"]["as_is"]["false_positives"]["sources"]) == {"camera3", "camera4"}
    tables = found["localisation"]["tables"]
    assert set(tables) == {"tiny, as made", "tiny, recompressed"}
    for table in tables.values():
        assert all(low <= mean <= high for mean, low, high in table.values())
        assert "AUROC within a composite: unlike the rest" in table and "AUROC over all patches: evidence" in table


def test_another_detector_s_figures_come_back_in_order(fold, tmp_path):
    stand_in = tmp_path / "python"
    stand_in.write_text('#!/bin/sh\nwhile IFS= read -r path || [ -n "$path" ]; do wc -c < "$path"; done\n')
    stand_in.chmod(0o755)
    entries = fold.dealt.test[:4]
    assert quality.sahu_scores(stand_in, entries, "as_is").tolist() == [e.path.stat().st_size for e in entries]
    assert len(quality.sahu_scores(stand_in, entries, "alike")) == 4


def test_other_parts_stay_where_only_the_locator_is_another(fold, tmp_path, monkeypatch):
    old = {"folds": ["tiny"], "fingerprints": ["0" * 64], "per_source": 4, "robustness": {}, "localisation": {}}
    (tmp_path / "quality.json").write_text(json.dumps(old))
    options = ["quality.py", "tiny", "--composites", "4", "--out", str(tmp_path), "--only", "localisation"]
    monkeypatch.setattr(quality, "plot", lambda curves: quality.Figure())
    monkeypatch.setattr(sys, "argv", options)
    quality.main()
    found = json.loads((tmp_path / "quality.json").read_text())
    assert found.pop("localisation")["fingerprints"] == {"tiny": fold.detector.fingerprint}
    assert found == {name: old[name] for name in found} and set(old) - {"localisation"} == set(found)


def test_folds_of_an_earlier_run_stay_beside_new_ones():
    earlier = {"fingerprints": {"a": "1", "b": "2"}, "count": 4, "tables": {"a, as made": {"x": 1}, "b, as made": {}}}
    found = {"fingerprints": {"a": "3"}, "count": 4, "tables": {"a, as made": {"x": 2}}}
    assert quality.with_others(earlier, found) == {
        "fingerprints": {"a": "3", "b": "2"},
        "count": 4,
        "tables": {"a, as made": {"x": 2}, "b, as made": {}},
    }
    assert quality.with_others(earlier | {"count": 5}, found) == found == quality.with_others({}, found)


# Composites with a known answer


class Knows:
    """A detector whose evidence is what a function makes of the patches' mean brightness; 32-pixel patches."""

    def __init__(self, detector, of) -> None:
        self.detector, self.of = detector, of

    def detect(self, pixels: np.ndarray):
        found = self.detector.detect(pixels)
        bright = np.array([pixels[y : y + h, x : x + w].mean() for x, y, w, h in found.grid.boxes])
        values = self.of(bright)
        shown = replace(found.maps["evidence"], values=values, outlined=values > 0.3)
        verdict = replace(found.verdict, shares=values / len(values))
        return replace(found, verdict=verdict, maps={"evidence": shown})


@pytest.fixture
def dark_and_bright(tmp_path) -> list[Entry]:
    """Dark pictures for real ones, bright ones for generated ones."""
    entries = []
    for label, level in ((0, 40), (1, 210)):
        for index in range(4):
            path = tmp_path / f"{label}{index}.png"
            Image.fromarray(np.full((256, 256, 3), level + index, np.uint8)).save(path)
            entries.append(Entry(path, path.name, label, "ab"[label]))
    return entries


@pytest.mark.parametrize(("of", "expected"), [(lambda b: b / 255, 1.0), (lambda b: -b / 255, 0.0)])
def test_a_map_that_knows_is_right_and_one_that_knows_the_contrary_wrong(fold, dark_and_bright, of, expected):
    found = localise.figures([(Knows(fold.detector, of), dark_and_bright)], 12, True)
    assert found["AUROC within a composite: evidence"][0] == expected
    assert found["the strongest patch is altered: evidence"][0] == expected
    assert found["recall of outlines: evidence"][0] == expected
    assert found["untouched photographs with an outline: evidence"] == (0, 0, 0)
    assert found["untouched generated pictures with an outline: evidence"] == (expected, expected, expected)
    chance = found["the strongest patch is altered: by chance"][0]
    assert 0 < chance < 1 and found["deletion, strongest less random: evidence"][0] > 0


def test_composites_that_can_not_be_had_are_one_sentence(fold, tmp_path, monkeypatch):
    monkeypatch.setattr(localise.composites, "altered", lambda boxes, mask: np.zeros(len(boxes)))
    path = tmp_path / "even.png"
    Image.fromarray(picture(0, 128, 128)).save(path)
    entries = [Entry(path, "even.png", label, "a") for label in (0, 1)]
    with pytest.raises(ValueError, match="Only 0 of 3 composites"):
        localise.measure(fold.detector, entries, localise.KINDS[0], 3, False, np.random.default_rng(0))
