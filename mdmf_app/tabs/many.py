"""The tab for many pictures: files or a ZIP in; a list with thumbnails, a report, CSV and JSON out.

The list comes as one piece of HTML, the strongest evidence first; `tabs.js` filters and sorts it, and tells which row
was chosen. Its picture is then opened in the tab for one picture, from the file that the batch was given.

One generator does the work, picture by picture, so that it can tell how far it is and stop when asked. What asks
it to stop is a `threading.Event` in the session's own state; the core never sees it, its iterator is just left alone.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from mdmf_app import style
from mdmf_app.context import MODEL_QUEUE, ONE_HOUR, PRIVATE, QUICK, Choice, Context, rate_slider, sentence
from mdmf_app.labels import label, still
from mdmf_app.language import number, say, told
from mdmf_app.tabs.one.layout import Shown
from mdmf_core.errors import CheckpointError, ImageError
from mdmf_core.images import archive, isolated
from mdmf_core.images.archive import Item
from mdmf_core.run import batch, frames, listing
from mdmf_core.run.batch import Row
from mdmf_core.sentence import Sentence
from mdmf_core.show import strip
from mdmf_core.show.words import two_digits

WAITING = say("many.waiting", n=archive.MOST)
GONE = say("many.gone")
ICONS = {**style.ICONS, listing.BAD: "✕"}
OPENING = {**PRIVATE, "show_progress": "hidden", "trigger_mode": "always_last"}  # queued: so a state's change is told
EVERY = 0.4  # seconds between two reports of progress
LONGEST = 600  # seconds that a batch may keep the model from others
LATE = say("many.late", n=LONGEST // 60)


@dataclass(frozen=True)
class Layout:
    """The components of the tab."""

    files: gr.File
    alpha: gr.Slider
    begin: gr.Button
    cancel: gr.Button
    status: gr.HTML
    page_file: gr.DownloadButton
    table_file: gr.DownloadButton
    data_file: gr.DownloadButton
    table: gr.HTML
    row: gr.Number


class Source(NamedTuple):
    """Where a row's picture is: a file that was given, or a member of an archive."""

    path: str
    member: int | None = None


def tab(context: Context, chosen: gr.State, shown: Shown) -> None:
    """Components and events of the tab; a picture is opened in what `shown` is of."""
    stop, kept = (gr.State(time_to_live=ONE_HOUR) for _ in range(2))
    parts = layout()
    cache = parts.table_file.GRADIO_CACHE
    started = parts.begin.click(ready, None, [stop, parts.begin, parts.cancel, parts.status], **QUICK)
    worked = started.then(
        partial(work, context, cache),
        [stop, parts.files, parts.alpha, chosen],
        [parts.status, parts.table, kept, parts.page_file, parts.table_file, parts.data_file],
        api_visibility="private",
        show_progress="hidden",
        **MODEL_QUEUE,
    )
    worked.then(rest, None, [parts.begin, parts.cancel], **QUICK)
    parts.cancel.click(halt, stop, parts.cancel, **QUICK)
    opened = parts.row.input(partial(open_row, cache), [kept, parts.row], shown.opened, **OPENING)
    opened.success(None, js=style.GO_TO_ONE, **QUICK)


def layout() -> Layout:
    """What is given left, what came of it right and below."""
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            files = gr.File(
                label=label(say("many.files", n=archive.MOST)),
                file_count="multiple",
                height=190,
                elem_id="many-files",
            )
            alpha = rate_slider("many-alpha")
            with gr.Row():
                begin = gr.Button(label(say("many.begin")), variant="primary", elem_id="many-begin", min_width=120)
                cancel = gr.Button(label(say("many.cancel")), interactive=False, elem_id="many-cancel", min_width=120)
        with gr.Column(scale=2, min_width=300):
            status = gr.HTML(still(lambda: style.notice(WAITING)), elem_id="many-status", padding=False)
            gr.HTML(still(lambda: style.paragraph(batch.ABOUT_Q, kind="small")), padding=False)
            with gr.Row():
                page_file = download("many.html", "many-html")
                table_file, data_file = download("many.csv", "many-csv"), download("many.json", "many-json")
    table = gr.HTML(elem_id="many-table", padding=False, visible=False)
    row = gr.Number(precision=0, visible="hidden", elem_id="many-open")
    return Layout(files, alpha, begin, cancel, status, page_file, table_file, data_file, table, row)


def download(key: str, elem_id: str) -> gr.DownloadButton:
    return gr.DownloadButton(label(say(key)), visible=False, elem_id=elem_id, min_width=120)


def ready() -> tuple[threading.Event, Any, Any, str]:
    """Before the work: what Cancel will set, the buttons, and that the model may be busy with someone else's."""
    return threading.Event(), gr.update(interactive=False), gr.update(interactive=True), progress(0, 0, 0)


def rest() -> tuple[Any, Any]:
    """After the work: the buttons."""
    return gr.update(interactive=True), gr.update(value=told(say("many.cancel")), interactive=False)


def halt(stop: threading.Event | None) -> Any:
    """Ask the work to stop after the picture that it is at."""
    if stop is not None:
        stop.set()
    return gr.update(value=told(say("many.stopping")), interactive=False)


def work(
    context: Context,
    cache: str,
    stop: threading.Event | None,
    paths: Sequence[str] | None,
    alpha: float,
    choice: Choice | None,
) -> Iterator[tuple[Any, ...]]:
    """Analyse all files; report while at it, then give status, list, where its pictures are, and the three files.

    `cache` is Gradio's folder, which it serves and empties after an hour.
    """
    if not paths:
        yield style.error_card(say("error.no_pictures")), *hidden()
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
            yield style.error_card(error.args[0]), *hidden()
            return
    rows = batch.adjust(rows)
    results = shown(rows, items, batch.facts(detector, alpha), cache) if rows else hidden()
    yield status_of(rows, len(items), alpha) + strip.fragment(frames.films(rows, items)), *results


def in_time(rows: Iterator[Row], items: Sequence[Item]) -> Iterator[Row]:
    """The rows of these items as they come; from `LONGEST` seconds on a sentence in place of each."""
    end = time.monotonic() + LONGEST
    for item in items:
        yield next(rows) if time.monotonic() < end else Row(item.name, error=LATE)


def hidden() -> tuple[Any, ...]:
    gone = gr.update(value=None, visible=False)
    return gone, None, gone, gone, gone


def unchanged() -> tuple[Any, ...]:
    return (gr.skip(),) * 5


def progress(done: int, total: int, seconds: float) -> str:
    """A bar with what is left in words; without a total the model may still be busy for somebody else."""
    words = done_of(done, total, seconds) if total else say("many.model_busy")
    return style.progress("many-words", words, str(done) if total else "", total)


def done_of(done: int, total: int, seconds: float) -> Sentence:
    """How many of all are done, and how long the others will take."""
    if not 0 < done < total:
        return say("many.done", n=done, all=total)
    return say("many.done_left", n=done, all=total, left=remaining(seconds / done * (total - done)))


def remaining(seconds: float) -> Sentence:
    """A duration for people."""
    if seconds < 90:
        return say("many.seconds", n=max(1, round(seconds)))
    return say("many.minutes", n=round(seconds / 60))


def status_of(rows: Sequence[Row], total: int, alpha: float) -> str:
    """The batch in words; says so where it was cancelled."""
    if not rows:
        return style.render("status.html", summary="", cancelled=say("many.before"))
    cancelled = say("many.after", n=len(rows), all=total) if len(rows) < total else ""
    return style.render("status.html", summary=batch.summary(rows, alpha), cancelled=cancelled)


def shown(
    rows: Sequence[Row], items: Sequence[Item], made_with: dict[str, Any], cache: str
) -> tuple[Any, list[Source | None], Any, Any, Any]:
    """The list, where its pictures are, report, CSV and JSON."""
    return (
        gr.update(value=table_of(rows), visible=True),
        [source_of(item) if opens(row) else None for row, item in zip(rows, items, strict=False)],
        file_of("mdmf-batch.html", listing.html_report(rows, made_with), cache),
        file_of("mdmf-batch.csv", batch.to_csv(rows), cache),
        file_of("mdmf-batch.json", batch.to_json(rows, made_with), cache),
    )


def table_of(rows: Sequence[Row]) -> str:
    """The list, the strongest evidence first; each line knows its place among those that were given."""
    given = {id(row): place for place, row in enumerate(rows)}
    lines = [{**listing.line(row), "ratio": ratio_of(row), "given": given[id(row)]} for row in batch.by_strength(rows)]
    return style.render("many.html", lines=lines, counted=listing.counted(rows), icons=ICONS)


def ratio_of(row: Row) -> str:
    """The likelihood ratio to two digits; nothing where there is none."""
    return "" if row.likelihood_ratio is None else number(two_digits(row.likelihood_ratio), ",.6g")


def opens(row: Row) -> bool:
    """Whether there is a picture to open: a frame of a video is no file."""
    return row.error is None and not row.is_frame


def source_of(item: Item) -> Source:
    """Where an item's picture can be had once the batch is over."""
    return Source(str(item.path)) if item.member is None else Source(str(item.member[0]), item.member[1])


def file_of(name: str, text: str, cache: str) -> Any:
    """A button's new file."""
    return gr.update(value=save_bytes_to_cache(text.encode("utf-8"), name, cache), visible=True)


def open_row(cache: str, kept: list[Source | None] | None, place: float | None) -> tuple[str, str]:
    """The path of a row's picture, and what makes it new if it is the one before.

    Raises:
        gr.Error: it can't be had any more; one sentence.
    """
    found = kept[int(place)] if kept and place is not None and 0 <= place < len(kept) else None
    if found is None or not Path(found.path).exists():
        raise sentence(told(GONE))
    if found.member is None:
        return found.path, secrets.token_hex(8)
    folder = Path(cache) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    try:
        return str(archive.unpack_again((Path(found.path), found.member), folder)), secrets.token_hex(8)
    except ImageError as error:
        raise sentence(told(error.args[0])) from error
