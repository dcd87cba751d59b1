"""Evidence to look at: the picture under its map, and the result in plain sentences.

    from mdmf_core.heatmap import explain, overlay
    overlay(read("photo.jpg").pixels, evidence).save("map.png")

The colour of a patch is a function of N * c_i and of the model's calibration alone, never of the other patches
of the picture: one scale for all pictures of a model (method.md section 3). A map stretched to its own
maximum makes every photograph glow somewhere; this one shows a photograph as it is.

Which part of the scale is coloured. `Evidence.scale` runs from the quantile 0.05 to the quantile 0.999 of patches
of real calibration images. Its lower part, up to `NEUTRAL` of the way, is where most real patches lie (the evidence
is bounded, and theirs crowds at the low end) and is left as it is; from there colour and opacity grow together up
to the upper end, which one real patch in a thousand passes; what lies beyond has the colour of the end. Colour does
not begin only at the upper end, because a picture is judged by the mean of its patches: many patches that each lie
a little high make a high score, and the map has to agree with it. The colours are matplotlib's "plasma" without its
darkest third: their lightness grows evenly from purple to yellow, so that they keep their order for colour-blind
readers and in grey.
"""

from __future__ import annotations

import math

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import minimum_filter

from mdmf_core.detector import Evidence

NEUTRAL = 0.7
OPACITY = 0.55
LONGEST_SIDE = 1600
NARROWEST_BAR = 520
VERDICTS = {
    "generated": "Likely generated",
    "inconclusive": "Inconclusive",
    "no_evidence": "No evidence of generation",
}
_COLOURS = colormaps["plasma"]
_DARKEST = 0.3
_PAPER, _INK, _STAND_IN = (255, 255, 255), (32, 32, 32), (158, 158, 158)


def colours(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Colour and strength of values of N * c_i on a model's scale.

    Args:
        values: (N,) of N * c_i.
        scale: the ends of the scale.

    Returns:
        (N, 4): red, green, blue of 0..255 and the strength of 0..1; strength 0 leaves the picture as it is.
    """
    low, high = scale
    share = (np.asarray(values, float) - low) / max(high - low, np.finfo(float).tiny)
    strength = np.clip((share - NEUTRAL) / (1 - NEUTRAL), 0, 1)
    painted = _COLOURS(_DARKEST + (1 - _DARKEST) * strength)[:, :3] * 255
    return np.column_stack([painted, strength])


def ticks(scale: tuple[float, float]) -> list[tuple[float, float, str]]:
    """What to write at the colour bar: place on it (0..1), value of N * c_i, words."""
    low, high = scale
    return [
        (0.0, low, "as most real patches"),
        (NEUTRAL, low + NEUTRAL * (high - low), "colour begins"),
        (1.0, high, "1 in 1,000 real patches"),
    ]


def gradient(scale: tuple[float, float], opacity: float = OPACITY, steps: int = 21) -> str:
    """The colour bar as a CSS background, for a page that can set its words in text."""
    row = _strip(scale, opacity, steps)
    return f"linear-gradient(to right, {', '.join(f'rgb({r} {g} {b})' for r, g, b in row)})"


def _strip(scale: tuple[float, float], opacity: float, steps: int) -> np.ndarray:
    """The scale from end to end as it looks on a middle grey, (steps, 3) uint8."""
    painted = colours(np.linspace(*scale, steps), scale)
    return np.rint(_STAND_IN + opacity * painted[:, 3:] * (painted[:, :3] - _STAND_IN)).astype(np.uint8)


def overlay(pixels: np.ndarray, evidence: Evidence, opacity: float = OPACITY, colorbar: bool = True) -> Image.Image:
    """The picture with its evidence painted over it and outlines around flagged cells.

    Args:
        pixels: (H, W, 3) uint8, the picture that `evidence` is about.
        evidence: of that picture.
        opacity: of the strongest colour, 0..1.
        colorbar: put the scale below the picture.

    Returns:
        RGB, the longest side of the picture at most 1,600; the picture is at the top left, the bar below it.
    """
    full_height, full_width = pixels.shape[:2]
    picture = Image.fromarray(pixels)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    factors = np.array([picture.width / full_width, picture.height / full_height] * 2)
    corners = evidence.cells.copy()
    corners[:, 2:] += corners[:, :2]
    corners = np.rint(corners * factors).astype(int)
    canvas = np.array(picture)
    painted = colours(evidence.n_patches * evidence.evidence, evidence.scale)
    for (left, top, right, bottom), (*colour, strength) in zip(corners, painted, strict=True):
        if strength > 0:
            cell = canvas[top:bottom, left:right]
            cell[:] = np.rint(cell + opacity * strength * (np.array(colour) - cell))
    _outline(canvas, corners[evidence.flagged])
    picture = Image.fromarray(canvas)
    return _with_bar(picture, evidence.scale, opacity) if colorbar else picture


def _outline(canvas: np.ndarray, corners: np.ndarray) -> None:
    """Draw the border of the flagged area into it: white between black, which shows on any colour.

    Args:
        canvas: (H, W, 3) uint8, changed in place.
        corners: (F, 4) left, top, right, bottom of flagged cells.
    """
    if not len(corners):
        return
    area = np.zeros(canvas.shape[:2], np.uint8)
    for left, top, right, bottom in corners:
        area[top:bottom, left:right] = 1
    thin = max(1, round(max(area.shape) / 500))
    depths = [minimum_filter(area, 2 * thin * k + 1, mode="constant") for k in range(4)]
    canvas[depths[0] > depths[3]] = 0
    canvas[depths[1] > depths[2]] = 255


def _with_bar(picture: Image.Image, scale: tuple[float, float], opacity: float) -> Image.Image:
    """The picture above a panel with the colour scale, its numbers and words."""
    width = max(picture.width, NARROWEST_BAR)
    size = round(np.clip(width / 45, 12, 26))
    font = ImageFont.load_default(size)
    margin, thickness = size, round(1.2 * size)
    panel = Image.new("RGB", (width, round(6.4 * size)), _PAPER)
    draw = ImageDraw.Draw(panel)
    draw.text((margin, 0.5 * size), "Evidence of each patch, times the number of patches", _INK, font)
    length, top = width - 2 * margin, round(2.1 * size)
    bar = np.repeat(_strip(scale, opacity, length)[None], thickness, axis=0)
    panel.paste(Image.fromarray(bar), (margin, top))
    for (place, value, words), anchor in zip(ticks(scale), ("la", "ra", "ra"), strict=True):
        x = margin + place * (length - 1)
        draw.line((x, top, x, top + thickness + 0.3 * size), _INK, max(1, size // 12))
        draw.text((x, top + thickness + 0.4 * size), f"{value:.3g}", _INK, font, anchor)
        draw.text((x, top + thickness + 1.6 * size), words, _INK, font, anchor)
    whole = Image.new("RGB", (width, picture.height + panel.height), _PAPER)
    whole.paste(picture, (0, 0))
    whole.paste(panel, (0, picture.height))
    return whole


def rarity(evidence: Evidence) -> str:
    """The p-value as a share of real pictures, for people."""
    odds = 1 / evidence.p_value
    if evidence.score > evidence.null[-1]:
        return f"Fewer than 1 in {evidence.n_calibration:,} real pictures scores this high"
    if odds < 1.5:
        return "Most real pictures score this high or higher"
    return f"About 1 in {round(odds):,} real pictures scores this high"


def explain(evidence: Evidence) -> str:
    """The result in plain sentences: decision, how rare the score is, flagged patches, what was compared."""
    n, flagged = evidence.n_patches, int(evidence.flagged.sum())
    decision = {
        "generated": "This picture is likely generated, wholly or in part.",
        "inconclusive": "The evidence is too weak to call this picture generated, and too strong to set aside.",
        "no_evidence": "As a whole it looks like real pictures to this test, which does not prove where it comes from.",
    }[evidence.decision]
    if flagged:
        stand = "stands out and is" if flagged == 1 else "stand out and are"
        chance = f"up to 1 in {round(1 / evidence.fdr)} such outlines is expected by chance"
        patches = f"{flagged:,} of its {n:,} patches {stand} outlined; {chance}."
    else:
        patches = f"None of its {n:,} patches stands out alone."
    banks = "real and of generated pictures" if evidence.statistic == "relative" else "real pictures"
    compared = (
        f"Its patches were compared with patches of {banks}, and its score with those of "
        f"{evidence.n_calibration:,} other real pictures."
    )
    return " ".join([decision, rarity(evidence) + ".", patches, compared])


def score_line(evidence: Evidence) -> str:
    """The score beside the score that decides."""
    if math.isinf(evidence.threshold):
        return f"{evidence.score:.4g} (too few calibration pictures for this false-alarm rate)"
    return f"{evidence.score:.4g} (likely generated above {evidence.threshold:.4g})"
