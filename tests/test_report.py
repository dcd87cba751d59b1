"""The report: valid, self-contained, escaped, and with the figures of its JSON."""

from __future__ import annotations

import base64
import html as html_module
import io
import json
import math
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import html5lib
import numpy as np
import pytest
from PIL import Image
from tiny import picture as scene

from mdmf_core.images.origin.said import C2PA, Claim, Provenance
from mdmf_core.images.reader import read
from mdmf_core.show import maps, report
from mdmf_core.show import page as report_page
from mdmf_core.show import words as wording
from mdmf_core.show.reliability import Reliability
from mdmf_core.show.stability import Variant

WHEN = datetime(2026, 11, 24, 12, 30, tzinfo=timezone(timedelta(hours=2)))
HOSTILE = (
    "</style></title></pre>\"'><script>alert(1)</script><img src=http://evil.test/x onerror=alert(2)>&amp;"
    "\x00\x1b\u202e"
)
LOADS = set("src srcset href poster action formaction background cite manifest ping xlink:href".split())


@pytest.fixture(scope="module")
def parts(detector, tmp_path_factory) -> report.Findings:
    """The input of a report with everything in it, all of the file's text hostile."""
    path = tmp_path_factory.mktemp("report") / "photo <b>&.png"
    Image.fromarray(scene(5)).save(path)
    read_in = read(path, 32)
    evidence = detector.detect(read_in, alpha=0.2)
    hostile = type(read_in)(**{**vars(read_in), "name": HOSTILE, "notes": (HOSTILE,)})
    doubtful = np.arange(evidence.n_patches) % 3 == 0
    reliability = Reliability(
        doubtful=doubtful, reasons=tuple("flat" if d else "" for d in doubtful), warnings=(HOSTILE,)
    )
    variants = [
        Variant("as it is", evidence.verdict.score, evidence.verdict.p_value, evidence.verdict.decision),
        Variant("JPEG 50", 1 / 3, 1 / 7, "inconclusive"),
        Variant("resized to 50%", error=HOSTILE),
    ]
    provenance = Provenance(
        camera={HOSTILE: HOSTILE},
        software=HOSTILE,
        generator=(Claim(tool=HOSTILE, field=HOSTILE, text=HOSTILE),),
        digital_source_type=HOSTILE,
        digital_source_code=HOSTILE,
        c2pa=C2PA(
            signer=HOSTILE,
            state="untrusted_signer",
            explanation=HOSTILE,
            problems=(HOSTILE,),
            claims_ai=True,
            source_types=(HOSTILE,),
            actions=(HOSTILE,),
            when=HOSTILE,
            program=HOSTILE,
        ),
        notes=(HOSTILE,),
    )
    facts = {"real": {HOSTILE: 3, "b": 4}, "compression_error": {"mean": 0.25}, HOSTILE: [1, HOSTILE]}
    return report.Findings(hostile, evidence, reliability, variants, provenance, facts, WHEN)


@pytest.fixture(scope="module")
def page(parts) -> str:
    return report_page.html_report(parts)


@pytest.fixture(scope="module")
def bare(parts) -> str:
    """A report where nothing beyond the detector was run."""
    return report_page.html_report(report.Findings(parts.picture, parts.evidence, when=WHEN))


def elements(page: str) -> list:
    tree = html5lib.HTMLParser(namespaceHTMLElements=False).parse(page)
    return [element for element in tree.iter() if isinstance(element.tag, str)]


def words(page: str) -> str:
    body = html5lib.HTMLParser(namespaceHTMLElements=False).parse(page).find("body")
    return re.sub(r"\s+", " ", "".join(body.itertext()))


def test_both_pages_are_valid_html(page, bare):
    for text in (page, bare):
        html5lib.HTMLParser(strict=True).parse(text)


def test_the_checker_can_fail(page):
    with pytest.raises(html5lib.html5parser.ParseError):
        html5lib.HTMLParser(strict=True).parse(page.replace("</main>", "</div>"))


def test_nothing_hostile_becomes_an_element(page, bare):
    tags = {element.tag for element in elements(page)}
    assert not tags & {"script", "iframe", "object", "embed", "link", "form", "base", "a", "svg", "b"}
    assert not any(name.startswith("on") for element in elements(page) for name in element.attrib)
    assert len(elements(bare)) < len(elements(page))
    assert words(page).count("<script>alert(1)</script>") >= 15, "hostile text is shown as text"
    assert not set(page) & set("\x00\x1b\u202e")


def test_no_attribute_causes_a_request(page):
    for element in elements(page):
        for name, value in element.attrib.items():
            if name in LOADS:
                assert value.startswith("data:image/"), (element.tag, name, value[:60])
        assert "url(" not in element.attrib.get("style", "")
    style = next(element.text for element in elements(page) if element.tag == "style")
    assert "url(" not in style and "@import" not in style and "@media print" in style and "@page" in style
    policy = next(e.attrib["content"] for e in elements(page) if e.attrib.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_each_figure_is_the_one_in_the_json(parts, page):
    data = json.loads(json.dumps(report.json_report(parts), allow_nan=False))
    shown = [element for element in elements(page) if element.tag == "data"]
    fields = {element.attrib["data-field"] for element in shown}
    for element in shown:
        value = data
        for step in element.attrib["data-field"].split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
        assert json.loads(element.attrib["value"]) == value
        text = element.text.replace(",", "")
        number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        assert math.isclose(number, value, rel_tol=6e-4, abs_tol=6e-4), element.attrib
    wanted = "score p_value n_calibration threshold n_flagged mmd2 scale.0 scale.1"
    assert {f"result.{name}" for name in wanted.split()} <= fields
    assert {"settings.alpha", "settings.fdr", "picture.n_bytes", "stability.variants.1.p_value"} <= fields
    assert sum(field.startswith("top_patches.") and field.endswith(".p_value") for field in fields) == len(
        data["top_patches"]
    )


def test_the_json_has_the_figures_of_the_evidence_to_full_precision(parts):
    evidence, reliability, variants, provenance, facts = (
        getattr(parts, name) for name in ("evidence", "reliability", "variants", "provenance", "facts")
    )
    data = report.json_report(parts)
    assert data["result"]["score"] == evidence.verdict.score and data["result"]["p_value"] == evidence.verdict.p_value
    assert data["calibration_scores"] == evidence.verdict.null.scores.tolist()
    assert math.isclose(sum(patch["evidence"] for patch in data["patches"]), evidence.verdict.score, rel_tol=1e-9)
    assert [patch["doubtful"] for patch in data["patches"]] == reliability.doubtful.tolist()
    assert data["stability"]["variants"][1]["score"] == variants[1].score
    assert data["provenance"] == provenance.to_dict() and data["model"]["facts"] == facts
    assert data["report"]["created"] == "2026-11-24T10:30:00+00:00"
    x, y, width, height = data["settings"]["area"]
    assert 0 <= x and 0 <= y and x + width <= evidence.picture.width and y + height <= evidence.picture.height


def test_patches_unlike_the_rest_have_a_map_of_their_own(parts, page):
    evidence = parts.evidence
    data = report.json_report(parts)["inconsistency"]
    assert data["values"] == evidence.maps["locator"].values.tolist() and data["n_flagged"] == sum(data["flagged"])
    assert "What is unlike the rest of the picture" in page and wording.LOCATOR in html_module.unescape(page)
    maps_left = {name: shown for name, shown in evidence.maps.items() if name != "locator"}
    without = replace(parts, evidence=replace(evidence, maps=maps_left))
    assert report.json_report(without)["inconsistency"] is None
    assert "What is unlike the rest of the picture" not in report_page.html_report(without)


def test_a_threshold_out_of_reach_is_null(parts):
    verdict = replace(parts.evidence.verdict, threshold=float("inf"))
    never = report.Findings(parts.picture, replace(parts.evidence, verdict=verdict), when=WHEN)
    data = report.json_report(never)
    assert data["result"]["threshold"] is None
    json.dumps(data, allow_nan=False)
    assert "too few sources of calibration pictures" in words(report_page.html_report(never))


def test_the_page_says_what_a_reader_needs(parts, page):
    picture, evidence, reliability = parts.picture, parts.evidence, parts.reliability
    text = words(page)
    for needed in (
        picture.sha256,
        evidence.model.fingerprint,
        evidence.model.name,
        evidence.model.revision,
        wording.VERDICTS[evidence.verdict.outcome],
        wording.rarity(evidence),
        "24 November 2026, 10:30:00 UTC",
        "JPEG 50",
        "arXiv:2605.09296",
        reliability.patch_note,
        "untrusted signer",
        *report.METHOD,
        *report.LIMITATIONS,
    ):
        assert needed in text, needed
    assert len(report.METHOD) == 5
    assert all(element.attrib.get("alt") for element in elements(page) if element.tag == "img")


def test_the_order_is_verdict_map_what_may_be_written_origin_and_the_rest(parts, page):
    text = words(page)
    order = [
        report.json_report(parts)["result"]["explanation"],
        "Where the evidence lies",
        "You may write",
        wording.quote(parts.evidence)[:60],
        "What the file says of itself",
        parts.picture.sha256,
        "What is unlike the rest of the picture",
        wording.LOCATOR_UNIT,
        "Does it hold?",
        "Model and settings",
    ]
    places = [text.index(each) for each in order]
    assert places == sorted(places)
    dull = replace(parts.evidence, verdict=replace(parts.evidence.verdict, reason="It has 7 colours only."))
    assert "can't judge" in words(report_page.html_report(replace(parts, evidence=dull)))


def test_each_copy_has_its_likelihood_ratio(parts, page):
    weighed = [replace(v, ratio=None if v.error else 12.5) for v in parts.variants]
    told = words(report_page.html_report(replace(parts, variants=weighed)))
    assert "Likelihood ratio Decision" in told.replace("Likelihood ratioDecision", "Likelihood ratio Decision")
    assert told.count("12.5") == 2 and "Likelihood ratio" not in words(page)


def test_what_was_not_run_is_said(bare):
    text = words(bare)
    assert report.NOT_RUN in text and "can't be trusted was not looked at" in text
    assert "own information was not read" in text


def test_crops_are_the_pixels_of_the_picture(parts, page):
    picture, evidence = parts.picture, parts.evidence
    first = maps.top_patches(evidence, 1)[0]
    source = next(e.attrib["src"] for e in elements(page) if e.attrib.get("alt", "").startswith("Magnified patch 1 "))
    crop = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    x, y, w, h = (first[side] for side in "xywh")
    assert np.array_equal(crop, picture.pixels[y : y + h, x : x + w])


def test_no_hatched_patch_is_shown_as_one_with_the_most_evidence(parts):
    n = parts.evidence.n_patches
    for left in (2, 0):
        evidence = replace(parts.evidence, reasons=("",) * left + ("flat",) * (n - left))
        found = replace(parts, evidence=evidence)
        assert len(report.json_report(found)["top_patches"]) == left
        page = report_page.html_report(found)
        assert page.count('alt="Magnified patch ') == left and ("None is shown: all of its patches" in page) == (
            not left
        )


def test_two_pictures_are_compared_on_one_scale(detector, parts):
    evidence = parts.evidence
    other = detector.detect(scene(8))
    both = report.compare(evidence, other)
    assert both["score_difference"] == evidence.verdict.score - other.verdict.score and not both["same_file"]
    assert both["first"] == evidence.to_dict() and both["second"] == other.to_dict()
    assert report.compare(evidence, evidence)["sentence"] == "Both are the same file."
    stranger = replace(other, model=replace(other.model, fingerprint="0" * 64))
    with pytest.raises(ValueError, match=r"different models"):
        report.compare(evidence, stranger)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("generated", 0.01), ("no_evidence", 0.5), "The first shows traces of generation, the second shows no"),
        (("inconclusive", 0.2), ("inconclusive", 0.1), "Both show weak traces. The score of the second is the rarer"),
        (("no_evidence", 0.5), ("no_evidence", 0.5), "Both show no traces. Their scores are equally"),
    ],
)
def test_the_comparison_in_words(parts, first, second, expected):
    evidence = parts.evidence
    made = [
        replace(
            evidence,
            picture=replace(evidence.picture, sha256=name),
            verdict=replace(evidence.verdict, decision=decision, p_value=p),
        )
        for name, (decision, p) in (("a", first), ("b", second))
    ]
    assert report.compare(*made)["sentence"].startswith(expected)


def test_it_opens_offline_without_a_request_and_prints(chromium, page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    context = chromium.new_context(offline=True, viewport={"width": 390, "height": 844})
    tab = context.new_page()
    requests, messages = [], []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("dialog", lambda dialog: messages.append(dialog.message))
    tab.goto(path.as_uri())
    tab.wait_for_load_state("networkidle")
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    assert not messages, "no script ran and the policy stopped nothing"
    assert tab.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert not tab.evaluate("document.documentElement.scrollWidth > window.innerWidth"), "fits a phone"
    assert tab.pdf().startswith(b"%PDF-")
    context.close()
