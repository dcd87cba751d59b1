"""Does the result hold? The same picture after what happens to pictures on their way, judged again.

Everything is deterministic: no variant draws a random number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mdmf_core.detector import Detector
from mdmf_core.errors import ImageError
from mdmf_core.evidence import outcome
from mdmf_core.images import degrade
from mdmf_core.images.reader import Picture
from mdmf_core.show.words import VERDICTS

AS_IT_IS = "as it is"
BLUR_SIGMA = 0.7  # pixels
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    AS_IT_IS: lambda pixels: pixels,
    "JPEG 90": lambda pixels: degrade.jpeg(pixels, 90),
    "JPEG 70": lambda pixels: degrade.jpeg(pixels, 70),
    "JPEG 50": lambda pixels: degrade.jpeg(pixels, 50),
    "resized to 75%": lambda pixels: degrade.resize(pixels, 0.75),
    "resized to 50%": lambda pixels: degrade.resize(pixels, 0.5),
    "slight blur": lambda pixels: degrade.blur(pixels, BLUR_SIGMA),
}


@dataclass(frozen=True)
class Variant:
    """The result for one changed copy; or `error`, one sentence, and no figures."""

    name: str
    score: float | None = None
    p_value: float | None = None
    decision: str | None = None
    error: str | None = None
    ratio: float | None = None
    judged: bool = True

    @property
    def outcome(self) -> str | None:
        """What the headline says of it."""
        return self.decision and outcome(self.decision, self.ratio, self.judged)


def variants(detector: Detector, picture: Picture, alpha: float) -> Iterator[Variant]:
    """The picture as it is and after each change, judged one by one.

    Args:
        detector: the one that judged the picture.
        picture: as read.
        alpha: the false-alarm rate that "generated" allows.

    Raises:
        ValueError: `alpha` is out of range.
    """
    for name, change in CHANGES.items():
        try:
            changed = replace(picture, pixels=change(picture.pixels))
            verdict = detector.detect(changed, alpha, locate=False).verdict
        except ImageError as error:
            yield Variant(name, error=str(error))
        else:
            ratio = None if verdict.strength is None else verdict.strength.ratio
            yield Variant(name, verdict.score, verdict.p_value, verdict.decision, None, ratio, verdict.judged)


def sentence(tried: Sequence[Variant]) -> str:
    """Whether the headline stays the same, and under which change it flips; plain words.

    Args:
        tried: what `variants` gave, the picture as it is first.
    """
    first, changed = tried[0], [variant for variant in tried[1:] if variant.error is None]
    if first.error is not None or not changed:
        return "No changed copy could be judged, so it can't be said whether the result holds."
    missing = [variant.name for variant in tried if variant.error is not None]
    untried = f" Too small to be judged: {_listed(missing)}." if missing else ""
    flips: dict[str, list[str]] = {}
    for variant in changed:
        if variant.outcome != first.outcome:
            flips.setdefault(variant.outcome, []).append(variant.name)
    start = f'"{VERDICTS[first.outcome]}"'
    if not flips:
        copies = "the one changed copy" if len(changed) == 1 else f"all {len(changed)} changed copies"
        return f"Stable: the result stays {start} in {copies}.{untried}"
    turns = _listed([f'"{VERDICTS[other]}" ({_listed(names)})' for other, names in flips.items()])
    return f"Not stable: the result is {start} as it is, but turns into {turns}. Quote it with care.{untried}"


def short(tried: Sequence[Variant]) -> str:
    """The same in a few words, to stand beside the headline."""
    first, changed = tried[0], [variant for variant in tried[1:] if variant.error is None]
    if first.error is not None or not changed:
        return "Can't be said whether it holds"
    flipped = sum(variant.outcome != first.outcome for variant in changed)
    copies = f"{len(changed)} changed {'copy' if len(changed) == 1 else 'copies'}"
    return f"Changes in {flipped} of {copies}" if flipped else f"Holds in {len(changed)} of {copies}"


def _listed(names: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
