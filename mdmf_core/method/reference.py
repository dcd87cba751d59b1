"""The reference of a checkpoint: the banks that a picture is compared with, and their calibration.

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
from torch import Tensor

from mdmf_core.files import write_whole
from mdmf_core.method import mmd
from mdmf_core.method.calibration import FALSE_DISCOVERIES, STATISTICS, Calibration, Null, ends, fitting
from mdmf_core.method.known import Known
from mdmf_core.method.state import KINDS, USUAL
from mdmf_core.method.strength import Strength, Table, equally_rare, strength

STRENGTH = re.compile(rf"strength\.({'|'.join(KINDS)})\.([1-9]\d*)\.scores")
SIDES = ("real", "generated")
KNOWN = re.compile(rf"known\.({'|'.join(KINDS)})\.([1-9]\d*)")
WIDTH = "known.width"
OUTLINES = "outlines."


@dataclass(frozen=True)
class Reference:
    """Banks and calibration of one checkpoint.

    Args:
        real, generated: the banks; `generated` may be None where the statistic is "mmd".
        nulls, patch_nulls: of calibration images, as `Calibration` has them.
        facts: what the banks were made of: counts, sources, compression error. For people.
        origins: bank ("real", "generated") -> the picture that each of its points comes from, M names.
        details: kind of detail ("soft", "noisy") -> the calibration for pictures with it.
        strength: kind of detail -> {k -> likelihood ratios for scores of k x k blocks}; empty where there are none.
        known: of the test whether a picture is of a known kind; None where there is none.
        outlines: kind of detail -> {k -> rate for `calibration.flag`}; empty where there are none.
    """

    real: mmd.Bank
    generated: mmd.Bank | None
    nulls: dict[str, dict[int, Null]]
    patch_nulls: dict[str, np.ndarray]
    facts: dict
    origins: dict[str, list[str]] = field(default_factory=dict)
    details: dict[str, Calibration] = field(default_factory=dict)
    strength: dict[str, dict[int, Table]] = field(default_factory=dict)
    known: Known | None = None
    outlines: dict[str, dict[int, float]] = field(default_factory=dict)

    def nearest(self, detail: str) -> str:
        """The kind of detail of the calibration images that pictures with this one are compared with."""
        return detail if detail in self.details else USUAL

    def calibration(self, detail: str = USUAL) -> Calibration:
        """The calibration for pictures with this detail: the usual one where it has none of its own."""
        return self.details.get(detail) or Calibration(self.nulls, self.patch_nulls)

    def null(self, statistic: str, n_patches: int, detail: str = USUAL) -> Null:
        """Calibration scores to compare a picture of `n_patches` patches with."""
        return fitting(self.calibration(detail).nulls[statistic], n_patches)

    def scores_by_size(self, statistic: str) -> dict[int, np.ndarray]:
        """k -> sorted scores of k x k blocks of usual calibration images."""
        return {k: null.scores for k, null in self.nulls[statistic].items()}

    def table(self, n_patches: int, detail: str = USUAL) -> Table | None:
        """Likelihood ratios for scores of pictures of `n_patches` patches with this detail, where there are any."""
        tables = self.strength.get(self.nearest(detail))
        return fitting(tables, n_patches) if tables else None

    def worth(self, score: float, statistic: str, n_patches: int, detail: str = USUAL) -> Strength | None:
        """What a score of a picture of `n_patches` patches with this detail is worth, where there are tables.

        A picture that is larger than the tables' is read at the score that is as rare among real pictures of the
        largest table's size as its own score is among those of its size.
        """
        table = self.table(n_patches, detail)
        if table is None:
            return None
        largest = max(self.strength[self.nearest(detail)])
        own, other = (self.null(statistic, count, detail) for count in (n_patches, largest**2))
        if n_patches > largest**2 and own is not other:
            score = equally_rare(score, own.scores, other.scores)
        return strength(score, table)

    def known_null(self, n_patches: int, detail: str = USUAL) -> Null | None:
        """The null of the test whether a picture is of a known kind, where there is one."""
        blocks = self.known and self.known.nulls.get(self.nearest(detail))
        return fitting(blocks, n_patches) if blocks else None

    def outline_rate(self, n_patches: int, detail: str = USUAL) -> float:
        """The rate for `calibration.flag`; that of usual pictures where this detail has none of its own."""
        rates = self.outlines.get(self.nearest(detail)) or self.outlines.get(USUAL)
        return fitting(rates, n_patches) if rates else FALSE_DISCOVERIES

    def scale(self, statistic: str) -> tuple[float, float]:
        """Ends of the one colour scale for N * c_i: quantiles of the evidence of real patches."""
        return ends(self.patch_nulls[statistic])


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
        for k, null in blocks.items():
            tensors |= _null_tensors(f"{prefix}null.{kind}.{k}", null)
    return tensors


def _null_tensors(name: str, null: Null) -> dict[str, Tensor]:
    tensors = {name: torch.from_numpy(null.scores)}
    return tensors if null.sources == len(null) else tensors | {f"{name}.weights": torch.from_numpy(null.weights)}


def _strength_tensors(detail: str, tables: dict[int, Table]) -> dict[str, Tensor]:
    return {
        f"strength.{detail}.{k}.{name}": torch.from_numpy(values)
        for k, table in tables.items()
        for name, values in table._asdict().items()
    }


def _known_tensors(known: Known) -> dict[str, Tensor]:
    tensors = {WIDTH: torch.tensor(known.width, dtype=torch.float64)}
    for detail, blocks in known.nulls.items():
        for k, null in blocks.items():
            tensors |= _null_tensors(f"known.{detail}.{k}", null)
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
    for detail, tables in reference.strength.items():
        tensors |= _strength_tensors(detail, tables)
    if reference.known is not None:
        tensors |= _known_tensors(reference.known)
    for detail, rates in reference.outlines.items():
        tensors[f"{OUTLINES}{detail}"] = torch.tensor(sorted(rates.items()), dtype=torch.float64)
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
    stored = _Stored(tensors)
    real = stored.bank("real", signature, dim if deep else None)
    both = statistic == "relative" or "generated.z" in tensors
    generated = stored.bank("generated", signature, dim if deep else None) if both else None
    origins = stored.origins({"real": real, "generated": generated}, told["pictures"])
    statistics = STATISTICS if both else STATISTICS[:1]
    usual = stored.calibration("", statistics)
    held = [name for name in KINDS if name != USUAL and any(key.startswith(_prefix(name)) for key in tensors)]
    details = {name: stored.calibration(_prefix(name), statistics) for name in held}
    strength, known, outlines = stored.strength(), stored.known(), stored.outlines()
    if tensors:
        raise ValueError(f"unexpected tensors: {', '.join(sorted(tensors))}")
    return Reference(real, generated, *usual, told["facts"], origins, details, strength, known, outlines)


def _order(match: re.Match) -> tuple[int, int]:
    """Tables by kind of detail and block size."""
    return KINDS.index(match[1]), int(match[2])


class _Stored:
    """Tensors of a file, each taken once. A method raises ValueError where one doesn't fit; the message names it."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        for name, value in tensors.items():
            if not torch.isfinite(value).all():
                raise ValueError(f"the tensor {name} has values that are not finite")

    def take(self, name: str, *shape: int | None) -> Tensor:
        """The tensor as float64; None stands for a side of any length."""
        if name not in self.tensors:
            raise ValueError(f"the tensor {name} is missing")
        value = self.tensors.pop(name)
        if len(value.shape) != len(shape) or any(s not in (None, v) for s, v in zip(shape, value.shape, strict=True)):
            wanted = " x ".join("any" if side is None else str(side) for side in shape) or "a scalar"
            raise ValueError(f"the tensor {name} has the shape {tuple(value.shape)} where {wanted} is expected")
        if not value.numel():
            raise ValueError(f"the tensor {name} is empty")
        return value.double()

    def bank(self, prefix: str, signature: int, dim: int | None) -> mmd.Bank:
        """A bank; `dim` is None where the kernel doesn't compare embeddings."""
        z = self.take(f"{prefix}.z", None, signature)
        e = None if dim is None else self.take(f"{prefix}.e", z.shape[0], dim)
        weights = self.take(f"{prefix}.weights", z.shape[0])
        if (weights < 0).any() or abs(float(weights.sum()) - 1) > 1e-6:
            raise ValueError(f"the tensor {prefix}.weights does not hold shares that sum to 1")
        return mmd.Bank(mmd.Points(z, e), weights, self.take(f"{prefix}.self_term"))

    def origins(self, banks: dict[str, mmd.Bank | None], pictures: dict[str, list]) -> dict[str, list[str]]:
        """The picture that each point of a bank comes from, where the file names pictures."""
        found = {}
        for name, bank in banks.items():
            names = pictures.get(name)
            if bank is not None and names is not None:
                index = self.take(f"{name}.origin", bank.points.count).numpy().astype(int)
                if index.min() < 0 or index.max() >= len(names):
                    raise ValueError(f"the tensor {name}.origin points to pictures that are not named")
                found[name] = [names[i] for i in index]
        return found

    def calibration(self, prefix: str, statistics: tuple[str, ...]) -> Calibration:
        """Nulls of scores, by block size, and of patches."""
        found = Calibration({}, {})
        for kind in statistics:
            pattern = rf"{re.escape(prefix)}null\.{kind}\.[1-9]\d*"
            sizes = sorted(int(name.rsplit(".", 1)[1]) for name in self.tensors if re.fullmatch(pattern, name))
            if not sizes:
                raise ValueError(f"there are no calibration scores {prefix}null.{kind}.*")
            found.nulls[kind] = {k: self.null(f"{prefix}null.{kind}.{k}") for k in sizes}
            found.patch_nulls[kind] = np.sort(self.take(f"{prefix}patch_null.{kind}", None).numpy())
        return found

    def null(self, name: str) -> Null:
        """Scores, with their weights where the file has them; else every picture counts as a source."""
        scores = self.take(name, None).numpy()
        if f"{name}.weights" not in self.tensors:
            return Null.of(scores)
        weights = self.take(f"{name}.weights", len(scores)).numpy()
        if (np.diff(scores) < 0).any():
            raise ValueError(f"the tensor {name} holds values that are not sorted")
        if (weights <= 0).any() or abs(weights.sum() - round(weights.sum())) > 1e-6:
            raise ValueError(f"the tensor {name}.weights does not hold shares of sources")
        return Null(scores, weights)

    def known(self) -> Known | None:
        """The test whether a picture is of a known kind, where the file has it."""
        if WIDTH not in self.tensors:
            return None
        width = float(self.take(WIDTH))
        if width <= 0:
            raise ValueError(f"the tensor {WIDTH} is not above 0")
        nulls: dict[str, dict[int, Null]] = {}
        for match in sorted(filter(None, map(KNOWN.fullmatch, self.tensors)), key=_order):
            nulls.setdefault(match[1], {})[int(match[2])] = self.null(match[0])
        return Known(width, nulls)

    def outlines(self) -> dict[str, dict[int, float]]:
        """Rates by kind of detail and block size; empty where the file has none."""
        found = {}
        for detail in KINDS:
            if f"{OUTLINES}{detail}" in self.tensors:
                rows = self.take(f"{OUTLINES}{detail}", None, 2).tolist()
                if any(k != int(k) or k < 1 or not 0 <= rate <= 1 for k, rate in rows):
                    raise ValueError(f"the tensor {OUTLINES}{detail} holds no block sizes and rates")
                found[detail] = {int(k): rate for k, rate in rows}
        return found

    def strength(self) -> dict[str, dict[int, Table]]:
        """Likelihood ratios by kind of detail and block size; empty where the file has none."""
        found: dict[str, dict[int, Table]] = {}
        for match in sorted(filter(None, map(STRENGTH.fullmatch, self.tensors)), key=_order):
            name = f"strength.{match[1]}.{match[2]}"
            scores = self.take(f"{name}.scores", None).numpy()
            others = [self.take(f"{name}.log10_lr", len(scores)), *(self.take(f"{name}.{of}", None) for of in SIDES)]
            table = Table(scores, *(values.numpy() for values in others))
            if any((np.diff(values) < 0).any() for values in table):
                raise ValueError(f"the tensors {name} hold values that are not sorted")
            found.setdefault(match[1], {})[int(match[2])] = table
        return found
