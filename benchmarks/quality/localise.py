"""Do the maps point at what was altered? Composites with a known mask, from held-out sources only.

    python benchmarks/quality/localise.py bundled benchmarks/configs/folds.json
    python benchmarks/quality/localise.py bundled benchmarks/configs/folds.json --whole whole --each 60

A composite is a real photograph with a rectangle of another picture pasted in over a soft border, at its own resolution
and at a place that tells nothing (`mdmf_core/training/composites.py`), all from sources that are held out: those of the
role "test" in a file of roles (pictures of them, art left out, are below `--data`), or the test split of a recipe. 200
as made, 200 others recompressed (`degrade.alike`), of each kind: part of a generated picture; and to see what else a
map reacts to, part of another real photograph, and another part of the same photograph. A patch counts as altered when
at least half of it is, as untouched when nothing is; the rest are left out. Maps that are judged on the same
composites: the evidence (what the score is made of); the same as the page draws it after its second pass, as means of
patches that overlap; and, where the checkpoint has a locator, how unlike the rest of the picture a patch is. Printed
for each: AUROC, as the mean within a composite and over all patches; how often the strongest patch is an altered one,
beside the share of altered patches, which is chance; of the first and last precision and recall of outlined patches,
and how many untouched pictures of the same sources have an outline. Of the evidence: how much further the score falls
when the strongest patches are dropped than when random ones are, averaged over shares of 5% to 50% (under the relative
statistic, which is linear in patches, that can only be positive). Intervals: 95% bootstrap over pictures.

`--whole` names a folder of whole originals, real/SOURCE and fake/SOURCE: composites are then pictures of 0.5 to 12
megapixels with a region of 2% to 40% of them, `--each` of two kinds: part of a generated picture in a photograph, and
part of a photograph in a generated picture, where the evidence is to rise outside of the region. Sources are drawn
first, then their pictures. With `--autoencoder`, the folder of TAEF2's weights, there are two kinds more: a part of the
photograph that the autoencoder made again, and one that it filled in (`made_again.py`). One picture is in memory at a
time.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.quality import roles  # noqa: E402
from benchmarks.quality.localise_whole import sized, whole_figures  # noqa: E402
from benchmarks.quality.of_maps import (  # noqa: E402
    BORDER,
    DRAWS,
    EVIDENCE,
    FINER,
    KINDS,
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
from benchmarks.quality.taef2 import Autoencoder  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.evidence import Evidence  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.images.reader import read  # noqa: E402
from mdmf_core.training import composites  # noqa: E402
from mdmf_core.training.dataset import Entry, scan, split  # noqa: E402
from mdmf_core.training.recipe import read_recipe  # noqa: E402

SIDES = (96, 193)
DELETED = np.arange(0.05, 0.55, 0.05)


def deletion(evidence: np.ndarray, rng: np.random.Generator) -> float:
    """Fall of the mean evidence when the strongest patches go, less the fall when random ones do; mean of the curve."""
    strongest = np.sort(evidence)[::-1]
    gaps = []
    for share in DELETED:
        count = max(1, round(share * len(evidence)))
        chance = [rng.permutation(evidence)[count:].mean() for _ in range(20)]
        gaps.append(np.mean(chance) - strongest[count:].mean())
    return float(np.mean(gaps) * len(evidence))


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
                rows.append(judged(evidence, finer(detector, pixels, evidence), truth, rng))
                progress.update()
            if len(rows) == count:
                return rows
    raise ValueError(f"Only {len(rows)} of {count} composites have altered and untouched patches.")


def judged(evidence: Evidence, overlapping: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> Row:
    """The figures of one composite, nan where one doesn't exist for it.

    Args:
        evidence: of the composite.
        overlapping: what `finer` gives for it (N,).
        truth: (N,) as `composites.altered`.
        rng: of patches that are dropped at random.
    """
    known = ~np.isnan(truth)
    row: Row = {"truth": truth[known], "values": {}}
    row[WITHIN, PLACE] = roc_auc_score(truth[known], place(evidence)[known])
    every = {name: values for name, (values, _) in maps(evidence).items()} | {FINER: overlapping}
    for name, values in every.items():
        row["values"][name] = values[known]
        row[WITHIN, name] = roc_auc_score(truth[known], values[known])
        row["the strongest patch is altered", name] = float(truth[known][values[known].argmax()])
    for name, (_, flagged) in maps(evidence).items():
        outlined = known & flagged
        row["precision of outlines", name] = truth[outlined].mean() if outlined.any() else np.nan
        row["recall of outlines", name] = flagged[truth == 1].mean()
    row["the strongest patch is altered", "by chance"] = float(truth[known].mean())
    row["deletion, strongest less random", EVIDENCE] = deletion(evidence.verdict.shares, rng)
    return row


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


def held_out(recipe: Path, data: Path) -> list[Entry]:
    """Pictures that are held out, by a recipe with a split or by a file of roles and the folder of the pictures."""
    given = json.loads(recipe.read_text("utf-8"))
    if "split" not in given:
        return roles.without_art(roles.held_out(data, given), given)
    own = read_recipe(recipe)
    return split(scan(own.data[0]), **dict(own.split)).test


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("recipe", type=Path, help="a recipe with a split, or a file of roles")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="pictures, for a file of roles")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument(
        "--whole", type=Path, help="folder of whole originals: composites of these, for a file of roles"
    )
    parser.add_argument("--each", type=int, default=60, help="composites of whole pictures of each kind and condition")
    parser.add_argument("--autoencoder", type=Path, help="folder of TAEF2's weights, for parts of whole pictures")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    given = parsed()
    entries = held_out(given.recipe, given.whole or given.data)
    detector = Detector.from_pretrained(None if given.model == "bundled" else given.model)
    whole, count, tables = given.whole and sized(entries), given.each if given.whole else given.count, {}
    autoencoder = given.autoencoder and Autoencoder(given.autoencoder)
    for recompressed in (False, True):
        condition = "recompressed" if recompressed else "as made"
        print(f"{count} composites of each kind, {condition}:")
        if whole:
            found = whole_figures(detector, whole, count, recompressed, given.seed, autoencoder)
        else:
            found = figures([(detector, entries)], count, recompressed, given.seed)
        for name, figure in found.items():
            print("  {}: {:.3f} [{:.3f}, {:.3f}]".format(name, *figure))
        tables[condition] = {name: [None if np.isnan(end) else end for end in ends] for name, ends in found.items()}
    if given.out:
        kept = {"fingerprint": detector.fingerprint, "count": count, "whole": bool(whole), "conditions": tables}
        text = json.dumps(kept, indent=1, allow_nan=False) + "\n"
        write_whole(given.out, lambda path: path.write_text(text, "utf-8"))


if __name__ == "__main__":
    main()
