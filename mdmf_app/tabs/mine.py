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
from mdmf_app.tabs.many import EVERY, LONGEST, halt, ready, remaining, rest
from mdmf_app.tabs.one.layout import Shown
from mdmf_app.views import Result
from mdmf_core import trusted
from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError, ImageError, TrustedError
from mdmf_core.images import archive, isolated
from mdmf_core.images.archive import Item
from mdmf_core.trusted import FEWEST, MOST, Kept, Trusted

NAME = "My reference"
INTRO = (
    f"Pictures that you trust, {FEWEST} to {MOST:,} of one camera that were published in one way, become a reference "
    "of your own: a picture is then compared with them, too, and false alarms hold for that camera. They stay on the "
    "machine that runs this page, and no other visitor can reach the reference. It is deleted within an hour after "
    "this browser tab is closed. The saved file holds figures, no pictures."
)
WAITING = "Choose pictures or a ZIP of them and press Make, or open a saved reference."
LATE = f"This took longer than {LONGEST // 60} minutes; use fewer pictures, or the command line."
NONE = "There is no reference now."
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
    gr.HTML(style.paragraph(INTRO), padding=False)
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            label = f"Pictures that you trust, or a ZIP of them, {FEWEST} to {MOST:,}"
            files = gr.File(label=label, file_count="multiple", height=190, elem_id="mine-files")
            with gr.Row():
                begin = gr.Button("Make", variant="primary", elem_id="mine-begin", min_width=120)
                cancel = gr.Button("Cancel", interactive=False, elem_id="mine-cancel", min_width=120)
            saved = gr.File(label="Or a saved reference", height=120, elem_id="mine-saved")
        with gr.Column(scale=2, min_width=300):
            use = gr.Checkbox(True, label="Compare pictures with my reference", elem_id="mine-use")
            status = gr.HTML(style.notice(WAITING), elem_id="mine-status", padding=False)
            with gr.Row():
                save = gr.DownloadButton("Save my reference", visible=False, elem_id="mine-save", min_width=160)
                drop = gr.Button("Leave out those that stand out", visible=False, elem_id="mine-drop", min_width=160)
                forget = gr.Button("Forget my reference", visible=False, elem_id="mine-forget", min_width=160)
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
        yield style.error_card("There are no pictures yet; choose some first."), *unchanged()
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
                yield style.notice("Cancelled; no reference was made."), *unchanged()
                return
            made = trusted.collect(kept, detector, "my pictures")
        except (CheckpointError, TrustedError) as error:
            yield failed([str(error), *told_unusable(unusable)]), *unchanged()
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
    left = f", about {remaining(seconds / done * (total - done))} left" if done < total else ""
    return style.progress("mine-words", f"{done} of {total} done{left}", str(done), total)


def open_saved(context: Context, cache: str, path: str | None, choice: Choice | None) -> tuple[Any, ...]:
    """A reference that was saved before; what was there before stays if it can't be used."""
    if not path:
        return (gr.skip(), *unchanged())
    try:
        return shown(trusted.load(path, context.detector(choice)), [], cache)
    except (CheckpointError, TrustedError) as error:
        return failed([str(error)]), *unchanged()


def leave_out(cache: str, mine: Trusted | None) -> tuple[Any, ...]:
    """The reference without the pictures that stand out."""
    if mine is None:
        return style.notice(NONE), None, *hidden()
    try:
        return shown(mine.without(mine.outliers()), [], cache)
    except TrustedError as error:
        return failed([str(error)]), *unchanged()


def shown(made: Trusted, unusable: Sequence[str], cache: str) -> tuple[Any, ...]:
    """Status, reference and buttons; the file to save has no names of pictures."""
    with tempfile.TemporaryDirectory() as folder:
        content = trusted.save(made, Path(folder) / "file").read_bytes()
    file = save_bytes_to_cache(content, "my-reference.safetensors", cache)
    lines = [
        f"{made.n:,} pictures are your reference; p can't be below {made.smallest_p:.2g}.",
        *trusted.told(made),
        *told_unusable(unusable),
    ]
    outliers = gr.update(visible=bool(made.outliers()))
    return card(lines), made, gr.update(value=file, visible=True), outliers, gr.update(visible=True)


def told_unusable(sentences: Sequence[str]) -> list[str]:
    more = len(sentences) - MOST_TOLD
    return [*sentences[:MOST_TOLD], *([f"{more:,} more can't be used."] if more > 0 else [])]


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
        return failed([str(error)])
