"""An answer held against what is known about a picture: right, wrong or undecided.

A photograph is answered rightly by no traces, a generated picture by traces of generation. Of an edited picture the
place counts, too: at least half of the patches that stand out, on either map, lie in the part that is known to be
generated. A miss is wrong; weak traces, a picture that can't be judged and traces in another place are undecided.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mdmf_core.evidence import Evidence
from mdmf_core.sentence import Sentence, said
from mdmf_core.show.words import headline

RIGHT, WRONG, UNDECIDED = "right", "wrong", "undecided"
PHOTOGRAPH, GENERATED, EDITED = "photograph", "generated", "edited"
KNOWN = {
    PHOTOGRAPH: said("truth.photograph", "this is a photograph"),
    GENERATED: said("truth.generated", "this picture is generated"),
    EDITED: said("truth.edited", "part of this picture is generated"),
}
STARTS = {
    "right": said("truth.right", "Right"),
    "wrong": said("truth.wrong", "Wrong"),
    "undecided": said("truth.undecided", "Undecided"),
    "alarm": said("truth.alarm", "Wrong, a false alarm"),
    "miss": said("truth.miss", "Wrong, a miss"),
}
ANSWER = "{start}: {known}. The answer is “{answer}”."
OF_EDIT = "{start}: {known}. The answer is “{answer}”; {inside:,} of {n:,} patches that stand out lie in that part."
NONE_IN_EDIT = "{start}: {known}. The answer is “{answer}”; no patch stands out."


class Answer(NamedTuple):
    """`RIGHT`, `WRONG` or `UNDECIDED`, and why in one sentence."""

    word: str
    sentence: Sentence


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
    return Answer(word, said("truth.answer", ANSWER, **_start(word, truth), answer=headline(evidence)))


def _of_edit(outcome: str, evidence: Evidence, mask: np.ndarray) -> Answer:
    found = [shown.outlined for name, shown in evidence.maps.items() if name in ("evidence", "locator")]
    outlined = np.logical_or.reduce(found)
    n, inside = int(outlined.sum()), int((outlined & in_part(evidence, mask)).sum())
    word = UNDECIDED
    if outcome == "generated" and n and inside >= n / 2:
        word = RIGHT
    elif outcome == "no_evidence" and not inside:
        word = WRONG
    told = _start(word, EDITED) | {"answer": headline(evidence)}
    if not n:
        return Answer(word, said("truth.none_in_edit", NONE_IN_EDIT, **told))
    return Answer(word, said("truth.of_edit", OF_EDIT, **told, inside=inside, n=n))


def in_part(evidence: Evidence, mask: np.ndarray) -> np.ndarray:
    """Which patches (N,) lie with more than half of their pixels in the white part of a mask (H, W)."""
    return np.array([(mask[y : y + h, x : x + w] > 127).mean() > 0.5 for x, y, w, h in evidence.grid.boxes.tolist()])


def _start(word: str, truth: str) -> dict[str, Sentence]:
    """Whether it is right, and what is known."""
    kind = {(WRONG, PHOTOGRAPH): "alarm", (WRONG, GENERATED): "miss", (WRONG, EDITED): "miss"}
    return {"start": STARTS[kind.get((word, truth), word)], "known": KNOWN[truth]}
