"""Many pictures: a list of them in (`images.archive`), one row for each out, as a table, CSV or JSON.

A file that can't be used is a row with one sentence, and the others go on. The p-values of a batch are adjusted with
the procedure of Benjamini and Hochberg (1995), which holds for conformal p-values that share their calibration pictures
(Bates et al., 2023).
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mdmf_core.detector import Detector
from mdmf_core.errors import ImageError
from mdmf_core.evidence import Verdict, check_alpha, strength_of
from mdmf_core.images.archive import Item
from mdmf_core.images.origin import Origin, as_json, opening, origin_of
from mdmf_core.images.reader import Picture, read
from mdmf_core.sentence import Sentence, joined, said
from mdmf_core.show import maps
from mdmf_core.show.strip import ABOUT
from mdmf_core.texts import cell

THUMBNAIL = 320
COLUMNS = (
    *("name", "outcome", "decision", "score", "p_value", "q_value", "flagged_share"),
    *("likelihood_ratio", "likelihood_ratio_low", "likelihood_ratio_high", "support", "judged", "reason"),
    *("width", "height", "n_bytes", "sha256", "origin", "origin_generated", "hatched_share", "notes", "error"),
)
ABOUT_Q = said(
    "batch.about_q",
    "The p-value is about one picture; among many, some are low by chance. The q-value allows for the number of "
    "pictures (Benjamini-Hochberg): of the pictures with q at most 0.1, about 1 in 10 is expected to be a false alarm, "
    "or fewer. That holds for real pictures like those of the calibration; of other sources there are more.",
)
HAVE = {  # by how many were analysed, one or more, and how many of them
    "single": "{called:,} of {n:,} picture has p <= {alpha:g}; if all were real, about {chance:.3g} would by chance.",
    "one": "{called:,} of {n:,} pictures has p <= {alpha:g}; if all were real, about {chance:.3g} would by chance.",
    "several": "{called:,} of {n:,} pictures have p <= {alpha:g}; if all were real, about {chance:.3g} would by "
    "chance.",
}
DECLARE = {"one": "{n:,} file declares generative AI.", "other": "{n:,} files declare generative AI."}
BAD = {"one": "{n:,} file could not be analysed.", "other": "{n:,} files could not be analysed."}
FRAMES = {"one": "{n:,} frame of video analysed.", "other": "{n:,} frames of video analysed."}


@dataclass(frozen=True, eq=False)
class Row:
    """The result for one picture, or `error`, one sentence, and nothing else.

    Attributes:
        name: file name; for a member of an archive "archive.zip/folder/file.jpg".
        decision: "generated", "inconclusive" or "no_evidence".
        score: the deciding statistic.
        p_value: of the picture alone.
        q_value: within the batch; None before `adjust`.
        flagged_share: share of patches that stand out, 0..1.
        width: in pixels.
        height: in pixels.
        n_bytes: size of the file.
        sha256: of the file's bytes.
        notes: what was done to the picture on reading, one sentence each.
        thumbnail: the picture with its map, the longest side at most 320 pixels.
        origin: what the file declares of its origin; no part of the score.
        error: why there is no result.
        outcome: what the headline says (`Verdict.outcome`).
        likelihood_ratio: of the score; None where the model has none, or where the picture can't be judged.
        likelihood_ratio_low, likelihood_ratio_high: the lowest and highest that it could be.
        support: in the words of the verbal scale.
        judged, reason: whether the picture can be judged, and why not.
        hatched_share: share of patches that hold too little to be judged, 0..1.
    """

    name: str
    decision: str | None = None
    score: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    flagged_share: float | None = None
    width: int | None = None
    height: int | None = None
    n_bytes: int | None = None
    sha256: str | None = None
    notes: tuple[str, ...] = ()
    thumbnail: Image.Image | None = None
    error: str | None = None
    origin: Origin | None = None
    outcome: str | None = None
    likelihood_ratio: float | None = None
    likelihood_ratio_low: float | None = None
    likelihood_ratio_high: float | None = None
    support: str | None = None
    judged: bool | None = None
    reason: str | None = None
    hatched_share: float | None = None

    @property
    def origin_generated(self) -> str | None:
        """Whether the file declares that it was generated: "yes", "no" or "unknown"."""
        return self.origin and self.origin.generated

    @property
    def is_frame(self) -> bool:
        """Whether it is a frame of a video (`run.frames`): such rows have no q-value and count for nothing else."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the thumbnail."""
        said = self.origin and as_json(self.origin, self.outcome or "")
        return {name: getattr(self, name) for name in COLUMNS} | {"origin": said, "notes": list(self.notes)}

    def cells(self) -> dict[str, Any]:
        """For a table: one sentence or two in place of the origin's parts."""
        said = self.origin and opening(self.origin, self.outcome or "")
        return {name: getattr(self, name) for name in COLUMNS} | {"origin": said, "notes": " ".join(self.notes)}


def run(
    detector: Detector,
    items: Iterable[Item],
    alpha: float,
    read: Callable[[Path, int], Picture] = read,
    declared: Callable[[Path, Picture], Origin] = origin_of,
) -> Iterator[Row]:
    """One row for each item, as it comes; stop asking to cancel.

    Args:
        detector: judges the pictures.
        items: from `gather`.
        alpha: the false-alarm rate that "generated" allows.
        read: as `reader.read` reads a file.
        declared: as `origin.origin_of` asks a file for its origin.

    Raises:
        ValueError: `alpha` is out of range; at once.
    """
    check_alpha(alpha)
    return (_row(detector, item, alpha, read, declared) for item in items)


def _row(
    detector: Detector,
    item: Item,
    alpha: float,
    read: Callable[[Path, int], Picture],
    declared: Callable[[Path, Picture], Origin],
) -> Row:
    if item.path is None:
        return Row(item.name, error=item.error)
    try:
        picture = read(item.path, detector.model.geometry.min_side)
        evidence = detector.detect(picture, alpha, locate=False)
        hatched = np.array(evidence.reasons, dtype=object).astype(bool) if evidence.reasons else None
        thumbnail = maps.overlay(picture.pixels, evidence, colorbar=False, doubtful=hatched)
        origin = declared(item.path, picture)
    except ImageError as error:
        return Row(item.name, error=str(error))
    except Exception:
        logging.getLogger(__name__).exception("A picture of a batch failed.")
        return Row(item.name, error="This picture could not be analysed because of a fault in the program.")
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
    return Row(
        name=item.name,
        decision=evidence.verdict.decision,
        score=evidence.verdict.score,
        p_value=evidence.verdict.p_value,
        flagged_share=float(evidence.maps["evidence"].outlined.mean()),
        width=picture.width,
        height=picture.height,
        n_bytes=picture.n_bytes,
        sha256=picture.sha256,
        notes=picture.notes,
        thumbnail=thumbnail,
        origin=origin,
        hatched_share=evidence.n_hatched / evidence.n_patches,
        **_strength(evidence.verdict),
    )


def _strength(verdict: Verdict) -> dict[str, Any]:
    """The fields about the strength of the evidence."""
    found = strength_of(verdict)
    low, high = found["likelihood_ratio_range"] or (None, None)
    return {
        "outcome": verdict.outcome,
        "likelihood_ratio": found["likelihood_ratio"],
        "likelihood_ratio_low": low,
        "likelihood_ratio_high": high,
        "support": found["support"],
        "judged": verdict.judged,
        "reason": verdict.reason,
    }


def adjust(rows: Sequence[Row]) -> list[Row]:
    """The rows with q-values over those that have a p-value; frames of videos are left as they are."""
    from scipy.stats import false_discovery_control  # here, for the commands that have no batch start sooner so

    p_values = [row.p_value for row in rows if row.p_value is not None and not row.is_frame]
    q_values = iter(false_discovery_control(p_values).tolist() if p_values else ())
    return [row if row.p_value is None or row.is_frame else replace(row, q_value=next(q_values)) for row in rows]


def by_strength(rows: Iterable[Row]) -> list[Row]:
    """The strongest evidence first, by likelihood ratio, then p-value; then what can't be judged, then bad files."""

    def place(row: Row) -> tuple[bool, bool, float, float]:
        ratio = 0.0 if row.likelihood_ratio is None else row.likelihood_ratio
        return row.error is not None, row.judged is False, -ratio, 1.0 if row.p_value is None else row.p_value

    return sorted(rows, key=place)


def summary(rows: Sequence[Row], alpha: float) -> Sentence:
    """The batch in a few sentences; of videos only that there is no answer."""
    pictures = [row for row in rows if not row.is_frame]
    frames = sum(row.is_frame and row.error is None for row in rows)
    told = [_of_pictures(pictures, alpha)] if pictures or not frames else []
    told += [said("batch.frames", FRAMES, n=frames), ABOUT] if frames else []
    return joined(told)


def _of_pictures(rows: Sequence[Row], alpha: float) -> Sentence:
    good = [row for row in rows if row.error is None]
    if not good:
        return said("batch.none", "No picture could be analysed.")
    judged = [row for row in good if row.judged is not False]
    refused = len(good) - len(judged)
    called = sum(row.decision == "generated" for row in judged)
    kind = "single" if len(judged) == 1 else "one" if called == 1 else "several"
    values = {"called": called, "n": len(judged), "alpha": alpha, "chance": alpha * len(judged)}
    declared = sum(row.origin_generated == "yes" for row in good)
    bad = len(rows) - len(good)
    return joined(
        [
            said(f"batch.have_{kind}", HAVE[kind], **values) if judged else "",
            said("batch.refused", "{n:,} can't be judged.", n=refused) if refused else "",
            said("batch.declare", DECLARE, n=declared) if declared else "",
            said("batch.bad", BAD, n=bad) if bad else "",
        ]
    )


def facts(detector: Detector, alpha: float) -> dict[str, Any]:
    """What the figures of a batch were made with."""
    return {**detector.made_with, "alpha": alpha}


def to_csv(rows: Iterable[Row]) -> str:
    """A table with a header (RFC 4180); a text that a spreadsheet would run as a formula begins with an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for row in rows:
        values = row.cells()
        writer.writerow(["" if values[name] is None else cell(values[name]) for name in COLUMNS])
    return file.getvalue()


def to_json(rows: Iterable[Row], made_with: dict[str, Any]) -> str:
    """The rows, after `facts` about what they were made with."""
    content = {**made_with, "about_q_value": ABOUT_Q, "rows": [row.to_dict() for row in rows]}
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
