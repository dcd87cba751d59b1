"""Do the maps point at what was altered? Composites with a known mask, from held-out sources only.

    python benchmarks/quality/localise.py bundled benchmarks/configs/bundled.json

A composite is a real photograph with a rectangle of another picture pasted in over a soft border, at its own resolution
and at a place that tells nothing (`mdmf_core/training/composites.py`), all from sources that the recipe holds out for
test. 200 as made, 200 others recompressed (`degrade.alike`), of each kind: part of a generated picture; and to see what
else a map reacts to, part of another real photograph, and another part of the same photograph. A patch counts as
altered when at least half of it is, as untouched when nothing is; the rest are left out. Two maps are judged on the
same composites: the evidence (what the score is made of) and, where the checkpoint has a locator, how unlike the rest
of the picture a patch is. Printed for each: AUROC, as the mean within a composite and over all patches; how often the
strongest patch is an altered one, beside the share of altered patches, which is chance; precision and recall of
outlined patches; how many untouched pictures of the same sources have an outline. Of the evidence: how much further the
score falls when the strongest patches are dropped than when random ones are, averaged over shares of 5% to 50% (under
the relative statistic, which is linear in patches, that can only be positive). Intervals: 95% bootstrap over pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.evidence import Evidence  # noqa: E402
from mdmf_core.images import degrade  # noqa: E402
from mdmf_core.images.reader import read  # noqa: E402
from mdmf_core.training import composites  # noqa: E402
from mdmf_core.training.dataset import Entry, scan, split  # noqa: E402
from mdmf_core.training.recipe import read_recipe  # noqa: E402

SIDES = (96, 193)
BORDER = 4.0
DELETED = np.arange(0.05, 0.55, 0.05)
DRAWS = 1000
KINDS = ("a generated part", "a part of another photograph", "another part of the same photograph")
EVIDENCE, LOCATOR, PLACE = "evidence", "unlike the rest", "the place alone"
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


def place(evidence: Evidence) -> np.ndarray:
    """How close each patch lies to the middle of the picture, (N,): what a map that only knew places would show."""
    middles = evidence.grid.boxes[:, :2] + evidence.grid.boxes[:, 2:] / 2
    return -np.abs(middles / [evidence.picture.width, evidence.picture.height] - 0.5).max(axis=1)


def deletion(evidence: np.ndarray, rng: np.random.Generator) -> float:
    """Fall of the mean evidence when the strongest patches go, less the fall when random ones do; mean of the curve."""
    strongest = np.sort(evidence)[::-1]
    gaps = []
    for share in DELETED:
        count = max(1, round(share * len(evidence)))
        chance = [rng.permutation(evidence)[count:].mean() for _ in range(20)]
        gaps.append(np.mean(chance) - strongest[count:].mean())
    return float(np.mean(gaps) * len(evidence))


def interval(values: np.ndarray, rng: np.random.Generator) -> Figure:
    """Mean and the ends of its bootstrap interval, of the values that are not nan."""
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    draws = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def make(first: Entry, second: Entry, recompressed: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A composite (H, W, 3) uint8 and its mask (H, W)."""
    pixels, mask = composites.paste(read(first.path).pixels, read(second.path).pixels, rng, SIDES, (BORDER,))
    return composites.alike(pixels, mask, rng) if recompressed else (pixels, mask)


def chosen(kind: str, entries: list[Entry], rng: np.random.Generator) -> tuple[Entry, Entry]:
    """The two pictures of a composite of one of `KINDS`."""
    pools = [[entry for entry in entries if entry.label == label] for label in (0, 1)]
    first = pools[0][rng.integers(len(pools[0]))]
    if kind == KINDS[2]:
        return first, first
    pool = pools[kind == KINDS[0]]
    return first, pool[rng.integers(len(pool))]


def measure(
    detector: Detector, entries: list[Entry], kind: str, count: int, recompressed: bool, rng: np.random.Generator
) -> list[Row]:
    """Make and judge `count` composites that have altered and untouched patches; one row each.

    Raises:
        ValueError: the pictures are too small for so many.
    """
    rows: list[Row] = []
    with tqdm(total=count, desc=f"{kind}{', recompressed' * recompressed}") as progress:
        for _ in range(TRIES * count):
            pixels, mask = make(*chosen(kind, entries, rng), recompressed, rng)
            evidence = detector.detect(pixels)
            truth = composites.altered(evidence.grid.boxes, mask)
            if {0.0, 1.0} <= set(truth.tolist()):
                rows.append(judged(evidence, truth, rng))
                progress.update()
            if len(rows) == count:
                return rows
    raise ValueError(f"Only {len(rows)} of {count} composites have altered and untouched patches.")


def judged(evidence: Evidence, truth: np.ndarray, rng: np.random.Generator) -> Row:
    """The figures of one composite, nan where one doesn't exist for it; `truth` (N,) as `composites.altered`."""
    known = ~np.isnan(truth)
    row: Row = {"truth": truth[known], "values": {}}
    row[WITHIN, PLACE] = roc_auc_score(truth[known], place(evidence)[known])
    for name, (values, flagged) in maps(evidence).items():
        outlined = known & flagged
        row["values"][name] = values[known]
        row[WITHIN, name] = roc_auc_score(truth[known], values[known])
        row["the strongest patch is altered", name] = float(truth[known][values[known].argmax()])
        row["precision of outlines", name] = truth[outlined].mean() if outlined.any() else np.nan
        row["recall of outlines", name] = flagged[truth == 1].mean()
    row["the strongest patch is altered", "by chance"] = float(truth[known].mean())
    row["deletion, strongest less random", EVIDENCE] = deletion(evidence.verdict.shares, rng)
    return row


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


def pooled(rows: list[Row], name: str, rng: np.random.Generator) -> Figure:
    """AUROC over the patches of all composites at once, with its interval."""
    rows = [row for row in rows if name in row["values"]]
    truths, values = [row["truth"] for row in rows], [row["values"][name] for row in rows]
    found = []
    for draw in [np.arange(len(rows)), *rng.integers(0, len(rows), (DRAWS // 5, len(rows)))]:
        found.append(float(roc_auc_score(*(np.concatenate([part[i] for i in draw]) for part in (truths, values)))))
    low, high = np.quantile(found[1:], [0.025, 0.975])
    return found[0], float(low), float(high)


def figures(
    detectors: list[tuple[Detector, list[Entry]]], count: int, recompressed: bool, seed: int = 0
) -> dict[str, Figure]:
    """All figures of one condition: mean and ends of the interval, by name.

    Args:
        detectors: each with the pictures that it never saw; their rows are put together.
        count: composites of each kind, and untouched pictures of each class, for each detector.
        recompressed: the condition.
        seed: of all choices.
    """

    def rows(of: Callable[..., list[Row]], *what: Any) -> list[Row]:
        found = []
        for detector, entries in detectors:
            found += of(detector, entries, *what, count, recompressed, np.random.default_rng(seed))
        return found

    rng = np.random.default_rng(seed + 1)
    first = rows(measure, KINDS[0])
    made: dict[tuple[str, str], Figure] = means(first, rng)
    for name in first[0]["values"]:
        made["AUROC over all patches", name] = pooled(first, name, rng)
    for kind in KINDS[1:]:
        made |= {
            (f"{WITHIN}, {kind}", name): figure
            for (what, name), figure in means(rows(measure, kind), rng).items()
            if what == WITHIN and name != PLACE
        }
    for label in (0, 1):
        made |= means(rows(untouched, label), rng)
    order = list(dict.fromkeys(what for what, _ in made))
    together = sorted(made.items(), key=lambda item: order.index(item[0][0]))
    return {f"{what}: {name}": figure for (what, name), figure in together}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    entries = split(scan(recipe.data[0]), **dict(recipe.split)).test
    detector = Detector.from_pretrained(None if arguments.model == "bundled" else arguments.model)
    for recompressed in (False, True):
        print(f"{arguments.count} composites of each kind, {'recompressed' if recompressed else 'as made'}:")
        for name, figure in figures([(detector, entries)], arguments.count, recompressed, arguments.seed).items():
            print("  {}: {:.3f} [{:.3f}, {:.3f}]".format(name, *figure))


if __name__ == "__main__":
    main()
