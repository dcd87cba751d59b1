"""The one line on a file's origin: what leads, where the score disagrees, and that every answer begins with it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from markupsafe import escape
from recorded import A1111, png
from typed import run

from benchmarks.quality import origin as origin_benchmark
from mdmf_app import api
from mdmf_app.tabs.one import handlers
from mdmf_core.images import archive
from mdmf_core.images.origin import contradiction, in_short, origin_of, read_provenance, summary, together
from mdmf_core.images.origin.first import (
    CLEAN,
    CLEAN_BUT_MARKED,
    CLEAN_IN_PART,
    CLEAN_UNPROVEN,
    NOTHING,
    UNUSUAL,
    UNUSUAL_OTHERWISE,
)
from mdmf_core.images.origin.said import C2PA, Claim, Mark, Provenance
from mdmf_core.images.reader import read
from mdmf_core.run import batch, listing
from mdmf_core.show import report
from mdmf_core.show.page import html_report

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def provenance(**fields) -> Provenance:
    usual = {"camera": {}, "software": None, "generator": (), "digital_source_type": None}
    return Provenance(**{**usual, "digital_source_code": None, "c2pa": None, "notes": (), **fields})


def signed_as(state: str, declares: str | None = "trainedAlgorithmicMedia", **more) -> C2PA:
    return C2PA("Maker", state, "x", declares=declares, **{"unchanged": True, "claims_ai": True, **more})


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (provenance(), ("unknown", False, None, False, NOTHING)),
        (provenance(c2pa=signed_as("valid")), ("yes", True, True, True, "the signer is trusted.")),
        (provenance(c2pa=signed_as("expired")), ("yes", True, True, False, "certificate has expired.")),
        (provenance(c2pa=signed_as("untrusted_signer")), ("yes", True, True, False, "not confirmed.")),
        (provenance(c2pa=signed_as("altered", unchanged=False)), ("yes", True, False, False, "altered afterwards")),
        (provenance(c2pa=signed_as("malformed", unchanged=None)), ("yes", False, None, False, "proves nothing.")),
        (
            provenance(c2pa=signed_as("valid", "digitalCapture", claims_ai=False)),
            ("no", True, True, True, "digital camera"),
        ),
        (provenance(c2pa=signed_as("valid", None, claims_ai=False)), ("unknown", True, True, True, "without a word")),
        (provenance(c2pa=signed_as("valid", None)), ("yes", True, True, True, "with parts made by generative AI")),
        (
            provenance(
                c2pa=signed_as("valid", "digitalCapture", claims_ai=False),
                generator=(Claim("ComfyUI", "prompt", "{}"),),
            ),
            ("yes", False, None, False, "a record of ComfyUI in the field prompt"),
        ),
        (provenance(c2pa=signed_as("valid", "digitalCapture")), ("yes", True, True, True, "with parts made by gen")),
        (provenance(marks=(Mark("SDXL", 48, 48, 1e-14),)), ("yes", False, None, False, "48 of 48 bits agree")),
        (
            provenance(camera={"Make": "N", "Model": "Z"}),
            ("unknown", False, None, False, "The file names the device N Z, in EXIF"),
        ),
        (provenance(software="GIMP"), ("unknown", False, None, False, "a program, GIMP")),
    ],
)
def test_the_first_line(found, wanted):
    origin = summary(found)
    assert (origin.generated, origin.signed, origin.unchanged, origin.trusted) == wanted[:4]
    assert wanted[4] in origin.sentence and origin.sentence.endswith(".")
    assert origin.to_dict()["sentence"] == origin.sentence


@pytest.mark.parametrize(
    ("camera", "wanted"),
    [
        ({"Make": "Canon", "Model": "Canon EOS 7D"}, "the device Canon EOS 7D"),
        ({"Make": "NIKON CORPORATION", "Model": "Nikon D90"}, "the device Nikon D90"),
        ({"Make": "samsung", "Model": "SM-G991B"}, "the device samsung SM-G991B"),
        ({"Make": " ", "Model": "X"}, "the device X"),
        ({"Make": "Apple"}, "the device Apple"),
        ({"Make": "NORITSU KOKI", "Model": "QSS-32_33"}, "the device NORITSU KOKI QSS-32_33"),
        ({"Make": "FUJIFILM", "Model": "SP-3000"}, "the device FUJIFILM SP-3000"),
        ({"Make": "EPSON", "Model": "Perfection V600"}, "the device EPSON Perfection V600"),
    ],
)
def test_a_maker_that_its_model_names_is_said_once(camera, wanted):
    origin = summary(provenance(camera=camera))
    assert origin.declared.endswith(wanted)
    assert "taken" not in origin.sentence and "camera" not in origin.sentence, "a scanner writes the same fields"


def test_a_date_alone_says_nothing_of_how_the_picture_was_made():
    assert summary(provenance(camera={"DateTime": "2004:07:01 12:00:00"})).sentence == NOTHING
    assert "how the picture was made" in NOTHING and "origin" not in NOTHING


def test_a_contradiction_is_one_sentence_and_only_there_where_there_is_one():
    made, shot = summary(provenance(c2pa=signed_as("expired"))), signed_as("valid", "digitalCapture", claims_ai=False)
    assert contradiction(made, "no_evidence") == CLEAN and contradiction(made, "generated") == ""
    assert contradiction(summary(provenance(c2pa=shot)), "generated") == UNUSUAL
    drawn = summary(provenance(c2pa=replace(shot, declares="digitalArt")))
    assert contradiction(drawn, "generated") == UNUSUAL_OTHERWISE and "camera" not in UNUSUAL_OTHERWISE
    assert (
        contradiction(summary(provenance()), "generated") == contradiction(summary(provenance()), "no_evidence") == ""
    )


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"generator": (Claim("ComfyUI", "prompt", "{}"),)}, CLEAN),
        ({"c2pa": signed_as("valid")}, CLEAN),
        ({"c2pa": signed_as("valid", "compositeWithTrainedAlgorithmicMedia")}, CLEAN_IN_PART),
        ({"c2pa": signed_as("valid", None)}, CLEAN_IN_PART),
        ({"digital_source_code": "compositeSynthetic"}, CLEAN_IN_PART),
        ({"c2pa": signed_as("altered", unchanged=False)}, CLEAN_UNPROVEN),
        ({"c2pa": signed_as("untrusted_signer", unchanged=None)}, CLEAN_UNPROVEN),
        ({"c2pa": signed_as("malformed", unchanged=None)}, CLEAN_UNPROVEN),
        ({"marks": (Mark("Stable Diffusion XL", 48, 48, 1e-14),)}, CLEAN_BUT_MARKED),
    ],
)
def test_a_contradiction_says_who_says_so_and_advises_trust_only_where_the_statement_is_of_these_pixels(found, wanted):
    said = contradiction(summary(provenance(**found)), "no_evidence")
    assert said == wanted and said.startswith("A mark in the pixels" if "marks" in found else "The file says")
    assert ("trust" in said) == (wanted is not CLEAN_UNPROVEN)


def test_two_files_are_compared_in_one_sentence():
    nothing, by_hand = summary(provenance()), summary(provenance(generator=(Claim("ComfyUI", "prompt", "{}"),)))
    signed, altered = (
        summary(provenance(c2pa=signed_as(state, unchanged=state == "valid"))) for state in ("valid", "altered")
    )
    assert together(nothing, nothing) == "Neither file declares its origin."
    assert together(signed, replace(signed)) == "Both files declare the same of their origin."
    said = together(by_hand, nothing)
    assert said.endswith(": the first “made by generative AI” (not signed), the second nothing.")
    said = together(signed, altered)
    assert "(signed by Maker, unchanged since, trusted), the second" in said
    assert said.endswith("(signed by Maker, altered since, not confirmed).")
    shot = summary(provenance(c2pa=signed_as("expired", None, unchanged=None, claims_ai=False)))
    assert "the first no source (signed by Maker, perhaps altered since, not confirmed)" in together(shot, nothing)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (provenance(), "nothing declared"),
        (provenance(c2pa=signed_as("valid")), "generated: made by generative AI, signed"),
        (provenance(c2pa=signed_as("valid", None, claims_ai=False)), "signed, no source declared"),
        (provenance(software="GIMP"), "declared: written by a program, GIMP"),
    ],
)
def test_it_is_a_few_words_in_a_table(found, words):
    assert in_short(summary(found)) == words


def test_origin_of_paths_bytes_and_pictures(tmp_path):
    data = png(parameters=A1111)
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert origin_of(path) == origin_of(str(path)) == origin_of(data) == origin_of(read(data))
    assert origin_of(data).generated == "yes" and origin_of(png()).sentence == NOTHING
    assert read_provenance(path, read(path)).generator[0].tool == "A1111"


# Where it is shown


@pytest.fixture
def generated(tmp_path):
    path = tmp_path / "made by <i>.png"
    path.write_bytes(png(parameters=A1111))
    return path


SAYS = (
    "The file declares: made by generative AI, in a record of A1111 in the field parameters; nothing of it is signed."
)


def test_the_command_line_says_it_in_text_and_json(detector, checkpoint, generated, capsys):
    assert run("detect", generated, "--model", checkpoint) == 0
    assert f"; origin: {SAYS}" in capsys.readouterr().out
    assert run("detect", generated, "--model", checkpoint, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["origin"]["sentence"] == SAYS and said["origin"]["generated"] == "yes"
    assert said["origin"]["contradiction"] == contradiction(origin_of(generated), said["outcome"])


def test_a_batch_has_it_in_rows_and_in_two_columns(detector, generated, tmp_path):
    (tmp_path / "plain.png").write_bytes(png())
    rows = list(batch.run(detector, archive.gather([generated, tmp_path / "plain.png"], tmp_path / "x"), 0.05))
    assert [row.to_dict()["origin"]["generated"] for row in rows] == ["yes", "unknown"]
    table = list(csv.DictReader(io.StringIO(batch.to_csv(rows))))
    assert [row["origin_generated"] for row in table] == ["yes", "unknown"]
    said = f"{SAYS} {contradiction(rows[0].origin, rows[0].outcome)}".strip()
    assert [row["origin"] for row in table] == [said, NOTHING]
    assert [listing.line(row)["origin"] for row in batch.adjust(rows)] == [
        "generated: made by generative AI",
        "nothing declared",
    ]
    assert " 1 file declares generative AI." in batch.summary(rows, 0.05)
    assert " 2 files declare generative AI." in batch.summary([rows[0], *rows], 0.05)
    assert "declare" not in batch.summary(rows[1:], 0.05)
    assert json.loads(batch.to_json(rows, {}))["rows"][0]["origin"]["sentence"] == SAYS


def test_the_page_and_the_endpoints_begin_with_it_and_the_report_has_it_in_its_verdict(context, detector, generated):
    result, shown, *_ = handlers.analyse_now(context, str(generated), 0.05, None, None)
    against = contradiction(result.origin, result.whole.evidence.verdict.outcome)
    first = f"{SAYS} {against}".strip()
    assert shown.index(escape(first)) < shown.index("<h2>") and f"<strong>{escape(first)}</strong>" in shown
    origin = origin_of(generated)
    assert api.in_words(result.whole.evidence, origin).splitlines()[0] == first
    assert api.contract(result.whole.evidence, origin)["origin"]["sentence"] == SAYS
    found = read_provenance(generated, result.picture)
    told = report.Findings(result.picture, result.whole.evidence, provenance=found, when=NOW)
    assert report.json_report(told)["origin"]["sentence"] == SAYS
    page = html_report(told)
    assert page.index('class="verdict') < page.index(escape(first)) < page.index("Where the evidence lies")
    assert page.index("Where the evidence lies") < page.index("SHA-256") < page.rindex(escape(first))


def test_the_score_does_not_change(detector, generated):
    pixels = read(generated).pixels
    assert detector.detect(generated).verdict.score == detector.detect(pixels).verdict.score


def test_of_a_folder_of_files_every_statement_is_found_and_none_is_invented(tmp_path, capsys):
    from origin_files import write_origin_files

    assert write_origin_files(tmp_path / "files") >= 150
    rows = origin_benchmark.main([str(tmp_path / "files"), "--out", str(tmp_path / "rows.json")])
    assert rows["generated"]["found"] == rows["generated"]["files"] and "missed" not in rows["generated"]
    assert rows["real"]["rightly not claimed"] == rows["real"]["files"] and "wrongly claimed" not in rows["real"]
    assert json.loads((tmp_path / "rows.json").read_text()) == rows and "| generated |" in capsys.readouterr().out
