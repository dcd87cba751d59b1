"""Parts of a photograph made by a generator's autoencoder, for `localise_whole.py`: made again, or filled in.

Made again: the part itself through the autoencoder. Filled in: the part's latents are those of another place of the
same picture, decoded together with what lies around the part, as an inpainting model's are. The autoencoder is TAEF2
(`taef2.py`). It sees tiles of `TILE` pixels with `MARGIN` around them. Sides of pictures are multiples of `STEP`.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.quality.taef2 import Autoencoder
from mdmf_core.training import composites

TILE, MARGIN, STEP = 512, 64, 8  # pixels; the autoencoder halves sides three times
AGAIN_KINDS = ("a part made again by an autoencoder", "a part filled in by an autoencoder")
Box = tuple[int, int, int, int]  # top, left, height, width


def box_of(mask: np.ndarray) -> Box:
    """The rows and columns that a mask (H, W) touches."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(cols[0]), int(rows[-1] - rows[0] + 1), int(cols[-1] - cols[0] + 1)


def made_again(
    model: Autoencoder, pixels: np.ndarray, kind: str, size: tuple[int, int], rng: np.random.Generator, border: float
) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) uint8 with a part of one of `AGAIN_KINDS`, cut to multiples of `STEP`, and its mask (H, W).

    Args:
        model, pixels: the autoencoder and a photograph.
        kind: of `AGAIN_KINDS`.
        size: height and width of the part, some of which may lie outside.
        rng: the source of every choice.
        border: as `composites.put` takes it.
    """
    height, width = (side // STEP * STEP for side in pixels.shape[:2])
    pixels = pixels[:height, :width]
    empty = np.zeros_like(pixels)
    _, mask = composites.put(empty, empty, size, rng, (border,))
    shift = int(rng.integers(height // 4, height - height // 4)), int(rng.integers(width // 4, width - width // 4))
    other = None if kind == AGAIN_KINDS[0] else np.roll(pixels, shift, (0, 1))
    return through(model, pixels, mask, other), mask


def through(model: Autoencoder, pixels: np.ndarray, mask: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """The picture (H, W, 3) uint8 with what the autoencoder makes of it where the mask (H, W) is above 0.

    Args:
        model: the autoencoder.
        pixels, mask: the picture, and how much of each pixel is new.
        other: (H, W, 3) uint8, whose latents take the place of the picture's in the masked part; None for its own.
    """
    made, (top, left, height, width) = pixels.astype(np.float32), box_of(mask)
    for y in range(top, top + height, TILE):
        for x in range(left, left + width, TILE):
            tile = slice(y, min(y + TILE, top + height)), slice(x, min(x + TILE, left + width))
            wide, inner = _around(tile, mask.shape)
            latents = model.latents(pixels[wide])
            if other is not None:
                latents = _filled(latents, model.latents(other[wide]), mask[wide])
            share = mask[tile][..., None]
            made[tile] = pixels[tile] * (1 - share) + model.pixels(latents)[inner] * share
    return np.rint(made).astype(np.uint8)


def _around(tile: tuple[slice, slice], shape: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """A tile with its margin, its sides multiples of `STEP`, and where the tile lies in it."""
    wide, inner = [], []
    for side, most in zip(tile, shape, strict=True):
        start = max(0, (side.start - MARGIN) // STEP * STEP)
        stop = min(most, -(-(side.stop + MARGIN) // STEP) * STEP)
        wide.append(slice(start, stop))
        inner.append(slice(side.start - start, side.stop - start))
    return tuple(wide), tuple(inner)


def _filled(latents: torch.Tensor, others: torch.Tensor, mask: np.ndarray) -> torch.Tensor:
    """Latents (1, C, h, w) with others where the mask of their pixels (8 h, 8 w) is."""
    share = torch.nn.functional.avg_pool2d(torch.from_numpy(mask.astype(np.float32))[None, None], STEP)
    return latents * (1 - share) + others * share
