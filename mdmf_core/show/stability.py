"""Does the result hold? The same picture after what happens to pictures on their way, judged again.

Everything is deterministic: no variant draws a random number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mdmf_core.detector import Detector
from mdmf_core.errors import ImageError
from mdmf_core.evidence import Verdict, check_alpha, outcome
from mdmf_core.images import degrade
from mdmf_core.images.reader import Picture
from mdmf_core.sentence import COMMA, Sentence, joined, said
from mdmf_core.show.words import VERDICTS

AS_IT_IS = said("change.as_it_is", "as it is")
BLUR_SIGMA = 0.7  # pixels
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    AS_IT_IS: lambda pixels: pixels,
    said("change.jpeg", "JPEG {quality}", quality=90): lambda pixels: degrade.jpeg(pixels, 90),
    said("change.jpeg", "JPEG {quality}", quality=70): lambda pixels: degrade.jpeg(pixels, 70),
    said("change.jpeg", "JPEG {quality}", quality=50): lambda pixels: degrade.jpeg(pixels, 50),
    said("change.resized", "resized to {share:.0%}", share=0.75): lambda pixels: degrade.resize(pixels, 0.75),
    said("change.resized", "resized to {share:.0%}", share=0.5): lambda pixels: degrade.resize(pixels, 0.5),
    said("change.blur", "slight blur"): lambda pixels: degrade.blur(pixels, BLUR_SIGMA),
}

REFUSED = said("holds.refused", "There is no answer that could hold or change: the picture can't be judged.")
UNKNOWN = "No changed copy could be judged, so it can't be said whether the result holds."
STABLE = {
    "one": 'Stable: the result stays "{answer}" in the one changed copy.',
    "other": 'Stable: the result stays "{answer}" in all {n} changed copies.',
}
FLIPS = 'Not stable: the result is "{answer}" as it is, but turns into {turns}. Quote it with care.'
CHANGES_IN = {
    "one": "Changes in {flipped} of {n} changed copy",
    "other": "Changes in {flipped} of {n} changed copies",
}
HOLDS_IN = {"one": "Holds in {n} of {n} changed copy", "other": "Holds in {n} of {n} changed copies"}


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


def variants(detector: Detector, picture: Picture, alpha: float, verdict: Verdict | None = None) -> Iterator[Variant]:
    """The picture as it is and after each change, judged one by one.

    Args:
        detector: the one that judged the picture.
        picture: as read.
        alpha: the false-alarm rate that "generated" allows.
        verdict: the detector's on the picture as it is, which then isn't judged again.

    Raises:
        ValueError: `alpha` is out of range.
    """
    for name, change in CHANGES.items():
        if name == AS_IT_IS and verdict is not None:
            yield _judged(name, verdict.at(check_alpha(alpha)))
            continue
        try:
            changed = replace(picture, pixels=change(picture.pixels))
            found = detector.detect(changed, alpha, locate=False).verdict
        except ImageError as error:
            yield Variant(name, error=str(error))
        else:
            yield _judged(name, found)


def _judged(name: str, verdict: Verdict) -> Variant:
    ratio = None if verdict.strength is None else verdict.strength.ratio
    return Variant(name, verdict.score, verdict.p_value, verdict.decision, None, ratio, verdict.judged)


def sentence(tried: Sequence[Variant]) -> Sentence:
    """Whether the headline stays the same, and under which change it flips; plain words.

    Args:
        tried: what `variants` gave, the picture as it is first.
    """
    first, changed = tried[0], [variant for variant in tried[1:] if variant.error is None]
    if first.error is not None or not changed:
        return said("holds.unknown", UNKNOWN)
    if not first.judged:
        return REFUSED
    missing = [variant.name for variant in tried if variant.error is not None]
    untried = said("holds.untried", "Too small to be judged: {names}.", names=_listed(missing)) if missing else ""
    flips: dict[str, list[str]] = {}
    for variant in changed:
        if variant.outcome != first.outcome:
            flips.setdefault(variant.outcome, []).append(variant.name)
    start = VERDICTS[first.outcome]
    if not flips:
        return joined([said("holds.stable", STABLE, n=len(changed), answer=start), untried])
    turns = [
        said("holds.turn", '"{answer}" ({names})', answer=VERDICTS[to], names=_listed(f)) for to, f in flips.items()
    ]
    return joined([said("holds.flips", FLIPS, answer=start, turns=_listed(turns)), untried])


def short(tried: Sequence[Variant]) -> Sentence:
    """The same in a few words, to stand beside the headline."""
    first, changed = tried[0], [variant for variant in tried[1:] if variant.error is None]
    if first.error is not None or not changed or not first.judged:
        return said("holds.short_unknown", "Can't be said whether it holds")
    flipped = sum(variant.outcome != first.outcome for variant in changed)
    if flipped:
        return said("holds.short_changes", CHANGES_IN, flipped=flipped, n=len(changed))
    return said("holds.short_holds", HOLDS_IN, n=len(changed))


def _listed(names: list[str]) -> Sentence:
    """ "a", "a and b", "a, b and c"."""
    if len(names) < 2:
        return joined(names)
    return said("holds.listed", "{first} and {last}", first=joined(names[:-1], COMMA), last=names[-1])
