"""What is shown of one picture: card, map, patch, region, stability and origin, as HTML and pictures.

These functions take evidence and give what a component shows. They know nothing of components or events
(`tabs`) and compute nothing but places on the screen (`mdmf_core` does).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from mdmf_app import style
from mdmf_app.context import EXAMPLES
from mdmf_app.views import Result, View, extent, frame, is_known
from mdmf_core.evidence import Evidence, decide, outcome
from mdmf_core.images.origin import Origin, opening
from mdmf_core.images.origin.said import C2PA, Provenance
from mdmf_core.method.calibration import FALSE_DISCOVERIES
from mdmf_core.show import charts, html, maps, stability, truth
from mdmf_core.show import words as wording
from mdmf_core.show.report import LIMITATIONS

TABLE = ("Rank", "Patch", "Evidence", "Share of score (%)", "p-value", "Outlined", "Left", "Top")
TOP, STRONGEST = 20, 6
NOT_COMPARED = (
    "This map is not there: it needs a whole picture of at least 3 x 3 patches, and a model that was trained for it. "
    "Choose the other one above the map."
)

LIKE_OURS = ", if it is like those of the calibration"


def card(evidence: Evidence, origin: Origin, example: dict | None, warnings: Sequence[str] = ()) -> str:
    """What the file declares, then the verdict in words, its figures and its limits."""
    picture, verdict = evidence.picture, evidence.verdict
    one_in = round(1 / verdict.alpha)
    figures = [
        *strength_figures(evidence),
        ("p-value", f"{verdict.p_value:.3g}, from {wording.compared_with(verdict)}"),
        ("Picture", f"{picture.name}, {picture.width:,} x {picture.height:,} pixels"),
    ]
    advanced = [
        ("Score", wording.score_line(evidence)),
        ("False alarms", f"p up to {verdict.alpha:.2g}: about 1 real picture in {one_in} would get there{LIKE_OURS}"),
        ("Decision at this rate", verdict.decision.replace("_", " ")),
    ]
    return style.render(
        "card.html",
        **answer(evidence),
        facts=f"{picture.name}, {picture.width:,} x {picture.height:,} pixels; p-value {verdict.p_value:.3g}",
        summary=summary(evidence, origin),
        of=name_of(evidence),
        origin=opening(origin, verdict.outcome),
        declared=origin.generated == "yes",
        explanation=wording.explain(evidence),
        figures=figures,
        advanced=advanced,
        notes=[*picture.notes, *warnings],
        example=example,
        truth=held_against(evidence, example),
        limitations=LIMITATIONS,
    )


def held_against(evidence: Evidence, example: dict | None) -> truth.Answer | None:
    """Whether an example was answered rightly; None for a picture that nothing is known of."""
    if not example or "truth" not in example:
        return None
    if not example["mask"]:
        return truth.against(example["truth"], evidence)
    with Image.open(EXAMPLES / example["mask"]) as drawing:
        return truth.against(example["truth"], evidence, np.asarray(drawing.convert("L")))


def name_of(evidence: Evidence) -> str:
    """What tells one picture's verdict from another's: file and model, for the page's script."""
    return f"{evidence.picture.sha256[:16]} {evidence.model.fingerprint[:16]}"


def strength_figures(evidence: Evidence) -> list[tuple[str, str]]:
    """The likelihood ratio with its range and words; nothing where there is none."""
    verdict = evidence.verdict
    if not verdict.judged or verdict.strength is None:
        return []
    found = verdict.strength
    low, high = map(wording.rounded, found.bounds)
    ratio = f"{wording.rounded(found.ratio)}, on a scale from {low} to {high} that the tests can carry"
    return [("Support", found.support.capitalize()), ("Likelihood ratio", ratio)]


def summary(evidence: Evidence, origin: Origin) -> str:
    """One paragraph to quote: result, figures, limits, and what identifies file and model."""
    picture, verdict, model = evidence.picture, evidence.verdict, evidence.model
    best = maps.top_patches(evidence, 1)[0]
    sentences = [
        f"{picture.name} ({picture.width} x {picture.height} pixels): {answer(evidence)['words']}.",
        wording.explain(evidence),
        f"Score {wording.score_line(evidence)}; p-value {verdict.p_value:.3g}, from "
        f"{wording.compared_with(verdict)} of the calibration.",
        f"Strongest of {evidence.n_patches:,} patches: number {best['index'] + 1} at x {best['x']}, y {best['y']}, "
        f"{best['w']} x {best['h']} pixels, p-value {best['p_value']:.2g}.",
        *picture.notes,
        opening(origin, verdict.outcome),
        LIMITATIONS[0],
        f"SHA-256 of the file: {picture.sha256}.",
        f"Model {model.name}, revision {model.revision}, fingerprint {model.fingerprint}.",
    ]
    return " ".join(sentences)


def answer(evidence: Evidence) -> dict[str, str]:
    """The outcome, its sign and its words."""
    outcome = evidence.verdict.outcome
    return {"decision": outcome, "icon": style.ICONS[outcome], "words": wording.headline(evidence)}


def null_plot(evidence: Evidence) -> str:
    """The score among the scores of real pictures."""
    sentences = (
        f"{wording.rarity(evidence)}.",
        "Each bar counts real pictures that were in neither training nor reference, cut to about as many patches as "
        "this one has. The further to the right a score lies, the less the picture looks like them.",
    )
    chart, told = html.drawing(charts.null_plot(evidence)), charts.describe_null(evidence)
    return style.render("null.html", chart=chart, told=told, sentences=sentences)


def legend(
    evidence: Evidence,
    colour: str,
    opacity: float = maps.OPACITY,
    cells: str = "",
    contours: bool = False,
    finer: bool = False,
) -> str:
    """What the map's colours and lines mean, in words and numbers; with the `cells` that the page's script reads out.

    `finer` says that overlapping patches are drawn.
    """
    if not is_known(evidence, colour):
        return style.notice(NOT_COMPARED)
    layer = maps.layer(evidence, colour)
    return style.render(
        "legend.html",
        layer=layer,
        meaning=maps.SHOWN[colour].meaning,
        gradient=maps.gradient(layer.scale, opacity),
        sampled=coverage(evidence),
        contours=contours,
        finer=finer,
        cells=cells,
    )


def lens(piece: Image.Image | None = None, left: int = 0, top: int = 0, of: str = "") -> str:
    """The magnifier, over a piece that begins at `left` and `top` of the picture whose hash begins so."""
    return style.render("lens.html", tile=piece and html.picture(piece), left=left, top=top, of=of)


def cells(result: Result, view: View, colour: str) -> str:
    """The map's cells for the script that reads them out, as JSON.

    `key` tells one picture or region from another. A cell is left, top, right and bottom as shares of what is shown,
    its value in words, and whether it stands out.
    """
    if not is_known(view.evidence, colour):
        return ""
    layer, place = maps.layer(view.evidence, colour), frame(view, view is result.whole)
    p_values = view.evidence.maps.get(colour, view.evidence.maps["evidence"]).p_values
    corners = (view.evidence.grid.cells - np.array([place.x, place.y, 0, 0])) / np.array([place.w, place.h] * 2)
    corners[:, 2:] += corners[:, :2]
    told = [
        [*corner, f"{value:.3g}, p-value {p:.2g}", bool(outlined)]
        for corner, value, p, outlined in zip(
            corners.round(4).tolist(), layer.values, p_values, layer.outlined, strict=True
        )
    ]
    key = [view.evidence.picture.sha256[:16], place.x, place.y, place.w, place.h]
    return json.dumps({"key": key, "columns": view.evidence.grid.cols, "cells": told})


def coverage(evidence: Evidence) -> str:
    """What part of a large picture was looked at; nothing if all of it was."""
    grid = evidence.grid
    seen, stood_for = (int((boxes[:, 2] * boxes[:, 3]).sum()) for boxes in (grid.boxes, grid.cells))
    if seen >= stood_for:
        return ""
    return (
        f"The picture is large: each cell is judged by one patch in its middle, {seen / stood_for:.0%} of the picture "
        "in all. Look closer at a region to see more of it."
    )


def doubts(view: View) -> str:
    """Which patches of the map can't be trusted; nothing where all can."""
    note = view.reliability.patch_note
    return style.render("doubts.html", note=note) if note else ""


def top_rows(evidence: Evidence) -> list[list[object]]:
    """The patches with the most evidence, as rows of `TABLE`."""
    return [
        [
            row["rank"],
            row["index"] + 1,
            float(f"{row['evidence_times_n']:.3g}"),
            None if row["share_of_score"] is None else round(100 * row["share_of_score"], 1),
            float(f"{row['p_value']:.3g}"),
            "yes" if row["flagged"] else "no",
            row["x"],
            row["y"],
        ]
        for row in maps.top_patches(evidence, TOP)
    ]


def share(value: float | None) -> str:
    return "none, as the score is not above 0" if value is None else f"{value:.1%}"


def patch_panel(result: Result, region: View | None, patch: int | None) -> str:
    """All that is known about one patch; where none is chosen, those with the most evidence."""
    view, pixels = result.view(region), result.picture.pixels
    evidence = view.evidence
    if patch is None:
        best = [row["index"] for row in maps.top_patches(evidence, STRONGEST)]
        return style.render("strongest.html", patches=[neighbour(pixels, evidence, index) for index in best])
    row, col = divmod(patch, evidence.grid.cols)
    box = evidence.grid.boxes[patch].tolist()
    return style.render(
        "patch.html",
        number=patch + 1,
        row=row + 1,
        column=col + 1,
        figures=patch_figures(view, patch),
        crop=html.picture(maps.patch_crop(pixels, box)),
        residual=html.picture(maps.residual_crop(pixels, box)),
        chart=html.drawing(charts.patch_null_plot(evidence, patch)),
        told=charts.describe_patch(evidence, patch),
        neighbours=[neighbour(pixels, evidence, other) for other in maps.nearest(evidence, patch)],
    )


def patch_figures(view: View, patch: int) -> list[tuple[str, str]]:
    """What is known of a patch, name by name."""
    evidence = view.evidence
    known = next(row for row in maps.top_patches(evidence, evidence.n_patches) if row["index"] == patch)
    x, y, w, h = evidence.grid.boxes[patch].tolist()
    p = known["p_value"]
    outlined = "yes" if known["flagged"] else "no"
    figures = [
        ("Where", f"x {x:,}, y {y:,}, {w} x {h} pixels"),
        ("Evidence", f"{known['evidence_times_n']:.3g}, on the scale of the map"),
        ("Share of the score", share(known["share_of_score"])),
        ("Witness value", f"{evidence.maps['witness'].values[patch]:.3g}"),
        ("p-value", f"{p:.2g}: about 1 in {max(1, round(1 / p)):,} patches of real pictures reaches this"),
        ("Rank", f"{known['rank']:,} of {evidence.n_patches:,}"),
        ("Outlined", f"{outlined} (false discovery rate {FALSE_DISCOVERIES:.0%})"),
    ]
    if "locator" in evidence.maps:
        found = evidence.maps["locator"]
        value, p, stands = found.values[patch], found.p_values[patch], "" if found.outlined[patch] else "not "
        figures.append(("Unlike the rest", f"{value:.3g}, p-value {p:.2g}; {stands}outlined on that map"))
    if view.reliability.reasons[patch]:
        figures.append(("Hatched", f"{view.reliability.reasons[patch]}; too little detail to judge"))
    return figures


def neighbour(pixels: np.ndarray, evidence: Evidence, patch: int) -> dict[str, Any]:
    """A patch in small, with its number and p-value."""
    return {
        "number": patch + 1,
        "crop": html.picture(maps.patch_crop(pixels, evidence.grid.boxes[patch].tolist())),
        "p_value": f"{evidence.maps['evidence'].p_values[patch]:.2g}",
    }


def region_card(view: View, alpha: float) -> str:
    """What was found in a region alone, under a false-alarm rate."""
    evidence = view.evidence.at(alpha)
    x, y, w, h = extent(evidence)
    figures = [
        ("Region", f"x {x:,}, y {y:,}, {w:,} x {h:,} pixels"),
        ("Patches", f"{evidence.n_patches:,}"),
        *strength_figures(evidence),
        ("p-value", f"{evidence.verdict.p_value:.3g}. {wording.rarity(evidence)}."),
        ("Score", wording.score_line(evidence)),
    ]
    return style.render("region.html", **answer(evidence), figures=figures, notes=view.reliability.warnings)


def stability_panel(variants: Sequence[stability.Variant], alpha: float) -> str:
    """The score after ordinary changes to the file."""
    rows = [
        (v.name, v.error, "", "")
        if v.error
        else (
            v.name,
            f"{v.score:.3g}",
            f"{v.p_value:.2g}",
            wording.VERDICTS[outcome(decide(v.p_value, alpha), v.ratio, v.judged)],
        )
        for v in variants
    ]
    return style.render(
        "stability.html",
        sentence=stability.sentence(variants),
        chart=html.drawing(charts.stability_plot(variants, alpha)),
        told=charts.describe_stability(variants),
        headers=("Change", "Score", "p-value", "Answer"),
        rows=rows,
    )


def origin_panel(found: Provenance) -> str:
    """What the file says about itself, as text; none of it enters the score."""
    made = [*found.camera.items(), *([("Software", found.software)] if found.software else [])]
    return style.render("origin.html", found=found, made=made, credentials=credentials(found.c2pa))


def credentials(c2pa: C2PA | None) -> list[tuple[str, str]]:
    """What a signed manifest says."""
    if c2pa is None:
        return []
    return [
        ("State", c2pa.state.replace("_", " ")),
        ("Names as signer", c2pa.signer or "nobody"),
        ("Signed", c2pa.when or "at an unknown time"),
        ("Declares generative AI", "yes" if c2pa.claims_ai else "no"),
        ("Declared source", ", ".join(c2pa.source_types) or "none"),
        ("Steps", "; ".join(c2pa.actions) or "none"),
        ("Written by", c2pa.program or "an unknown program"),
    ]
