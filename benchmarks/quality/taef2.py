"""The tiny autoencoder of FLUX.2's latents, for making training pairs: a photograph there and back.

Source: TAEF2, github.com/madebyollin/taesd (MIT, Copyright (c) 2023 Ollin Boer Bohan). The weights are two safetensors
files, `encoder.safetensors` and `decoder.safetensors`, under the names of the published ones; they are not part of this
repository, and nothing needs them at run time. `(H, W, 3) uint8 -> (H, W, 3) uint8`, both sides a multiple of 8.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, LATENTS, SQUEEZE = 64, 32, 3.0
SUBSAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}
VARIANTS = ("plain", "plain", "noise", "rounded", "smoothed")


def _conv(inputs: int, outputs: int, **options: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, **options)


class _Block(nn.Module):
    """ReLU(x + three convolutions of x); the coarsest ones first add a gated mixture of channels."""

    def __init__(self, mixing: bool) -> None:
        super().__init__()
        convs = (_conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH))
        self.conv = nn.Sequential(*convs)
        if mixing:
            wide, narrow = nn.Conv2d(WIDTH, 4 * WIDTH, 1, bias=False), nn.Conv2d(4 * WIDTH, WIDTH, 1, bias=False)
            self.pool = nn.Sequential(wide, nn.GroupNorm(4, 4 * WIDTH), nn.ReLU(), narrow)

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "pool"):
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class _Squeeze(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / SQUEEZE) * SQUEEZE


def _encoder() -> nn.Sequential:
    layers = [_conv(3, WIDTH), _Block(False)]
    for stage in range(3):
        layers.append(_conv(WIDTH, WIDTH, stride=2, bias=False))
        layers += [_Block(stage == 2) for _ in range(3)]
    return nn.Sequential(*layers, _conv(WIDTH, LATENTS))


def _decoder() -> nn.Sequential:
    layers = [_Squeeze(), _conv(LATENTS, WIDTH), nn.ReLU()]
    for stage in range(3):
        layers += [_Block(stage == 0) for _ in range(3)]
        layers += [nn.Upsample(scale_factor=2), _conv(WIDTH, WIDTH, bias=False)]
    return nn.Sequential(*layers, _Block(False), _conv(WIDTH, 3))


class Autoencoder:
    """Both halves, from the folder of the weights, on a device."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.encoder, self.decoder, self.device = _encoder().to(device), _decoder().to(device), device
        for name, half in (("encoder", self.encoder), ("decoder", self.decoder)):
            half.load_state_dict(
                {key: value.float() for key, value in load_file(folder / f"{name}.safetensors").items()}
            )
            half.eval()

    @torch.inference_mode()
    def latents(self, pixels: np.ndarray) -> Tensor:
        """Latents (1, 32, H / 8, W / 8) of a picture (H, W, 3) uint8."""
        return self.encoder(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(self.device) / 255)

    @torch.inference_mode()
    def pixels(self, latents: Tensor) -> np.ndarray:
        """The picture (H, W, 3) uint8 of latents (1, 32, H / 8, W / 8)."""
        return self.decoder(latents).clamp(0, 1)[0].permute(1, 2, 0).mul(255).round().byte().cpu().numpy()


def varied(latents: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Latents as they are, or with noise, rounded or smoothed."""
    variant = rng.choice(VARIANTS)
    if variant == "noise":
        return latents + torch.randn_like(latents) * rng.uniform(0.02, 0.2)
    if variant == "rounded":
        return (latents * 8).round() / 8
    if variant == "smoothed":
        return 0.85 * latents + 0.15 * F.avg_pool2d(latents, 3, 1, 1)
    return latents


def compressed_alike(pixels: np.ndarray, original: Image.Image) -> np.ndarray:
    """A picture through JPEG with the tables and the subsampling of another; as it is where that is no JPEG."""
    tables = getattr(original, "quantization", None)
    if not tables:
        return pixels
    layers = getattr(original, "layer", None)
    subsampling = SUBSAMPLINGS.get(tuple(layers[0][1:3]), 2) if layers else 2
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", qtables=tables, subsampling=subsampling)
    return np.asarray(Image.open(buffer).convert("RGB"))
