"""The components of the tab for one picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from PIL import Image

from mdmf_app import panels, style, views
from mdmf_app.context import EXAMPLES, rate_field
from mdmf_app.labels import label, still
from mdmf_app.language import say, told
from mdmf_core.sentence import Sentence
from mdmf_core.show import maps as heatmaps

THUMBNAIL = 260
PATCH = "patch"
PAIR_TAB = 4  # place of "Before / after" among the tabs beside the map
INSPECT, CORNERS = "Shows a patch", "Sets two corners of a region"
ENGINES = (
    ("Google Lens", "https://lens.google.com/"),
    ("TinEye", "https://tineye.com/"),
    ("Bing Visual Search", "https://www.bing.com/visualsearch"),
    ("Yandex Images", "https://yandex.com/images/"),
)


def titled(example: dict) -> Sentence:
    """The kind of an example and its title."""
    return say("example.titled", kind=say(f"example.{example['kind']}"), title=say(f"example.title.{example['file']}"))


def gallery_items(examples: list[dict]) -> list[tuple[Image.Image, str]]:
    """Small copies to click, each with what it is."""
    return [(small_copy(example["file"]), told(titled(example))) for example in examples]


@cache
def small_copy(file: str) -> Image.Image:
    with Image.open(EXAMPLES / file) as image:
        small = image.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return small


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
        drop = gr.File(label=label(say("one.drop")), elem_id="picture", height=170)
        camera = camera_field()
        gallery = examples_gallery(examples)
        past = gr.HTML(elem_id="past", js_on_load=style.SELECT_BY_INDEX, padding=False)
        more = gr.Button(label(say("one.more_examples", n=len(examples))), size="sm", elem_id="more-examples")
    return Sources(drop, camera, gallery, more, past, examples)


def camera_field() -> gr.Image:
    """The camera, closed until it is asked for."""
    with gr.Accordion(label(say("one.camera_box")), open=False, elem_id="camera-box"):
        camera = gr.Image(
            label=label(say("one.camera")),
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
        label=label(say("one.examples")),
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
            colour = gr.Radio(maps_offered(statistic), value="evidence", label=label(say("map.name")), elem_id="colour")
            gr.HTML(still(lambda: style.render("tools.html")), elem_id="tools", padding=False)
        with gr.Row(elem_id="region-row"):
            found = gr.HTML(elem_id="region", padding=False)
            back = gr.Button(label(say("region.back")), visible=False, size="sm", elem_id="back")
        image = map_image()
        gr.HTML(still(lambda: style.render("reading.html")), elem_id="reading", padding=False)
        lens = gr.HTML(panels.lens(), elem_id="lens", js_on_load=style.SELECT_BY_PLACE, padding=False)
        drawn = gr.HTML(style.render("drawn.html"), elem_id="drawn", js_on_load=style.SELECT_BY_PLACE, padding=False)
        hint, legend, doubts = (gr.HTML(elem_id=name) for name in ("hint", "legend", "doubts"))
    known = gr.Checkbox(label=label(say("map.known")), value=False, visible=False, elem_id="known")
    mask = mask_image()
    with gr.Accordion(label(say("advanced")), open=False, elem_id="alpha-advanced"):
        every = gr.Checkbox(label=label(say("map.more")), info=label(say("map.more_info")), elem_id="all-maps")
        opacity = gr.Slider(0, 1, heatmaps.OPACITY, step=0.05, label=label(say("map.opacity")), elem_id="opacity")
        contours = gr.Checkbox(
            True, label=label(say("map.contours")), info=label(say("map.contours_info")), elem_id="contours"
        )
        clicks = [(label(say("map.inspect")), INSPECT), (label(say("map.corners")), CORNERS)]
        mode = gr.Radio(clicks, value=INSPECT, label=label(say("map.click")), elem_id="mode")
        alpha = rate_field("alpha")
    told, seldom = (image, lens, drawn, hint, legend, doubts), (every, opacity, contours, mode, alpha)
    return MapPanel(colour, *told, known, mask, *seldom, found, back, *region_fields())


def maps_offered(statistic: str) -> list[tuple[str, str]]:
    """The maps to choose from at first, for a component."""
    return [(label(words), name) for words, name in views.offered(False, statistic)]


def patch_panel() -> tuple[gr.Number, gr.HTML]:
    """The chosen patch."""
    number = gr.Number(
        label=label(say("patch.number")),
        info=label(say("patch.number_info")),
        precision=0,
        minimum=1,
        elem_id="number",
    )
    return number, gr.HTML(elem_id="patch")


def patch_table() -> gr.Dataframe:
    return gr.Dataframe(
        headers=panels.headers(),
        datatype=["number", "number", "number", "number", "number", "str", "number", "number"],
        type="array",
        label=label(say("table.label", n=panels.TOP)),
        interactive=False,
        max_height=320,
        buttons=[],
        elem_id="table",
    )


def map_image() -> gr.Image:
    """The map, in the kind of file that `views.file_of` chooses."""
    image = gr.Image(
        label=label(say("map.where")), interactive=False, buttons=[], alt_text=say("script.map"), elem_id="map"
    )

    show = image.postprocess
    image.postprocess = lambda drawn: show(drawn and save_bytes_to_cache(*views.file_of(drawn), image.GRADIO_CACHE))
    return image


def mask_image() -> gr.Image:
    return gr.Image(
        label=label(say("map.mask")),
        format="png",
        interactive=False,
        visible=False,
        height=240,
        buttons=[],
        alt_text=say("map.mask_alt"),
        elem_id="mask",
    )


def region_fields() -> tuple[gr.Accordion, list[gr.Number], gr.Button]:
    """The region's four numbers and its button."""
    with gr.Accordion(label(say("region.closer")), open=False, elem_id="closer") as closer:
        gr.HTML(still(lambda: style.paragraph(say("region.intro"))))
        with gr.Row():
            box = [
                gr.Number(
                    label=label(say(f"region.{name}")), precision=0, minimum=0, min_width=90, elem_id=f"region-{name}"
                )
                for name in "xywh"
            ]
        look = gr.Button(label(say("region.look")), variant="primary", min_width=160, elem_id="look")
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
                gr.HTML(still(lambda: style.render("grip.html")), elem_id="grip", padding=False)
                with gr.Tabs() as tabs:
                    with gr.Tab(label(say("tab.patch")), id=PATCH):
                        number, patch = patch_panel()
                    with gr.Tab(label(say("tab.null"))):
                        null = gr.HTML(elem_id="null")
                    test, steady = stability_tab()
                    with gr.Tab(label(say("tab.origin"))):
                        origin = gr.HTML(elem_id="origin")
                        gr.HTML(still(lambda: style.render("elsewhere.html", engines=ENGINES)))
                    with gr.Tab(label(say("tab.before_after")), id=PAIR_TAB) as before_after:
                        pair = pair_slider()
                    report = report_tab()
        one = PatchPanel(number, patch, patch_table())
    return Panels(column, parts, tabs, one, before_after, pair, null, test, steady, line, origin, *report)


def pair_slider() -> gr.ImageSlider:
    return gr.ImageSlider(
        label=label(say("map.drag")),
        format="png",
        interactive=False,
        buttons=["fullscreen"],
        max_height=700,
        elem_id="pair",
    )


def stability_tab() -> tuple[gr.Button, gr.HTML]:
    with gr.Tab(label(say("tab.holds"))):
        gr.HTML(still(lambda: style.paragraph(say("holds.intro"))))
        return gr.Button(label(say("holds.again")), elem_id="hold", size="sm"), gr.HTML(elem_id="stability")


def report_tab() -> tuple[gr.Button, gr.HTML, gr.DownloadButton, gr.DownloadButton]:
    with gr.Tab(label(say("tab.report"))):
        gr.HTML(still(lambda: style.paragraph(say("report.intro"))))
        make = gr.Button(label(say("report.make")), variant="primary", elem_id="make")
        ready = gr.HTML(elem_id="ready")
        with gr.Row():
            page = gr.DownloadButton(label(say("report.html")), visible=False, elem_id="report-html")
            data = gr.DownloadButton(label(say("report.json")), visible=False, elem_id="report-json")
    return make, ready, page, data
