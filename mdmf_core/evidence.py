"""What one picture's patches say: the object that all that is shown, written or sent is made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mdmf_core.method.calibration import Null
from mdmf_core.method.strength import Strength

if TYPE_CHECKING:
    from mdmf_core.method.patches import Grid

INCONCLUSIVE = 0.2
NOT_JUDGED = "not_judged"
TRACES, WEAK = 10.0, 2.0  # likelihood ratios from which there are traces, and weak ones


@dataclass(frozen=True)
class PictureFacts:
    """Which picture it is: size of the upright original, SHA-256 of the file's bytes, what was done on reading."""

    name: str
    sha256: str
    width: int
    height: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ModelFacts:
    """Where the model came from, and the fingerprint of its weights."""

    name: str
    revision: str
    fingerprint: str
    backbone: str


@dataclass(frozen=True)
class Verdict:
    """The score and what it means.

    `score` is the statistic that decides ("mmd" or "relative"), and `shares` (N,) of the patches sum to it; `mmd2` is
    MMD2_u to the real bank and `relative` the relative MMD, None without a bank of generated patches. `p_value` says
    how rare such a score is among real pictures of sources that were never seen, `null` has the scores of calibration
    pictures, and `threshold` is what a score must exceed for p <= `alpha`. `detail` says which calibration pictures:
    those whose fine detail is missing ("soft") or drowned ("noisy") as this picture's is, or "usual" ones, also where
    the model has no others.

    `strength` is what the score is worth as evidence; None where the model has no likelihood ratios. `reason` says in
    one sentence why the picture can't be judged, "" where it can; `decision` and `p_value` are there all the same.
    """

    score: float
    statistic: str
    mmd2: float
    relative: float | None
    shares: np.ndarray
    p_value: float
    null: Null
    detail: str
    alpha: float
    threshold: float
    decision: str
    strength: Strength | None = None
    reason: str = ""

    @property
    def judged(self) -> bool:
        return not self.reason

    @property
    def outcome(self) -> str:
        """What the headline says: a decision, by the likelihood ratio where there is one, or `NOT_JUDGED`."""
        return outcome(self.decision, self.strength and self.strength.ratio, self.judged)

    @property
    def n_calibration(self) -> int:
        return len(self.null)

    @property
    def n_sources(self) -> int:
        """How many sources the calibration pictures count as; where each counts for itself, their number."""
        return self.null.sources

    def at(self, alpha: float) -> Verdict:
        """The same score under another false-alarm rate."""
        return replace(self, alpha=alpha, threshold=self.null.threshold(alpha), decision=decide(self.p_value, alpha))


@dataclass(frozen=True)
class PatchMap:
    """One value for each of N patches, and what patches of real calibration pictures reach.

    `values` (N,); `p_values` (N,) against `null`, sorted values of real patches; `outlined` (N,) by Benjamini-Hochberg
    at the checkpoint's rate for outlines, at most `calibration.FALSE_DISCOVERIES`; `scale` the ends of the colour
    scale, the same for all pictures.
    """

    values: np.ndarray
    p_values: np.ndarray
    outlined: np.ndarray
    scale: tuple[float, float]
    null: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """What one picture's patches say, with all that is needed to draw and to quote it.

    `grid` says where the N patches lie, row by row: `boxes` (N, 4) the pixels analysed and `cells` (N, 4) the part of
    the picture that each stands for (x, y, w, h). `signatures` (N, K) are what was compared. `reasons` (N,) say why a
    patch can't be trusted, "" where it can; such patches are hatched and never outlined.

    `maps` has
    - "evidence": N * shares, which don't depend on how many patches a picture has;
    - "witness": the witness function, with the p-values and outlines of the evidence;
    - "mmd": the evidence for MMD2 to the real bank, whichever statistic decides;
    - "locator": how unlike the rest of their picture the patches are, no part of the score. It is absent for a region,
      for a picture of fewer than 3 x 3 patches, where it was not asked for, and where the model has no locator.
    """

    picture: PictureFacts
    verdict: Verdict
    grid: Grid
    maps: dict[str, PatchMap]
    model: ModelFacts
    signatures: np.ndarray
    reasons: tuple[str, ...] = ()

    @property
    def n_hatched(self) -> int:
        """How many patches hold too little to be judged; none of them is outlined."""
        return sum(map(bool, self.reasons))

    @property
    def n_patches(self) -> int:
        return len(self.grid.boxes)

    @property
    def n_outlined(self) -> int:
        """How many patches stand out by their evidence."""
        return int(self.maps["evidence"].outlined.sum())

    def at(self, alpha: float) -> Evidence:
        """The same evidence under another false-alarm rate; nothing is analysed again."""
        return replace(self, verdict=self.verdict.at(alpha))

    def to_dict(self, path: str | None = None) -> dict[str, Any]:
        """The JSON contract of `detect`; `path` defaults to the file's name."""
        picture, verdict, model = self.picture, self.verdict, self.model
        return {
            "path": path if path is not None else picture.name,
            "sha256": picture.sha256,
            "width": picture.width,
            "height": picture.height,
            "score": verdict.score,
            "statistic": verdict.statistic,
            "mmd2": verdict.mmd2,
            "p_value": verdict.p_value,
            "outcome": verdict.outcome,
            "decision": verdict.decision,
            "alpha": verdict.alpha,
            "n_calibration": verdict.n_calibration,
            "n_sources": verdict.n_sources,
            "detail": verdict.detail,
            "judged": verdict.judged,
            "reason": verdict.reason,
            **strength_of(verdict),
            "model": model.name,
            "revision": model.revision,
            "fingerprint": model.fingerprint,
            "n_patches": self.n_patches,
            "notes": list(picture.notes),
            "patches": self._patches(),
            "inconsistency": self._located(),
        }

    def _patches(self) -> list[dict[str, Any]]:
        """What the JSON says of each patch."""
        found = self.maps["evidence"]
        columns = {
            **dict(zip("xywh", self.grid.boxes.T.tolist(), strict=True)),
            "evidence": self.verdict.shares.tolist(),
            "witness": self.maps["witness"].values.tolist(),
            "p_value": found.p_values.tolist(),
            "flagged": found.outlined.tolist(),
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _located(self) -> dict[str, list] | None:
        """What the JSON says of the locator's map: lists (N,) in the order of the patches."""
        found = self.maps.get("locator")
        if found is None:
            return None
        return {
            "values": found.values.tolist(),
            "p_values": found.p_values.tolist(),
            "flagged": found.outlined.tolist(),
        }


def outcome(decision: str, ratio: float | None, judged: bool) -> str:
    """What the headline says: by the likelihood ratio, or the decision where there is none, or `NOT_JUDGED`."""
    if not judged:
        return NOT_JUDGED
    if ratio is None:
        return decision
    return "generated" if ratio >= TRACES else "inconclusive" if ratio >= WEAK else "no_evidence"


def strength_of(verdict: Verdict) -> dict[str, Any]:
    """What the JSON says of the strength of the evidence; null where there are no likelihood ratios or no verdict."""
    found = verdict.strength if verdict.judged else None
    if found is None:
        return dict.fromkeys(("likelihood_ratio", "likelihood_ratio_range", "support", "as_strong"))
    shares = {"real": found.real, "generated": found.generated}
    counts = {"n_real": found.n_real, "n_generated": found.n_generated}
    return {
        "likelihood_ratio": found.ratio,
        "likelihood_ratio_range": list(found.bounds),
        "support": found.support,
        "as_strong": shares | counts,
    }


def decide(p_value: float, alpha: float) -> str:
    """ "generated" for p <= alpha, "inconclusive" for alpha < p <= 0.2, else "no_evidence"; never "real"."""
    if p_value <= alpha:
        return "generated"
    return "inconclusive" if p_value <= INCONCLUSIVE else "no_evidence"


def check_alpha(alpha: float) -> float:
    """The false-alarm rate, if it is one.

    Raises:
        ValueError: not above 0 or above 0.2, where "inconclusive" ends.
    """
    if not 0 < alpha <= INCONCLUSIVE:
        raise ValueError(f"The false-alarm rate must be above 0 and at most {INCONCLUSIVE}, not {alpha}.")
    return alpha
