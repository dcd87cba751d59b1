"""Where a picture holds too little to be judged: patches, and whole pictures, by measured rules on the pixels.

The rules never look at a score. Their thresholds were set on real photographs, on the same photographs made into
palettes, drawings, screenshots and enlargements, and on generated pictures; `benchmarks/quality/validate.py` says how
many of each are refused.

Patches. What the detector reads is the faint noise that a camera or a generator leaves between neighbouring pixels.
Little of it is left where values are clipped ("saturated"), where the light is low ("very dark"), and where smoothing
or compression has wiped it out ("flat": no more is left than rounding to whole grey levels makes).

JPEG rounds its frequencies to multiples of a step, and the step can be read off the pixels (Fan & de Queiroz, 2003),
also of a PNG made from a JPEG: `jpeg_step`. It sees neither a JPEG that was cropped off its 8 x 8 grid or resized
later, nor WebP, HEIC and AVIF, which have no such grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import median_filter, uniform_filter

from mdmf_core.method import state
from mdmf_core.method.state import LUMA
from mdmf_core.sentence import said

SATURATED_SHARE = 0.5  # of a patch's channel values that are 0 or 255
DARK_LEVEL = 16.0  # mean luma of a patch, 0..255
FLAT_RESIDUAL = 0.3  # standard deviation, in grey levels, of luma minus its 3 x 3 mean
HEAVY_STEP = 10.0  # quantisation step of JPEG's low frequencies; 10 is quality 60 of the standard's table

HEAVIEST_STEP = 16.0  # from which a picture can't be judged; quality 38 of that table

WHOLE = ("heavily compressed", "without fine detail")  # reasons that hold for all patches of a picture

LEAST_SHARE = 0.25  # of patches that hold enough, below which a picture can't be judged
FEWEST_PATCHES = 4
MOST_COLOURS = 512  # of a palette, with what scaling adds
MOST_GREYS = 64  # of a palette without colours, for a grey photograph has 256 at most
EQUAL_SHARE = 0.75  # of neighbouring pixels; photographs stay below 0.7
MEDIAN_SHARE = 0.55  # of the pixels in detail that are the median around them; photographs stay below 0.52
DETAIL, FEWEST_IN_DETAIL = 2.0, 200  # grey levels from the mean around a pixel, and how many such pixels can tell
MEDIAN_SIDE = 512  # of the middle part in which they are looked for
LEAST_MEDIUM_DB = -20.0  # power of medium detail over that of coarse detail, in a picture without fine detail
NO_MEDIUM_DB = -27.0  # the same in any picture

NONE = "None of its {all:,} patches holds enough to judge: the others are flat, clipped or dark."
EMPTY = {
    "one": "{n:,} of its {all:,} patches holds enough to judge: the others are flat, clipped or dark.",
    "other": "{n:,} of its {all:,} patches hold enough to judge: the others are flat, clipped or dark.",
}
FEW_COLOURS = {
    "one": "It has {n:,} colour only, as palettes and drawings have, and the traces of how it was made are lost.",
    "other": "It has {n:,} colours only, as palettes and drawings have, and the traces of how it was made are lost.",
}
EQUAL = said(
    "refused.equal",
    "Most of its neighbouring pixels are exactly equal, as in screenshots and drawings, which the test does not know.",
)
COMPRESSED = said(
    "refused.compressed", "JPEG compressed it so heavily that hardly anything is left of how it was made."
)
MEDIAN = said(
    "refused.median",
    "Most of its details equal the median of the pixels around them, as a median filter leaves them, which wipes "
    "traces out.",
)
ENLARGED = said(
    "refused.enlarged",
    "It has no fine detail, as after strong enlargement or blur, and the traces of how it was made went with it.",
)

LOW_FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
LARGEST_STEP = 64
FEWEST_COEFFICIENTS = 25


def reasons(pixels: np.ndarray, boxes: np.ndarray) -> tuple[str, ...]:
    """Why each patch of a picture (H, W, 3) uint8 can't be trusted, "" where it can.

    Where the whole picture is without fine detail or heavily compressed, no patch can.

    Args:
        pixels: the whole picture.
        boxes: (N, 4) x, y, w, h of the patches.
    """
    heavy = jpeg_step(state.middle(pixels) @ LUMA) >= HEAVY_STEP
    everywhere = WHOLE[0] if heavy else WHOLE[1] if state.lacks_fine_detail(pixels) else ""
    return tuple(reason(pixels[y : y + h, x : x + w]) or everywhere for x, y, w, h in boxes)


def refusal(pixels: np.ndarray, boxes: np.ndarray, found: Sequence[str]) -> str:
    """Why a picture or region can't be judged, one sentence; "" where it can.

    Args:
        pixels: (H, W, 3) uint8, of the whole picture where a region is meant.
        boxes: (N, 4) x, y, w, h of the patches that are judged.
        found: (N,) from `reasons`.
    """
    usable = sum(each in ("", *WHOLE) for each in found)
    if usable < max(FEWEST_PATCHES, LEAST_SHARE * len(boxes)):
        if not usable:
            return said("refused.none", NONE, all=len(boxes))
        return said("refused.empty", EMPTY, n=usable, all=len(boxes))
    (left, top), (right, bottom) = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)
    part = state.middle(pixels[top:bottom, left:right])
    colours = n_colours(part)
    grey = bool((part == part[..., :1]).all())
    if colours <= (MOST_GREYS if grey else MOST_COLOURS):
        return said("refused.few_colours", FEW_COLOURS, n=colours)
    if equal_share(part) > EQUAL_SHARE:
        return EQUAL
    if WHOLE[0] in found and jpeg_step(state.middle(pixels) @ LUMA) >= HEAVIEST_STEP:
        return COMPRESSED
    if median_share(part) > MEDIAN_SHARE:
        return MEDIAN
    return ENLARGED if is_enlarged(part) else ""


def packed(pixels: np.ndarray) -> np.ndarray:
    """Each colour of (H, W, 3) uint8 as one number, (H, W) uint32 below 2 ** 24."""
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    return red << 16 | green << 8 | blue


def n_colours(pixels: np.ndarray) -> int:
    """How many different colours (H, W, 3) uint8 has."""
    seen = np.zeros(1 << 24, bool)
    seen[packed(pixels)] = True
    return int(np.count_nonzero(seen))


def equal_share(pixels: np.ndarray) -> float:
    """Share of neighbouring pixels, across or down, whichever is more, that have exactly one colour."""
    colours = packed(pixels)
    across = (colours[:, 1:] == colours[:, :-1]).mean()
    return float(max(across, (colours[1:] == colours[:-1]).mean()))


def median_share(pixels: np.ndarray) -> float:
    """Share of the pixels in detail that are the median of their 3 x 3 neighbours, as a median filter leaves most.

    In the green of the middle of a picture (H, W, 3) uint8; 0 where it has hardly any detail.
    """
    top, left = (max(0, side - MEDIAN_SIDE) // 2 for side in pixels.shape[:2])
    green = np.ascontiguousarray(pixels[top : top + MEDIAN_SIDE, left : left + MEDIAN_SIDE, 1])
    in_detail = np.abs(green - uniform_filter(green.astype(np.float32), 3)) > DETAIL
    if in_detail.sum() < FEWEST_IN_DETAIL:
        return 0.0
    return float((green == median_filter(green, 3))[in_detail].mean())


def is_enlarged(pixels: np.ndarray) -> bool:
    """Whether fine detail is gone and medium detail nearly so, as after enlarging several times."""
    if min(pixels.shape[:2]) < state.TILE:
        return False
    power = state.spectrum(pixels)
    medium = power["medium"] - power["coarse"]
    return medium < NO_MEDIUM_DB or (power["fine"] < state.LEAST_FINE_DB and medium < LEAST_MEDIUM_DB)


def reason(patch: np.ndarray) -> str:
    """Why a patch (h, w, 3) uint8 can't be trusted: "saturated", "very dark", "flat" or ""."""
    if ((patch == 0) | (patch == 255)).mean() > SATURATED_SHARE:
        return "saturated"
    luma = patch @ LUMA
    if luma.mean() < DARK_LEVEL:
        return "very dark"
    return "flat" if (luma - uniform_filter(luma, 3)).std() < FLAT_RESIDUAL else ""


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
    values = np.abs(dctn(blocks.astype(np.float32), axes=(2, 3), norm="ortho"))
    return float(np.median([_step(values[:, :, u, v].ravel()) for u, v in LOW_FREQUENCIES]))


def _step(values: np.ndarray) -> float:
    """The largest step that the magnitudes (M,) of one frequency are multiples of; 0 where there is none."""
    found = 0
    for step in range(3, LARGEST_STEP):
        reaching = values[values > step / 2]
        if len(reaching) < FEWEST_COEFFICIENTS:
            break
        if np.cos(reaching * np.float32(2 * np.pi / step)).mean() > 0.5:
            found = step
    return float(found)
