"""Recipes without one part: what each run is made of, and its figures against loops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import picture

from benchmarks.quality import ablation
from benchmarks.quality.packed import Crop
from mdmf_core.training.dataset import Entry, lot
from mdmf_core.training.recipe import Pretrain

SMALL = Pretrain(window=64, pictures=3, paired=1, mixed=2, traceless=2, clusters=0)


def crop(number: int) -> Crop:
    """Two sources of each class, one with three times as many pictures."""
    label, source = number % 2, "many" if number % 4 else "few"
    return Crop(picture(number, 96, 96), True, b"", label, 1.0, f"{source}{label}")


FOUND = [crop(number) for number in range(24)]


def test_a_share_of_the_sources_keeps_whole_sources() -> None:
    half = float(np.median([lot(f"{each.label}/{each.source}") for each in FOUND]))
    kept = ablation.chosen(FOUND, ablation.Lead("half", sources=half))
    wanted = [each for each in FOUND if lot(f"{each.label}/{each.source}") < half]
    assert kept == wanted and 0 < len({each.source for each in kept}) < len({each.source for each in FOUND})
    assert ablation.chosen(FOUND, ablation.LEADS[0]) == FOUND


def test_subjects_that_are_not_balanced_give_each_source_the_same_weight() -> None:
    kept = ablation.chosen(FOUND, ablation.Lead("plain", balanced=False))
    totals = {source: sum(each.weight for each in kept if each.source == source) for source in ("many1", "few0")}
    assert totals == {"many1": pytest.approx(1), "few0": pytest.approx(1)}


def test_one_jpeg_is_all_that_happens_to_a_picture_without_histories() -> None:
    rng = np.random.default_rng(0)
    plain = ablation.Batches(FOUND, [], SMALL, ablation.Lead("plain", lives=False))
    assert {plain._life(0, rng).shape for _ in range(12)} == {(96, 96, 3)}
    whole = ablation.Batches(FOUND, [], SMALL, ablation.LEADS[0])
    assert len({whole._life(0, rng).shape for _ in range(12)}) > 1


def test_colours_as_they_are_stay_as_they_are() -> None:
    rng, grey = np.random.default_rng(0), []
    for colours in (False, True):
        batches = ablation.Batches(FOUND, [], SMALL, ablation.Lead("plain", colours=colours))
        crops = batches._lives(1, 120, rng)
        grey.append(sum(np.ptp(each.astype(int), axis=2).max() == 0 for each in crops))
    assert grey[0] == 0 < grey[1]


@pytest.mark.parametrize("lead", ablation.LEADS, ids=lambda lead: lead.name)
def test_every_run_gives_batches_that_its_settings_ask_for(lead) -> None:
    settings = SMALL.model_copy(update=lead.changed)
    pairs = [(each.pixels, 255 - each.pixels) for each in FOUND[:2]]
    windows, masks = ablation.Batches(FOUND, pairs if lead.pairs else [], settings, lead)[0]
    assert len(masks) == settings.mixed and len(windows) == 6 + settings.mixed + settings.traceless


def test_figures_are_those_of_loops() -> None:
    entries = [Entry(Path(f"{n}.png"), f"{n}", 0, "camera") for n in range(20)]
    entries += [Entry(Path(f"{n}.png"), f"g{n}", 1, "abc"[n % 3] if n < 12 else "few") for n in range(14)]
    values = np.random.default_rng(1).normal(size=34).round(1)
    real, own = (
        values[:20],
        {name: values[20:][[e.source == name for e in entries[20:]]] for name in ("a", "b", "c", "few")},
    )
    found = ablation.figures(values, entries)

    def auroc(generated: np.ndarray) -> float:
        return float(np.mean([(g > r) + 0.5 * (g == r) for g in generated for r in real]))

    assert found["auroc"] == pytest.approx(auroc(values[20:]))
    assert found["mean"] == pytest.approx(np.mean([auroc(own[name]) for name in "abc"])), "two pictures are too few"
    assert found["found"] == np.mean([value > np.quantile(real, 0.95) for value in values[20:]])


def test_a_run_that_is_there_is_not_trained_again(tmp_path: Path, monkeypatch) -> None:
    trained, three = [], dict.fromkeys(("auroc", "mean", "found"), 0.5)
    (tmp_path / "pretrain.json").write_text(SMALL.model_dump_json())
    monkeypatch.setattr(ablation, "LEADS", (ablation.LEADS[0], ablation.LEADS[1]))
    monkeypatch.setattr(ablation, "unpack", lambda folder, window: FOUND)
    monkeypatch.setattr(ablation, "tried_on", lambda data, most: [])
    monkeypatch.setattr(ablation.on_gpu, "made_again", lambda photographs, folder, device: [])
    monkeypatch.setattr(ablation, "train", lambda lead, *rest: (trained.append(lead.name), 7))
    monkeypatch.setattr(ablation, "measured", lambda *of: dict.fromkeys(ablation.CONDITIONS, three))
    given = [str(tmp_path), str(tmp_path), str(tmp_path / "out"), "--start", "none", "--autoencoder", "none"]
    for times in (1, 2):
        ablation.main([*given, "--results", str(tmp_path / f"{times}.json")])
    assert trained == ["the whole recipe", "no pretrained start"]
    rows = json.loads((tmp_path / "2.json").read_text())
    assert [row["lead"] for row in rows] == trained and rows[0]["steps"] == 7
