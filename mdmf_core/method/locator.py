"""Which patches of a picture are unlike the rest of it: the odd ones out, whatever the picture as a whole is.

The score and its evidence compare a picture's patches with reference patches; that says little about which part of a
picture was put in, since a photograph of an unusual camera may lie as far away as a pasted face. This network
compares the patches of one picture with each other instead, the self-consistency of Huh et al. (2018, "Fighting Fake
News: Image Splice Detection via Learned Self-Consistency"). It has a compact encoder of its own, which started as the
checkpoint's and went on learning on composites (`training.locator`): the score keeps the frozen one. Each embedding is
standardised, projected and compared with the median over the picture; a convolution over the grid of patches lets
neighbours confirm each other. At the border it repeats what lies there: zeros would tell it where the border is.

`locator.safetensors`, a file that a checkpoint may have or not, holds it all: its weights, the settings in the
file's metadata, and as `null` what patches of untouched real calibration pictures reach.
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
from mdmf_core.method.backbones.compact import Compact
from mdmf_core.method.backbones.weights import load_strictly

FEWEST = 3  # rows and columns of patches below which a picture has no rest to compare with
NULLS = 4096  # values of `null`, evenly spaced among all that were found


class Locator(nn.Module):
    """Weights of the network.

    Args:
        patch_size: W of the patches it was trained on.
        channels: of the encoder.
        width: values kept of each embedding.
        hidden: channels of the convolution over the grid.
        dropout: while training.
    """

    def __init__(
        self,
        patch_size: int,
        channels: tuple[int, ...] = (32, 64, 128, 192),
        width: int = 40,
        hidden: int = 32,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.config = {"patch_size": patch_size, "channels": list(channels), "width": width, "hidden": hidden}
        self.encoder = Compact(tuple(channels))
        self.norm = nn.BatchNorm1d(self.encoder.dim, affine=False)
        self.project = nn.Linear(self.encoder.dim, width, bias=False)
        self.enter = nn.Linear(2 * width + 1, hidden)
        self.neighbours = nn.Conv2d(hidden, hidden, 3, padding=1, padding_mode="replicate")
        self.leave = nn.Linear(hidden, 1)
        self.drop = nn.Dropout(dropout)
        self.register_buffer("null", torch.zeros(NULLS))

    def forward(self, embeddings: Tensor, rows: int, cols: int) -> Tensor:
        """How unlike the rest each patch of one picture is, (N,), of embeddings (N, D), N = rows * cols."""
        z = self.project(self.norm(embeddings))  # (N, width)
        off = z - z.median(dim=0).values
        seen = torch.cat([off, off.abs(), off.square().mean(1, keepdim=True).add(1e-12).sqrt()], dim=1)
        maps = self.drop(F.relu(self.enter(seen))).T.reshape(1, -1, rows, cols)
        maps = maps + F.relu(self.neighbours(self.drop(maps)))
        return self.leave(maps[0].flatten(1).T)[:, 0]

    @torch.inference_mode()
    def values(self, patches: Tensor, rows: int, cols: int) -> Tensor | None:
        """`forward` of patches (N, 3, W, W) uint8, float32 on the CPU; None below `FEWEST` rows or columns."""
        if min(rows, cols) < FEWEST:
            return None
        return self(self.encoder.embed(patches).to(self.project.weight.dtype), rows, cols).float()

    def comparing_in_double(self) -> Locator:
        """Itself, with all but the encoder in float64: the same values then from any number of threads."""
        for part in (self.norm, self.project, self.enter, self.neighbours, self.leave):
            part.double()
        return self


def save(locator: Locator, path: str | Path) -> Path:
    """Write `locator.safetensors`."""
    tensors = {name: value.contiguous() for name, value in locator.state_dict().items()}
    metadata = {"config": json.dumps(locator.config, sort_keys=True)}
    return write_whole(path, lambda temporary: save_file(tensors, temporary, metadata=metadata))


def load(path: str | Path, patch_size: int) -> Locator:
    """Read `locator.safetensors`, strictly; ready for `values`.

    Args:
        path: the file.
        patch_size: W of the checkpoint that it belongs to.

    Raises:
        ValueError: it can't be read, its tensors don't fit its settings, or it is for patches of another size.
    """
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {}).get("config", ""))
        locator = Locator(**config)
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, RuntimeError) as error:
        raise ValueError(f"{Path(path).name} can't be read or has settings that this version doesn't know") from error
    if locator.config["patch_size"] != patch_size:
        raise ValueError(
            f"{Path(path).name} is for patches of {locator.config['patch_size']} pixels, not of {patch_size}"
        )
    load_strictly(locator, path)
    return locator.comparing_in_double().eval().requires_grad_(False)
