"""The page: which patches of a picture say that it is generated, and the endpoints for programs. Issues 2 and 4.

    python app.py

Opens on http://127.0.0.1:7860 and needs no network. GRADIO_SERVER_NAME and GRADIO_SERVER_PORT move it, MDMF_MODEL
names another checkpoint (a folder or a Hub repository). The tabs are in `mdmf_app`, what is computed in `mdmf_core`.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from html import escape
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr  # noqa: E402
from PIL import Image  # noqa: E402

from mdmf_app import one, style  # noqa: E402
from mdmf_app.context import ALPHA, MODEL_QUEUE, ONE_HOUR, Context, detect, first_detector  # noqa: E402
from mdmf_core import heatmap  # noqa: E402
from mdmf_core.detector import INCONCLUSIVE, CheckpointError, Detector  # noqa: E402
from mdmf_core.images import MAX_BYTES  # noqa: E402

TITLE = "Is this picture generated, and where?"
INTRO = (
    "Drop a picture. Its small patches are compared with patches of real photographs: you see how unusual it is, "
    "and which parts make it so. Pictures stay on the machine that runs this page."
)


def build(detector: Detector, warning: str = "") -> gr.Blocks:
    """The whole page around a loaded detector."""
    context = Context(detector, warning)
    with gr.Blocks(
        title="MDMF: is this picture generated?", analytics_enabled=False, delete_cache=(ONE_HOUR, ONE_HOUR)
    ) as demo:
        gr.Markdown(f"# {TITLE}\n{INTRO}")
        if warning:
            gr.HTML(f'<div class="card error" role="alert"><p>{escape(warning)}</p></div>', padding=False)
        chosen = gr.State(time_to_live=ONE_HOUR)
        with gr.Tabs():
            with gr.Tab("One picture"):
                one.tab(context, chosen)
        gr.HTML(footer(detector), padding=False)
        endpoint(detector)
    demo.queue(max_size=32, default_concurrency_limit=1)
    return demo


def footer(detector: Detector) -> str:
    where = detector.located
    return (
        f'<p class="small">Model: {escape(where.model)}, revision {escape(where.revision)}, backbone '
        f"{escape(detector.model.backbone.name)}, fingerprint <code>{detector.fingerprint[:16]}</code></p>"
    )


def analyze(detector: Detector, file: str | None, alpha: float | None) -> tuple[Image.Image, dict[str, Any]]:
    """For programs: the map with its colour bar, and the JSON contract.

    `path` is null, for there is none that means anything to the caller, and `name` is the file's name: Gradio's
    client takes any object with a text under "path" for a file to fetch (gradio_client 2.7.2, `is_file_obj`).
    """
    picture, evidence = detect(detector, file, alpha)
    return heatmap.overlay(picture.pixels, evidence), {**evidence.to_dict(), "path": None, "name": evidence.name}


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


def launch(demo: gr.Blocks, **options: Any) -> tuple[Any, str, str]:
    """Serve the page with this project's settings; `options` go to Gradio."""
    return demo.launch(
        theme=style.theme(),
        css=style.CSS,
        js=style.PASTE,
        max_file_size=MAX_BYTES,
        ssr_mode=False,
        run_history=False,
        footer_links=["api", "settings"],
        **options,
    )


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        detector, warning = first_detector()
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    if warning:
        logging.warning(warning)
    launch(build(detector, warning))
    return 0


if __name__ == "__main__":
    sys.exit(main())
