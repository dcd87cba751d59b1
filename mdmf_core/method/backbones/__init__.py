"""Frozen encoders. All of them keep one protocol: `embed(patches: (N, 3, W, W) uint8) -> (N, D) float32`."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn


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
    elif name == "dinov2":
        from mdmf_core.method.backbones.dinov2 import DINOv2 as kind
    else:
        raise ValueError(f"There is no backbone {name!r}; known are 'compact' and 'dinov2'.")
    try:
        return kind(**config).eval().requires_grad_(False)
    except TypeError as error:
        raise ValueError(f"The backbone {name!r} does not take these settings: {error}.") from error
