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
from mdmf_app.language import number, say, told
from mdmf_app.views import Result, View, extent, frame, is_known
from mdmf_core.evidence import Evidence
from mdmf_core.images.origin import Origin, opening
from mdmf_core.images.origin.said import C2PA, Provenance
from mdmf_core.method.calibration import FALSE_DISCOVERIES
from mdmf_core.sentence import Sentence, joined
from mdmf_core.show import charts, html, maps, reliability, truth
from mdmf_core.show import words as wording
from mdmf_core.show.report import LIMITATIONS

TABLE = ("rank", "patch", "evidence", "share", "p_value", "outlined", "left", "top")
TOP, STRONGEST = 20, 6


def card(evidence: Evidence, origin: Origin, example: dict | None, warnings: Sequence[str] = ()) -> str:
    """What the file declares, then the verdict in words, its figures and its limits."""
    picture, verdict = evidence.picture, evidence.verdict
    one_in = round(1 / verdict.alpha)
    named = {"name": picture.name, "width": picture.width, "height": picture.height}
    rare = say("figure.p_value"), say("figure.p_value_from", p=verdict.p_value, **wording.compared_with(verdict))
    shown = say("figure.picture"), say("figure.named", **named)
    figures = [*strength_figures(evidence), rare, shown] if verdict.judged else [shown]
    advanced = [
        *([] if verdict.judged else [rare]),
        (say("figure.score"), wording.score_line(evidence)),
        (say("figure.false_alarms"), say("figure.one_in", alpha=verdict.alpha, n=one_in)),
        (say("figure.decision"), say(f"figure.{verdict.decision}")),
    ]
    return style.render(
        "card.html",
        **answer(evidence),
        facts=say("card.facts", **named, p=verdict.p_value) if verdict.judged else say("figure.named", **named),
        weighed=wording.how_strong(evidence).parts if verdict.judged else [verdict.reason],
        summary=summary(evidence, origin),
        quote=wording.quote(evidence),
        of=name_of(evidence),
        origin=opening(origin, verdict.outcome),
        declared=origin.generated == "yes",
        explanation=joined([wording.DECISIONS[verdict.outcome], *wording.findings(evidence)]) if verdict.judged else "",
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
    ratio, low, high = map(wording.two_digits, (found.ratio, *found.bounds))
    support = told(found.support)
    return [
        (say("figure.support"), support[:1].upper() + support[1:]),
        (say("figure.ratio"), say("figure.ratio_of", ratio=ratio, low=low, high=high)),
    ]


def summary(evidence: Evidence, origin: Origin) -> str:
    """One paragraph to quote: result, the sentence for it, figures, limits, and what identifies file and model."""
    picture, verdict, model = evidence.picture, evidence.verdict, evidence.model
    known = [wording.all_hatched(evidence), *wording.findings(evidence)]
    seen = [wording.DECISIONS[verdict.outcome], *known] if verdict.judged else []
    best = [{**row, "index": row["index"] + 1} for row in maps.top_patches(evidence, 1)]
    named = {"name": picture.name, "width": picture.width, "height": picture.height}
    sentences = [
        say("summary.answer", **named, answer=wording.headline(evidence)),
        wording.quote(evidence),
        *seen,
        say("summary.score", score=wording.score_line(evidence), p=verdict.p_value, **wording.compared_with(verdict)),
        *(say("summary.strongest", **row, all=evidence.n_patches) for row in best),
        *picture.notes,
        opening(origin, verdict.outcome),
        LIMITATIONS[0],
        say("summary.file", hash=picture.sha256),
        say("summary.model", name=model.name, revision=model.revision, fingerprint=model.fingerprint),
    ]
    return joined(sentences)


def answer(evidence: Evidence) -> dict[str, str]:
    """The outcome, its sign and its words."""
    outcome = evidence.verdict.outcome
    return {"decision": outcome, "icon": style.ICONS[outcome], "words": wording.headline(evidence)}


def null_plot(evidence: Evidence) -> str:
    """The score among the scores of real pictures; why there is none where the picture can't be judged."""
    if not evidence.verdict.judged:
        return style.paragraph(evidence.verdict.reason)
    sentences = (
        say("stop", text=wording.rarity(evidence)),
        say("null.about"),
    )
    described = charts.describe_null(evidence)
    chart = style.drawing(lambda: charts.null_plot(evidence, told))
    return style.render("null.html", chart=chart, told=described, sentences=sentences)


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
        return style.notice(say("map.missing"))
    layer = maps.layer(evidence, colour)
    return style.render(
        "legend.html",
        layer=layer,
        meaning=joined([maps.SHOWN[colour].meaning, say("map.scale"), say("map.dotted") if contours else ""]),
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
    unit = maps.SHOWN[colour].unit
    read_out = [
        [*corner, told(joined([unit, say("map.cell", value=value, p=p)])), bool(outlined)]
        for corner, value, p, outlined in zip(
            corners.round(4).tolist(), layer.values.tolist(), p_values.tolist(), layer.outlined, strict=True
        )
    ]
    key = [view.evidence.picture.sha256[:16], place.x, place.y, place.w, place.h]
    return json.dumps({"key": key, "columns": view.evidence.grid.cols, "cells": read_out})


def coverage(evidence: Evidence) -> str:
    """What part of a large picture was looked at; nothing if all of it was."""
    grid = evidence.grid
    seen, stood_for = (int((boxes[:, 2] * boxes[:, 3]).sum()) for boxes in (grid.boxes, grid.cells))
    if seen >= stood_for:
        return ""
    return say("map.sampled", share=seen / stood_for)


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
            float(f"{row['evidence']:.2g}") if evidence.verdict.score <= 0 else round(100 * row["share_of_score"], 1),
            float(f"{row['p_value']:.3g}"),
            told(yes_or_no(row["flagged"])),
            row["x"],
            row["y"],
        ]
        for row in maps.top_patches(evidence, TOP)
    ]


def headers(score: float = 1.0) -> list[str]:
    """The names of the columns of `TABLE`; a score that is not above 0 has no shares, but parts that add to it."""
    return [told(say("table.part" if name == "share" and score <= 0 else f"table.{name}")) for name in TABLE]


def yes_or_no(value: bool) -> Sentence:
    return say("yes" if value else "no")


def share(known: dict[str, Any], score: float) -> Sentence:
    """A patch's share of the score, or what it adds to one that is not above 0."""
    if known["share_of_score"] is None:
        return say("patch.no_share", value=known["evidence"], score=score)
    return say("patch.share_of", share=known["share_of_score"])


def patch_panel(result: Result, region: View | None, patch: int | None) -> str:
    """All that is known about one patch; where none is chosen, those with the most evidence."""
    view, pixels = result.view(region), result.picture.pixels
    evidence = view.evidence
    if patch is None:
        best = [neighbour(pixels, evidence, row["index"]) for row in maps.top_patches(evidence, STRONGEST)]
        hatched = wording.all_hatched(evidence) if evidence.verdict.judged else ""
        return style.render("strongest.html", patches=best, hatched=hatched)
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
        chart=style.drawing(lambda: charts.patch_null_plot(evidence, patch, told)),
        told=charts.describe_patch(evidence, patch),
        neighbours=[neighbour(pixels, evidence, other) for other in maps.nearest(evidence, patch)],
    )


def patch_figures(view: View, patch: int) -> list[tuple[str, str]]:
    """What is known of a patch, name by name."""
    evidence = view.evidence
    known = next(row for row in maps.top_patches(evidence, evidence.n_patches, hatched=True) if row["index"] == patch)
    x, y, w, h = evidence.grid.boxes[patch].tolist()
    p = known["p_value"]
    outlined = yes_or_no(known["flagged"])
    figures = [
        (say("patch.where"), say("region.box", x=x, y=y, w=w, h=h)),
        (say("table.evidence"), say("patch.on_scale", value=known["evidence_times_n"])),
        (say("patch.share"), share(known, evidence.verdict.score)),
        (maps.SHOWN["witness"].label, number(float(evidence.maps["witness"].values[patch]), ".3g")),
        (say("figure.p_value"), say("patch.one_in", p=p, n=max(1, round(1 / p)))),
        (say("table.rank"), say("patch.rank", rank=known["rank"], n=evidence.n_patches)),
        (say("table.outlined"), say("patch.outlined", answer=outlined, rate=FALSE_DISCOVERIES)),
    ]
    if "locator" in evidence.maps:
        found = evidence.maps["locator"]
        values = {"value": float(found.values[patch]), "p": float(found.p_values[patch])}
        kind = "outlined" if found.outlined[patch] else "not_outlined"
        figures.append((say("patch.unlike"), say(f"patch.unlike_{kind}", **values)))
    if why := view.reliability.reasons[patch]:
        figures.append((say("patch.hatched"), say("patch.too_little", reason=reliability.why(why))))
    return figures


def neighbour(pixels: np.ndarray, evidence: Evidence, patch: int) -> dict[str, Any]:
    """A patch in small, with its number and p-value."""
    return {
        "number": patch + 1,
        "crop": html.picture(maps.patch_crop(pixels, evidence.grid.boxes[patch].tolist())),
        "p_value": number(float(evidence.maps["evidence"].p_values[patch]), ".2g"),
    }


def region_card(view: View, alpha: float) -> str:
    """What was found in a region alone, under a false-alarm rate."""
    evidence = view.evidence.at(alpha)
    x, y, w, h = extent(evidence)
    figures = [
        (say("region.name"), say("region.box", x=x, y=y, w=w, h=h)),
        (say("region.patches"), number(evidence.n_patches, ",")),
        *strength_figures(evidence),
        (say("figure.p_value"), say("region.p_value", p=evidence.verdict.p_value, rarity=wording.rarity(evidence))),
        (say("figure.score"), wording.score_line(evidence)),
    ]
    return style.render("region.html", **answer(evidence), figures=figures, notes=view.reliability.warnings)


def origin_panel(found: Provenance) -> str:
    """What the file says about itself, as text; none of it enters the score."""
    made = [*found.camera.items(), *([(say("origin.software"), found.software)] if found.software else [])]
    return style.render("origin.html", found=found, made=made, credentials=credentials(found.c2pa))


def credentials(c2pa: C2PA | None) -> list[tuple[str, str]]:
    """What a signed manifest says."""
    if c2pa is None:
        return []
    return [
        (say("origin.state"), say(f"origin.state_{c2pa.state}")),
        (say("origin.signer"), c2pa.signer or say("origin.nobody")),
        (say("origin.signed"), c2pa.when or say("origin.no_time")),
        (say("origin.claims_ai"), yes_or_no(c2pa.claims_ai)),
        (say("origin.source"), ", ".join(c2pa.source_types) or say("none")),
        (say("origin.steps"), "; ".join(c2pa.actions) or say("none")),
        (say("origin.program"), c2pa.program or say("origin.no_program")),
    ]
