"""A real browser on the real program: what a file declares stands first on the page, in report, table, CSV and JSON.

Needs `apt-get install chromium`, and invisible-watermark for the marked picture.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from bad_files import scene
from PIL import Image
from playwright.sync_api import expect
from recorded import LABEL, NODES, jpeg, png, whole
from signed import lasting, signed
from test_marks import marked
from test_one_in_browser import upload
from test_tabs_in_browser import begin, column, download, names

from benchmarks import served
from mdmf_core.images.origin.marks import MARKS

GENERATED = "The file declares: made by generative AI"
SIGNER = "Example <b>Pictures</b> (Example <b>Pictures</b> unit)"
WORDS = {
    "signed.png": f"{GENERATED}; signed by {SIGNER}, and the picture is unchanged since; who signed is not",
    "comfy.png": f"{GENERATED}, in a record of ComfyUI in the field prompt; nothing of it is signed.",
    "label.jpg": f"{GENERATED}, in a record of AIGC label (China) in the field",
    "marked.png": "The pixels carry an invisible mark of Stable Diffusion XL: ",
    "plain.png": "The file says nothing of how the picture was made, as most files on the web.",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """One file of each kind, by its name."""
    folder = tmp_path_factory.mktemp("declared")
    certificates, key, _ = lasting(86_400)
    buffer = io.BytesIO()
    Image.fromarray(marked(np.asarray(scene(256, 272)), MARKS[2][1])).save(buffer, "PNG")
    label = LABEL.replace('"', "&quot;")
    contents = {
        "signed.png": signed(png(), "image/png", certificates, key, "trainedAlgorithmicMedia"),
        "comfy.png": png(prompt=NODES),
        "label.jpg": jpeg(xmp=whole(f'TC260:AIGC="{label}"')),
        "marked.png": buffer.getvalue(),
        "plain.png": png(),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in contents}


@pytest.fixture(scope="module")
def page(chromium, address):
    """A page that all tests go on with."""
    opened = served.open_page(chromium, address)
    yield opened
    opened.context.close()


def test_it_stands_above_the_verdict(page, files):
    for name, path in files.items():
        upload(page, path)
        expect(page.locator("#verdict .origin")).to_contain_text(WORDS[name])
        first, verdict = (page.locator(f"#verdict {part}").inner_text() for part in (".origin", "h2"))
        text = page.locator("#verdict").inner_text()
        assert first.startswith(WORDS[name]) and text.index(first) < text.index(verdict)
        assert page.locator("#verdict .origin strong").count() == (name != "plain.png")


def test_the_report_says_it_in_the_verdict(page, files, tmp_path):
    upload(page, files["marked.png"])
    expect(page.locator("#verdict .origin")).to_contain_text(WORDS["marked.png"])
    first = page.locator("#verdict .origin").inner_text()
    served.make_report(page)
    text = download(page, "#report-html", tmp_path)
    verdict, where = text.index('class="verdict'), text.index("Where the evidence lies")
    assert verdict < text.index(first.split("'")[0]) < where
    figures = json.loads(download(page, "#report-json", tmp_path))
    assert f"{figures['origin']['sentence']} {figures['origin']['contradiction']}".strip() == first
    assert figures["provenance"]["marks"][0]["tool"] == "Stable Diffusion XL"


def test_a_batch_is_sorted_and_filtered_by_it(page, files, tmp_path):
    begin(page, list(files.values()))
    page.locator("#many-csv").wait_for()
    rows = list(csv.DictReader(download(page, "#many-csv", tmp_path).splitlines()))
    data = json.loads(download(page, "#many-json", tmp_path))["rows"]
    for row, figures in zip(rows, data, strict=True):
        assert row["origin"].startswith(WORDS[row["name"]])
        assert row["origin"] == f"{figures['origin']['sentence']} {figures['origin']['contradiction']}".strip()
        assert row["origin_generated"] == figures["origin"]["generated"]
    page.locator("#many-table").get_by_label("Order").select_option("Declared origin")
    declared = column(page, 5)
    assert declared == sorted(declared) and declared[-1] == "nothing declared" and len(declared) == len(files)
    page.locator("#many-table").get_by_label("Words").fill("made by generative AI, signed")
    assert names(page) == ["signed.png"]
    page.locator("#many-table").get_by_label("Words").fill("")
    page.locator("#many-table [name=group]").select_option("generated")
    assert sorted(names(page)) == sorted(row["name"] for row in data if row["origin_generated"] == "yes")


def test_two_files_are_compared_by_it(page, files):
    served.open_tab(page, "Two pictures")
    for side, name in (("first", "signed.png"), ("second", "plain.png")):
        page.locator(f"#compare-{side} input[type=file]").set_input_files(files[name])
        page.locator(f"#compare-{side}-map img").wait_for()
        assert page.locator(f"#compare-{side}-card .origin").inner_text().startswith(WORDS[name])
    expect(page.locator("#compare-together")).to_contain_text("The files differ")
    told = page.locator("#compare-together").inner_text()
    assert "The files differ in what they declare of their origin: the first “made by generative AI” (signed by" in told
    assert "the second nothing." in told
