"""What is shown of one picture: card, map, patch, region, stability, origin and report, as HTML, pictures and files.

These functions take evidence and give what a component shows. They know nothing of components or events
(`one.py`) and compute nothing but places on the screen (`mdmf_core` does).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mdmf_app import pictures, style
from mdmf_app.context import Choice
from mdmf_core import heatmap, stability
from mdmf_core.detector import Detector, Evidence, decide
from mdmf_core.files import write_whole
from mdmf_core.images import ImageError, Picture
from mdmf_core.patches import ALIGN
from mdmf_core.provenance import C2PA, Provenance
from mdmf_core.reference import threshold
from mdmf_core.reliability import Reliability, assess
from mdmf_core.report import LIMITATIONS, escape, html_report, json_report

SMALLEST_SHOWN = 640
TABLE = ("Rank", "Patch", "Evidence", "Share of score (%)", "p-value", "Outlined", "Left", "Top")
TOP = 20
MAPS = {
    "share": ("Share of the score", "share", "deciding"),
    "witness": ("Witness value", "witness", "deciding"),
    "p_value": ("p-value", "p_value", "deciding"),
    "mmd": ("Distance to real pictures (MMD)", "share", "mmd"),
    "unlike": ("Unlike the rest of the picture", "unlike", "deciding"),
}
MEANINGS = {
    "share": "The values of all patches, divided by their number, add up to the score that decides.",
    "witness": "How much closer a patch lies to one side of the comparison than to the other.",
    "p_value": "The share of patches of real pictures with at least as much evidence.",
    "mmd": "How unlike real pictures a patch is, whatever else it is like. It stands beside the score that decides.",
    "unlike": heatmap.UNLIKE,
}
NOT_COMPARED = (
    "This map is not there: it needs a whole picture of at least 3 x 3 patches, and a model that was trained for it. "
    "Choose another under “Colour shows”."
)
SELECTED, BOX = (0, 229, 255), (255, 255, 255)


@dataclass(frozen=True, eq=False)
class View:
    """Evidence of a picture or of a region of it, and where it can't be trusted."""

    evidence: Evidence
    reliability: Reliability


@dataclass(frozen=True, eq=False)
class Result:
    """One picture that was analysed, as a session keeps it. `choice` is the model that did it."""

    path: str
    whole: View
    choice: Choice | None
    example: dict | None

    @property
    def picture(self) -> Picture:
        """The picture, which is decoded again where others needed the room.

        Raises:
            ImageError: its file is gone.
        """
        return pictures.of_sessions.read(self.path)

    def is_there(self) -> bool:
        """Whether its picture can still be had."""
        try:
            return self.picture is not None
        except ImageError:
            return False

    def view(self, region: View | None) -> View:
        """The region, if it belongs to this result, else the whole picture."""
        whole = self.whole.evidence
        same = region and (region.evidence.sha256, region.evidence.fingerprint) == (whole.sha256, whole.fingerprint)
        return region if same else self.whole


@dataclass(frozen=True)
class Frame:
    """The part of the picture that the map shows, x, y, w, h in its pixels, and shown pixels per pixel."""

    x: int
    y: int
    w: int
    h: int
    factor: float

    def lies_in(self, box: Sequence[float]) -> bool:
        """Whether a box of the picture, x, y, w, h, is all that is shown or more, up to where patches start and end."""
        x, y, w, h = box
        return (
            x - ALIGN < self.x
            and y - ALIGN < self.y
            and self.x + self.w < x + w + ALIGN
            and self.y + self.h < y + h + ALIGN
        )

    def to_picture(self, point: Sequence[float]) -> tuple[int, int]:
        """A point of the shown map as a pixel of the picture."""
        return self.x + int(point[0] / self.factor), self.y + int(point[1] / self.factor)

    def to_map(self, box: Sequence[float]) -> list[float]:
        """x, y, w, h of the picture as left, top, right, bottom on the shown map."""
        x, y, w, h = box
        return [
            (x - self.x) * self.factor,
            (y - self.y) * self.factor,
            (x + w - self.x) * self.factor - 1,
            (y + h - self.y) * self.factor - 1,
        ]


def judge(picture: Picture, evidence: Evidence) -> View:
    return View(evidence, assess(picture, evidence))


def at_rate(evidence: Evidence, alpha: float) -> Evidence:
    """The same evidence under another false-alarm rate; nothing is analysed again."""
    return replace(
        evidence, alpha=alpha, decision=decide(evidence.p_value, alpha), threshold=threshold(evidence.null, alpha)
    )


# The card


def card(evidence: Evidence, example: dict | None, warnings: Sequence[str] = ()) -> str:
    """The verdict in words, its figures and its limits."""
    one_in = round(1 / evidence.alpha)
    figures = {
        "p-value": f"{evidence.p_value:.3g}, from {evidence.n_calibration:,} real pictures",
        "Score": heatmap.score_line(evidence),
        "False alarms": f"{evidence.alpha:.2g}: about 1 real picture in {one_in} would be called generated",
        "Picture": f"{evidence.name}, {evidence.width:,} x {evidence.height:,} pixels",
    }
    notes = "".join(f"<p>Note: {escape(note)}</p>" for note in (*evidence.notes, *warnings))
    return (
        f'<div class="card {evidence.decision}" role="status">{headline(evidence)}'
        f"<p>{escape(heatmap.explain(evidence))}</p>{style.pairs(figures)}{notes}{about(example)}"
        f"<details><summary>What this can't tell</summary>{style.bullets(LIMITATIONS)}</details></div>"
    )


def headline(evidence: Evidence) -> str:
    return f"<h2>{verdict(evidence)}</h2>"


def verdict(evidence: Evidence) -> str:
    icon, words = style.ICONS[evidence.decision], heatmap.VERDICTS[evidence.decision]
    return f'<span aria-hidden="true">{icon}</span> {words}'


def about(example: dict | None) -> str:
    """What an example is, so that the answer can be judged."""
    if not example:
        return ""
    return f"<p><strong>What this example is:</strong> {escape(example['what'])} {escape(example['licence'])}.</p>"


def null_plot(evidence: Evidence) -> str:
    """The score among the scores of real pictures."""
    sentences = (
        f"{heatmap.rarity(evidence)}.",
        "Each bar counts real pictures that were in neither training nor reference, cut to about as many patches as "
        "this one has. The further to the right a score lies, the less the picture looks like them.",
    )
    words = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    return f'<div class="panel">{style.plot(heatmap.null_plot(evidence), heatmap.describe_null(evidence))}{words}</div>'


# The map


def frame(view: View, whole: bool) -> Frame:
    """What the map of `view` shows: the whole picture, or just the region that was analysed."""
    evidence = view.evidence
    x, y, w, h = 0, 0, evidence.width, evidence.height
    if not whole:
        x, y, w, h = extent(evidence)
    longest = max(w, h)
    larger = max(1, SMALLEST_SHOWN // longest)
    return Frame(x, y, w, h, larger * min(1.0, heatmap.LONGEST_SIDE / (larger * longest)))


def extent(evidence: Evidence) -> tuple[int, int, int, int]:
    """x, y, w, h of all that was analysed, in pixels of the picture."""
    corners = evidence.boxes[:, :2], evidence.boxes[:, :2] + evidence.boxes[:, 2:]
    (x, y), (right, bottom) = corners[0].min(axis=0).tolist(), corners[1].max(axis=0).tolist()
    return x, y, right - x, bottom - y


def draw(result: Result, region: View | None, colour: str, opacity: float) -> Image.Image:
    """The map, without marks; the picture alone where there is no such map.

    Args:
        result, region: what was analysed.
        colour: one of `MAPS`.
        opacity: of the strongest colour, 0..1.
    """
    view = result.view(region)
    place = frame(view, view is result.whole)
    larger, moved = max(1, int(place.factor)), np.array([place.x, place.y, 0, 0])
    evidence = replace(
        view.evidence, boxes=larger * (view.evidence.boxes - moved), cells=larger * (view.evidence.cells - moved)
    )
    value, statistic = MAPS[colour][1:]
    if not is_known(view.evidence, colour):
        return plain(result, region)
    return heatmap.overlay(
        _cropped(result.picture, place),
        evidence,
        opacity,
        colorbar=False,
        value=value,
        statistic=statistic,
        doubtful=view.reliability.doubtful,
    )


def is_known(evidence: Evidence, colour: str) -> bool:
    """Whether there is such a map of this picture or region."""
    return MAPS[colour][1] != "unlike" or evidence.inconsistency is not None


def plain(result: Result, region: View | None) -> Image.Image:
    """What the map covers, without the map, in the same size."""
    view = result.view(region)
    image = Image.fromarray(_cropped(result.picture, frame(view, view is result.whole)))
    image.thumbnail((heatmap.LONGEST_SIDE, heatmap.LONGEST_SIDE), Image.Resampling.LANCZOS)
    return image


def _cropped(picture: Picture, place: Frame) -> np.ndarray:
    """The pixels that a map shows, small ones enlarged."""
    larger = max(1, int(place.factor))
    pixels = picture.pixels[place.y : place.y + place.h, place.x : place.x + place.w]
    return pixels.repeat(larger, axis=0).repeat(larger, axis=1) if larger > 1 else pixels


def mark(image: Image.Image, result: Result, region: View | None, patch: int | None, box: Sequence[int]) -> Image.Image:
    """Frames around the selected patch and around the box of the next region, which may still be a point."""
    view = result.view(region)
    place = frame(view, view is result.whole)
    pen = ImageDraw.Draw(image)
    thin = max(2, round(max(image.size) / 300))
    if patch is not None:
        _ring(pen, place.to_map(view.evidence.cells[patch]), SELECTED, thin)
    if len(box) == 4 and not place.lies_in(box):
        _ring(pen, place.to_map(box), BOX, thin)
    elif len(box) == 2:
        left, top, *_ = place.to_map([*box, 0, 0])
        _ring(pen, [left - 3 * thin, top - 3 * thin, left + 3 * thin, top + 3 * thin], BOX, thin)
    return image


def _ring(pen: ImageDraw.ImageDraw, corners: list[float], colour: tuple[int, int, int], thin: int) -> None:
    left, top, right, bottom = corners
    if right < left or bottom < top:
        return
    pen.rectangle((left - thin, top - thin, right + thin, bottom + thin), outline=(0, 0, 0), width=3 * thin)
    pen.rectangle((left, top, right, bottom), outline=colour, width=thin)


def legend(evidence: Evidence, colour: str, opacity: float = heatmap.OPACITY) -> str:
    """What the map's colours mean, in words and numbers."""
    if not is_known(evidence, colour):
        return style.notice(NOT_COMPARED)
    value, statistic = MAPS[colour][1:]
    layer = heatmap.layer(evidence, value, statistic)
    sampled = f'<p class="small">{escape(coverage(evidence))}</p>' * bool(coverage(evidence))
    ends = "".join(f"<li><strong>{escape(number)}</strong><br>{escape(words)}</li>" for _, number, words in layer.ticks)
    return (
        f'<div class="legend"><p class="small"><strong>{escape(layer.title)}.</strong> {escape(MEANINGS[colour])} '
        "The scale is the same for every picture. White line: the patch stands out.</p>"
        f'<div class="bar" role="img" aria-label="Colour scale from no colour through purple to yellow" '
        f'style="background: {heatmap.gradient(layer.scale, opacity)}"></div><ol>{ends}</ol>{sampled}</div>'
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


# One patch


def patch_at(view: View, point: tuple[int, int]) -> int:
    """The patch whose cell holds a pixel of the picture, or else the one whose middle is nearest."""
    cells = view.evidence.cells
    offsets = np.array(point) - cells[:, :2]
    inside = np.flatnonzero(((offsets >= 0) & (offsets < cells[:, 2:])).all(axis=1))
    if len(inside):
        return int(inside[0])
    return int(np.linalg.norm(offsets - cells[:, 2:] / 2, axis=1).argmin())


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
        for row in heatmap.top_patches(evidence, TOP)
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
        heatmap.patch_crop(pixels, box), f"Patch {patch + 1}, magnified.", "Its pixels, magnified"
    ) + style.picture(
        heatmap.residual_crop(pixels, box), f"Fine detail of patch {patch + 1}.", "Its fine detail (high-pass residual)"
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
    known = next(row for row in heatmap.top_patches(evidence, evidence.n_patches) if row["index"] == patch)
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
    return style.plot(heatmap.patch_null_plot(evidence, patch), heatmap.describe_patch(evidence, patch))


def neighbours(pixels: np.ndarray, evidence: Evidence, patch: int) -> str:
    return "".join(
        style.picture(
            heatmap.patch_crop(pixels, evidence.boxes[other].tolist()),
            f"Patch {other + 1}, magnified.",
            f"Patch {other + 1}, p = {evidence.patch_p_values[other]:.2g}",
        )
        for other in heatmap.nearest(evidence, patch)
    )


# A region


def region_card(view: View, alpha: float) -> str:
    """What was found in a region alone, under a false-alarm rate."""
    evidence = at_rate(view.evidence, alpha)
    x, y, w, h = extent(evidence)
    figures = {
        "Region": f"x {x:,}, y {y:,}, {w:,} x {h:,} pixels",
        "Patches": f"{evidence.n_patches:,}",
        "p-value": f"{evidence.p_value:.3g}. {heatmap.rarity(evidence)}.",
        "Score": heatmap.score_line(evidence),
    }
    notes = "".join(f"<p>Note: {escape(note)}</p>" for note in view.reliability.warnings)
    return (
        f'<div class="card {evidence.decision}" role="status"><h3>{verdict(evidence)}, in this region alone</h3>'
        f"{style.pairs(figures)}{notes}<p>If the map led you here, this p-value is too small: the most unusual part of "
        "any picture looks unusual.</p></div>"
    )


# Does it hold?


def stability_panel(variants: Sequence[stability.Variant], alpha: float) -> str:
    """The score after ordinary changes to the file."""
    rows = [
        (v.name, v.error, "", "")
        if v.error
        else (v.name, f"{v.score:.3g}", f"{v.p_value:.2g}", words(v.p_value, alpha))
        for v in variants
    ]
    sentence = stability.sentence(variants)
    chart = style.plot(heatmap.stability_plot(variants, alpha), heatmap.describe_stability(variants))
    return (
        f'<div class="panel" role="status"><p><strong>{escape(sentence)}</strong></p>{chart}'
        f"{style.table(('Change', 'Score', 'p-value', 'Answer'), rows)}</div>"
    )


def words(p_value: float, alpha: float) -> str:
    return heatmap.VERDICTS[decide(p_value, alpha)]


# Origin


def origin_panel(found: Provenance) -> str:
    """What the file says about itself, as text; none of it enters the score."""
    traces = "".join(
        f"<p>{escape(claim.tool)}, in the field {escape(claim.field)}:</p><pre tabindex='0'>{escape(claim.text)}</pre>"
        for claim in found.generator
    )
    made = dict(found.camera) | ({"Software": found.software} if found.software else {})
    sections = {
        "Content Credentials (C2PA)": credentials(found.c2pa) if found.c2pa else "<p>None in this file.</p>",
        "Declared source (IPTC)": f"<p>{escape(found.digital_source_type or 'None in this file.')}</p>",
        "Records of a generator": traces or "<p>None in this file.</p>",
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


# Report


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
