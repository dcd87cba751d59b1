"""The result in plain sentences: decision, how rare the score is, patches that stand out, what was compared."""

from __future__ import annotations

import math

from mdmf_core.evidence import Evidence
from mdmf_core.method.calibration import FALSE_DISCOVERIES

LIKE_IT = {"usual": "", "soft": " that have as little fine detail", "noisy": " that have as much noise"}
VERDICTS = {
    "generated": "Likely generated",
    "inconclusive": "Inconclusive",
    "no_evidence": "No evidence of generation",
}
LOCATOR = (
    "The picture's patches are compared with each other, in what their making left behind. Parts that come from "
    "another picture stand out, generated or not. This is no part of the score and says nothing about the picture as a "
    "whole: where nothing was put in, a sharp subject before a blurred background or parts of a wholly generated "
    "picture can stand out, too."
)


def rarity(evidence: Evidence) -> str:
    """The p-value as a share of real pictures, for people."""
    verdict = evidence.verdict
    odds = 1 / verdict.p_value
    if verdict.score > verdict.null[-1]:
        return f"Fewer than 1 in {verdict.n_calibration:,} real pictures scores this high"
    if odds < 1.5:
        return "Most real pictures score this high or higher"
    return f"About 1 in {round(odds):,} real pictures scores this high"


def explain(evidence: Evidence) -> str:
    """The result in plain sentences: decision, how rare the score is, patches that stand out, what was compared."""
    n, outlined, verdict = evidence.n_patches, evidence.n_outlined, evidence.verdict
    decision = {
        "generated": "This picture is likely generated, wholly or in part.",
        "inconclusive": "The evidence is too weak to call this picture generated, and too strong to set aside.",
        "no_evidence": "As a whole it looks like real pictures to this test, which does not prove where it comes from.",
    }[verdict.decision]
    if outlined:
        stand = "stands out and is" if outlined == 1 else "stand out and are"
        chance = f"up to 1 in {round(1 / FALSE_DISCOVERIES)} such outlines is expected by chance"
        patches = f"{outlined:,} of its {n:,} patches {stand} outlined; {chance}."
    else:
        patches = f"None of its {n:,} patches stands out alone."
    banks = "real and of generated pictures" if verdict.statistic == "relative" else "real pictures"
    compared = (
        f"Its patches were compared with patches of {banks}, and its score with those of "
        f"{verdict.n_calibration:,} other real pictures{LIKE_IT[verdict.detail]}."
    )
    return " ".join([decision, rarity(evidence) + ".", patches, compared, *explain_locator(evidence)])


def explain_locator(evidence: Evidence) -> list[str]:
    """What stands out from the rest of the picture, one sentence; nothing where no patch does."""
    found = evidence.maps.get("locator")
    outlined = 0 if found is None else int(found.outlined.sum())
    if not outlined:
        return []
    are = "patch is unlike" if outlined == 1 else "patches are unlike"
    return [
        f"Apart from the score, {outlined:,} {are} the rest of the picture. A part from another picture would be; a "
        "sharp subject before a blurred background or parts of a wholly generated picture can be, too."
    ]


def score_line(evidence: Evidence) -> str:
    """The score beside the score that decides."""
    score, threshold = evidence.verdict.score, evidence.verdict.threshold
    if math.isinf(threshold):
        return f"{score:.4g} (too few calibration pictures for this false-alarm rate)"
    return f"{score:.4g} (likely generated above {threshold:.4g})"
