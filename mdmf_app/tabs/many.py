"""The tab for many pictures: files or a ZIP in; table, thumbnails, CSV and JSON out.

One generator does the work, picture by picture, so that it can tell how far it is and stop when asked. What asks
it to stop is a `threading.Event` in the session's own state; the core never sees it, its iterator is just left alone.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from mdmf_app import style
from mdmf_app.context import MODEL_QUEUE, ONE_HOUR, QUICK, Choice, Context, rate_slider
from mdmf_core.errors import CheckpointError
from mdmf_core.images import archive, isolated
from mdmf_core.images.archive import Item
from mdmf_core.images.origin import in_short
from mdmf_core.run import batch, frames
from mdmf_core.run.batch import Row
from mdmf_core.show import strip
from mdmf_core.show import words as wording

TABLE = ["Name", "Answer", "Declared origin", "Score", "p", "q", "Flagged %", "Width", "Height", "KB"]
TYPES = ["str"] * 3 + ["number"] * 7
WAITING = f"Choose up to {archive.MOST} pictures, or a ZIP of them, and press Analyse."
NAME_FILTER = """() => setTimeout(() => document.querySelector("#many-table input[type=text]")?.setAttribute(
    "aria-label", "Filter the results"), 300)"""  # Gradio gives this field a title only
EVERY = 0.4  # seconds between two reports of progress
LONGEST = 600  # seconds that a batch may keep the model from others
LATE = f"Not analysed: a batch ends after {LONGEST // 60} minutes; give this file in another one."


@dataclass(frozen=True)
class Layout:
    """The components of the tab."""

    files: gr.File
    alpha: gr.Slider
    begin: gr.Button
    cancel: gr.Button
    status: gr.HTML
    table_file: gr.DownloadButton
    data_file: gr.DownloadButton
    table: gr.Dataframe
    gallery: gr.Gallery


def tab(context: Context, chosen: gr.State) -> None:
    """Components and events of the tab."""
    stop = gr.State(time_to_live=ONE_HOUR)
    parts = layout()
    started = parts.begin.click(ready, None, [stop, parts.begin, parts.cancel, parts.status], **QUICK)
    worked = started.then(
        partial(work, context, parts.table_file.GRADIO_CACHE),
        [stop, parts.files, parts.alpha, chosen],
        [parts.status, parts.table, parts.gallery, parts.table_file, parts.data_file],
        api_visibility="private",
        show_progress="hidden",
        **MODEL_QUEUE,
    )
    worked.then(rest, None, [parts.begin, parts.cancel], **QUICK).then(None, js=NAME_FILTER, **QUICK)
    parts.cancel.click(halt, stop, parts.cancel, **QUICK)


def layout() -> Layout:
    """What is given left, what came of it right and below."""
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            files = gr.File(
                label=f"Pictures, videos or a ZIP, up to {archive.MOST}",
                file_count="multiple",
                height=190,
                elem_id="many-files",
            )
            alpha = rate_slider("many-alpha")
            with gr.Row():
                begin = gr.Button("Analyse", variant="primary", elem_id="many-begin", min_width=120)
                cancel = gr.Button("Cancel", interactive=False, elem_id="many-cancel", min_width=120)
        with gr.Column(scale=2, min_width=300):
            status = gr.HTML(style.notice(WAITING), elem_id="many-status", padding=False)
            gr.HTML(style.paragraph(batch.ABOUT_Q, kind="small"), padding=False)
            with gr.Row():
                table_file = gr.DownloadButton("Table (CSV)", visible=False, elem_id="many-csv", min_width=120)
                data_file = gr.DownloadButton("Figures (JSON)", visible=False, elem_id="many-json", min_width=120)
    return Layout(files, alpha, begin, cancel, status, table_file, data_file, results_table(), maps_gallery())


def results_table() -> gr.Dataframe:
    return gr.Dataframe(
        headers=TABLE,
        datatype=TYPES,
        type="array",
        label="Results: sort and filter in the menu (⋮) of a heading",
        interactive=False,
        visible=False,
        wrap=True,
        column_widths=[200, 230, 220, 80, 80, 80, 95, 75, 80, 75],
        max_height=460,
        show_search="filter",
        buttons=["fullscreen"],
        elem_id="many-table",
    )


def maps_gallery() -> gr.Gallery:
    return gr.Gallery(
        label="Maps: colour marks unusual patches",
        columns=6,
        height="auto",
        object_fit="contain",
        visible=False,
        buttons=["fullscreen"],
        interactive=False,
        elem_id="many-gallery",
    )


def ready() -> tuple[threading.Event, Any, Any, str]:
    """Before the work: what Cancel will set, the buttons, and that the model may be busy with someone else's."""
    return threading.Event(), gr.update(interactive=False), gr.update(interactive=True), progress(0, 0, 0)


def rest() -> tuple[Any, Any]:
    """After the work: the buttons."""
    return gr.update(interactive=True), gr.update(value="Cancel", interactive=False)


def halt(stop: threading.Event | None) -> Any:
    """Ask the work to stop after the picture that it is at."""
    if stop is not None:
        stop.set()
    return gr.update(value="Stopping ...", interactive=False)


def work(
    context: Context,
    cache: str,
    stop: threading.Event | None,
    paths: Sequence[str] | None,
    alpha: float,
    choice: Choice | None,
) -> Iterator[tuple[Any, ...]]:
    """Analyse all files; report while at it, then give status, table, gallery and the two files.

    `cache` is Gradio's folder, which it serves and empties after an hour.
    """
    if not paths:
        yield style.error_card("There are no pictures yet; choose some first."), *hidden()
        return
    yield progress(0, 0, 0), *hidden()
    stop = stop or threading.Event()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        items = archive.gather(paths, folder)
        try:
            detector = context.detector(choice)
            items = frames.expanded(items, detector.model.geometry.min_side)
            begun = told = time.monotonic()
            rows_to_come = in_time(frames.run(detector, items, alpha, isolated.read, isolated.origin_of), items)
            for row in () if stop.is_set() else rows_to_come:
                rows.append(row)
                if stop.is_set():
                    break
                if time.monotonic() - told > EVERY:
                    told = time.monotonic()
                    yield progress(len(rows), len(items), told - begun), *unchanged()
        except (CheckpointError, ValueError) as error:
            yield style.error_card(str(error)), *hidden()
            return
    rows = batch.adjust(rows)
    results = shown(rows, batch.facts(detector, alpha), cache) if rows else hidden()
    yield status_of(rows, len(items), alpha) + strip.fragment(frames.films(rows, items)), *results


def in_time(rows: Iterator[Row], items: Sequence[Item]) -> Iterator[Row]:
    """The rows of these items as they come; from `LONGEST` seconds on a sentence in place of each."""
    end = time.monotonic() + LONGEST
    for item in items:
        yield next(rows) if time.monotonic() < end else Row(item.name, error=LATE)


def hidden() -> tuple[Any, ...]:
    return (gr.update(value=None, visible=False),) * 4


def unchanged() -> tuple[Any, ...]:
    return (gr.skip(),) * 4


def progress(done: int, total: int, seconds: float) -> str:
    """A bar with what is left in words; without a total the model may still be busy for somebody else."""
    words = f"{done} of {total} done" if total else "Waiting for the model ..."
    if 0 < done < total:
        words += f", about {remaining(seconds / done * (total - done))} left"
    return style.progress("many-words", words, str(done) if total else "", total)


def remaining(seconds: float) -> str:
    """A duration for people."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


def status_of(rows: Sequence[Row], total: int, alpha: float) -> str:
    """The batch in words; says so where it was cancelled."""
    if not rows:
        return style.render("status.html", summary="", cancelled="before it began.")
    cancelled = f"after {len(rows)} of {total}; what was done is below." if len(rows) < total else ""
    return style.render("status.html", summary=batch.summary(rows, alpha), cancelled=cancelled)


def shown(rows: Sequence[Row], made_with: dict[str, Any], cache: str) -> tuple[Any, ...]:
    """Table, gallery, CSV and JSON."""
    pictures = [(row.thumbnail, caption(row)) for row in rows if row.thumbnail is not None]
    return (
        gr.update(value=[cells(row) for row in sorted(rows, key=_is_bad)], visible=True),
        gr.update(value=pictures, visible=bool(pictures)),
        file_of("mdmf-batch.csv", batch.to_csv(rows), cache),
        file_of("mdmf-batch.json", batch.to_json(rows, made_with), cache),
    )


def file_of(name: str, text: str, cache: str) -> Any:
    """A button's new file."""
    return gr.update(value=save_bytes_to_cache(text.encode("utf-8"), name, cache), visible=True)


def _is_bad(row: Row) -> bool:
    return row.error is not None


def cells(row: Row) -> list[Any]:
    """A row of the table, figures short enough to read.

    A bad file's row ends after its sentence: the table sorts what is missing last, but empty cells as 0. It takes its
    number of columns from the first row, so bad files come last.
    """
    if row.error is not None:
        return [row.name, f"Not analysed. {row.error}"]
    return [
        row.name,
        wording.VERDICTS[row.outcome or row.decision],
        in_short(row.origin),
        *(None if value is None else float(f"{value:.3g}") for value in (row.score, row.p_value, row.q_value)),
        round(100 * row.flagged_share, 1),
        row.width,
        row.height,
        round(row.n_bytes / 1000, 1),
    ]


def caption(row: Row) -> str:
    return f"{row.name}: {wording.VERDICTS[row.outcome or row.decision].lower()}, p = {row.p_value:.2g}"
