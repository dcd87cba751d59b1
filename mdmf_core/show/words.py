"""The result in plain sentences: how strong the evidence is, what may be quoted, patches that stand out."""

from __future__ import annotations

import math
from collections import Counter

from mdmf_core.evidence import NOT_JUDGED, Evidence, Verdict
from mdmf_core.method.calibration import FALSE_DISCOVERIES
from mdmf_core.method.strength import GENERATED, REAL, Strength
from mdmf_core.sentence import Sentence, joined, said
from mdmf_core.show.reliability import why

LIKE_IT = {
    "usual": "",
    "soft": said("like.soft", " that have as little fine detail"),
    "noisy": said("like.noisy", " that have as much noise"),
}
VERDICTS = {
    "generated": said("verdict.generated", "Traces of generation"),
    "inconclusive": said("verdict.inconclusive", "Weak traces"),
    "no_evidence": said("verdict.no_evidence", "No traces found"),
    NOT_JUDGED: said("verdict.not_judged", "Can't be judged"),
}
LOCATOR = said(
    "map.locator.meaning",
    "The picture's patches are compared with each other, in what their making left behind. Parts that come from "
    "another picture stand out, generated or not. This is no part of the score and says nothing about the picture as a "
    "whole: where nothing was put in, a sharp subject before a blurred background or parts of a wholly generated "
    "picture can stand out, too.",
)
LOCATOR_UNIT = said(
    "map.locator.unit",
    "The number of a patch is its unlikeness, on a scale of the locator's own that has no unit: its p-value says what "
    "share of the patches of untouched real pictures is at least as unlike the rest.",
)
DOUBTS = {  # no support stands alone
    GENERATED: said(
        "strength.art",
        "A genuine painting, render or glossy studio picture could look the same, more easily than a photograph.",
    ),
    REAL: said("strength.unknown", "A generator that this tool does not know could look the same."),
}
NO_RATIO = said(
    "strength.no_ratio", "This model has no likelihood ratios, so how strong the evidence is can't be said."
)
DECISIONS = {
    "generated": said("decision.generated", "In whole or in part, it carries traces like those that generators leave."),
    "inconclusive": said(
        "decision.inconclusive", "Its traces are too weak to rest anything on, and too strong to set aside."
    ),
    "no_evidence": said(
        "decision.no_evidence",
        "As a whole it carries no traces that this test knows, which does not prove where it comes from.",
    ),
}
AS_COMMON = "A score like this is about as common among real pictures as among generated ones: {support}."
TIMES = {
    "generated": "A score like this is {ratio:,.6g} times as common among generated pictures as among real ones: "
    "{support}.",
    "generated_least": "A score like this is at least {ratio:,.6g} times as common among generated pictures as among "
    "real ones: {support}.",
    "real": "A score like this is {ratio:,.6g} times as common among real pictures as among generated ones: {support}.",
    "real_least": "A score like this is at least {ratio:,.6g} times as common among real pictures as among generated "
    "ones: {support}.",
}
OF_HUNDRED = (
    "Of 100 real pictures{like} of the calibration {real} an answer as strong as this or stronger, of 100 generated "
    "ones {generated}."
)
QUOTED = {
    "generated": "The detector MDMF (model {model}, fingerprint {fingerprint}) says of “{name}”: {support}; a score "
    "like this is {times} as common among generated pictures as among real ones, and of 100 real pictures{like} of its "
    "calibration {real} an answer as strong as this or stronger, of 100 generated ones {generated}; a genuine "
    "painting, render or glossy studio picture could look the same, more easily than a photograph.",
    "real": "The detector MDMF (model {model}, fingerprint {fingerprint}) says of “{name}”: {support}; a score like "
    "this is {times} as common among real pictures as among generated ones, and of 100 real pictures{like} of its "
    "calibration {real} an answer as strong as this or stronger, of 100 generated ones {generated}; a generator that "
    "it does not know could look the same.",
    "neither": "The detector MDMF (model {model}, fingerprint {fingerprint}) says of “{name}”: {support}; a score like "
    "this is about as common among real pictures as among generated ones.",
}
WITHOUT_RATIO = (
    "The detector MDMF (model {model}, fingerprint {fingerprint}) gives “{name}” a score with a p-value of {p:.3g} "
    "among {n:,} real pictures{of} of its calibration; how strong this is as evidence it can't say."
)
REFUSED = (
    "The detector MDMF (model {model}, fingerprint {fingerprint}) can't judge the picture “{name}”, and so "
    "doesn't say whether that is generated: {reason}"
)
COMPARED = {
    "relative": "Its patches were compared with patches of real and of generated pictures, and its score with those "
    "of {n:,} other real pictures{of}{like}.",
    "mmd": "Its patches were compared with patches of real pictures, and its score with those of {n:,} other real "
    "pictures{of}{like}.",
}
STAND = {
    "one": "{n:,} of its {all:,} patches stands out and is outlined; up to 1 in {chance} such outlines is expected by "
    "chance.",
    "other": "{n:,} of its {all:,} patches stand out and are outlined; up to 1 in {chance} such outlines is expected "
    "by chance.",
}
STAND_UNHATCHED = {
    "one": "Of the {left:,} of its {all:,} patches that are not hatched, {n:,} stands out and is outlined; up to 1 in "
    "{chance} such outlines is expected by chance.",
    "other": "Of the {left:,} of its {all:,} patches that are not hatched, {n:,} stand out and are outlined; up to 1 "
    "in {chance} such outlines is expected by chance.",
}
ALL_HATCHED = (
    "All of its {all:,} patches are hatched ({why}): none of them can be judged alone, only the picture as a whole."
)
UNLIKE = {
    "one": "Apart from the score, {n:,} patch is unlike the rest of the picture. A part from another picture would be; "
    "a sharp subject before a blurred background or parts of a wholly generated picture can be, too.",
    "other": "Apart from the score, {n:,} patches are unlike the rest of the picture. A part from another picture "
    "would be; a sharp subject before a blurred background or parts of a wholly generated picture can be, too.",
}


def headline(evidence: Evidence) -> Sentence:
    """The result in two to four words."""
    return VERDICTS[evidence.verdict.outcome]


def rarity(evidence: Evidence) -> Sentence:
    """The p-value as a share of real pictures, for people."""
    verdict = evidence.verdict
    odds = 1 / verdict.p_value
    if verdict.score > verdict.null.scores[-1]:
        return said("rarity.none", "None of {n:,} real pictures{of} scores this high", **compared_with(verdict))
    if odds < 1.5:
        return said("rarity.most", "Most real pictures score this high or higher")
    return said("rarity.about", "About 1 in {n:,} real pictures scores this high", n=round(odds))


def compared_with(verdict: Verdict) -> dict[str, int | str]:
    """How many calibration pictures there are, and of how many sources where sources count: `n` and `of`."""
    pictures, sources = verdict.n_calibration, verdict.n_sources
    return {"n": pictures, "of": said("sources.of", " of {n:,} sources", n=sources) if sources < pictures else ""}


def real_pictures(verdict: Verdict) -> Sentence:
    """`compared_with` as a phrase."""
    return said("chart.real", "{n:,} real pictures{of}", **compared_with(verdict))


def weight(found: Strength) -> Sentence:
    """The likelihood ratio in words; support for either side never stands alone."""
    if not found.side:
        return said("strength.neither", AS_COMMON, support=found.support)
    ratio, least = _towards(found)
    kind = found.side + ("_least" if least else "")
    text = said(f"strength.{kind}", TIMES[kind], ratio=two_digits(ratio), support=found.support)
    return joined([text, DOUBTS[found.side]])


def _towards(found: Strength) -> tuple[float, bool]:
    """The ratio towards the side that is supported, and whether it may be more, for the tests carry no higher one."""
    generated = found.side == GENERATED
    ratio, bound = (found.ratio, found.bounds[1]) if generated else (1 / found.ratio, 1 / found.bounds[0])
    return ratio, math.isclose(ratio, bound)


def two_digits(ratio: float) -> float:
    """A likelihood ratio to two digits."""
    return float(f"{ratio:.2g}")


def rounded(ratio: float) -> str:
    """A likelihood ratio to two digits, without an exponent below a million."""
    return f"{two_digits(ratio):,.6g}"


def of_hundred(evidence: Evidence) -> Sentence:
    """How many real and generated pictures of the tests give an answer as strong; "" without likelihood ratios."""
    found = evidence.verdict.strength
    if found is None:
        return Sentence()
    counts = {"real": _counted(found.real, gives=True), "generated": _counted(found.generated)}
    return said("hundred.sentence", OF_HUNDRED, like=LIKE_IT[evidence.verdict.detail], **counts)


def _counted(share: float, gives: bool = False) -> Sentence:
    """How many of 100; with the verb where it `gives`."""
    hundredth = round(100 * share)
    if not hundredth:
        words, kind = ("fewer than 1", "fewer") if share else ("none", "none")
        return said(f"hundred.{kind}_give", f"{words} gives") if gives else said(f"hundred.{kind}", words)
    if gives:
        return said("hundred.give", {"one": "{n} gives", "other": "{n} give"}, n=hundredth)
    return said("hundred.number", "{n}", n=hundredth)


def quote(evidence: Evidence) -> Sentence:
    """What may be written of the picture: one sentence that names it, the model, the strength and the false alarms."""
    picture, verdict, model = evidence.picture, evidence.verdict, evidence.model
    who = {"name": picture.name, "model": model.name, "fingerprint": model.fingerprint[:16]}
    found = verdict.strength
    if not verdict.judged:
        return said("quote.not_judged", REFUSED, **who, reason=verdict.reason)
    if found is None:
        return said("quote.no_ratio", WITHOUT_RATIO, **who, p=verdict.p_value, **compared_with(verdict))
    if not found.side:
        return said("quote.neither", QUOTED["neither"], **who, support=found.support)
    counts = {"real": _counted(found.real, gives=True), "generated": _counted(found.generated)}
    values = who | counts | {"like": LIKE_IT[verdict.detail], "support": found.support, "times": _times(found)}
    return said(f"quote.{found.side}", QUOTED[found.side], **values)


def _times(found: Strength) -> Sentence:
    """How many times as common, as a phrase."""
    ratio, least = _towards(found)
    if least:
        return said("quote.least", "at least {ratio:,.6g} times", ratio=two_digits(ratio))
    return said("quote.times", "{ratio:,.6g} times", ratio=two_digits(ratio))


def explain(evidence: Evidence) -> str:
    """The result in plain sentences: strength, patches that stand out, what was compared; or why there is none."""
    verdict = evidence.verdict
    if not verdict.judged:
        return verdict.reason
    return joined([DECISIONS[verdict.outcome], how_strong(evidence), *findings(evidence)])


def how_strong(evidence: Evidence) -> Sentence:
    """How strong the evidence is; without likelihood ratios, how rare the score is.

    Where all patches are hatched, that comes first.
    """
    found = evidence.verdict.strength
    if found is not None:
        return joined([all_hatched(evidence), weight(found), of_hundred(evidence)])
    rare = said("rarity.stop", "{rarity}.", rarity=rarity(evidence))
    return joined([all_hatched(evidence), rare, NO_RATIO])


def all_hatched(evidence: Evidence) -> Sentence:
    """That no patch can be judged alone, and why; "" where one can."""
    if evidence.n_hatched < evidence.n_patches:
        return Sentence()
    [(reason, _)] = Counter(evidence.reasons).most_common(1)
    return said("patches.all_hatched", ALL_HATCHED, all=evidence.n_patches, why=why(reason))


def findings(evidence: Evidence) -> list[Sentence]:
    """Patches that stand out ("" where all are hatched), what was compared, and what does not match the rest."""
    verdict = evidence.verdict
    kind = verdict.statistic if verdict.statistic == "relative" else "mmd"
    like = LIKE_IT[verdict.detail]
    compared = said(f"compared.{kind}", COMPARED[kind], **compared_with(verdict), like=like)
    return [_patches(evidence), compared, *explain_locator(evidence)]


def _patches(evidence: Evidence) -> Sentence:
    """How many patches stand out, of those that hold enough to judge; "" where none does."""
    n, outlined, hatched = evidence.n_patches, evidence.n_outlined, evidence.n_hatched
    if hatched == n:
        return Sentence()
    chance, left = round(1 / FALSE_DISCOVERIES), n - hatched
    if hatched and outlined:
        return said("patches.stand_unhatched", STAND_UNHATCHED, n=outlined, all=n, left=left, chance=chance)
    if hatched:
        template = "Of the {left:,} of its {all:,} patches that are not hatched, none stands out alone."
        return said("patches.none_unhatched", template, all=n, left=left)
    if outlined:
        return said("patches.stand", STAND, n=outlined, all=n, chance=chance)
    return said("patches.none", "None of its {all:,} patches stands out alone.", all=n)


def explain_locator(evidence: Evidence) -> list[Sentence]:
    """What stands out from the rest of the picture, one sentence; nothing where no patch does."""
    found = evidence.maps.get("locator")
    outlined = 0 if found is None else int(found.outlined.sum())
    return [said("patches.unlike", UNLIKE, n=outlined)] if outlined else []


def score_line(evidence: Evidence) -> Sentence:
    """The score beside the score that decides."""
    score, threshold = evidence.verdict.score, evidence.verdict.threshold
    if math.isinf(threshold):
        template = "{score:.4g} (too few sources of calibration pictures for this false-alarm rate)"
        return said("score.too_few", template, score=score)
    template = "{score:.4g} (p is at most {alpha:.2g} above {threshold:.4g})"
    return said("score.line", template, score=score, alpha=evidence.verdict.alpha, threshold=threshold)
