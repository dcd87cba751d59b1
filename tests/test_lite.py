"""The bundled encoder's code: shapes, folding, its start, its settings."""

from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import save_file
from timm.layers import Conv2dSame

from mdmf_core.errors import DatasetError
from mdmf_core.method import backbones
from mdmf_core.method.backbones.lite import padded
from mdmf_core.training import imagenet


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    made = backbones.build("lite", dim=24)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return made


@pytest.fixture(scope="module")
def windows():
    return torch.randint(0, 256, (3, 3, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_an_embedding_is_the_mean_of_its_patchs_cells(encoder, windows):
    cells = encoder.cells(windows)
    assert cells.shape == (3, 24, 8, 8)
    wanted = []
    for window in cells:
        for row in range(4):
            for col in range(4):
                wanted.append(window[:, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].mean((1, 2)))
    found = encoder.embed(windows)
    assert found.shape == (48, 24)
    torch.testing.assert_close(found, torch.stack(wanted), atol=1e-4, rtol=1e-3)


def test_how_many_windows_go_at_once_changes_nothing(encoder, windows):
    torch.testing.assert_close(encoder.embed(windows, 1), encoder.embed(windows, 3), atol=1e-5, rtol=1e-4)


def test_folding_follows_new_weights(windows):
    encoder = backbones.build("lite", dim=8)
    before = encoder.embed(windows)
    encoder.bn2.running_mean.add_(1)
    after = encoder.embed(windows)
    torch.testing.assert_close(after, encoder.patches(encoder.cells(windows)), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(before, after)


@pytest.mark.parametrize("side, stride", [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("groups", [1, 6])
def test_a_wider_kernel_reads_what_a_padded_map_holds(side, stride, groups):
    torch.manual_seed(side)
    same = Conv2dSame(6, 6, side, stride, groups=groups).double()
    maps = torch.randn(2, 6, 16, 24, dtype=torch.float64)
    found = padded(same)
    assert type(found) is torch.nn.Conv2d and found.weight.dtype == torch.float64
    torch.testing.assert_close(found(maps), same(maps), atol=1e-12, rtol=0)
    assert found(maps).shape == (2, 6, 16 // stride, 24 // stride)


def test_no_map_is_copied_to_pad_it_and_others_stay_as_they_are(encoder, windows):
    assert any(isinstance(module, Conv2dSame) for module in encoder.modules())
    assert not any(isinstance(module, Conv2dSame) for module in encoder._folded().modules())
    plain = torch.nn.Conv2d(3, 4, 3, 2, 1)
    even, far = Conv2dSame(3, 4, 2, 2), Conv2dSame(3, 4, 5, 3)
    assert all(padded(module) is module for module in (plain, even, far))


def test_it_goes_to_another_process(encoder, windows):
    again = pickle.loads(pickle.dumps(encoder))
    assert torch.equal(again.embed(windows), encoder.embed(windows))


def test_it_starts_from_published_weights(tmp_path):
    torch.manual_seed(1)
    encoder = backbones.build("lite", dim=8)
    base = encoder.base()
    state = {f"theirs.{index:04d}.{name}": value for index, (name, value) in enumerate(base.state_dict().items())}
    torch.save(state, tmp_path / "start.pth")
    loaded = imagenet.load(encoder.base(), tmp_path / "start.pth")
    encoder.start(loaded)
    assert torch.equal(encoder.conv_stem.weight, base.conv_stem.weight)
    assert torch.equal(encoder.blocks[5][0].conv_dw.weight, base.blocks[5][0].conv_dw.weight)
    assert encoder.conv_stem.stride == (1, 1)
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(DatasetError, match="does not hold the weights of this network"):
        imagenet.load(encoder.base(), tmp_path / "other.safetensors")


@pytest.mark.parametrize("variant, millions", [("lite0", 3.0), ("lite1", 3.8), ("lite2", 4.4)])
def test_larger_variants_keep_the_shape_of_what_they_give(variant, millions, windows):
    encoder = backbones.build("lite", dim=8, variant=variant)
    assert encoder.config["variant"] == variant
    assert sum(value.numel() for value in encoder.parameters()) / 1e6 == pytest.approx(millions, abs=0.6)
    assert encoder.embed(windows[:1]).shape == (windows.shape[-1] ** 2 // 32**2, 8)


def test_a_gpu_multiplies_in_full_precision_while_it_embeds(encoder, windows, monkeypatch):
    seen, cells = [], type(encoder).cells

    def watched(network, part):
        seen.append(torch.backends.cudnn.allow_tf32)
        return cells(network, part)

    monkeypatch.setattr(type(encoder), "cells", watched)
    before = torch.backends.cudnn.allow_tf32
    encoder.embed(windows)
    assert seen and not any(seen)
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize(
    "settings", [{"dim": 0}, {"dim": 2.5}, {"patch_size": 20}, {"patch_size": 0}, {"size": 4}, {"variant": "b0"}]
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError):
        backbones.build("lite", **settings)
