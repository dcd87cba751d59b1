"""Lines of a map, in black beside white, which show on any picture and any colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

DOT = 4  # widths of a thin line
PAPER, INK = (255, 255, 255), (32, 32, 32)


def thickness(canvas: np.ndarray) -> int:
    """Pixels that a thin line needs on a picture of this size."""
    return max(1, round(max(canvas.shape[:2]) / 500))


def hatch(canvas: np.ndarray, corners: np.ndarray) -> None:
    """Draw diagonal lines into cells.

    Args:
        canvas: (H, W, 3) uint8, changed in place.
        corners: (F, 4) left, top, right, bottom of cells.
    """
    thin = thickness(canvas)
    for left, top, right, bottom in corners:
        rising = np.add.outer(np.arange(top, bottom), np.arange(left, right)) // thin % 10
        cell = canvas[top:bottom, left:right]
        cell[rising == 0] = INK
        cell[rising == 1] = PAPER


def outline(canvas: np.ndarray, corners: np.ndarray) -> None:
    """Draw the border of the flagged area into it: white between black.

    Args:
        canvas: (H, W, 3) uint8, changed in place.
        corners: (F, 4) left, top, right, bottom of flagged cells.
    """
    if not len(corners):
        return
    area = np.zeros(canvas.shape[:2], np.uint8)
    for left, top, right, bottom in corners:
        area[top:bottom, left:right] = 1
    thin = thickness(canvas)
    depths = [minimum_filter(area, 2 * thin * k + 1, mode="constant") for k in range(4)]
    canvas[depths[0] > depths[3]] = 0
    canvas[depths[1] > depths[2]] = 255


def contour(canvas: np.ndarray, field: np.ndarray, levels: Sequence[float]) -> None:
    """Draw a dotted line where values pass a level: white on the higher side, black on the lower.

    Args:
        canvas: (H, W, 3) uint8, changed in place.
        field: (H, W) values; -inf where there are none.
        levels: each gets a line.
    """
    reach, dot = 2 * max(1, thickness(canvas) // 2) + 1, DOT * thickness(canvas)
    rows, columns = (np.arange(side) // dot for side in field.shape)
    dotted = np.add.outer(rows, columns) % 2 == 0
    for level in levels:
        higher = (field >= level).astype(np.uint8)
        if not higher.any():
            continue
        canvas[dotted & (maximum_filter(higher, reach, mode="nearest") > higher)] = 0
        canvas[dotted & (higher > minimum_filter(higher, reach, mode="nearest"))] = 255
