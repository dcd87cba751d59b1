"""Does the map point at what was altered? Composites with a known mask, from held-out sources only.

    python benchmarks/localise.py bundled benchmarks/configs/bundled.json

Each composite is a real photograph with a rectangle of a generated picture pasted in over a soft border, at its own
resolution, both from sources that the recipe holds out for test: 200 as made, 200 others recompressed
(`degrade.alike`). A patch counts as altered when at least half of it is, as untouched when nothing is; the rest are
left out. Printed: AUROC of the evidence over all patches, and the mean within a composite; how often the strongest
patch is an altered one, beside the share of altered patches, which is chance; precision and recall of outlined
patches; and how much further the score falls when the strongest patches are dropped than when random ones are,
averaged over shares of 5% to 50% (under the relative statistic, which is linear in patches, that can only be
positive). Intervals: 95% bootstrap over composites.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mdmf_core import degrade  # noqa: E402
from mdmf_core.dataset import Entry, scan, split  # noqa: E402
from mdmf_core.detector import Detector, Evidence  # noqa: E402
from mdmf_core.images import read  # noqa: E402

SIDES = (96, 193)
BORDER = 4.0
DELETED = np.arange(0.05, 0.55, 0.05)
DRAWS = 1000
AUROC = "AUROC within a composite"


def composite(real: np.ndarray, generated: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) uint8 and its mask (H, W) of 0..1; the rectangle is at most 60% of each side."""
    (height, width), (h_most, w_most) = real.shape[:2], generated.shape[:2]
    h = min(int(rng.integers(*SIDES)), h_most, int(0.6 * height))
    w = min(int(rng.integers(*SIDES)), w_most, int(0.6 * width))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    y, x = rng.integers(0, h_most - h + 1), rng.integers(0, w_most - w + 1)
    hard = np.zeros((height, width), np.uint8)
    hard[top : top + h, left : left + w] = 255
    mask = np.asarray(Image.fromarray(hard).filter(ImageFilter.GaussianBlur(BORDER))) / 255 * (hard > 0)
    pasted = np.zeros_like(real)
    pasted[top : top + h, left : left + w] = generated[y : y + h, x : x + w]
    mixed = real * (1 - mask[..., None]) + pasted * mask[..., None]
    return np.rint(mixed).astype(np.uint8), mask


def altered(evidence: Evidence, mask: np.ndarray) -> np.ndarray:
    """(N,) 1 for altered patches, 0 for untouched ones, nan between."""
    shares = np.array([(mask[y : y + h, x : x + w] > 0.5).mean() for x, y, w, h in evidence.boxes])
    touched = np.array([(mask[y : y + h, x : x + w] > 0).any() for x, y, w, h in evidence.boxes])
    return np.where(shares >= 0.5, 1.0, np.where(touched, np.nan, 0.0))


def deletion(evidence: np.ndarray, rng: np.random.Generator) -> float:
    """Fall of the mean evidence when the strongest patches go, less the fall when random ones do; mean of the curve."""
    strongest = np.sort(evidence)[::-1]
    gaps = []
    for share in DELETED:
        count = max(1, round(share * len(evidence)))
        chance = [rng.permutation(evidence)[count:].mean() for _ in range(20)]
        gaps.append(np.mean(chance) - strongest[count:].mean())
    return float(np.mean(gaps) * len(evidence))


def interval(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Mean and the ends of its bootstrap interval, of the values that are not nan."""
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    draws = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def composites(
    detector: Detector, entries: list[Entry], count: int, recompressed: bool, rng: np.random.Generator
) -> list[dict]:
    """Make and judge `count` composites of one kind; one row each, nan where a figure doesn't exist for it."""
    reals = [entry for entry in entries if entry.label == 0]
    fakes = [entry for entry in entries if entry.label == 1]
    rows = []
    for _ in tqdm(range(count), desc="recompressed" if recompressed else "as made"):
        real, fake = (pool[rng.integers(len(pool))] for pool in (reals, fakes))
        pixels, mask = composite(read(real.path).pixels, read(fake.path).pixels, rng)
        if recompressed:
            before = rng.bit_generator.state
            pixels = degrade.alike(pixels, rng)
            rng.bit_generator.state = before
            mask = degrade.off_grid(mask, rng)
        evidence = detector.detect(pixels)
        truth, c = altered(evidence, mask), evidence.evidence
        known = ~np.isnan(truth)
        both = len(set(truth[known])) == 2
        rows.append(
            {
                AUROC: roc_auc_score(truth[known], c[known]) if both else np.nan,
                "the strongest patch is altered": float(truth[known][c[known].argmax()]) if both else np.nan,
                "the same by chance": float(truth[known].mean()) if both else np.nan,
                "precision of outlines": truth[known & evidence.flagged].mean()
                if (known & evidence.flagged).any()
                else np.nan,
                "recall of outlines": evidence.flagged[truth == 1].mean() if (truth == 1).any() else np.nan,
                "deletion, strongest less random": deletion(c, rng),
                "truth": truth[known],
                "values": evidence.n_patches * c[known],
            }
        )
    return rows


def summary(rows: list[dict], rng: np.random.Generator) -> dict[str, tuple[float, float, float]]:
    """Mean and interval over composites of each figure, and the AUROC over all their patches at once."""
    found = {
        name: interval(np.array([row[name] for row in rows], float), rng)
        for name in rows[0]
        if name not in ("truth", "values")
    }
    truths, values = [row["truth"] for row in rows], [row["values"] for row in rows]
    pooled = []
    for draw in [np.arange(len(rows)), *rng.integers(0, len(rows), (DRAWS // 5, len(rows)))]:
        truth, value = (np.concatenate([part[i] for i in draw]) for part in (truths, values))
        pooled.append(float(roc_auc_score(truth, value)) if 0 < truth.mean() < 1 else np.nan)
    low, high = np.nanquantile(pooled[1:], [0.025, 0.975])
    return found | {"AUROC over all patches": (pooled[0], float(low), float(high))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    recipe = json.loads(arguments.recipe.read_text("utf-8"))
    roots = recipe["data"] if isinstance(recipe["data"], list) else [recipe["data"]]
    entries = split(scan(roots[0]), **recipe["split"]).test
    detector = Detector.from_pretrained(None if arguments.model == "bundled" else arguments.model)
    rng = np.random.default_rng(arguments.seed)
    for recompressed in (False, True):
        rows = composites(detector, entries, arguments.count, recompressed, rng)
        print(f"{len(rows)} composites, {'recompressed' if recompressed else 'as made'}:")
        for name, figures in summary(rows, rng).items():
            known = sum(name not in row or not np.isnan(row[name]) for row in rows)
            print(f"  {name}: {figures[0]:.3f} [{figures[1]:.3f}, {figures[2]:.3f}], n = {known}")


if __name__ == "__main__":
    main()
