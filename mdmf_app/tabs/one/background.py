"""What comes by itself once a picture's map is drawn: a finer map, and whether the result holds.

It is work of the background (`context.BACKGROUND`): it gives way to every picture that is being judged, and ends
between two passes once its result is no longer on the screen.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr

from mdmf_app import context as contexts
from mdmf_app import style
from mdmf_app.context import Context
from mdmf_app.server import space
from mdmf_app.tabs.one.handlers import show_map_and_mask
from mdmf_app.tabs.one.holding import Shown, held_line, refused, told, tried, trying
from mdmf_app.tabs.one.kept import Held, Turn, held_at, is_gone
from mdmf_app.views import Refined, Result
from mdmf_core.errors import CheckpointError, ImageError
from mdmf_core.show import stability
from mdmf_core.show.finer import fine

UNCHANGED: Shown = (gr.skip(),) * 3


def refine(context: Context, result: Result | None, refined: Refined | None, turn: Turn) -> Any:
    """The finer maps of the result on the screen; nothing where there are none, or another picture comes."""
    if is_gone(result) or not turn.shows(result) or (refined and refined[0] is result) or lent(context, result):
        return gr.skip()
    passes, evidence = [], result.whole.evidence
    contexts.verdicts.wait(partial(turn.shows, result))
    try:
        for found in context.detector(result.choice).overlapping(result.picture, evidence.grid):
            passes.append(found)
            if not contexts.verdicts.wait(partial(turn.shows, result)):
                return gr.skip()
    except (CheckpointError, ImageError):  # the map of the patches stays
        return gr.skip()
    return (result, fine(evidence, passes)) if passes else gr.skip()


def show_finer(turn: Turn, known: bool, result: Result | None, *drawn: Any) -> tuple[Any, Any, Any]:
    """What `show_map_and_mask` gives, with the finer map; nothing where another picture comes."""
    if result is None or not turn.shows(result):
        return (gr.skip(),) * 3
    return show_map_and_mask(turn, known, result, *drawn)


def lent(context: Context, result: Result) -> bool:
    """Whether the model works on a lent GPU, whose seconds nobody spends who didn't ask for it."""
    return isinstance(context.detector(result.choice).model.backbone, space.Lent)


def hold_by_itself(
    context: Context, result: Result | None, held: Held | None, alpha: float, turn: Turn
) -> Iterator[Shown]:
    """What `show_stability` gives, copy by copy, as long as the result is on the screen."""
    if is_gone(result) or not turn.shows(result):
        yield UNCHANGED
        return
    if not result.whole.evidence.verdict.judged:
        yield None, refused(result.whole.evidence), ""
        return
    if lent(context, result):
        yield UNCHANGED
        return
    variants, most = held_at(held, result, alpha), len(stability.CHANGES)
    if variants:
        yield told(result, variants, alpha)
        return
    contexts.verdicts.wait(partial(turn.shows, result))
    try:
        for variant in tried(context, result, alpha):
            variants.append(variant)
            if not contexts.verdicts.wait(partial(turn.shows, result)):
                return
            done = len(variants) - 1
            yield gr.skip(), trying(done, most - 1), held_line(result.whole, variants, done, most - 1)
    except CheckpointError as error:
        yield None, style.error_card(str(error)), ""
        return
    yield told(result, variants, alpha)
