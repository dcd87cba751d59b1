"""An encoder's training: what a step holds, its losses, and going on after an interruption."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mdmf_core.checkpoint.config import Compact
from mdmf_core.errors import DatasetError
from mdmf_core.training import encoder, loop
from mdmf_core.training.dataset import scan
from mdmf_core.training.recipe import Pretrain, Roles

SETTINGS = Pretrain(
    backbone=Compact(channels=[4, 6]),
    window=64,
    side=96,
    versions=2,
    composites=12,
    pictures=3,
    mixed=2,
    traceless=2,
    clusters=0,
    steps=6,
    workers=1,
)


def test_pretraining_goes_on_where_it_stopped_and_ends_the_same(small_data: Path, tmp_path: Path, monkeypatch) -> None:
    plan = partial(loop.Plan, save_every=2)
    monkeypatch.setattr(encoder, "Plan", plan)
    whole = encoder.pretrain(small_data, Roles(), SETTINGS, tmp_path / "whole")
    draw = encoder.Batches.__call__
    calls = []

    def stop_in_step_five(batches, step):
        calls.append(step)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return draw(batches, step)

    monkeypatch.setattr(encoder.Batches, "__call__", stop_in_step_five)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        encoder.pretrain(small_data, Roles(), SETTINGS, out)
    assert (out / "state.safetensors").exists() and not (out / "encoder.safetensors").exists()
    again = encoder.pretrain(small_data, Roles(), SETTINGS, out)
    assert calls == [0, 1, 2, 3, 4, 4, 5]
    first, second = load_file(whole), load_file(again)
    assert all(torch.allclose(first[name].float(), second[name].float(), atol=1e-5) for name in first)
    assert not list(out.glob("*.part"))


@pytest.fixture()
def batches(small_data: Path) -> encoder.Batches:
    return encoder.Batches(scan(small_data), SETTINGS, print)


def test_a_step_holds_both_classes_composites_and_pictures_without_traces(batches: encoder.Batches) -> None:
    windows, masks = batches(3)
    assert windows.shape == (2 * 3 + 2 + 2, 3, 64, 64) and windows.dtype == torch.uint8
    assert masks.shape == (2, 64, 64) and 0 <= masks.min() and masks.max() <= 1
    again, _ = batches(3)
    other, _ = batches(4)
    assert torch.equal(windows, again) and not torch.equal(windows, other)


def test_losses_are_their_definition() -> None:
    rng = np.random.default_rng(0)
    config = Pretrain(pictures=2, smoothing=0.1, cell_weight=0.5, traceless_weight=2.0)
    logits, masks = rng.normal(size=(7, 4, 4)), rng.random((2, 8, 8))

    def entropy(logit: float, wanted: float) -> float:
        return np.logaddexp(0, logit) - wanted * logit

    found = encoder.losses(torch.from_numpy(logits), torch.from_numpy(masks), config)
    pictures = logits.mean((1, 2))
    whole = np.mean([entropy(pictures[i], (0.1, 0.1, 0.9, 0.9)[i]) for i in range(4)])
    cells = []
    for index in range(2):
        for row in range(4):
            for col in range(4):
                share = masks[index, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].mean()
                cells.append(entropy(logits[4 + index, row, col], 0.8 * share + 0.1))
    assert found["whole"].item() == pytest.approx(whole)
    assert found["cells"].item() == pytest.approx(0.5 * np.mean(cells))
    assert found["traceless"].item() == pytest.approx(2 * entropy(pictures[6], 0.3))


def test_only_the_lite_backbone_starts_from_imagenet(small_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Only the backbone 'lite'"):
        encoder.build(SETTINGS.model_copy(update={"start": "weights.pth"}))
    (tmp_path / "weights.pth").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"training starts from can't be read: weights\.pth"):
        encoder.build(Pretrain(start=str(tmp_path / "weights.pth")))
