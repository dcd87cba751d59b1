"""The tab for two pictures: laid over one another, their maps on the one scale, and what may be said of both.

The second lies where it fits on the first (`show.pair`); `tabs.js` moves the two sliders without asking the server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from mdmf_app import panels, style, views
from mdmf_app.context import MODEL_QUEUE, Choice, Context, detect, rate_slider
from mdmf_app.labels import label, still
from mdmf_app.language import say
from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError
from mdmf_core.evidence import Evidence
from mdmf_core.images import isolated, origin
from mdmf_core.images.origin.said import Provenance
from mdmf_core.sentence import Sentence, joined
from mdmf_core.show import html, maps, pair, report

WAITING = say("compare.waiting")
MISSING = say("compare.missing")
LONGEST, QUALITY = 1200, 90  # pixels of a picture on the stage, and its JPEG
MOST = 2400  # pixels of a side that are compared
MUCH = 8  # grey levels from which a difference is counted


@dataclass(frozen=True, eq=False)
class Half:
    """One of the two: what was analysed, what its file says, and its map."""

    evidence: Evidence
    provenance: Provenance
    pixels: np.ndarray
    drawn: Image.Image


def tab(context: Context, chosen: gr.State) -> None:
    """Components and events of the tab."""
    with gr.Row(elem_id="compare-files"):
        files = [
            gr.File(label=label(say(f"compare.file.{name}")), height=135, min_width=280, elem_id=f"compare-{name}")
            for name in ("first", "second")
        ]
    together = gr.HTML(still(lambda: style.notice(WAITING)), elem_id="compare-together", padding=False)
    stage = gr.HTML(elem_id="compare-stage", padding=False)
    legend = gr.HTML(elem_id="compare-legend", padding=False)
    with gr.Row():
        cards = [card_field(name) for name in ("first", "second")]
    alpha = rate_slider("compare-alpha")
    call = {
        "fn": partial(compare, context),
        "inputs": [*files, alpha, chosen],
        "outputs": [together, stage, *cards, legend],
        "api_visibility": "private",
        "show_progress_on": together,
        **MODEL_QUEUE,
    }
    for file in files:
        file.upload(**call)
        file.clear(**call)
    alpha.change(**call, trigger_mode="always_last")


def card_field(name: str) -> gr.HTML:
    """Where the card of a picture will be."""
    begins = still(lambda: style.notice(MISSING))
    return gr.HTML(begins, elem_id=f"compare-{name}-card", padding=False, min_width=280)


def compare(
    context: Context, first: str | None, second: str | None, alpha: float, choice: Choice | None
) -> tuple[Any, ...]:
    """The sentence about both, the pictures with their maps, the card of each, then the legend."""
    try:
        detector = context.detector(choice)
    except CheckpointError as error:
        return style.error_card(error.args[0]), "", "", "", ""
    (one, card), (two, other_card) = (half(detector, path, alpha) for path in (first, second))
    known = [found for found in (one, two) if found is not None]
    legend = panels.legend(known[0].evidence, "evidence") if known else ""
    return together(one, two, bool(first and second)), stage(one, two), card, other_card, legend


def half(detector: Detector, path: str | None, alpha: float) -> tuple[Half | None, str]:
    """All that is known of one picture, and its card; a sentence where there is none."""
    if not path:
        return None, style.notice(MISSING)
    try:
        picture, evidence = detect(detector, path, alpha)
    except gr.Error as error:
        return None, style.error_card(error.message)
    provenance = isolated.read_provenance(path, picture)
    reliability = views.judge(picture, evidence).reliability
    drawn = maps.overlay(picture.pixels, evidence, colorbar=False, doubtful=reliability.doubtful)
    card = panels.card(evidence, origin.summary(provenance), None, reliability.warnings)
    return Half(evidence, provenance, picture.pixels, drawn), card


def together(one: Half | None, two: Half | None, both: bool) -> str:
    """What may be said of both, or what is still to do."""
    if one and two:
        declared = (origin.summary(half.provenance) for half in (one, two))
        sentences = report.compare(one.evidence, two.evidence)["sentence"], origin.together(*declared)
        return style.render("together.html", sentences=sentences)
    return style.error_card(say("compare.one_bad")) if both else style.notice(WAITING)


def stage(one: Half | None, two: Half | None) -> str:
    """Both pictures in one frame, with sliders, and both maps in such frames; one map while there is one."""
    if one and two:
        return style.render("compare.html", **_both(one, two))
    if not (one or two):
        return ""
    only = one or two
    height, width = only.pixels.shape[:2]
    laid = {"map": _layer(only.drawn, (0, 0, width, height), (0, 0, width, height))}
    halves = {"first": laid if one else None, "second": laid if two else None}
    return style.render("compare.html", ratio=f"{width} / {height}", **halves)


def _both(one: Half, two: Half) -> dict[str, Any]:
    """What the stage is made of."""
    factor = min(1.0, MOST / max(*one.pixels.shape, *two.pixels.shape))
    first, second = (_shrunk(found.pixels, factor) for found in (one, two))
    place = pair.align(first, second)
    gaps, (x, y, right, bottom) = pair.difference(first, second, place), pair.shared(first, second, place)
    boxes = [(0, 0, first.shape[1], first.shape[0])]
    boxes.append((place.x, place.y, second.shape[1] * place.scale, second.shape[0] * place.scale))
    frame = _around(*boxes)
    laid = [
        {"plain": _layer(Image.fromarray(pixels), box, frame), "map": _layer(found.drawn, box, frame)}
        for pixels, found, box in zip((first, second), (one, two), boxes, strict=True)
    ]
    return {
        "ratio": f"{frame[2]:.6g} / {frame[3]:.6g}",
        "first": laid[0],
        "second": laid[1],
        "difference": _layer(Image.fromarray(gaps), (x, y, right - x, bottom - y), frame, exact=True),
        "placed": placed(replace(place, x=place.x / factor, y=place.y / factor), gaps),
        "origins": pair.origins(one.provenance, two.provenance),
        "same": origin.together(*(origin.summary(found.provenance) for found in (one, two))),
    }


def _shrunk(pixels: np.ndarray, factor: float) -> np.ndarray:
    if factor == 1:
        return pixels
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def _around(one: tuple[float, ...], two: tuple[float, ...]) -> tuple[float, ...]:
    """The smallest box around two; all are left, top, width and height."""
    left, top = min(one[0], two[0]), min(one[1], two[1])
    right, bottom = (max(box[side] + box[side + 2] for box in (one, two)) for side in (0, 1))
    return left, top, right - left, bottom - top


def placed(place: pair.Placement, gaps: np.ndarray) -> Sentence:
    """Where the second picture lies, and how much the two differ there."""
    if not place.alike:
        return say("compare.unlike")
    scale = say("compare.same_scale") if place.scale == 1 else say("compare.scaled", scale=float(place.scale))
    where = say("compare.at", x=float(place.x), y=float(place.y)) if place.x or place.y else say("compare.corner")
    much = {"mean": float(gaps.mean()), "much": MUCH, "share": float((gaps > MUCH).mean())}
    differ = say("compare.differ", **much) if gaps.any() else say("compare.same")
    return joined([say("compare.placed", scale=scale, where=where), differ])


def _layer(image: Image.Image, box: tuple[float, ...], frame: tuple[float, ...], exact: bool = False) -> dict[str, Any]:
    """An image with its place in the frame, in per cent; both boxes are left, top, width and height.

    Args:
        image: what is shown, in any size.
        box: where it lies.
        frame: what is shown in all.
        exact: without loss, for a difference that is made brighter.
    """
    small = image.copy()
    small.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    options = {"kind": "WEBP", "lossless": True, "method": 1} if exact else {"kind": "JPEG", "quality": QUALITY}
    shares = [
        100 * (box[0] - frame[0]) / frame[2],
        100 * (box[1] - frame[1]) / frame[3],
        100 * box[2] / frame[2],
        100 * box[3] / frame[3],
    ]
    named = zip(("left", "top", "across", "down"), (f"{share:.4f}" for share in shares), strict=True)
    return {"image": html.picture(small, **options), **dict(named)}
