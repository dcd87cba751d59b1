"""Does the result hold? The stability test of one picture, by itself or when asked for; and the finer map.

What comes by itself after the map is drawn is work of the background (`context.BACKGROUND`): it gives way to every
picture that is being judged, and ends between two passes once its result is no longer on the screen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from mdmf_app import context as contexts
from mdmf_app import panels, style
from mdmf_app.context import Context
from mdmf_app.server import space
from mdmf_app.tabs.one.kept import GONE, Held, Turn, held_at, is_gone
from mdmf_app.views import Refined, Result, View
from mdmf_core.errors import CheckpointError, ImageError
from mdmf_core.show import stability
from mdmf_core.show.finer import fine

Shown = tuple[Any, Any, Any]
UNCHANGED: Shown = (gr.skip(),) * 3


def hold(
    context: Context, result: Result | None, alpha: float, progress: gr.Progress | None = None
) -> list[stability.Variant]:
    """The stability test, with its progress.

    Raises:
        CheckpointError: the model that analysed the picture can't be loaded any more.
    """
    variants = []
    for variant in stability.variants(context.detector(result.choice), result.picture, alpha):
        variants.append(variant)
        if progress is not None:
            progress((len(variants), len(stability.CHANGES)), desc=f"Tried: {variant.name}")
    return variants


def show_stability(
    context: Context,
    result: Result | None,
    alpha: float,
    progress: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio's way to ask for it)
) -> Shown:
    """What the session keeps of the stability test, its panel, and its answer for the verdict's line."""
    if is_gone(result):
        return None, style.error_card(GONE), ""
    try:
        variants = hold(context, result, alpha, progress)
    except CheckpointError as error:
        return None, style.error_card(str(error)), ""
    return told(result, variants, alpha)


def told(result: Result, variants: list[stability.Variant], alpha: float) -> Shown:
    """What is kept and shown of a test that came to its end."""
    return (result, variants), panels.stability_panel(variants, alpha), held_line(result.whole, variants)


def trying(done: int, most: int) -> str:
    """How far the stability test is, in place of its panel."""
    return style.progress("hold-words", f"{done} of {most} changed copies done", str(done), most)


def held_line(view: View, variants: list[stability.Variant], done: int = 0, most: int = 0) -> str:
    """The answer of the stability test for the verdict's line, or how far it is: `done` of `most` copies."""
    short = f"Does it hold? {done} of {most} copies tried" if most else stability.short(variants)
    sentence = "" if most else stability.sentence(variants)
    return style.render("held.html", of=panels.name_of(view.evidence), short=short, sentence=sentence)


def refine(context: Context, result: Result | None, refined: Refined | None, turn: Turn) -> Any:
    """The finer maps of the result on the screen; nothing where there are none, or another picture comes."""
    if is_gone(result) or turn.shown is not result or (refined and refined[0] is result) or lent(context, result):
        return gr.skip()
    passes, evidence = [], result.whole.evidence
    try:
        for found in context.detector(result.choice).overlapping(result.picture, evidence.grid):
            passes.append(found)
            contexts.verdicts.wait()
            if turn.shown is not result:
                return gr.skip()
    except (CheckpointError, ImageError):  # the map of the patches stays
        return gr.skip()
    return (result, fine(evidence, passes)) if passes else gr.skip()


def lent(context: Context, result: Result) -> bool:
    """Whether the model works on a lent GPU, whose seconds nobody spends who didn't ask for it."""
    return isinstance(context.detector(result.choice).model.backbone, space.Lent)


def hold_by_itself(
    context: Context, result: Result | None, held: Held | None, alpha: float, turn: Turn
) -> Iterator[Shown]:
    """What `show_stability` gives, copy by copy, as long as the result is on the screen."""
    if is_gone(result) or turn.shown is not result or not result.whole.evidence.verdict.judged or lent(context, result):
        yield UNCHANGED
        return
    variants, most = held_at(held, result, alpha), len(stability.CHANGES)
    if variants:
        yield told(result, variants, alpha)
        return
    try:
        for variant in stability.variants(context.detector(result.choice), result.picture, alpha):
            variants.append(variant)
            contexts.verdicts.wait()
            if turn.shown is not result:
                return
            done = len(variants) - 1
            yield gr.skip(), trying(done, most - 1), held_line(result.whole, variants, done, most - 1)
    except CheckpointError as error:
        yield None, style.error_card(str(error)), ""
        return
    yield told(result, variants, alpha)
