"""Step 2b for more patches than fit in memory: the bank in one pass over the shards of embeddings.

    python -m mdmf_core bank recipe.json runs/mine --stream

Merge and reduce (Bentley & Saxe, 1980; for weighted coresets Feldman, Schmidt & Sohler, 2020): the patches of
a group of shards are compressed to a weighted coreset by `method.compress`; coresets are put together and
compressed again as soon as `CHUNK` points have gathered. The error stays close to that of a single
compression: those of the many groups are independent and average out, so that the last one dominates.
Memory: about `CHUNK` points on each level of a tree that is log(patches / CHUNK) / log(CHUNK / size) high,
so two for 100 million patches. Groups depend on nothing but the shards and may be compressed by several
processes or machines; the result is the same.

What can't be known in the end, the score against the uncompressed bank, is gathered on the way for some
calibration pictures, so that the cost of the compression is told as exactly as `bank` tells it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from mdmf_core.checkpoint.store import Model
from mdmf_core.errors import DatasetError
from mdmf_core.images import degrade
from mdmf_core.method import calibration as calibrations
from mdmf_core.method import mmd
from mdmf_core.method.calibration import Signed
from mdmf_core.method.compress import compress as herding
from mdmf_core.method.reference import Reference
from mdmf_core.method.state import USUAL
from mdmf_core.run import workers
from mdmf_core.run.engine import run as run_on_ray
from mdmf_core.training import bank, embed
from mdmf_core.training.dataset import source_shares
from mdmf_core.training.recipe import Bank

CHUNK = 2**16  # points that are compressed at once
PROBES = 20  # calibration pictures that the error of the compression is measured on


class Coreset(NamedTuple):
    """Weighted points that stand for more: `mass` (M,) sums to the share of the bank that they stand for.

    `origin` (M,) names the picture of each point, `seen` is the number of points that they stand for.
    """

    points: mmd.Points
    mass: torch.Tensor
    origin: np.ndarray
    seen: int


def join(coresets: list[Coreset]) -> Coreset:
    """Several coresets as one."""
    deep = coresets[0].points.e is not None
    return Coreset(
        mmd.Points(
            torch.cat([part.points.z for part in coresets]),
            torch.cat([part.points.e for part in coresets]) if deep else None,
        ),
        torch.cat([part.mass for part in coresets]),
        np.concatenate([part.origin for part in coresets]),
        sum(part.seen for part in coresets),
    )


def reduce(coreset: Coreset, size: int, kernel: mmd.Kernel) -> Coreset:
    """At most `size` points with about the same mean embedding and exactly the same mass."""
    if len(coreset.mass) <= size:
        return coreset
    total = coreset.mass.sum()
    unused = torch.zeros((), dtype=total.dtype)
    small, kept = herding(mmd.Bank(coreset.points, coreset.mass / total, unused), size, kernel)
    return Coreset(small.points, small.weights * total, coreset.origin[kept], coreset.seen)


class Merger:
    """One coreset of at most `size` points for all that are added; at most about `chunk` points wait on each level."""

    def __init__(self, size: int, kernel: mmd.Kernel, chunk: int) -> None:
        self.size, self.kernel, self.chunk = size, kernel, chunk
        self.levels: list[list[Coreset]] = [[]]

    def add(self, coreset: Coreset) -> None:
        self.levels[0].append(coreset)
        for level, waiting in enumerate(self.levels):
            if sum(len(part.mass) for part in waiting) < self.chunk:
                return
            if level + 1 == len(self.levels):
                self.levels.append([])
            self.levels[level + 1].append(reduce(join(waiting), self.size, self.kernel))
            waiting.clear()

    def result(self) -> Coreset | None:
        left = [part for waiting in reversed(self.levels) for part in waiting]
        return reduce(join(left), self.size, self.kernel) if left else None


class Group(NamedTuple):
    """Pictures of consecutive shards: the shards' paths, and which of their pictures (indices) are meant."""

    shards: list[tuple[Path, np.ndarray]]

    def pictures(self) -> Iterator[embed.Embedded]:
        for path, chosen in self.shards:
            yield from embed.pictures(path, chosen)


class Compressed(NamedTuple):
    """What a group leaves, for real and for generated pictures: a coreset, and its pull on the probes (P,)."""

    coresets: tuple[Coreset | None, Coreset | None]
    pulls: tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Compressor:
    """Turns a `Group` into what is `Compressed`. Pickles without the backbone, which it doesn't need.

    Args:
        model: the checkpoint; only its signature is used.
        size: points of a coreset.
        per_picture: patches taken from each picture, drawn by its name.
        seed: of that draw.
        shares: (label, source) -> mass of each picture.
        probes: patches of calibration pictures, P points.
    """

    model: Model
    size: int
    per_picture: int
    seed: int
    shares: dict[tuple[int, str], float]
    probes: mmd.Points

    def __getstate__(self) -> dict:
        return vars(self) | {"model": replace(self.model, backbone=nn.Identity())}

    def __call__(self, group: Group) -> Compressed:
        kernel = self.model.kernel
        parts: tuple[list[Coreset], list[Coreset]] = ([], [])
        for picture in group.pictures():
            parts[picture.label].append(self._points(picture))
        joined = [join(part) if part else None for part in parts]
        pulls = tuple(
            torch.zeros(self.probes.count, dtype=torch.float64)
            if full is None
            else mmd.mean_kernel(self.probes, full.points, full.mass, kernel)
            for full in joined
        )
        small = tuple(None if full is None else reduce(full, self.size, kernel) for full in joined)
        return Compressed(small, pulls)

    def _points(self, picture: embed.Embedded) -> Coreset:
        rng = degrade.generator(self.seed, f"bank {picture.condition}", picture.key)
        chosen = np.sort(rng.permutation(len(picture.embeddings))[: self.per_picture])
        points = self.model.points(picture.embeddings[torch.from_numpy(chosen)])
        mass = self.shares[picture.label, picture.source] / len(chosen)
        origin = np.full(len(chosen), f"{picture.key} ({picture.condition})", object)
        return Coreset(points, torch.full((len(chosen),), mass, dtype=torch.float64), origin, len(chosen))


@dataclass(frozen=True)
class Plan:
    """What there is to compress, from the shards' headers alone."""

    groups: list[Group]
    shares: dict[tuple[int, str], float]
    real: dict[str, int]
    generated: dict[str, int]
    calibration: Group


def plan(folder: Path, weights: str, roles: dict[str, str], config: Bank, chunk: int) -> Plan:
    """Which pictures make the bank and which calibrate it.

    Args:
        folder: of embeddings.
        weights: digest of their encoder.
        roles: key -> "train", "calibration" or another role.
        config: the section `bank` of a recipe.
        chunk: points of a group, at least, where there are as many.

    Raises:
        DatasetError: as `embed.shards`.
    """
    groups: list[Group] = []
    calibration, waiting, gathered = Group([]), Group([]), 0
    counted = Counted()
    for path, rows in embed.shards(folder, weights):
        used, null = [], []
        for index, row in enumerate(rows):
            role = roles.get(row["key"])
            if role == "train" and row["life"] in config.lives:
                used.append(index)
                gathered += min(config.per_picture, row["rows"] * row["cols"])
                counted.add(row)
            elif role == "calibration" and bank.calibrates(row["key"], row["life"], row.get("detail", USUAL), config):
                null.append(index)
        for part, chosen in ((waiting, used), (calibration, null)):
            if chosen:
                part.shards.append((path, np.array(chosen)))
        if gathered >= chunk:
            groups.append(waiting)
            waiting, gathered = Group([]), 0
    if gathered:
        groups.append(waiting)
    real, generated = map(dict, counted.pictures)
    return Plan(groups, counted.shares(config.cap, config.tilt), real, generated, calibration)


class Counted:
    """How many pictures of each class and source there are, and how many copies of them."""

    def __init__(self) -> None:
        self.copies: Counter = Counter()
        self.pictures = Counter(), Counter()
        self._last = None

    def add(self, row: dict) -> None:
        self.copies[row["label"], row["source"]] += 1
        self.pictures[row["label"]][row["source"]] += row["key"] != self._last  # copies of a picture follow each other
        self._last = row["key"]

    def shares(self, cap: float, tilt: float) -> dict[tuple[int, str], float]:
        """What a copy weighs, by class and source."""
        found: dict[tuple[int, str], float] = {}
        for label in (0, 1):
            of = {source: count for (kind, source), count in self.copies.items() if kind == label}
            dealt = source_shares(of.values(), cap, tilt) if of else ()
            found |= {(label, source): share / of[source] for source, share in zip(of, dealt, strict=True)}
        return found


def _compressed(compressor: Compressor, groups: list[Group], processes: int, engine: str) -> Iterable[Compressed]:
    if engine == "ray":
        return run_on_ray(compressor, groups, processes)
    return workers.run(compressor, groups, processes or max(1, min(workers.cores(), len(groups))))


def compress(
    compressor: Compressor, groups: list[Group], chunk: int, processes: int = 1, engine: str = "local"
) -> tuple[list[Coreset | None], list[torch.Tensor]]:
    """A coreset of the real and one of the generated pictures, and what all their patches do to the probes (P,).

    Raises:
        DatasetError: a process was killed twice at the same group.
        EngineError: Ray isn't there, or can't go on.
    """
    mergers = [Merger(compressor.size, compressor.model.kernel, chunk) for _ in range(2)]
    pulls = [torch.zeros(compressor.probes.count, dtype=torch.float64) for _ in range(2)]
    found = _compressed(compressor, groups, processes, engine)
    for made in tqdm(found, desc="bank", total=len(groups), unit="group"):
        if isinstance(made, workers.Died):
            raise DatasetError("A process was killed twice while it compressed the bank; give it more memory.")
        for label in (0, 1):
            pulls[label] += made.pulls[label]
            if made.coresets[label] is not None:
                mergers[label].add(made.coresets[label])
    return [merger.result() for merger in mergers], pulls


def error(
    probes: list[Signed], small: list[mmd.Bank | None], pulls: list[torch.Tensor], model: Model
) -> dict[str, float]:
    """|s - s_full| over the deviation of s on the probes: mean and maximum.

    Without what all pictures share (the banks' own terms): that moves calibration and picture alike.
    """
    scores, gaps, start = [], [], 0
    for probe in probes:
        stop = start + probe.points.count
        gap = 0.0
        for sign, made, pull in zip((-2, 2), small, pulls, strict=True):
            if made is not None and (sign < 0 or model.statistic == "relative"):
                gap += sign * float((mmd.mean_kernel(probe.points, *made[:2], model.kernel) - pull[start:stop]).mean())
        gaps.append(gap)
        scores.append(float(calibrations.evidence_of(probe.points, model.statistic, *small, model.kernel)[0].sum()))
        start = stop
    off = np.abs(np.array(gaps) - np.mean(gaps)) / max(float(np.std(scores)), 1e-12)
    return {"mean": float(off.mean()), "max": float(off.max())}


def build(
    folder: Path,
    roles: dict[str, str],
    model: Model,
    config: Bank,
    say: Callable[[str], None] = print,
    processes: int = 1,
    engine: str = "local",
    chunk: int = CHUNK,
) -> Reference:
    """What `bank.build` makes, from shards of embeddings that need not fit in memory.

    Args:
        folder, roles: as `plan` takes them.
        model, say: as `bank.build` takes them.
        config: the section `bank` of a recipe; `size` must not be 0.
        processes, engine: that compress at the same time, and where; 0 is as many as there are cores.
        chunk: points that are compressed at once.

    Raises:
        DatasetError: no real bank picture, none generated where one is needed, or none for calibration.
        ValueError: no size.
        EngineError: Ray isn't there, or can't go on.
    """
    if not config.size:
        raise ValueError("A bank that keeps all its points can't be built in one pass; give it a size above 0.")
    found = plan(folder, embed.backbone_digest(model.backbone), roles, config, chunk)
    calibration = list(found.calibration.pictures())
    bank.check(found.real, found.generated, calibration, model)
    signed = [bank.signed_of(p, model) for p in calibration]
    probes = signed[:: -(-len(signed) // PROBES)]
    compressor = Compressor(model, config.size, config.per_picture, config.seed, found.shares, _together(probes))
    made, pulls = compress(compressor, found.groups, chunk, processes, engine)
    small = [part and mmd.bank(part.points, model.kernel, part.mass / part.mass.sum()) for part in made]
    named = zip(("real", "generated"), made, strict=True)
    origins = {name: part.origin.tolist() for name, part in named if part is not None}
    seen = [0 if part is None else part.seen for part in made]
    facts = {"real": found.real, "generated": found.generated, "points_uncompressed": seen}
    facts["compression_error"] = error(probes, small, pulls, model)
    return bank.finish(small, origins, calibration, signed, facts, model, say)


def _together(probes: list[Signed]) -> mmd.Points:
    """The patches of several pictures."""
    points = [probe.points for probe in probes]
    e = None if points[0].e is None else torch.cat([part.e for part in points])
    return mmd.Points(torch.cat([part.z for part in points]), e)
