"""What files say of their origin: how many statements are found, missed and wrongly claimed; how long marks last.

    python benchmarks/quality/origin.py FOLDER [--each 50] [--out FILE]
    python benchmarks/quality/origin.py FOLDER --marks 60

The first level of FOLDER says what its files are: "generated" or "fake" (they declare it), "real" (they may not declare
it), anything else is listed without a judgement, as are files that lie in FOLDER itself. Found: a generated picture
whose file declares it. Missed: one whose file doesn't, also where nothing is left to find. Wrongly claimed: a real one
whose file is said to declare it. With --marks the real pictures are marked with each invisible mark and changed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mdmf_core.errors import ImageError  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.images import degrade  # noqa: E402
from mdmf_core.images.kinds import is_image_name  # noqa: E402
from mdmf_core.images.origin import read_provenance, summary  # noqa: E402
from mdmf_core.images.origin.marks import MARKS, find_marks  # noqa: E402
from mdmf_core.images.reader import read  # noqa: E402
from mdmf_core.texts import printable  # noqa: E402

GENERATED, REAL = ("generated", "fake", "1_fake"), ("real", "0_real")
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda pixels: pixels,
    "JPEG 95": lambda pixels: degrade.jpeg(pixels, 95),
    "JPEG 90": lambda pixels: degrade.jpeg(pixels, 90),
    "JPEG 80": lambda pixels: degrade.jpeg(pixels, 80),
    "WebP 90": lambda pixels: degrade.webp(pixels, 90),
    "cropped at right and bottom": lambda pixels: pixels[: -pixels.shape[0] // 8, : -pixels.shape[1] // 8],
    "cropped at left and top by 8": lambda pixels: pixels[8:, 8:],
    "resized to 0.9": lambda pixels: degrade.resize(pixels, 0.9),
    "resized to 0.5": lambda pixels: degrade.resize(pixels, 0.5),
}


def counted(folder: Path, each: int | None = None) -> dict[str, dict[str, int]]:
    """By group (what, and the folder below it): how many files, and what was found in them."""
    table: dict[str, Counter] = defaultdict(Counter)
    for what, path in files_of(folder, each):
        row = table[what]
        row["files"] += 1
        try:
            picture = read(path, 1)
        except ImageError:
            row["not read"] += 1
            continue
        found = read_provenance(path, picture)
        origin = summary(found)
        row[verdict(what, origin.generated)] += 1
        row["with a statement"] += bool(origin.declared)
        row["marks"] += bool(found.marks)
        if not what or verdict(what, origin.generated) == "wrongly claimed":
            print(printable(f"{path.relative_to(folder)}: {origin.sentence}"))
    return {what: dict(row) for what, row in sorted(table.items())}


def files_of(folder: Path, each: int | None) -> Iterable[tuple[str, Path]]:
    """What a file is, and its path; at most `each` of a folder, drawn by lot from a seed."""
    groups: dict[Path, list[Path]] = defaultdict(list)
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and is_image_name(path)):
        groups[path.parent].append(path)
    for parent, paths in groups.items():
        what = parent.relative_to(folder).parts[0] if parent != folder else ""
        chosen = sorted(random.Random(0).sample(paths, min(each or len(paths), len(paths))))  # noqa: S311  # drawn for a benchmark
        yield from ((what, path) for path in chosen)


def verdict(what: str, generated: str) -> str:
    if what in GENERATED:
        return "found" if generated == "yes" else "missed"
    if what in REAL:
        return "wrongly claimed" if generated == "yes" else "rightly not claimed"
    return f"declared: {generated}"


def lasting(folder: Path, most: int) -> dict[str, dict[str, str]]:
    """How often each mark is still found after each change, in pictures of `folder` that had none."""
    from imwatermark.maxDct import EmbedMaxDct

    paths = [path for what, path in files_of(folder, 3) if what in REAL]
    random.Random(1).shuffle(paths)  # noqa: S311  # drawn for a benchmark
    tools = dict(reversed(MARKS))  # of a tool's marks the first
    found: dict[str, Counter] = {tool: Counter() for tool in sorted(tools)}
    used = 0
    for path in paths:
        pixels = read(path, 1).pixels
        if min(pixels.shape[:2]) < 288:
            continue
        used += 1
        for tool, bits in tools.items():
            coder = EmbedMaxDct(list(bits), wmLen=len(bits))
            marked = coder.encode(np.ascontiguousarray(pixels[..., ::-1]))[..., ::-1]
            for name, change in CHANGES.items():
                changed = change(np.ascontiguousarray(marked))
                found[tool][name] += any(mark.tool == tool for mark in find_marks(changed))
        if used == most:
            break
    return {tool: {name: f"{row[name]} of {used}" for name in CHANGES} for tool, row in found.items()}


def table_of(rows: dict[str, dict]) -> str:
    """Rows of counts as Markdown."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for what, row in rows.items():
        lines.append(f"| {what or '(loose)'} | {' | '.join(str(row.get(name, 0)) for name in columns)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> dict[str, dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, help="at most so many files of a folder")
    parser.add_argument("--marks", type=int, help="mark so many real pictures and change them")
    parser.add_argument("--out", type=Path, help="the figures as JSON")
    chosen = parser.parse_args(arguments)
    rows = lasting(chosen.folder, chosen.marks) if chosen.marks else counted(chosen.folder, chosen.each)
    print(table_of(rows))
    if chosen.out:
        write_whole(chosen.out, lambda path: path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8"))
    return rows


if __name__ == "__main__":
    main()
