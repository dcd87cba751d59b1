"""How many held-out pictures can't be judged, and how many of them wrongly.

    python benchmarks/quality/refused.py bundled ../shared/data

A refusal is right where a picture has nothing to judge: the frame is black, over- or underexposed or a bare surface. By
eye that is said of each refused photograph in `benchmarks/configs/bare.csv`, which was written after the refusals were
known; what is not named there counts as wrongly refused. A palette is right to be refused, too: a file of at most 256
colours. Printed as a Markdown table for each class in three conditions, and written to `--out`. With `--sheet` the
refused photographs are drawn into one picture, for another pair of eyes.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality import roles  # noqa: E402
from benchmarks.quality.held_out_tables import head, line  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.images.reader import read  # noqa: E402
from mdmf_core.method.doubt import n_colours  # noqa: E402
from mdmf_core.training.dataset import Entry  # noqa: E402
from mdmf_core.training.evaluate import Row, score  # noqa: E402

CONDITIONS = ("as_is", "alike", "web")
CLASSES = ("photographs", "generated pictures")
BARE = ROOT / "benchmarks" / "configs" / "bare.csv"
PALETTE = 256  # colours
ACROSS, SIDE, LINE = 8, 160, 14  # of the sheet: pictures a row, and pixels


def bare_ones(path: Path) -> set[str]:
    """Keys of the photographs in which a person saw nothing to judge."""
    with open(path, encoding="utf-8", newline="") as file:
        return {line["key"] for line in csv.DictReader(file)}


def palettes(entries: list[Entry], smallest: int) -> set[str]:
    """Keys of those whose files have no more colours than a palette."""
    return {entry.key for entry in entries if n_colours(read(entry.path, smallest).pixels) <= PALETTE}


def figures(rows: list[Row], right: set[str]) -> dict[str, dict[str, dict]]:
    """By condition and class: `n` pictures, how many were `refused`, and which of them `wrongly`, by key."""
    found: dict[str, dict[str, dict]] = {}
    for condition in CONDITIONS:
        for label, kind in enumerate(CLASSES):
            own = [row for row in rows if (row.condition, row.label) == (condition, label) and row.error is None]
            refused = {row.key: row.reason for row in own if row.reason is not None}
            wrongly = {key: reason for key, reason in refused.items() if key not in right}
            found.setdefault(condition, {})[kind] = {"n": len(own), "refused": len(refused), "wrongly": wrongly}
    return found


def markdown(found: dict[str, dict[str, dict]]) -> str:
    """A line for each condition and class."""
    lines = head("condition", "pictures", "n", "can't be judged", "wrongly")
    for condition, classes in found.items():
        for kind, own in classes.items():
            shares = (f"{count / own['n']:.3f}" if own["n"] else "" for count in (own["refused"], len(own["wrongly"])))
            lines.append(line(condition, kind, own["n"], *shares))
    return "\n".join(lines)


def sheet(entries: list[Entry], path: Path) -> None:
    """All of them in one picture, each with its source."""
    drawn = Image.new("RGB", (ACROSS * SIDE, -(-len(entries) // ACROSS) * (SIDE + LINE)), "white")
    for place, entry in enumerate(entries):
        corner = place % ACROSS * SIDE, place // ACROSS * (SIDE + LINE)
        with Image.open(entry.path) as image:
            drawn.paste(ImageOps.contain(ImageOps.exif_transpose(image).convert("RGB"), (SIDE, SIDE)), corner)
        ImageDraw.Draw(drawn).text((corner[0], corner[1] + SIDE), entry.key.split("/")[-2][:26], fill="black")
    drawn.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help='a folder, or "bundled"')
    parser.add_argument("data", type=Path, help="folder with real/SOURCE and fake/SOURCE")
    parser.add_argument("--folds", type=Path, default=roles.FOLDS, help="which sources are held out")
    parser.add_argument("--most", type=int, help="at most so many pictures a source")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--sheet", type=Path, help="PNG file for the refused photographs")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "refused.json")
    args = parser.parse_args()
    known = roles.load(args.folds)
    entries = roles.without_art(roles.held_out(args.data, known, args.most), known)
    detector = Detector.from_pretrained(None if args.checkpoint == "bundled" else args.checkpoint)
    rows = score(detector, [("data", entry) for entry in entries], CONDITIONS, processes=args.processes)
    refused = {row.key for row in rows if row.reason is not None}
    seen = [entry for entry in entries if entry.key in refused]
    right = bare_ones(BARE) | palettes(seen, detector.model.geometry.min_side)
    found = figures(rows, right)
    write_whole(args.out, lambda path: path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8"))
    print(markdown(found))
    if args.sheet:
        sheet([entry for entry in seen if not entry.label], args.sheet)


if __name__ == "__main__":
    main()
