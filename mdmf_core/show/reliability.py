"""Where and why a picture's evidence can't be trusted: a few measured rules, each with its threshold here.

The rules look at the pixels and at what the file says of its camera, never at the score, and change neither. The
thresholds were set on real photographs and on the same photographs enlarged, blurred and recompressed.

Patches. What the detector reads is the faint noise that a camera or a generator leaves between neighbouring pixels.
Little of it is left where values are clipped ("saturated"), where the light is low ("very dark"), and where smoothing
or compression has wiped it out ("flat": no more is left than rounding to whole grey levels makes).

Whole picture. Enlarging and blur empty the highest frequencies, and strong noise shows where a picture is calmest:
`state` measures both, and the detector compares such pictures with others like them. JPEG rounds its frequencies to
multiples of a step, and the step can be read off the pixels (Fan & de Queiroz, 2003), also of a PNG made from a JPEG:
`jpeg_step`. It sees neither a JPEG that was cropped off its 8 x 8 grid or resized later, nor WebP, HEIC and AVIF, which
have no such grid.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import uniform_filter

from mdmf_core.evidence import Evidence
from mdmf_core.images.reader import Picture
from mdmf_core.method import state
from mdmf_core.method.state import LUMA

SATURATED_SHARE = 0.5  # of a patch's channel values that are 0 or 255
DARK_LEVEL = 16.0  # mean luma of a patch, 0..255
FLAT_RESIDUAL = 0.3  # standard deviation, in grey levels, of luma minus its 3 x 3 mean

HEAVY_STEP = 10.0  # quantisation step of JPEG's low frequencies; 10 is quality 60 of the standard's table
CAMERA_PIXELS = 5_000_000  # from which a picture that names its camera counts as that camera's original
FEW_PATCHES = 16
MOSTLY = 0.5  # share of doubtful patches from which the score itself is in doubt

SOFT = (
    "The finest detail is missing, as after enlarging, blur or strong noise reduction, and traces of how the picture "
    "was made go with it: use the original size if you can get it."
)
HEAVY = (
    "The picture is heavily compressed (about JPEG quality 60 or lower), which hides and imitates traces: use a copy "
    "of better quality if there is one."
)
NOISY = "The picture is very noisy, which hides traces of how it was made: use a copy with less noise if there is one."
ORIGINAL = (
    "The picture is as large as cameras make them, and its file names one. Detectors of this kind called too many "
    "originals of cameras that they had not seen generated (model card): rest no suspicion on the score alone."
)
FEW = "Only {n} patches fit into it, so the score rests on little: use a larger version if there is one."
HATCHED = (
    "More than half of its patches are hatched, so the score itself stands on weak ground: use a better exposed or "
    "less processed copy."
)

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
    reasons = tuple(reason(picture.pixels[y : y + h, x : x + w]) for x, y, w, h in evidence.grid.boxes)
    mostly = np.mean([bool(each) for each in reasons]) > MOSTLY
    luma = state.middle(picture.pixels) @ LUMA
    soft, heavy = state.lacks_fine_detail(picture.pixels), jpeg_step(luma) >= HEAVY_STEP
    large = picture.width * picture.height >= CAMERA_PIXELS and {"Make", "Model"} <= picture.metadata.keys()
    holds = {
        SOFT: soft,
        HEAVY: heavy,
        NOISY: state.noise_level(luma) > state.MOST_NOISE,
        ORIGINAL: large,
        FEW.format(n=evidence.n_patches): evidence.n_patches < FEW_PATCHES,
        HATCHED: mostly,
    }
    everywhere = "heavily compressed" if heavy else "without fine detail" if soft else ""
    reasons = tuple(each or everywhere for each in reasons)
    warnings = tuple(sentence for sentence, true in holds.items() if true)
    return Reliability(np.array([bool(each) for each in reasons]), reasons, warnings)


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
