"""The model card of the bundled detector: what it was made of, and the tables that `folds.py` measured.

    python benchmarks/quality/card.py runs/bundled > assets/bundled/README.md

Every figure comes from the checkpoint itself, from `benchmarks/results/quality.json` or from the run's recipe; the text
around them is `card.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality import folds as quality  # noqa: E402
from mdmf_core.checkpoint import hub  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.method.state import KINDS  # noqa: E402
from mdmf_core.training.recipe import read_recipe  # noqa: E402

CARD = ROOT / "benchmarks" / "quality" / "card.md"


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def card(run: Path, figures: dict) -> str:
    """The card of the checkpoint in `run`, with the figures of `quality.json`."""
    detector = Detector.from_pretrained(run / "checkpoint", device="cpu")
    same = hub.score_fingerprint(detector.located.folder) in figures["fingerprints"]
    if not same or detector.fingerprint not in figures["localisation"]["fingerprints"].values():
        raise SystemExit("quality.json was measured on another checkpoint; run benchmarks/quality/folds.py first.")
    recipes = {
        name: read_recipe(ROOT / "benchmarks" / "configs" / f"{name}.json")
        for name in figures["folds"]
    }
    mine, *others = recipes.values()
    facts, model = detector.reference.facts, detector.model
    alike = figures["main"]["alike"]
    rates = [row["tpr"]["share"] for table in alike["folds"].values() for row in table["generators"].values()]
    lives = " and ".join(f"{count} in the life `{life}`" for life, count in sorted(facts["calibration_lives"].items()))
    return CARD.read_text("utf-8").format(
        encoder=sum(value.numel() for value in model.backbone.parameters()),
        pfs=sum(value.numel() for value in model.pfs.parameters()),
        w=model.geometry.patch_size,
        most=model.geometry.max_patches,
        fingerprint=detector.fingerprint,
        score_fingerprint=hub.score_fingerprint(detector.located.folder),
        locator=sum(value.numel() for value in detector.locator.parameters()),
        located=mine.locate.steps,
        steps=mine.pretrain.steps,
        other=others[0].pretrain.steps,
        real=listed(facts["real"]),
        generated=listed(facts["generated"]),
        points=facts["points"],
        uncompressed=facts["points_uncompressed"],
        error=facts["compression_error"]["max"],
        calibration=listed(facts["calibration"]),
        lives=lives,
        **{kind: ", ".join(f"`{life}`" for life in sorted(facts["details"][kind])) for kind in KINDS[1:]},
        **{f"n_{kind}": sum(facts["details"][kind].values()) for kind in KINDS[1:]},
        validation=", ".join(mine.split.validation),
        tpr=sum(rates) / len(rates),
        fpr=alike["false_positives"]["mean"],
        block=max(detector.reference.nulls[model.statistic]),
        tables=quality.markdown(figures).replace("\n## ", "\n### ").strip(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    print(card(arguments.run, json.loads((arguments.results / "quality.json").read_text("utf-8"))), end="")


if __name__ == "__main__":
    main()
