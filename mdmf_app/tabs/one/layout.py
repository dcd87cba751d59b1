"""The components of the tab for one picture."""

from __future__ import annotations

import json
from dataclasses import dataclass

import gradio as gr
from PIL import Image

from mdmf_app import panels, style, views
from mdmf_app.context import EXAMPLES, rate_field
from mdmf_core.show import maps as heatmaps

THUMBNAIL = 260
PATCH = "patch"
BEFORE_AFTER = "Before / after"
INSPECT, CORNERS = "Shows a patch", "Sets two corners of a region"
KNOWN = "Outline the part that is known to be generated"
REGION_INTRO = (
    "That region alone is analysed, with overlapping patches: for large pictures and small objects. Press “Region” "
    "above the map and drag over it, or give it in pixels here, or choose “Sets two corners of a region” under "
    "“Advanced” and click two corners on the map."
)
HELD_INTRO = (
    "Saves, shrinks and blurs copies of the picture and analyses each: an answer that flips is worth little. This runs "
    "by itself after the verdict, and its answer stands beside that."
)
MORE_MAPS = "Witness value, p-value of each patch, and distance to real pictures alone."
ENGINES = (
    ("Google Lens", "https://lens.google.com/"),
    ("TinEye", "https://tineye.com/"),
    ("Bing Visual Search", "https://www.bing.com/visualsearch"),
    ("Yandex Images", "https://yandex.com/images/"),
)
CONTOURS = "Lines beside the colour, for pictures that are yellow, orange or dark themselves."
REPORT_INTRO = (
    "One file about the whole picture to hand on: verdict, figures, map, top patches, the stability test, what the "
    "file says of itself, method, limits, and what identifies picture and model. It opens without a network and prints "
    "to a clean PDF. The JSON file holds the same figures."
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


@dataclass(frozen=True)
class Sources:
    """Where a picture comes from."""

    drop: gr.File
    camera: gr.Image
    gallery: gr.Gallery
    more: gr.Button
    past: gr.HTML
    examples: list[dict]


@dataclass(frozen=True)
class MapPanel:
    """The map with its controls, and the region's."""

    colour: gr.Radio
    image: gr.Image
    lens: gr.HTML
    drawn: gr.HTML
    hint: gr.HTML
    legend: gr.HTML
    doubts: gr.HTML
    known: gr.Checkbox
    mask: gr.Image
    every: gr.Checkbox
    opacity: gr.Slider
    contours: gr.Checkbox
    mode: gr.Radio
    alpha: gr.Slider
    found: gr.HTML
    back: gr.Button
    closer: gr.Accordion
    box: list[gr.Number]
    look: gr.Button


@dataclass(frozen=True)
class PatchPanel:
    """The chosen patch, and the table to choose one from."""

    number: gr.Number
    patch: gr.HTML
    table: gr.Dataframe


@dataclass(frozen=True)
class Panels:
    """Everything below the card."""

    column: gr.Column
    parts: MapPanel
    tabs: gr.Tabs
    one: PatchPanel
    before_after: gr.Tab
    pair: gr.ImageSlider
    null: gr.HTML
    test: gr.Button
    steady: gr.HTML
    line: gr.HTML
    origin: gr.HTML
    make: gr.Button
    ready: gr.HTML
    page: gr.DownloadButton
    data: gr.DownloadButton


@dataclass(frozen=True)
class Shown:
    """What another tab can add to: the session's result, its rate and card, and a place below that.

    A path with any second text in `opened` is analysed here.
    """

    result: gr.State
    opened: gr.State
    alpha: gr.Slider
    verdict: gr.HTML
    beside: gr.HTML


@dataclass(frozen=True)
class Kept:
    """What a session keeps."""

    path: gr.State
    example: gr.State
    result: gr.State
    region: gr.State
    corner: gr.State
    held: gr.State
    past: gr.State
    fine: gr.State
    compared: gr.State
    turn: gr.State


def one_of_each_first(examples: list[dict]) -> list[dict]:
    """The same examples; the first of each kind come before all others."""
    kinds = [example["kind"] for example in examples]
    return sorted(examples, key=lambda example: examples.index(example) != kinds.index(example["kind"]))


def sources() -> Sources:
    """Where a picture comes from: large while there is none, a strip above the result afterwards."""
    examples = one_of_each_first(json.loads((EXAMPLES / "examples.json").read_text(encoding="utf-8")))
    with gr.Row(elem_id="sources"):
        drop = gr.File(label="Picture: drop, paste or choose", elem_id="picture", height=170)
        camera = camera_field()
        gallery = examples_gallery(examples)
        past = gr.HTML(elem_id="past", js_on_load=style.SELECT_BY_INDEX, padding=False)
        more = gr.Button(f"All {len(examples)} examples", size="sm", elem_id="more-examples")
    return Sources(drop, camera, gallery, more, past, examples)


def camera_field() -> gr.Image:
    """The camera, closed until it is asked for."""
    with gr.Accordion("Take a picture with the camera", open=False, elem_id="camera-box"):
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
    return camera


def examples_gallery(examples: list[dict]) -> gr.Gallery:
    return gr.Gallery(
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


def map_panel(statistic: str) -> MapPanel:
    """The map under its two rows of buttons, then what it means, then what is seldom needed."""
    with gr.Column(elem_id="stage"):
        with gr.Row(elem_id="map-bar"):
            colour = gr.Radio(views.offered(False, statistic), value="evidence", label="Map", elem_id="colour")
            gr.HTML(style.render("tools.html"), elem_id="tools", padding=False)
        with gr.Row(elem_id="region-row"):
            found = gr.HTML(elem_id="region", padding=False)
            back = gr.Button("Back to the whole picture", visible=False, size="sm", elem_id="back")
        image = map_image()
        gr.HTML(style.render("reading.html"), elem_id="reading", padding=False)
        lens = gr.HTML(panels.lens(), elem_id="lens", js_on_load=style.SELECT_BY_PLACE, padding=False)
        drawn = gr.HTML(style.render("drawn.html"), elem_id="drawn", js_on_load=style.SELECT_BY_PLACE, padding=False)
        hint, legend, doubts = (gr.HTML(elem_id=name) for name in ("hint", "legend", "doubts"))
    known = gr.Checkbox(label=KNOWN, value=False, visible=False, elem_id="known")
    mask = mask_image()
    with gr.Accordion("Advanced", open=False, elem_id="alpha-advanced"):
        every = gr.Checkbox(label="Offer the other maps, too", info=MORE_MAPS, elem_id="all-maps")
        opacity = gr.Slider(0, 1, heatmaps.OPACITY, step=0.05, label="Opacity", elem_id="opacity")
        contours = gr.Checkbox(True, label="Contour lines", info=CONTOURS, elem_id="contours")
        mode = gr.Radio([INSPECT, CORNERS], value=INSPECT, label="A click on the map", elem_id="mode")
        alpha = rate_field("alpha")
    told, seldom = (image, lens, drawn, hint, legend, doubts), (every, opacity, contours, mode, alpha)
    return MapPanel(colour, *told, known, mask, *seldom, found, back, *region_fields())


def patch_panel() -> tuple[gr.Number, gr.HTML]:
    """The chosen patch."""
    number = gr.Number(
        label="Patch number",
        info="Counted row by row from the top left.",
        precision=0,
        minimum=1,
        elem_id="number",
    )
    return number, gr.HTML(elem_id="patch")


def patch_table() -> gr.Dataframe:
    return gr.Dataframe(
        headers=list(panels.TABLE),
        datatype=["number", "number", "number", "number", "number", "str", "number", "number"],
        type="array",
        label=f"The {panels.TOP} patches with the most evidence: choose a row; a heading's menu sorts",
        interactive=False,
        max_height=320,
        buttons=[],
        elem_id="table",
    )


def map_image() -> gr.Image:
    return gr.Image(
        label="Where: colour marks unusual patches",
        format="png",
        interactive=False,
        buttons=[],
        alt_text="The picture under its map: colour and dotted lines where it is unusual, solid outlines where patches "
        "stand out. The scale is below.",
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


def region_fields() -> tuple[gr.Accordion, list[gr.Number], gr.Button]:
    """The region's four numbers and its button."""
    with gr.Accordion("Look closer at one region", open=False, elem_id="closer") as closer:
        gr.HTML(style.paragraph(REGION_INTRO))
        with gr.Row():
            box = [
                gr.Number(label=label, precision=0, minimum=0, min_width=90, elem_id=f"region-{name}")
                for label, name in (("Left", "x"), ("Top", "y"), ("Width", "w"), ("Height", "h"))
            ]
        look = gr.Button("Analyse this region", variant="primary", min_width=160, elem_id="look")
    return closer, box, look


def panels_below(statistic: str, line: gr.HTML) -> Panels:
    """The map, beside it the details in tabs, below both the table; hidden until there is a result.

    `line` has the stability test's answer, which the page's script takes to the verdict's line.
    """
    with gr.Column(visible=False, elem_id="panels") as column:
        with gr.Row(elem_id="halves"):
            with gr.Column(scale=5, min_width=320, elem_id="left"):
                parts = map_panel(statistic)
            with gr.Column(scale=3, min_width=320, elem_id="right"):
                gr.HTML(style.render("grip.html"), elem_id="grip", padding=False)
                with gr.Tabs() as tabs:
                    with gr.Tab("Patch", id=PATCH):
                        number, patch = patch_panel()
                    with gr.Tab("How unusual"):
                        null = gr.HTML(elem_id="null")
                    test, steady = stability_tab()
                    with gr.Tab("Origin"):
                        origin = gr.HTML(elem_id="origin")
                        gr.HTML(style.render("elsewhere.html", engines=ENGINES))
                    with gr.Tab(BEFORE_AFTER) as before_after:
                        pair = pair_slider()
                    report = report_tab()
        one = PatchPanel(number, patch, patch_table())
    return Panels(column, parts, tabs, one, before_after, pair, null, test, steady, line, origin, *report)


def pair_slider() -> gr.ImageSlider:
    return gr.ImageSlider(
        label="Drag the line: the picture left, its map right",
        format="png",
        interactive=False,
        buttons=["fullscreen"],
        max_height=700,
        elem_id="pair",
    )


def stability_tab() -> tuple[gr.Button, gr.HTML]:
    with gr.Tab("Does it hold?"):
        gr.HTML(style.paragraph(HELD_INTRO))
        return gr.Button("Test again", elem_id="hold", size="sm"), gr.HTML(elem_id="stability")


def report_tab() -> tuple[gr.Button, gr.HTML, gr.DownloadButton, gr.DownloadButton]:
    with gr.Tab("Report"):
        gr.HTML(style.paragraph(REPORT_INTRO))
        make = gr.Button("Make the report", variant="primary", elem_id="make")
        ready = gr.HTML(elem_id="ready")
        with gr.Row():
            page = gr.DownloadButton("Download report (HTML)", visible=False, elem_id="report-html")
            data = gr.DownloadButton("Download figures (JSON)", visible=False, elem_id="report-json")
    return make, ready, page, data
