"""One picture's evidence as a session keeps it, and its map as it lies on the screen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import minimum_filter

from mdmf_app import session
from mdmf_app.context import Choice
from mdmf_core.errors import ImageError
from mdmf_core.evidence import Evidence
from mdmf_core.images.origin import Origin
from mdmf_core.images.reader import Picture
from mdmf_core.method.patches import ALIGN
from mdmf_core.show import maps
from mdmf_core.show.finer import Fine
from mdmf_core.show.reliability import Reliability, assess
from mdmf_core.show.smaller import smaller

SMALLEST_SHOWN = 640
JPEG_QUALITY = 92
PIECE = 128  # pixels on a side that the magnifier gets at once
IN_VIEW = ("evidence", "locator")  # the others are offered under "Advanced"
SELECTED, BOX, KNOWN = (0, 229, 255), (255, 255, 255), (57, 255, 20)


def offered(all_maps: bool, statistic: str) -> list[tuple[str, str]]:
    """Label and name of the maps that a person can choose from, for a model with this statistic."""
    alike = maps.LIKE_EVIDENCE[statistic]
    names = [name for name in maps.SHOWN if name != alike] if all_maps else IN_VIEW
    return [(maps.SHOWN[name].label, name) for name in names]


@dataclass(frozen=True, eq=False)
class View:
    """Evidence of a picture or of a region of it, and where it can't be trusted."""

    evidence: Evidence
    reliability: Reliability

    def of(self) -> tuple[str, str]:
        """Which picture was judged, and by which model."""
        return self.evidence.picture.sha256, self.evidence.model.fingerprint


@dataclass(frozen=True, eq=False)
class Result:
    """One picture that was analysed, as a session keeps it: `choice` is the model, `origin` what the file says."""

    path: str
    whole: View
    choice: Choice | None
    example: dict | None
    origin: Origin

    @property
    def picture(self) -> Picture:
        """The picture, which is decoded again where others needed the room.

        Raises:
            ImageError: its file is gone.
        """
        return session.of_sessions.read(self.path)

    def is_there(self) -> bool:
        """Whether its picture can still be had."""
        try:
            return self.picture is not None
        except ImageError:
            return False

    def view(self, region: View | None) -> View:
        """The region, if it belongs to this result, else the whole picture."""
        return region if region and region.of() == self.whole.of() else self.whole


Refined = tuple[Result, Fine]


@dataclass(frozen=True)
class Frame:
    """The part of the picture that the map shows, x, y, w, h in its pixels, and shown pixels per pixel."""

    x: int
    y: int
    w: int
    h: int
    factor: float

    def lies_in(self, box: Sequence[float]) -> bool:
        """Whether a box of the picture, x, y, w, h, is all that is shown or more, up to where patches start and end."""
        x, y, w, h = box
        return (
            x - ALIGN < self.x
            and y - ALIGN < self.y
            and self.x + self.w < x + w + ALIGN
            and self.y + self.h < y + h + ALIGN
        )

    def to_picture(self, point: Sequence[float]) -> tuple[int, int]:
        """A point of the shown map as a pixel of the picture."""
        return self.x + int(point[0] / self.factor), self.y + int(point[1] / self.factor)

    def to_map(self, box: Sequence[float]) -> list[float]:
        """x, y, w, h of the picture as left, top, right, bottom on the shown map."""
        x, y, w, h = box
        return [
            (x - self.x) * self.factor,
            (y - self.y) * self.factor,
            (x + w - self.x) * self.factor - 1,
            (y + h - self.y) * self.factor - 1,
        ]


def judge(picture: Picture, evidence: Evidence) -> View:
    return View(evidence, assess(picture, evidence))


def frame(view: View, whole: bool) -> Frame:
    """What the map of `view` shows: the whole picture, or just the region that was analysed."""
    evidence = view.evidence
    x, y, w, h = 0, 0, evidence.picture.width, evidence.picture.height
    if not whole:
        x, y, w, h = extent(evidence)
    longest = max(w, h)
    larger = max(1, SMALLEST_SHOWN // longest)
    return Frame(x, y, w, h, larger * min(1.0, maps.LONGEST_SIDE / (larger * longest)))


def extent(evidence: Evidence) -> tuple[int, int, int, int]:
    """x, y, w, h of all that was analysed, in pixels of the picture."""
    boxes = evidence.grid.boxes
    corners = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    (x, y), (right, bottom) = corners[0].min(axis=0).tolist(), corners[1].max(axis=0).tolist()
    return x, y, right - x, bottom - y


def draw(
    result: Result,
    region: View | None,
    colour: str,
    opacity: float,
    contours: bool = False,
    refined: Refined | None = None,
) -> Image.Image:
    """The map, without marks; the picture alone where there is no such map.

    Args:
        result, region: what was analysed.
        colour: one of `maps.SHOWN`.
        opacity: of the strongest colour, 0..1.
        contours: with contour lines.
        refined: the finer maps that are known, perhaps of another picture.
    """
    view = result.view(region)
    if not is_known(view.evidence, colour):
        return plain(result, region)
    place = frame(view, view is result.whole)
    larger, moved, grid = max(1, int(place.factor)), np.array([place.x, place.y, 0, 0]), view.evidence.grid
    grid = replace(grid, boxes=larger * (grid.boxes - moved), cells=larger * (grid.cells - moved))
    return maps.overlay(
        _cropped(result.picture, place),
        replace(view.evidence, grid=grid),
        opacity,
        colorbar=False,
        shown=colour,
        doubtful=view.reliability.doubtful,
        contours=contours,
        fine=finer_of(result, region, refined),
    )


def finer_of(result: Result, region: View | None, refined: Refined | None) -> Fine | None:
    """The finer maps of what is shown; those of a region are not made."""
    fits = refined is not None and refined[0] is result and result.view(region) is result.whole
    return refined[1] if fits else None


def is_known(evidence: Evidence, colour: str) -> bool:
    """Whether there is such a map of this picture or region."""
    return colour != "locator" or colour in evidence.maps


def plain(result: Result, region: View | None) -> Image.Image:
    """What the map covers, without the map, in the same size."""
    view = result.view(region)
    return Image.fromarray(smaller(_cropped(result.picture, frame(view, view is result.whole)), maps.LONGEST_SIDE))


def file_of(image: Image.Image) -> tuple[bytes, str]:
    """Content and name of the file that brings a drawn map to a browser.

    One that shows all pixels of its picture is kept without loss; a larger picture was shrunk for it, so that little
    more is lost by JPEG, which is there sooner.
    """
    buffer = io.BytesIO()
    if max(image.size) < maps.LONGEST_SIDE:
        image.save(buffer, "WEBP", lossless=True, quality=0, method=0)
        return buffer.getvalue(), "map.webp"
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue(), "map.jpg"


def around(result: Result, region: View | None, pixel: Sequence[int]) -> tuple[Image.Image, int, int]:
    """The piece of what the map shows around a pixel of the picture, and its left and top there."""
    view = result.view(region)
    place = frame(view, view is result.whole)
    left = max(place.x, min(pixel[0] - PIECE // 2, place.x + place.w - PIECE))
    top = max(place.y, min(pixel[1] - PIECE // 2, place.y + place.h - PIECE))
    part = result.picture.pixels[top : min(top + PIECE, place.y + place.h), left : min(left + PIECE, place.x + place.w)]
    return Image.fromarray(np.ascontiguousarray(part)), left, top


def _cropped(picture: Picture, place: Frame) -> np.ndarray:
    """The pixels that a map shows, small ones enlarged."""
    larger = max(1, int(place.factor))
    pixels = picture.pixels[place.y : place.y + place.h, place.x : place.x + place.w]
    return pixels.repeat(larger, axis=0).repeat(larger, axis=1) if larger > 1 else pixels


def mark(image: Image.Image, result: Result, region: View | None, patch: int | None, box: Sequence[int]) -> Image.Image:
    """Frames around the selected patch and around the box of the next region, which may still be a point."""
    view = result.view(region)
    place = frame(view, view is result.whole)
    pen = ImageDraw.Draw(image)
    thin = max(2, round(max(image.size) / 300))
    if patch is not None:
        _ring(pen, place.to_map(view.evidence.grid.cells[patch]), SELECTED, thin)
    if len(box) == 4 and not place.lies_in(box):
        _ring(pen, place.to_map(box), BOX, thin)
    elif len(box) == 2:
        left, top, *_ = place.to_map([*box, 0, 0])
        _ring(pen, [left - 3 * thin, top - 3 * thin, left + 3 * thin, top + 3 * thin], BOX, thin)
    return image


def outline_known(image: Image.Image, result: Result, region: View | None, mask: Image.Image) -> None:
    """Draw a line around the white part of a picture's mask into its map, green between black."""
    view = result.view(region)
    place = frame(view, view is result.whole)
    part = mask.convert("L").resize((result.picture.pixels.shape[1], result.picture.pixels.shape[0]))
    part = part.crop((place.x, place.y, place.x + place.w, place.y + place.h)).resize(image.size)
    inside, thin = np.asarray(part) > 127, max(1, round(max(image.size) / 500))
    depths = [minimum_filter(inside, 2 * thin * k + 1, mode="nearest") for k in range(4)]
    canvas = np.array(image)
    canvas[depths[0] & ~depths[3]] = 0
    canvas[depths[1] & ~depths[2]] = KNOWN
    image.paste(Image.fromarray(canvas))


def _ring(pen: ImageDraw.ImageDraw, corners: list[float], colour: tuple[int, int, int], thin: int) -> None:
    left, top, right, bottom = corners
    if right < left or bottom < top:
        return
    pen.rectangle((left - thin, top - thin, right + thin, bottom + thin), outline=(0, 0, 0), width=3 * thin)
    pen.rectangle((left, top, right, bottom), outline=colour, width=thin)


def patch_at(view: View, point: tuple[int, int]) -> int:
    """The patch whose cell holds a pixel of the picture, or else the one whose middle is nearest."""
    cells = view.evidence.grid.cells
    offsets = np.array(point) - cells[:, :2]
    inside = np.flatnonzero(((offsets >= 0) & (offsets < cells[:, 2:])).all(axis=1))
    if len(inside):
        return int(inside[0])
    return int(np.linalg.norm(offsets - cells[:, 2:] / 2, axis=1).argmin())
