"""What happens when in the tab for one picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from mdmf_app import style
from mdmf_app.context import EXAMPLES, MODEL_QUEUE, ONE_HOUR, PRIVATE, QUICK, Context
from mdmf_app.tabs.one.handlers import (
    WAITING,
    Turn,
    analyse,
    analyse_region,
    change_rate,
    click,
    make_report,
    offer_maps,
    pair_of,
    row_click,
    show_card,
    show_map,
    show_null,
    show_origin,
    show_patch,
    show_stability,
    show_table,
    take,
)
from mdmf_app.tabs.one.layout import CORNERS, Kept, MapPanel, Panels, Shown, Sources, panels_below, sources
from mdmf_app.views import Result

LAST = {"trigger_mode": "always_last"}  # what comes meanwhile is done afterwards; else it would be passed over


def tab(context: Context, chosen: gr.State) -> Shown:
    """Drop, paste, camera, pick or example; card and panels."""
    kept = (gr.State(value, time_to_live=ONE_HOUR) for value in (*[None] * 6, Turn()))
    state = Kept(*kept)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            given = sources()
        with gr.Column(scale=5, min_width=300):
            verdict = gr.HTML(style.notice(WAITING), elem_id="verdict")
            beside = gr.HTML(elem_id="beside")
            panels = panels_below(context.default.model.statistic)
    drawn = wire_map(context, state, given.alpha, panels.parts)
    wire_picture(context, state, given, verdict, panels, chosen, drawn)
    wire_on_demand(context, state, given.alpha, panels)
    panels.before_after.select(pair_of, drawn, panels.pair, **QUICK).then(None, js=style.NAME_PAIR, **QUICK)
    given.alpha.change(
        change_rate,
        [state.result, state.region, state.held, given.alpha],
        [verdict, panels.null, panels.parts.found, panels.steady],
        trigger_mode="always_last",
        **QUICK,
    )
    return Shown(state.result, given.alpha, verdict, beside)


def wire_picture(
    context: Context,
    state: Kept,
    given: Sources,
    verdict: gr.HTML,
    panels: Panels,
    chosen: gr.State,
    drawn: list[gr.blocks.Block],
) -> None:
    """What happens when a picture comes, or another model is chosen for it."""

    def pick(event: gr.SelectData) -> tuple[str, dict]:
        """The example that was clicked."""
        example = given.examples[event.index]
        return str(EXAMPLES / example["file"]), example

    call = {
        "fn": partial(analyse, context),
        "inputs": [state.path, given.alpha, state.example, chosen, state.turn],
        "outputs": [state.result, verdict, panels.column, panels.parts.mask],
        "show_progress_on": verdict,
        **LAST,
        **PRIVATE,
        **MODEL_QUEUE,
    }
    begun = [given.gallery.select(pick, None, [state.path, state.example], **QUICK)]
    for source, event in ((given.drop, given.drop.upload), (given.camera, given.camera.input)):
        begun.append(event(take, source, [state.path, source, state.example, given.gallery], **QUICK))
    fill, filled = filling(state, verdict, panels)
    for event in (*(event.success(**call) for event in begun), chosen.change(**call)):
        shown_by = [state.result, panels.parts.colour, panels.parts.opacity, given.alpha]
        full = event.then(fill, shown_by, filled, **LAST, **QUICK)
        full.then(None, js=style.REVEAL, **QUICK)
        full.then(pair_of, drawn, panels.pair, **LAST, **QUICK).then(None, js=style.NAME_PAIR, **QUICK)
        event.then(show_origin, state.result, panels.origin, **LAST, **QUICK)


def filling(
    state: Kept, verdict: gr.HTML, panels: Panels
) -> tuple[Callable[..., dict[gr.blocks.Block, Any]], list[gr.blocks.Block]]:
    """The handler that shows a new result in all panels, and the components that it sets."""
    parts = panels.parts
    emptied = [state.region, state.corner, state.held, parts.number, *parts.box]
    blank = [parts.hint, parts.found, panels.steady, panels.ready]
    hidden = [parts.back, panels.page, panels.data]
    drawn = [parts.image, parts.legend, parts.doubts]

    def fill(result: Result | None, colour: str, opacity: float, alpha: float) -> dict[gr.blocks.Block, Any]:
        """Every panel of a new result, and nothing of the one before."""
        if result is None:
            return {parts.hint: ""}
        return {
            **dict.fromkeys(emptied),
            **dict.fromkeys(blank, ""),
            **dict.fromkeys(hidden, gr.update(visible=False)),
            **dict(zip(drawn, show_map(result, None, colour, opacity, None, None), strict=True)),
            verdict: show_card(result, alpha),
            parts.patch: show_patch(result, None, None),
            parts.table: show_table(result, None),
            panels.null: show_null(result, alpha),
        }

    return fill, [*emptied, *blank, *hidden, *drawn, verdict, parts.patch, parts.table, panels.null]


def wire_on_demand(context: Context, state: Kept, alpha: gr.Slider, panels: Panels) -> None:
    """The stability test and the report."""
    on_demand = {"show_progress": "full", **PRIVATE, **MODEL_QUEUE}
    panels.test.click(
        partial(show_stability, context),
        [state.result, alpha],
        [state.held, panels.steady],
        show_progress_on=panels.steady,
        **on_demand,
    )
    panels.make.click(
        partial(make_report, context, Path(panels.page.GRADIO_CACHE)),
        [state.result, state.held, alpha],
        [state.held, panels.steady, panels.ready, panels.page, panels.data],
        show_progress_on=panels.ready,
        **on_demand,
    )


def wire_map(context: Context, state: Kept, alpha: gr.Slider, parts: MapPanel) -> list[gr.blocks.Block]:
    """What happens around the map; gives the inputs that a drawing of it takes."""
    drawn = [state.result, state.region, parts.colour, parts.opacity]
    marks = [parts.number, state.corner, *parts.box]
    redraw = {"fn": show_map, "inputs": [*drawn, *marks], "outputs": [parts.image, parts.legend, parts.doubts], **QUICK}
    chosen = [state.result, state.region, parts.number]
    inspect = {"fn": show_patch, "inputs": chosen, "outputs": parts.patch, **QUICK}
    for control in (parts.colour, parts.opacity):
        control.change(**redraw, trigger_mode="always_last")
    offered = partial(offer_maps, context.default.model.statistic)
    parts.every.change(offered, [parts.every, parts.colour], parts.colour, **QUICK)
    parts.mode.change(lambda mode: gr.update(open=mode == CORNERS), parts.mode, parts.closer, **QUICK)
    for number in parts.box:
        number.input(**redraw, trigger_mode="always_last")
    clicked = parts.image.select(
        click,
        [state.result, state.region, parts.mode, state.corner],
        [parts.number, state.corner, *parts.box, parts.hint],
        **QUICK,
    )
    row_chosen = parts.table.select(row_click, None, parts.number, **QUICK)
    for event in (clicked, row_chosen, parts.number.input(None, **QUICK)):
        event.then(**redraw)
        event.then(**inspect)
    wire_region(context, state, alpha, parts, redraw, inspect)
    return drawn


def wire_region(
    context: Context,
    state: Kept,
    alpha: gr.Slider,
    parts: MapPanel,
    redraw: dict[str, Any],
    inspect: dict[str, Any],
) -> None:
    """A region is analysed, or left; both are drawn and inspected anew."""
    outputs = [state.region, parts.found, parts.back, parts.number]
    looked = parts.look.click(
        partial(analyse_region, context),
        [state.result, alpha, *parts.box],
        outputs,
        show_progress_on=parts.image,
        **PRIVATE,
        **MODEL_QUEUE,
    )
    left = parts.back.click(lambda: (None, "", gr.update(visible=False), None), None, outputs, **QUICK)
    for event in (looked, left):
        event.then(lambda: (None, ""), None, [state.corner, parts.hint], **QUICK)
        event.then(**redraw)
        event.then(**inspect)
        event.then(show_table, [state.result, state.region], parts.table, **QUICK)
