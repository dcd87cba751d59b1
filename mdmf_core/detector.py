"""A picture in, evidence out: the one object that app, command line and programs use.

    from mdmf_core.detector import Detector
    evidence = Detector.from_pretrained().detect("photo.jpg")

Data flows once through: file -> array -> patches -> embeddings -> signatures -> evidence.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from mdmf_core import hub, locator, reference, workers
from mdmf_core import model as models
from mdmf_core.detail import detail_of
from mdmf_core.hub import CheckpointError
from mdmf_core.images import ImageError, Picture, read
from mdmf_core.patches import cut

__all__ = ["CheckpointError", "Detector", "Evidence", "Failure", "decide"]

INCONCLUSIVE = 0.2
FALSE_DISCOVERIES = 0.1
NO_MEMORY = "There is not enough memory to analyse this picture now; try a smaller one, or try again later."


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


@dataclass(frozen=True)
class Failure:
    """A picture that could not be analysed; `error` is one sentence."""

    name: str
    error: str


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


def out_of_memory(error: Exception) -> bool:
    """Whether Python's memory, the processor's as torch says it, or the GPU's was not enough."""
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


@contextmanager
def _enough_memory() -> Iterator[None]:
    """What does not fit into memory is one picture's misfortune, not the program's."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        raise ImageError(NO_MEMORY) from error


class Detector:
    """A model with its reference; holds no state between pictures. Threads that share it are served one by one."""

    def __init__(
        self,
        model: models.Model,
        bank: reference.Reference,
        located: hub.Located,
        device: str,
        finder: locator.Locator | None = None,
    ) -> None:
        self.model = model
        self.reference = bank
        self.locator = finder
        self.located = located
        self.device = device
        self.fingerprint = hub.fingerprint(located.folder)
        self._turn = threading.Lock()
        model.backbone.to(device)
        if finder is not None:
            finder.encoder.to(device)

    @classmethod
    def from_pretrained(
        cls,
        folder_or_repo_id: str | Path | None = None,
        revision: str | None = None,
        device: str | None = None,
    ) -> Detector:
        """Load a checkpoint folder or a Hub repository.

        Args:
            folder_or_repo_id: None takes the setting MDMF_MODEL or, without it, the bundled detector.
            revision: of a Hub repository.
            device: "cpu", "cuda", ...; None takes the GPU where there is one.

        Raises:
            CheckpointError: it can't be reached or doesn't fit; one sentence.
        """
        return cls._load(hub.locate(folder_or_repo_id, revision), device)

    @classmethod
    def _load(cls, located: hub.Located, device: str | None) -> Detector:
        model = models.load(located.folder)
        settings = model.pfs.config
        try:
            bank = reference.load(
                located.folder / "reference.safetensors",
                settings["signature"],
                settings["dim"],
                settings["deep"],
                model.statistic,
            )
        except (ValueError, SafetensorError, OSError) as error:
            raise CheckpointError(f"reference.safetensors can't be used: {error}.") from error
        return cls(
            model, bank, located, device or ("cuda" if torch.cuda.is_available() else "cpu"), _finder(located, model)
        )

    def __reduce__(self) -> tuple:
        """A pickled detector is where it lies; a process that gets it loads it anew."""
        return Detector._load, (replace(self.located, folder=self.located.folder.resolve()), self.device)

    @_enough_memory()
    def detect(
        self,
        image: Any,
        alpha: float = 0.05,
        region: tuple[int, int, int, int] | None = None,
        locate: bool = True,
    ) -> Evidence:
        """Evidence of one picture.

        Args:
            image: a path, bytes, a PIL image, an (H, W, 3) uint8 array or a `Picture`.
            alpha: the false-alarm rate that "generated" allows, at most 0.2.
            region: x, y, w, h in pixels of the upright picture, analysed densely and alone.
            locate: also find patches unlike the rest of the picture, which takes as long as all else; where False,
                `Evidence.inconsistency` is None.

        Raises:
            ImageError: the picture can't be used, or memory is not enough for it; one sentence.
            ValueError: `alpha` or `region` is out of range.
        """
        alpha = check_alpha(alpha)
        begun = time.perf_counter()
        picture = image if isinstance(image, Picture) else read(image, self.model.geometry.min_side)
        decoding = time.perf_counter() - begun
        with self._turn:
            return self._judge(picture, alpha, region, decoding, locate and region is None)

    def _judge(
        self,
        picture: Picture,
        alpha: float,
        region: tuple[int, int, int, int] | None,
        decoding: float,
        locate: bool,
    ) -> Evidence:
        marks = [time.perf_counter()]
        try:
            patches, grid = cut(picture.pixels, self.model.geometry, region)
        except ValueError as error:
            raise ImageError(str(error)) from error
        marks.append(time.perf_counter())
        embeddings = self.model.backbone.embed(patches)
        marks.append(time.perf_counter())
        points, kernel, bank = self.model.points(embeddings), self.model.kernel, self.reference
        marks.append(time.perf_counter())
        values = {
            statistic: reference.evidence_of(points, statistic, bank.real, bank.generated, kernel)
            for statistic in bank.nulls
        }
        statistic = self.model.statistic
        evidence, witness = (tensor.numpy() for tensor in values[statistic])
        scores = {kind: float(pair[0].numpy().sum()) for kind, pair in values.items()}
        marks.append(time.perf_counter())
        detail = bank.nearest(detail_of(_part(picture.pixels, region)))
        calibration = bank.calibration(detail)
        null = bank.null(statistic, grid.independent, detail)
        p = float(reference.p_value(scores[statistic], null))
        patch_p = reference.p_value(len(evidence) * evidence, calibration.patch_nulls[statistic])
        flagged = reference.flag(patch_p, FALSE_DISCOVERIES)
        marks.append(time.perf_counter())
        unlike = self._compared(patches, grid.rows, grid.cols) if locate else None
        marks.append(time.perf_counter())
        stages = ("patches", "backbone", "signature", "mmd", "evidence", "locator")
        return Evidence(
            name=picture.name,
            sha256=picture.sha256,
            width=picture.width,
            height=picture.height,
            notes=picture.notes,
            score=scores[statistic],
            statistic=statistic,
            mmd2=scores["mmd"],
            relative=scores.get("relative"),
            p_value=p,
            decision=decide(p, alpha),
            alpha=alpha,
            n_calibration=len(null),
            detail=detail,
            rows=grid.rows,
            cols=grid.cols,
            boxes=grid.boxes,
            cells=grid.cells,
            evidence=evidence,
            witness=witness,
            patch_p_values=patch_p,
            flagged=flagged,
            fdr=FALSE_DISCOVERIES,
            scale=bank.scale(statistic),
            patch_null=calibration.patch_nulls[statistic],
            mmd_evidence=values["mmd"][0].numpy(),
            mmd_scale=bank.scale("mmd"),
            signatures=points.z.numpy(),
            threshold=reference.threshold(null, alpha),
            null=null,
            model=self.located.model,
            revision=self.located.revision,
            fingerprint=self.fingerprint,
            backbone=self.model.backbone.name,
            timings={"decode": decoding, **dict(zip(stages, np.diff(marks).tolist(), strict=True))},
            inconsistency=unlike,
        )

    def _compared(self, patches: torch.Tensor, rows: int, cols: int) -> Inconsistency | None:
        """What the locator says of a whole picture's patches."""
        found = None if self.locator is None else self.locator.values(patches, rows, cols)
        if found is None:
            return None
        values, null = found.double().numpy(), self.locator.null.double().numpy()
        p_values = reference.p_value(values, null)
        flagged = reference.flag(p_values, FALSE_DISCOVERIES)
        return Inconsistency(values, p_values, flagged, reference.ends(null), null)

    def detect_many(
        self, images: Iterable[Any], alpha: float = 0.05, processes: int = 1
    ) -> Iterator[Evidence | Failure]:
        """Evidence of each picture, in order, as it comes; a bad one gives a `Failure` and the others go on.

        Args:
            images: as `detect` takes them.
            alpha: as `detect` takes it.
            processes: that analyse pictures at the same time, each with a detector of its own (`workers`).
        """
        check_alpha(alpha)
        for found in workers.run(partial(_one, self, alpha), images, processes):
            yield _failure(found.item, found) if isinstance(found, workers.Died) else found


def _finder(located: hub.Located, model: models.Model) -> locator.Locator | None:
    """The checkpoint's locator, if it has one.

    Raises:
        CheckpointError: it has one that doesn't fit.
    """
    path = located.folder / hub.LOCATOR
    if not path.is_file():
        return None
    try:
        return locator.load(path, model.geometry.patch_size)
    except ValueError as error:
        raise CheckpointError(f"The checkpoint {located.model} can't be used: {str(error).rstrip('.')}.") from error


def _part(pixels: np.ndarray, region: tuple[int, int, int, int] | None) -> np.ndarray:
    """The pixels that are analysed, (H, W, 3)."""
    if region is None:
        return pixels
    x, y, w, h = (int(number) for number in region)
    return pixels[max(0, y) : y + h, max(0, x) : x + w]


def _one(detector: Detector, alpha: float, image: Any) -> Evidence | Failure:
    try:
        return detector.detect(image, alpha)
    except ImageError as error:
        return _failure(image, error)


def _failure(image: Any, error: Exception) -> Failure:
    named = isinstance(image, str | Path)
    return Failure(Path(image).name if named else getattr(image, "name", "image"), str(error))
