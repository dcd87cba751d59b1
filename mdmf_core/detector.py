"""A picture in, evidence out: the object that page, command line and programs use.

    from mdmf_core import Detector
    evidence = Detector.from_pretrained().detect("photo.jpg")

Data flows once through: file -> array -> patches -> embeddings -> signatures -> evidence.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from mdmf_core.checkpoint import hub, store
from mdmf_core.errors import CheckpointError, ImageError
from mdmf_core.evidence import Evidence, Inconsistency, check_alpha, decide
from mdmf_core.images.reader import Picture, read
from mdmf_core.method import locator
from mdmf_core.method.bank import Reference
from mdmf_core.method.bank import load as load_reference
from mdmf_core.method.calibration import ends, evidence_of, flag, p_value, threshold
from mdmf_core.method.patches import cut, merged
from mdmf_core.method.state import detail_of

FALSE_DISCOVERIES = 0.1
NO_MEMORY = "There is not enough memory to analyse this picture now; try a smaller one, or try again later."


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
        model: store.Model,
        bank: Reference,
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
        model = store.load(located.folder)
        settings = model.pfs.config
        try:
            bank = load_reference(
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
            locate: also find patches unlike the rest of the picture; where False, `Evidence.inconsistency` is None.

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
        embeddings = merged(self.model.backbone.embed(patches), grid)
        marks.append(time.perf_counter())
        points, kernel, bank = self.model.points(embeddings), self.model.kernel, self.reference
        marks.append(time.perf_counter())
        values = {
            statistic: evidence_of(points, statistic, bank.real, bank.generated, kernel) for statistic in bank.nulls
        }
        statistic = self.model.statistic
        evidence, witness = (tensor.numpy() for tensor in values[statistic])
        scores = {kind: float(pair[0].numpy().sum()) for kind, pair in values.items()}
        marks.append(time.perf_counter())
        detail = bank.nearest(detail_of(_part(picture.pixels, region)))
        calibration = bank.calibration(detail)
        null = bank.null(statistic, grid.independent, detail)
        p = float(p_value(scores[statistic], null))
        patch_p = p_value(len(evidence) * evidence, calibration.patch_nulls[statistic])
        flagged = flag(patch_p, FALSE_DISCOVERIES)
        marks.append(time.perf_counter())
        unlike = self._compared(embeddings, grid.rows, grid.cols) if locate else None
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
            threshold=threshold(null, alpha),
            null=null,
            model=self.located.model,
            revision=self.located.revision,
            fingerprint=self.fingerprint,
            backbone=self.model.backbone.name,
            timings={"decode": decoding, **dict(zip(stages, np.diff(marks).tolist(), strict=True))},
            inconsistency=unlike,
        )

    def _compared(self, embeddings: torch.Tensor, rows: int, cols: int) -> Inconsistency | None:
        """What the locator says of a whole picture's embeddings (N, D)."""
        found = None if self.locator is None else self.locator.values(embeddings, rows, cols)
        if found is None:
            return None
        values, null = found.double().numpy(), self.locator.null.double().numpy()
        p_values = p_value(values, null)
        flagged = flag(p_values, FALSE_DISCOVERIES)
        return Inconsistency(values, p_values, flagged, ends(null), null)


def _finder(located: hub.Located, model: store.Model) -> locator.Locator | None:
    """The checkpoint's locator, if it has one.

    Raises:
        CheckpointError: it has one that doesn't fit.
    """
    path = located.folder / hub.LOCATOR
    if not path.is_file():
        return None
    try:
        return locator.load(path, model.backbone.dim)
    except ValueError as error:
        raise CheckpointError(f"The checkpoint {located.model} can't be used: {str(error).rstrip('.')}.") from error


def _part(pixels: np.ndarray, region: tuple[int, int, int, int] | None) -> np.ndarray:
    """The pixels that are analysed, (H, W, 3)."""
    if region is None:
        return pixels
    x, y, w, h = (int(number) for number in region)
    return pixels[max(0, y) : y + h, max(0, x) : x + w]
