"""What `localise.py` and `localise_whole.py` share: what maps say of a composite and of untouched pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm import tqdm

from mdmf_core.detector import Detector
from mdmf_core.evidence import Evidence
from mdmf_core.images import degrade
from mdmf_core.images.reader import read
from mdmf_core.show.finer import fine
from mdmf_core.training.dataset import Entry

BORDER = 4.0
DRAWS = 1000
KINDS = ("a generated part", "a part of another photograph", "another part of the same photograph")
EVIDENCE, LOCATOR, PLACE = "evidence", "unlike the rest", "the place alone"
FINER = "evidence, of overlapping patches"
WITHIN = "AUROC within a composite"
UNTOUCHED = ("untouched photographs", "untouched generated pictures")
TRIES = 6  # composites made for each one wanted; regions that no patch lies in are many in small pictures
Row = dict[str, Any]
Figure = tuple[float, float, float]


def maps(evidence: Evidence) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Values and outlines (N,) of each map."""
    named = {EVIDENCE: "evidence", LOCATOR: "locator"}
    found = {name: evidence.maps[key] for name, key in named.items() if key in evidence.maps}
    return {name: (shown.values, shown.outlined) for name, shown in found.items()}


def finer(detector: Detector, pixels: np.ndarray, evidence: Evidence) -> np.ndarray:
    """Evidence (N,) of each patch as the page draws it after its second pass: the mean of patches that overlap it."""
    passes = detector.overlapping(read(pixels), evidence.grid)
    return fine(evidence, passes).means("evidence", evidence.grid)


def place(evidence: Evidence) -> np.ndarray:
    """How close each patch lies to the middle of the picture, (N,): what a map that only knew places would show."""
    middles = evidence.grid.boxes[:, :2] + evidence.grid.boxes[:, 2:] / 2
    return -np.abs(middles / [evidence.picture.width, evidence.picture.height] - 0.5).max(axis=1)


def interval(values: np.ndarray, rng: np.random.Generator) -> Figure:
    """Mean and the ends of its bootstrap interval, of the values that are not nan."""
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    draws = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def untouched(
    detector: Detector, entries: list[Entry], label: int, count: int, recompressed: bool, rng: np.random.Generator
) -> list[Row]:
    """What is outlined in at most `count` pictures of a class that nothing was pasted into."""
    own = [entry for entry in entries if entry.label == label]
    rows = []
    for index in tqdm(rng.permutation(len(own))[:count], desc=UNTOUCHED[label]):
        pixels = read(own[index].path).pixels
        evidence = detector.detect(degrade.alike(pixels, rng) if recompressed else pixels)
        row: Row = {}
        for name, (_, flagged) in maps(evidence).items():
            row[f"{UNTOUCHED[label]} with an outline", name] = float(flagged.any())
            row[f"patches outlined in {UNTOUCHED[label]}", name] = float(flagged.mean())
        rows.append(row)
    return rows


def means(rows: list[Row], rng: np.random.Generator) -> dict[tuple[str, str], Figure]:
    """Mean and interval of each figure over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row if isinstance(name, tuple))
    return {name: interval(np.array([row.get(name, np.nan) for row in rows], float), rng) for name in names}
