"""The Patch Forensic Signature: a small learned projection of frozen embeddings, and its kernel.

Source: arXiv 2605.09296. An embedding says what a patch shows; the signature keeps how it was made.
`(N, D) -> (N, K)` with K much smaller than D. The kernel's bandwidths are learned with it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class PFS(nn.Module):
    """Standardisation, one hidden layer and a projection, with the parameters of the deep kernel.

    Args:
        dim: D, size of an embedding.
        hidden: width of the hidden layer.
        signature: K, size of a signature.
        deep: use the full kernel with its factor on standardised embeddings (method.md section 2);
            otherwise the plain kernel on signatures.
        dropout: share of the inputs dropped in training.
    """

    def __init__(self, dim: int, hidden: int = 96, signature: int = 16, deep: bool = False, dropout: float = 0.0):
        super().__init__()
        self.config = {"dim": dim, "hidden": hidden, "signature": signature, "deep": deep}
        self.norm = nn.BatchNorm1d(dim, affine=False)
        self.drop = nn.Dropout(dropout)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, signature))
        self.log_s_z = nn.Parameter(torch.tensor(0.5 * math.log(2 * signature)))
        if deep:
            self.log_s_e = nn.Parameter(torch.tensor(0.5 * math.log(4 * dim)))
            self.logit_eps = nn.Parameter(torch.tensor(-3.0))

    def forward(self, embeddings: Tensor) -> tuple[Tensor, Tensor | None]:
        """Signatures (N, K) of embeddings (N, D) and, for the full kernel, the standardised embeddings."""
        standard = self.norm(embeddings)
        return self.mlp(self.drop(standard)), standard if self.config["deep"] else None

    def kernel_values(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """s_z, s_e and eps as `mmd.Kernel` takes them; the last two are None for the plain kernel."""
        if not self.config["deep"]:
            return self.log_s_z.exp(), None, None
        return self.log_s_z.exp(), self.log_s_e.exp(), self.logit_eps.sigmoid()
