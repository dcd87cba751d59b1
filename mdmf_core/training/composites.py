"""Pictures put together from two, with the mask of what came from the second: to train on and to measure with.

The region's place is drawn evenly among all that touch the picture, and what sticks out is cut off, so that every pixel
is altered equally often. A region that always lay inside would be found by its place alone.

A mask is (H, W) float32, 0 where the first picture is untouched and 1 where only the second shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from mdmf_core.images import degrade

MOST = 0.7  # of a side of the picture that the region takes
ALTERED = 0.5  # share of a patch from which on it counts as altered
FAINTEST = 1e-3  # of the second picture in a pixel that still counts as touched


def paste(
    first: np.ndarray,
    second: np.ndarray,
    rng: np.random.Generator,
    sides: tuple[int, int],
    borders: Sequence[float],
    ellipses: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Part of `second` in `first`, each at its own resolution.

    Args:
        first, second: (H, W, 3) uint8, not always of one size.
        rng: the source of every choice.
        sides: least and most pixels of the region's sides, the latter exclusive.
        borders: standard deviations, in pixels, of the blur that softens the region's border inwards; one is drawn.
        ellipses: share of regions that are ellipses; the others are rectangles.

    Returns:
        The composite (H, W, 3) uint8 and its mask (H, W).
    """
    (height, width), (rows, cols) = first.shape[:2], second.shape[:2]
    h = min(int(rng.integers(*sides)), rows, int(MOST * height))
    w = min(int(rng.integers(*sides)), cols, int(MOST * width))
    return put(first, second, (h, w), rng, borders, ellipses)


def put(
    first: np.ndarray,
    second: np.ndarray,
    size: tuple[int, int],
    rng: np.random.Generator,
    borders: Sequence[float],
    ellipses: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """`paste` of a region of `size`, its height and width, which both pictures have room for."""
    (height, width), (rows, cols), (h, w) = first.shape[:2], second.shape[:2], size
    top, left = int(rng.integers(1 - h, height)), int(rng.integers(1 - w, width))
    y, x = int(rng.integers(rows - h + 1)), int(rng.integers(cols - w + 1))
    border, round_ = float(rng.choice(borders)), rng.random() < ellipses
    hard = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(hard)
    (pen.ellipse if round_ else pen.rectangle)((left, top, left + w - 1, top + h - 1), fill=255)
    soft = hard.filter(ImageFilter.GaussianBlur(border)) if border else hard
    mask = (np.asarray(soft, np.float32) / 255) * (np.asarray(hard) > 0)
    start, end = (max(0, top), max(0, left)), (min(height, top + h), min(width, left + w))
    pasted = second[y + start[0] - top : y + end[0] - top, x + start[1] - left : x + end[1] - left]
    inside = slice(start[0], end[0]), slice(start[1], end[1])
    share = mask[inside][..., None]
    mixed = first.copy()
    mixed[inside] = np.rint(first[inside] * (1 - share) + pasted * share)
    return mixed, mask


def remade(
    first: np.ndarray,
    second: np.ndarray,
    rng: np.random.Generator,
    sides: tuple[int, int],
    borders: Sequence[float],
    ellipses: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """A region of `first` replaced by the same region of `second`, a picture of the same; arguments as for `paste`."""
    height, width = (min(a, b) for a, b in zip(first.shape[:2], second.shape[:2], strict=True))
    first, second = first[:height, :width], second[:height, :width]
    _, mask = paste(np.zeros_like(first), np.zeros_like(first), rng, sides, borders, ellipses)
    mixed = first * (1 - mask[..., None]) + second * mask[..., None]
    return np.rint(mixed).astype(np.uint8), mask


def aged(
    pixels: np.ndarray, mask: np.ndarray, rng: np.random.Generator, smallest: int
) -> tuple[np.ndarray, np.ndarray]:
    """A later life of a composite: maybe resized, then up to twice cut off its grid and compressed."""
    low = max(0.55, (smallest + degrade.ROOM) / min(mask.shape))
    if rng.random() < 0.35 and low < 1:
        resampler = degrade.RESAMPLERS[rng.integers(len(degrade.RESAMPLERS))]
        pixels, mask = resized(pixels, mask, rng.uniform(low, 1.1), resampler)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.3, 0.5, 0.2]))):
        top, left = rng.integers(0, degrade.ROOM, 2)
        if min(mask.shape) - max(top, left) >= smallest:
            pixels, mask = pixels[top:, left:], mask[top:, left:]
        pixels = degrade.codec(pixels, rng)
    return pixels, mask


def alike(pixels: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`degrade.alike` of a composite, its mask cut as it is."""
    before = rng.bit_generator.state
    pixels = degrade.alike(pixels, rng)
    after = rng.bit_generator.state
    rng.bit_generator.state = before
    mask = degrade.off_grid(mask, rng)
    rng.bit_generator.state = after
    return pixels, mask


def resized(pixels: np.ndarray, mask: np.ndarray, factor: float, resampler: Image.Resampling) -> tuple:
    """`degrade.resize` of a composite and of its mask."""
    made = degrade.resize(pixels, factor, resampler)
    shrunk = Image.fromarray(mask).resize(made.shape[1::-1], Image.Resampling.BILINEAR)
    return made, np.asarray(shrunk)


def altered(boxes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What the mask says of patches: (N,) 1 for altered ones, 0 for untouched ones, nan between.

    Args:
        boxes: (N, 4) x, y, w, h of the patches.
        mask: (H, W).
    """
    parts = [mask[y : y + h, x : x + w] for x, y, w, h in boxes]
    shares = np.array([(part > 0.5).mean() for part in parts])
    touched = np.array([(part > FAINTEST).any() for part in parts])
    return np.where(shares >= ALTERED, 1.0, np.where(touched, np.nan, 0.0))
