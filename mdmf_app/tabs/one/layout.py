"""The components of the tab for one picture."""

from __future__ import annotations

import json
from dataclasses import dataclass

import gradio as gr
from PIL import Image

from mdmf_app import panels, style, views
from mdmf_app.context import EXAMPLES, rate_slider
from mdmf_core.show import maps as heatmaps

THUMBNAIL = 260
INSPECT, CORNERS = "Shows a patch", "Sets two corners of a region"
REGION_INTRO = (
    "That region alone is analysed, with overlapping patches: for large pictures and small objects. Give it in pixels, "
    "or let two clicks on the map set its corners."
)
MORE_MAPS = "Witness value, p-value of each patch, and distance to real pictures alone."
HELD_INTRO = (
    "Saves, shrinks and blurs copies of the picture and analyses each: an answer that flips is worth little. "
    "Takes some seconds."
)
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
    every: gr.Checkbox
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
class Shown:
    """What another tab can add to: the session's result, its rate and card, and a place below that."""

    result: gr.State
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


def map_panel(statistic: str) -> MapPanel:
    """Controls, then map and patch side by side where there is room, then the table."""
    colour = gr.Radio(views.offered(False, statistic), value="evidence", label="Map", elem_id="colour")
    with gr.Row():
        opacity = gr.Slider(0, 1, heatmaps.OPACITY, step=0.05, label="Opacity", elem_id="opacity", min_width=260)
        mode = gr.Radio([INSPECT, CORNERS], value=INSPECT, label="A click on the map", elem_id="mode", min_width=260)
    with gr.Accordion("Advanced", open=False, elem_id="more"):
        every = gr.Checkbox(label="Offer the other maps, too", info=MORE_MAPS, elem_id="all-maps")
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
        headers=list(panels.TABLE),
        datatype=["number", "number", "number", "number", "number", "str", "number", "number"],
        type="array",
        label=f"The {panels.TOP} patches with the most evidence: choose a row; a heading's menu sorts",
        interactive=False,
        max_height=320,
        buttons=[],
        elem_id="table",
    )
    return MapPanel(colour, every, opacity, mode, image, hint, legend, doubts, mask, *fields, number, patch, table)


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
        gr.HTML(style.paragraph(REGION_INTRO))
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


def panels_below(statistic: str) -> Panels:
    """The tabs below the card, hidden until there is a result; `statistic` is what decides."""
    with gr.Column(visible=False) as column, gr.Tabs():
        with gr.Tab("Map"):
            parts = map_panel(statistic)
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
            gr.HTML(style.paragraph(HELD_INTRO))
            test = gr.Button("Does it hold?", variant="primary", elem_id="hold")
            steady = gr.HTML(elem_id="stability")
        with gr.Tab("Origin"):
            origin = gr.HTML(elem_id="origin")
        with gr.Tab("Report"):
            gr.HTML(style.paragraph(REPORT_INTRO))
            make = gr.Button("Make the report", variant="primary", elem_id="make")
            ready = gr.HTML(elem_id="ready")
            with gr.Row():
                page = gr.DownloadButton("Download report (HTML)", visible=False, elem_id="report-html")
                data = gr.DownloadButton("Download figures (JSON)", visible=False, elem_id="report-json")
    return Panels(column, parts, before_after, pair, null, test, steady, origin, make, ready, page, data)
