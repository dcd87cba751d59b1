"""Two pictures on one another: where the second lies on the first, how they differ there, and what differs in origin.

Phase correlation proposes shifts (Kuglin and Hines, *The Phase Correlation Image Alignment Method*, 1975); the
correlation of brightness where both lie chooses among them. Nothing is turned or warped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mdmf_core.show.page import said

if TYPE_CHECKING:
    from mdmf_core.images.origin.said import Provenance

COARSE = 320  # longest side in pixels where shifts are looked for
FINE = 512  # side of the part where they are made exact
ALIKE = 0.6  # correlation from which two pictures are said to show the same
LEAST_SHARED = 0.2  # share of the smaller picture that must lie on the other
PEAKS = 6
NOTHING = "nothing"
SAME_FORM = 0.02
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Placement:
    """Where the second picture lies on the first.

    `x`, `y` are its top left corner in pixels of the first, `scale` how many of these one of its own pixels takes, and
    `likeness` the correlation of brightness where both lie, -1 to 1.
    """

    x: float
    y: float
    scale: float
    likeness: float

    @property
    def alike(self) -> bool:
        """Whether both show the same; else the second is laid over the first as it fits."""
        return self.likeness >= ALIKE


def align(first: np.ndarray, second: np.ndarray) -> Placement:
    """The best place of `second` (H, W, 3) on `first` (H, W, 3), both uint8: as large as it, or pixel on pixel."""
    shrunk = min(1.0, COARSE / max(first.shape[:2]))
    base = _grey(first, shrunk)
    found = []
    for scale in _scales(first, second):
        other = _grey(second, scale * shrunk)
        if min(other.shape) < 8 or max(other.shape) > 4 * COARSE:
            continue
        for y, x in _shifts(base, other):
            found.append(Placement(x / shrunk, y / shrunk, scale, _likeness(base, other, y, x)))
    best = max(found, key=lambda place: place.likeness, default=None)
    if best is None or not best.alike:
        fit = min(first.shape[1] / second.shape[1], first.shape[0] / second.shape[0])
        return Placement(0.0, 0.0, fit, -1.0 if best is None else best.likeness)
    return _refined(first, second, best, shrunk) if shrunk < 1 else best


def _scales(first: np.ndarray, second: np.ndarray) -> list[float]:
    """The scales to try: equal width, equal height where that is something else, and pixel on pixel."""
    height, width = (one / other for one, other in zip(first.shape[:2], second.shape[:2], strict=True))
    scales = [width] if abs(width / height - 1) < SAME_FORM else [1.0, width, height]
    return list(dict.fromkeys([*scales, 1.0]))


def _grey(pixels: np.ndarray, scale: float) -> np.ndarray:
    """Brightness (H, W) of a picture in another size."""
    image = Image.fromarray(np.rint(pixels @ LUMA).astype(np.uint8))
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return np.asarray(image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC), float)


def _shifts(base: np.ndarray, other: np.ndarray) -> Iterator[tuple[int, int]]:
    """Rows and columns that `other` may be moved by: none, and the peaks of phase correlation."""
    yield 0, 0
    shape = tuple(one + two for one, two in zip(base.shape, other.shape, strict=True))
    spectrum = np.fft.rfft2(base - base.mean(), shape) * np.conj(np.fft.rfft2(other - other.mean(), shape))
    surface = np.fft.irfft2(spectrum / np.maximum(np.abs(spectrum), 1e-9), shape)
    for place in np.argsort(surface, axis=None)[-PEAKS:][::-1]:
        row, col = np.unravel_index(place, shape)
        yield int(row - shape[0] * (row >= base.shape[0])), int(col - shape[1] * (col >= base.shape[1]))


def _likeness(base: np.ndarray, other: np.ndarray, y: int, x: int) -> float:
    """Correlation where both lie; -1 where too little of them does."""
    top, left = max(0, y), max(0, x)
    bottom, right = min(base.shape[0], y + other.shape[0]), min(base.shape[1], x + other.shape[1])
    if (bottom - top) * (right - left) < LEAST_SHARED * min(base.size, other.size) or bottom <= top or right <= left:
        return -1.0
    one, two = base[top:bottom, left:right], other[top - y : bottom - y, left - x : right - x]
    one, two = one - one.mean(), two - two.mean()
    strength = np.sqrt((one**2).sum() * (two**2).sum())
    return float((one * two).sum() / strength) if strength > 0 else -1.0


def _refined(first: np.ndarray, second: np.ndarray, place: Placement, shrunk: float) -> Placement:
    """The same place to the pixel, by the middle of what both share."""
    place = Placement(round(place.x), round(place.y), place.scale, place.likeness)
    left, top, right, bottom = shared(first, second, place)
    side = min(FINE, right - left, bottom - top)
    left, top = (left + right - side) // 2, (top + bottom - side) // 2
    box = (left, top, left + side, top + side)
    one, two = _grey(first[top : top + side, left : left + side], 1), _grey(_seen(second, place, box), 1)
    reach = int(np.ceil(2 / shrunk))
    near = [(y, x) for y, x in _shifts(one, two) if max(abs(y), abs(x)) <= reach]
    y, x = max(near, key=lambda shift: _likeness(one, two, *shift))
    return Placement(place.x + x, place.y + y, place.scale, place.likeness)


def shared(first: np.ndarray, second: np.ndarray, place: Placement) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what both cover, in whole pixels of the first."""
    height, width = (side * place.scale for side in second.shape[:2])
    left, top = int(np.ceil(max(0, place.x))), int(np.ceil(max(0, place.y)))
    right = int(min(first.shape[1], place.x + width))
    return left, top, right, int(min(first.shape[0], place.y + height))


def _seen(second: np.ndarray, place: Placement, box: tuple[int, int, int, int]) -> np.ndarray:
    """The part of the second picture under a box of the first, in the first's pixels."""
    left, top, right, bottom = box
    corners = [(left - place.x), (top - place.y), (right - place.x), (bottom - place.y)]
    sides = 2 * second.shape[1::-1]
    part = [min(max(corner / place.scale, 0), side) for corner, side in zip(corners, sides, strict=True)]
    size = (right - left, bottom - top)
    return np.asarray(Image.fromarray(second).resize(size, Image.Resampling.BICUBIC, box=part))


def difference(first: np.ndarray, second: np.ndarray, place: Placement) -> np.ndarray:
    """Grey levels (H, W) uint8 by which the pictures differ where both lie, in the channel that differs most."""
    box = shared(first, second, place)
    left, top, right, bottom = box
    gaps = np.abs(first[top:bottom, left:right].astype(np.int16) - _seen(second, place, box))
    return gaps.max(axis=2).astype(np.uint8)


def origins(first: Provenance, second: Provenance) -> list[tuple[str, str, str]]:
    """What the two files say of themselves and where they differ: name, what the first says, what the second."""
    one, two = _joined(first), _joined(second)
    names = dict.fromkeys([*one, *two])
    return [(name, one.get(name, NOTHING), two.get(name, NOTHING)) for name in names if one.get(name) != two.get(name)]


def _joined(found: Provenance) -> dict[str, str]:
    """The lines of one file, those of one name together."""
    lines = [*said(found), *((f"Record of {claim.tool}", f"in the field {claim.field}") for claim in found.generator)]
    joined: dict[str, list[str]] = {}
    for name, text in lines:
        joined.setdefault(name, []).append(text)
    return {name: "; ".join(texts) for name, texts in joined.items()}
