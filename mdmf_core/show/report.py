"""The figures of a report to hand on, as JSON; `page` makes one HTML file of them.

from mdmf_core.show.report import Findings, json_report
figures = json_report(Findings(picture, evidence))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from mdmf_core.evidence import NOT_JUDGED, Evidence, ModelFacts, strength_of
from mdmf_core.images.origin import as_json, summary
from mdmf_core.images.reader import Picture
from mdmf_core.method.calibration import FALSE_DISCOVERIES
from mdmf_core.sentence import Sentence, joined, said
from mdmf_core.show import maps, stability, words

if TYPE_CHECKING:
    from mdmf_core.images.origin.said import Provenance
    from mdmf_core.method.patches import Grid
    from mdmf_core.show.reliability import Reliability
    from mdmf_core.show.stability import Variant

FORMAT = 1
TOP = 12
NOT_RUN = "The stability test was not run for this report."
METHOD = (
    "The picture is cut into small square patches, and an encoder that never sees more than one patch turns each into "
    "a list of numbers.",
    "A small network, the Patch Forensic Signature, keeps of these numbers what tells how a patch was made and drops "
    "what it shows.",
    "The score is a two-sample statistic, the maximum mean discrepancy between the picture's signatures and those of "
    "patches of reference pictures; the relative form takes the distance to real pictures less the distance to "
    "generated ones.",
    "The score is the sum of one value for each patch, its evidence, and the map draws these values on one scale that "
    "is the same for all pictures.",
    "The p-value says how rare so high a score is among real pictures of a source never seen: calibration pictures, in "
    "neither training nor reference, each source counted once where there are many; outlined patches stand out among "
    "patches of these pictures, at a false discovery rate of at most the one given below.",
)
LIMITATIONS = (
    said("limit.who", "The test can't tell who made a picture, why, or whether what it shows is true."),
    said(
        "limit.clean",
        "A clean result clears nothing: one more compression or a screenshot can hide the traces, on purpose or not; "
        "new generators and small edits can, too.",
    ),
    said(
        "limit.high",
        "A high score is a reason to look further: unusual cameras, filters, scans and screenshots can cause it too.",
    ),
    said(
        "limit.outline",
        "An outline means that a place is unlike patches of real pictures; it does not prove that it was altered.",
    ),
    said(
        "limit.p_value",
        "The p-value holds for real pictures like those of the calibration; for other kinds of picture it is a guide. "
        "With the bundled detector, photographs of sources that it had not seen had p <= 0.05 nearly twice as often "
        "as that, most of them of a few cameras, and genuine art and renders five to six times (model card).",
    ),
)
CITATION = (
    "Micro-Defects Expose Macro-Fakes: Detecting AI-Generated Images via Local Distributional Shifts. arXiv:2605.09296."
)
SAID_OF = {
    "generated": said("pair.generated", "shows traces of generation"),
    "inconclusive": said("pair.inconclusive", "shows weak traces"),
    "no_evidence": said("pair.no_evidence", "shows no traces"),
    NOT_JUDGED: said("pair.not_judged", "can't be judged"),
}
BOTH = {
    "generated": said("pair.both_generated", "Both show traces of generation."),
    "inconclusive": said("pair.both_inconclusive", "Both show weak traces."),
    "no_evidence": said("pair.both_no_evidence", "Both show no traces."),
    NOT_JUDGED: said("pair.both_not_judged", "Both can't be judged."),
}
SAME_FILE = said("pair.same_file", "Both are the same file.")
EQUALLY_RARE = said("pair.equally_rare", "Their scores are equally rare among real pictures.")
RARER = {
    "first": said("pair.first_rarer", "The score of the first is the rarer one among real pictures."),
    "second": said("pair.second_rarer", "The score of the second is the rarer one among real pictures."),
}


@dataclass(frozen=True)
class Findings:
    """All that a report tells of one picture.

    Args:
        picture: what was analysed.
        evidence: of that picture.
        reliability: where its map can't be trusted; None where that was not looked at.
        variants: of the stability test; empty where it was not run.
        provenance: what its file says of itself; None where that was not looked at.
        facts: what the model's reference is made of (`Detector.reference.facts`).
        when: time of the analysis; without a time zone it is local time.
    """

    picture: Picture
    evidence: Evidence
    reliability: Reliability | None = None
    variants: Sequence[Variant] = ()
    provenance: Provenance | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    when: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


def json_report(findings: Findings) -> dict[str, Any]:
    """All figures of a report to full precision, as what `json.dumps` takes."""
    evidence, provenance = findings.evidence, findings.provenance
    return {
        "report": {
            "format": FORMAT,
            "created": findings.when.astimezone(timezone.utc).isoformat(timespec="seconds"),
            "method": list(METHOD),
            "limitations": list(LIMITATIONS),
            "citation": CITATION,
        },
        "picture": _picture(findings.picture),
        "model": _model(evidence.model, findings.facts),
        "settings": _settings(evidence),
        "result": _result(evidence),
        "calibration_scores": evidence.verdict.null.scores.tolist(),
        "top_patches": maps.top_patches(evidence, TOP),
        "patches": _with_reasons(evidence.to_dict()["patches"], findings.reliability),
        "inconsistency": _locator(evidence),
        "reliability": _reliability(findings.reliability),
        "stability": _stability(findings.variants),
        "origin": as_json(summary(provenance), evidence.verdict.outcome) if provenance else None,
        "provenance": provenance.to_dict() if provenance else None,
    }


def _picture(picture: Picture) -> dict[str, Any]:
    return {
        "name": picture.name,
        "sha256": picture.sha256,
        "format": picture.format,
        "n_bytes": picture.n_bytes,
        "width": picture.width,
        "height": picture.height,
        "notes": list(picture.notes),
    }


def _model(model: ModelFacts, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": model.name,
        "revision": model.revision,
        "fingerprint": model.fingerprint,
        "backbone": model.backbone,
        "facts": facts,
    }


def _settings(evidence: Evidence) -> dict[str, Any]:
    return {
        "alpha": evidence.verdict.alpha,
        "fdr": FALSE_DISCOVERIES,
        "statistic": evidence.verdict.statistic,
        "area": _area(evidence.grid),
        "rows": evidence.grid.rows,
        "cols": evidence.grid.cols,
        "n_patches": evidence.n_patches,
    }


def _area(grid: Grid) -> list[int]:
    """x, y, w, h of what was analysed, in pixels of the picture."""
    start = grid.cells[:, :2].min(axis=0)
    end = (grid.cells[:, :2] + grid.cells[:, 2:]).max(axis=0)
    return [*start.tolist(), *(end - start).tolist()]


def _result(evidence: Evidence) -> dict[str, Any]:
    verdict, found = evidence.verdict, evidence.maps["evidence"]
    return {
        "decision": verdict.decision,
        "verdict": words.headline(evidence),
        "outcome": verdict.outcome,
        "judged": verdict.judged,
        "reason": verdict.reason,
        **strength_of(verdict),
        "quote": words.quote(evidence),
        "explanation": words.explain(evidence),
        "rarity": words.rarity(evidence),
        "score": verdict.score,
        "threshold": verdict.threshold if math.isfinite(verdict.threshold) else None,
        "p_value": verdict.p_value,
        "n_calibration": verdict.n_calibration,
        "n_sources": verdict.n_sources,
        "detail": verdict.detail,
        "mmd2": verdict.mmd2,
        "relative": verdict.relative,
        "n_flagged": evidence.n_outlined,
        "flagged_share": float(found.outlined.mean()),
        "scale": list(found.scale),
    }


def _locator(evidence: Evidence) -> dict[str, Any] | None:
    """What the locator's map shows; None where there is none."""
    found = evidence.maps.get("locator")
    if found is None:
        return None
    shown = evidence.to_dict()["inconsistency"]
    return {
        **shown,
        "scale": list(found.scale),
        "n_flagged": int(found.outlined.sum()),
        "meaning": words.LOCATOR,
        "unit": words.LOCATOR_UNIT,
    }


def _with_reasons(patches: list[dict], reliability: Reliability | None) -> list[dict]:
    """Each patch with why its evidence can't be trusted, "" where it can."""
    if reliability is None:
        return patches
    return [
        {**patch, "doubtful": bool(doubtful), "reason": reason}
        for patch, doubtful, reason in zip(patches, reliability.doubtful, reliability.reasons, strict=True)
    ]


def _reliability(reliability: Reliability | None) -> dict[str, Any] | None:
    if reliability is None:
        return None
    return {
        "n_doubtful": int(np.sum(reliability.doubtful)),
        "patch_note": reliability.patch_note,
        "warnings": list(reliability.warnings),
    }


def _stability(variants: Sequence[Variant]) -> dict[str, Any]:
    if not variants:
        return {"run": False, "sentence": NOT_RUN, "variants": []}
    rows = [
        {"name": v.name, "score": v.score, "p_value": v.p_value, "decision": v.decision}
        | {"outcome": v.outcome, "likelihood_ratio": v.ratio, "error": v.error}
        for v in variants
    ]
    return {"run": True, "sentence": stability.sentence(variants), "variants": rows}


def compare(first: Evidence, second: Evidence) -> dict[str, Any]:
    """Two pictures by one model: both results and what may be said of them together.

    Raises:
        ValueError: they come from different models, so that their scores have different scales.
    """
    if first.model.fingerprint != second.model.fingerprint:
        raise ValueError("The two pictures were analysed with different models; their scores can't be compared.")
    return {
        "sentence": _together(first, second),
        "same_file": first.picture.sha256 == second.picture.sha256,
        "score_difference": first.verdict.score - second.verdict.score,
        "first": first.to_dict(),
        "second": second.to_dict(),
    }


def _together(first: Evidence, second: Evidence) -> Sentence:
    """What may be said of two results on one scale."""
    if first.picture.sha256 == second.picture.sha256:
        return SAME_FILE
    one, other = first.verdict, second.verdict
    if one.outcome == other.outcome:
        opening = BOTH[one.outcome]
    else:
        each = {"first": SAID_OF[one.outcome], "second": SAID_OF[other.outcome]}
        opening = said("pair.differ", "The first {first}, the second {second}.", **each)
    if not (one.judged and other.judged):
        return opening
    if one.p_value == other.p_value:
        return joined([opening, EQUALLY_RARE])
    return joined([opening, RARER["first" if one.p_value < other.p_value else "second"]])
