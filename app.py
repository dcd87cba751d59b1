"""The page: a picture in, its evidence out; and the endpoint `/analyze` for programs. Issue 2, "The app".

    python app.py

Opens on http://127.0.0.1:7860 and needs no network. GRADIO_SERVER_NAME and GRADIO_SERVER_PORT move it, MDMF_MODEL
names another checkpoint (a folder or a Hub repository). Handlers check, call the core and format; what is
computed is in `mdmf_core`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr  # noqa: E402
from PIL import Image  # noqa: E402

from mdmf_core import heatmap  # noqa: E402
from mdmf_core.detector import INCONCLUSIVE, CheckpointError, Detector, Evidence  # noqa: E402
from mdmf_core.hub import BUNDLED  # noqa: E402
from mdmf_core.images import MAX_BYTES, ImageError, Picture, read  # noqa: E402

EXAMPLES = Path(__file__).resolve().parent / "examples"
ALPHA = 0.05
ONE_HOUR = 3600
THUMBNAIL = 260
MODEL_QUEUE = {"concurrency_id": "model", "concurrency_limit": 1}

TITLE = "Is this picture generated, and where?"
INTRO = (
    "Drop a picture. Its small patches are compared with patches of real photographs: you see how unusual it is, "
    "and which parts make it so. Pictures stay on the machine that runs this page."
)
WAITING = "Drop a picture, paste one with Ctrl+V, or click an example. The result appears here."
LIMITS = (
    "It can't tell who made a picture, why, or whether what it shows is true.",
    "A clean result clears nothing: new generators, small edits, resizing and strong compression can hide the traces.",
    "A high score is a reason to look further: unusual cameras, filters, scans and screenshots can cause it too.",
)
ICONS = {"generated": "▲", "inconclusive": "◆", "no_evidence": "○"}

PASTE = """
() => document.addEventListener("paste", (event) => {
    const input = document.querySelector("#picture input[type=file]");
    if (!input || !event.clipboardData.files.length) return;
    event.preventDefault();
    input.files = event.clipboardData.files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
})
"""

REVEAL = '() => document.querySelector("#verdict").scrollIntoView({behavior: "smooth", block: "nearest"})'

CSS = """
.gradio-container {max-width: 1200px !important; width: 100%; min-width: 0; margin: 0 auto;}
.card {border: 1px solid var(--border-color-primary); border-left: 8px solid var(--tone); border-radius: 8px;
  padding: 12px 16px; background: var(--background-fill-primary); color: var(--body-text-color);}
.card h2 {margin: 0 0 6px; font-size: 1.4rem; color: var(--body-text-color);}
.card p {margin: 6px 0; overflow-wrap: anywhere;}
.card dl {display: grid; grid-template-columns: max-content 1fr; gap: 4px 14px; margin: 10px 0;}
.card dt {font-weight: 600;}
.card dd {margin: 0; overflow-wrap: anywhere;}
.generated {--tone: #b3261e;}
.inconclusive {--tone: #b26a00;}
.no_evidence {--tone: #5f6b7a;}
.waiting, .error {--tone: #1f6feb;}
.error {--tone: #b3261e;}
.small {font-size: 0.9rem; overflow-wrap: anywhere;}
.legend .bar {height: 18px; border-radius: 4px; border: 1px solid var(--border-color-primary);}
.legend ol {display: grid; grid-template-columns: 35fr 35fr 30fr; list-style: none; padding: 0; margin: 4px 0;}
.legend li {font-size: 0.9rem; margin: 0;}
.legend li:not(:first-child) {text-align: right;}
.html-container {padding: 0 !important;}
#map img, #mask img {object-fit: contain;}
label[data-testid="block-label"] {position: static !important; white-space: normal;}
#examples .caption-label {position: static; display: block; max-width: 100%; white-space: normal; text-align: left;
  border: 0; border-radius: 0; line-height: 1.25;}
#examples button.thumbnail-item {aspect-ratio: auto; height: auto;}
#examples .grid-wrap {max-height: none; overflow: visible;}
#examples .grid-container {padding-top: 0; grid-template-columns: repeat(3, minmax(0, 1fr));}
#examples .caption-label {overflow-wrap: anywhere;}
#examples button img {aspect-ratio: 1;}
"""


def load() -> tuple[Detector, str]:
    """The detector that MDMF_MODEL names, else the bundled one; and what to tell the user about it.

    Raises:
        CheckpointError: the bundled detector can't be used either.
    """
    try:
        return Detector.from_pretrained(), ""
    except CheckpointError as error:
        wanted = os.environ.get("MDMF_MODEL")
        if not wanted:
            raise
        shown = Path(wanted).name if Path(wanted).expanduser().is_absolute() else wanted
        reason = str(error).replace(wanted, shown)
        warning = f"The model {shown} can't be used. {reason} The bundled detector is used instead."
        return Detector.from_pretrained(BUNDLED), warning


def detect(detector: Detector, path: str | None, alpha: float | None) -> tuple[Picture, Evidence]:
    """One picture's evidence.

    Raises:
        gr.Error: the picture or the rate can't be used; one sentence.
    """
    if not path:
        raise gr.Error("There is no picture yet; choose one first.", print_exception=False)
    try:
        picture = read(path, detector.model.geometry.min_side)
        return picture, detector.detect(picture, ALPHA if alpha is None else alpha)
    except (ImageError, ValueError) as error:
        raise gr.Error(str(error), print_exception=False) from error


def analyze(detector: Detector, file: str | None, alpha: float | None) -> tuple[Image.Image, dict[str, Any]]:
    """For programs: the map with its colour bar, and the JSON contract.

    `path` is null, for there is none that means anything to the caller, and `name` is the file's name: Gradio's
    client takes any object with a text under "path" for a file to fetch (gradio_client 2.7.2, `is_file_obj`).
    """
    picture, evidence = detect(detector, file, alpha)
    return heatmap.overlay(picture.pixels, evidence), {**evidence.to_dict(), "path": None, "name": evidence.name}


def show(detector: Detector, path: str | None, alpha: float, example: dict | None) -> tuple[str, Any, str, Any]:
    """For the page: card, map, legend and, for a composite, its mask."""
    if not path:
        return waiting(), gr.skip(), gr.skip(), gr.skip()
    try:
        picture, evidence = detect(detector, path, alpha)
    except gr.Error as error:
        nothing = gr.update(value=None, visible=False)
        return error_card(str(error.message)), nothing, "", nothing
    image = heatmap.overlay(picture.pixels, evidence, colorbar=False)
    mask = Image.open(EXAMPLES / example["mask"]) if example and example["mask"] else None
    return (
        card(evidence, example),
        gr.update(value=image, visible=True),
        legend(evidence),
        gr.update(value=mask, visible=mask is not None),
    )


def take(path: str | None) -> tuple[str | None, None, None, Any]:
    """Keep the picture for the slider, empty the drop zone for the next one, leave no example marked."""
    return path, None, None, gr.update(selected_index=None)


def waiting() -> str:
    return f'<div class="card waiting"><p>{WAITING}</p></div>'


def error_card(sentence: str) -> str:
    return f'<div class="card error" role="alert"><h2>No result</h2><p>{escape(sentence)}</p></div>'


def card(evidence: Evidence, example: dict | None) -> str:
    """The verdict in words, its figures and where the picture comes from."""
    figures = {
        "p-value": f"{evidence.p_value:.3g}, from {evidence.n_calibration:,} real pictures",
        "Score": heatmap.score_line(evidence),
        "Picture": f"{evidence.name}, {evidence.width:,} x {evidence.height:,} pixels",
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in figures.items())
    notes = "".join(f"<p>Note: {escape(note)}</p>" for note in evidence.notes)
    return (
        f'<div class="card {evidence.decision}" role="status">'
        f'<h2><span aria-hidden="true">{ICONS[evidence.decision]}</span> {heatmap.VERDICTS[evidence.decision]}</h2>'
        f"<p>{escape(heatmap.explain(evidence))}</p><dl>{rows}</dl>{notes}{about(example)}</div>"
    )


def about(example: dict | None) -> str:
    """What an example is, so that the answer can be judged."""
    if not example:
        return ""
    return f"<p><strong>What this example is:</strong> {escape(example['what'])} {escape(example['licence'])}.</p>"


def legend(evidence: Evidence) -> str:
    """The colour bar in words and numbers."""
    items = "".join(
        f"<li><strong>{value:.3g}</strong><br>{escape(words)}</li>" for _, value, words in heatmap.ticks(evidence.scale)
    )
    return (
        '<div class="legend"><p class="small"><strong>Colours:</strong> the evidence of each patch, on one scale that '
        "is the same for every picture. No colour: as in most real pictures. Yellow: as in 1 of 1,000 patches of real "
        "pictures, or beyond. White line: the patch stands out.</p>"
        f'<div class="bar" role="img" aria-label="Colour scale from no colour through purple to yellow" '
        f'style="background: {heatmap.gradient(evidence.scale)}"></div><ol>{items}</ol></div>'
    )


def footer(detector: Detector) -> str:
    limits = "".join(f"<li>{sentence}</li>" for sentence in LIMITS)
    where = detector.located
    return (
        f'<h3>What this can\'t tell</h3><ul>{limits}</ul><p class="small">Model: {escape(where.model)}, revision '
        f"{escape(where.revision)}, backbone {escape(detector.model.backbone.name)}, fingerprint "
        f"<code>{detector.fingerprint[:16]}</code></p>"
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


def build(detector: Detector, warning: str = "") -> gr.Blocks:
    """The whole page around a loaded detector."""
    with gr.Blocks(
        title="MDMF: is this picture generated?", analytics_enabled=False, delete_cache=(ONE_HOUR, ONE_HOUR)
    ) as demo:
        gr.Markdown(f"# {TITLE}\n{INTRO}")
        if warning:
            gr.HTML(f'<div class="card error" role="alert"><p>{escape(warning)}</p></div>', padding=False)
        one_picture(detector)
        gr.HTML(footer(detector), padding=False)
        endpoint(detector)
    demo.queue(max_size=32, default_concurrency_limit=1)
    return demo


def one_picture(detector: Detector) -> None:
    """Drop, paste, pick or example; card, map and legend."""
    examples = json.loads((EXAMPLES / "examples.json").read_text(encoding="utf-8"))
    path, example = gr.State(time_to_live=ONE_HOUR), gr.State(time_to_live=ONE_HOUR)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            drop = gr.File(label="Picture: drop, paste or choose", elem_id="picture", height=170)
            alpha = gr.Slider(
                0.01,
                INCONCLUSIVE,
                ALPHA,
                step=0.01,
                label="False alarms you accept",
                info="0.05: 1 real picture in 20 would be called generated. Lower is stricter.",
                elem_id="alpha",
            )
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
        with gr.Column(scale=3, min_width=300):
            verdict = gr.HTML(waiting(), elem_id="verdict", padding=False)
            image = gr.Image(
                label="Where: colour marks unusual patches",
                format="png",
                interactive=False,
                visible=False,
                buttons=["fullscreen"],
                alt_text="The picture; patches with unusual evidence are coloured and outlined.",
                elem_id="map",
            )
            scale = gr.HTML(elem_id="legend", padding=False)
            mask = gr.Image(
                label="The part that is generated in this example, in white",
                format="png",
                interactive=False,
                visible=False,
                height=240,
                buttons=[],
                alt_text="Mask of the example: white is generated, black is the photograph.",
                elem_id="mask",
            )

    def pick(event: gr.SelectData) -> tuple[str, dict]:
        """The example that was clicked."""
        return str(EXAMPLES / examples[event.index]["file"]), examples[event.index]

    call = {
        "fn": partial(show, detector),
        "inputs": [path, alpha, example],
        "outputs": [verdict, image, scale, mask],
        "api_visibility": "private",
        "show_progress_on": verdict,
        **MODEL_QUEUE,
    }
    quick = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
    uploaded = drop.upload(take, drop, [path, drop, example, gallery], **quick)
    picked = gallery.select(pick, None, [path, example], **quick)
    for event in (uploaded, picked):
        event.success(**call).then(None, js=REVEAL, **quick)
    alpha.change(**call, trigger_mode="always_last")


def endpoint(detector: Detector) -> None:
    """`/analyze` for programs; its components are not on the page."""
    file, alpha = gr.File(label="file", visible=False), gr.Number(ALPHA, label="alpha", visible=False)
    image, data = gr.Image(label="overlay", format="png", visible=False), gr.JSON(label="evidence", visible=False)
    gr.Button(visible=False).click(
        partial(analyze, detector),
        [file, alpha],
        [image, data],
        api_name="analyze",
        api_description=(
            "Analyse one picture. file: the picture; alpha: the accepted share of false alarms, above 0 and at most "
            f"{INCONCLUSIVE}. Returns the map with its colour bar (PNG) and the evidence as JSON, in that order."
        ),
        **MODEL_QUEUE,
    )


def theme() -> gr.Theme:
    """Fonts of the user's own system, and small print dark enough to read."""
    chosen = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    readable, readable_dark = "*neutral_600", "*neutral_300"
    return chosen.set(
        body_text_color_subdued=readable,
        body_text_color_subdued_dark=readable_dark,
        block_info_text_color=readable,
        block_info_text_color_dark=readable_dark,
        block_label_text_color=readable,
        block_label_text_color_dark=readable_dark,
        block_title_text_color=readable,
        block_title_text_color_dark=readable_dark,
    )


def launch(demo: gr.Blocks, **options: Any) -> tuple[Any, str, str]:
    """Serve the page with this project's settings; `options` go to Gradio."""
    return demo.launch(
        theme=theme(),
        css=CSS,
        js=PASTE,
        max_file_size=MAX_BYTES,
        ssr_mode=False,
        run_history=False,
        footer_links=["api", "settings"],
        **options,
    )


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        detector, warning = load()
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    if warning:
        logging.warning(warning)
    launch(build(detector, warning))
    return 0


if __name__ == "__main__":
    sys.exit(main())
