"""The bundled encoder: a small convolutional network on high-pass residuals, made for CPUs.

Why this shape: what a generator leaves behind lies in the finest scales, and what a picture shows does
not. Six fixed 5 x 5 high-pass filters on each colour channel (first and second differences, a Laplacian
and the rich-model kernel of Fridrich & Kodovsky, 2012), clipped so that edges don't outweigh noise, leave
little of the subject. Four stages of two 3 x 3 convolutions follow, and the mean and standard deviation
over the patch: statistics of a texture, not its layout. Strides are average pools, which alias least.
`(N, 3, W, W) uint8 -> (N, D) float32`, every patch on its own, at the picture's own resolution.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdmf_core.backbones.weights import load_strictly

CLIP = 10.0


def high_pass_filters() -> Tensor:
    """The six fixed filters, (6, 1, 5, 5) float32; each sums to zero and has unit largest weight."""
    filters = torch.zeros(6, 5, 5)
    filters[0, 2, 1:4] = torch.tensor([1.0, -2.0, 1.0]) / 2
    filters[1, 1:4, 2] = torch.tensor([1.0, -2.0, 1.0]) / 2
    filters[2, 1:4, 1:4] = torch.tensor([[-1.0, 2, -1], [2, -4, 2], [-1, 2, -1]]) / 4
    filters[3] = torch.tensor(
        [[-1.0, 2, -2, 2, -1], [2, -6, 8, -6, 2], [-2, 8, -12, 8, -2], [2, -6, 8, -6, 2], [-1, 2, -2, 2, -1]]
    ) / 12
    filters[4, 2, 2:4] = torch.tensor([-1.0, 1.0])
    filters[5, 2:4, 2] = torch.tensor([-1.0, 1.0])
    return filters[:, None]


def _stage(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class Compact(nn.Module):
    """The encoder's weights. `channels` are those of its stages; D is twice the last."""

    name = "compact"
    version = "1"

    def __init__(self, channels: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        self.config = {"channels": list(channels)}
        self.dim = 2 * channels[-1]
        self.register_buffer("filters", high_pass_filters().repeat(3, 1, 1, 1), persistent=False)
        layers: list[nn.Module] = []
        inputs = 18
        for index, outputs in enumerate(channels):
            layers += _stage(inputs, outputs) + _stage(outputs, outputs)
            if index < len(channels) - 1:
                layers.append(nn.AvgPool2d(2))
            inputs = outputs
        self.layers = nn.Sequential(*layers)

    def load_weights(self, path: str | Path) -> None:
        """Load `encoder.safetensors`, strictly (`weights.load_strictly`)."""
        load_strictly(self, path)

    def residual(self, patches: Tensor) -> Tensor:
        """High-pass residuals (N, 18, W - 4, W - 4) of patches (N, 3, W, W) uint8.

        Always in float32: in bfloat16 the filters no longer sum to zero, and brightness leaks through.
        """
        with torch.autocast(patches.device.type, enabled=False):
            values = F.conv2d(patches.float(), self.filters, groups=3)
        return values.clamp(-CLIP, CLIP) / 4

    def forward(self, patches: Tensor) -> Tensor:
        """Embeddings (N, D) float32 of patches (N, 3, W, W) uint8."""
        residual = self.residual(patches)
        maps = self.layers(residual.contiguous(memory_format=torch.channels_last)).float()  # (N, D/2, h, w)
        flat = maps.flatten(2)  # (N, D/2, h * w)
        return torch.cat([flat.mean(2), flat.var(2, unbiased=False).add(1e-4).sqrt()], dim=1)

    @torch.inference_mode()
    def embed(self, patches: Tensor, batch: int = 64) -> Tensor:
        """Embeddings (N, D) float32, on the CPU, of patches (N, 3, W, W) uint8."""
        device = self.filters.device
        return torch.cat([self(chunk.to(device)).cpu() for chunk in patches.split(batch)])
