"""What is shown of one picture: card, map, patch, region, stability, origin and report, as HTML, pictures and files.

These functions take evidence and give what a component shows. They know nothing of components or events
(`tabs`) and compute nothing but places on the screen (`mdmf_core` does).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from mdmf_app import style
from mdmf_app.views import MAPS, Result, View, at_rate, extent, is_known
from mdmf_core.detector import Detector
from mdmf_core.evidence import Evidence, decide
from mdmf_core.files import write_whole
from mdmf_core.images.origin import Origin, contradiction
from mdmf_core.images.origin.said import C2PA, Provenance
from mdmf_core.show import charts, maps, stability
from mdmf_core.show import words as wording
from mdmf_core.show.page import html_report
from mdmf_core.show.report import LIMITATIONS, json_report
from mdmf_core.texts import escape

TABLE = ("Rank", "Patch", "Evidence", "Share of score (%)", "p-value", "Outlined", "Left", "Top")
TOP = 20
MEANINGS = {
    "share": "The values of all patches, divided by their number, add up to the score that decides.",
    "witness": "How much closer a patch lies to one side of the comparison than to the other.",
    "p_value": "The share of patches of real pictures with at least as much evidence.",
    "mmd": "How unlike real pictures a patch is, whatever else it is like. It stands beside the score that decides.",
    "unlike": wording.UNLIKE,
}
NOT_COMPARED = (
    "This map is not there: it needs a whole picture of at least 3 x 3 patches, and a model that was trained for it. "
    "Choose another under “Colour shows”."
)


def card(evidence: Evidence, example: dict | None, warnings: Sequence[str] = (), origin: Origin | None = None) -> str:
    """What the file declares, then the verdict in words, its figures and its limits."""
    one_in = round(1 / evidence.alpha)
    figures = {
        "p-value": f"{evidence.p_value:.3g}, from {evidence.n_calibration:,} real pictures",
        "Score": wording.score_line(evidence),
        "False alarms": f"{evidence.alpha:.2g}: about 1 real picture in {one_in} would be called generated",
        "Picture": f"{evidence.name}, {evidence.width:,} x {evidence.height:,} pixels",
    }
    notes = "".join(f"<p>Note: {escape(note)}</p>" for note in (*evidence.notes, *warnings))
    return (
        f'<div class="card {evidence.decision}" role="status">{first_line(origin, evidence)}{headline(evidence)}'
        f"<p>{escape(wording.explain(evidence))}</p>{style.pairs(figures)}{notes}{about(example)}"
        f"<details><summary>What this can't tell</summary>{style.bullets(LIMITATIONS)}</details></div>"
    )


def first_line(origin: Origin | None, evidence: Evidence) -> str:
    """What the file declares of its origin, and where the score disagrees."""
    if origin is None:
        return ""
    said = f"{origin.sentence} {contradiction(origin, evidence.decision)}".strip()
    said = f"<strong>{escape(said)}</strong>" if origin.generated == "yes" else escape(said)
    return f'<p class="origin">{said}</p>'


def headline(evidence: Evidence) -> str:
    return f"<h2>{verdict(evidence)}</h2>"


def verdict(evidence: Evidence) -> str:
    icon, words = style.ICONS[evidence.decision], wording.VERDICTS[evidence.decision]
    return f'<span aria-hidden="true">{icon}</span> {words}'


def about(example: dict | None) -> str:
    """What an example is, so that the answer can be judged."""
    if not example:
        return ""
    return f"<p><strong>What this example is:</strong> {escape(example['what'])} {escape(example['licence'])}.</p>"


def null_plot(evidence: Evidence) -> str:
    """The score among the scores of real pictures."""
    sentences = (
        f"{wording.rarity(evidence)}.",
        "Each bar counts real pictures that were in neither training nor reference, cut to about as many patches as "
        "this one has. The further to the right a score lies, the less the picture looks like them.",
    )
    words = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    return f'<div class="panel">{style.plot(charts.null_plot(evidence), charts.describe_null(evidence))}{words}</div>'


def legend(evidence: Evidence, colour: str, opacity: float = maps.OPACITY) -> str:
    """What the map's colours mean, in words and numbers."""
    if not is_known(evidence, colour):
        return style.notice(NOT_COMPARED)
    value, statistic = MAPS[colour][1:]
    layer = maps.layer(evidence, value, statistic)
    sampled = f'<p class="small">{escape(coverage(evidence))}</p>' * bool(coverage(evidence))
    ends = "".join(f"<li><strong>{escape(number)}</strong><br>{escape(words)}</li>" for _, number, words in layer.ticks)
    return (
        f'<div class="legend"><p class="small"><strong>{escape(layer.title)}.</strong> {escape(MEANINGS[colour])} '
        "The scale is the same for every picture. White line: the patch stands out.</p>"
        f'<div class="bar" role="img" aria-label="Colour scale from no colour through purple to yellow" '
        f'style="background: {maps.gradient(layer.scale, opacity)}"></div><ol>{ends}</ol>{sampled}</div>'
    )


def coverage(evidence: Evidence) -> str:
    """What part of a large picture was looked at; nothing if all of it was."""
    seen, stood_for = (int((boxes[:, 2] * boxes[:, 3]).sum()) for boxes in (evidence.boxes, evidence.cells))
    if seen >= stood_for:
        return ""
    return (
        f"The picture is large: each cell is judged by one patch in its middle, {seen / stood_for:.0%} of the picture "
        "in all. Look closer at a region to see more of it."
    )


def doubts(view: View) -> str:
    """Which patches of the map can't be trusted; nothing where all can."""
    note = view.reliability.patch_note
    return f'<div class="card notice"><p><strong>Where not to trust this map:</strong> {escape(note)}</p></div>' * bool(
        note
    )


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
    """All that is known about one patch."""
    if patch is None:
        return style.notice("Click the map, a row of the table, or give a patch number: its details appear here.")
    view, pixels = result.view(region), result.picture.pixels
    evidence = view.evidence
    row, col = divmod(patch, evidence.cols)
    box = evidence.boxes[patch].tolist()
    crops = style.picture(
        maps.patch_crop(pixels, box), f"Patch {patch + 1}, magnified.", "Its pixels, magnified"
    ) + style.picture(
        maps.residual_crop(pixels, box), f"Fine detail of patch {patch + 1}.", "Its fine detail (high-pass residual)"
    )
    return (
        f'<div class="panel"><h3>Patch {patch + 1} (row {row + 1}, column {col + 1})</h3>'
        f"{style.pairs(patch_figures(view, patch))}"
        f'<div class="crops pair">{crops}</div>'
        f"<h3>Among patches of real pictures</h3>{patch_null(evidence, patch)}"
        f'<h3>Most like it in this picture</h3><div class="crops">{neighbours(pixels, evidence, patch)}</div></div>'
    )


def patch_figures(view: View, patch: int) -> dict[str, str]:
    evidence = view.evidence
    known = next(row for row in maps.top_patches(evidence, evidence.n_patches) if row["index"] == patch)
    x, y, w, h = evidence.boxes[patch].tolist()
    p = known["p_value"]
    outlined = "yes" if known["flagged"] else "no"
    figures = {
        "Where": f"x {x:,}, y {y:,}, {w} x {h} pixels",
        "Evidence": f"{known['evidence_times_n']:.3g}, on the scale of the map",
        "Share of the score": share(known["share_of_score"]),
        "Witness value": f"{evidence.witness[patch]:.3g}",
        "p-value": f"{p:.2g}: about 1 in {max(1, round(1 / p)):,} patches of real pictures reaches this",
        "Rank": f"{known['rank']:,} of {evidence.n_patches:,}",
        "Outlined": f"{outlined} (false discovery rate {evidence.fdr:.0%})",
    }
    if evidence.inconsistency is not None:
        unlike = evidence.inconsistency
        value, p, stands = unlike.values[patch], unlike.p_values[patch], "" if unlike.flagged[patch] else "not "
        figures["Unlike the rest"] = f"{value:.3g}, p-value {p:.2g}; {stands}outlined on that map"
    if view.reliability.reasons[patch]:
        figures["Hatched"] = f"{view.reliability.reasons[patch]}; too little detail to judge"
    return figures


def patch_null(evidence: Evidence, patch: int) -> str:
    return style.plot(charts.patch_null_plot(evidence, patch), charts.describe_patch(evidence, patch))


def neighbours(pixels: np.ndarray, evidence: Evidence, patch: int) -> str:
    return "".join(
        style.picture(
            maps.patch_crop(pixels, evidence.boxes[other].tolist()),
            f"Patch {other + 1}, magnified.",
            f"Patch {other + 1}, p = {evidence.patch_p_values[other]:.2g}",
        )
        for other in maps.nearest(evidence, patch)
    )


def region_card(view: View, alpha: float) -> str:
    """What was found in a region alone, under a false-alarm rate."""
    evidence = at_rate(view.evidence, alpha)
    x, y, w, h = extent(evidence)
    figures = {
        "Region": f"x {x:,}, y {y:,}, {w:,} x {h:,} pixels",
        "Patches": f"{evidence.n_patches:,}",
        "p-value": f"{evidence.p_value:.3g}. {wording.rarity(evidence)}.",
        "Score": wording.score_line(evidence),
    }
    notes = "".join(f"<p>Note: {escape(note)}</p>" for note in view.reliability.warnings)
    return (
        f'<div class="card {evidence.decision}" role="status"><h3>{verdict(evidence)}, in this region alone</h3>'
        f"{style.pairs(figures)}{notes}<p>If the map led you here, this p-value is too small: the most unusual part of "
        "any picture looks unusual.</p></div>"
    )


def stability_panel(variants: Sequence[stability.Variant], alpha: float) -> str:
    """The score after ordinary changes to the file."""
    rows = [
        (v.name, v.error, "", "")
        if v.error
        else (v.name, f"{v.score:.3g}", f"{v.p_value:.2g}", words(v.p_value, alpha))
        for v in variants
    ]
    sentence = stability.sentence(variants)
    chart = style.plot(charts.stability_plot(variants, alpha), charts.describe_stability(variants))
    return (
        f'<div class="panel" role="status"><p><strong>{escape(sentence)}</strong></p>{chart}'
        f"{style.table(('Change', 'Score', 'p-value', 'Answer'), rows)}</div>"
    )


def words(p_value: float, alpha: float) -> str:
    return wording.VERDICTS[decide(p_value, alpha)]


def origin_panel(found: Provenance) -> str:
    """What the file says about itself, as text; none of it enters the score."""
    traces = "".join(
        f"<p>{escape(claim.tool)}, in the field {escape(claim.field)}:</p><pre tabindex='0'>{escape(claim.text)}</pre>"
        for claim in found.generator
    )
    marks = "".join(
        f"<p>{escape(mark.tool)}: {mark.agreeing} of {mark.bits} bits agree, by luck {mark.chance:.0e}.</p>"
        for mark in found.marks
    )
    made = dict(found.camera) | ({"Software": found.software} if found.software else {})
    sections = {
        "Content Credentials (C2PA)": credentials(found.c2pa) if found.c2pa else "<p>None in this file.</p>",
        "Declared source (IPTC)": f"<p>{escape(found.digital_source_type or 'None in this file.')}</p>",
        "Records of a generator": traces or "<p>None in this file.</p>",
        "Invisible marks in the pixels": marks or "<p>None that is known here.</p>",
        "Camera and software": style.pairs(made) if made else "<p>Nothing in this file.</p>",
    }
    return (
        '<div class="panel"><p>What the file says about itself. None of it enters the score: anybody can write it or '
        "remove it, and most sites do remove it. Only a valid signature is more than a claim.</p>"
        f"{''.join(f'<h3>{name}</h3>{text}' for name, text in sections.items())}{style.bullets(found.notes)}</div>"
    )


def credentials(c2pa: C2PA) -> str:
    """A signed manifest: what checking it gave, and what it says."""
    rows = {
        "State": c2pa.state.replace("_", " "),
        "Names as signer": c2pa.signer or "nobody",
        "Signed": c2pa.when or "at an unknown time",
        "Declares generative AI": "yes" if c2pa.claims_ai else "no",
        "Declared source": ", ".join(c2pa.source_types) or "none",
        "Steps": "; ".join(c2pa.actions) or "none",
        "Written by": c2pa.program or "an unknown program",
    }
    return f"<p>{escape(c2pa.explanation)}</p>{style.bullets(c2pa.problems)}{style.pairs(rows)}"


def write_report(
    folder: Path,
    detector: Detector,
    result: Result,
    alpha: float,
    variants: Sequence[stability.Variant],
    found: Provenance,
) -> tuple[str, str]:
    """Write the report about the whole picture; paths of the HTML and the JSON file.

    Args:
        folder: Gradio's cache, whose files are deleted after an hour.
    """
    told = (
        result.picture,
        at_rate(result.whole.evidence, alpha),
        result.whole.reliability,
        variants,
        found,
        detector.reference.facts,
        datetime.now(timezone.utc),
    )
    place = folder / secrets.token_hex(16)
    stem = f"mdmf-report-{result.picture.sha256[:12]}"
    texts = {"html": html_report(*told), "json": json.dumps(json_report(*told), indent=1)}
    page, data = (
        write_whole(place / f"{stem}.{ending}", lambda path, text=text: path.write_text(text, encoding="utf-8"))
        for ending, text in texts.items()
    )
    return str(page), str(data)
