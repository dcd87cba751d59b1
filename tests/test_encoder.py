"""An encoder's training: what a step holds, its losses, and going on after an interruption."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

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


def test_training_goes_on_from_an_earlier_encoder_and_a_share_of_it_stays(small_data: Path, tmp_path: Path) -> None:
    first = encoder.pretrain(small_data, Roles(), SETTINGS, tmp_path / "first")
    onward = SETTINGS.model_copy(update={"go_on_from": str(first), "steps": 2})
    found = [
        load_file(encoder.pretrain(small_data, Roles(), onward.model_copy(update={"stay": stay}), tmp_path / f"{stay}"))
        for stay in (0.0, 0.25, 1.0)
    ]
    old = load_file(first)
    for name, new in found[0].items():
        expected = 0.75 * new.double() + 0.25 * old[name].double() if new.is_floating_point() else new
        assert torch.allclose(found[1][name].double(), expected.double(), atol=1e-6), name
    assert all(torch.equal(found[2][name], value) for name, value in old.items() if value.is_floating_point())
    assert any(not torch.equal(found[0][name], value) for name, value in old.items())


def test_an_earlier_encoder_that_does_not_fit_is_one_sentence(small_data: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    for name in ("missing", "broken"):
        settings = SETTINGS.model_copy(update={"go_on_from": str(tmp_path / f"{name}.safetensors")})
        with pytest.raises(DatasetError, match=f"go on from can't be read: {name}.safetensors"):
            encoder.build(settings)
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(DatasetError, match="are not those of a compact encoder"):
        encoder.build(SETTINGS.model_copy(update={"go_on_from": str(tmp_path / "other.safetensors")}))


@pytest.mark.parametrize("key", ["faces", "raised", "leave_out"])
def test_a_misspelt_source_is_named(key: str, small_data: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={key: ("real0", "raal1")})
    with pytest.raises(DatasetError, match=rf"`{key}` names raal1, but no .* nearest right one is real1\.$"):
        encoder.pretrain(small_data, Roles(), settings, tmp_path)
