"""The tab for one's own pictures: many of them, or a saved reference, in; a null of one's own, and a file, out.

The reference is the session's own: it lives in a `gr.State`, is deleted with the session, and no other session can
reach it. While it is in use, the tab for one picture has a line about it below its card.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from mdmf_app import style
from mdmf_app.context import MODEL_QUEUE, ONE_HOUR, PRIVATE, QUICK, Choice, Context
from mdmf_app.labels import label, still
from mdmf_app.language import say
from mdmf_app.tabs.many import EVERY, LONGEST, done_of, halt, ready, rest
from mdmf_app.tabs.one.layout import Shown
from mdmf_app.views import Result
from mdmf_core import trusted
from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError, ImageError, TrustedError
from mdmf_core.images import archive, isolated
from mdmf_core.images.archive import Item
from mdmf_core.trusted import FEWEST, MOST, Kept, Trusted

INTRO = say("mine.intro", fewest=FEWEST, most=MOST)
WAITING = say("mine.waiting")
LATE = say("mine.late", n=LONGEST // 60)
NONE = say("mine.none")
MOST_TOLD = 10  # files that can't be used, told one by one


@dataclass(frozen=True)
class Layout:
    """The components of the tab."""

    files: gr.File
    saved: gr.File
    begin: gr.Button
    cancel: gr.Button
    use: gr.Checkbox
    status: gr.HTML
    save: gr.DownloadButton
    drop: gr.Button
    forget: gr.Button


def tab(context: Context, chosen: gr.State, shown: Shown) -> None:
    """Components and events of the tab; `shown` is what the tab for one picture shows."""
    stop, mine = (gr.State(time_to_live=ONE_HOUR) for _ in range(2))
    parts = layout()
    cache, outputs = parts.save.GRADIO_CACHE, [parts.status, mine, parts.save, parts.drop, parts.forget]
    line = {"fn": beside, "inputs": [mine, parts.use, shown.result, shown.alpha], "outputs": shown.beside, **QUICK}
    started = parts.begin.click(ready, None, [stop, parts.begin, parts.cancel, parts.status], **QUICK)
    inputs = [stop, parts.files, chosen]
    made = started.then(
        partial(work, context, cache), inputs, outputs, show_progress="hidden", **PRIVATE, **MODEL_QUEUE
    )
    made.then(rest, None, [parts.begin, parts.cancel], **QUICK)
    parts.cancel.click(halt, stop, parts.cancel, **QUICK)
    opened = parts.saved.upload(partial(open_saved, context, cache), [parts.saved, chosen], outputs, **QUICK)
    dropped = parts.drop.click(partial(leave_out, cache), mine, outputs, **QUICK)
    forgotten = parts.forget.click(lambda: (style.notice(NONE), None, *hidden()), None, outputs, **QUICK)
    for event in (made, opened, dropped, forgotten):
        event.then(**line)
    gr.on([shown.verdict.change, parts.use.change], **line)


def layout() -> Layout:
    """What is given left, what came of it right."""
    gr.HTML(still(lambda: style.paragraph(INTRO)), padding=False)
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            name = label(say("mine.files", fewest=FEWEST, most=MOST))
            files = gr.File(label=name, file_count="multiple", height=190, elem_id="mine-files")
            with gr.Row():
                begin = gr.Button(label(say("mine.begin")), variant="primary", elem_id="mine-begin", min_width=120)
                cancel = gr.Button(label(say("many.cancel")), interactive=False, elem_id="mine-cancel", min_width=120)
            saved = gr.File(label=label(say("mine.saved")), height=140, elem_id="mine-saved")
        with gr.Column(scale=2, min_width=300):
            use = gr.Checkbox(True, label=label(say("mine.use")), elem_id="mine-use")
            status = gr.HTML(still(lambda: style.notice(WAITING)), elem_id="mine-status", padding=False)
            with gr.Row():
                save = gr.DownloadButton(label(say("mine.save")), visible=False, elem_id="mine-save", min_width=160)
                drop = gr.Button(label(say("mine.drop")), visible=False, elem_id="mine-drop", min_width=160)
                forget = gr.Button(label(say("mine.forget")), visible=False, elem_id="mine-forget", min_width=160)
    return Layout(files, saved, begin, cancel, use, status, save, drop, forget)


def hidden() -> tuple[Any, ...]:
    """The buttons, while there is no reference."""
    return gr.update(value=None, visible=False), *(gr.update(visible=False),) * 2


def unchanged() -> tuple[Any, ...]:
    return (gr.skip(),) * 4


def work(
    context: Context, cache: str, stop: threading.Event | None, paths: Sequence[str] | None, choice: Choice | None
) -> Iterator[tuple[Any, ...]]:
    """Look at all files and report while at it; then status, reference and buttons. What was there before stays.

    `cache` is Gradio's folder, which it serves and empties after an hour.
    """
    if not paths:
        yield style.error_card(say("error.no_pictures")), *unchanged()
        return
    stop = stop or threading.Event()
    kept: list[Kept] = []
    unusable: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        items = archive.gather(paths, folder, MOST)
        try:
            detector = context.detector(choice)
            trusted.check_count(len(items))
            for status in look_at(detector, items, stop, kept, unusable):
                yield status, *unchanged()
            if stop.is_set():
                yield style.notice(say("mine.cancelled")), *unchanged()
                return
            made = trusted.collect(kept, detector, "my pictures")
        except (CheckpointError, TrustedError) as error:
            yield failed([error.args[0], *told_unusable(unusable)]), *unchanged()
            return
    yield shown(made, unusable, cache)


def look_at(
    detector: Detector, items: Sequence[Item], stop: threading.Event, kept: list[Kept], unusable: list[str]
) -> Iterator[str]:
    """Fill `kept` and `unusable` from the files, and report now and then; ends early when asked.

    Raises:
        TrustedError: it takes longer than a batch may.
    """
    begun = told = time.monotonic()
    for done, item in enumerate(items, 1):
        if stop.is_set():
            return
        if time.monotonic() - begun > LONGEST:
            raise TrustedError(LATE)
        try:
            if item.path is None:
                raise ImageError(item.error)
            picture = isolated.read(item.path, detector.model.geometry.min_side)
            evidence = detector.detect(picture, locate=False)
            if not evidence.verdict.judged:
                raise ImageError(evidence.verdict.reason)
            kept.append(trusted.keep(evidence, item.name))
        except ImageError as error:
            unusable.append(f"{item.name}: {error}")
        if time.monotonic() - told > EVERY:
            told = time.monotonic()
            yield progress(done, len(items), told - begun)


def progress(done: int, total: int, seconds: float) -> str:
    """A bar with what is left in words."""
    return style.progress("mine-words", done_of(done, total, seconds), str(done), total)


def open_saved(context: Context, cache: str, path: str | None, choice: Choice | None) -> tuple[Any, ...]:
    """A reference that was saved before; what was there before stays if it can't be used."""
    if not path:
        return (gr.skip(), *unchanged())
    try:
        return shown(trusted.load(path, context.detector(choice)), [], cache)
    except (CheckpointError, TrustedError) as error:
        return failed([error.args[0]]), *unchanged()


def leave_out(cache: str, mine: Trusted | None) -> tuple[Any, ...]:
    """The reference without the pictures that stand out."""
    if mine is None:
        return style.notice(NONE), None, *hidden()
    try:
        return shown(mine.without(mine.outliers()), [], cache)
    except TrustedError as error:
        return failed([error.args[0]]), *unchanged()


def shown(made: Trusted, unusable: Sequence[str], cache: str) -> tuple[Any, ...]:
    """Status, reference and buttons; the file to save has no names of pictures."""
    with tempfile.TemporaryDirectory() as folder:
        content = trusted.save(made, Path(folder) / "file").read_bytes()
    file = save_bytes_to_cache(content, "my-reference.safetensors", cache)
    lines = [
        say("mine.made", n=made.n, least=made.smallest_p),
        *trusted.told(made),
        *told_unusable(unusable),
    ]
    outliers = gr.update(visible=bool(made.outliers()))
    return card(lines), made, gr.update(value=file, visible=True), outliers, gr.update(visible=True)


def told_unusable(sentences: Sequence[str]) -> list[str]:
    more = len(sentences) - MOST_TOLD
    return [*sentences[:MOST_TOLD], *([say("mine.more", n=more)] if more > 0 else [])]


def card(lines: Sequence[str]) -> str:
    return style.render("mine.html", lines=lines, kind="notice", role="status")


def failed(lines: Sequence[str]) -> str:
    return style.render("mine.html", lines=lines, kind="error", role="alert")


def beside(mine: Trusted | None, use: bool, result: Result | None, alpha: float) -> str:
    """The line below the card of one picture; nothing without a reference in use."""
    if mine is None or not use or result is None or not result.whole.evidence.verdict.judged:
        return ""
    try:
        return card([mine.judge(result.whole.evidence.at(alpha)).sentence])
    except TrustedError as error:
        return failed([error.args[0]])
