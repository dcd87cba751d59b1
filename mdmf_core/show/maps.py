"""Evidence to look at: the picture under its map, and single patches.

    from mdmf_core.show.maps import overlay
    overlay(read("photo.jpg").pixels, evidence).save("map.png")

The colour of a patch is a function of its own value and of the model's calibration alone, never of the other patches of
the picture: one scale for all pictures of a model. A map stretched to its own maximum makes every photograph glow
somewhere; this one shows a photograph as it is.

Which part of the scale is coloured. `PatchMap.scale` runs from the quantile 0.8 to the quantile 0.999 of patches of
real calibration images: colour begins where 4 of 5 patches of real pictures lie below and ends where one real patch in
a thousand lies above; what lies beyond has the colour of the end. It does not begin only at the upper end, because a
picture is judged by the mean of its patches: many patches that each lie a little high make a high score, and the map
has to agree with it. Hue follows the value, opacity its square, so that the few patches of every photograph that lie a
little high stay faint. The colours are matplotlib's "plasma" without its darkest third: their lightness grows evenly
from purple to yellow, so that they keep their order for colour-blind readers and in grey.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import uniform_filter

from mdmf_core.evidence import Evidence
from mdmf_core.sentence import joined, said
from mdmf_core.show.finer import Fine
from mdmf_core.show.ink import INK, PAPER, contour, hatch, outline
from mdmf_core.show.smaller import smaller
from mdmf_core.show.words import LOCATOR, LOCATOR_UNIT

OPACITY = 0.55
LONGEST_SIDE = 1600
NARROWEST_BAR = 520


class Shown(NamedTuple):
    """The words of a map: over its colour bar, where it is chosen, what its values mean, and what one is called."""

    title: str
    label: str
    meaning: str
    unit: str = ""


SHOWN = {
    "evidence": Shown(
        said("map.evidence.title", "Evidence of each patch, times the number of patches"),
        said("map.evidence.label", "Looks generated"),
        said(
            "map.evidence.meaning",
            "The values of all patches, divided by their number, add up to the score that decides.",
        ),
        said("map.unit.evidence", "evidence"),
    ),
    "witness": Shown(
        said("map.witness.title", "Witness function at each patch"),
        said("map.witness.label", "Witness value"),
        said("map.witness.meaning", "How much closer a patch lies to one side of the comparison than to the other."),
        said("map.unit.witness", "witness value"),
    ),
    "p_value": Shown(
        said("map.p_value.title", "p-value of each patch"),
        said("map.p_value.label", "p-value"),
        said("map.p_value.meaning", "The share of patches of real pictures with at least as much evidence."),
        said("map.unit.p_value", "-log10 of p"),
    ),
    "mmd": Shown(
        said("map.mmd.title", "MMD to real pictures: evidence of each patch, times their number"),
        said("map.mmd.label", "Distance to real pictures (MMD)"),
        said(
            "map.mmd.meaning",
            "How unlike real pictures a patch is, whatever else it is like. It stands beside the score that decides.",
        ),
        said("map.unit.mmd", "distance"),
    ),
    "locator": Shown(
        said("map.locator.title", "How unlike the rest of the picture each patch is"),
        said("map.locator.label", "Does not match the rest"),
        joined([LOCATOR, LOCATOR_UNIT]),
        said("map.unit.locator", "unlikeness"),
    ),
}
LOW_END = said("map.low_end", "4 in 5 real patches lie below")
HIGH_END = said("map.high_end", "1 in 1,000 real patches lies above")
LIKE_EVIDENCE = {"relative": "witness", "mmd": "mmd"}  # the map that is drawn as the evidence is, if this decides
P_ENDS = (0.2, 0.001)  # the p-values at the two ends of every scale
P_LEVELS = (0.05, 0.01)  # the p-values at the contour lines
RESIDUAL_RANGE = 10.0  # grey levels to either side of the 3 x 3 mean that a residual shows
_COLOURS = colormaps["plasma"]
_DARKEST = 0.3
_STAND_IN = (158, 158, 158)


@dataclass(frozen=True)
class Layer:
    """What a map draws: `values` (N,), the `scale` that colours them, `outlined` (N,), and the words of its colour bar.

    `ticks` are places on the bar (0..1) with the number and the words to write there, `levels` the values that
    contour lines follow.
    """

    values: np.ndarray
    scale: tuple[float, float]
    outlined: np.ndarray
    title: str
    ticks: tuple[tuple[float, str, str], ...]
    levels: tuple[float, ...]

    @property
    def places(self) -> list[float]:
        """Where the contour lines stand on the colour bar, 0..1."""
        low, high = self.scale
        return [min(max((level - low) / (high - low), 0.0), 1.0) for level in self.levels] if high > low else []


def layer(evidence: Evidence, shown: str = "evidence") -> Layer:
    """The numbers behind a map, with their scale.

    Args:
        evidence: of one picture.
        shown: a map of `Evidence.maps`, or "p_value", -log10 of the p-values of its evidence, from 0.2 to 0.001. Where
            another statistic than MMD decides, "mmd" has no outlines: these belong to the score.

    Raises:
        ValueError: no such map, or one that is not known for this picture; one sentence.
    """
    if shown not in SHOWN:
        raise ValueError(f"A map shows one of {', '.join(SHOWN)}, not {shown!r}.")
    if shown not in evidence.maps and shown != "p_value":
        raise ValueError("How unlike the rest of the picture each patch is, is not known here.")
    found, title = evidence.maps.get(shown, evidence.maps["evidence"]), SHOWN[shown].title
    values, scale, outlined = found.values, found.scale, found.outlined
    levels = tuple(np.quantile(found.null, [1 - p for p in P_LEVELS]).tolist())
    numbers = [f"{end:.3g}" for end in scale]
    if shown == "p_value":
        values, scale = -np.log10(found.p_values), tuple(-math.log10(p) for p in P_ENDS)
        levels = tuple(-math.log10(p) for p in P_LEVELS)
        numbers = [f"p = {p:g}" for p in P_ENDS]
    elif shown == "mmd" and evidence.verdict.statistic == "mmd":
        title = SHOWN["evidence"].title
    elif shown == "mmd":
        outlined = np.zeros_like(outlined)
    written = tuple((place, number, words) for (place, _, words), number in zip(ticks(scale), numbers, strict=True))
    return Layer(values, scale, outlined, title, written, levels)


def colours(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Colour and strength of values on a scale.

    Args:
        values: (N,), N * c_i for instance.
        scale: the ends of the scale.

    Returns:
        (N, 4): red, green, blue of 0..255 and the strength of 0..1; strength 0 leaves the picture as it is.
    """
    low, high = scale
    place = np.clip((np.asarray(values, float) - low) / max(high - low, np.finfo(float).tiny), 0, 1)
    painted = _COLOURS(_DARKEST + (1 - _DARKEST) * place)[:, :3] * 255
    return np.column_stack([painted, place**2])


def ticks(scale: tuple[float, float]) -> list[tuple[float, float, str]]:
    """What to write at the colour bar: place on it (0..1), value there, words."""
    low, high = scale
    return [(0.0, low, LOW_END), (1.0, high, HIGH_END)]


def gradient(scale: tuple[float, float], opacity: float = OPACITY, steps: int = 21) -> str:
    """The colour bar as a CSS background, for a page that can set its words in text."""
    row = _strip(scale, opacity, steps)
    return f"linear-gradient(to right, {', '.join(f'rgb({r} {g} {b})' for r, g, b in row)})"


def _strip(scale: tuple[float, float], opacity: float, steps: int) -> np.ndarray:
    """The scale from end to end as it looks on a middle grey, (steps, 3) uint8."""
    painted = colours(np.linspace(*scale, steps), scale)
    return np.rint(_STAND_IN + opacity * painted[:, 3:] * (painted[:, :3] - _STAND_IN)).astype(np.uint8)


def overlay(
    pixels: np.ndarray,
    evidence: Evidence,
    opacity: float = OPACITY,
    colorbar: bool = True,
    shown: str = "evidence",
    doubtful: np.ndarray | None = None,
    contours: bool = False,
    fine: Fine | None = None,
) -> Image.Image:
    """The picture with a map painted over it and outlines around the cells of patches that stand out.

    Args:
        pixels: (H, W, 3) uint8, the picture that `evidence` is about.
        evidence: of that picture.
        opacity: of the strongest colour, 0..1.
        colorbar: put the scale below the picture.
        shown: what is drawn, as in `layer`.
        doubtful: (N,) bool, patches that can't be trusted; their cells are hatched.
        contours: draw lines where 1 in 20 and 1 in 100 patches of real pictures lie higher.
        fine: the finer maps, where they are known; drawn instead of the cells.

    Returns:
        RGB, the longest side of the picture at most 1,600; the picture is at the top left, the bar below it.
    """
    drawn = layer(evidence, shown)
    canvas = smaller(pixels, LONGEST_SIDE)
    height, width = canvas.shape[:2]
    corners = _corners(evidence, width / pixels.shape[1], height / pixels.shape[0])
    size = evidence.picture.width, evidence.picture.height
    field = _lay(canvas, corners, drawn, opacity, fine and fine.over(shown, size, (width, height)))
    contour(canvas, field, drawn.levels if contours else ())
    hatched = corners[:0] if doubtful is None else corners[np.asarray(doubtful, bool)]
    hatch(canvas, hatched)
    outline(canvas, corners[drawn.outlined])
    picture = Image.fromarray(canvas)
    return _with_bar(picture, drawn, opacity, len(hatched) > 0) if colorbar else picture


def _corners(evidence: Evidence, across: float, down: float) -> np.ndarray:
    """Left, top, right and bottom of all cells, (N, 4), on a picture of another size."""
    corners = evidence.grid.cells.copy()
    corners[:, 2:] += corners[:, :2]
    return np.rint(corners * np.array([across, down] * 2)).astype(int)


def _paint(canvas: np.ndarray, corners: np.ndarray, painted: np.ndarray, opacity: float) -> None:
    """Lay colours (N, 4), as `colours` gives them, over cells of a canvas, which is changed in place."""
    for (left, top, right, bottom), (*colour, strength) in zip(corners, painted, strict=True):
        if strength > 0:
            cell = canvas[top:bottom, left:right]
            cell[:] = np.rint(cell + opacity * strength * (np.array(colour) - cell))


def _lay(canvas: np.ndarray, corners: np.ndarray, drawn: Layer, opacity: float, finer: np.ndarray | None) -> np.ndarray:
    """Lay the finer values (H, W), or those of cells, over a canvas; gives what was laid, -inf elsewhere."""
    if finer is not None:
        _paint_field(canvas, finer, drawn.scale, opacity)
        return finer
    _paint(canvas, corners, colours(drawn.values, drawn.scale), opacity)
    field = np.full(canvas.shape[:2], -np.inf, np.float32)
    for (left, top, right, bottom), value in zip(corners, drawn.values, strict=True):
        field[top:bottom, left:right] = value
    return field


def _paint_field(canvas: np.ndarray, field: np.ndarray, scale: tuple[float, float], opacity: float) -> None:
    """Lay the colours of values (H, W) over a canvas, which is changed in place; -inf leaves it as it is."""
    low, high = scale
    painted = colours(np.linspace(low, high, 256), scale).astype(np.float32)
    place = np.clip((field - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    found = painted[np.rint(255 * place).astype(np.uint8)]
    canvas[:] = np.rint(canvas + opacity * found[..., 3:] * (found[..., :3] - canvas))


def _with_bar(picture: Image.Image, shown: Layer, opacity: float, hatched: bool) -> Image.Image:
    """The picture above a panel with the colour scale, its numbers and words, and what hatching means."""
    width = max(picture.width, NARROWEST_BAR)
    size = round(np.clip(width / 45, 12, 26))
    font = ImageFont.load_default(size)
    margin, thickness = size, round(1.2 * size)
    panel = Image.new("RGB", (width, round((8.4 if hatched else 6.4) * size)), PAPER)
    draw = ImageDraw.Draw(panel)
    draw.text((margin, 0.5 * size), shown.title, INK, font)
    length, top = width - 2 * margin, round(2.1 * size)
    bar = np.repeat(_strip(shown.scale, opacity, length)[None], thickness, axis=0)
    panel.paste(Image.fromarray(bar), (margin, top))
    for (place, number, words), anchor in zip(shown.ticks, ("la", "ra"), strict=True):
        x = margin + place * (length - 1)
        draw.line((x, top, x, top + thickness + 0.3 * size), INK, max(1, size // 12))
        draw.text((x, top + thickness + 0.4 * size), number, INK, font, anchor)
        draw.text((x, top + thickness + 1.6 * size), words, INK, font, anchor)
    if hatched:
        swatch = np.full((thickness, 2 * thickness, 3), _STAND_IN, np.uint8)
        hatch(swatch, np.array([[0, 0, 2 * thickness, thickness]]))
        panel.paste(Image.fromarray(swatch), (margin, round(6.5 * size)))
        draw.text((margin + 2.4 * thickness, 6.5 * size), "too little in the patch to be trusted", INK, font)
    whole = Image.new("RGB", (width, picture.height + panel.height), PAPER)
    whole.paste(picture, (0, 0))
    whole.paste(panel, (0, picture.height))
    return whole


def patch_crop(pixels: np.ndarray, box: Sequence[int], scale: int = 6) -> Image.Image:
    """A patch with every pixel as a square of `scale` x `scale`; box is x, y, w, h in pixels (H, W, 3) uint8."""
    x, y, width, height = (int(side) for side in box)
    return _magnified(pixels[y : y + height, x : x + width], scale)


def residual_crop(pixels: np.ndarray, box: Sequence[int], scale: int = 6) -> Image.Image:
    """What a patch adds to the mean of each pixel's 3 x 3 neighbours, magnified like `patch_crop`.

    Middle grey is no difference, black and white 10 grey levels below and above in that channel: the same for every
    patch. The neighbours are those in the picture, also across the patch's border.
    """
    x, y, width, height = (int(side) for side in box)
    top, left = max(0, y - 1), max(0, x - 1)
    around = pixels[top : y + height + 1, left : x + width + 1].astype(float)
    residual = (around - uniform_filter(around, (3, 3, 1)))[y - top :, x - left :][:height, :width]
    grey = np.clip(127.5 * (1 + residual / RESIDUAL_RANGE), 0, 255)
    return _magnified(np.rint(grey).astype(np.uint8), scale)


def _magnified(pixels: np.ndarray, scale: int) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.repeat(scale, axis=0).repeat(scale, axis=1)))


def nearest(evidence: Evidence, index: int, count: int = 4) -> list[int]:
    """The patches of this picture whose signatures are closest to that of patch `index`, closest first."""
    distances = np.linalg.norm(evidence.signatures - evidence.signatures[index], axis=1)
    order = np.argsort(distances, kind="stable")
    return [int(other) for other in order if other != index][:count]


def strongest_first(evidence: Evidence) -> np.ndarray:
    """Patches (N,) by evidence, most first; hatched ones, which hold little, come after all others."""
    shares = evidence.verdict.shares
    hatched = np.array([bool(each) for each in evidence.reasons] or np.zeros(len(shares), bool))
    return np.lexsort((-shares, hatched))


def top_patches(evidence: Evidence, count: int = 20, hatched: bool = False) -> list[dict[str, Any]]:
    """The patches with the most evidence as plain numbers, in the order of `strongest_first`, `hatched` ones if asked.

    `evidence` is the patch's share of the score and `evidence_times_n` N times that, as the map draws it.
    `share_of_score` is evidence / score: None where the score is not above 0, and more than 1 where other patches pull
    the score down.
    """
    shares, score, found = evidence.verdict.shares, evidence.verdict.score, evidence.maps["evidence"]
    count = min(count, evidence.n_patches - (0 if hatched else evidence.n_hatched))
    return [
        {
            "rank": rank,
            "index": int(index),
            **dict(zip("xywh", evidence.grid.boxes[index].tolist(), strict=True)),
            "evidence": float(shares[index]),
            "evidence_times_n": float(found.values[index]),
            "share_of_score": float(shares[index] / score) if score > 0 else None,
            "p_value": float(found.p_values[index]),
            "flagged": bool(found.outlined[index]),
        }
        for rank, index in enumerate(strongest_first(evidence)[:count], 1)
    ]
