"""Which image files there are, which are real, and which source made each; and who may train on them.

The layout is the one of the paper and of the benchmarks before it: the folders `0_real/` and `1_fake/`
(or `real/` and `fake/`), with a folder per generator above or below them. What remains of a file's
folder when the label is taken out is its source: `adm/1_fake/x.png` and `fake/adm/x.png` are both `adm`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mdmf_core.errors import DatasetError
from mdmf_core.images.kinds import is_image_name

LABELS = {"0_real": 0, "real": 0, "1_fake": 1, "fake": 1}


@dataclass(frozen=True)
class Entry:
    """One image file. `label` is 0 for real and 1 for generated, `key` its path below the root."""

    path: Path
    key: str
    label: int
    source: str


@dataclass(frozen=True)
class Split:
    """Entries by role. Only `train` is fitted to; `calibration` holds real images alone."""

    train: list[Entry]
    validation: list[Entry]
    calibration: list[Entry]
    test: list[Entry]


def scan(roots: str | Path | Iterable[str | Path]) -> list[Entry]:
    """All labelled image files below a folder or several, sorted by path within each.

    Raises:
        DatasetError: there is no such folder, or no file under a folder that names a label.
    """
    entries = []
    for root in map(Path, [roots] if isinstance(roots, str | Path) else roots):
        if not root.is_dir():
            raise DatasetError(f"There is no folder {root}.")
        found = len(entries)
        for path in sorted(root.rglob("*")):
            folders = path.relative_to(root).parts[:-1]
            named = [part for part in folders if part in LABELS]
            if named and is_image_name(path) and path.is_file():
                source = "/".join(part for part in folders if part not in LABELS) or "all"
                entries.append(Entry(path, path.relative_to(root).as_posix(), LABELS[named[0]], source))
        if len(entries) == found:
            raise DatasetError(f"No image below {root} lies in a folder named 0_real, 1_fake, real or fake.")
    return entries


def lot(key: str) -> float:
    """A number in [0, 1) fixed by the file's name: the same lot on every machine and in every run."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def counted_as(source: str) -> str:
    """The source that a picture counts for: whole originals, "NAME_whole", for that of the parts cut from them."""
    return source.removesuffix("_whole")


def split(
    entries: Iterable[Entry],
    test: Iterable[str] = (),
    validation: Iterable[str] = (),
    calibration: Iterable[str] = (),
    calibration_share: float = 0.0,
) -> Split:
    """Deal the entries into roles, by source first.

    Args:
        entries: from `scan`.
        test, validation, calibration: whole sources held out for that role (calibration: its real images).
        calibration_share: of every other source, this share of the real images, drawn by `lot`.

    Raises:
        DatasetError: a source is named that no entry has, or is named for two roles.
    """
    entries = list(entries)
    roles: dict[str, str] = {}
    for role, sources in (("test", test), ("validation", validation), ("calibration", calibration)):
        for source in sources:
            if source in roles:
                raise DatasetError(f"The source {source} is named for two roles.")
            roles[source] = role
    unknown = sorted(set(roles) - {entry.source for entry in entries})
    if unknown:
        raise DatasetError(f"No image comes from: {', '.join(unknown)}.")
    dealt = Split([], [], [], [])
    for entry in entries:
        role = roles.get(entry.source, "train")
        if role == "train" and entry.label == 0 and lot(entry.key) < calibration_share:
            role = "calibration"
        if role != "calibration" or entry.label == 0:
            getattr(dealt, role).append(entry)
    return dealt


def source_shares(counts: Iterable[int], cap: int, tilt: float) -> np.ndarray:
    """How often each source is drawn, (sources,), sum 1: by (its number of pictures, capped)^tilt."""
    weights = np.array([min(count, cap) ** tilt for count in counts])
    return weights / weights.sum()


class Sampler:
    """Draws pictures of one class: a source first (`source_shares`), then one of its pictures."""

    def __init__(self, entries: list[Entry], label: int, cap: int, tilt: float, rng: np.random.Generator) -> None:
        by_source: dict[str, list[int]] = {}
        for index, entry in enumerate(entries):
            if entry.label == label:
                by_source.setdefault(entry.source, []).append(index)
        if not by_source:
            raise DatasetError(f"There is no {('real', 'generated')[label]} picture to train on.")
        self.groups = list(by_source.values())
        self.shares = source_shares(map(len, self.groups), cap, tilt)
        self.rng = rng

    def draw(self, count: int) -> list[int]:
        """Indices of `count` entries, with replacement."""
        chosen = self.rng.choice(len(self.groups), size=count, p=self.shares)
        return [self.groups[group][self.rng.integers(len(self.groups[group]))] for group in chosen]


def on_every_machine(entry: Entry) -> Entry:
    """The same file under a path that doesn't depend on where a process runs."""
    return replace(entry, path=entry.path.resolve())
