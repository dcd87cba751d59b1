"""Where and why a picture's evidence can't be trusted: a few measured rules, each with its threshold here.

Sources: issue 4, "Where the map can't be trusted". The rules look at the pixels alone, never at the score, and change
neither. The thresholds were set on real photographs and on the same photographs enlarged, blurred and recompressed.

Patches. What the detector reads is the faint noise that a camera or a generator leaves between neighbouring
pixels. Little of it is left where values are clipped ("saturated"), where the light is low ("very dark"), and where
smoothing or compression has wiped it out ("flat": no more is left than rounding to whole grey levels makes).

Whole picture. Enlarging and blur empty the highest frequencies: `spectrum` measures them. JPEG rounds its frequencies
to multiples of a step, and the step can be read off the pixels (Fan & de Queiroz, 2003), also of a PNG made from a
JPEG: `jpeg_step`. It sees neither a JPEG that was cropped off its 8 x 8 grid or resized later, nor WebP, HEIC
and AVIF, which have no such grid. Strong noise shows where a picture is calmest: `noise_level`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import uniform_filter

from mdmf_core.detector import Evidence
from mdmf_core.images import Picture

SATURATED_SHARE = 0.5  # of a patch's channel values that are 0 or 255
DARK_LEVEL = 16.0  # mean luma of a patch, 0..255
FLAT_RESIDUAL = 0.3  # standard deviation, in grey levels, of luma minus its 3 x 3 mean

LEAST_FINE_DB = -6.0  # power of fine detail, where 0 dB is that of noise of one grey level
LEAST_COARSE_DB = 8.0  # power of coarse detail, below which a picture has too little in it to miss the fine
LEAST_CORNER_DB = -26.0  # power of the finest diagonals over that of medium detail
HEAVY_STEP = 10.0  # quantisation step of JPEG's low frequencies; 10 is quality 60 of the standard's table
NOISY = 5.0  # `noise_level` in grey levels: 98% of photographs with 5% of noise added are above it, 4% as they are
FEW_PATCHES = 16
MOSTLY = 0.5  # share of doubtful patches from which the score itself is in doubt

TILE = 64
CALM_TILE = 32
MOST_TILES = 256
LONGEST_SIDE = 1024  # of the middle part in which `jpeg_step` looks
LEAST_POWER = 1e-3  # variance added to every frequency, far below rounding: keeps an empty picture finite
LUMA = np.array([0.299, 0.587, 0.114])
LOW_FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
LARGEST_STEP = 64
FEWEST_COEFFICIENTS = 25


@dataclass(frozen=True, eq=False)
class Reliability:
    """What to distrust in one picture's evidence.

    `doubtful` (N,) marks patches and `reasons` say why ("" where there is none, "saturated", "very dark",
    "flat"; "without fine detail" or "heavily compressed" everywhere, where that is true of the whole
    picture); `warnings` are sentences about the picture as a whole.
    """

    doubtful: np.ndarray
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def patch_note(self) -> str:
        """How many patches are doubtful and why, one sentence; "" where none is."""
        counts = Counter(reason for reason in self.reasons if reason)
        if not counts:
            return ""
        which = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
        total, n = counts.total(), len(self.reasons)
        are, they = ("is", "it holds") if total == 1 else ("are", "they hold")
        return (
            f"{total:,} of {n:,} patches {are} hatched ({which}): {they} too little to judge, "
            "so rest no conclusion on the colour there."
        )


def assess(picture: Picture, evidence: Evidence) -> Reliability:
    """Which patches, and what about the whole picture, should not be trusted.

    Args:
        picture: what `evidence` is about.
        evidence: of that picture or of a region of it.
    """
    reasons = tuple(reason(picture.pixels[y : y + h, x : x + w]) for x, y, w, h in evidence.boxes)
    mostly = np.mean([bool(each) for each in reasons]) > MOSTLY
    everywhere = ""
    luma = _middle(picture.pixels) @ LUMA
    found = []
    if lacks_fine_detail(picture.pixels):
        everywhere = "without fine detail"
        found.append(
            "The finest detail is missing, as after enlarging, blur or strong noise reduction, and traces of how the "
            "picture was made go with it: use the original size if you can get it."
        )
    if jpeg_step(luma) >= HEAVY_STEP:
        everywhere = "heavily compressed"
        found.append(
            "The picture is heavily compressed (about JPEG quality 60 or lower), which hides and imitates traces: "
            "use a copy of better quality if there is one."
        )
    if noise_level(luma) > NOISY:
        found.append(
            "The picture is very noisy, and noisy photographs score high too often: don't rest a suspicion on it, and "
            "use a copy with less noise if there is one."
        )
    if evidence.n_patches < FEW_PATCHES:
        found.append(
            f"Only {evidence.n_patches} patches fit into it, so the score rests on little: "
            "use a larger version if there is one."
        )
    if mostly:
        found.append(
            "More than half of its patches are hatched, so the score itself stands on weak ground: "
            "use a better exposed or less processed copy."
        )
    reasons = tuple(each or everywhere for each in reasons)
    return Reliability(np.array([bool(each) for each in reasons]), reasons, tuple(found))


def reason(patch: np.ndarray) -> str:
    """Why a patch (h, w, 3) uint8 can't be trusted: "saturated", "very dark", "flat" or ""."""
    if ((patch == 0) | (patch == 255)).mean() > SATURATED_SHARE:
        return "saturated"
    luma = patch @ LUMA
    if luma.mean() < DARK_LEVEL:
        return "very dark"
    return "flat" if (luma - uniform_filter(luma, 3)).std() < FLAT_RESIDUAL else ""


def lacks_fine_detail(pixels: np.ndarray) -> bool:
    """Whether the highest frequencies of a picture (H, W, 3) are as empty as after enlarging or blur.

    Below 64 pixels on a side nothing can be said.
    """
    if min(pixels.shape[:2]) < TILE:
        return False
    power = spectrum(pixels)
    empty = power["fine"] < LEAST_FINE_DB and power["coarse"] > LEAST_COARSE_DB
    return empty or power["corner"] - power["medium"] < LEAST_CORNER_DB


def spectrum(pixels: np.ndarray) -> dict[str, float]:
    """Mean power of the luma of a picture (H, W, 3), at least 64 pixels each way, in four bands, in dB.

    The bands are in cycles a pixel along whichever axis has more: "coarse" 0.06-0.13, "medium" 0.2-0.3, "fine"
    0.4-0.485, below the harmonic of JPEG's blocks, and "corner" what lies above 0.35 along both axes.
    """
    height, width = pixels.shape[:2]
    corners = [(y, x) for y in range(0, height - TILE + 1, TILE) for x in range(0, width - TILE + 1, TILE)]
    chosen = np.linspace(0, len(corners) - 1, min(len(corners), MOST_TILES)).round().astype(int)
    tiles = np.stack([pixels[y : y + TILE, x : x + TILE] @ LUMA for y, x in (corners[i] for i in chosen)])
    window = np.outer(np.hanning(TILE), np.hanning(TILE))
    tiles = (tiles - tiles.mean((1, 2), keepdims=True)) * window
    power = (np.abs(np.fft.fft2(tiles)) ** 2).mean(0) / (window**2).sum() + LEAST_POWER
    frequency = np.abs(np.fft.fftfreq(TILE))
    larger = np.maximum(frequency[:, None], frequency)
    smaller = np.minimum(frequency[:, None], frequency)
    bands = {
        "coarse": (larger >= 0.06) & (larger < 0.13),
        "medium": (larger >= 0.2) & (larger < 0.3),
        "fine": (larger >= 0.4) & (larger < 0.485),
        "corner": (smaller >= 0.35) & (larger < 0.485),
    }
    return {name: float(10 * np.log10(power[band].mean())) for name, band in bands.items()}


def noise_level(luma: np.ndarray) -> float:
    """Standard deviation of the noise in the calmest tenth of a picture, in grey levels.

    What is left of each 2 x 2 block without its mean and its two slopes is mostly noise where there is no texture, so
    the calmest tiles of 32 x 32 pixels are asked.

    Args:
        luma: (H, W) of 0..255, at least 32 pixels each way.
    """
    height, width = (side // CALM_TILE * CALM_TILE for side in luma.shape)
    luma = luma[:height, :width]
    left = (luma[::2, ::2] - luma[::2, 1::2] - luma[1::2, ::2] + luma[1::2, 1::2]) / 2  # (H / 2, W / 2)
    half = CALM_TILE // 2
    tiles = left.reshape(height // CALM_TILE, half, width // CALM_TILE, half)
    return float(np.quantile(tiles.std((1, 3)), 0.1))


def _middle(pixels: np.ndarray) -> np.ndarray:
    """The central part, (H', W', 3), that keeps the 8 x 8 grid counted from the edges on both sides."""
    cuts = [max(0, side - LONGEST_SIDE) // 16 * 8 for side in pixels.shape[:2]]
    return pixels[cuts[0] : pixels.shape[0] - cuts[0], cuts[1] : pixels.shape[1] - cuts[1]]


def jpeg_step(luma: np.ndarray) -> float:
    """Quantisation step of JPEG's low frequencies as it shows in the pixels; 0 where there is none.

    At a step q the frequencies of 8 x 8 blocks lie near multiples of q, so that cos(2 pi f / q) is close to 1. Blocks
    are counted from the start and from the end of both axes, for a picture may have been turned.

    Args:
        luma: (H, W) of 0..255.
    """
    height, width = luma.shape
    starts = [(top, left) for top in {0, height % 8} for left in {0, width % 8}]
    return max(_step_of_blocks(luma[top:, left:]) for top, left in starts)


def _step_of_blocks(luma: np.ndarray) -> float:
    rows, cols = luma.shape[0] // 8, luma.shape[1] // 8
    if not rows * cols:
        return 0.0
    blocks = luma[: 8 * rows, : 8 * cols].reshape(rows, 8, cols, 8).transpose(0, 2, 1, 3)
    values = np.abs(dctn(blocks, axes=(2, 3), norm="ortho"))
    return float(np.median([_step(values[:, :, u, v].ravel()) for u, v in LOW_FREQUENCIES]))


def _step(values: np.ndarray) -> float:
    """The largest step that the magnitudes (M,) of one frequency are multiples of; 0 where there is none."""
    found = 0
    for step in range(3, LARGEST_STEP):
        reaching = values[values > step / 2]
        if len(reaching) < FEWEST_COEFFICIENTS:
            break
        if np.cos(2 * np.pi * reaching / step).mean() > 0.5:
            found = step
    return float(found)
