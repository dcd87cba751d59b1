"""The rows of a batch for people: one line each, the strongest evidence first, and one HTML file of all of them.

The file needs nothing else: no script, no request, its pictures inside it (`show.html.policy`). It prints to PDF.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from mdmf_core.evidence import NOT_JUDGED
from mdmf_core.images.origin import Origin, in_short
from mdmf_core.run.batch import ABOUT_Q, Row, by_strength, summary
from mdmf_core.sentence import said
from mdmf_core.show import html
from mdmf_core.show.page import STATISTICS
from mdmf_core.show.report import LIMITATIONS
from mdmf_core.show.words import VERDICTS, rounded

BAD = "error"
ANSWERS = {**VERDICTS, BAD: said("verdict.bad", "Not analysed")}  # by `answer_of`, in the order of a filter
ORIGINS = {  # by `origin_group`
    "generated": said("declares.generated", "Declares generative AI"),
    "other": said("declares.something", "Declares something else"),
    "nothing": said("declares.nothing", "Declares nothing"),
}
SMALL, QUALITY = 192, 85  # longest side of a thumbnail in the list, in pixels, and of its JPEG


def answer_of(row: Row) -> str:
    """The outcome, or `BAD`."""
    return BAD if row.error is not None else row.outcome or row.decision or NOT_JUDGED


def origin_group(origin: Origin | None) -> str:
    """Which of `ORIGINS` a file belongs to; "" where it could not be asked."""
    if origin is None:
        return ""
    if origin.generated == "yes":
        return "generated"
    return "other" if origin.declared or origin.signed else "nothing"


def line(row: Row, side: int = SMALL) -> dict[str, Any]:
    """What is shown of one row; figures in words.

    Args:
        row: of a batch.
        side: longest side of its thumbnail in pixels.
    """
    answer = answer_of(row)
    said = {
        "name": row.name,
        "answer": answer,
        "words": ANSWERS[answer],
        "group": origin_group(row.origin),
        "notes": list(row.notes),
        "error": row.error,
        "reason": row.reason or "",
        "row": row,
    }
    if row.error is not None:
        return {**said, "picture": None, "origin": "", "ratio": "", "support": ""}
    ratio = "" if row.likelihood_ratio is None else rounded(row.likelihood_ratio)
    picture = None
    if row.thumbnail is not None:
        small = row.thumbnail.copy()
        small.thumbnail((side, side))
        picture = html.picture(small.convert("RGB"), "JPEG", quality=QUALITY)
    return {**said, "picture": picture, "origin": in_short(row.origin), "ratio": ratio, "support": row.support or ""}


def counted(rows: Sequence[Row]) -> dict[str, list[tuple[str, str, int]]]:
    """How many rows there are of each answer and of each kind of origin: name, words, number; none that is empty."""
    answers, groups = Counter(map(answer_of, rows)), Counter(origin_group(row.origin) for row in rows)
    return {
        "answers": [(name, words, answers[name]) for name, words in ANSWERS.items() if answers[name]],
        "origins": [(name, words, groups[name]) for name, words in ORIGINS.items() if groups[name]],
    }


def html_report(rows: Sequence[Row], made_with: dict[str, Any], when: datetime | None = None) -> str:
    """One page about the whole batch.

    Args:
        rows: after `batch.adjust`.
        made_with: from `batch.facts`.
        when: time of the analysis; None is now.
    """
    created = (when or datetime.now(timezone.utc)).astimezone(timezone.utc).isoformat(timespec="seconds")
    return (
        html.environment()
        .get_template("batch.html")
        .render(
            created=created,
            day=html.day(created),
            lines=[line(row, side=320) for row in by_strength(rows)],
            counted=counted(rows),
            summary=summary(rows, made_with["alpha"]),
            about_q=ABOUT_Q,
            made_with=made_with,
            statistic=STATISTICS[made_with["statistic"]],
            limitations=LIMITATIONS,
        )
    )
