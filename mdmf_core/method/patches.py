"""Cut a picture into a grid of patches, and say which pixels of the picture each one is.

Source: arXiv 2605.09296 (non-overlapping W x W patches). All geometry comes from the checkpoint. The
paper resizes the picture to 224 x 224 first; the bundled encoder works at native resolution, and where a
picture has more patches than the maximum they sit on a regular sub-lattice, so that the map still covers
all of it: a cell of the map is then larger than its patch. Everything is deterministic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

ALIGN = 8  # patches start at multiples of a JPEG block, counted from the picture's corner


@dataclass(frozen=True)
class Geometry:
    """How a checkpoint cuts pictures.

    Args:
        patch_size: W, pixels on a side.
        max_patches: upper bound of N.
        resize: side of the square that a picture is resized to first, or None for native resolution.
        crop_size: side that the backbone enlarges a patch to, or None to take it as it is.
    """

    patch_size: int
    max_patches: int
    resize: int | None = None
    crop_size: int | None = None

    def __post_init__(self) -> None:
        sides = (self.patch_size, self.max_patches, *(s for s in (self.resize, self.crop_size) if s is not None))
        if not all(type(side) is int and side > 0 for side in sides):
            raise ValueError("config.json has a geometry that is not made of whole positive numbers.")
        if self.max_patches < 4 or (self.resize is not None and self.resize < self.min_side):
            raise ValueError("config.json has a geometry with fewer than 2 x 2 patches.")

    @property
    def min_side(self) -> int:
        """Shortest side, in pixels, that gives two patches each way."""
        return 2 * self.patch_size


@dataclass(frozen=True)
class Grid:
    """Where the patches lie, row by row.

    `boxes` (N, 4) are the patches and `cells` (N, 4) the parts of the picture they stand for, both int64
    x, y, w, h in pixels of the picture. `independent` counts the patches without overlap that fit.
    """

    rows: int
    cols: int
    boxes: np.ndarray
    cells: np.ndarray
    independent: int


def _lattice_shape(rows: int, cols: int, limit: int) -> tuple[int, int]:
    """The largest lattice of about the same shape as rows x cols with at most `limit` points."""
    if rows * cols <= limit:
        return rows, cols
    if rows > cols:
        wide, high = _lattice_shape(cols, rows, limit)
        return high, wide
    fewer = max(2, min(rows, round(math.sqrt(limit * rows / cols))))
    return fewer, min(cols, limit // fewer)


def _edges(start: int, length: int, parts: int, unit: int = 1) -> np.ndarray:
    return start + unit * np.round(np.linspace(0, length / unit, parts + 1)).astype(np.int64)


def _axis(start: int, length: int, patch: int, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts of `parts` patches along one axis and the edges of their cells."""
    fits = length // patch
    margin = (length - fits * patch) // 2 // ALIGN * ALIGN
    edges = _edges(start + margin, fits * patch, parts, math.gcd(patch, ALIGN))
    room = np.diff(edges) - patch
    return edges[:-1] + room // 2 // ALIGN * ALIGN, edges


def _boxes(tops: np.ndarray, lefts: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> np.ndarray:
    y, x = np.meshgrid(tops, lefts, indexing="ij")
    h, w = np.meshgrid(heights, widths, indexing="ij")
    return np.stack([x, y, w, h], axis=-1).reshape(-1, 4).astype(np.int64)


def _native_grid(x: int, y: int, width: int, height: int, geometry: Geometry) -> Grid:
    size = geometry.patch_size
    fit_rows, fit_cols = height // size, width // size
    rows, cols = _lattice_shape(fit_rows, fit_cols, geometry.max_patches)
    tops, row_edges = _axis(y, height, size, rows)
    lefts, col_edges = _axis(x, width, size, cols)
    boxes = _boxes(tops, lefts, np.full(rows, size), np.full(cols, size))
    cells = _boxes(row_edges[:-1], col_edges[:-1], np.diff(row_edges), np.diff(col_edges))
    return Grid(rows, cols, boxes, cells, rows * cols)


def _dense_grid(x: int, y: int, width: int, height: int, geometry: Geometry) -> Grid:
    """A region's grid: overlapping patches, a quarter or a half apart, as far as the maximum allows."""
    size = geometry.patch_size
    for stride in (size // 4, size // 2):
        rows, cols = (height - size) // stride + 1, (width - size) // stride + 1
        if rows * cols <= geometry.max_patches:
            tops, lefts = y + stride * np.arange(rows), x + stride * np.arange(cols)
            boxes = _boxes(tops, lefts, np.full(rows, size), np.full(cols, size))
            inset = (size - stride) // 2
            cells = _boxes(tops + inset, lefts + inset, np.full(rows, stride), np.full(cols, stride))
            return Grid(rows, cols, boxes, cells, (height // size) * (width // size))
    return _native_grid(x, y, width, height, geometry)


def _resized_grid(x: int, y: int, width: int, height: int, geometry: Geometry) -> Grid:
    side = geometry.resize // geometry.patch_size
    row_edges, col_edges = _edges(y, height, side), _edges(x, width, side)
    boxes = _boxes(row_edges[:-1], col_edges[:-1], np.diff(row_edges), np.diff(col_edges))
    return Grid(side, side, boxes, boxes, side * side)


def _to_patches(pixels: np.ndarray, lefts: np.ndarray, tops: np.ndarray, size: int) -> Tensor:
    """Patches (N, 3, W, W) uint8 of pixels (H, W, 3) at the given corners."""
    stack = np.stack([pixels[y : y + size, x : x + size] for x, y in zip(lefts, tops, strict=True)])
    return torch.from_numpy(np.ascontiguousarray(stack.transpose(0, 3, 1, 2)))


def _aligned(start: int, end: int, geometry: Geometry) -> int:
    """The next multiple of a JPEG block from `start` on, where the region is large enough to lose those pixels."""
    later = -(-start // ALIGN) * ALIGN
    return later if geometry.resize is None and end - later >= geometry.min_side else start


def cut(pixels: np.ndarray, geometry: Geometry, region: tuple[int, int, int, int] | None = None) -> tuple[Tensor, Grid]:
    """Patches of a picture or of one region of it.

    Args:
        pixels: (H, W, 3) uint8.
        geometry: the checkpoint's.
        region: x, y, w, h in pixels; it is clipped to the picture and covered densely.

    Returns:
        Patches (N, 3, W, W) uint8 and their grid, in pixels of the whole picture.

    Raises:
        ValueError: picture or region is smaller than two patches on a side.
    """
    x, y, width, height = 0, 0, pixels.shape[1], pixels.shape[0]
    if region is not None:
        right, bottom = min(width, int(region[0] + region[2])), min(height, int(region[1] + region[3]))
        x, y = (_aligned(max(0, int(a)), b, geometry) for a, b in zip(region[:2], (right, bottom), strict=True))
        width, height = right - x, bottom - y
    if min(width, height) < geometry.min_side:
        what = "The picture" if region is None else "The region"
        raise ValueError(
            f"{what} is {max(width, 0)} x {max(height, 0)} pixels; "
            f"at least {geometry.min_side} x {geometry.min_side} are needed."
        )
    if geometry.resize is None:
        grid = (_native_grid if region is None else _dense_grid)(x, y, width, height, geometry)
        return _to_patches(pixels, grid.boxes[:, 0], grid.boxes[:, 1], geometry.patch_size), grid
    grid = _resized_grid(x, y, width, height, geometry)
    part = Image.fromarray(np.ascontiguousarray(pixels[y : y + height, x : x + width]))
    square = np.asarray(part.resize((geometry.resize, geometry.resize), Image.Resampling.BICUBIC))
    corners = np.arange(grid.cols) * geometry.patch_size
    tops, lefts = np.repeat(corners, grid.cols), np.tile(corners, grid.rows)
    return _to_patches(square, lefts, tops, geometry.patch_size), grid
