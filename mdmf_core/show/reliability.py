"""Where and why a picture's evidence can't be trusted: a few measured rules, each with its threshold here.

The rules look at the pixels and at what the file says of its camera, never at the score, and change neither. The
thresholds were set on real photographs and on the same photographs enlarged, blurred and recompressed.

Patches: `mdmf_core.method.doubt` says why one can't be trusted.

Whole picture. Enlarging and blur empty the highest frequencies, and strong noise shows where a picture is calmest:
`state` measures both, and the detector compares such pictures with others like them. `doubt.jpeg_step` reads off heavy
compression.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from mdmf_core.evidence import Evidence
from mdmf_core.images.reader import Picture
from mdmf_core.method import doubt, state
from mdmf_core.method.doubt import HEAVY_STEP, jpeg_step, reason
from mdmf_core.method.state import LUMA
from mdmf_core.sentence import COMMA, Sentence, joined, said

__all__ = ["Reliability", "assess", "jpeg_step", "reason"]

CAMERA_PIXELS = 5_000_000  # from which a picture that names its camera counts as that camera's original
FEW_PATCHES = 16
MOSTLY = 0.5  # share of doubtful patches from which the score itself is in doubt

SOFT = said(
    "warning.soft",
    "The finest detail is missing, as after enlarging, blur or strong noise reduction, and traces of how the picture "
    "was made go with it: use the original size if you can get it.",
)
HEAVY = said(
    "warning.heavy",
    "The picture is heavily compressed (about JPEG quality 60 or lower), which hides and imitates traces: use a copy "
    "of better quality if there is one.",
)
NOISY = said(
    "warning.noisy",
    "The picture is very noisy, which hides traces of how it was made: use a copy with less noise if there is one.",
)
ORIGINAL = said(
    "warning.original",
    "The picture is as large as cameras make them, and its file names a device. Every camera processes its pictures in "
    "a way of its own: the model card says whether originals of cameras were tried, and a reference of your own "
    "compares the picture with others of the same camera.",
)
FEW = "Only {n} patches fit into it, so the score rests on little: use a larger version if there is one."
HATCHED = said(
    "warning.hatched",
    "More than half of its patches are hatched, so the score itself stands on weak ground: use a better exposed or "
    "less processed copy.",
)

NOTE = {
    "one": "{n:,} of {all:,} patches is hatched ({which}): it holds too little to judge, so rest no conclusion on the "
    "colour there.",
    "other": "{n:,} of {all:,} patches are hatched ({which}): they hold too little to judge, so rest no conclusion on "
    "the colour there.",
}


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
    def patch_note(self) -> Sentence:
        """How many patches are doubtful and why, one sentence; "" where none is."""
        counts = Counter(reason for reason in self.reasons if reason)
        if not counts:
            return Sentence()
        which = joined((counted(reason, count) for reason, count in counts.most_common()), COMMA)
        total, n = counts.total(), len(self.reasons)
        return said("hatched.note", NOTE, n=total, all=n, which=which)


def why(reason: str) -> Sentence:
    """A reason why a patch can't be trusted, in words."""
    return said(f"hatched.{reason.replace(' ', '_')}", reason)


def counted(reason: str, count: int) -> Sentence:
    """How many patches there is a reason to doubt."""
    return said("hatched.counted", "{n:,} {reason}", n=count, reason=why(reason))


def assess(picture: Picture, evidence: Evidence) -> Reliability:
    """Which patches, and what about the whole picture, should not be trusted.

    Args:
        picture: what `evidence` is about.
        evidence: of that picture or of a region of it.
    """
    reasons = evidence.reasons or doubt.reasons(picture.pixels, evidence.grid.boxes)
    mostly = np.mean([bool(each) and each not in doubt.WHOLE for each in reasons]) > MOSTLY
    luma = state.middle(picture.pixels) @ LUMA
    soft, heavy = state.lacks_fine_detail(picture.pixels), jpeg_step(luma) >= HEAVY_STEP
    large = picture.width * picture.height >= CAMERA_PIXELS and {"Make", "Model"} <= picture.metadata.keys()
    holds = {
        SOFT: soft,
        HEAVY: heavy,
        NOISY: state.noise_level(luma) > state.MOST_NOISE,
        ORIGINAL: large,
        said("warning.few", FEW, n=evidence.n_patches): evidence.n_patches < FEW_PATCHES,
        HATCHED: mostly,
    }
    warnings = tuple(sentence for sentence, true in holds.items() if true)
    return Reliability(np.array([bool(each) for each in reasons]), reasons, warnings)
