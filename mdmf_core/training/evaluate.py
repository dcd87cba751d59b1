"""Step 3 of 3: how well a checkpoint tells labelled pictures apart, with intervals.

    python -m mdmf_core evaluate runs/mine images/adm images/ldm --out runs/mine/quality

Metrics of arXiv 2605.09296 and of the benchmarks before it: AUROC, average precision (AP) and the false
positive rate at 95% true positives, for each generator and on average, with bootstrap intervals; and what
the calibrated p-value promises: shares of generated and of real pictures with p <= alpha. Every picture is
scored in each condition that `degrade.apply` knows. Written to `out`: `scores.csv` (a row a picture and
condition, failures with their sentence), `metrics.csv`, `metrics.json`, `metrics.md` and
`histogram_<condition>.png`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from mdmf_core.errors import DatasetError, ImageError
from mdmf_core.evidence import Evidence, check_alpha
from mdmf_core.files import write_whole
from mdmf_core.images import degrade
from mdmf_core.images.reader import read
from mdmf_core.run import workers
from mdmf_core.run.engine import anywhere, cluster, pipeline, results
from mdmf_core.training.dataset import Entry, on_every_machine, scan
from mdmf_core.training.metrics import DRAWS, METRICS, STRICT, bootstrap, interval, metrics, share
from mdmf_core.training.tables import flat, histogram, markdown, write_csv

if TYPE_CHECKING:
    from mdmf_core.detector import Detector


@dataclass(frozen=True)
class Row:
    """One picture in one condition.

    What can't be judged has a `reason` beside its score; what could not be scored has an `error` and no score.
    """

    folder: str
    source: str
    label: int
    key: str
    condition: str
    score: float | None = None
    mmd2: float | None = None
    relative: float | None = None
    p_value: float | None = None
    threshold: float | None = None
    n_calibration: int | None = None
    n_patches: int | None = None
    error: str | None = None
    reason: str | None = None


def gather(folders: Iterable[str | Path], sources: Iterable[str] | None = None) -> list[tuple[str, Entry]]:
    """Labelled pictures of all folders, each with its folder's name; a file in two of them counts once.

    A folder that holds `0_real` and `1_fake` itself is one source, under its own name.

    Args:
        folders: as `dataset.scan` takes them.
        sources: the only sources wanted, of both labels; None takes all.

    Raises:
        ValueError: a source that no picture comes from, or no real or no generated picture.
    """
    found: dict[Path, tuple[str, Entry]] = {}
    for folder in folders:
        name = Path(folder).resolve().name
        for entry in scan(folder):
            named = replace(entry, source=name) if entry.source == "all" else entry
            found.setdefault(entry.path.resolve(), (name, named))
    pictures = list(found.values())
    if sources is not None:
        wanted = set(sources)
        unknown = sorted(wanted - {entry.source for _, entry in pictures})
        if unknown:
            raise DatasetError(f"No image comes from: {', '.join(unknown)}.")
        pictures = [(name, entry) for name, entry in pictures if entry.source in wanted]
    labels = {entry.label for _, entry in pictures}
    for label, kind in enumerate(("real", "generated")):
        if label not in labels:
            raise DatasetError(f"There is no {kind} image to evaluate on; both kinds are needed.")
    return pictures


def _scored(evidence: Evidence) -> dict:
    fields = ("score", "mmd2", "relative", "p_value", "threshold", "n_calibration")
    told = {field: getattr(evidence.verdict, field) for field in fields}
    return told | {"n_patches": evidence.n_patches, "reason": evidence.verdict.reason or None}


def prepare(
    named: tuple[str, Entry], conditions: list[str], seed: int, smallest: int
) -> Iterator[tuple[Row, np.ndarray | None]]:
    """One picture in each condition: its row, still without a score, and pixels (H, W, 3), or None with an error."""
    folder, entry = named
    row = Row(folder, entry.source, entry.label, entry.key, "")
    try:
        picture = read(entry.path, smallest)
    except ImageError as error:
        for condition in conditions:
            yield replace(row, condition=condition, error=str(error)), None
        return
    never_jpeg = picture.format not in ("JPEG", "MPO")
    for condition in conditions:
        rng = degrade.generator(seed, condition, entry.key)
        yield replace(row, condition=condition), degrade.apply(condition, picture.pixels, rng, never_jpeg, smallest)


def finish(prepared: tuple[Row, np.ndarray | None], detector: Detector, alpha: float) -> Row:
    """The row with what the detector finds in the pixels."""
    row, pixels = prepared
    if pixels is None:
        return row
    try:
        return replace(row, **_scored(detector.detect(pixels, alpha, locate=False)))
    except ImageError as error:
        return replace(row, error=str(error))


def _rows(named: tuple[str, Entry], detector: Detector, conditions: list[str], alpha: float, seed: int) -> list[Row]:
    smallest = detector.model.geometry.min_side
    return [finish(prepared, detector, alpha) for prepared in prepare(named, conditions, seed, smallest)]


def _died(died: workers.Died, conditions: list[str]) -> list[Row]:
    folder, entry = died.item
    row = Row(folder, entry.source, entry.label, entry.key, "", error=str(died))
    return [replace(row, condition=condition) for condition in conditions]


def score(
    detector: Detector,
    pictures: list[tuple[str, Entry]],
    conditions: Iterable[str],
    alpha: float = 0.05,
    seed: int = 0,
    processes: int = 1,
    engine: str = "local",
) -> list[Row]:
    """Every picture in every condition, one row each; what can't be scored is a row with its error.

    Args:
        detector: the checkpoint.
        pictures: from `gather`.
        conditions: as `degrade.apply` names them.
        alpha: the false-alarm rate.
        seed: of the conditions.
        processes: that score at the same time; 0 is as many as are worth their start.
        engine: "local", or "ray" for the machines of a Ray cluster.

    Raises:
        ValueError: no condition, one that doesn't exist, or `alpha` out of range.
        EngineError: Ray isn't there, or can't go on.
    """
    check_alpha(alpha)
    conditions = list(dict.fromkeys(conditions))
    if not conditions:
        raise ValueError("Name at least one condition to evaluate under.")
    for condition in conditions:
        degrade.apply(condition, np.zeros((64, 64, 3), np.uint8), np.random.default_rng(0), False, 64)
    if engine == "ray":
        found = _scored_on_ray(detector, pictures, conditions, alpha, seed, processes)
        return list(tqdm(found, desc="evaluate", total=len(pictures) * len(conditions), unit="row"))
    rows_of = partial(_rows, detector=detector, conditions=conditions, alpha=alpha, seed=seed)
    count = processes or workers.sensible(len(pictures) * len(conditions), detector.model.backbone)
    found = workers.run(rows_of, pictures, count)
    rows: list[Row] = []
    for result in tqdm(found, desc="evaluate", total=len(pictures), unit="image"):
        rows += _died(result, conditions) if isinstance(result, workers.Died) else result
    return rows


def _scored_on_ray(
    detector: Detector,
    pictures: list[tuple[str, Entry]],
    conditions: list[str],
    alpha: float,
    seed: int,
    processes: int,
) -> Iterator[Row]:
    """The rows of `score`, in its order, as they come."""
    named = ((folder, on_every_machine(entry)) for folder, entry in pictures)
    smallest = detector.model.geometry.min_side
    with cluster(processes) as (actors, gpus):
        dataset = pipeline(
            named,
            partial(prepare, conditions=conditions, seed=seed, smallest=smallest),
            partial(finish, detector=anywhere(detector), alpha=alpha),
            actors,
            gpus,
        )
        yield from results(dataset)


def summarise(rows: list[Row], alpha: float = 0.05, draws: int = DRAWS, seed: int = 0) -> dict:
    """All figures of one condition.

    A generator is compared with the real pictures of its own source where there are any, else with all
    of them. Without a scored picture of its own, or without a real one, its figures are None and it is
    left out of the average.

    Returns:
        `generators` and `real` (by source), `average`, `all_real`, `pictures`, `failures`.
    """
    scored = [row for row in rows if row.error is None]
    failed = Counter((row.label, row.source) for row in rows if row.error is not None)
    reals = Reals([row for row in scored if row.label == 0])
    generators: dict[str, dict] = {}
    generated, opponents = {}, {}
    for name in sorted({row.source for row in rows if row.label == 1}):
        own = [row for row in scored if row.label == 1 and row.source == name]
        against = reals.against(name)
        generators[name] = {"n": len(own), "failures": failed[1, name], "n_real": len(against)}
        if own and len(against):
            generated[name], opponents[name] = np.array([row.score for row in own], float), against
            p_values = np.array([row.p_value for row in own], float)
            shares = {"tpr": share(p_values, alpha), "tpr_strict": share(p_values, STRICT)}
            generators[name] |= metrics(reals.scores[against], generated[name]) | shares
    drawn = bootstrap(reals.scores, reals.strata(generated), generated, opponents, draws, seed) if generated else {}
    by_source, all_real = reals.alarms({row.source for row in rows if row.label == 0}, failed, alpha)
    return {
        "pictures": len(rows),
        "failures": len(rows) - len(scored),
        "generators": generators,
        "average": _average(generators, drawn),
        "real": by_source,
        "all_real": all_real,
    }


class Reals:
    """The scored real pictures of one condition."""

    def __init__(self, rows: list[Row]) -> None:
        self.scores = np.array([row.score for row in rows], float)
        self.p_values = np.array([row.p_value for row in rows], float)
        self.sources = np.array([row.source for row in rows], object)

    def against(self, name: str) -> np.ndarray:
        """Which of them a generator is compared with."""
        return np.flatnonzero(self.sources == name) if name in self.sources else np.arange(len(self.sources))

    def strata(self, names: Container[str]) -> np.ndarray:
        """The source of each, or "" where it has no generated pictures."""
        return np.array([name if name in names else "" for name in self.sources], object)

    def alarms(self, names: Iterable[str], failed: Counter, alpha: float) -> tuple[dict[str, dict], dict]:
        """False positives by source, and of all."""
        found = {}
        for name in sorted(names):
            p_values = self.p_values[self.sources == name]
            found[name] = {"n": len(p_values), "failures": failed[0, name]} | _false_positives(p_values, alpha)
        rates = [figures["fpr"]["share"] for figures in found.values() if figures["n"]]
        total = {"n": len(self.scores)} | _false_positives(self.p_values, alpha)
        return found, total | {"fpr_mean_over_sources": float(np.mean(rates)) if rates else None}


def _average(generators: dict[str, dict], drawn: dict[str, np.ndarray]) -> dict:
    """Means over the generators that were drawn, with intervals, which each of these gets, too."""
    average: dict = {"n_generators": len(drawn)}
    if drawn:
        joint = np.mean(list(drawn.values()), axis=0)
        for column, metric in enumerate(METRICS):
            for name, values in drawn.items():
                generators[name][f"{metric}_interval"] = interval(values[:, column])
            average[metric] = float(np.mean([generators[name][metric] for name in drawn]))
            average[f"{metric}_interval"] = interval(joint[:, column])
        for metric in ("tpr", "tpr_strict"):
            average[metric] = float(np.mean([generators[name][metric]["share"] for name in drawn]))
    return average


def _false_positives(p_values: np.ndarray, alpha: float) -> dict:
    return {"fpr": share(p_values, alpha), "fpr_strict": share(p_values, STRICT)} if len(p_values) else {}


def evaluate(
    detector: Detector,
    folders: Iterable[str | Path],
    out: str | Path,
    conditions: Iterable[str] = ("as_is", "alike"),
    alpha: float = 0.05,
    sources: Iterable[str] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    processes: int = 1,
    engine: str = "local",
) -> dict:
    """Score labelled folders, write all tables and figures to `out`, and return what `metrics.json` holds.

    Raises:
        ValueError: folders, sources, conditions or `alpha` don't fit; one sentence.
    """
    folders, out = [Path(folder) for folder in folders], Path(out)
    pictures = gather(folders, sources)
    rows = score(detector, pictures, conditions, alpha, seed, processes, engine)
    by_condition: dict[str, list[Row]] = {}
    for row in rows:
        by_condition.setdefault(row.condition, []).append(row)
    sizes = [row.n_calibration for row in rows if row.n_calibration is not None]
    result = {
        **detector.made_with,
        "n_calibration": [min(sizes), max(sizes)] if sizes else None,
        "folders": [folder.resolve().name for folder in folders],
        "sources": None if sources is None else sorted(sources),
        "alpha": alpha,
        "strict_alpha": STRICT,
        "seed": seed,
        "draws": draws,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "pictures": len(pictures),
        "conditions": {name: summarise(found, alpha, draws, seed) for name, found in by_condition.items()},
    }
    _write(out, result, rows, by_condition)
    return result


def _write(out: Path, result: dict, rows: list[Row], by_condition: dict[str, list[Row]]) -> None:
    """The tables and the histograms."""
    write_csv(out / "scores.csv", [asdict(row) for row in rows])
    write_csv(out / "metrics.csv", flat(result))
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    write_whole(out / "metrics.json", lambda path: path.write_text(text, "utf-8"))
    write_whole(out / "metrics.md", lambda path: path.write_text(markdown(result), "utf-8"))
    for condition, found in by_condition.items():
        figure = histogram(found, condition, result["alpha"])
        path = out / f"histogram_{condition.replace(':', '_')}.png"
        write_whole(path, lambda path, figure=figure: figure.savefig(path, format="png"))
