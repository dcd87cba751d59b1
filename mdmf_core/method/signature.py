"""The Patch Forensic Signature: a small learned projection of frozen embeddings, and its kernel.

Source: arXiv 2605.09296. An embedding says what a patch shows; the signature keeps how it was made.
`(N, D) -> (N, K)` with K much smaller than D. The kernel's bandwidths are learned with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


class PFS(nn.Module):
    """Standardisation, hidden layers and a projection, with the parameters of the deep kernel.

    Args:
        dim: D, size of an embedding.
        hidden: width of the hidden layer, or the widths of several; none of them makes one linear map.
        signature: K, size of a signature.
        deep: use the full kernel with its factor on standardised embeddings;
            otherwise the plain kernel on signatures.
        dropout: share of the inputs dropped in training.
        activation: after each hidden layer, one of `ACTIVATIONS`.
        norm: standardise embeddings by their mean and deviation in training; otherwise they are taken as they are.

    Raises:
        ValueError: an unknown activation, or a width that is no positive whole number.
    """

    def __init__(
        self,
        dim: int,
        hidden: int | Sequence[int] = 96,
        signature: int = 16,
        deep: bool = False,
        dropout: float = 0.0,
        activation: str = "relu",
        norm: bool = True,
    ):
        super().__init__()
        widths = [dim, *([hidden] if isinstance(hidden, int) else hidden), signature]
        if activation not in ACTIVATIONS:
            raise ValueError(f"A signature's activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}.")
        if not all(type(width) is int and width > 0 for width in widths):
            raise ValueError(f"A signature's widths must be positive whole numbers, not {widths}.")
        self.config = {
            "dim": dim,
            "hidden": hidden if isinstance(hidden, int) else list(hidden),
            "signature": signature,
            "deep": deep,
            "activation": activation,
            "norm": norm,
        }
        self.dim, self.signature, self.deep = dim, signature, deep
        self.norm = nn.BatchNorm1d(dim, affine=False) if norm else nn.Identity()
        self.drop = nn.Dropout(dropout)
        layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), ACTIVATIONS[activation]())]
        self.mlp = nn.Sequential(*layers[:-1])
        self.log_s_z = nn.Parameter(torch.tensor(0.5 * math.log(2 * signature)))
        if deep:
            self.log_s_e = nn.Parameter(torch.tensor(0.5 * math.log(4 * dim)))
            self.logit_eps = nn.Parameter(torch.tensor(-3.0))

    def forward(self, embeddings: Tensor) -> tuple[Tensor, Tensor | None]:
        """Signatures (N, K) of embeddings (N, D) and, for the full kernel, the standardised embeddings."""
        standard = self.norm(embeddings)
        return self.mlp(self.drop(standard)), standard if self.deep else None

    def kernel_values(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """s_z, s_e and eps as `mmd.Kernel` takes them; the last two are None for the plain kernel."""
        if not self.deep:
            return self.log_s_z.exp(), None, None
        return self.log_s_z.exp(), self.log_s_e.exp(), self.logit_eps.sigmoid()
