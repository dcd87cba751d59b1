"""An answer held against what is known about a picture: right, wrong or undecided.

A photograph is answered rightly by no traces, a generated picture by traces of generation. Of an edited picture the
place counts, too: at least half of the patches that stand out, on either map, lie in the part that is known to be
generated. A miss is wrong; weak traces, a picture that can't be judged and traces in another place are undecided.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mdmf_core.evidence import Evidence
from mdmf_core.show.words import headline

RIGHT, WRONG, UNDECIDED = "right", "wrong", "undecided"
PHOTOGRAPH, GENERATED, EDITED = "photograph", "generated", "edited"
KNOWN = {
    PHOTOGRAPH: "this is a photograph",
    GENERATED: "this picture is generated",
    EDITED: "part of this picture is generated",
}


class Answer(NamedTuple):
    """`RIGHT`, `WRONG` or `UNDECIDED`, and why in one sentence."""

    word: str
    sentence: str


def against(truth: str, evidence: Evidence, mask: np.ndarray | None = None) -> Answer:
    """What an answer is worth, once the truth is known.

    Args:
        truth: one of `KNOWN`.
        evidence: of the whole picture.
        mask: (H, W) uint8 of an edited picture, from 128 where it is generated.
    """
    outcome = evidence.verdict.outcome
    if truth == EDITED:
        return _of_edit(outcome, evidence, mask)
    expected, opposite = ("no_evidence", "generated") if truth == PHOTOGRAPH else ("generated", "no_evidence")
    word = {expected: RIGHT, opposite: WRONG}.get(outcome, UNDECIDED)
    return Answer(word, f"{_start(word, truth)} The answer is “{headline(evidence)}”.")


def _of_edit(outcome: str, evidence: Evidence, mask: np.ndarray) -> Answer:
    found = [shown.outlined for name, shown in evidence.maps.items() if name in ("evidence", "locator")]
    outlined = np.logical_or.reduce(found)
    n, inside = int(outlined.sum()), int((outlined & in_part(evidence, mask)).sum())
    word = UNDECIDED
    if outcome == "generated" and n and inside >= n / 2:
        word = RIGHT
    elif outcome == "no_evidence" and not inside:
        word = WRONG
    stand = f"{inside:,} of {n:,} patches that stand out lie in that part" if n else "no patch stands out"
    return Answer(word, f"{_start(word, EDITED)} The answer is “{headline(evidence)}”; {stand}.")


def in_part(evidence: Evidence, mask: np.ndarray) -> np.ndarray:
    """Which patches (N,) lie with more than half of their pixels in the white part of a mask (H, W)."""
    return np.array([(mask[y : y + h, x : x + w] > 127).mean() > 0.5 for x, y, w, h in evidence.grid.boxes.tolist()])


def _start(word: str, truth: str) -> str:
    kind = {(WRONG, PHOTOGRAPH): ", a false alarm", (WRONG, GENERATED): ", a miss", (WRONG, EDITED): ", a miss"}
    return f"{word.capitalize()}{kind.get((word, truth), '')}: {KNOWN[truth]}."
