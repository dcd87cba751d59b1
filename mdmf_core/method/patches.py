"""Cut a picture into a grid of patches, and say which pixels of the picture each one is.

Source: arXiv 2605.09296 (non-overlapping W x W patches). All geometry comes from the checkpoint. The
paper resizes the picture to 224 x 224 first; the bundled encoder works at native resolution, and where a
picture has more patches than the maximum they sit on a regular sub-lattice, so that the map still covers
all of it: a cell of the map is then larger than its patch. Everything is deterministic.

Where the backbone sees a window of V x V pixels around its patches, windows are cut instead. In a picture that they can
cover they overlap as little as they have to, and a patch that lies in several has the mean of its embeddings
(`merged`); in a larger one they stand apart, at most `max_patches` patches in all.
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
        window: V, side of the square that the backbone sees at once, or None where it sees patches alone.
    """

    patch_size: int
    max_patches: int
    resize: int | None = None
    crop_size: int | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        optional = (self.resize, self.crop_size, self.window)
        sides = (self.patch_size, self.max_patches, *(side for side in optional if side is not None))
        if not all(type(side) is int and side > 0 for side in sides):
            raise ValueError("A geometry is made of whole positive numbers.")
        if self.max_patches < 4 or (self.resize is not None and self.resize < self.min_side):
            raise ValueError("The geometry has fewer than 2 x 2 patches.")
        if self.window is not None and (self.resize or not self._fits()):
            raise ValueError("The geometry's window does not hold whole patches, two or more each way.")

    def _fits(self) -> bool:
        across = self.window // self.patch_size
        return across >= 2 and not self.window % self.patch_size and across**2 <= self.max_patches

    @property
    def min_side(self) -> int:
        """Shortest side, in pixels, that gives two patches each way, or a window."""
        return self.window or 2 * self.patch_size


@dataclass(frozen=True)
class Grid:
    """Where the patches lie, row by row.

    `boxes` (N, 4) are the patches and `cells` (N, 4) the parts of the picture they stand for, both int64
    x, y, w, h in pixels of the picture. `independent` counts the patches without overlap that fit. `members` (B * C,)
    says which patch each of the C patches of each of B windows is; None where there are no windows.
    """

    rows: int
    cols: int
    boxes: np.ndarray
    cells: np.ndarray
    independent: int
    members: np.ndarray | None = None


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


def _window_grid(x: int, y: int, width: int, height: int, geometry: Geometry) -> tuple[Grid, np.ndarray, np.ndarray]:
    """The grid of all patches, and left and top of each window, (B,) each."""
    size, across = geometry.patch_size, geometry.window // geometry.patch_size
    limit = geometry.max_patches // across**2
    fits = height // size, width // size
    count = tuple(-(-fit // across) for fit in fits)
    if count[0] * count[1] <= limit:
        edges = [_cells(start, length, size) for start, length in ((y, height), (x, width))]
        firsts = [np.linspace(0, fit - across, n).round().astype(np.int64) for fit, n in zip(fits, count, strict=True)]
        starts = [edge[first] for edge, first in zip(edges, firsts, strict=True)]
        boxes = cells = _boxes(*(edge[:-1] for edge in edges), *(np.full(fit, size) for fit in fits))
    else:
        count = _lattice_shape(height // geometry.window, width // geometry.window, limit)
        fits = tuple(across * n for n in count)
        axes = [_axis(a, n, geometry.window, k) for a, n, k in ((y, height, count[0]), (x, width, count[1]))]
        starts = [start for start, _ in axes]
        firsts = [across * np.arange(n) for n in count]
        corners = [(start[:, None] + size * np.arange(across)).reshape(-1) for start in starts]
        boxes = _boxes(*corners, *(np.full(fit, size) for fit in fits))
        parts = [_divided(edges, across) for _, edges in axes]
        cells = _boxes(*(part[:-1] for part in parts), *(np.diff(part) for part in parts))
    inside = np.arange(across)
    row = (firsts[0][:, None, None, None] + inside[:, None]) * fits[1]  # (count rows, 1, across, 1)
    members = (row + firsts[1][:, None, None] + inside).reshape(-1)  # (count rows, count cols, across, across)
    tops, lefts = np.repeat(starts[0], count[1]), np.tile(starts[1], count[0])
    return Grid(*fits, boxes, cells, fits[0] * fits[1], members), lefts, tops


def _cells(start: int, length: int, size: int) -> np.ndarray:
    """Edges of all patches that fit along one axis, in its middle, a multiple of a JPEG block from its start."""
    fit = length // size
    return start + (length - fit * size) // 2 // ALIGN * ALIGN + size * np.arange(fit + 1)


def _divided(edges: np.ndarray, parts: int) -> np.ndarray:
    """Edges of `parts` equal parts of each interval between `edges`."""
    shares = np.linspace(0, 1, parts, endpoint=False)
    inner = edges[:-1, None] + np.round(np.diff(edges)[:, None] * shares).astype(np.int64)
    return np.append(inner.reshape(-1), edges[-1])


def merged(embeddings: Tensor, grid: Grid) -> Tensor:
    """Embeddings (N, D) of patches: each the mean over the windows that it lies in, of `embed`'s (B * C, D).

    Without windows these are the patches' own, and returned as they are.
    """
    if grid.members is None:
        return embeddings
    index = torch.from_numpy(grid.members)
    count = torch.bincount(index, minlength=len(grid.boxes))
    total = torch.zeros(len(count), embeddings.shape[1], dtype=embeddings.dtype).index_add_(0, index, embeddings)
    return total / count[:, None]


def beside(grid: Grid, geometry: Geometry) -> list[tuple[int, int, int, int]]:
    """Regions, x, y, w, h, whose grids lie half a patch right of `grid`, half below, and both; for a finer map.

    Where patches stand for larger cells, it is half a cell, or half of what a window stands for. There are none where
    pictures are resized first, and none that are too small.
    """
    if geometry.resize is not None:
        return []
    left, top = grid.cells[:, :2].min(axis=0).tolist()
    right, bottom = (grid.cells[:, :2] + grid.cells[:, 2:]).max(axis=0).tolist()
    apart = geometry.window is not None and not np.array_equal(grid.cells, grid.boxes)
    across = geometry.window // geometry.patch_size if apart else 1
    half = max(ALIGN, int(np.median(grid.cells[:, 2])) * across // 2 // ALIGN * ALIGN)
    size, steps = (right - left, bottom - top), ((half, 0), (0, half), (half, half))
    found = [(left + dx, top + dy, size[0] - 2 * dx, size[1] - 2 * dy) for dx, dy in steps]
    return [region for region in found if min(region[2:]) >= geometry.min_side]


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
        Patches (N, 3, W, W) uint8, or windows (B, 3, V, V) where the geometry has such, and the grid of the patches in
        pixels of the whole picture.

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
    if geometry.window is not None:
        grid, lefts, tops = _window_grid(x, y, width, height, geometry)
        return _to_patches(pixels, lefts, tops, geometry.window), grid
    if geometry.resize is None:
        grid = (_native_grid if region is None else _dense_grid)(x, y, width, height, geometry)
        return _to_patches(pixels, grid.boxes[:, 0], grid.boxes[:, 1], geometry.patch_size), grid
    grid = _resized_grid(x, y, width, height, geometry)
    part = Image.fromarray(np.ascontiguousarray(pixels[y : y + height, x : x + width]))
    square = np.asarray(part.resize((geometry.resize, geometry.resize), Image.Resampling.BICUBIC))
    corners = np.arange(grid.cols) * geometry.patch_size
    tops, lefts = np.repeat(corners, grid.cols), np.tile(corners, grid.rows)
    return _to_patches(square, lefts, tops, geometry.patch_size), grid
