"""The bundled encoder: a small convolutional network on high-pass residuals, made for CPUs.

Why this shape: what a generator leaves behind lies in the finest scales, and what a picture shows does
not. Six fixed 5 x 5 high-pass filters on each colour channel (first and second differences, a Laplacian
and the rich-model kernel of Fridrich & Kodovsky, 2012), clipped so that edges don't outweigh noise, leave
little of the subject. Four stages of two 3 x 3 convolutions follow, and the mean and standard deviation
over the patch: statistics of a texture, not its layout. Strides are average pools, which alias least.
`(N, 3, W, W) uint8 -> (N, D) float32`, every patch on its own, at the picture's own resolution.

`forward` is for training; `embed` gives the same numbers, rounding apart, with each norm folded into its convolution
and few patches at a time. It stays in float32 on the CPU: bfloat16 is faster where the processor has it, but moves
scores by more than 1e-4 of the null's standard deviation (`python benchmarks/speed/all.py --only encoder`).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from mdmf_core.method.backbones.weights import load_strictly

CLIP = 10.0
WHOLE = 12  # times the filters, which are multiples of 1/12
ON_CPU = 8  # patches at once: the largest maps, 3.7 MB for patches of 64, stay in the processor's cache
ON_GPU = 256


def high_pass_filters() -> Tensor:
    """The six fixed filters, (6, 1, 5, 5) float32; each sums to zero and has unit largest weight."""
    filters = torch.zeros(6, 5, 5)
    filters[0, 2, 1:4] = torch.tensor([1.0, -2.0, 1.0]) / 2
    filters[1, 1:4, 2] = torch.tensor([1.0, -2.0, 1.0]) / 2
    filters[2, 1:4, 1:4] = torch.tensor([[-1.0, 2, -1], [2, -4, 2], [-1, 2, -1]]) / 4
    filters[3] = (
        torch.tensor(
            [[-1.0, 2, -2, 2, -1], [2, -6, 8, -6, 2], [-2, 8, -12, 8, -2], [2, -6, 8, -6, 2], [-1, 2, -2, 2, -1]]
        )
        / 12
    )
    filters[4, 2, 2:4] = torch.tensor([-1.0, 1.0])
    filters[5, 2:4, 2] = torch.tensor([-1.0, 1.0])
    return filters[:, None]


def _stage(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _moments(maps: Tensor) -> Tensor:
    """Mean and standard deviation of each channel over the patch, (N, 2 C), of maps (N, C, h, w)."""
    mean = maps.mean((2, 3), keepdim=True)
    variance = (maps - mean).square().mean((2, 3))  # torch.var is far slower over these strides
    return torch.cat([mean.flatten(1), variance.add(1e-4).sqrt()], dim=1)


class Compact(nn.Module):
    """The encoder's weights. `channels` are those of its stages; D is twice the last."""

    name = "compact"
    version = "1"

    def __init__(self, channels: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        self.config = {"channels": list(channels)}
        self.dim = 2 * channels[-1]
        self.register_buffer("filters", (WHOLE * high_pass_filters()).round().repeat(3, 1, 1, 1), persistent=False)
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

        Always in float32: in bfloat16 the filters no longer sum to zero, and brightness leaks through. Their weights
        are whole numbers until the end, so that a GPU that rounds what it multiplies (TF32) has nothing to round.
        """
        with torch.autocast(patches.device.type, enabled=False):
            values = F.conv2d(patches.float(), self.filters, groups=3)
        values = values.clamp_(-WHOLE * CLIP, WHOLE * CLIP).div_(4 * WHOLE)
        return values.contiguous(memory_format=torch.channels_last)

    def forward(self, patches: Tensor) -> Tensor:
        """Embeddings (N, D) float32 of patches (N, 3, W, W) uint8."""
        return _moments(self.layers(self.residual(patches)).float())

    def cells(self, windows: Tensor) -> Tensor:
        """A map (B, D, 2, 2) of windows (B, 3, V, V) uint8: embeddings of their quarters, each on its own."""
        side = windows.shape[-1] // 2
        quarters = windows.unfold(2, side, side).unfold(3, side, side)  # (B, 3, 2, 2, side, side)
        flat = quarters.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, side, side)
        return self(flat).reshape(-1, 2, 2, self.dim).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def embed(self, patches: Tensor, batch: int | None = None) -> Tensor:
        """Embeddings (N, D) float32, on the CPU, of patches (N, 3, W, W) uint8; `batch` patches at once."""
        device = self.filters.device
        batch = batch or (ON_CPU if device.type == "cpu" else ON_GPU)
        convolutions = self._folded()
        return torch.cat([self._embed(chunk.to(device), convolutions).cpu() for chunk in patches.split(batch)])

    def _embed(self, patches: Tensor, convolutions: list[tuple[Tensor, Tensor]]) -> Tensor:
        maps = self.residual(patches)
        for index, (weight, bias) in enumerate(convolutions):
            if index and index % 2 == 0:
                maps = F.avg_pool2d(maps, 2)
            maps = F.conv2d(maps, weight, bias, padding=1).relu_()
        return _moments(maps.float())

    def _folded(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each convolution with its norm's running statistics in it.

        Made anew for each call, which costs little: a kept copy could outlive the weights that it was made from.
        """
        convolutions = [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]
        norms = [layer for layer in self.layers if isinstance(layer, nn.BatchNorm2d)]
        folded = []
        for layer, norm in zip(convolutions, norms, strict=True):
            weight, bias = fuse_conv_bn_weights(
                layer.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            folded.append((weight.contiguous(memory_format=torch.channels_last), bias))
        return folded
