"""The model card of the bundled detector: what it was made of, and the tables that `held_out.py` measured.

    python benchmarks/quality/card.py runs/bundled/checkpoint benchmarks/configs/bundled.json > assets/bundled/README.md

Every figure comes from the checkpoint itself, from the recipe or from `benchmarks/results/held_out.json` and its table;
the text around them is `card.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mdmf_core.checkpoint import hub  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402

CARD = ROOT / "benchmarks" / "quality" / "card.md"
RESULTS = ROOT / "benchmarks" / "results" / "held_out.json"


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def tables(results: Path, fingerprint: str) -> str:
    """The tables of `held_out.py` as they lie beside its figures.

    Raises:
        SystemExit: there are none of this checkpoint.
    """
    if not results.is_file() or fingerprint not in results.read_text("utf-8"):
        raise SystemExit(f"{results.name} has no figures of this checkpoint; run benchmarks/quality/held_out.py first.")
    return results.with_suffix(".md").read_text("utf-8").replace("\n## ", "\n### ").strip()


def card(folder: Path, recipe: dict, results: Path) -> str:
    """The card of the checkpoint in `folder`."""
    score_fingerprint, fingerprint = hub.score_fingerprint(folder), hub.fingerprint(folder)
    detector = Detector.from_pretrained(folder, device="cpu")
    facts, model = detector.reference.facts, detector.model
    return CARD.read_text("utf-8").format(
        name=model.name,
        encoder=sum(value.numel() for value in model.backbone.parameters()),
        pfs=sum(value.numel() for value in model.pfs.parameters()),
        locator=sum(value.numel() for value in detector.locator.parameters()),
        window=model.geometry.window,
        w=model.geometry.patch_size,
        most=model.geometry.max_patches,
        fingerprint=fingerprint,
        score_fingerprint=score_fingerprint,
        real=listed(facts["real"]),
        generated=listed(facts["generated"]),
        points=facts["points"],
        uncompressed=facts["points_uncompressed"],
        error=facts["compression_error"]["max"],
        n_calibration=sum(facts["calibration"].values()),
        n_sources=len({name.removesuffix("_whole") for name in facts["calibration"]}),
        calibration=listed(facts["calibration"]),
        lives=listed(facts["calibration_lives"]),
        details="; ".join(f"{kind}: {listed(counts)}" for kind, counts in facts["details"].items()),
        validation=", ".join(recipe["split"]["validation"]),
        tables=tables(results, fingerprint),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    print(card(given.checkpoint, json.loads(given.recipe.read_text("utf-8")), given.results))


if __name__ == "__main__":
    main()
