"""The result in plain sentences: how strong the evidence is, patches that stand out, what was compared."""

from __future__ import annotations

import math

from mdmf_core.evidence import NOT_JUDGED, Evidence, Verdict
from mdmf_core.method.calibration import FALSE_DISCOVERIES
from mdmf_core.method.strength import GENERATED, REAL, Strength

LIKE_IT = {"usual": "", "soft": " that have as little fine detail", "noisy": " that have as much noise"}
VERDICTS = {
    "generated": "Traces of generation",
    "inconclusive": "Weak traces",
    "no_evidence": "No traces found",
    NOT_JUDGED: "Can't be judged",
}
LOCATOR = (
    "The picture's patches are compared with each other, in what their making left behind. Parts that come from "
    "another picture stand out, generated or not. This is no part of the score and says nothing about the picture as a "
    "whole: where nothing was put in, a sharp subject before a blurred background or parts of a wholly generated "
    "picture can stand out, too."
)
UNKNOWN = "A generator that this tool does not know could look the same."
NO_RATIO = "This model has no likelihood ratios, so how strong the evidence is can't be said."
DECISIONS = {
    "generated": "In whole or in part, it carries traces like those that generators leave.",
    "inconclusive": "Its traces are too weak to rest anything on, and too strong to set aside.",
    "no_evidence": "As a whole it carries no traces that this test knows, which does not prove where it comes from.",
}


def headline(evidence: Evidence) -> str:
    """The result in two to four words."""
    return VERDICTS[evidence.verdict.outcome]


def rarity(evidence: Evidence) -> str:
    """The p-value as a share of real pictures, for people."""
    verdict = evidence.verdict
    odds = 1 / verdict.p_value
    if verdict.score > verdict.null.scores[-1]:
        return f"None of {compared_with(verdict)} scores this high"
    if odds < 1.5:
        return "Most real pictures score this high or higher"
    return f"About 1 in {round(odds):,} real pictures scores this high"


def compared_with(verdict: Verdict, kind: str = "real") -> str:
    """The calibration pictures, and how many sources they come from where sources count."""
    pictures, sources = verdict.n_calibration, verdict.n_sources
    return f"{pictures:,} {kind} pictures" + (f" of {sources:,} sources" if sources < pictures else "")


def weight(found: Strength) -> str:
    """The likelihood ratio in words; support for a real picture never stands alone."""
    support = found.support
    if not found.side:
        return f"A score like this is about as common among real pictures as among generated ones: {support}."
    generated = found.side == GENERATED
    ratio, bound = (found.ratio, found.bounds[1]) if generated else (1 / found.ratio, 1 / found.bounds[0])
    least = "at least " if math.isclose(ratio, bound) else ""
    often, seldom = (GENERATED, REAL) if generated else (REAL, GENERATED)
    text = (
        f"A score like this is {least}{rounded(ratio)} times as common among {often} pictures as among {seldom} ones: "
        f"{support}."
    )
    return text if generated else f"{text} {UNKNOWN}"


def rounded(ratio: float) -> str:
    """A likelihood ratio to two digits, without an exponent below a million."""
    return f"{float(f'{ratio:.2g}'):,.6g}"


def of_hundred(evidence: Evidence) -> str:
    """How many real and generated pictures of the tests give an answer as strong; "" without likelihood ratios."""
    found = evidence.verdict.strength
    if found is None:
        return ""
    like = LIKE_IT[evidence.verdict.detail]
    return (
        f"Of 100 real pictures{like} in our tests {_counted(found.real)} an answer as strong as this, of 100 generated "
        f"ones {_count(found.generated)}."
    )


def _count(share: float) -> str:
    hundredth = round(100 * share)
    return f"{hundredth}" if hundredth else "fewer than 1" if share else "none"


def _counted(share: float) -> str:
    count = _count(share)
    return f"{count} {'give' if count.isdigit() and count != '1' else 'gives'}"


def strength(evidence: Evidence) -> str:
    """How strong the evidence is, in sentences."""
    found = evidence.verdict.strength
    return NO_RATIO if found is None else f"{weight(found)} {of_hundred(evidence)}"


def explain(evidence: Evidence) -> str:
    """The result in plain sentences: strength, patches that stand out, what was compared; or why there is none."""
    verdict = evidence.verdict
    if not verdict.judged:
        return verdict.reason
    banks = "real and of generated pictures" if verdict.statistic == "relative" else "real pictures"
    compared = (
        f"Its patches were compared with patches of {banks}, and its score with those of "
        f"{compared_with(verdict, 'other real')}{LIKE_IT[verdict.detail]}."
    )
    how = f"{rarity(evidence)}. {NO_RATIO}" if verdict.strength is None else strength(evidence)
    return " ".join([DECISIONS[verdict.outcome], how, _patches(evidence), compared, *explain_locator(evidence)])


def _patches(evidence: Evidence) -> str:
    """How many patches stand out, of those that hold enough to judge."""
    n, outlined, hatched = evidence.n_patches, evidence.n_outlined, evidence.n_hatched
    if hatched == n:
        return f"All of its {n:,} patches are hatched, for they hold too little to judge; none of them counts."
    stand = "stands out and is outlined" if outlined == 1 else "stand out and are outlined"
    chance = f"up to 1 in {round(1 / FALSE_DISCOVERIES)} such outlines is expected by chance"
    if hatched:
        which = f"{outlined:,} {stand}; {chance}" if outlined else "none stands out alone"
        return f"Of the {n - hatched:,} of its {n:,} patches that are not hatched, {which}."
    return (
        f"{outlined:,} of its {n:,} patches {stand}; {chance}."
        if outlined
        else f"None of its {n:,} patches stands out alone."
    )


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
        return f"{score:.4g} (too few sources of calibration pictures for this false-alarm rate)"
    return f"{score:.4g} (p is at most {evidence.verdict.alpha:.2g} above {threshold:.4g})"
