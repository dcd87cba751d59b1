"""Which patches of a picture are unlike the rest of it: the odd ones out, whatever the picture as a whole is.

The score and its evidence compare a picture's patches with reference patches; that says little about which part of a
picture was put in, since a photograph of an unusual camera may lie as far away as a pasted face. This network
compares the patches of one picture with each other instead, the self-consistency of Huh et al. (2018, "Fighting Fake
News: Image Splice Detection via Learned Self-Consistency"). It takes the embeddings that the score is made of, and
learned on composites what to compare (`training.locator`). Each embedding is standardised, projected and compared with
the median over the picture; a convolution over the grid of patches lets neighbours confirm each other. At the border it
repeats what lies there: zeros would tell it where the border is.

`locator.safetensors`, a file that a checkpoint may have or not, holds it all: its weights, the settings in the
file's metadata, and as `null` what patches of untouched real calibration pictures reach. `outlines` in the metadata,
which may lack, are the rates for `calibration.flag` by block size.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from mdmf_core.files import write_whole
from mdmf_core.method.calibration import FALSE_DISCOVERIES, fitting
from mdmf_core.method.weights import load_strictly

FEWEST = 3  # rows and columns of patches below which a picture has no rest to compare with
NULLS = 4096  # values of `null`, evenly spaced among all that were found


class Locator(nn.Module):
    """Weights of the network.

    Args:
        dim: D, size of an embedding.
        width: values kept of each embedding.
        hidden: channels of the convolution over the grid.
        dropout: while training.
    """

    def __init__(self, dim: int, width: int = 40, hidden: int = 32, dropout: float = 0.3) -> None:
        super().__init__()
        self.config = {"dim": dim, "width": width, "hidden": hidden}
        self.dim = dim
        self.norm = nn.BatchNorm1d(dim, affine=False)
        self.project = nn.Linear(dim, width, bias=False)
        self.enter = nn.Linear(2 * width + 1, hidden)
        self.neighbours = nn.Conv2d(hidden, hidden, 3, padding=1, padding_mode="replicate")
        self.leave = nn.Linear(hidden, 1)
        self.drop = nn.Dropout(dropout)
        self.register_buffer("null", torch.zeros(NULLS))
        self.outlines: dict[int, float] = {}

    def forward(self, embeddings: Tensor, rows: int, cols: int) -> Tensor:
        """How unlike the rest each patch of one picture is, (N,), of embeddings (N, D), N = rows * cols."""
        z = self.project(self.norm(embeddings))  # (N, width)
        off = z - z.median(dim=0).values
        seen = torch.cat([off, off.abs(), off.square().mean(1, keepdim=True).add(1e-12).sqrt()], dim=1)
        maps = self.drop(F.relu(self.enter(seen))).T.reshape(1, -1, rows, cols)
        maps = maps + F.relu(self.neighbours(self.drop(maps)))
        return self.leave(maps[0].flatten(1).T)[:, 0]

    def outline_rate(self, n_patches: int) -> float:
        """The rate for `calibration.flag` of a picture of `n_patches` patches."""
        return fitting(self.outlines, n_patches) if self.outlines else FALSE_DISCOVERIES

    @torch.inference_mode()
    def values(self, embeddings: Tensor, rows: int, cols: int) -> Tensor | None:
        """`forward`, float32, of embeddings (N, D) of whole pictures; None below `FEWEST` rows or columns."""
        if min(rows, cols) < FEWEST:
            return None
        return self(embeddings.to(self.project.weight.dtype), rows, cols).float()


def save(locator: Locator, path: str | Path) -> Path:
    """Write `locator.safetensors`."""
    tensors = {name: value.contiguous() for name, value in locator.state_dict().items()}
    config = locator.config | ({"outlines": sorted(locator.outlines.items())} if locator.outlines else {})
    metadata = {"config": json.dumps(config, sort_keys=True)}
    return write_whole(path, lambda temporary: save_file(tensors, temporary, metadata=metadata))


def load(path: str | Path, dim: int) -> Locator:
    """Read `locator.safetensors`, strictly; ready for `values`, in float64: the same from any number of threads.

    Args:
        path: the file.
        dim: D of the checkpoint that it belongs to.

    Raises:
        ValueError: it can't be read, its tensors don't fit its settings, or it is for embeddings of another size.
    """
    try:
        with safe_open(path, framework="pt") as file:
            config = dict(json.loads((file.metadata() or {}).get("config", "")))
        outlines = {int(k): float(rate) for k, rate in config.pop("outlines", [])}
        if any(k < 1 or not 0 <= rate <= 1 for k, rate in outlines.items()):
            raise ValueError("no block sizes and rates")
        locator = Locator(**config)
        locator.outlines = outlines
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, RuntimeError) as error:
        raise ValueError(f"{Path(path).name} can't be read or has settings that this version doesn't know") from error
    if locator.dim != dim:
        raise ValueError(f"{Path(path).name} is for embeddings of {locator.dim} values, not of {dim}")
    load_strictly(locator, path)
    return locator.double().eval().requires_grad_(False)
