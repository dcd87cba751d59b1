"""Both encoders: shapes, one patch at a time or many, strict weights, and what they must not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import picture

from mdmf_core.method import backbones
from mdmf_core.method.backbones.compact import Compact, high_pass_filters


def some_patches(count: int = 5, size: int = 32) -> torch.Tensor:
    rng = np.random.default_rng(3)
    return torch.from_numpy(rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8))


def make(kind: str) -> torch.nn.Module:
    torch.manual_seed(1)
    settings = {"compact": {"channels": [4, 8]}, "dinov2": {"size": "small", "crop_size": 28}}
    return backbones.build(kind, **settings[kind])


@pytest.mark.parametrize("kind", ["compact", "dinov2"])
def test_embedding_is_float32_of_the_stated_size_and_frozen(kind: str) -> None:
    encoder = make(kind)
    embeddings = encoder.embed(some_patches())
    assert embeddings.shape == (5, encoder.dim) and embeddings.dtype == torch.float32
    assert torch.isfinite(embeddings).all()
    assert not encoder.training and not any(p.requires_grad for p in encoder.parameters())


@pytest.mark.parametrize("kind", ["compact", "dinov2"])
def test_a_patch_never_sees_its_neighbours(kind: str) -> None:
    encoder, patches = make(kind), some_patches()
    alone = torch.cat([encoder.embed(patch[None]) for patch in patches])
    torch.testing.assert_close(encoder.embed(patches), alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["compact", "dinov2"])
def test_weights_load_strictly(kind: str, tmp_path: Path) -> None:
    encoder, other = make(kind), make(kind)
    inner = encoder if kind == "compact" else encoder.model
    state = {name: value.clone() for name, value in inner.state_dict().items()}
    first = next(name for name, value in state.items() if value.is_floating_point())
    with torch.no_grad():
        next(other.parameters()).add_(1)
    save_file(state, tmp_path / "good.safetensors")
    other.load_weights(tmp_path / "good.safetensors")
    assert torch.equal(other.embed(some_patches()), encoder.embed(some_patches()))
    for words, broken in {
        "missing": {k: v for k, v in state.items() if k != first},
        "unexpected": state | {"odd": torch.zeros(1)},
        "wrong shape": state | {first: torch.zeros(1)},
        "not finite": state | {first: torch.full_like(state[first], float("nan"))},
    }.items():
        save_file(broken, tmp_path / "bad.safetensors")
        with pytest.raises(ValueError, match=words) as error:
            other.load_weights(tmp_path / "bad.safetensors")
        assert ("odd" if words == "unexpected" else first) in str(error.value)
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "good.safetensors").read_bytes()[:1000])
    with pytest.raises(ValueError, match="can't be read"):
        other.load_weights(tmp_path / "cut.safetensors")


def test_high_pass_filters_see_no_constant_and_no_slope() -> None:
    filters = high_pass_filters()
    assert filters.sum((1, 2, 3)).abs().max() < 1e-6
    ramp = torch.arange(5.0).expand(5, 5)
    assert (filters[:4, 0] * ramp).sum((1, 2)).abs().max() < 1e-5


def test_brightness_does_not_leak_into_residuals_in_half_precision() -> None:
    encoder = Compact((4, 8))
    bright = torch.full((1, 3, 32, 32), 250, dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder.residual(bright).abs().max() < 1e-3


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"name": "resnet"}, "no backbone"),
        ({"name": "compact", "depth": 3}, "does not take"),
    ],
)
def test_wrong_settings_are_one_sentence(settings: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        backbones.build(**settings)


def test_embedding_twice_gives_the_same_to_the_last_bit() -> None:
    encoder = make("compact")
    patches = torch.from_numpy(picture(5, 64, 64).transpose(2, 0, 1).copy())[None]
    assert torch.equal(encoder.embed(patches), encoder.embed(patches))
