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
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality import by_source, roles  # noqa: E402
from mdmf_core.checkpoint import hub  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.errors import DatasetError  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.training.dataset import Entry  # noqa: E402
from mdmf_core.training.evaluate import Row, score  # noqa: E402
from mdmf_core.training.metrics import share  # noqa: E402
from mdmf_core.training.tables import write_csv  # noqa: E402

CONDITIONS = ("as_is", "alike", "web", "without_traces")
FAMILIES = ("gan", "diffusion_2022", "sdxl_era", "2025_on")
ALPHA = 0.05
LEAST = 8  # pictures of a source that has figures of its own
MANY = 0.12  # false alarms of a source that is named
DRAWS = 1000
AT_ONCE = 200  # pictures scored before the scores are written
PAIRS = ROOT / "benchmarks" / "configs" / "pairs.json"
MEANS = {"average": f"generators of at least {LEAST} pictures", "rest": "the rest, pooled", "pooled": "all, pooled"}
MATCH = ("generated", "real", "alike")  # keys of a generated picture and of a real one, and how alike they are
Match = tuple[str, str, float]


# Scores


def read_scores(path: Path, fingerprint: str) -> list[Row]:
    """The rows of an earlier run; none where there is no file.

    Raises:
        DatasetError: they are another checkpoint's.
    """
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    if {line.pop("fingerprint") for line in lines} - {fingerprint}:
        raise DatasetError(f"{path.name} holds the scores of another checkpoint; name another file or remove it.")
    return [Row(**{name: _value(name, text) for name, text in line.items()}) for line in lines]


def _value(name: str, text: str) -> Any:
    if name in ("folder", "source", "key", "condition"):
        return text
    kind = str if name == "error" else int if name in ("label", "n_calibration", "n_patches") else float
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


# Figures


@dataclass(frozen=True)
class Side:
    """Pictures of one class, scored: `names` of S sources; scores, p-values and sources `of` N pictures by `keys`."""

    names: list[str]
    keys: list[str]
    of: np.ndarray
    scores: np.ndarray
    p_values: np.ndarray

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> Side:
        rows = list(rows)
        names = sorted({row.source for row in rows})
        numbers = {name: number for number, name in enumerate(names)}
        return cls(
            names,
            [row.key for row in rows],
            np.array([numbers[row.source] for row in rows], np.int64),
            np.array([row.score for row in rows], float),
            np.array([row.p_value for row in rows], float),
        )

    @cached_property
    def sizes(self) -> np.ndarray:
        return np.bincount(self.of, minlength=len(self.names))

    @cached_property
    def called(self) -> np.ndarray:
        """Shares of each source's pictures with p <= 0.05, (S,)."""
        return by_source.sums((self.p_values <= ALPHA).astype(float), self.of, len(self.names)) / self.sizes

    def p_of(self, source: int) -> np.ndarray:
        return self.p_values[self.of == source]


class Condition:
    """All that the figures of one condition are made from: R real and G generated sources, B draws of them."""

    def __init__(self, rows: list[Row], known: roles.Roles, seed: int = 0, draws: int = DRAWS) -> None:
        good = [row for row in rows if row.error is None]
        self.pictures, self.failures, self.seed = len(rows), len(rows) - len(good), seed
        self.real, self.generated = (Side.of_rows(row for row in good if row.label == label) for label in (0, 1))
        kinds = [
            np.array([known[roles.name_of(label, name)]["kind"] for name in side.names], object)
            for label, side in enumerate((self.real, self.generated))
        ]
        self.art, self.family = kinds[0] == roles.ART, kinds[1]
        self.enough = self.generated.sizes >= LEAST
        rng = np.random.default_rng(seed)
        self.times = by_source.resampled(self.art, draws, rng)
        self.hits = by_source.resampled(self.enough, draws, rng)
        real, count = self.real, len(self.real.names)
        self.beaten = by_source.beaten(self.generated.scores, real.scores, real.of, count)
        self.won = by_source.sums(self.beaten, self.generated.of, len(self.generated.names))

    def aurocs(self, against: np.ndarray) -> np.ndarray:
        """AUROC (B + 1, G) against the real sources `against` (R,), a mask."""
        return by_source.aurocs(self.won, self.generated.sizes, self.real.sizes, self.times * against)

    def means(self, values: np.ndarray, of: np.ndarray | None = None) -> dict[str, by_source.Figure]:
        """Means of each generator's values over the generators `of` (G,), a mask; None takes all."""
        hits = self.hits if of is None else self.hits * of
        found = by_source.three_means(values, self.generated.sizes, hits, LEAST)
        return {name: by_source.figure(drawn) for name, drawn in found.items()}

    def false_alarms(self, among: np.ndarray) -> dict[str, Any]:
        """Means over the pictures and over the sources `among` (R,), a mask."""
        times, sizes = self.times * among, self.real.sizes
        return {
            "n": int(sizes[among].sum()),
            "sources": int(among.sum()),
            "pictures": by_source.figure(by_source.average(self.real.called, times * sizes)),
            "mean": by_source.figure(by_source.average(self.real.called, times)),
        }


def of_condition(given: Condition, named: list[dict], matches: list[Match]) -> dict[str, Any]:
    """All figures of one condition; what does not exist is None."""
    photographs, art = given.aurocs(~given.art), given.aurocs(given.art)
    found, alarms = given.generated.called, given.false_alarms(~given.art)
    return {
        "pictures": given.pictures,
        "failures": given.failures,
        "generated": {"n": int(given.generated.sizes.sum()), "sources": len(given.generated.names)},
        "auroc": given.means(photographs),
        "tpr": given.means(found),
        "found_at_own_point": at_own_point(given),
        "false_alarms": alarms,
        "families": {name: family(given, photographs, given.family == name) for name in FAMILIES},
        "generators": {name: generator(given, number) for number, name in listed(given.generated)},
        "real": {name: real_source(given, number) for number, name in listed(given.real)},
        "above": [name for number, name in listed(given.real) if given.real.called[number] > MANY],
        "art": {"auroc": given.means(art), "false_alarms": given.false_alarms(given.art)},
        "pairs": of_named(given, named),
        "matched": of_matches(given, matches),
    }


def listed(side: Side) -> list[tuple[int, str]]:
    """Number and name of each source that has figures of its own."""
    return [(number, name) for number, name in enumerate(side.names) if side.sizes[number] >= LEAST]


def at_own_point(given: Condition) -> float | None:
    """Share of all generated pictures above the photographs' own 95% point, which no detector knows beforehand."""
    photographs = given.real.scores[~given.art[given.real.of]]
    if not len(photographs) or not len(given.generated.scores):
        return None
    return float((given.generated.scores > np.quantile(photographs, 1 - ALPHA)).mean())


def family(given: Condition, aurocs: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    sizes = given.generated.sizes[own]
    return {
        "n": int(sizes.sum()),
        "sources": len(sizes),
        "auroc": given.means(aurocs, own),
        "tpr": given.means(given.generated.called, own),
    }


def generator(given: Condition, number: int) -> dict[str, Any]:
    """A generator against photographs and against genuine art."""
    own, rng = given.generated.of == number, np.random.default_rng([given.seed, number])
    sizes, p_values = given.real.sizes, given.generated.p_of(number)

    def against(real: np.ndarray) -> by_source.Figure:
        return by_source.figure(by_source.auroc_of_one(given.beaten[own], sizes, given.times * real, rng))

    return {
        "n": len(p_values),
        "family": given.family[number],
        "auroc": against(~given.art),
        "art": against(given.art),
        "tpr": share(p_values, ALPHA),
    }


def real_source(given: Condition, number: int) -> dict[str, Any]:
    p_values = given.real.p_of(number)
    return {"n": len(p_values), "art": bool(given.art[number]), "false_alarms": share(p_values, ALPHA)}


def of_named(given: Condition, named: list[dict]) -> dict[str, Any]:
    """AUROC of each pair of sources, and their mean; pairs of which a source is missing are left out."""
    real, generated = given.real.names, given.generated.names
    there = [pair for pair in named if pair["real"] in real and pair["generated"] in generated]
    places = [(generated.index(pair["generated"]), real.index(pair["real"])) for pair in there]
    numbers = np.array(places, np.int64).reshape(-1, 2)
    auroc = given.won / (given.generated.sizes[:, None] * given.real.sizes)
    own = [float(auroc[g, r]) for g, r in numbers]
    return {
        "n": len(there),
        "auroc": by_source.figure(by_source.of_pairs(auroc, numbers, given.times, given.hits)),
        "each": [pair | {"auroc": value} for pair, value in zip(there, own, strict=True)],
    }


def of_matches(given: Condition, matches: list[Match]) -> dict[str, Any]:
    """Shares of matched pairs in which the generated picture has the higher score: pooled, closest, by generator."""
    real, generated = ({key: number for number, key in enumerate(side.keys)} for side in (given.real, given.generated))
    there = [pair for pair in matches if pair[0] in generated and pair[1] in real]
    mine = np.array([generated[pair[0]] for pair in there], np.int64)
    theirs = np.array([real[pair[1]] for pair in there], np.int64)
    alike = np.array([pair[2] for pair in there])
    close = alike >= np.median(alike) if there else alike > 0
    return {
        "n": len(there),
        "higher": higher(given, mine, theirs),
        "higher_of_the_closer_half": higher(given, mine[close], theirs[close]),
        "mean_over_generators": mean_higher(given, mine, theirs),
    }


def higher(given: Condition, mine: np.ndarray, theirs: np.ndarray) -> by_source.Figure:
    scores, of = (given.generated.scores[mine], given.real.scores[theirs]), (given.generated.of, given.real.of)
    drawn = by_source.share_higher(*scores, of[0][mine], of[1][theirs], given.times, given.hits)
    return by_source.figure(drawn)


def mean_higher(given: Condition, mine: np.ndarray, theirs: np.ndarray) -> by_source.Figure:
    """The same share as a mean over generators of enough pictures."""
    count = len(given.generated.names)
    drawn = np.full((len(given.times), count), np.nan)
    for number in np.flatnonzero(given.enough):
        own = given.generated.of[mine] == number
        scores = given.generated.scores[mine[own]], given.real.scores[theirs[own]]
        sources = given.generated.of[mine[own]], given.real.of[theirs[own]]
        drawn[:, number] = by_source.share_higher(*scores, *sources, given.times, np.ones_like(given.hits))
    there = given.hits * given.enough * ~np.isnan(drawn)
    return by_source.figure(by_source.average(drawn, there))


# Tables


def line(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def head(*cells: object) -> list[str]:
    return [line(*cells), "|---|" + "---:|" * (len(cells) - 1)]


def shown(value: Any) -> str:
    """A figure with its interval, a share, a number, or a dash."""
    if isinstance(value, dict):
        value = [value["share"], *value["interval"]]
    if isinstance(value, list):
        ends = "" if None in value[1:] else " [{:.2f}, {:.2f}]".format(*value[1:])
        return shown(value[0]) + (ends if value[0] is not None else "")
    return "-" if value is None else f"{value:.3f}"


def across(conditions: dict[str, dict], name: str, *path: str, after: tuple = ()) -> str:
    """A row with the figure at a path in each condition; `after` are cells after the name."""
    cells = list(after)
    for found in conditions.values():
        value: Any = found
        for step in path:
            value = (value or {}).get(step)
        cells.append(shown(value))
    return line(name, *cells)


def summary_table(conditions: dict[str, dict]) -> Iterator[str]:
    yield from head("", *conditions)
    for key, what in MEANS.items():
        yield across(conditions, f"AUROC, {what}", "auroc", key)
    for key, what in MEANS.items():
        yield across(conditions, f"found at p <= {ALPHA}, {what}", "tpr", key)
    yield across(conditions, "found at the photographs' own 95% point, all, pooled", "found_at_own_point")
    yield across(conditions, "false alarms, photographs", "false_alarms", "pictures")
    yield across(conditions, "false alarms, mean over sources of photographs", "false_alarms", "mean")
    for key, what in MEANS.items():
        yield across(conditions, f"AUROC against genuine art, {what}", "art", "auroc", key)
    yield across(conditions, "false alarms, genuine art", "art", "false_alarms", "pictures")
    yield across(conditions, "false alarms, mean over sources of genuine art", "art", "false_alarms", "mean")
    yield across(conditions, "AUROC, named pairs of like subject", "pairs", "auroc")
    yield across(conditions, "matched pairs, generated one higher", "matched", "higher")
    yield across(conditions, "the same, the closer half", "matched", "higher_of_the_closer_half")
    yield across(conditions, "the same, mean over generators", "matched", "mean_over_generators")


def family_table(conditions: dict[str, dict]) -> Iterator[str]:
    yield from head("family", "n", *(f"{name}, {what}" for what in ("AUROC", "found") for name in conditions))
    for name in FAMILIES:
        for key, suffix in (("average", ""), ("pooled", ", pooled")):
            own = [found["families"][name] for found in conditions.values()]
            figures = [shown(one[what][key]) for what in ("auroc", "tpr") for one in own]
            yield line(name + suffix, own[0]["n"], *figures)


def generator_table(conditions: dict[str, dict]) -> Iterator[str]:
    columns = [f"{name}, {what}" for what in ("AUROC", "found", "AUROC against art") for name in conditions]
    yield from head("generator", "family", "n", *columns)
    for name in names(conditions, "generators"):
        own = [found["generators"].get(name, {}) for found in conditions.values()]
        first = next(one for one in own if one)
        figures = [shown(one.get(what)) for what in ("auroc", "tpr", "art") for one in own]
        yield line(name, first["family"], first["n"], *figures)


def real_table(conditions: dict[str, dict]) -> Iterator[str]:
    yield from head("real source", "n", *conditions)
    for name in names(conditions, "real"):
        first = next(found["real"][name] for found in conditions.values() if name in found["real"])
        title = f"{name} (art)" if first["art"] else name
        yield across(conditions, title, "real", name, "false_alarms", after=(first["n"],))


def pair_table(conditions: dict[str, dict]) -> Iterator[str]:
    yield from head("subject", "real", "generated", *conditions)
    each = [
        {(pair["subject"], pair["real"], pair["generated"]): pair["auroc"] for pair in found["pairs"]["each"]}
        for found in conditions.values()
    ]
    for pair in dict.fromkeys(pair for own in each for pair in own):
        yield line(*pair, *(shown(own.get(pair)) for own in each))


def names(conditions: dict[str, dict], part: str) -> list[str]:
    return list(dict.fromkeys(name for found in conditions.values() for name in found[part]))


def markdown(result: dict[str, Any]) -> str:
    """The tables for people."""
    conditions = result["conditions"]
    first = next(iter(conditions.values()))
    generated, photographs, art = first["generated"], first["false_alarms"], first["art"]["false_alarms"]
    lines = [
        f"Detector {result['model']}, fingerprint {result['fingerprint'][:12]}; {result['date']}, "
        f"seed {result['seed']}. Held-out sources: {generated['n']} generated pictures of "
        f"{generated['sources']}, {photographs['n']} photographs of "
        f"{photographs['sources']}, {art['n']} pictures of genuine art, of {art['sources']}. "
        f"In brackets 95% intervals, by bootstrap over sources ({result['draws']} draws).",
        "",
    ]
    for name, found in conditions.items():
        if found["failures"]:
            lines += [f"`{name}`: {found['failures']} of {found['pictures']} pictures could not be scored.", ""]
    lines += [*summary_table(conditions), ""]
    for name, found in conditions.items():
        lines.append(f"- `{name}`, false alarms above {MANY}: {', '.join(found['above']) or 'none'}")
    for table in (family_table, generator_table, real_table, pair_table):
        lines += ["", *table(conditions)]
    return "\n".join(lines) + "\n"


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
