"""Frozen encoders. All of them keep one protocol: `embed(patches: (N, 3, W, W) uint8) -> (N, D) float32`.

One that sees windows around its patches gets (B, 3, V, V) instead and gives (B * C, D): C patches of each window.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

TRAINED_HERE = ("lite", "compact")  # `training.encoder` makes their weights, and a checkpoint holds them


class Backbone(Protocol):
    """What the rest of the package asks of an encoder; `config` are the keyword arguments that rebuild it."""

    name: str
    version: str
    dim: int
    config: dict

    def embed(self, patches: Tensor) -> Tensor: ...


def build(name: str, **config) -> nn.Module:
    """An encoder by name, with random weights, frozen and in inference mode.

    Raises:
        ValueError: no encoder has that name, or it doesn't take these arguments.
    """
    if name == "compact":
        from mdmf_core.method.backbones.compact import Compact as kind
    elif name == "lite":
        from mdmf_core.method.backbones.lite import Lite as kind
    elif name == "dinov2":
        from mdmf_core.method.backbones.dinov2 import DINOv2 as kind
    else:
        raise ValueError(f"There is no backbone {name!r}; known are 'lite', 'compact' and 'dinov2'.")
    try:
        return kind(**config).eval().requires_grad_(False)
    except TypeError as error:
        raise ValueError(f"The backbone {name!r} does not take these settings: {error}.") from error
