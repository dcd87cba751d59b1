"""Ask a detector about every picture of examples/ and write down what it answers.

It writes examples.json, answers.json and README.md. Run it again whenever the bundled detector changes; a test asks for
that. `mdmf_core.show.truth` says what is right.

    python benchmarks/quality/judge_examples.py
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality.example_list import EXAMPLES, JPEG_QUALITY, Example  # noqa: E402
from benchmarks.quality.make_examples import SOFT_BORDER_PX  # noqa: E402
from mdmf_core.checkpoint import hub  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.show import truth, words  # noqa: E402

TEMPLATE = Path(__file__).with_name("examples-template.md")


def answer(detector: Detector, folder: Path, example: Example) -> dict[str, Any]:
    """What the detector says of one picture, and what that is worth."""
    evidence, mask = detector.detect(folder / example.file), None
    if example.mask:
        with Image.open(folder / example.mask) as drawing:
            mask = np.asarray(drawing.convert("L"))
    found, verdict = truth.against(example.truth, evidence, mask), evidence.verdict
    return {
        "file": example.file,
        "outcome": verdict.outcome,
        "words": words.headline(evidence),
        "likelihood_ratio": verdict.strength.ratio if verdict.judged and verdict.strength else None,
        "p_value": verdict.p_value,
        "judged": found.word,
        "sentence": found.sentence,
    }


def told(answers: list[dict[str, Any]]) -> str:
    """How many answers are right, wrong and undecided, in one sentence."""
    counts = Counter(row["judged"] for row in answers)
    return (
        f"Of {len(answers)} answers {counts[truth.RIGHT]} are right, {counts[truth.WRONG]} wrong and "
        f"{counts[truth.UNDECIDED]} undecided."
    )


def readme(answers: list[dict[str, Any]], fingerprint: str) -> str:
    """The page about the pictures."""
    listed, judged = [], []
    for example, row in zip(EXAMPLES, answers, strict=True):
        shown = f"`{example.file}`" + (f", mask `{example.mask}`" if example.mask else "")
        listed.append(f"| {shown} | {example.kind} | {example.what} | {example.licence} | {example.source} |")
        ratio = "" if row["likelihood_ratio"] is None else words.rounded(row["likelihood_ratio"])
        figures = f"{row['words']} | {ratio} | {row['p_value']:.3g} | {row['judged']}"
        judged.append(f"| `{example.file}` | {example.truth} | {figures} |")
    return TEMPLATE.read_text("utf-8").format(
        rows="\n".join(listed),
        answers="\n".join(judged),
        told=told(answers),
        fingerprint=fingerprint,
        border=SOFT_BORDER_PX,
        quality=JPEG_QUALITY,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "examples", help="where the pictures are")
    parser.add_argument("--model", default=str(hub.BUNDLED), help="folder or Hub repository of the detector")
    given = parser.parse_args()
    detector = Detector.from_pretrained(given.model)
    answers = [answer(detector, given.folder, example) for example in EXAMPLES]
    content = {
        "examples.json": [asdict(example) for example in EXAMPLES],
        "answers.json": {"fingerprint": detector.fingerprint, "answers": answers},
    }
    for name, data in content.items():
        (given.folder / name).write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (given.folder / "README.md").write_text(readme(answers, detector.fingerprint), encoding="utf-8")
    print(told(answers))
    for row in answers:
        print(f"{row['file']}: {row['sentence']}")


if __name__ == "__main__":
    main()
