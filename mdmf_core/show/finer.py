"""A finer map: the mean of patches that overlap, on a lattice of small squares.

A second pass analyses the picture again with patches that lie half a patch to the right, half below, and both
(`Detector.overlapping`). At each place the value is the mean over all patches that stand for it, and between the
places it is smoothed over half a patch, so that a map follows shapes and not the blocks of one grid. Such values no
longer add up to the score, and nothing is tested with them: outlines stay those of the patches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

from mdmf_core.evidence import Evidence
from mdmf_core.method.patches import ALIGN, Grid

MOST_SQUARES = 400  # along the longest side

Pass = tuple[Grid, dict[str, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Fine:
    """Maps of overlapping patches: `values` (h, w) by name, and where there are any, `covered` (h, w).

    A square has `step` pixels of the picture on a side; the first begins at its corner.
    """

    step: int
    values: dict[str, np.ndarray]
    covered: np.ndarray

    def over(self, name: str, size: tuple[int, int], shown: tuple[int, int]) -> np.ndarray | None:
        """Values (H, W) of a map as they lie on a picture that is shown in another size; -inf where there are none.

        Args:
            name: of the map; None comes of one that is not known.
            size: width and height of the picture in pixels.
            shown: width and height to give.
        """
        if name not in self.values:
            return None
        part = (0.0, 0.0, size[0] / self.step, size[1] / self.step)
        found = Image.fromarray(self.values[name]).resize(shown, Image.Resampling.BILINEAR, part)
        covered = Image.fromarray(self.covered.astype(np.uint8)).resize(shown, Image.Resampling.NEAREST, part)
        return np.where(np.asarray(covered, bool), np.asarray(found), -np.inf)

    def means(self, name: str, grid: Grid) -> np.ndarray:
        """Means (N,) of a map over each cell of a grid."""
        values = self.values[name]
        return np.array([values[y:bottom, x:right].mean() for x, y, right, bottom in _squares(grid, self.step)])


def fine(evidence: Evidence, passes: Iterable[Pass]) -> Fine:
    """The finer maps of a picture, each of those that every pass knows.

    Args:
        evidence: of the whole picture.
        passes: what `Detector.overlapping` gave.
    """
    width, height = evidence.picture.width, evidence.picture.height
    step = ALIGN * math.ceil(max(width, height) / (ALIGN * MOST_SQUARES))
    shape = math.ceil(height / step), math.ceil(width / step)
    first = evidence.grid, {name: found.values for name, found in evidence.maps.items()}
    every = [first, *passes]
    names = [name for name in first[1] if all(name in values for _, values in every)]
    totals, count = {name: np.zeros(shape) for name in names}, np.zeros(shape)
    for grid, values in every:
        for index, (left, top, right, bottom) in enumerate(_squares(grid, step)):
            count[top:bottom, left:right] += 1
            for name in names:
                totals[name][top:bottom, left:right] += values[name][index]
    covered = count > 0
    over = max(1, round(float(np.median(evidence.grid.cells[:, 2])) / 2 / step))
    return Fine(step, {name: _smooth(total, count, over) for name, total in totals.items()}, covered)


def _squares(grid: Grid, step: int) -> np.ndarray:
    """Left, top, right and bottom of each cell in squares of the lattice, (N, 4); at least one square each."""
    corners = grid.cells.astype(float)
    corners[:, 2:] += corners[:, :2]
    edges = np.rint(corners / step).astype(int)
    edges[:, 2:] = np.maximum(edges[:, 2:], edges[:, :2] + 1)
    return edges


def _smooth(total: np.ndarray, count: np.ndarray, over: int) -> np.ndarray:
    """The mean of values (h, w), then of `over` x `over` squares; squares without a value count nowhere."""
    known = count > 0
    mean = np.divide(total, count, out=np.zeros_like(total), where=known)
    weight = uniform_filter(known.astype(float), over, mode="constant")
    smoothed = uniform_filter(mean, over, mode="constant")
    return np.divide(smoothed, weight, out=np.zeros_like(mean), where=weight > 1e-9).astype(np.float32)
