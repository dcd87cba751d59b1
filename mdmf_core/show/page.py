"""The report as one HTML file that needs nothing else.

It is written from the dictionary that `json_report` gives: each figure stands in a `<data value="full precision"
data-field="its place in the JSON">`, so that page and JSON can't disagree. It has no script and its policy forbids
every request; pictures are inside it. Whatever comes from the file (its name, EXIF, text chunks, manifests) is
escaped, and characters that can't be printed are replaced.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mdmf_core.evidence import Evidence
from mdmf_core.images.reader import Picture
from mdmf_core.show import charts, maps
from mdmf_core.show import words as wording
from mdmf_core.show.report import CITATION, LIMITATIONS, METHOD, json_report
from mdmf_core.texts import escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mdmf_core.images.origin.said import Provenance
    from mdmf_core.show.reliability import Reliability
    from mdmf_core.show.stability import Variant

COPY_SIDE = 900
BAR_STEPS = 512
MIDDLE_GREY = 158
STATISTICS = {"mmd": "MMD to real patches", "relative": "relative MMD, real against generated patches"}
FACTS = {
    "real": "Real pictures in the reference",
    "generated": "Generated pictures in the reference",
    "calibration": "Real pictures of the calibration",
    "calibration_lives": "Their files",
    "points": "Reference points kept, real and generated",
    "points_uncompressed": "Patches they stand for",
    "compression_error": "Change of the score by keeping fewer, in deviations of real scores",
}

_STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")


def html_report(
    picture: Picture,
    evidence: Evidence,
    reliability: Reliability | None,
    variants: Sequence[Variant] | None,
    provenance: Provenance | None,
    facts: dict[str, Any],
    when: datetime,
) -> str:
    """The report as one HTML page; the arguments are those of `json_report`."""
    data = json_report(picture, evidence, reliability, variants, provenance, facts, when)
    title = f"Evidence report: {escape(picture.name)}"
    sections = (
        _head(data, title),
        _maps(data, picture, evidence, reliability),
        _unlike(data, picture, evidence, reliability),
        _null(data, evidence),
        _patches(data, picture),
        _stability_section(data, variants),
        _provenance(provenance),
        _setup(data),
        _method(),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def _policy() -> str:
    """Nothing is loaded or run; only pictures inside the page and its one style sheet, by its hash, are shown."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return f"default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src 'sha256-{digest}'"


def _figure(data: dict, field: str, form: str = ".4g") -> str:
    """A figure of the JSON, shown in `form`, with its full value and its place for programs."""
    value: Any = data
    for step in field.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    shown = "no value" if value is None else format(value, form)
    return f'<data value="{escape(json.dumps(value))}" data-field="{field}">{escape(shown)}</data>'


def _terms(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of names and what they stand for; both are HTML."""
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in pairs)}</dl>"


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{body}\n</section>"


def _data_uri(image: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    options = {"quality": 90, "subsampling": 0} if kind == "JPEG" else {"optimize": True}
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _img(image: Image.Image, alt: str, kind: str = "PNG") -> str:
    size = f'width="{image.width}" height="{image.height}"'
    return f'<img src="{_data_uri(image, kind)}" {size} alt="{escape(alt)}">'


def _drawing(figure: Figure, alt: str) -> str:
    """A plot as sharp lines at any size."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    width, height = np.rint(96 * figure.get_size_inches()).astype(int)
    source = f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    return f'<img src="{source}" width="{width}" height="{height}" alt="{escape(alt)}">'


def _head(data: dict, title: str) -> str:
    """What was analysed, and the answer."""
    result, shown = data["result"], data["picture"]
    figures = _terms(
        [
            ("Score", f"{_figure(data, 'result.score')} ({STATISTICS[data['settings']['statistic']]})"),
            (
                "Likely generated above",
                _figure(data, "result.threshold")
                + ("" if result["threshold"] is not None else ": too few calibration pictures for this rate"),
            ),
            (
                "p-value",
                f"{_figure(data, 'result.p_value')}, from {_figure(data, 'result.n_calibration', ',')} real pictures",
            ),
            (
                "False alarms accepted",
                f"{_figure(data, 'settings.alpha', '.1%')} of real pictures would be called generated",
            ),
        ]
    )
    file = _terms(
        [
            ("File", escape(shown["name"])),
            ("SHA-256", f"<code>{escape(shown['sha256'])}</code>"),
            (
                "Size",
                f"{_figure(data, 'picture.width', ',')} x {_figure(data, 'picture.height', ',')} pixels, "
                f"{escape(shown['format'])}, {_figure(data, 'picture.n_bytes', ',')} bytes",
            ),
            ("Analysed", _date(data["report"]["created"])),
        ]
    )
    notes = "".join(f"<p>Note: {escape(note)}</p>" for note in shown["notes"])
    origin = data["origin"]
    said = f"{origin['sentence']} {origin['contradiction']}".strip() if origin else ""
    first = f"<p><strong>{escape(said)}</strong></p>" * bool(said)
    return (
        f"<header>\n<h1>{title}</h1>\n{first}{file}{notes}\n</header>\n"
        f'<div class="verdict {result["decision"]}"><p class="words">{escape(result["verdict"])}</p>'
        f"<p>{escape(result['explanation'])}</p>{figures}</div>"
    )


def _date(created: str) -> str:
    moment = datetime.fromisoformat(created)
    return f'<time datetime="{created}">{moment.day} {moment:%B %Y, %H:%M:%S} UTC</time>'


def _maps(data: dict, picture: Picture, evidence: Evidence, reliability: Reliability | None) -> str:
    """A copy of the picture, the map, its scale, and where not to trust it."""
    copy = Image.fromarray(picture.pixels)
    copy.thumbnail((COPY_SIDE, COPY_SIDE), Image.Resampling.LANCZOS)
    doubtful = reliability.doubtful if reliability is not None else None
    drawn = maps.overlay(picture.pixels, evidence, colorbar=False, doubtful=doubtful)
    flagged = f"{_figure(data, 'result.n_flagged', ',')} of {_figure(data, 'settings.n_patches', ',')} patches"
    figures = (
        f"<figure>{_img(copy, 'The picture that was analysed, as a smaller copy.', 'JPEG')}"
        "<figcaption>The picture (a smaller copy)</figcaption></figure>"
        f"<figure>{_img(drawn, 'The picture under its evidence map; unusual patches are coloured.', 'JPEG')}"
        f"<figcaption>The map: {flagged} stand out and are outlined; up to "
        f"{_figure(data, 'settings.fdr', '.0%')} of outlines are expected by chance</figcaption></figure>"
    )
    return _section(
        "Where the evidence lies", f'<div class="pair">{figures}</div>{_scale(data, evidence)}{_doubts(data)}'
    )


def _unlike(data: dict, picture: Picture, evidence: Evidence, reliability: Reliability | None) -> str:
    """The map of patches unlike the rest of the picture, where there is one."""
    if evidence.inconsistency is None:
        return ""
    doubtful = reliability.doubtful if reliability is not None else None
    drawn = maps.overlay(picture.pixels, evidence, colorbar=False, value="unlike", doubtful=doubtful)
    flagged = f"{_figure(data, 'inconsistency.n_flagged', ',')} of {_figure(data, 'settings.n_patches', ',')} patches"
    alt = "The picture under the map of patches unlike the rest of it; such patches are coloured."
    figure = f"<figure>{_img(drawn, alt, 'JPEG')}<figcaption>{flagged} stand out and are outlined</figcaption></figure>"
    words = (
        "How unlike the rest a patch is, on one scale from "
        f"{_figure(data, 'inconsistency.scale.0')} to {_figure(data, 'inconsistency.scale.1')} for every picture."
    )
    scale = _bar_in_words(evidence.inconsistency.scale, words)
    meaning = f"<p>{escape(wording.UNLIKE)}</p>"
    return _section("What is unlike the rest of the picture", f'{meaning}<div class="pair">{figure}</div>{scale}')


def _scale(data: dict, evidence: Evidence) -> str:
    """The colour bar of the evidence."""
    words = (
        "Evidence of a patch, times the number of patches, on one scale from "
        f"{_figure(data, 'result.scale.0')} to {_figure(data, 'result.scale.1')} for every picture."
    )
    return _bar_in_words(evidence.scale, words)


def _bar_in_words(scale: tuple[float, float], words: str) -> str:
    """A colour bar with its numbers, and what they count; `words` is HTML."""
    items = "".join(
        f"<li><strong>{value:.3g}</strong><br>{escape(meaning)}</li>" for _, value, meaning in maps.ticks(scale)
    )
    return (
        f'<img class="bar" src="{_data_uri(_bar(scale), "PNG")}" width="{BAR_STEPS}" height="1" '
        f'alt="Colour scale from no colour through purple to yellow"><ol class="ticks">{items}</ol>'
        f'<p class="small">{words}</p>'
    )


def _bar(scale: tuple[float, float]) -> Image.Image:
    """The scale from end to end as it looks on a middle grey; an image, for browsers don't print backgrounds."""
    painted = maps.colours(np.linspace(*scale, BAR_STEPS), scale)
    row = MIDDLE_GREY + maps.OPACITY * painted[:, 3:] * (painted[:, :3] - MIDDLE_GREY)
    return Image.fromarray(np.rint(row[None]).astype(np.uint8))


def _doubts(data: dict) -> str:
    found = data["reliability"]
    if found is None:
        return "<p>Where the map can't be trusted was not looked at.</p>"
    sentences = [*found["warnings"], found["patch_note"]]
    return "".join(f'<p class="warning">{escape(sentence)}</p>' for sentence in sentences if sentence)


def _null(data: dict, evidence: Evidence) -> str:
    drawn = _drawing(charts.null_plot(evidence), charts.describe_null(evidence))
    other = "mmd2" if data["settings"]["statistic"] == "relative" else "relative"
    named = "MMD to real patches" if other == "mmd2" else "Relative MMD"
    return _section(
        "This picture among real pictures",
        f"<figure>{drawn}<figcaption>Scores of real calibration pictures, this picture's score and the "
        f"threshold. The other statistic, for comparison: {named} {_figure(data, f'result.{other}')}.</figcaption>"
        "</figure>",
    )


def _patches(data: dict, picture: Picture) -> str:
    """The patches that carry most of the score, at pixel scale, with their high-pass residuals."""
    items = []
    for number, patch in enumerate(data["top_patches"]):
        field = f"top_patches.{number}."
        box = tuple(patch[side] for side in "xywh")
        where = f"patch {patch['rank']} at {patch['x']}, {patch['y']}"
        crops = _img(maps.patch_crop(picture.pixels, box, scale=1), f"Magnified {where}") + _img(
            maps.residual_crop(picture.pixels, box, scale=1), f"High-pass residual of {where}"
        )
        place = ", ".join(_figure(data, field + side, "d") for side in "xy")
        size = " x ".join(_figure(data, field + side, "d") for side in "wh")
        share = patch["share_of_score"]
        items.append(
            f'<li><figure><div class="crops">{crops}</div><figcaption><strong>'
            f"{_figure(data, field + 'rank', 'd')}.</strong> at {place}, {size} pixels<br>evidence "
            f"{_figure(data, field + 'evidence_times_n', '.3g')}"
            + ("" if share is None else f", {_figure(data, field + 'share_of_score', '.1%')} of the score")
            + f"<br>p {_figure(data, field + 'p_value', '.3g')}{', stands out' if patch['flagged'] else ''}"
            "</figcaption></figure></li>"
        )
    return _section(
        "Patches with the most evidence",
        "<p>Left: the patch, enlarged. Right: its high-pass residual, on a fixed grey scale. Places are pixels from "
        "the top left corner; evidence is on the scale of the map.</p>"
        f'<ol class="patches">{"".join(items)}</ol>',
    )


def _stability_section(data: dict, variants: Sequence[Variant] | None) -> str:
    found = data["stability"]
    if not variants:
        return _section("Does it hold?", f"<p>{escape(found['sentence'])}</p>")
    rows = []
    for number, variant in enumerate(found["variants"]):
        if variant["error"]:
            cells = f'<td colspan="3">{escape(variant["error"])}</td>'
        else:
            field = f"stability.variants.{number}."
            cells = (
                f"<td>{_figure(data, field + 'score')}</td><td>{_figure(data, field + 'p_value', '.3g')}</td>"
                f"<td>{wording.VERDICTS[variant['decision']]}</td>"
            )
        rows.append(f'<tr><th scope="row">{escape(variant["name"])}</th>{cells}</tr>')
    chart = _drawing(charts.stability_plot(variants, data["settings"]["alpha"]), charts.describe_stability(variants))
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Version", "Score", "p-value", "Decision"))
    return _section(
        "Does it hold?",
        f'<p>{escape(found["sentence"])}</p><figure>{chart}</figure><div class="wide"><table>'
        f"<caption>The same picture, changed and analysed again</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>",
    )


def _provenance(found: Provenance | None) -> str:
    """What the file says of itself; nothing of it is in the score."""
    title = "What the file says of itself"
    if found is None:
        return _section(title, "<p>The file's own information was not read.</p>")
    lines = list(found.camera.items())
    lines += [("Software", found.software)] if found.software else []
    lines += [("Digital source type (IPTC)", found.digital_source_type)] if found.digital_source_type else []
    lines += _credentials(found)
    lines += [
        ("Invisible mark", f"{mark.tool}: {mark.agreeing} of {mark.bits} bits agree, by luck {mark.chance:.0e}")
        for mark in found.marks
    ]
    claims = "".join(
        f"<p><strong>{escape(claim.tool)}</strong>, in the field {escape(claim.field)}:</p>"
        f"<pre>\n{escape(claim.text)}</pre>"
        for claim in found.generator
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in found.notes)
    body = _terms((escape(name), escape(value)) for name, value in lines) if lines else ""
    return _section(
        title,
        '<p class="small">Anyone can write or remove this information. It is not part of the score.</p>'
        f"{body}{claims}{notes}",
    )


def _credentials(found: Provenance) -> list[tuple[str, str]]:
    """The C2PA manifest in lines."""
    c2pa = found.c2pa
    if c2pa is None:
        return []
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


def _setup(data: dict) -> str:
    """Model and settings, enough to repeat the analysis."""
    model, settings = data["model"], data["settings"]
    area = ", ".join(_figure(data, f"settings.area.{side}", ",") for side in range(4))
    lines = [
        ("Model", escape(model["model"])),
        ("Revision", escape(model["revision"])),
        ("Weight fingerprint", f"<code>{escape(model['fingerprint'])}</code>"),
        ("Encoder", escape(model["backbone"])),
        ("Statistic that decides", escape(STATISTICS[settings["statistic"]])),
        ("False-alarm rate", _figure(data, "settings.alpha", ".3g")),
        ("False discovery rate of outlines", _figure(data, "settings.fdr", ".3g")),
        ("Area analysed (x, y, width, height)", area),
        (
            "Patches",
            f"{_figure(data, 'settings.n_patches', ',')}, in {_figure(data, 'settings.rows', ',')} rows of "
            f"{_figure(data, 'settings.cols', ',')}",
        ),
    ]
    facts = model["facts"].items()
    lines += [(escape(FACTS.get(name, name.replace("_", " "))), escape(fact(value))) for name, value in facts]
    return _section("Model and settings", _terms(lines))


def fact(value: Any) -> str:
    """A fact of the reference in words, not escaped: counts with their sum, other things as they are."""
    if isinstance(value, dict):
        counts = value and all(isinstance(v, int) and not isinstance(v, bool) for v in value.values())
        total = f"{sum(value.values()):,}: " if counts else ""
        return total + ", ".join(f"{str(name).replace('_', ' ')} {fact(v)}" for name, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(fact(v) for v in value)
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _method() -> str:
    steps = "".join(f"<li>{escape(sentence)}</li>" for sentence in METHOD)
    limits = "".join(f"<li>{escape(sentence)}</li>" for sentence in LIMITATIONS)
    return "\n".join(
        [
            _section("The method in five sentences", f"<ol>{steps}</ol>"),
            _section("What this can't tell", f"<ul>{limits}</ul>"),
            _section(
                "Citation",
                f"<p>The method: {escape(CITATION)} The p-values, the relative statistic and the significance of "
                "patches are additions of this implementation. Cite a result with the picture's SHA-256, the weight "
                "fingerprint and the date above.</p>",
            ),
        ]
    )
