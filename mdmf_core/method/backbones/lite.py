"""The bundled encoder: EfficientNet-Lite at the picture's resolution. `(B, 3, V, V) uint8 -> (B * C, D) float32`.

Source: Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019), in its Lite form,
built by timm. What a generator leaves behind lies in the finest scales, so the first layer's stride of 2 is taken out:
the last map has a cell for every 16 pixels, and the mean of its cells over a patch is the patch's embedding. The
encoder sees windows of V x V pixels and gives an embedding for each of the C = (V / W)^2 patches in a window, so that
the map is finer than what the encoder sees at once. Its last layer is narrower than the published one: fewer values
say less of what the picture shows.

Training starts from the weights that were learned on ImageNet (`training.encoder`); without that start it finds next
to nothing. It stays in float32: in bfloat16 a grey level is lost at the bright and dark ends.
"""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mdmf_core.method.weights import load_strictly

VARIANTS = ("lite0", "lite1", "lite2")
CELL = 16  # pixels between cells of the last map
ON_CPU = 4  # windows at once: their maps stay in the processor's cache
ON_GPU = 64
NORMS = {  # convolution -> norm that follows it, by kind of block
    "Lite": {"conv_stem": "bn1", "conv_head": "bn2"},
    "DepthwiseSeparableConv": {"conv_dw": "bn1", "conv_pw": "bn2"},
    "InvertedResidual": {"conv_pw": "bn1", "conv_dw": "bn2", "conv_pwl": "bn3"},
}


class Lite(nn.Module):
    """The encoder's weights.

    Args:
        dim: D, size of an embedding.
        patch_size: W, pixels on a side of a patch, a multiple of 16.
        variant: "lite0", "lite1" or "lite2": 3.4, 3.8 or 4.4 million weights.

    Raises:
        ValueError: a setting that is none of these.
    """

    name = "lite"
    version = "1"

    def __init__(self, dim: int = 256, patch_size: int = 32, variant: str = "lite0") -> None:
        super().__init__()
        if type(patch_size) is not int or patch_size <= 0 or patch_size % CELL:
            raise ValueError(f"The patches of this backbone are a multiple of {CELL} pixels, not {patch_size!r}.")
        if type(dim) is not int or dim <= 0:
            raise ValueError(f"The size of an embedding is a positive whole number, not {dim!r}.")
        if variant not in VARIANTS:
            raise ValueError(f"This backbone comes as {', '.join(VARIANTS)}, not {variant!r}.")
        self.config = {"dim": dim, "patch_size": patch_size, "variant": variant}
        self.dim, self.patch_size = dim, patch_size
        base = self.base(variant)
        base.conv_stem.stride = (1, 1)
        self.conv_stem, self.bn1, self.blocks = base.conv_stem, base.bn1, base.blocks
        self.conv_head = nn.Conv2d(base.conv_head.in_channels, dim, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(dim)
        self.act = nn.ReLU6()
        self._fused: tuple[tuple[int, ...], nn.Module] | None = None

    @staticmethod
    def base(variant: str = VARIANTS[0]) -> nn.Module:
        """The whole published network, with random weights: what `start` takes."""
        import timm  # seconds, and it brings the Hub's client: only where a network is built

        return timm.create_model(f"tf_efficientnet_{variant}", pretrained=False)

    def start(self, base: nn.Module) -> None:
        """Take over all layers but the last from a published network."""
        self.conv_stem.load_state_dict(base.conv_stem.state_dict())
        self.bn1.load_state_dict(base.bn1.state_dict())
        self.blocks.load_state_dict(base.blocks.state_dict())

    def load_weights(self, path: str | Path) -> None:
        """Load `encoder.safetensors`, strictly (`weights.load_strictly`)."""
        load_strictly(self, path)

    def cells(self, windows: Tensor) -> Tensor:
        """The last map, (B, D, V / 16, V / 16), of windows (B, 3, V, V) uint8."""
        values = (windows.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        return self.act(self.bn2(self.conv_head(self.blocks(self.bn1(self.conv_stem(values))))))

    forward = cells

    @torch.inference_mode()
    def embed(self, windows: Tensor, batch: int | None = None) -> Tensor:
        """Embeddings (B * C, D) float32, on the CPU, of windows (B, 3, V, V) uint8, window by window, row by row."""
        device = self.conv_head.weight.device
        batch = batch or (ON_CPU if device.type == "cpu" else ON_GPU)
        network = self._folded()
        with exact():
            return torch.cat([self.patches(network.cells(part.to(device))) for part in windows.split(batch)])

    def patches(self, cells: Tensor) -> Tensor:
        """Means over patches, (B * C, D) float32 on the CPU, of `cells`."""
        pooled = F.avg_pool2d(cells.float(), self.patch_size // CELL)  # (B, D, V / W, V / W)
        return pooled.permute(0, 2, 3, 1).reshape(-1, self.dim).cpu()

    def _folded(self) -> nn.Module:
        """A copy with norms and paddings folded into convolutions, a third of the time; made anew for new weights."""
        versions = tuple(value._version + id(value) for value in (*self.parameters(), *self.buffers()))
        if self._fused is None or self._fused[0] != versions:
            self._fused = None
            self._fused = versions, fold(copy.deepcopy(self).eval()).to(memory_format=torch.channels_last)
        return self._fused[1]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_fused": None}


def exact() -> AbstractContextManager:
    """Convolutions of a GPU in full precision; rounded to TF32 they move a score by 1e-3 of the null's spread."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def fold(module: nn.Module) -> nn.Module:
    """Fold the norms of a network in inference mode into the convolutions before them, in place."""
    for child in module.children():
        fold(child)
    for convolution, norm in NORMS.get(type(module).__name__, {}).items():
        after = getattr(module, norm)
        setattr(module, convolution, padded(fuse_conv_bn_eval(getattr(module, convolution), after)))
        setattr(module, norm, getattr(after, "act", nn.Identity()))
    return module


@torch.no_grad()
def padded(convolution: nn.Conv2d) -> nn.Conv2d:
    """The same convolution of maps with even sides, without a padded copy of each, which takes half as long again.

    At a stride of 2 TensorFlow pads one more after a map than before it. A kernel that begins with a row and a column
    of zeros reads the same from a map that is padded alike on both sides.
    """
    (side, _), (stride, _) = convolution.kernel_size, convolution.stride
    if type(convolution).__name__ != "Conv2dSame" or side % 2 == 0 or stride > 2:
        return convolution
    wider, groups = side + stride - 1, convolution.groups
    made = nn.Conv2d(convolution.in_channels, convolution.out_channels, wider, stride, (side - 1) // 2, groups=groups)
    made.weight.zero_()[:, :, stride - 1 :, stride - 1 :] = convolution.weight
    made.bias.copy_(convolution.bias)
    return made.to(convolution.weight)
