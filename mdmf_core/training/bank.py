"""Step 2b: build the reference bank and the calibration of a trained checkpoint from embedded pictures.

    python -m mdmf_core bank recipe.json runs/mine

Source: arXiv 2605.09296 (the bank), calibration and compression as in docs/method.md. Bank pictures may be training
pictures; calibration pictures may be neither, and each is used once, in one condition drawn by lot, so that the
calibration scores are exchangeable. `details` of the recipe names conditions that make them soft or noisy
(`mdmf_core.method.state`); such pictures then get a calibration of their own. With enough sources each of them counts
once, not each picture (`mdmf_core.method.calibration`). The calibration pictures of sources that
are not trained on, and the generated pictures for validation, give the likelihood ratios (`training.strength`). Prints
what the compression of the bank costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mdmf_core.checkpoint.store import Model
from mdmf_core.errors import DatasetError
from mdmf_core.method import calibration as calibrations
from mdmf_core.method import known, mmd
from mdmf_core.method.calibration import Signed
from mdmf_core.method.compress import compress
from mdmf_core.method.reference import Reference
from mdmf_core.method.state import USUAL
from mdmf_core.run import workers
from mdmf_core.training import embed, outlines, strength
from mdmf_core.training.dataset import Entry, Split, counted_as, lot, source_shares
from mdmf_core.training.embed import Embedded, Embedder
from mdmf_core.training.recipe import Bank

FEWEST = 19  # pictures with one kind of detail, below which no p-value reaches 0.05


def pool(pictures: list[Embedded], model: Model, config: Bank) -> tuple[mmd.Bank, np.ndarray]:
    """The uncompressed bank of one class, and the picture (an index) of each point.

    Up to `per_picture` patches of every picture and condition. A source weighs as much as it is drawn in training
    (`source_shares`), its pictures equally.
    """
    rng = np.random.default_rng(config.seed)
    counts = Counter(picture.source for picture in pictures)
    shares = dict(zip(counts, source_shares(counts.values(), config.cap, config.tilt), strict=True))
    parts, weights, origin = [], [], []
    for index, picture in enumerate(pictures):
        n = len(picture.embeddings)
        chosen = np.sort(rng.permutation(n)[: config.per_picture])
        parts.append(picture.embeddings[torch.from_numpy(chosen)])
        weights.append(np.full(len(chosen), shares[picture.source] / counts[picture.source] / len(chosen)))
        origin.append(np.full(len(chosen), index))
    made = mmd.bank(model.points(torch.cat(parts)), model.kernel, torch.from_numpy(np.concatenate(weights)))
    return made, np.concatenate(origin)


def condition_of(key: str, conditions: Sequence[str]) -> str:
    """The one condition that a calibration picture is used in, by lot."""
    return conditions[int(lot(f"life {key}") * len(conditions))]


def calibrates(key: str, condition: str, detail: str, config: Bank) -> bool:
    """Whether this condition of a calibration picture is the one that is used.

    It is one of `calibration_lives` by lot, and is left out where pictures with its detail have their own calibration.
    """
    return condition == condition_of(key, config.calibration_lives) and detail not in config.details.named


def check(real: Sized, generated: Sized, calibration: Sized, model: Model) -> None:
    """Refuse to build from nothing.

    Raises:
        DatasetError: no calibration picture, no real one, or no generated one where one is needed.
    """
    if not calibration:
        raise DatasetError("There are no calibration pictures; name real sources or a share for calibration.")
    if not real or (model.statistic == "relative" and not generated):
        raise DatasetError(f"The bank has no {'generated' if real else 'real'} picture.")


def build(
    bank_pictures: list[Embedded],
    calibration: list[Embedded],
    model: Model,
    config: Bank,
    say: Callable[[str], None] = print,
) -> Reference:
    """Banks, compressed, and calibration of a model.

    Args:
        bank_pictures: embedded real and, for the relative statistic, generated pictures.
        calibration: embedded real pictures that are in neither training nor bank.
        model: the checkpoint.
        config: the section `bank` of a recipe.
        say: takes each line about what was built.

    Raises:
        DatasetError: no real bank picture, none generated where one is needed, or a calibration picture
            that is in the bank.
    """
    calibration = [p for p in calibration if calibrates(p.key, p.condition, p.detail, config)]
    shared = {p.key for p in calibration} & {p.key for p in bank_pictures}
    if shared:
        raise DatasetError(f"{len(shared)} calibration pictures are in the bank too, such as {min(shared)}.")
    classes = [[p for p in bank_pictures if p.label == label and p.condition in config.lives] for label in (0, 1)]
    check(*classes, calibration, model)
    full, small, origins = _compressed(classes, model, config)
    signed = [signed_of(p, model) for p in calibration]
    facts = {
        "real": dict(Counter(p.source for p in {p.key: p for p in classes[0]}.values())),
        "generated": dict(Counter(p.source for p in {p.key: p for p in classes[1]}.values())),
        "points_uncompressed": [b.points.count if b else 0 for b in full],
        "compression_error": compression_error(signed, full, small, model),
    }
    return finish(small, origins, calibration, signed, facts, model, say)


def _compressed(
    classes: list[list[Embedded]], model: Model, config: Bank
) -> tuple[list[mmd.Bank | None], list[mmd.Bank | None], dict[str, list[str]]]:
    """The banks of both classes, whole and compressed, and the pictures that the points of the latter come from."""
    full, small, origins = [None, None], [None, None], {}
    for label, (name, pictures) in enumerate(zip(("real", "generated"), classes, strict=True)):
        if pictures:
            full[label], origin = pool(pictures, model, config)
            size = config.size or full[label].points.count
            small[label], kept = compress(full[label], size, model.kernel)
            origins[name] = [f"{pictures[row].key} ({pictures[row].condition})" for row in origin[kept]]
    return full, small, origins


def finish(
    small: list[mmd.Bank | None],
    origins: dict[str, list[str]],
    calibration: list[Embedded],
    signed: list[Signed],
    facts: dict,
    model: Model,
    say: Callable[[str], None],
) -> Reference:
    """Calibrate compressed banks, and say what was built.

    Args:
        small: the real bank and the generated one, or None.
        origins, facts: as `Reference` has them; the facts about calibration and points are added.
        calibration, signed: the same pictures in the same order.
        model: the checkpoint.
        say: takes each line.
    """
    nulls, patch_nulls = calibrations.calibrate(signed, *small, model.kernel)
    facts = {
        **facts,
        "calibration": dict(Counter(p.source for p in calibration)),
        "calibration_lives": dict(Counter(p.condition for p in calibration)),
        "points": [b.points.count if b else 0 for b in small],
    }
    say(f"bank: {facts['points']} points for {facts['points_uncompressed']} patches (real, generated)")
    by_source = calibrations.sources_of(signed, calibrations.FEWEST_SOURCES) is not None
    counting = "each source counts once" if by_source else "each picture counts once"
    sources = len({counted_as(p.source) for p in calibration})
    say(f"calibration: {len(calibration)} pictures of {sources} sources; {counting}")
    error = facts["compression_error"]
    say(f"compression: |s - s_full| {error['mean']:.1e} on average, {error['max']:.1e} at most, in null deviations")
    made = Reference(*small, nulls, patch_nulls, facts, origins)
    return outlines.of_evidence(made, USUAL, signed, model, say)


def with_strength(
    made: Reference,
    folder: Path,
    entries: Iterable[Entry],
    model: Model,
    config: Bank,
    say: Callable[[str], None] = print,
) -> Reference:
    """The same reference with likelihood ratios for pictures with the usual detail.

    Args:
        made: banks and the usual calibration.
        folder: of embeddings.
        entries: pictures that training did not see (`unseen`), real and generated.
        model, config, say: as `build` takes them; each picture is used once, in one condition drawn by lot.
    """
    wanted = {entry.key for entry in entries}
    sides: tuple[list[Signed], list[Signed]] = ([], [])
    for path, rows in embed.shards(folder, embed.backbone_digest(model.backbone)):
        chosen = [
            index
            for index, row in enumerate(rows)
            if row["key"] in wanted and calibrates(row["key"], row["life"], row.get("detail", USUAL), config)
        ]
        for picture in embed.pictures(path, chosen):
            sides[picture.label].append(signed_of(picture, model))
    return _with_tables(made, USUAL, sides, model, say)


def _with_tables(
    made: Reference, detail: str, sides: tuple[list[Signed], list[Signed]], model: Model, say: Callable[[str], None]
) -> Reference:
    """The same reference with likelihood ratios from real and generated pictures with this detail, where they do."""
    made = _with_known(made, detail, [*sides[0], *sides[1]])
    tables = strength.tables(*sides, (made.real, made.generated), model)
    counts = f"{len(sides[0])} real and {len(sides[1])} generated {detail} pictures of sources not trained on"
    if not tables:
        say(f"likelihood ratios: none, for there are {counts}")
        return made
    low, high = (10 ** tables[max(tables)].log10_lr[end] for end in (0, -1))
    say(f"likelihood ratios: {low:.2g} to {high:.3g}, from {counts}")
    return replace(made, strength=made.strength | {detail: tables})


def _with_known(made: Reference, detail: str, pictures: list[Signed]) -> Reference:
    """The same reference with the test whether a picture with this detail is of a known kind, where enough are."""
    width = known.width(made.real, made.generated) if made.known is None else made.known.width
    nulls = strength.known_nulls(pictures, known.union(made.real, made.generated), width)
    others = {} if made.known is None else made.known.nulls
    return replace(made, known=known.Known(width, others | {detail: nulls})) if nulls else made


def unseen(dealt: Split) -> list[Entry]:
    """Real calibration pictures of sources that are not trained on, and generated ones for validation."""
    trained = {entry.source for entry in dealt.train if entry.label == 0}
    real = [entry for entry in dealt.calibration if entry.source not in trained]
    return real + [entry for entry in dealt.validation if entry.label == 1]


def with_details(
    made: Reference,
    entries: list[Entry],
    model: Model,
    config: Bank,
    say: Callable[[str], None] = print,
    processes: int = 1,
    others: Iterable[Entry] = (),
) -> Reference:
    """The same reference with a calibration, and likelihood ratios, for each other kind of detail.

    Args:
        made: banks and the usual calibration.
        entries: the calibration pictures, each of which is used at most once a kind.
        model: the checkpoint.
        config: the section `bank`; of the conditions in `details` a picture gets one by lot. It is left out where its
            detail is of another kind afterwards. At most `details_most` of each class, drawn by lot, are used.
        say, processes: as `build` and `embed` take them.
        others: pictures that training did not see (`unseen`).

    Raises:
        DatasetError, ValueError: fewer than `FEWEST` pictures are of a kind; a condition's number is out of range.
    """
    facts, others, most = {}, list(others), config.details_most
    keys, entries = {entry.key for entry in others}, _by_lot(entries, most)
    generated = _by_lot((entry for entry in others if entry.label == 1), most)
    embedder = Embedder(model.backbone, model.geometry, config.seed)
    for name, conditions in config.details.named.items():
        found, contrast = (_with_detail(name, embedder, own, conditions, processes) for own in (entries, generated))
        _check_enough(found, name)
        signed = [_signed(fields, model) for fields in found]
        calibrated = calibrations.calibrate(signed, made.real, made.generated, model.kernel)
        with_it = replace(made, details=made.details | {name: calibrated})
        made = outlines.of_evidence(with_it, name, signed, model, say)
        facts[name] = dict(Counter(fields["life"] for fields in found))
        say(f"calibration of {name} pictures: {len(found)} pictures")
        if others:
            real = [each for each, fields in zip(signed, found, strict=True) if fields["key"] in keys]
            made = _with_tables(made, name, (real, [_signed(fields, model) for fields in contrast]), model, say)
    return replace(made, facts=made.facts | {"details": facts} if facts else made.facts)


def _check_enough(found: Sized, detail: str) -> None:
    if len(found) < FEWEST:
        enough = "name other lives or more pictures"
        raise DatasetError(f"Only {len(found)} calibration pictures become {detail}; {enough}.")


def _by_lot(entries: Iterable[Entry], most: int) -> list[Entry]:
    return sorted(entries, key=lambda entry: lot(f"detail {entry.key}"))[:most]


def signed_of(picture: Embedded, model: Model) -> Signed:
    """An embedded picture as points, with the source that it counts for."""
    return Signed(model.points(picture.embeddings), picture.rows, picture.cols, counted_as(picture.source))


def _signed(fields: dict, model: Model) -> Signed:
    """What an embedder gave, as points, with the source that it counts for."""
    points, source = model.points(torch.from_numpy(fields["embeddings"])), counted_as(fields["source"])
    return Signed(points, fields["rows"], fields["cols"], source)


def _with_detail(
    name: str, embedder: Embedder, entries: list[Entry], conditions: Sequence[str], processes: int
) -> list[dict]:
    """What the embedder gives of pictures that have this kind of detail after one of the conditions, by lot."""
    jobs = [(entry, condition_of(f"{name} {entry.key}", conditions)) for entry in entries]
    embedded = workers.run(embedder, jobs, processes or workers.sensible(len(jobs), embedder.encoder))
    embedded = tqdm(embedded, desc=f"calibrate {name}", total=len(jobs), unit="picture")
    return [fields for fields in embedded if isinstance(fields, dict) and fields.get("detail") == name]


def compression_error(signed: list[Signed], full: list, small: list, model: Model, most: int = 60) -> dict[str, float]:
    """|s - s_full| over the deviation of s_full, on up to `most` calibration pictures: mean and maximum."""
    some = signed[:: max(1, len(signed) // most)]
    scores = np.array(
        [
            [float(calibrations.evidence_of(s.points, model.statistic, *banks, model.kernel)[0].sum()) for s in some]
            for banks in (small, full)
        ]
    )
    gaps = np.abs(scores[0] - scores[1]) / max(float(scores[1].std()), 1e-12)
    return {"mean": float(gaps.mean()), "max": float(gaps.max())}
