"""What happens when in the tab for one picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from mdmf_app import style
from mdmf_app.context import BACKGROUND, EXAMPLES, MODEL_QUEUE, ONE_HOUR, PRIVATE, QUICK, Context
from mdmf_app.labels import still
from mdmf_app.language import ENGLISH, current
from mdmf_app.tabs.one.background import hold_by_itself, refine, show_finer
from mdmf_app.tabs.one.handlers import (
    WAITING,
    analyse,
    analyse_region,
    change_rate,
    clear,
    click,
    drawn_box,
    known_mask,
    magnify,
    make_report,
    offer_maps,
    pair_of,
    row_click,
    show_card,
    show_map,
    show_map_and_mask,
    show_null,
    show_origin,
    show_patch,
    show_patches,
    show_table,
    take,
    take_opened,
)
from mdmf_app.tabs.one.history import bring_back, keep_test, remember
from mdmf_app.tabs.one.holding import show_stability
from mdmf_app.tabs.one.kept import Turn
from mdmf_app.tabs.one.layout import (
    CORNERS,
    PAIR_TAB,
    PATCH,
    Kept,
    Panels,
    Shown,
    Sources,
    gallery_items,
    panels_below,
    sources,
)
from mdmf_app.views import Refined, Result

EACH = {"trigger_mode": "multiple"}  # of selections: always_last would repeat the first one's place (Gradio 6.31)
LAST = {"trigger_mode": "always_last"}  # what comes meanwhile is done afterwards; else it would be passed over


def tab(context: Context, chosen: gr.State) -> Shown:
    """Drop, paste, camera, pick or example; card and panels."""
    kept = (gr.State(value, time_to_live=ONE_HOUR) for value in (*[None] * 9, Turn()))
    state, opened = Kept(*kept), gr.State(time_to_live=ONE_HOUR)
    with gr.Column(elem_id="one"):
        given = sources()
        coming = gr.HTML(style.render("coming.html"), elem_id="coming", padding=False)
        gr.HTML(still(lambda: style.render("address.html")), elem_id="address", padding=False)
        verdict = gr.HTML(still(lambda: style.notice(WAITING)), elem_id="verdict", padding=False)
        beside = gr.HTML(elem_id="beside")
        panels = panels_below(context.default.model.statistic, gr.HTML(elem_id="held", padding=False))
    gr.on(None, partial(titles, given.examples), None, given.gallery, **QUICK)
    given.more.click(None, js=style.MORE_EXAMPLES, **QUICK)
    drawn, redraw = wire_map(context, state, panels)
    wire_picture(context, state, given, (coming, verdict), panels, chosen, opened, drawn, redraw)
    wire_on_demand(context, state, panels)
    panels.tabs.select(is_pair, None, state.compared, **EACH, **QUICK)
    panels.before_after.select(pair_of, drawn, panels.pair, **LAST, **QUICK).then(None, js=style.NAME_PAIR, **QUICK)
    panels.parts.alpha.change(
        change_rate,
        [state.result, state.region, state.held, panels.parts.alpha],
        [verdict, panels.null, panels.parts.found, panels.steady, panels.line],
        trigger_mode="always_last",
        **QUICK,
    )
    return Shown(state.result, opened, panels.parts.alpha, verdict, beside)


def titles(examples: list[dict]) -> Any:
    """The examples once the page is open: Gradio's `I18n` does not reach into a gallery."""
    return gr.skip() if current() == ENGLISH else gr.update(value=gallery_items(examples))


def change_mode(mode: str) -> tuple[Any, None, str]:
    """Where a region is given is open while a click sets corners; no corner is kept from before."""
    return gr.update(open=mode == CORNERS), None, ""


def is_pair(event: gr.SelectData) -> bool:
    """Whether the tab that was chosen compares the picture with its map."""
    return event.index == PAIR_TAB


def wire_picture(
    context: Context,
    state: Kept,
    given: Sources,
    told: tuple[gr.HTML, gr.HTML],
    panels: Panels,
    chosen: gr.State,
    opened: gr.State,
    drawn: list[gr.blocks.Block],
    redraw: dict[str, Any],
) -> None:
    """What happens when a picture comes, or another model is chosen for it."""
    (coming, verdict), parts = told, panels.parts

    def pick(event: gr.SelectData) -> tuple[str, dict]:
        """The example that was clicked."""
        example = given.examples[event.index]
        return str(EXAMPLES / example["file"]), example

    call = {
        "fn": partial(analyse, context),
        "inputs": [state.path, parts.alpha, state.example, chosen, state.turn],
        "outputs": [state.result, verdict, panels.column, parts.mask],
        "show_progress": "minimal",
        "show_progress_on": coming,
        **LAST,
        **PRIVATE,
        **MODEL_QUEUE,
    }
    begun = [given.gallery.select(pick, None, [state.path, state.example], **EACH, **QUICK)]
    for source, event in ((given.drop, given.drop.upload), (given.camera, given.camera.input)):
        begun.append(event(take, source, [state.path, source, state.example, given.gallery], **QUICK))
    begun.append(opened.change(take_opened, opened, [state.path, state.example, given.gallery], **QUICK))
    begun.append(chosen.change(None, **QUICK))
    follow = following(context, state, given, verdict, panels, drawn, redraw)
    for event in begun:
        cleared = event.success(clear, [state.path, state.turn], [verdict, panels.column, parts.image], **LAST, **QUICK)
        follow(cleared.success(**call))
    brought = [state.path, state.example, state.result, state.held, verdict, panels.column, parts.mask]
    follow(given.past.select(bring_back, [state.past, parts.alpha, state.turn], brought, **EACH, **QUICK))


def following(
    context: Context,
    state: Kept,
    given: Sources,
    verdict: gr.HTML,
    panels: Panels,
    drawn: list[gr.blocks.Block],
    redraw: dict[str, Any],
) -> Callable[[gr.events.Dependency], None]:
    """Adds what follows once a session has another result: all panels, and what comes by itself."""
    parts, one, (fill, filled) = panels.parts, panels.one, filling(state, verdict, panels)

    def pair_if(compared: bool, *of: Any) -> Any:
        """The picture beside its map, where that is looked at."""
        return pair_of(*of) if compared else gr.skip()

    def follow(event: gr.events.Dependency) -> None:
        shown_by = [state.result, parts.colour, parts.opacity, parts.contours, state.fine, parts.alpha]
        mapped = event.then(fill, shown_by, filled, **LAST, **QUICK).then(None, js=style.MAP_IS_SEEN, **QUICK)
        chosen = [state.result, state.region, one.number]
        full = mapped.then(show_patches, chosen, [one.patch, one.table], **LAST, **QUICK)
        full.then(show_null, [state.result, parts.alpha], panels.null, **LAST, **QUICK)
        full.then(show_origin, state.result, panels.origin, **LAST, **QUICK)
        paired = full.then(pair_if, [state.compared, *drawn], panels.pair, **LAST, **QUICK)
        paired.then(None, js=style.NAME_PAIR, **QUICK)
        full.then(remember, [state.past, state.result], [state.past, given.past], **LAST, **QUICK)
        wire_background(context, state, panels, full, redraw)

    return follow


def wire_background(
    context: Context, state: Kept, panels: Panels, drawn: gr.events.Dependency, redraw: dict[str, Any]
) -> None:
    """What comes by itself once the map of a result is drawn: a finer map, and whether the result holds."""
    unasked = {"show_progress": "hidden", **LAST, **PRIVATE, **BACKGROUND}
    refined = drawn.then(partial(refine, context), [state.result, state.fine, state.turn], state.fine, **unasked)
    refined.then(**{**redraw, "fn": show_finer})
    tested = refined.then(
        partial(hold_by_itself, context),
        [state.result, state.held, panels.parts.alpha, state.turn],
        [state.held, panels.steady, panels.line],
        **unasked,
    )
    tested.then(keep_test, [state.past, state.held], state.past, **LAST, **QUICK)


def filling(
    state: Kept, verdict: gr.HTML, panels: Panels
) -> tuple[Callable[..., dict[gr.blocks.Block, Any]], list[gr.blocks.Block]]:
    """The handler that shows a new result in place of the one before, and the components that it sets."""
    parts, one = panels.parts, panels.one
    emptied = [state.region, state.corner, one.number, *parts.box, panels.pair]
    blank = [parts.hint, parts.found, panels.steady, panels.line, panels.ready, panels.null, panels.origin, one.patch]
    hidden = [parts.back, panels.page, panels.data]
    drawn = [parts.image, parts.legend, parts.doubts]

    def fill(
        result: Result | None, colour: str, opacity: float, contours: bool, refined: Refined | None, alpha: float
    ) -> dict[gr.blocks.Block, Any]:
        """The map of a new result, which waits for nothing else, and nothing of the one before."""
        if result is None:
            return {parts.hint: ""}
        return {
            **dict.fromkeys(emptied),
            **dict.fromkeys(blank, ""),
            **dict.fromkeys(hidden, gr.update(visible=False)),
            **dict(zip(drawn, show_map(result, None, colour, opacity, contours, refined, None, None), strict=True)),
            verdict: show_card(result, alpha),
            parts.known: gr.update(value=False, visible=known_mask(result) is not None),
        }

    return fill, [*emptied, *blank, *hidden, *drawn, verdict, parts.known]


def wire_on_demand(context: Context, state: Kept, panels: Panels) -> None:
    """The stability test and the report."""
    alpha = panels.parts.alpha
    on_demand = {"show_progress": "full", **PRIVATE, **MODEL_QUEUE}
    panels.test.click(
        partial(show_stability, context),
        [state.result, alpha],
        [state.held, panels.steady, panels.line],
        show_progress_on=panels.steady,
        **on_demand,
    )
    panels.make.click(
        partial(make_report, context, Path(panels.page.GRADIO_CACHE)),
        [state.result, state.held, alpha],
        [state.held, panels.steady, panels.line, panels.ready, panels.page, panels.data],
        show_progress_on=panels.ready,
        **on_demand,
    )


def wire_map(context: Context, state: Kept, panels: Panels) -> tuple[list[gr.blocks.Block], dict[str, Any]]:
    """What happens around the map; gives the inputs that a drawing of it takes, and the event that draws it anew."""
    parts, one = panels.parts, panels.one
    drawn = [state.result, state.region, parts.colour, parts.opacity, parts.contours, state.fine]
    marks = [one.number, state.corner, *parts.box]
    shown = [parts.image, parts.legend, parts.doubts]
    redraw = {"fn": show_map_and_mask, "inputs": [state.turn, parts.known, *drawn, *marks], "outputs": shown}
    redraw |= LAST | QUICK
    chosen = [state.result, state.region, one.number]
    inspect = {"fn": show_patch, "inputs": chosen, "outputs": one.patch, **LAST, **QUICK}
    for control in (parts.colour, parts.opacity, parts.contours, parts.known):
        control.change(**redraw)
    offered = partial(offer_maps, context.default.model.statistic)
    parts.every.change(offered, [parts.every, parts.colour], parts.colour, **QUICK)
    moded = parts.mode.change(change_mode, parts.mode, [parts.closer, state.corner, parts.hint], **QUICK)
    moded.then(**redraw)
    parts.lens.select(magnify, [state.result, state.region], parts.lens, **EACH, **QUICK)
    for number in parts.box:
        number.input(**redraw)
    clicked = parts.image.select(
        click,
        [state.result, state.region, parts.mode, state.corner],
        [one.number, state.corner, *parts.box, parts.hint],
        **EACH,
        **QUICK,
    )
    row_chosen = one.table.select(row_click, None, one.number, **EACH, **QUICK)
    for event in (clicked, row_chosen, one.number.input(None, **LAST, **QUICK)):
        event.then(**redraw)
        event.then(**inspect)
        event.then(lambda: gr.Tabs(selected=PATCH), None, panels.tabs, **LAST, **QUICK)
    wire_region(context, state, panels, redraw, inspect)
    return drawn, redraw


def wire_region(context: Context, state: Kept, panels: Panels, redraw: dict[str, Any], inspect: dict[str, Any]) -> None:
    """A region is analysed, by its numbers or as drawn into the map, or left; all are drawn and inspected anew."""
    parts, one = panels.parts, panels.one
    outputs = [state.region, parts.found, parts.back, one.number]
    look = {
        "fn": partial(analyse_region, context),
        "inputs": [state.result, parts.alpha, *parts.box],
        "outputs": outputs,
        "show_progress_on": parts.image,
        **LAST,
        **PRIVATE,
        **MODEL_QUEUE,
    }
    boxed = parts.drawn.select(drawn_box, None, parts.box, **EACH, **QUICK)
    looked = parts.look.click(**look), boxed.success(**look)
    left = parts.back.click(lambda: (None, "", gr.update(visible=False), None), None, outputs, **QUICK)
    for event in (*looked, left):
        event.then(lambda: (None, ""), None, [state.corner, parts.hint], **QUICK)
        event.then(**redraw)
        event.then(**inspect)
        event.then(show_table, [state.result, state.region], one.table, **LAST, **QUICK)
