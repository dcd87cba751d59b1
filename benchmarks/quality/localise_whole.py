"""Composites of whole pictures, 0.5 to 12 megapixels, for `localise.py --whole`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from benchmarks.quality.made_again import AGAIN_KINDS, made_again
from benchmarks.quality.of_maps import (
    BORDER,
    FINER,
    KINDS,
    LOCATOR,
    PLACE,
    TRIES,
    WITHIN,
    Figure,
    Row,
    finer,
    maps,
    means,
    place,
    untouched,
)
from benchmarks.quality.taef2 import Autoencoder
from mdmf_core.detector import Detector
from mdmf_core.errors import ImageError
from mdmf_core.evidence import Evidence
from mdmf_core.images.reader import read
from mdmf_core.training import composites
from mdmf_core.training.dataset import Entry

WHOLE_KINDS = (KINDS[0], "a photograph's part in a generated picture")
LEAST_PIXELS, MOST_PIXELS = 500_000, 12_000_000
SIZES = (LEAST_PIXELS, 1_500_000, 4_000_000, MOST_PIXELS)  # pixels between which figures are given apart
SHARES = (0.02, 0.4)  # of a whole picture that the region takes
LONGEST = 2.0  # times that one side of the region is as long as the other
STRONGEST = "the strongest patch is of the kind sought"


def region(first: tuple[int, int], second: tuple[int, int], rng: np.random.Generator) -> tuple[int, int] | None:
    """Height and width of a region for a picture of `first` rows and columns, from one of `second`; None if too small.

    Its share of the picture is drawn evenly on a scale of ratios, and so is the ratio of its sides.
    """
    area = np.exp(rng.uniform(*np.log(SHARES))) * first[0] * first[1]
    ratio = np.exp(rng.uniform(-1, 1) * np.log(LONGEST))
    sides = np.sqrt(area * ratio), np.sqrt(area / ratio)
    h, w = (min(math.ceil(side), int(composites.MOST * a), b) for side, a, b in zip(sides, first, second, strict=True))
    return (h, w) if h * w >= SHARES[0] * first[0] * first[1] else None


def sized(entries: list[Entry]) -> list[tuple[Entry, int]]:
    """Pictures of at most 12 megapixels, each with its number of pixels, by their headers."""
    found = []
    for entry in entries:
        with Image.open(entry.path) as image:
            pixels = image.width * image.height
        if pixels <= MOST_PIXELS:
            found.append((entry, pixels))
    return found


def grouped(entries: list[Entry], label: int) -> list[list[Entry]]:
    """Pictures of a class, by source."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.label == label:
            groups.setdefault(entry.source, []).append(entry)
    return list(groups.values())


def drawn(groups: list[list[Entry]], rng: np.random.Generator) -> Entry:
    """A picture of one source, each as likely as the others."""
    own = groups[rng.integers(len(groups))]
    return own[rng.integers(len(own))]


def make_whole(
    first: Entry, second: Entry, recompressed: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """A composite (H, W, 3) uint8 of whole pictures and its mask (H, W); None where they don't fit or can't be read."""
    try:
        pixels, other = read(first.path).pixels, read(second.path).pixels
    except ImageError:
        return None
    size = region(pixels.shape[:2], other.shape[:2], rng)
    if size is None:
        return None
    pixels, mask = composites.put(pixels, other, size, rng, (BORDER,))
    return composites.alike(pixels, mask, rng) if recompressed else (pixels, mask)


def judged_whole(evidence: Evidence, overlapping: np.ndarray, truth: np.ndarray, label: int) -> Row:
    """The figures of one composite of whole pictures, `label` that of the one that something was pasted into.

    The evidence is to find what is generated, in the region or around it; the other map what was pasted.
    """
    known, row = ~np.isnan(truth), Row()
    altered, pixels = truth[known], evidence.picture.width * evidence.picture.height
    row[WITHIN, PLACE] = roc_auc_score(altered, place(evidence)[known])
    size = max((edge for edge in SIZES[:-1] if edge <= pixels), default=SIZES[0])
    every = {name: values for name, (values, _) in maps(evidence).items()} | {FINER: overlapping}
    for name, values in every.items():
        sought = 1 - altered if label and name != LOCATOR else altered
        row[WITHIN, name] = row[f"{WITHIN}, {between(size)}", name] = roc_auc_score(sought, values[known])
        row[STRONGEST, name] = float(sought[values[known].argmax()])
        row[STRONGEST, f"{name}, by chance"] = float(sought.mean())
    for name, (_, flagged) in maps(evidence).items():
        sought = 1 - altered if label and name != LOCATOR else altered
        right = sought[flagged[known]]
        row["precision of outlines", name] = right.mean() if len(right) else np.nan
        row["recall of outlines", name] = flagged[known][sought == 1].mean()
    return row


def between(least: int) -> str:
    """What pictures from one of `SIZES` on are called."""
    most = SIZES[SIZES.index(least) + 1]
    return f"{least / 1e6:g} to {most / 1e6:g} megapixels"


def make_again(
    first: Entry, kind: str, recompressed: bool, model: Autoencoder, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """As `make_whole`, with a part of the photograph of one of `AGAIN_KINDS`."""
    try:
        pixels = read(first.path).pixels
    except ImageError:
        return None
    size = region(pixels.shape[:2], pixels.shape[:2], rng)
    if size is None:
        return None
    pixels, mask = made_again(model, pixels, kind, size, rng, BORDER)
    return composites.alike(pixels, mask, rng) if recompressed else (pixels, mask)


def measure_whole(
    detector: Detector, entries: list[tuple[Entry, int]], label: int, count: int, recompressed: bool, seed: int
) -> list[Row]:
    """Make and judge `count` composites of whole pictures of the class `label` with parts of the other; one row each.

    Raises:
        ValueError: the pictures don't give so many.
    """
    rng = np.random.default_rng([seed, label, recompressed])
    large = grouped([entry for entry, pixels in entries if pixels >= LEAST_PIXELS], label)
    others = grouped([entry for entry, _ in entries], 1 - label)

    def make() -> tuple[np.ndarray, np.ndarray] | None:
        return make_whole(drawn(large, rng), drawn(others, rng), recompressed, rng) if large and others else None

    return _measured(detector, make, label, count, f"{WHOLE_KINDS[label]}{', recompressed' * recompressed}")


def measure_again(
    detector: Detector,
    entries: list[tuple[Entry, int]],
    kind: str,
    count: int,
    recompressed: bool,
    seed: int,
    model: Autoencoder,
) -> list[Row]:
    """As `measure_whole`, of photographs with a part of one of `AGAIN_KINDS`."""
    rng = np.random.default_rng([seed, len(WHOLE_KINDS) + AGAIN_KINDS.index(kind), recompressed])
    large = grouped([entry for entry, pixels in entries if pixels >= LEAST_PIXELS], 0)

    def make() -> tuple[np.ndarray, np.ndarray] | None:
        return make_again(drawn(large, rng), kind, recompressed, model, rng) if large else None

    return _measured(detector, make, 0, count, f"{kind}{', recompressed' * recompressed}")


def _measured(
    detector: Detector, make: Callable[[], tuple[np.ndarray, np.ndarray] | None], label: int, count: int, named: str
) -> list[Row]:
    """Rows of `count` composites that have altered and untouched patches, of at most `TRIES` times as many."""
    rows: list[Row] = []
    with tqdm(total=count, desc=named) as progress:
        for _ in range(TRIES * count):
            made = make()
            if made is None:
                continue
            evidence = detector.detect(made[0])
            truth = composites.altered(evidence.grid.boxes, made[1])
            if {0.0, 1.0} <= set(truth.tolist()):
                rows.append(judged_whole(evidence, finer(detector, made[0], evidence), truth, label))
                progress.update()
            if len(rows) == count:
                return rows
    raise ValueError(f"Only {len(rows)} of {count} composites have altered and untouched patches.")


def whole_figures(
    detector: Detector,
    entries: list[tuple[Entry, int]],
    count: int,
    recompressed: bool,
    seed: int = 0,
    model: Autoencoder | None = None,
) -> dict[str, Figure]:
    """All figures of one condition, for whole pictures.

    Args:
        detector: the checkpoint.
        entries: from `sized`.
        count: composites of each kind, and untouched photographs.
        recompressed: the condition.
        seed: of all choices.
        model: the autoencoder of `AGAIN_KINDS`; without it these are left out.
    """
    rng, made = np.random.default_rng(seed + 1), {}
    for index, kind in enumerate(WHOLE_KINDS if model is None else WHOLE_KINDS + AGAIN_KINDS):
        if model is not None and kind in AGAIN_KINDS:
            rows = measure_again(detector, entries, kind, count, recompressed, seed, model)
        else:
            rows = measure_whole(detector, entries, index, count, recompressed, seed)
        made |= {f"{kind}: {what}: {name}": figure for (what, name), figure in means(rows, rng).items()}
    large = [entry for entry, pixels in entries if pixels >= LEAST_PIXELS]
    rows = untouched(detector, large, 0, count, recompressed, np.random.default_rng(seed))
    return made | {f"{what}: {name}": figure for (what, name), figure in means(rows, rng).items()}
