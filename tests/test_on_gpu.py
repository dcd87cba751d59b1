"""Crops that are packed for another machine, and the training that ends with the time. On a CPU, with tiny pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from benchmarks.quality import on_gpu, packed
from mdmf_core.method import backbones
from mdmf_core.method.weights import load_strictly
from mdmf_core.training.dataset import scan
from mdmf_core.training.recipe import Pretrain

SMALL = Pretrain(window=64, pictures=3, paired=1, mixed=2, traceless=2, clusters=0)


@pytest.fixture()
def folder(small_data: Path, tmp_path: Path) -> Path:
    root = tmp_path
    settings = SMALL.model_dump(mode="json", exclude={"backbone", "window"})
    recipe = {"data": [str(small_data)], "pretrain": settings | {"window": 64}}
    (root / "recipe.json").write_text(json.dumps(recipe))
    packed.pack(root / "recipe.json", root / "out")
    return root / "out"


@pytest.fixture()
def found(folder: Path) -> list[packed.Crop]:
    return packed.unpack(folder, 64)


def test_what_is_packed_comes_out_with_its_pixels_label_and_weight(small_data: Path, found) -> None:
    entries = scan(small_data)
    assert len(found) == len(entries)
    assert {crop.label for crop in found} == {0, 1}
    assert {(crop.label, crop.source) for crop in found} == {(entry.label, entry.source) for entry in entries}
    for label in (0, 1):
        assert sum(crop.weight for crop in found if crop.label == label) == pytest.approx(1, abs=1e-3)
    whole = {np.asarray(Image.open(entry.path).convert("RGB")).tobytes() for entry in entries}
    fits = [crop for crop in found if max(crop.pixels.shape) <= packed.OTHER_SIDE]
    assert fits and all(crop.pixels.tobytes() in whole for crop in fits)


def test_an_archive_is_never_larger_than_a_part(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(packed, "PART", 30_000)
    parts = list(packed._parts((number, "webp", bytes(9_000)) for number in range(7)))
    assert [len(part) for part in parts] == [2, 2, 2, 1]
    assert [item[0] for part in parts for item in part] == list(range(7))


def test_a_batch_of_fresh_lives_has_the_order_that_the_losses_expect(found) -> None:
    pairs = [(crop.pixels, 255 - crop.pixels) for crop in found[:2]]
    batches = on_gpu.Fresh(found, pairs, SMALL)
    windows, masks = batches[0]
    assert windows.shape == (2 * 3 + 2 + 2, 3, 64, 64) and masks.shape == (2, 64, 64)
    assert 0 <= float(masks.min()) and float(masks.max()) <= 1
    real, made = windows[0].float(), windows[3].float()
    assert abs(float((real + made).mean()) - 255) < 12  # the same place of a pair, one the other's negative


def test_a_life_is_used_some_times_and_then_made_anew(found) -> None:
    batches = on_gpu.Fresh(found, [], SMALL)
    made = []
    rng = np.random.default_rng(0)
    given = [batches._used("kind", lambda _: made.append(0) or len(made), rng) for _ in range(4000)]
    assert len(made) == pytest.approx(4000 / on_gpu.USES, rel=0.1)
    assert len(batches.kept["kind"]) == on_gpu.KEPT
    assert max(np.bincount(given)) < 60


def test_batches_put_together_keep_each_kind_in_its_place() -> None:
    sizes = [3, 3, 2, 2]
    kinds = torch.arange(4.0).repeat_interleave(torch.tensor(sizes))
    part = kinds[:, None, None, None].expand(-1, 3, 4, 4), torch.ones(2, 4, 4)
    windows, masks = on_gpu.together([part] * 3, SMALL)
    assert windows[:, 0, 0, 0].tolist() == [kind for kind, size in enumerate(sizes) for _ in range(3 * size)]
    assert len(masks) == 6


def test_the_rate_rises_and_then_falls_to_nothing() -> None:
    paces = [on_gpu.pace(done) for done in np.linspace(0, 1, 101)]
    peak = int(np.argmax(paces))
    assert paces[peak] == pytest.approx(1, abs=0.01) and 5 <= peak <= 10
    assert all(a <= b for a, b in zip(paces[:peak], paces[1 : peak + 1], strict=True))
    assert all(a >= b for a, b in zip(paces[peak:], paces[peak + 1 :], strict=False))
    assert paces[-1] == 0


def test_a_step_learns_and_what_is_saved_is_an_encoder_that_embeds(tmp_path: Path, found) -> None:
    torch.manual_seed(0)
    start = tmp_path / "efficientnet-lite0-random.pth"
    torch.save(backbones.lite.Lite.base().state_dict(), start)
    trainee = on_gpu.Trainee(start, SMALL, "cpu", 1e-3)
    before = {name: value.clone() for name, value in trainee.learner.state_dict().items()}
    windows, masks = on_gpu.Fresh(found, [], SMALL)[0]
    trainee.step(windows, masks, 0.1)
    assert not torch.equal(before["logit.weight"], trainee.learner.state_dict()["logit.weight"])
    assert trainee.told(1).startswith("lite0: whole ")
    for half in (False, True):
        trainee.save(tmp_path / "made", half)
        again = backbones.build("lite", **json.loads((tmp_path / "made" / "encoder.json").read_text()))
        tensors = load_file(tmp_path / "made" / "encoder.safetensors")
        assert tensors["conv_head.weight"].dtype == (torch.float16 if half else torch.float32)
        load_strictly(again, tmp_path / "made" / "encoder.safetensors")
        assert again.embed(windows[:1]).shape == (4, again.dim)
