"""What one picture's patches say: the object that all that is shown, written or sent is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

INCONCLUSIVE = 0.2


@dataclass(frozen=True)
class Inconsistency:
    """How unlike the rest of their picture its N patches are (`locator`); no part of the score.

    `values` (N,), without a unit; `p_values` (N,) against `null`, sorted values of patches of untouched real
    calibration images; `flagged` (N,) by Benjamini-Hochberg at the rate of the evidence; `scale` the ends of the
    colour scale.
    """

    values: np.ndarray
    p_values: np.ndarray
    flagged: np.ndarray
    scale: tuple[float, float]
    null: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """What one picture's patches say, with all that is needed to draw and to quote it.

    Picture: `width` and `height` are those of the upright original, `sha256` that of the file's bytes.

    Score: `score` is the statistic that decides ("mmd" or "relative"), `mmd2` MMD2_u to the real bank and
    `relative` the relative MMD (None without a bank of generated patches). `p_value` is the share of
    calibration images that score at least as high, `null` their sorted scores, `threshold` what a score
    must exceed for p <= `alpha`. `detail` says which calibration images: those whose fine detail is
    missing ("soft") or drowned ("noisy") as this picture's is, or "usual" ones, also where the model has no others.

    Patches, N = rows * cols of them, row by row: `boxes` (N, 4) the pixels analysed and `cells` (N, 4) the
    part of the picture each stands for (x, y, w, h); `evidence` (N,) sums to `score`; `witness` (N,);
    `patch_p_values` (N,) against patches of real calibration images; `flagged` (N,) by Benjamini-Hochberg
    at false discovery rate `fdr`; `scale` the ends of the model's one colour scale for N * evidence, and
    `patch_null` the sorted N * evidence of patches of real calibration images. `mmd_evidence` (N,) and
    `mmd_scale` are the same for MMD2 to the real bank, whichever statistic decides. `signatures` (N, K).

    `inconsistency` is None for a region, for a picture of fewer than 3 x 3 patches, where it was not asked for, and
    where the model has no locator.
    """

    name: str
    sha256: str
    width: int
    height: int
    notes: tuple[str, ...]
    score: float
    statistic: str
    mmd2: float
    relative: float | None
    p_value: float
    decision: str
    alpha: float
    n_calibration: int
    detail: str
    rows: int
    cols: int
    boxes: np.ndarray
    cells: np.ndarray
    evidence: np.ndarray
    witness: np.ndarray
    patch_p_values: np.ndarray
    flagged: np.ndarray
    fdr: float
    scale: tuple[float, float]
    patch_null: np.ndarray
    mmd_evidence: np.ndarray
    mmd_scale: tuple[float, float]
    signatures: np.ndarray
    threshold: float
    null: np.ndarray
    model: str
    revision: str
    fingerprint: str
    backbone: str
    timings: dict[str, float]
    inconsistency: Inconsistency | None = None

    @property
    def n_patches(self) -> int:
        return len(self.evidence)

    def to_dict(self, path: str | None = None) -> dict[str, Any]:
        """The JSON contract of `detect`; `path` defaults to the file's name."""
        patches = [
            {
                "x": int(x),
                "y": int(y),
                "w": int(w),
                "h": int(h),
                "evidence": float(c),
                "witness": float(f),
                "p_value": float(p),
                "flagged": bool(flagged),
            }
            for (x, y, w, h), c, f, p, flagged in zip(
                self.boxes, self.evidence, self.witness, self.patch_p_values, self.flagged, strict=True
            )
        ]
        return {
            "path": path if path is not None else self.name,
            "sha256": self.sha256,
            "width": self.width,
            "height": self.height,
            "score": self.score,
            "statistic": self.statistic,
            "mmd2": self.mmd2,
            "p_value": self.p_value,
            "decision": self.decision,
            "alpha": self.alpha,
            "n_calibration": self.n_calibration,
            "detail": self.detail,
            "model": self.model,
            "revision": self.revision,
            "fingerprint": self.fingerprint,
            "n_patches": self.n_patches,
            "notes": list(self.notes),
            "patches": patches,
            "inconsistency": _plain(self.inconsistency),
        }


def _plain(found: Inconsistency | None) -> dict[str, list] | None:
    """What the JSON says of it: lists (N,) in the order of the patches."""
    if found is None:
        return None
    return {"values": found.values.tolist(), "p_values": found.p_values.tolist(), "flagged": found.flagged.tolist()}


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
