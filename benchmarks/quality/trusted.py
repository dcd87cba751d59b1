"""What pictures of one's own are worth as a reference: false alarms, and generated pictures found, before and after.

    python benchmarks/quality/trusted.py FOLDER            # with real/SOURCE and fake/SOURCE

Takes real sources with the role "test" in `benchmarks/configs/folds.json`, or other files of roles (`--folds`), that
have at least 60 pictures, and a few generated pictures of each held-out source; none was in training, bank or
calibration. Every picture is looked at once
(`--kept` keeps that). Then, for each source and each size of a reference, pictures of the source are drawn as trusted,
and its other pictures, and all generated ones, are compared with them; that is done `--draws` times. Printed, written
to `--out` and into docs/method.md: shares with p <= 0.05, with the general null and with the reference.

At least 8 pictures of a source are left over. However many draws there are, a share has no more independent pictures
than the source.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality import roles  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.errors import DatasetError  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.method.calibration import p_value  # noqa: E402
from mdmf_core.run.trust import look_at  # noqa: E402
from mdmf_core.training.dataset import Entry, lot  # noqa: E402
from mdmf_core.trusted import Kept, Trusted, collect  # noqa: E402

ALPHA = 0.05
SIZES = (30, 50, 100, 300)
LEAST = 60  # pictures of a real source
HELD = 8  # pictures of a source that are left over at least
AT_ONCE = 100  # pictures looked at before they are kept
FACTS = [field.name for field in fields(Kept) if field.name != "signatures"]
DOC = ROOT / "docs" / "method.md"
BLOCK = re.compile(r"(<!-- trusted: [^\n]* -->\n).*?(<!-- /trusted -->)", re.DOTALL)


def chosen(data: Path, known: roles.Roles, most_generated: int, only: Sequence[str] = ()) -> list[Entry]:
    """Photographs of held-out sources with enough pictures, and some generated pictures of each held-out source.

    Raises:
        DatasetError: there is none of either.
    """
    entries = sorted(roles.without_art(roles.held_out(data, known), known), key=lambda entry: lot(entry.key))
    sources: dict[tuple[int, str], list[Entry]] = {}
    for entry in entries:
        sources.setdefault((entry.label, entry.source), []).append(entry)
    most = {0: None, 1: most_generated}
    wanted = [
        own[: most[label]]
        for (label, source), own in sources.items()
        if label or (len(own) >= LEAST and source in (only or [source]))
    ]
    taken = [entry for own in wanted for entry in own]
    if {entry.label for entry in taken} != {0, 1}:
        raise DatasetError(f"{data} lacks real sources of {LEAST} pictures or generated ones that are held out.")
    return taken


def looked_at(entries: Sequence[Entry], detector: Detector, file: Path | None, processes: int) -> dict[str, Kept]:
    """What is kept of each picture, by its key; what `file` has of this detector is not looked at again."""
    found = {} if file is None else read_kept(file, detector.fingerprint)
    missing = [entry for entry in entries if entry.key not in found]
    for start in tqdm(range(0, len(missing), AT_ONCE), desc=f"{AT_ONCE} pictures each"):
        part = missing[start : start + AT_ONCE]
        seen = look_at(detector, [entry.path for entry in part], processes)
        found |= {entry.key: kept for entry, kept in zip(part, seen, strict=True) if isinstance(kept, Kept)}
        if file is not None:
            write_kept(file, found, detector.fingerprint)
    return found


def read_kept(file: Path, fingerprint: str) -> dict[str, Kept]:
    """What an earlier run kept; nothing where there is no file, or another detector's."""
    if not file.is_file():
        return {}
    with np.load(file, allow_pickle=False) as stored:
        facts, signatures = json.loads(str(stored["facts"])), stored["signatures"]
    if facts["fingerprint"] != fingerprint:
        return {}
    return {key: Kept(**row, signatures=own) for (key, row), own in zip(facts["rows"], signatures, strict=True)}


def write_kept(file: Path, kept: dict[str, Kept], fingerprint: str) -> None:
    rows = [(key, {name: getattr(one, name) for name in FACTS}) for key, one in kept.items()]
    facts = json.dumps({"fingerprint": fingerprint, "rows": rows})
    np.savez(file, facts=facts, signatures=np.stack([one.signatures for one in kept.values()]))


def called(pictures: Sequence[Kept], reference: Trusted) -> float:
    """Share of pictures with p <= 0.05 among trusted ones."""
    return float(np.mean([p_value(*reference.among(picture)) <= ALPHA for picture in pictures]))


def of_source(own: list, generated: list, detector: Detector, size: int, draws: int, seed: int) -> dict | None:
    """Shares called of one source's other pictures and of generated ones; None where it has too few pictures."""
    if len(own) < size + HELD:
        return None
    rng, shares = np.random.default_rng(seed), []
    for _ in range(draws):
        order = rng.permutation(len(own))
        reference = collect([own[i] for i in order[:size]], detector, "drawn")
        shares.append([called([own[i] for i in order[size:]], reference), called(generated, reference)])
    false_alarms, found = np.mean(shares, axis=0).tolist()
    return {"false_alarms": false_alarms, "found": found}


def summarise(
    real: dict[str, list[Kept]], generated: list[Kept], detector: Detector, draws: int, seed: int
) -> dict[str, Any]:
    """Figures of each source, and means over the sources that a size of reference has."""
    sources = {}
    for name, own in tqdm(real.items(), desc="sources"):
        general = float(np.mean([kept.p_value <= ALPHA for kept in own]))
        sizes = {str(size): of_source(own, generated, detector, size, draws, seed) for size in SIZES}
        sources[name] = {"pictures": len(own), "general": general, "sizes": sizes}
    found = float(np.mean([kept.p_value <= ALPHA for kept in generated]))
    return {"generated": len(generated), "found_general": found, "sources": sources, "means": means(sources)}


def means(sources: dict[str, dict]) -> dict[str, dict]:
    """Means over the sources with enough pictures for a size: general false alarms, and both with the reference."""
    names, made = ("general_false_alarms", "false_alarms", "found"), {}
    for size in map(str, SIZES):
        rows = [(row["general"], *row["sizes"][size].values()) for row in sources.values() if row["sizes"][size]]
        values = np.mean(rows, axis=0).tolist() if rows else [None] * len(names)
        made[size] = {"sources": len(rows), **dict(zip(names, values, strict=True))}
    return made


def markdown(result: dict[str, Any]) -> str:
    """The figures as sentences and a table."""
    figures = result["figures"]
    general = figures["found_general"]
    head = ["source", "pictures", "general null", *(f"{size} trusted" for size in SIZES)]
    lines = [
        f"`{result['command']}`",
        f"printed this on {result['date']} with the model {result['fingerprint'][:12]}. False alarms at p <= 0.05 on",
        "pictures of held-out sources and, in brackets, the share found of",
        f"{figures['generated']} generated pictures of held-out generators. The general null finds {general:.2f}.",
        "",
        f"| {' | '.join(head)} |",
        f"|---|{'---:|' * (len(head) - 1)}",
    ]
    for name, row in sorted(figures["sources"].items()):
        cells = [_cell(row["sizes"][str(size)]) for size in SIZES]
        lines.append(f"| `{name}` | {row['pictures']} | {row['general']:.2f} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(_mean(size, row, general) for size, row in figures["means"].items())]) + "\n"


def _mean(size: str, row: dict, general: float) -> str:
    """What a reference of one size changes, over the sources."""
    if not row["sources"]:
        return f"- {size} trusted pictures: no held-out source has so many."
    return (
        f"- {size} trusted pictures ({row['sources']} sources): false alarms {row['general_false_alarms']:.3f} before,"
        f" {row['false_alarms']:.3f} after; found {general:.3f} before, {row['found']:.3f} after."
    )


def _cell(figures: dict | None) -> str:
    return "" if figures is None else f"{figures['false_alarms']:.2f} ({figures['found']:.2f})"


def into_doc(text: str, doc: Path = DOC) -> None:
    """Replace the marked block of the page."""
    old = doc.read_text("utf-8")
    new, count = BLOCK.subn(lambda found: f"{found[1]}{text}{found[2]}", old)
    if count != 1:
        raise DatasetError(f"{doc.name} has no block for these figures.")
    write_whole(doc, lambda place: place.write_text(new, "utf-8"))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with real/SOURCE and fake/SOURCE")
    parser.add_argument("--model", help="checkpoint folder or repository; default: the bundled detector")
    parser.add_argument("--most-generated", type=int, default=4, help="pictures of a generated source at most")
    parser.add_argument("--folds", type=Path, nargs="+", default=[roles.FOLDS], help="which sources are held out")
    parser.add_argument("--only", nargs="*", default=[], help="real sources to take; default: all with enough pictures")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=0, help="0: as many as are worth their start")
    parser.add_argument("--kept", type=Path, help="file (.npz) for what is kept of each picture, read and added to")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "trusted.json")
    return parser.parse_args()


def command(given: argparse.Namespace) -> str:
    """What was typed, as far as it decides about the figures."""
    folds = [] if given.folds == [roles.FOLDS] else ["--folds", *map(str, given.folds)]
    only = ["--only", *given.only] if given.only else []
    return " ".join(["python benchmarks/quality/trusted.py FOLDER", *folds, *only])


def main() -> None:
    given = parsed()
    detector = Detector.from_pretrained(given.model)
    known = {name: role for path in given.folds for name, role in roles.load(path).items()}
    entries = chosen(given.data, known, given.most_generated, given.only)
    kept = looked_at(entries, detector, given.kept, given.processes)
    real: dict[str, list[Kept]] = {}
    for entry in entries:
        if entry.label == 0 and entry.key in kept:
            real.setdefault(entry.source, []).append(kept[entry.key])
    generated = [kept[entry.key] for entry in entries if entry.label == 1 and entry.key in kept]
    result = {
        "command": command(given),
        "most_generated": given.most_generated,
        "fingerprint": detector.fingerprint,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "alpha": ALPHA,
        "draws": given.draws,
        "seed": given.seed,
        "figures": summarise(real, generated, detector, given.draws, given.seed),
    }
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    write_whole(given.out, lambda place: place.write_text(text, "utf-8"))
    into_doc(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
