"""The pictures of this session: a row of thumbnails, each of which brings back its picture with its result.

They live in the session's own `gr.State` and go with it. The files that they lead to are those of the uploads, which
lie on the disk for an hour; a picture whose file is gone says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from mdmf_app import panels, style
from mdmf_app.tabs.one.handlers import mask_of, show_card
from mdmf_app.tabs.one.kept import GONE, Held, Turn, is_gone
from mdmf_app.views import Result
from mdmf_core.show import html
from mdmf_core.show.smaller import smaller

MOST = 12
THUMBNAIL = 96  # pixels of its longest side


@dataclass(frozen=True, eq=False)
class Entry:
    """One picture of the session; `source` is its thumbnail as an address that holds its data."""

    result: Result
    source: str
    held: Held | None = None


Past = tuple[Entry, ...]


def remember(past: Past | None, result: Result | None) -> tuple[Past, str]:
    """The session's pictures, newest first, with the one on the screen; and their thumbnails."""
    past = past or ()
    if not is_gone(result) and all(entry.result is not result for entry in past):
        others = [entry for entry in past if entry.result.whole.of() != result.whole.of()]
        past = (Entry(result, thumbnail(result)), *others)[:MOST]
    return past, show(past, result)


def keep_test(past: Past | None, held: Held | None) -> Past:
    """The same pictures; the one that was tested last keeps what came of it."""
    tested = held and held[0]
    return tuple(Entry(entry.result, entry.source, held) if entry.result is tested else entry for entry in past or ())


def thumbnail(result: Result) -> str:
    image = Image.fromarray(smaller(result.picture.pixels, THUMBNAIL))
    return html.picture(image, "JPEG", quality=80).source


def show(past: Past, result: Result | None) -> str:
    """All thumbnails as buttons; nothing where there is no other picture than the one on the screen."""
    entries = [
        {
            "source": entry.source,
            "name": entry.result.whole.evidence.picture.name,
            "current": entry.result is result,
            **panels.answer(entry.result.whole.evidence),
        }
        for entry in past
    ]
    return style.render("past.html", entries=entries if any(not entry["current"] for entry in entries) else [])


def bring_back(past: Past | None, alpha: float, turn: Turn, event: gr.SelectData) -> tuple[Any, ...]:
    """Path, example, result, what was tested, card, panels and mask of a picture of this session."""
    index, past = event.index, past or ()
    if type(index) is not int or not 0 <= index < len(past) or is_gone(past[index].result):
        turn.show(None)
        return None, None, None, None, style.error_card(GONE), gr.update(visible=False), gr.skip()
    entry = past[index]
    result = entry.result
    turn.show(result)
    return (
        result.path,
        result.example,
        result,
        entry.held,
        show_card(result, alpha),
        gr.update(visible=True),
        mask_of(result.example),
    )
