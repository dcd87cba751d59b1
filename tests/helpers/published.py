"""Networks as a research project would save them."""

from __future__ import annotations

import torch
from torch import nn

from mdmf_core.method.signature import ACTIVATIONS

LIU = {"sigmaOPT": 30.0, "sigma0OPT": 0.7, "epsilonOPT": -2.0}


def network(widths: list[int], activation: str = "relu", bias: bool = True, seed: int = 0) -> nn.Sequential:
    """A plain MLP with random weights."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(inputs, outputs, bias=bias), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1]).eval()
