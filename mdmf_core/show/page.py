"""The report as one HTML file that needs nothing else.

`templates/report.html` writes it from the dictionary that `json_report` gives: each figure stands in a `<data
value="full precision" data-field="its place in the JSON">`, so that page and JSON can't disagree. It has no script and
its policy forbids every request; pictures are inside it. Whatever comes from the file (its name, EXIF, text chunks,
manifests) is escaped, and characters that can't be printed are replaced.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mdmf_core import sentence
from mdmf_core.evidence import Evidence
from mdmf_core.show import charts, maps
from mdmf_core.show import words as wording
from mdmf_core.show.html import Inline, day, drawing, environment, picture
from mdmf_core.show.report import Findings, json_report

if TYPE_CHECKING:
    from mdmf_core.images.origin.said import C2PA, Provenance

COPY_SIDE = 900
BAR_STEPS = 512
MIDDLE_GREY = 158
STATISTICS = {
    "mmd": sentence.said("statistic.mmd", "MMD to real patches"),
    "relative": sentence.said("statistic.relative", "relative MMD, real against generated patches"),
}
FACTS = {
    "real": sentence.said("fact.real", "Real pictures in the reference"),
    "generated": sentence.said("fact.generated", "Generated pictures in the reference"),
    "calibration": sentence.said("fact.calibration", "Real pictures of the calibration"),
    "calibration_lives": "Their files",
    "points": "Reference points kept, real and generated",
    "points_uncompressed": "Patches they stand for",
    "compression_error": "Change of the score by keeping fewer, in deviations of real scores",
}


def html_report(findings: Findings) -> str:
    """The report as one HTML page."""
    data, evidence, provenance = json_report(findings), findings.evidence, findings.provenance
    shown = {name: evidence.maps[name] for name in ("evidence", "locator") if name in evidence.maps}
    return _TEMPLATES.get_template("report.html").render(
        data=data,
        day=day(data["report"]["created"]),
        statistic=STATISTICS[evidence.verdict.statistic],
        pictures=_pictures(findings, data) | {f"{name}_scale": _bar(found.scale) for name, found in shown.items()},
        ticks={name: maps.ticks(found.scale) for name, found in shown.items()},
        told=_told(findings),
        verdicts=wording.VERDICTS,
        provenance=provenance,
        said=said(provenance) if provenance else [],
        facts=[(FACTS.get(name, name.replace("_", " ")), fact(value)) for name, value in findings.facts.items()],
    )


def _at(data: Any, field: str) -> Any:
    """The figure at a place of the JSON, such as `result.scale.0`."""
    for step in field.split("."):
        data = data[int(step)] if isinstance(data, list) else data[step]
    return data


def _form(value: Any, form: str) -> str:
    return "no value" if value is None else format(value, form)


_TEMPLATES = environment()
_TEMPLATES.filters.update(at=_at, json=json.dumps, shown=_form)


def _pictures(findings: Findings, data: dict[str, Any]) -> dict[str, Any]:
    """A copy of the picture, its maps, the charts, and the patches with the most evidence."""
    pixels, evidence = findings.picture.pixels, findings.evidence
    copy = Image.fromarray(pixels)
    copy.thumbnail((COPY_SIDE, COPY_SIDE), Image.Resampling.LANCZOS)
    boxes = [[patch[side] for side in "xywh"] for patch in data["top_patches"]]
    made: dict[str, Any] = {
        "small": _jpeg(copy),
        "evidence": _map(findings, evidence, "evidence"),
        "null": drawing(charts.null_plot(evidence)),
        "crops": [_png(maps.patch_crop(pixels, box, scale=1)) for box in boxes],
        "residuals": [_png(maps.residual_crop(pixels, box, scale=1)) for box in boxes],
    }
    if "locator" in evidence.maps:
        made["locator"] = _map(findings, evidence, "locator")
    if findings.variants:
        made["stability"] = drawing(charts.stability_plot(findings.variants, evidence.verdict.alpha))
    return made


def _map(findings: Findings, evidence: Evidence, name: str) -> Inline:
    doubtful = findings.reliability.doubtful if findings.reliability is not None else None
    return _jpeg(maps.overlay(findings.picture.pixels, evidence, colorbar=False, shown=name, doubtful=doubtful))


def _jpeg(image: Image.Image) -> Inline:
    return picture(image, "JPEG", quality=90, subsampling=0)


def _png(image: Image.Image) -> Inline:
    return picture(image, "PNG", optimize=True)


def _bar(scale: tuple[float, float]) -> Inline:
    """The scale from end to end as it looks on a middle grey; an image, for browsers don't print backgrounds."""
    painted = maps.colours(np.linspace(*scale, BAR_STEPS), scale)
    row = MIDDLE_GREY + maps.OPACITY * painted[:, 3:] * (painted[:, :3] - MIDDLE_GREY)
    return _png(Image.fromarray(np.rint(row[None]).astype(np.uint8)))


def _told(findings: Findings) -> dict[str, str]:
    """What the charts show, in words."""
    told = {"null": charts.describe_null(findings.evidence)}
    return told | ({"stability": charts.describe_stability(findings.variants)} if findings.variants else {})


def said(found: Provenance) -> list[tuple[str, str]]:
    """What the file says of itself, in lines."""
    lines = list(found.camera.items())
    lines += [("Software", found.software)] if found.software else []
    lines += [("Digital source type (IPTC)", found.digital_source_type)] if found.digital_source_type else []
    lines += _credentials(found.c2pa) if found.c2pa else []
    return lines + [
        ("Invisible mark", f"{mark.tool}: {mark.agreeing} of {mark.bits} bits agree, by luck {mark.chance:.0e}")
        for mark in found.marks
    ]


def _credentials(c2pa: C2PA) -> list[tuple[str, str]]:
    """The C2PA manifest in lines."""
    unchanged = {True: "yes", False: "no", None: "can't be told"}[c2pa.unchanged]
    lines = [
        ("Content credentials (C2PA)", c2pa.explanation),
        ("Their state", c2pa.state.replace("_", " ")),
        *(("Also", problem) for problem in c2pa.problems),
        ("Picture unchanged since signing", unchanged),
        ("Signer named", c2pa.signer),
        ("Signed", c2pa.when),
        ("Written by", c2pa.program),
        ("Declared origin", ", ".join(c2pa.source_types)),
        ("Actions", ", ".join(c2pa.actions)),
        ("They declare generative AI", "yes" if c2pa.claims_ai else "no"),
    ]
    return [(name, value) for name, value in lines if value]


def fact(value: Any) -> str:
    """A fact of the reference in words, not escaped: counts with their sum, other things as they are."""
    if isinstance(value, dict):
        counts = value and all(isinstance(v, int) and not isinstance(v, bool) for v in value.values())
        total = f"{sum(value.values()):,}: " if counts else ""
        return total + ", ".join(f"{str(name).replace('_', ' ')} {fact(v)}" for name, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(fact(v) for v in value)
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
