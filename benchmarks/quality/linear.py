"""Is the relative MMD of the signatures behind a plain linear head on the same features?

    python benchmarks/quality/linear.py benchmarks/configs/bundled.json runs/bundled

Takes a run folder after `embed`, `train` and `bank`. A logistic regression learns from the mean embedding of each
training picture in each of its conditions, every source weighted as the training of the signature draws it; its
strength is chosen by leaving whole training sources out. Both it and the checkpoint's own score are tried on the
validation sources: AUROC over all pictures, and as the mean over generators, in each condition. These sources chose
among states of the signature, so the comparison leans towards the score. Printed, and written to `--out`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality.held_out_tables import head, line  # noqa: E402
from mdmf_core.checkpoint import store  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.method import reference as references  # noqa: E402
from mdmf_core.method.calibration import evidence_of  # noqa: E402
from mdmf_core.training import embed  # noqa: E402
from mdmf_core.training.dataset import scan, source_shares, split  # noqa: E402
from mdmf_core.training.recipe import Train, read_recipe  # noqa: E402

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse weights of the penalty
FOLDS = 5


class Means(NamedTuple):
    """P pictures: mean embeddings `x` (P, D), labels, sources, conditions and scores (P,), nan where there are none."""

    x: np.ndarray
    labels: np.ndarray
    sources: np.ndarray
    conditions: np.ndarray
    scores: np.ndarray


def gathered(pictures: Iterable[embed.Embedded], model: store.Model, reference: references.Reference | None) -> Means:
    """The pictures' means; scores of the checkpoint where its reference is given."""
    rows = []
    for picture in pictures:
        score = float("nan")
        if reference is not None:
            points = model.points(picture.embeddings)
            banks = reference.real, reference.generated
            score = float(evidence_of(points, model.statistic, *banks, model.kernel)[0].sum())
        x = picture.embeddings.double().mean(0).numpy()
        rows.append((x, picture.label, picture.source, picture.condition, score))
    return Means(*(np.array(column) for column in zip(*rows, strict=True)))


def weights(means: Means, config: Train) -> np.ndarray:
    """How much each picture counts (P,): both classes alike, sources as the signature's training draws them."""
    found = np.zeros(len(means.labels))
    for label in (0, 1):
        own = means.labels == label
        counts = Counter(means.sources[own].tolist())
        shares = dict(zip(counts, source_shares(counts.values(), config.cap, config.tilt), strict=True))
        found[own] = [shares[source] / counts[source] for source in means.sources[own]]
    return found * len(found) / 2


def fitted(means: Means, weight: np.ndarray, strength: float):
    head_of = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    return head_of.fit(means.x, means.labels, logisticregression__sample_weight=weight)


def taken(means: Means, rows: np.ndarray) -> Means:
    return Means(*(column[rows] for column in means))


def best_strength(means: Means, weight: np.ndarray) -> float:
    """The strength with the highest AUROC on training sources that were left out, a mean over `FOLDS` parts."""

    def quality(strength: float) -> float:
        found = []
        for fit, rest in StratifiedGroupKFold(FOLDS).split(means.x, means.labels, means.sources):
            scores = fitted(taken(means, fit), weight[fit], strength).decision_function(means.x[rest])
            found.append(roc_auc_score(means.labels[rest], scores, sample_weight=weight[rest]))
        return float(np.mean(found))

    return max(STRENGTHS, key=quality)


def aurocs(means: Means, scores: np.ndarray) -> dict[str, float]:
    """AUROC over all pictures, and as the mean over generators against all real pictures."""
    real = scores[means.labels == 0]
    each = []
    for source in sorted(set(means.sources[means.labels == 1])):
        own = scores[(means.labels == 1) & (means.sources == source)]
        each.append(roc_auc_score(np.repeat([0, 1], [len(real), len(own)]), np.concatenate([real, own])))
    return {"pooled": float(roc_auc_score(means.labels, scores)), "mean": float(np.mean(each))}


def compared(train: Means, tried: Means, config: Train) -> dict[str, dict]:
    """AUROCs of both in each condition."""
    weight = weights(train, config)
    linear = fitted(train, weight, best_strength(train, weight)).decision_function(tried.x)
    found = {}
    for condition in sorted(set(tried.conditions)):
        own = tried.conditions == condition
        part = taken(tried, own)
        found[condition] = {
            "pictures": [int((part.labels == label).sum()) for label in (0, 1)],
            "linear": aurocs(part, linear[own]),
            "score": aurocs(part, part.scores),
        }
    return found


def markdown(found: dict[str, dict]) -> str:
    lines = head("condition", "real", "generated", "score, pooled", "linear, pooled", "score, mean", "linear, mean")
    for condition, row in found.items():
        figures = (f"{row[what][how]:.3f}" for how in ("pooled", "mean") for what in ("score", "linear"))
        lines.append(line(condition, *row["pictures"], *figures))
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("run", type=Path, help="folder with `embeddings` and `checkpoint`")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "linear.json")
    given = parser.parse_args()
    recipe, model = read_recipe(given.recipe), store.load(given.run / "checkpoint")
    dealt = split(scan(recipe.data), **dict(recipe.split))
    keys = {role: {entry.key for entry in getattr(dealt, role)} for role in ("train", "validation")}
    pictures = list(embed.load(given.run / "embeddings", embed.backbone_digest(model.backbone)))
    shape = model.pfs.config["signature"], model.pfs.config["dim"], model.pfs.config["deep"]
    reference = references.load(given.run / "checkpoint" / "reference.safetensors", *shape, model.statistic)
    sides = [
        gathered((picture for picture in pictures if picture.key in keys[role]), model, own)
        for role, own in (("train", None), ("validation", reference))
    ]
    found = compared(*sides, recipe.train)
    text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    write_whole(given.out, lambda path: path.write_text(text, "utf-8"))
    print(markdown(found))


if __name__ == "__main__":
    main()
