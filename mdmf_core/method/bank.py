"""The reference of a checkpoint as it is loaded: the banks that a picture is compared with, and their calibration.

Source: arXiv 2605.09296 (a bank of 3,000 to 5,000 real images). A `Reference` holds signatures of real patches and, for
the relative statistic, of generated ones; the scores of calibration images that are in neither training nor bank; and
the evidence of those images' patches. No pixels.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.optimize import nnls
from torch import Tensor
from tqdm import tqdm

from mdmf_core.files import write_whole
from mdmf_core.method import mmd
from mdmf_core.method.calibration import STATISTICS, Calibration, ends
from mdmf_core.method.state import KINDS, USUAL

SUM_TO_ONE = 1e3  # weight of the row that makes non-negative least squares keep the sum


@dataclass(frozen=True)
class Reference:
    """Banks and calibration of one checkpoint.

    Args:
        real, generated: the banks; `generated` may be None where the statistic is "mmd".
        nulls, patch_nulls: of calibration images, as `Calibration` has them.
        facts: what the banks were made of: counts, sources, compression error. For people.
        origins: bank ("real", "generated") -> the picture that each of its points comes from, M names.
        details: kind of detail ("soft", "noisy") -> the calibration for pictures with it.
    """

    real: mmd.Bank
    generated: mmd.Bank | None
    nulls: dict[str, dict[int, np.ndarray]]
    patch_nulls: dict[str, np.ndarray]
    facts: dict
    origins: dict[str, list[str]] = field(default_factory=dict)
    details: dict[str, Calibration] = field(default_factory=dict)

    def nearest(self, detail: str) -> str:
        """The kind of detail of the calibration images that pictures with this one are compared with."""
        return detail if detail in self.details else USUAL

    def calibration(self, detail: str = USUAL) -> Calibration:
        """The calibration for pictures with this detail: the usual one where it has none of its own."""
        return self.details.get(detail) or Calibration(self.nulls, self.patch_nulls)

    def null(self, statistic: str, n_patches: int, detail: str = USUAL) -> np.ndarray:
        """Calibration scores, sorted, to compare a picture of `n_patches` patches with."""
        blocks = self.calibration(detail).nulls[statistic]
        fitting = [k for k in blocks if k * k <= n_patches]
        return blocks[max(fitting) if fitting else min(blocks)]

    def scale(self, statistic: str) -> tuple[float, float]:
        """Ends of the one colour scale for N * c_i: quantiles of the evidence of real patches."""
        return ends(self.patch_nulls[statistic])


def compress(
    full: mmd.Bank, size: int, kernel: mmd.Kernel, candidates: int = 8192, seed: int = 0
) -> tuple[mmd.Bank, np.ndarray]:
    """A bank of at most `size` weighted points whose mean embedding is close to that of `full`.

    Kernel herding (Chen, Welling & Smola, 2010) picks points one by one where the mean embedding is
    worst matched; non-negative least squares on the Gram matrix then sets their weights.

    Args:
        full: M points.
        size: number of points wanted.
        kernel: kernel parameters.
        candidates: points to choose from, a seeded sample of the bank.
        seed: of that sample.

    Returns:
        The smaller bank, and which points of `full` it keeps, (M',).
    """
    if full.points.count <= size:
        return full, np.arange(full.points.count)
    chosen_from = np.sort(np.random.default_rng(seed).permutation(full.points.count)[:candidates])
    pool = full.points[torch.from_numpy(chosen_from)]
    target = mmd.mean_kernel(pool, *full[:2], kernel)
    picked: list[int] = []
    total = torch.zeros_like(target)
    for count in tqdm(range(size), desc="compress", leave=False):
        gain = target - total / (count + 1)
        gain[picked] = -torch.inf
        best = int(gain.argmax())
        picked.append(best)
        total += mmd.gram(pool, pool[best : best + 1], kernel)[:, 0]
    rows = np.sort(picked)
    points = pool[torch.from_numpy(rows)]
    values = mmd.gram(points, points, kernel).double()
    jitter = 1e-8 * torch.eye(points.count, dtype=torch.float64)
    root = torch.linalg.cholesky(values + jitter)
    wanted = mmd.mean_kernel(points, *full[:2], kernel).double()
    target = torch.linalg.solve_triangular(root, wanted[:, None], upper=False)[:, 0].numpy()
    sums = np.full((1, points.count), SUM_TO_ONE)
    weights, _ = nnls(np.vstack([root.T.numpy(), sums]), np.append(target, SUM_TO_ONE))
    keep = torch.from_numpy(np.flatnonzero(weights > 0))
    kept = torch.from_numpy(weights)[keep].to(full.weights)
    return mmd.bank(points[keep], kernel, kept / kept.sum()), chosen_from[rows[keep.numpy()]]


def _bank_tensors(prefix: str, bank: mmd.Bank) -> dict[str, Tensor]:
    tensors = {f"{prefix}.z": bank.points.z, f"{prefix}.weights": bank.weights, f"{prefix}.self_term": bank.self_term}
    if bank.points.e is not None:
        tensors[f"{prefix}.e"] = bank.points.e
    return tensors


def _prefix(detail: str) -> str:
    return "" if detail == USUAL else f"{detail}."


def _calibration_tensors(prefix: str, made: Calibration) -> dict[str, Tensor]:
    tensors = {f"{prefix}patch_null.{kind}": torch.from_numpy(values) for kind, values in made.patch_nulls.items()}
    for kind, blocks in made.nulls.items():
        tensors |= {f"{prefix}null.{kind}.{k}": torch.from_numpy(scores) for k, scores in blocks.items()}
    return tensors


def save(reference: Reference, path: str | Path) -> Path:
    """Write `reference.safetensors`; signatures in float32, scores in float64."""
    tensors = _bank_tensors("real", reference.real)
    if reference.generated is not None:
        tensors |= _bank_tensors("generated", reference.generated)
    tensors = {
        name: (value.float() if name.endswith((".z", ".e")) else value.double()).contiguous()
        for name, value in tensors.items()
    }
    pictures = {}
    for name, origin in reference.origins.items():
        pictures[name], index = np.unique(origin, return_inverse=True)
        tensors[f"{name}.origin"] = torch.from_numpy(index.astype(np.int32))
    for detail in (USUAL, *reference.details):
        tensors |= _calibration_tensors(_prefix(detail), reference.calibration(detail))
    told = {"facts": reference.facts, "pictures": {name: names.tolist() for name, names in pictures.items()}}
    content = {"content": json.dumps(told, sort_keys=True)}
    return write_whole(path, lambda temporary: save_file(tensors, temporary, metadata=content))


def _told(content: str) -> dict[str, dict]:
    """What the file says about itself: `facts`, and `pictures` that the banks' points come from."""
    try:
        told = json.loads(content)
        pictures = {bank: list(names) for bank, names in told.get("pictures", {}).items()}
        return {"facts": dict(told.get("facts", {})), "pictures": pictures}
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("what it says about itself can't be read") from error


def load(path: str | Path, signature: int, dim: int, deep: bool, statistic: str) -> Reference:
    """Read `reference.safetensors`, strictly.

    Args:
        path: the file.
        signature, dim: K and D of the checkpoint.
        deep: the kernel compares embeddings too.
        statistic: the one that decides; its bank and null must be there.

    Raises:
        ValueError: a tensor is missing, left over, of the wrong shape or not finite; the message names it.
    """
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # else views of a file that may change
        told = _told((file.metadata() or {}).get("content", "{}"))
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"the tensor {name} has values that are not finite")

    def take(name: str, *shape: int | None) -> Tensor:
        if name not in tensors:
            raise ValueError(f"the tensor {name} is missing")
        value = tensors.pop(name)
        if len(value.shape) != len(shape) or any(s not in (None, v) for s, v in zip(shape, value.shape, strict=True)):
            wanted = " x ".join("any" if side is None else str(side) for side in shape) or "a scalar"
            raise ValueError(f"the tensor {name} has the shape {tuple(value.shape)} where {wanted} is expected")
        if not value.numel():
            raise ValueError(f"the tensor {name} is empty")
        return value.double()

    def take_bank(prefix: str) -> mmd.Bank:
        z = take(f"{prefix}.z", None, signature)
        e = take(f"{prefix}.e", z.shape[0], dim) if deep else None
        weights = take(f"{prefix}.weights", z.shape[0])
        if (weights < 0).any() or abs(float(weights.sum()) - 1) > 1e-6:
            raise ValueError(f"the tensor {prefix}.weights does not hold shares that sum to 1")
        return mmd.Bank(mmd.Points(z, e), weights, take(f"{prefix}.self_term"))

    real = take_bank("real")
    generated = take_bank("generated") if statistic == "relative" or "generated.z" in tensors else None
    origins = {}
    for name, bank in (("real", real), ("generated", generated)):
        names = told["pictures"].get(name)
        if bank is not None and names is not None:
            index = take(f"{name}.origin", bank.points.count).numpy().astype(int)
            if index.min() < 0 or index.max() >= len(names):
                raise ValueError(f"the tensor {name}.origin points to pictures that are not named")
            origins[name] = [names[i] for i in index]

    def take_calibration(prefix: str) -> Calibration:
        found = Calibration({}, {})
        for kind in STATISTICS if generated is not None else STATISTICS[:1]:
            names = [name for name in tensors if re.fullmatch(rf"{re.escape(prefix)}null\.{kind}\.[1-9]\d*", name)]
            sizes = sorted(int(name.rsplit(".", 1)[1]) for name in names)
            if not sizes:
                raise ValueError(f"there are no calibration scores {prefix}null.{kind}.*")
            found.nulls[kind] = {k: np.sort(take(f"{prefix}null.{kind}.{k}", None).numpy()) for k in sizes}
            found.patch_nulls[kind] = np.sort(take(f"{prefix}patch_null.{kind}", None).numpy())
        return found

    usual = take_calibration("")
    held = [name for name in KINDS if name != USUAL and any(key.startswith(_prefix(name)) for key in tensors)]
    details = {name: take_calibration(_prefix(name)) for name in held}
    if tensors:
        raise ValueError(f"unexpected tensors: {', '.join(sorted(tensors))}")
    return Reference(real, generated, *usual, told["facts"], origins, details)
