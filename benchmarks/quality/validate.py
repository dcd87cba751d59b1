"""How far likelihood ratios and refusals can be trusted, as forensic reports validate them, on held-out sources.

    python benchmarks/quality/validate.py bundled ../shared/data --write docs/validation.md

Pictures of the sources that `benchmarks/configs/folds.json` holds out, real ones without art, at most `--most` of each:
as files are, recompressed alike, resized and recompressed ("web"); and a sample of them after each change in `made.py`.
Needs the Netherlands Forensic Institute's package `lir` (requirements-dev.txt). Printed, and written to `--out` and
beside it:

    Cllr         cost of the likelihood ratios (0 is perfect, 1 says nothing), with Cllr_min, what a perfect calibration
                 of the same scores would cost, and Cllr_cal, the rest (Bruemmer & du Preez, 2006)
    plots        Tippett and PAV plots, one file a condition
    refusals     the share of each kind that can't be judged
    alarms       real pictures with p <= 0.05, with a likelihood ratio of 2 and 10 or more; judged ones alone

With `--write` the tables replace what stands between the two marks of that file. Scores are kept beside `--out` and
used again by the same detector. `--originals` names a folder with real/SOURCE of whole camera originals, `--kinds` one
with KIND/SOURCE/PICTURE of real pictures of any other kinds, such as screenshots (`screens.py`) and scans.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality import made, roles  # noqa: E402
from benchmarks.quality.held_out_tables import head, line  # noqa: E402
from benchmarks.quality.outlines import pictures  # noqa: E402
from benchmarks.quality.validate_plots import pav, tippett  # noqa: E402
from mdmf_core.checkpoint import hub  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.errors import ImageError  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.images import degrade  # noqa: E402
from mdmf_core.images.reader import read  # noqa: E402
from mdmf_core.run import workers  # noqa: E402
from mdmf_core.training.dataset import Entry, lot, scan  # noqa: E402
from mdmf_core.training.tables import write_csv  # noqa: E402

CONDITIONS = ("as_is", "alike", "web")
ORIGINAL = "camera original"
GIVEN = "given: "  # before a kind of `--kinds`
KINDS = (*made.ORDINARY, *made.REFUSED)
Job = tuple[Entry, tuple[str, ...]]  # a picture and its conditions
ALPHA = 0.05
LEAST = 5  # judged pictures of a source that has figures of its own
MARKS = ("<!-- figures: begin -->", "<!-- figures: end -->")


@dataclass(frozen=True)
class Scored:
    """One picture in one condition; `log10_lr` is empty where the detector has no likelihood ratios."""

    label: int
    source: str
    key: str
    condition: str
    detail: str
    p_value: float
    log10_lr: float | None
    reason: str


def rows_of(job: Job, detector: Detector, seed: int) -> list[Scored]:
    """One picture in its conditions; none where it can't be used."""
    entry, conditions = job
    found, smallest = [], detector.model.geometry.min_side
    try:
        picture = read(entry.path, smallest)
    except ImageError:
        return []
    for condition in conditions:
        try:
            rng = degrade.generator(seed, condition, entry.key)
            change = (made.ORDINARY | made.REFUSED).get(condition)
            if change is not None:
                pixels = np.ascontiguousarray(change(picture.pixels, rng))
            elif condition == ORIGINAL or condition.startswith(GIVEN):
                pixels = picture.pixels
            else:
                pixels = degrade.apply(condition, picture.pixels, rng, False, smallest)
            verdict = detector.detect(pixels, ALPHA, locate=False).verdict
        except ImageError:
            continue
        ratio = None if verdict.strength is None else float(np.log10(verdict.strength.ratio))
        told = (verdict.detail, verdict.p_value, ratio, verdict.reason)
        found.append(Scored(entry.label, entry.source, entry.key, condition, *told))
    return found


def jobs(data: Path, originals: Path | None, most: int, sample: int, given: Path | None = None) -> list[Job]:
    """Each picture with its conditions; `sample` pictures of each class, by lot, also get the kinds that are made."""
    known = roles.load()
    entries = roles.without_art(roles.held_out(data, known, most), known)
    wanted: dict[Entry, tuple[str, ...]] = dict.fromkeys(entries, CONDITIONS)
    for label, changes in ((0, KINDS), (1, tuple(made.ORDINARY))):
        own = sorted((entry for entry in entries if entry.label == label), key=lambda entry: lot(f"made {entry.key}"))
        for entry in own[:sample]:
            wanted[entry] += changes
    if originals is not None:
        whole = [entry for entry in scan(originals) if entry.label == 0]
        by_lot = sorted(whole, key=lambda entry: lot(entry.key))
        counts: Counter[str] = Counter()
        for entry in by_lot:
            counts[entry.source] += 1
            if counts[entry.source] <= most:
                wanted[entry] = (ORIGINAL,)
    for kind, source, path in pictures(given) if given else ():
        wanted[Entry(path, f"{kind}/{source}/{path.name}", 0, source)] = (f"{GIVEN}{kind}",)
    return list(wanted.items())


def other_kinds(rows: list[Scored]) -> list[str]:
    """Conditions of pictures that were given with their kind."""
    return sorted({row.condition for row in rows if row.condition.startswith(GIVEN)})


def scored(detector: Detector, wanted: list, path: Path, processes: int, seed: int) -> list[Scored]:
    """All rows; those that an earlier run left at `path`, if they are this detector's and of these pictures."""
    told = _made_with(detector, wanted, seed)
    if path.is_file():
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        if {line.pop("made_with") for line in lines} == {told}:
            return [_row(line) for line in lines]
    work = partial(rows_of, detector=detector, seed=seed)
    found = workers.run(work, wanted, processes or workers.sensible(len(wanted), detector.model.backbone))
    rows = [row for rows in found if not isinstance(rows, workers.Died) for row in rows]
    write_csv(path, [asdict(row) | {"made_with": told} for row in rows])
    return rows


def _made_with(detector: Detector, wanted: list, seed: int) -> str:
    """What rows depend on: the detector's fingerprint, and a digest of pictures (names, bytes), conditions and seed."""
    pictures = [(entry.key, entry.label, entry.path.stat().st_size, conditions) for entry, conditions in wanted]
    digest = hashlib.sha256(repr((seed, pictures)).encode()).hexdigest()
    return f"{hub.score_fingerprint(detector.located.folder)} {digest}"


def _row(told: dict[str, str]) -> Scored:
    numbers = {"label": int(told["label"]), "p_value": float(told["p_value"])}
    ratio = float(told["log10_lr"]) if told["log10_lr"] else None
    return Scored(**{**told, **numbers, "log10_lr": ratio})


def cost(real: np.ndarray, generated: np.ndarray) -> tuple[float, float]:
    """Cllr and Cllr_min of log10 likelihood ratios of real (R,) and generated (G,) pictures, by `lir`.

    Raises:
        SystemExit: `lir` is not installed; one sentence.
    """
    try:
        from lir.data.models import LLRData
        from lir.metrics import cllr, cllr_min
    except ImportError:
        raise SystemExit(
            "The package lir is missing: pip install -r requirements-dev.txt (Python 3.11 or later)."
        ) from None
    labels = np.repeat([0, 1], [len(real), len(generated)])
    data = LLRData(features=np.concatenate([real, generated])[:, None], labels=labels)
    return cllr(data), cllr_min(data)


def judged(rows: Iterable[Scored], label: int) -> np.ndarray:
    """log10 likelihood ratios of one class."""
    return np.array(
        [row.log10_lr for row in rows if row.label == label and not row.reason and row.log10_lr is not None]
    )


# Tables


def cost_table(rows: list[Scored]) -> Iterator[str]:
    yield from head(
        "condition, detail",
        "real",
        "generated",
        "Cllr",
        "Cllr_min",
        "Cllr_cal",
        "misleading real",
        "misleading generated",
    )
    for condition in (*CONDITIONS, *made.ORDINARY):
        own = [row for row in rows if row.condition == condition]
        for detail in ("all", "usual", "soft", "noisy"):
            part = [row for row in own if detail in ("all", row.detail)]
            real, generated = judged(part, 0), judged(part, 1)
            if min(len(real), len(generated)) >= 10:
                whole, least = cost(real, generated)
                wrong = np.mean(real >= np.log10(2)), np.mean(generated <= -np.log10(2))
                figures = (f"{value:.3f}" for value in (whole, least, whole - least, *wrong))
                yield line(f"{condition}, {detail}", len(real), len(generated), *figures)


def alarm_table(rows: list[Scored]) -> Iterator[str]:
    yield from head("real pictures", "n", "can't be judged", "p <= 0.05", "LR >= 2", "LR >= 10")
    for condition in (*CONDITIONS, ORIGINAL, *KINDS, *other_kinds(rows)):
        own = [row for row in rows if row.condition == condition and row.label == 0]
        if own:
            yield line(condition, len(own), *_alarms(own))
    for condition in CONDITIONS:
        own = [row for row in rows if row.condition == condition and row.label == 1]
        yield line(f"generated, {condition}", len(own), *_alarms(own))


def _alarms(rows: list[Scored]) -> list[str]:
    """Shares of refused pictures and, among all, of judged ones that are called."""
    good = [row for row in rows if not row.reason]
    shares = [1 - len(good) / len(rows), np.mean([not row.reason and row.p_value <= ALPHA for row in rows])]
    for least in (2, 10):
        shares.append(np.mean([not row.reason and (row.log10_lr or 0) >= np.log10(least) for row in rows]))
    return [f"{share:.3f}" for share in shares]


def reason_table(rows: list[Scored]) -> Iterator[str]:
    """Which rule refuses how many real pictures of each kind."""
    rules = {
        "patches": "hold",
        "colours": "colour",
        "equal": "exactly equal",
        "compressed": "compressed",
        "median": "median filter",
        "detail": "fine detail",
        "far": "far from",
    }
    yield from head("can't be judged, by rule", *rules)
    for condition in (*CONDITIONS, ORIGINAL, *KINDS, *other_kinds(rows)):
        own = [row.reason for row in rows if row.condition == condition and row.label == 0]
        if own:
            yield line(condition, *(f"{np.mean([part in reason for reason in own]):.3f}" for part in rules.values()))


def source_table(rows: list[Scored]) -> Iterator[str]:
    yield from head("source", "n", "median LR", "LR >= 2", "LR <= 1/2", "can't be judged")
    for label, name in sorted({(row.label, row.source) for row in rows if row.condition == "as_is"}):
        own = [row for row in rows if (row.label, row.source, row.condition) == (label, name, "as_is")]
        ratios = judged(own, label)
        if len(ratios) >= LEAST:
            shares = np.mean(ratios >= np.log10(2)), np.mean(ratios <= -np.log10(2)), 1 - len(ratios) / len(own)
            title = f"{('real', 'generated')[label]}: {name}"
            yield line(title, len(own), f"{10 ** np.median(ratios):.2g}", *(f"{share:.2f}" for share in shares))


def markdown(rows: list[Scored], model: str, fingerprint: str) -> str:
    counts = [len({row.key for row in rows if row.label == label}) for label in (0, 1)]
    text = [f"Detector {model}, fingerprint {fingerprint[:12]}; {counts[0]} real and {counts[1]} generated pictures."]
    for table in (cost_table, alarm_table, reason_table, source_table):
        text += ["", *table(rows)]
    return "\n".join(text) + "\n"


def plots(rows: list[Scored], folder: Path) -> None:
    """A Tippett and a PAV plot for each condition with ratios of both classes."""
    for condition in CONDITIONS:
        own = [row for row in rows if row.condition == condition]
        real, generated = judged(own, 0), judged(own, 1)
        for name, draw in (("tippett", tippett), ("pav", pav)):
            if len(real) and len(generated):
                figure = draw(real, generated)
                write_whole(
                    folder / f"{name}_{condition}.png", lambda path, own=figure: own.savefig(path, format="png")
                )


def written(page: str, tables: str) -> str:
    """A page with the tables between its two marks.

    Raises:
        ValueError: it does not have both.
    """
    if any(page.count(mark) != 1 for mark in MARKS):
        raise ValueError(f"The page needs the marks {MARKS[0]} and {MARKS[1]}, once each.")
    before, after = page.split(MARKS[0])[0], page.split(MARKS[1])[1]
    return f"{before}{MARKS[0]}\n\n{tables}\n{MARKS[1]}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="folder or repository of a checkpoint, or `bundled`")
    parser.add_argument("data", type=Path, help="folder with real/SOURCE and fake/SOURCE")
    parser.add_argument("--originals", type=Path, help="folder with real/SOURCE of whole camera originals")
    parser.add_argument("--kinds", type=Path, help="folder with KIND/SOURCE/PICTURE of real pictures of other kinds")
    parser.add_argument("--most", type=int, default=8, help="pictures of a source at most")
    parser.add_argument("--sample", type=int, default=60, help="pictures of each class that get the kinds made of them")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "validate.json")
    parser.add_argument("--write", type=Path, help="Markdown page whose figures are replaced")
    parser.add_argument("--processes", type=int, default=0, help="0: as many as are worth their start")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    detector = Detector.from_pretrained(None if given.checkpoint == "bundled" else given.checkpoint)
    wanted = jobs(given.data, given.originals, given.most, given.sample, given.kinds)
    rows = scored(detector, wanted, given.out.with_suffix(".csv"), given.processes, given.seed)
    tables = markdown(rows, detector.facts.name, detector.fingerprint)
    told = json.dumps({"model": detector.facts.name, "fingerprint": detector.fingerprint, "tables": tables}, indent=1)
    write_whole(given.out, lambda path: path.write_text(told + "\n", "utf-8"))
    plots(rows, given.out.parent)
    if given.write:
        page = written(given.write.read_text("utf-8"), tables)
        write_whole(given.write, lambda path: path.write_text(page, "utf-8"))
    print(tables)


if __name__ == "__main__":
    main()
