"""How good a checkpoint is on sources that it never saw, and how much of that is subject and not trace.

    python benchmarks/quality/held_out.py runs/lite/checkpoint ../shared/data --start efficientnet-lite0.pth

Scores every picture whose source has the role "test" in `benchmarks/configs/folds.json` with the checkpoint's own
statistic and p-value, in four conditions: as files are; recompressed alike; resized and recompressed ("web"); shrunk to
a quarter and grown back ("without_traces"), where what is found is subject. `bundled` is the bundled detector. The
roles are those of a checkpoint whose recipe follows that file; another one may have been trained on some. Scores are
kept (`--scores`, else beside `--out`), and a later run scores only what they lack. Written to `--out` and beside
it, and printed: figures as JSON and as a Markdown table, for each condition:

    average    AUROC and share found (p <= 0.05) over generators of at least 8 pictures, pooled for the rest and for
               all, against photographs; false alarms on photographs. By family, generator and real source too
    refused    the share of each class that can't be judged; AUROC, found and false alarms count those pictures as well
    art        the same against genuine paintings, renders and gloss of held-out sources, and false alarms on them
    pairs      sources of like subject, chosen by looking at pictures and before any score (`configs/pairs.json`)
    matched    the real picture that shows what is most like a generated one (by an ImageNet network, the file
               `--start`): the share of such pairs in which the generated one has the higher score

Intervals: 95% bootstrap over sources, real and generated ones; of one generator over its pictures and real sources; of
shares of one source Wilson's. Training data stay out of the repository; the figures may be kept.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from dataclasses import asdict, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality import by_source, roles  # noqa: E402
from benchmarks.quality.held_out_figures import ALPHA, DRAWS, MATCH, Condition, Match, of_condition  # noqa: E402
from benchmarks.quality.held_out_tables import markdown  # noqa: E402
from mdmf_core.checkpoint import hub  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.errors import DatasetError  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.training.dataset import Entry  # noqa: E402
from mdmf_core.training.evaluate import Row, score  # noqa: E402
from mdmf_core.training.tables import write_csv  # noqa: E402

CONDITIONS = ("as_is", "alike", "web", "without_traces")
AT_ONCE = 200  # pictures scored before the scores are written
PAIRS = ROOT / "benchmarks" / "configs" / "pairs.json"


# Scores


def read_scores(path: Path, fingerprint: str) -> list[Row]:
    """The rows of an earlier run; none where there is no file.

    Raises:
        DatasetError: they are another checkpoint's, or of a version with other columns.
    """
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    if {line.pop("fingerprint") for line in lines} - {fingerprint}:
        raise DatasetError(f"{path.name} holds the scores of another checkpoint; name another file or remove it.")
    if lines and set(lines[0]) != {field.name for field in fields(Row)}:
        raise DatasetError(f"{path.name} has other columns than this version writes; name another file or remove it.")
    return [Row(**{name: _value(name, text) for name, text in line.items()}) for line in lines]


def _value(name: str, text: str) -> Any:
    if name in ("folder", "source", "key", "condition"):
        return text
    kind = str if name in ("reason", "error") else int if name in ("label", "n_calibration", "n_patches") else float
    return kind(text) if text else None


def write_scores(path: Path, rows: list[Row], fingerprint: str) -> None:
    write_csv(path, [asdict(row) | {"fingerprint": fingerprint} for row in rows])


def scored(checkpoint: str | None, entries: list[Entry], path: Path, processes: int, seed: int = 0) -> list[Row]:
    """A row for each picture in each condition; those that the file at `path` lacks are scored and added to it.

    Raises:
        CheckpointError, DatasetError: the checkpoint can't be used, or the file is another's; one sentence.
    """
    fingerprint = hub.score_fingerprint(hub.locate(checkpoint).folder)
    rows = read_scores(path, fingerprint)
    counts = Counter(row.key for row in rows)
    missing = [entry for entry in entries if counts[entry.key] != len(CONDITIONS)]
    rows = [row for row in rows if counts[row.key] == len(CONDITIONS)]
    if missing:
        detector = Detector.from_pretrained(checkpoint)
        for start in range(0, len(missing), AT_ONCE):
            part = [("data", entry) for entry in missing[start : start + AT_ONCE]]
            rows += score(detector, part, CONDITIONS, ALPHA, seed, processes)
            write_scores(path, rows, fingerprint)
    wanted = {entry.key for entry in entries}
    return [row for row in rows if row.key in wanted]


# Matched pairs


def matched(entries: list[Entry], path: Path, start: Path | None) -> list[Match]:
    """For each generated picture the real one that shows what is most like it; kept at `path`.

    Those at `path` that are of these pictures will do, where they are all or no weights `start` are given.
    """
    wanted = [{entry.key for entry in entries if entry.label == label} for label in (0, 1)]
    kept = [pair for pair in read_matches(path) if pair[0] in wanted[1] and pair[1] in wanted[0]]
    if start is None or len(kept) == len(wanted[1]) or not all(wanted):
        return kept
    found = match(entries, start)
    write_csv(path, [dict(zip(MATCH, pair, strict=True)) for pair in found])
    return found


def read_matches(path: Path) -> list[Match]:
    """The pairs of an earlier run; none where there is no file."""
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [(line["generated"], line["real"], float(line["alike"])) for line in csv.DictReader(file)]


def match(entries: list[Entry], start: Path) -> list[Match]:
    """For each generated picture the real one of the nearest embedding; both classes are there."""
    from mdmf_core.training.subjects import embeddings  # takes seconds to import

    sides = [[entry for entry in entries if entry.label == label] for label in (0, 1)]
    real, generated = (embeddings(own, start) for own in sides)
    best, alike = by_source.nearest(generated, real)
    pairs = zip(sides[1], best, alike, strict=True)
    return [(entry.key, sides[0][index].key, round(float(value), 4)) for entry, index, value in pairs]


def summarise(
    rows: list[Row], known: roles.Roles, named: list[dict], matches: list[Match], draws: int = DRAWS, seed: int = 0
) -> dict[str, dict]:
    """Figures of each condition that has rows, in the order of `CONDITIONS`."""
    by_condition = {name: [row for row in rows if row.condition == name] for name in CONDITIONS}
    return {
        name: of_condition(Condition(own, known, seed, draws), named, matches)
        for name, own in by_condition.items()
        if own
    }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="folder or repository of a checkpoint, or `bundled`")
    parser.add_argument("data", type=Path, help="folder with real/SOURCE and fake/SOURCE")
    parser.add_argument("--most", type=int, help="pictures of a source at most")
    parser.add_argument("--folds", type=Path, default=roles.FOLDS, help="roles of the sources")
    parser.add_argument("--pairs", type=Path, default=PAIRS, help="named pairs of sources of like subject")
    parser.add_argument("--start", type=Path, help="ImageNet weights of EfficientNet-Lite0, for matched pairs")
    parser.add_argument("--scores", type=Path, help="CSV of scores, read and added to; default: beside --out")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "held_out.json")
    parser.add_argument("--processes", type=int, default=0, help="0: as many as are worth their start")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    given = parsed()
    known, named = roles.load(given.folds), json.loads(given.pairs.read_text("utf-8"))
    checkpoint = None if given.checkpoint == "bundled" else given.checkpoint
    entries = roles.held_out(given.data, known, given.most)
    path = given.scores or given.out.with_suffix(".csv")
    rows = scored(checkpoint, entries, path, given.processes, given.seed)
    good = {row.key for row in rows} - {row.key for row in rows if row.error is not None}
    usable = [entry for entry in entries if entry.key in good]
    matches = matched(usable, path.with_name(f"{path.stem}_matched.csv"), given.start)
    located = hub.locate(checkpoint)
    result = {
        "model": located.model,
        "fingerprint": hub.fingerprint(located.folder),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "most": given.most,
        "alpha": ALPHA,
        "draws": given.draws,
        "seed": given.seed,
        "conditions": summarise(rows, known, named, matches, given.draws, given.seed),
    }
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    write_whole(given.out, lambda place: place.write_text(text, "utf-8"))
    table = markdown(result)
    write_whole(given.out.with_suffix(".md"), lambda place: place.write_text(table, "utf-8"))
    print(table)


if __name__ == "__main__":
    main()
