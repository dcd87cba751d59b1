"""The tab for one picture: components, and handlers that check, call and format.

The detector runs once a picture, once a region and for the stability test. All else is drawn from the evidence that
the session keeps for an hour: `Result`, the region's `View`, and the changes that the stability test tried.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from mdmf_app import evidence as shown
from mdmf_app import pictures, style
from mdmf_app.context import EXAMPLES, MODEL_QUEUE, ONE_HOUR, PRIVATE, QUICK, Choice, Context, detect, rate_slider
from mdmf_app.evidence import Result, View
from mdmf_core import heatmap, stability
from mdmf_core.detector import CheckpointError, decide
from mdmf_core.files import WriteError
from mdmf_core.images import ImageError
from mdmf_core.isolated import read_provenance

THUMBNAIL = 260
WAITING = "Drop a picture, paste one with Ctrl+V, or click an example. The result appears here."
GONE = "The picture is not here any more: its hour is over, or others needed the room. Drop it again."
INSPECT, CORNERS = "Shows a patch", "Sets two corners of a region"
FIRST_CORNER = "First corner set. Click the opposite corner."
REGION_SET = "Region set. Analyse it with the button below."
REGION_INTRO = (
    "That region alone is analysed, with overlapping patches: for large pictures and small objects. Give it in pixels, "
    "or let two clicks on the map set its corners."
)
HELD_INTRO = (
    "Saves, shrinks and blurs copies of the picture and analyses each: an answer that flips is worth little. "
    "Takes some seconds."
)
REPORT_INTRO = (
    "One file about the whole picture to hand on: verdict, figures, map, top patches, the stability test, what the "
    "file says of itself, method, limits, and what identifies picture and model. It opens without a network and prints "
    "to a clean PDF. The JSON file holds the same figures."
)

LAST = {"trigger_mode": "always_last"}  # what comes meanwhile is done afterwards; else it would be passed over

Held = tuple[Result, list[stability.Variant]]


class Turn:
    """Counts the analyses that a session began, of which the last one counts, whichever ends first."""

    def __init__(self) -> None:
        self.last = 0

    def begin(self) -> int:
        self.last += 1
        return self.last


# Handlers


def take(path: str | None) -> tuple[str | None, None, None, Any]:
    """Keep the picture for later, empty its field for the next one, leave no example marked."""
    return path, None, None, gr.update(selected_index=None)


def analyse(
    context: Context,
    path: str | None,
    alpha: float,
    example: dict | None,
    chosen: Choice | None,
    turn: Turn | None = None,
) -> tuple[Result | None, str, Any, Any]:
    """Result, card, the panels' visibility and, for a composite, its mask; nothing if it was overtaken meanwhile."""
    turn = turn or Turn()
    mine = turn.begin()
    found = analyse_now(context, path, alpha, example, chosen)
    return found if turn.last == mine else (gr.skip(),) * 4


def analyse_now(
    context: Context, path: str | None, alpha: float, example: dict | None, chosen: Choice | None
) -> tuple[Result | None, str, Any, Any]:
    """What `analyse` gives."""
    if not path:
        return None, style.notice(WAITING), gr.skip(), gr.skip()
    hidden = gr.update(visible=False)
    try:
        picture, found = detect(context.detector(chosen), path, alpha)
    except (gr.Error, CheckpointError) as error:
        return None, style.error_card(getattr(error, "message", str(error))), hidden, hidden
    pictures.of_sessions.keep(path, picture)
    result = Result(path, shown.judge(picture, found), chosen, example)
    mask = Image.open(EXAMPLES / example["mask"]) if example and example["mask"] else None
    return (
        result,
        show_card(result, alpha),
        gr.update(visible=True),
        gr.update(value=mask, visible=mask is not None),
    )


def show_card(result: Result, alpha: float) -> str:
    """The verdict under a false-alarm rate."""
    view = result.whole
    return shown.card(shown.at_rate(view.evidence, alpha), result.example, view.reliability.warnings)


def show_map(
    result: Result | None,
    region: View | None,
    colour: str,
    opacity: float,
    patch: float | None,
    corner: tuple[int, int] | None,
    *box: float | None,
) -> tuple[Any, Any, Any]:
    """Map with its marks, legend, and where not to trust it; or a sentence in the last place."""
    if is_gone(result):
        return gr.skip(), gr.skip(), f"<p>{GONE}</p>"
    view = result.view(region)
    image = shown.draw(result, region, colour, opacity)
    image = shown.mark(image, result, region, index_of(view, patch), whole_box(box) or corner or ())
    return image, shown.legend(view.evidence, colour, opacity), shown.doubts(view)


def pair_of(
    result: Result | None, region: View | None, colour: str, opacity: float
) -> tuple[Image.Image, Image.Image] | None:
    """The picture without and with its map."""
    if is_gone(result):
        return None
    return shown.plain(result, region), shown.draw(result, region, colour, opacity)


def show_table(result: Result | None, region: View | None) -> Any:
    return gr.skip() if result is None else shown.top_rows(result.view(region).evidence)


def show_null(result: Result | None, alpha: float) -> Any:
    return gr.skip() if result is None else shown.null_plot(shown.at_rate(result.whole.evidence, alpha))


def show_patch(result: Result | None, region: View | None, patch: float | None) -> str:
    if is_gone(result):
        return style.notice(GONE)
    return shown.patch_panel(result, region, index_of(result.view(region), patch))


def show_origin(result: Result | None) -> Any:
    return gr.skip() if is_gone(result) else shown.origin_panel(read_provenance(Path(result.path), result.picture))


def is_gone(result: Result | None) -> bool:
    """Whether there is nothing to show: the session has no result any more, or the result no picture."""
    return result is None or not result.is_there()


def index_of(view: View, patch: float | None) -> int | None:
    """The patch with the number that a person gave, counted from 1."""
    if patch is None or not 1 <= patch <= view.evidence.n_patches:
        return None
    return int(patch) - 1


def whole_box(box: Sequence[float | None]) -> tuple[int, ...] | None:
    """The four numbers of a region, once all are given."""
    return None if any(number is None for number in box) else tuple(int(number) for number in box)


def click(
    result: Result | None, region: View | None, mode: str, corner: tuple[int, int] | None, event: gr.SelectData
) -> tuple[Any, ...]:
    """What a click on the map does: patch number, corner kept, region's four numbers, hint."""
    if result is None:
        return (gr.skip(),) * 7
    view = result.view(region)
    point = shown.frame(view, view is result.whole).to_picture(event.index)
    if mode == INSPECT:
        return shown.patch_at(view, point) + 1, None, *(gr.skip(),) * 4, ""
    if corner is None:
        return gr.skip(), point, None, None, None, None, f"<p>{FIRST_CORNER}</p>"
    (left, right), (top, bottom) = sorted((corner[0], point[0])), sorted((corner[1], point[1]))
    return gr.skip(), None, left, top, right - left, bottom - top, f"<p>{REGION_SET}</p>"


def row_click(event: gr.SelectData) -> int:
    """The patch of the table's row, wherever sorting put it."""
    return int(event.row_value[shown.TABLE.index("Patch")])


def analyse_region(
    context: Context, result: Result | None, alpha: float, *box: float | None
) -> tuple[Any, str, Any, Any]:
    """The region's view, its card, the button back to the whole picture, and no patch chosen."""
    kept = gr.skip(), gr.skip(), gr.skip()
    if is_gone(result):
        return kept[0], style.error_card(GONE), *kept[1:]
    if whole_box(box) is None:
        sentence = "Give all four numbers, or set two corners by clicking the map."
        return kept[0], style.error_card(sentence), *kept[1:]
    try:
        found = context.detector(result.choice).detect(result.picture, alpha, region=whole_box(box))
    except (ImageError, ValueError, CheckpointError) as error:
        return kept[0], style.error_card(str(error)), *kept[1:]
    view = shown.judge(result.picture, found)
    return view, shown.region_card(view, alpha), gr.update(visible=True), None


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
) -> tuple[Held | None, str]:
    """What the session keeps of the stability test, and its panel."""
    if is_gone(result):
        return None, style.error_card(GONE)
    try:
        variants = hold(context, result, alpha, progress)
    except CheckpointError as error:
        return None, style.error_card(str(error))
    return (result, variants), shown.stability_panel(variants, alpha)


def held_at(held: Held | None, result: Result, alpha: float) -> list[stability.Variant]:
    """The variants that were tried of this result, under a false-alarm rate; none if it wasn't tested."""
    if held is None or held[0] is not result:
        return []
    return [v if v.error else replace(v, decision=decide(v.p_value, alpha)) for v in held[1]]


def change_rate(
    result: Result | None, region: View | None, held: Held | None, alpha: float
) -> tuple[Any, Any, Any, Any]:
    """Card, null plot, the region's card and stability under another rate; nothing is analysed again."""
    if result is None:
        return (gr.skip(),) * 4
    view, variants = result.view(region), held_at(held, result, alpha)
    return (
        show_card(result, alpha),
        show_null(result, alpha),
        gr.skip() if view is result.whole else shown.region_card(view, alpha),
        shown.stability_panel(variants, alpha) if variants else gr.skip(),
    )


def make_report(
    context: Context,
    folder: Path,
    result: Result | None,
    held: Held | None,
    alpha: float,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[Any, ...]:
    """What is kept of the stability test, its panel, a sentence and the two files."""
    if is_gone(result):
        return gr.skip(), gr.skip(), style.error_card(GONE), gr.skip(), gr.skip()
    try:
        variants = held_at(held, result, alpha) or hold(context, result, alpha, progress)
        detector = context.detector(result.choice)
    except CheckpointError as error:
        return gr.skip(), gr.skip(), style.error_card(str(error)), gr.skip(), gr.skip()
    found = read_provenance(Path(result.path), result.picture)
    try:
        page, data = shown.write_report(folder, detector, result, alpha, variants, found)
    except WriteError as error:
        return gr.skip(), gr.skip(), style.error_card(str(error)), gr.skip(), gr.skip()
    return (
        (result, variants),
        shown.stability_panel(variants, alpha),
        '<p role="status">The report is ready.</p>',
        gr.update(value=page, visible=True),
        gr.update(value=data, visible=True),
    )


def gallery_items(examples: list[dict]) -> list[tuple[Image.Image, str]]:
    """Small copies to click, each with what it is."""
    items = []
    for example in examples:
        with Image.open(EXAMPLES / example["file"]) as image:
            small = image.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        items.append((small, f"{example['kind'].capitalize()}: {example['title']}"))
    return items


# Components


@dataclass(frozen=True)
class Sources:
    """Where a picture comes from, and the rate."""

    drop: gr.File
    camera: gr.Image
    alpha: gr.Slider
    gallery: gr.Gallery
    examples: list[dict]


@dataclass(frozen=True)
class MapPanel:
    """The map with its controls, the region's and the patch's."""

    colour: gr.Radio
    opacity: gr.Slider
    mode: gr.Radio
    image: gr.Image
    hint: gr.HTML
    legend: gr.HTML
    doubts: gr.HTML
    mask: gr.Image
    closer: gr.Accordion
    box: list[gr.Number]
    look: gr.Button
    back: gr.Button
    found: gr.HTML
    number: gr.Number
    patch: gr.HTML
    table: gr.Dataframe


@dataclass(frozen=True)
class Panels:
    """Everything below the card."""

    column: gr.Column
    parts: MapPanel
    before_after: gr.Tab
    pair: gr.ImageSlider
    null: gr.HTML
    test: gr.Button
    steady: gr.HTML
    origin: gr.HTML
    make: gr.Button
    ready: gr.HTML
    page: gr.DownloadButton
    data: gr.DownloadButton


@dataclass(frozen=True)
class Kept:
    """What a session keeps."""

    path: gr.State
    example: gr.State
    result: gr.State
    region: gr.State
    corner: gr.State
    held: gr.State
    turn: gr.State


def sources() -> Sources:
    examples = json.loads((EXAMPLES / "examples.json").read_text(encoding="utf-8"))
    drop = gr.File(label="Picture: drop, paste or choose", elem_id="picture", height=170)
    with gr.Accordion("Take a picture with the camera", open=False):
        camera = gr.Image(
            label="Camera",
            sources=["webcam"],
            type="filepath",
            format="png",
            image_mode=None,
            webcam_options=gr.WebcamOptions(mirror=False),
            elem_id="camera",
        )
    camera.preprocess = lambda photo: photo and photo.path  # Gradio's own would open the file in this process
    alpha = rate_slider("alpha")
    gallery = gr.Gallery(
        gallery_items(examples),
        label="Examples: click one",
        columns=3,
        height="auto",
        allow_preview=False,
        object_fit="cover",
        buttons=[],
        interactive=False,
        elem_id="examples",
    )
    return Sources(drop, camera, alpha, gallery, examples)


def map_panel() -> MapPanel:
    """Controls, then map and patch side by side where there is room, then the table."""
    maps = [(name, key) for key, (name, *_) in shown.MAPS.items()]
    colour = gr.Radio(maps, value="share", label="Colour shows", elem_id="colour")
    with gr.Row():
        opacity = gr.Slider(0, 1, heatmap.OPACITY, step=0.05, label="Opacity", elem_id="opacity", min_width=260)
        mode = gr.Radio([INSPECT, CORNERS], value=INSPECT, label="A click on the map", elem_id="mode", min_width=260)
    with gr.Row():
        with gr.Column(scale=3, min_width=380):
            image = map_image()
            hint, legend, doubts = (gr.HTML(elem_id=name) for name in ("hint", "legend", "doubts"))
            mask = mask_image()
            fields = region_fields()
        with gr.Column(scale=2, min_width=280):
            number = gr.Number(
                label="Patch number",
                info="Counted row by row from the top left.",
                precision=0,
                minimum=1,
                elem_id="number",
            )
            patch = gr.HTML(elem_id="patch")
    table = gr.Dataframe(
        headers=list(shown.TABLE),
        datatype=["number", "number", "number", "number", "number", "str", "number", "number"],
        type="array",
        label=f"The {shown.TOP} patches with the most evidence: choose a row; a heading's menu sorts",
        interactive=False,
        max_height=320,
        buttons=[],
        elem_id="table",
    )
    return MapPanel(colour, opacity, mode, image, hint, legend, doubts, mask, *fields, number, patch, table)


def map_image() -> gr.Image:
    return gr.Image(
        label="Where: colour marks unusual patches",
        format="png",
        interactive=False,
        buttons=["fullscreen"],
        alt_text="The picture; patches with unusual evidence are coloured and outlined.",
        elem_id="map",
    )


def mask_image() -> gr.Image:
    return gr.Image(
        label="The part that is generated in this example, in white",
        format="png",
        interactive=False,
        visible=False,
        height=240,
        buttons=[],
        alt_text="Mask of the example: white is generated, black is the photograph.",
        elem_id="mask",
    )


def region_fields() -> tuple[gr.Accordion, list[gr.Number], gr.Button, gr.Button, gr.HTML]:
    """The region's four numbers, its buttons and what was found in it."""
    with gr.Accordion("Look closer at one region", open=False, elem_id="closer") as closer:
        gr.HTML(f"<p>{REGION_INTRO}</p>")
        with gr.Row():
            box = [
                gr.Number(label=label, precision=0, minimum=0, min_width=90, elem_id=f"region-{name}")
                for label, name in (("Left", "x"), ("Top", "y"), ("Width", "w"), ("Height", "h"))
            ]
        with gr.Row():
            look = gr.Button("Analyse this region", variant="primary", min_width=160, elem_id="look")
            back = gr.Button("Back to the whole picture", visible=False, min_width=160, elem_id="back")
        found = gr.HTML(elem_id="region")
    return closer, box, look, back, found


def panels_below() -> Panels:
    """The tabs below the card; hidden until there is a result."""
    with gr.Column(visible=False) as column, gr.Tabs():
        with gr.Tab("Map"):
            parts = map_panel()
        with gr.Tab("Before / after") as before_after:
            pair = gr.ImageSlider(
                label="Drag the line: the picture left, its map right",
                format="png",
                interactive=False,
                buttons=["fullscreen"],
                max_height=700,
                elem_id="pair",
            )
        with gr.Tab("How unusual"):
            null = gr.HTML(elem_id="null")
        with gr.Tab("Does it hold?"):
            gr.HTML(f"<p>{HELD_INTRO}</p>")
            test = gr.Button("Does it hold?", variant="primary", elem_id="hold")
            steady = gr.HTML(elem_id="stability")
        with gr.Tab("Origin"):
            origin = gr.HTML(elem_id="origin")
        with gr.Tab("Report"):
            gr.HTML(f"<p>{REPORT_INTRO}</p>")
            make = gr.Button("Make the report", variant="primary", elem_id="make")
            ready = gr.HTML(elem_id="ready")
            with gr.Row():
                page = gr.DownloadButton("Download report (HTML)", visible=False, elem_id="report-html")
                data = gr.DownloadButton("Download figures (JSON)", visible=False, elem_id="report-json")
    return Panels(column, parts, before_after, pair, null, test, steady, origin, make, ready, page, data)


# Events


def tab(context: Context, chosen: gr.State) -> None:
    """Drop, paste, camera, pick or example; card and panels."""
    kept = (gr.State(value, time_to_live=ONE_HOUR) for value in (*[None] * 6, Turn()))
    state = Kept(*kept)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            given = sources()
        with gr.Column(scale=5, min_width=300):
            verdict = gr.HTML(style.notice(WAITING), elem_id="verdict")
            panels = panels_below()
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
    inspect = {
        "fn": show_patch,
        "inputs": [state.result, state.region, parts.number],
        "outputs": parts.patch,
        **QUICK,
    }
    for control in (parts.colour, parts.opacity):
        control.change(**redraw, trigger_mode="always_last")
    parts.mode.change(lambda mode: gr.update(open=mode == CORNERS), parts.mode, parts.closer, **QUICK)
    for number in parts.box:
        number.input(**redraw, trigger_mode="always_last")
    clicked = parts.image.select(
        click,
        [state.result, state.region, parts.mode, state.corner],
        [parts.number, state.corner, *parts.box, parts.hint],
        **QUICK,
    )
    for event in (
        clicked,
        parts.table.select(row_click, None, parts.number, **QUICK),
        parts.number.input(None, **QUICK),
    ):
        event.then(**redraw)
        event.then(**inspect)
    looked = parts.look.click(
        partial(analyse_region, context),
        [state.result, alpha, *parts.box],
        [state.region, parts.found, parts.back, parts.number],
        show_progress_on=parts.image,
        **PRIVATE,
        **MODEL_QUEUE,
    )
    left = parts.back.click(
        lambda: (None, "", gr.update(visible=False), None),
        None,
        [state.region, parts.found, parts.back, parts.number],
        **QUICK,
    )
    for event in (looked, left):
        event.then(lambda: (None, ""), None, [state.corner, parts.hint], **QUICK)
        event.then(**redraw)
        event.then(**inspect)
        event.then(show_table, [state.result, state.region], parts.table, **QUICK)
    return drawn
