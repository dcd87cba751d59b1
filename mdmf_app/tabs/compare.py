"""The tab for two pictures side by side: two cards and two maps on the one scale, and what may be said of both."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from mdmf_app import panels, style, views
from mdmf_app.context import MODEL_QUEUE, Choice, Context, detect, rate_slider
from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError
from mdmf_core.evidence import Evidence
from mdmf_core.images import isolated, origin
from mdmf_core.images.origin import Origin
from mdmf_core.show import maps, report

WAITING = "Choose two pictures: an original and a copy of it, or two that are said to come from one camera."
MISSING = "Choose this picture; its result appears here."


def tab(context: Context, chosen: gr.State) -> None:
    """Components and events of the tab."""
    alpha = rate_slider("compare-alpha")
    together = gr.HTML(style.notice(WAITING), elem_id="compare-together", padding=False)
    with gr.Row():
        first, second = side("first"), side("second")
    legend = gr.HTML(elem_id="compare-legend", padding=False)
    call = {
        "fn": partial(compare, context),
        "inputs": [first[0], second[0], alpha, chosen],
        "outputs": [together, first[1], first[2], second[1], second[2], legend],
        "api_visibility": "private",
        "show_progress_on": together,
        **MODEL_QUEUE,
    }
    for file in (first[0], second[0]):
        file.upload(**call)
        file.clear(**call)
    alpha.change(**call, trigger_mode="always_last")


def side(name: str) -> tuple[gr.File, gr.HTML, gr.Image]:
    """One of the two columns."""
    with gr.Column(min_width=300):
        file = gr.File(label=f"The {name} picture", height=150, elem_id=f"compare-{name}")
        card = gr.HTML(style.notice(MISSING), elem_id=f"compare-{name}-card", padding=False)
        image = gr.Image(
            label=f"Map of the {name} picture",
            format="png",
            interactive=False,
            visible=False,
            buttons=["fullscreen"],
            alt_text=f"The {name} picture; patches with unusual evidence are coloured and outlined.",
            elem_id=f"compare-{name}-map",
        )
    return file, card, image


def compare(
    context: Context, first: str | None, second: str | None, alpha: float, choice: Choice | None
) -> tuple[Any, ...]:
    """The sentence about both, then card and map of each, then the legend."""
    try:
        detector = context.detector(choice)
    except CheckpointError as error:
        hidden = gr.update(value=None, visible=False)
        return style.error_card(str(error)), "", hidden, "", hidden, ""
    halves = [half(detector, path, alpha) for path in (first, second)]
    found = [told for told, _, _ in halves if told is not None]
    outputs = [output for _, *pair in halves for output in pair]
    legend = panels.legend(found[0][0], "evidence") if found else ""
    return together(found, bool(first and second)), *outputs, legend


def half(detector: Detector, path: str | None, alpha: float) -> tuple[tuple[Evidence, Origin] | None, str, Any]:
    """Evidence with origin, card and map of one picture; a sentence where there is none."""
    hidden = gr.update(value=None, visible=False)
    if not path:
        return None, style.notice(MISSING), hidden
    try:
        picture, evidence = detect(detector, path, alpha)
    except gr.Error as error:
        return None, style.error_card(error.message), hidden
    declared = isolated.origin_of(path, picture)
    reliability = views.judge(picture, evidence).reliability
    drawn = maps.overlay(picture.pixels, evidence, colorbar=False, doubtful=reliability.doubtful)
    card = panels.card(evidence, declared, None, reliability.warnings)
    return (evidence, declared), card, gr.update(value=drawn, visible=True)


def together(found: list[tuple[Evidence, Origin]], both: bool) -> str:
    """What may be said of both, or what is still to do."""
    if len(found) == 2:
        (first, declared), (second, declared_too) = found
        sentences = report.compare(first, second)["sentence"], origin.together(declared, declared_too)
        return style.render("status.html", summary=" ".join(sentences), cancelled="")
    return style.error_card("One of the two pictures can't be used.") if both else style.notice(WAITING)
