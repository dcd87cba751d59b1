"""A picture in, evidence out: the object that page, command line and programs use.

    from mdmf_core import Detector
    evidence = Detector.from_pretrained().detect("photo.jpg")

Data flows once through: file -> array -> patches -> embeddings -> signatures -> evidence.
"""

from __future__ import annotations

import threading
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
from mdmf_core.evidence import Evidence, ModelFacts, PatchMap, PictureFacts, Verdict, check_alpha, decide
from mdmf_core.images.reader import Picture, read
from mdmf_core.method import doubt, known, mmd
from mdmf_core.method.calibration import FALSE_DISCOVERIES, ends, evidence_of, flag, p_value
from mdmf_core.method.locator import Locator
from mdmf_core.method.locator import load as load_locator
from mdmf_core.method.patches import Geometry, Grid, beside, cut, merged
from mdmf_core.method.reference import Reference
from mdmf_core.method.reference import load as load_reference
from mdmf_core.method.state import detail_of

Region = tuple[int, int, int, int]
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
        reference: Reference,
        located: hub.Located,
        device: str,
        locator: Locator | None = None,
    ) -> None:
        self.model = model
        self.reference = reference
        self.locator = locator
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
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(model, _reference_of(located, model), located, device, _locator_of(located, model))

    def __reduce__(self) -> tuple:
        """A pickled detector is where it lies; a process that gets it loads it anew."""
        return Detector._load, (replace(self.located, folder=self.located.folder.resolve()), self.device)

    @property
    def facts(self) -> ModelFacts:
        """What identifies the model in a result."""
        return ModelFacts(self.located.model, self.located.revision, self.fingerprint, self.model.backbone.name)

    @property
    def made_with(self) -> dict[str, Any]:
        """What a file of results says of the detector that made them."""
        model = self.facts
        return {
            "model": model.name,
            "revision": model.revision,
            "fingerprint": model.fingerprint,
            "backbone": model.backbone,
            "statistic": self.model.statistic,
        }

    @_enough_memory()
    def detect(
        self,
        image: Any,
        alpha: float = 0.05,
        region: Region | None = None,
        locate: bool = True,
    ) -> Evidence:
        """Evidence of one picture.

        Args:
            image: a path, bytes, a PIL image, an (H, W, 3) uint8 array or a `Picture`.
            alpha: the false-alarm rate that "generated" allows, at most 0.2.
            region: x, y, w, h in pixels of the upright picture, analysed densely and alone.
            locate: also ask the locator; without it `Evidence.maps` has no "locator".

        Raises:
            ImageError: the picture can't be used, or memory is not enough for it; one sentence.
            ValueError: `alpha` or `region` is out of range.
        """
        alpha = check_alpha(alpha)
        picture = image if isinstance(image, Picture) else read(image, self.model.geometry.min_side)
        patches, grid = _cut(picture, self.model.geometry, region)
        reasons = doubt.reasons(picture.pixels, grid.boxes)
        reason = doubt.refusal(picture.pixels, grid.boxes, reasons)
        with self._turn:
            embeddings = merged(self.model.backbone.embed(patches), grid)
            points = self.model.points(embeddings)
            compared = compare(points, self.reference, self.model.kernel)
            detail = self.reference.nearest(detail_of(_part(picture.pixels, region)))
            verdict = judge(compared, self.model.statistic, self.reference, grid.independent, detail, alpha)
            maps = maps_of(compared, self.model.statistic, self.reference, detail, grid.independent)
            reason = reason or ("" if region else stranger(points, self.reference, grid.independent, detail))
            if locate and region is None:
                maps |= locate_in(embeddings, grid, self.locator)
        maps = {name: _without_doubtful(found, reasons) for name, found in maps.items()}
        verdict = replace(verdict, reason=reason)
        return Evidence(_facts_of(picture), verdict, grid, maps, self.facts, points.z.numpy(), reasons)

    def overlapping(self, image: Picture, grid: Grid) -> Iterator[tuple[Grid, dict[str, np.ndarray]]]:
        """Values (N,) of patches half a patch beside those of a picture's `grid`, by map: one pass after another.

        They are what the maps of `Evidence` have, without a test: the score stays that of `grid`.

        Raises:
            ImageError: memory is not enough; one sentence.
        """
        for region in beside(grid, self.model.geometry):
            patches, moved = _cut(image, self.model.geometry, region)
            with _enough_memory(), self._turn:
                embeddings = merged(self.model.backbone.embed(patches), moved)
                compared = compare(self.model.points(embeddings), self.reference, self.model.kernel)
                located = locate_in(embeddings, moved, self.locator)
            shares, witness = compared[self.model.statistic]
            count = len(shares)
            values = {"evidence": count * shares, "witness": witness, "mmd": count * compared["mmd"][0]}
            yield moved, values | {name: found.values for name, found in located.items()}


Compared = dict[str, tuple[np.ndarray, np.ndarray]]  # statistic -> shares (N,) and witness (N,)


def compare(points: mmd.Points, reference: Reference, kernel: mmd.Kernel) -> Compared:
    """Patches compared with the banks, under each statistic that these allow."""
    real, generated = reference.real, reference.generated
    found = {kind: evidence_of(points, kind, real, generated, kernel) for kind in reference.nulls}
    return {kind: (shares.numpy(), witness.numpy()) for kind, (shares, witness) in found.items()}


def stranger(points: mmd.Points, reference: Reference, n_patches: int, detail: str) -> str:
    """Why a picture is of no kind that the detector knows, one sentence; "" where it is, or where there is no test.

    Regions are not tested: their patches overlap, and so are more alike than those of the null.
    """
    null = reference.known_null(n_patches, detail)
    if null is None or reference.known is None or points.count < 2:
        return ""
    value = known.statistic(points, known.union(reference.real, reference.generated), reference.known.width)
    return known.STRANGER if known.is_stranger(value, null) else ""


def judge(
    compared: Compared, statistic: str, reference: Reference, n_patches: int, detail: str, alpha: float
) -> Verdict:
    """The score, and how rare it is among calibration pictures with this `detail` and about `n_patches` patches."""
    scores = {kind: float(shares.sum()) for kind, (shares, _) in compared.items()}
    null = reference.null(statistic, n_patches, detail)
    p = null.p_value(scores[statistic])
    return Verdict(
        score=scores[statistic],
        statistic=statistic,
        mmd2=scores["mmd"],
        relative=scores.get("relative"),
        shares=compared[statistic][0],
        p_value=p,
        null=null,
        detail=detail,
        alpha=alpha,
        threshold=null.threshold(alpha),
        decision=decide(p, alpha),
        strength=reference.worth(scores[statistic], statistic, n_patches, detail),
    )


def maps_of(
    compared: Compared, statistic: str, reference: Reference, detail: str, n_patches: int
) -> dict[str, PatchMap]:
    """The maps "evidence", "witness" and "mmd" of `Evidence`; one where it is the same as another."""
    nulls, rate = reference.calibration(detail).patch_nulls, reference.outline_rate(n_patches, detail)
    evidence, mmd_map = (
        patch_map(len(compared[kind][0]) * compared[kind][0], nulls[kind], reference.scale(kind), rate)
        for kind in (statistic, "mmd")
    )
    witness = witness_map(evidence, compared[statistic][1], statistic)
    return {"evidence": evidence, "witness": witness, "mmd": evidence if statistic == "mmd" else mmd_map}


def patch_map(
    values: np.ndarray, null: np.ndarray, scale: tuple[float, float], rate: float = FALSE_DISCOVERIES
) -> PatchMap:
    """Values (N,) of patches, how rare they are among real patches, and which stand out at a false discovery rate."""
    p_values = p_value(values, null)
    return PatchMap(values, p_values, flag(p_values, rate), scale, null)


def witness_map(evidence: PatchMap, witness: np.ndarray, statistic: str) -> PatchMap:
    """The witness (N,) with the significance of the evidence; it has no calibration of its own.

    Under the relative statistic N * share = 2 * witness + a constant of the model, so the two maps are the same in
    other units. Under MMD the two are equal, up to 1 / N, for a patch that is as common in the real bank as real
    patches are on average, so the scale is the same; other patches differ, and that is what this map shows.
    """
    if statistic != "relative":
        return replace(evidence, values=witness)
    constant = float(np.mean(evidence.values - 2 * witness))
    low, high = ((end - constant) / 2 for end in evidence.scale)
    return replace(evidence, values=witness, scale=(low, high), null=(evidence.null - constant) / 2)


def locate_in(embeddings: torch.Tensor, grid: Grid, locator: Locator | None) -> dict[str, PatchMap]:
    """The map "locator" of a whole picture's embeddings (N, D), where there can be one."""
    found = None if locator is None else locator.values(embeddings, grid.rows, grid.cols)
    if found is None:
        return {}
    null = locator.null.double().numpy()
    return {"locator": patch_map(found.double().numpy(), null, ends(null), locator.outline_rate(len(found)))}


def _without_doubtful(found: PatchMap, reasons: tuple[str, ...]) -> PatchMap:
    """The same map, without outlines of patches that there is a reason to doubt."""
    return replace(found, outlined=found.outlined & ~np.array([bool(each) for each in reasons]))


def _facts_of(picture: Picture) -> PictureFacts:
    return PictureFacts(picture.name, picture.sha256, picture.width, picture.height, picture.notes)


def _cut(picture: Picture, geometry: Geometry, region: Region | None) -> tuple[torch.Tensor, Grid]:
    try:
        return cut(picture.pixels, geometry, region)
    except ValueError as error:
        raise ImageError(str(error)) from error


def _part(pixels: np.ndarray, region: Region | None) -> np.ndarray:
    """The pixels that are analysed, (H, W, 3)."""
    if region is None:
        return pixels
    x, y, w, h = (int(number) for number in region)
    return pixels[max(0, y) : y + h, max(0, x) : x + w]


def _reference_of(located: hub.Located, model: store.Model) -> Reference:
    """The checkpoint's reference.

    Raises:
        CheckpointError: it doesn't fit.
    """
    path, pfs = located.folder / "reference.safetensors", model.pfs
    try:
        return load_reference(path, pfs.signature, pfs.dim, pfs.deep, model.statistic)
    except (ValueError, SafetensorError, OSError) as error:
        raise CheckpointError(f"reference.safetensors can't be used: {error}.") from error


def _locator_of(located: hub.Located, model: store.Model) -> Locator | None:
    """The checkpoint's locator, if it has one.

    Raises:
        CheckpointError: it has one that doesn't fit.
    """
    path = located.folder / hub.LOCATOR
    if not path.is_file():
        return None
    try:
        return load_locator(path, model.backbone.dim)
    except ValueError as error:
        raise CheckpointError(f"The checkpoint {located.model} can't be used: {str(error).rstrip('.')}.") from error
