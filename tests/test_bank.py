"""Which pictures calibrate, and in which condition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import picture

from mdmf_core.errors import DatasetError
from mdmf_core.images import degrade
from mdmf_core.method import known
from mdmf_core.method.state import KINDS
from mdmf_core.training import bank, embed, strength
from mdmf_core.training.dataset import Entry, Split
from mdmf_core.training.embed import Embedded
from mdmf_core.training.recipe import Bank, Details


def test_a_calibration_picture_is_used_in_one_life_only() -> None:
    conditions = ["as_is", "history0"]
    config = Bank(calibration_lives=conditions)
    kept = [(i, named) for i in range(40) for named in conditions if bank.calibrates(f"{i}", named, "soft", config)]
    assert sorted(i for i, _ in kept) == list(range(40)) and {named for _, named in kept} == set(conditions)
    config = Bank(details=Details(soft=["blur:2"]))
    assert [bank.calibrates("0", "as_is", detail, config) for detail in KINDS] == [True, False, True]


def test_calibration_pictures_in_the_bank_are_refused() -> None:
    pictures = [Embedded("same", 0, "camera", "as_is", 2, 2, torch.zeros(4, 2))]
    with pytest.raises(DatasetError, match="in the bank too"):
        bank.build(pictures, pictures, None, Bank())


def test_likelihood_ratios_come_from_pictures_that_training_did_not_see(tmp_path, detector, monkeypatch) -> None:
    monkeypatch.setattr(strength, "FEWEST", 5)
    monkeypatch.setattr(known, "FEWEST", 2)
    monkeypatch.setattr(bank, "FEWEST", 5)
    dealt = Split([], [], [], [])
    for seed in range(24):
        label, source = seed % 2, ("camera", "gan", "seen", "gan")[seed % 4]
        path = tmp_path / f"{seed}.png"
        Image.fromarray(picture(seed, 96, 96)).save(path)
        (dealt.validation if label else dealt.calibration).append(Entry(path, path.stem, label, source))
    dealt.train.append(Entry(tmp_path / "t.png", "t", 0, "seen"))
    others = bank.unseen(dealt)
    assert {(entry.label, entry.source) for entry in others} == {(0, "camera"), (1, "gan")} and len(others) == 18
    model, lines = detector.model, []
    entries = dealt.calibration + dealt.validation
    conditions = ("as_is", "web")
    embed.embed(entries, tmp_path / "embeddings", model.backbone, model.geometry, conditions)
    asked = Bank(calibration_lives=conditions, details=Details(noisy=["noise:0.1"]))
    found = bank.with_strength(detector.reference, tmp_path / "embeddings", others, model, asked, lines.append)
    found = bank.with_details(found, dealt.calibration, model, asked, lines.append, others=others)
    assert list(found.strength) == ["usual", "noisy"] and list(found.known.nulls) == ["usual", "noisy"]
    assert len(found.strength["noisy"][3].real) == 6 and len(found.strength["noisy"][3].generated) == 12
    assert len(found.known.nulls["noisy"][3]) == 18 and "of sources not trained on" in lines[0]
    few = [entry for entry in others if entry.source == "gan"][:3]
    none = bank.with_strength(detector.reference, tmp_path / "embeddings", few, model, asked, lines.append)
    assert none.strength == {} and none.known is None and lines[-1].startswith("likelihood ratios: none")


def test_details_get_a_calibration_of_their_own(tmp_path: Path, detector) -> None:
    entries = []
    for seed in range(24):
        path = tmp_path / f"{seed}.png"
        Image.fromarray(picture(seed, 96, 96)).save(path)
        entries.append(Entry(path, path.stem, 0, "camera"))
    made, lines = detector.reference, []
    asked = Bank(details=Details(soft=["blur:2", "blur:3"], noisy=["noise:0.1"]))
    found = bank.with_details(made, entries, detector.model, asked, lines.append)
    assert list(found.details) == ["soft", "noisy"] and found.nulls is made.nulls
    assert sum(found.facts["details"]["soft"].values()) == 24 and len(found.facts["details"]["soft"]) == 2
    assert found.facts["details"]["noisy"] == {"noise:0.1": 24}
    told = [line.split(":")[0] for line in lines if line.startswith("calibration of ")]
    assert told == ["calibration of soft pictures", "calibration of noisy pictures"]
    scores = [detector.detect(degrade.blur(picture(0, 96, 96), sigma)).verdict.score for sigma in (2, 3)]
    assert np.isclose(found.null("relative", 9, "soft").scores[:, None], scores).any()
    assert bank.with_details(made, entries, detector.model, Bank(), lines.append).details == {}
    with pytest.raises(DatasetError, match="Only 0 calibration pictures become soft"):
        bank.with_details(made, entries, detector.model, Bank(details=Details(soft=["as_is"])))
