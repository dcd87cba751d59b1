"""Names, metadata, archives, models and their cards that try to be more than text: in the page, report, CSV, terminal.

In a real browser (`apt-get install chromium`) every hostile text would, as HTML, make an element with the attribute
`data-evil` and set `window.hit`; none may.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from recorded import A1111, packet, scene
from signed import signed
from tiny import make_checkpoint
from typed import run

import app
from benchmarks import served as serving
from mdmf_app import style
from mdmf_app.tabs.model import bar, check_revision, failed, safe_markdown
from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError
from mdmf_core.images.reader import read
from mdmf_core.method import reference
from mdmf_core.run.batch import Row, to_csv
from mdmf_core.show import html
from mdmf_core.show.page import html_report
from mdmf_core.show.report import Findings
from mdmf_core.texts import cell, printable
from mdmf_core.training import tables

TAG = "<img src=x data-evil onerror=window.hit=1>"
UNSEEN = "\x1b[31m\x07\u202e\u2066\u200b\ufeff"
MARKUP = f"\"'>{TAG}<script data-evil>window.hit=1</script>{{{{value}}}}${{window.hit=1}}{UNSEEN}"
CARD = f"""---
license: {MARKUP}
---
# {MARKUP}
{TAG} <script data-evil>window.hit=1</script> [a](javascript:window.hit=1) ![b](http://elsewhere.test/c.png)
<a href="http://elsewhere.test" data-evil>d</a> {UNSEEN}
"""
LONG = "w" * 1500
PLOT = {"chart": html.Inline("data:,", 1, 1)}
PAST = ("source", "name", "current", "words", "decision", "icon")
PIECES = [
    style.notice,
    style.error_card,
    lambda text: style.paragraph(text, text, text),
    lambda text: style.progress(text, text, text),
    lambda text: style.render("model.html", name=text, device=text, rows=[(text, text)], figures=[(text, text, text)]),
    lambda text: style.render("stability.html", **PLOT, sentence=text, told=text, headers=[text], rows=[[text]]),
    lambda text: style.render("status.html", summary=text, cancelled=text),
    lambda text: style.render("held.html", of=text, short=text, sentence=text),
    lambda text: style.render("past.html", entries=[dict.fromkeys(PAST, text)]),
    lambda text: style.render("null.html", **PLOT, told=text, sentences=[text]),
    bar,
    failed,
]


def png() -> bytes:
    """A picture whose EXIF, text chunks and XMP are hostile."""
    exif, chunks, file = Image.Exif(), PngImagePlugin.PngInfo(), io.BytesIO()
    exif[0x010F], exif[0x0110] = MARKUP, MARKUP + LONG
    fields = f'x:DigitalSourceType="{TAG}" photoshop:Credit="Midjourney {MARKUP.replace(chr(34), "")}">'
    texts = {"parameters": MARKUP + A1111 + LONG, "Software": MARKUP, "XML:com.adobe.xmp": packet(fields)}
    for name, text in texts.items():
        chunks.add_itxt(name, text)
    scene().save(file, "PNG", pnginfo=chunks, exif=exif)
    return file.getvalue()


@pytest.fixture(scope="module")
def picture(signer, tmp_path_factory) -> Path:
    """That picture, signed by a program with a hostile name, under a hostile name."""
    path = tmp_path_factory.mktemp("hostile") / f"={TAG}{{{{value}}}}\u202e\x1b[31m{'w' * 150}.png"
    path.write_bytes(signed(png(), "image/png", *signer[:2], TAG, agent=MARKUP))
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The page with a model whose name, facts and card are hostile."""
    folder = make_checkpoint(tmp_path_factory.mktemp("model") / f"{TAG}{UNSEEN}")
    (folder / "README.md").write_text(CARD, "utf-8")
    model = Detector.from_pretrained(folder)
    facts = {"real": {MARKUP: 3}, "calibration": MARKUP, MARKUP: [1, MARKUP + LONG]}
    reference.save(replace(model.reference, facts=facts), folder / "reference.safetensors")
    demo = app.build(Detector.from_pretrained(folder), MARKUP)
    yield app.launch(demo, server_port=serving.free_port(), prevent_thread_lock=True, quiet=True)[1]
    demo.close()


@pytest.fixture
def page(chromium, served):
    """The page on a phone; afterwards nothing hostile may have run, become an element or been asked for."""
    opened = serving.open_page(chromium, served, 390, 844)
    wrong = watched(opened, served)
    yield opened
    assert harmless(opened) and not wrong
    opened.context.close()


def watched(page, address: str) -> list[str]:
    """Where dialogs, errors and requests to elsewhere will be noted."""
    wrong: list[str] = []
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    inside = (address, "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(inside) else wrong.append(request.url))
    return wrong


def harmless(page) -> bool:
    return page.evaluate("window.hit === undefined && !document.querySelector('[data-evil]')")


def told(page, selector: str) -> str:
    """The text there, after a look that all of it fits the screen and can be read."""
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    text = page.locator(selector).inner_text()
    assert not set(text) & set(UNSEEN.replace("[31m", ""))
    return text


def download(page, button: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.locator(button).click()
    waiting.value.save_as(folder / waiting.value.suggested_filename)
    return folder / waiting.value.suggested_filename


def test_the_watch_can_fail(chromium):
    page = chromium.new_context().new_page()
    wrong = watched(page, "about:blank")
    page.set_content(f"{MARKUP}<img src=http://127.0.0.1:9/x>")
    page.wait_for_function("window.hit === 1")
    assert not harmless(page) and "http://127.0.0.1:9/x" in wrong
    page.context.close()


def test_one_picture_and_its_report(page, picture, chromium, tmp_path):
    assert TAG in told(page, "body"), "the warning and the footer show it as text"
    page.locator("#picture input[type=file]").set_input_files(picture)
    page.locator("#legend .bar").wait_for()
    assert "wwwww" in told(page, "#verdict")
    serving.open_tab(page, "Origin")
    origin = told(page, "#origin")
    assert origin.count(TAG) >= 6 and "window.hit=1</script>{{value}}${window.hit=1}" in origin
    serving.make_report(page)
    html, figures = download(page, "#report-html", tmp_path), download(page, "#report-json", tmp_path)
    assert TAG in json.dumps(json.loads(figures.read_text("utf-8")))
    reader = chromium.new_context(viewport={"width": 390, "height": 844}).new_page()
    wrong = watched(reader, html.as_uri())
    reader.goto(html.as_uri())
    assert told(reader, "body").count(TAG) >= 10
    assert harmless(reader) and not wrong
    reader.context.close()


def test_the_policy_of_the_report_holds_where_escaping_would_not(chromium, detector, tmp_path):
    picture = read(png())
    injected = f"{TAG}<script>window.hit=1</script><style>main{{display:none}}</style><base href=http://127.0.0.1:9/>"
    path = tmp_path / "report.html"
    written = html_report(Findings(picture, detector.detect(picture)))
    path.write_text(written.replace("<main>", f"{injected}<main>"), "utf-8")
    page = chromium.new_context().new_page()
    wrong, stopped = watched(page, path.as_uri()), []
    page.on("requestfailed", lambda request: stopped.append(request.url) if request.failure == "csp" else None)
    page.goto(path.as_uri())
    assert page.locator("[data-evil]").count() == 1 and page.evaluate("window.hit") is None and wrong == stopped
    assert page.evaluate("document.baseURI") == path.as_uri() and page.locator("main").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.verdict')).borderLeftWidth") == "10px"
    page.context.close()


def test_names_in_an_archive(page, tmp_path):
    names = [f"{TAG}.png", f"=1+1;{MARKUP}.png", f"\uff1d1{UNSEEN}/\t@x.png", f"-1{'w' * 400}.png"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, png())
        archive.writestr(f"+{TAG}.jpg", b"no picture")
    serving.open_tab(page, "Many pictures")
    page.locator("#many-files input[type=file]").set_input_files(tmp_path / "a.zip")
    page.locator("#many-files .file-preview").wait_for()
    page.locator("#many-begin").click()
    page.locator("#many-csv").wait_for()
    page.locator("#many-table img").nth(3).wait_for()
    assert told(page, "#many-table").count(TAG) >= 2
    text = download(page, "#many-csv", tmp_path).read_text("utf-8")
    assert len(list(csv.reader(io.StringIO(text)))) == 6 and "\x1b" not in text and "\u202e" not in text
    assert len(json.loads(download(page, "#many-json", tmp_path).read_text("utf-8"))["rows"]) == 5


def test_a_model_s_name_card_and_what_is_typed(page):
    serving.open_tab(page, "Model")
    for summary in page.locator("#model-about summary").all():
        summary.click()
    assert told(page, "#model-about").count(TAG) >= 3
    card = told(page, "#model-card")
    assert card.count(TAG) >= 2 and "[picture: b]" in card and "javascript:" in card
    assert page.locator("#model-card a").count() == 0
    for wanted, revision in ((f"{MARKUP}/x", ""), ("owner/name", MARKUP)):
        page.locator("#model-wanted").locator("input, textarea").fill(wanted)
        page.locator("#model-revision").locator("input, textarea").fill(revision)
        page.evaluate("document.querySelector('#model-status .card').dataset.old = '1'")
        page.locator("#model-load").click()
        page.locator("#model-status [role=alert]:not([data-old])").wait_for()
        said = told(page, "#model-status")
        assert "There can't be a revision of this name" in said if revision else TAG in said


# Without a browser


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "\x01 =1", "\u200b=1", "\u202e=1"]
    + ["\uff1d1", "\uff0b1", "\uff0d1", "\uff201", "\ufe661", "\ufe621", "\ufe631", "\ufe6b1", "\u3000\uff1d1"],
)
def test_a_cell_is_no_formula(text):
    assert cell(text) == f"'{text}"


def test_a_cell_keeps_what_is_none():
    for value in ("a=1", "photo-1.jpg; b", "", "'=1", -0.5, None):
        assert cell(value) == value


@pytest.mark.parametrize("name", ["a;=1+1", 'a";=1+1;"', 'a;"=1+1"', '";"=1', 'a";;\u200b=1'])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_spreadsheet_finds_no_formula_whatever_it_splits_at(name, delimiter):
    line = to_csv([Row(name, error=name)]).splitlines()[1]
    assert not any(part.lstrip('"\u200b').startswith("=") for part in next(csv.reader([line], delimiter=delimiter)))


def test_the_tables_of_evaluate_hold_no_formula(tmp_path):
    tables.write_csv(tmp_path / "scores.csv", [{"source": "=1+1", "score": -0.5}])
    assert (tmp_path / "scores.csv").read_text("utf-8").split() == ["source,score", "'=1+1,-0.5"]


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: str(PIECES.index(piece)))
def test_every_piece_of_the_page_escapes(piece):
    shown = piece(MARKUP)
    assert "<img src=x" not in shown and "&lt;img src=x" in shown and not set(shown) & set("\x1b\u202e\u200b")


def test_the_terminal_is_not_commanded(checkpoint, tmp_path, capsys):
    scene().save(good := tmp_path / "good\x1b[2J\u202e.png")
    bad = tmp_path / "bad\x1b]0;title\x07\udcff.png"  # the last is a byte that is no UTF-8
    bad.write_bytes(b"no picture")
    assert run("detect", good, bad, tmp_path / "none\x1b[1m", "--model", checkpoint) == 1
    assert run("detect", tmp_path, "--model", f"{tmp_path}/\x1b[1m") == 1
    said = capsys.readouterr()
    assert "good\ufffd[2J\ufffd.png: " in said.out and "bad\ufffd]0;title\ufffd\ufffd.png: " in said.out
    assert printable(said.out + said.err) == said.out + said.err and "There is no folder" in said.err


@pytest.mark.parametrize("revision", ["../../x", "a b", "-x", "/x", "a\x00", "a\u202e", "a:b", "x" * 201, TAG])
def test_no_revision_but_a_plain_one(revision):
    with pytest.raises(CheckpointError, match="There can't be a revision"):
        check_revision(revision)
    assert check_revision(" refs/pr/1 ") == "refs/pr/1" and check_revision(" ") is None


@pytest.mark.parametrize("content", ["[1]", "{", '{"facts": 3}', '{"pictures": {"real": 3}}', "[" * 10**5])
def test_a_reference_that_talks_nonsense_is_one_sentence(content, checkpoint, tmp_path):
    from safetensors.torch import load_file, save_file

    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "reference.safetensors"
    save_file(load_file(path), path, metadata={"content": content})
    with pytest.raises(CheckpointError, match=r"^reference.safetensors can't be used: what it says about itself"):
        Detector.from_pretrained(tmp_path)


@pytest.mark.parametrize("scheme", ["javascript", "JaVaScRiPt", "data", "vbscript", "file", "\x01javascript"])
def test_a_card_links_nowhere_harmful(scheme):
    assert "href" not in safe_markdown(f"[a]({scheme}:x) <{scheme}:x>")
