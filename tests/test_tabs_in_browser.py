"""A real browser on the real program with the bundled detector: batch, cancel, downloads, two pictures, model, report.

Needs `apt-get install chromium`; without it these tests fail and say so. Accessibility is checked with axe-core, which
the package axe-playwright-python carries.
"""

from __future__ import annotations

import csv
import json
import shutil
import zipfile

import pytest
from accessible import violations
from playwright.sync_api import expect

from benchmarks import served
from mdmf_core.show.report import compare
from mdmf_core.show.words import VERDICTS

EXAMPLES = served.ROOT / "examples"
PARTS = {"Two pictures": "#compare-files", "Model": "#model-wanted"}
PICTURES = ("china.png", "flower.png", "rocket.png", "coffee.png", "cat_resynthesised.jpg")
LETTER = "This is a letter and not a picture.\n" * 20


@pytest.fixture(scope="module")
def twelve(parts, tmp_path_factory) -> list:
    """Ten pictures, a letter and an empty file."""
    folder = tmp_path_factory.mktemp("twelve")
    paths = []
    for number in range(10):
        name = PICTURES[number % len(PICTURES)]
        source = (parts if (parts / name).exists() else EXAMPLES) / name
        paths.append(folder / f"{number:02d}_{source.name}")
        shutil.copy(source, paths[-1])
    for name, text in (("letter.jpg", LETTER), ("empty.png", "")):
        paths.append(folder / name)
        paths[-1].write_text(text)
    return paths


@pytest.fixture(scope="module")
def watched(chromium, address):
    """A page, and what it must not have: errors, and requests to elsewhere."""
    opened, wrong = served.open_page(chromium, address), []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda request: wrong.append(request.url) if _leaves(request.url, address) else None)
    yield opened, wrong
    opened.context.close()


@pytest.fixture
def page(watched, address):
    """The page as it is when somebody comes, which no error and no request to elsewhere may leave."""
    opened, wrong = watched
    served.come(opened, address)
    yield opened
    assert not wrong


def _leaves(url: str, address: str) -> bool:
    return not url.startswith((address, "data:", "blob:"))


def begin(page, files) -> None:
    served.open_tab(page, "Many pictures")
    page.locator("#many-files input[type=file]").set_input_files(files)
    page.locator("#many-files .file-preview").wait_for()
    page.locator("#many-begin").click()


def download(page, button: str, folder) -> str:
    with page.expect_download() as waiting:
        page.locator(button).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path.read_text("utf-8")


def column(page, number: int) -> list[str]:
    """The cells of a column of the list, counted from 1, as shown from the top."""
    return page.locator(f"#many-table tbody tr:not([hidden]) > :nth-child({number})").all_inner_texts()


def names(page) -> list[str]:
    """The names in the list, as shown from the top."""
    return page.locator("#many-table tbody tr:not([hidden]) .name").all_inner_texts()


def test_twelve_files_of_which_two_are_bad(page, twelve, bundled, tmp_path):
    begin(page, twelve)
    page.locator("#many-status", has_text=" of 12 done, about ").locator("progress[value]").wait_for()
    page.locator("#many-csv").wait_for()
    status = page.locator("#many-status").inner_text()
    assert "of 10 pictures" in status and "2 files could not be analysed" in status
    expect(page.locator("#many-table img")).to_have_count(10)
    rows = list(csv.DictReader(download(page, "#many-csv", tmp_path).splitlines()))
    data = json.loads(download(page, "#many-json", tmp_path))
    assert [row["name"] for row in rows] == [row["name"] for row in data["rows"]] == [path.name for path in twelve]
    evidence = bundled.detect(twelve[3])
    score = pytest.approx(evidence.verdict.score, rel=1e-4, abs=1e-6)
    assert float(rows[3]["score"]) == data["rows"][3]["score"] == score
    assert data["rows"][3]["decision"] == evidence.verdict.decision and data["fingerprint"] == bundled.fingerprint
    assert all(row["q_value"] >= row["p_value"] for row in data["rows"][:10])
    assert "looks like text" in rows[10]["error"] and rows[11]["error"].endswith(".") and not rows[11]["score"]
    ratios = {row["name"]: row["likelihood_ratio"] or 0 for row in data["rows"]}
    shown = names(page)
    assert [ratios[name] for name in shown] == sorted(ratios.values(), reverse=True), "the strongest evidence first"
    assert set(shown[10:]) == {"letter.jpg", "empty.png"}, "bad files come last"
    assert all(text.startswith("✕ Not analysed. ") for text in column(page, 2)[10:])


def test_a_batch_is_cancelled_and_what_is_done_stays(page, twelve, tmp_path):
    archive = tmp_path / "many.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for number in range(300):  # more than any machine has done before the click
            packed.write(twelve[0], f"{number}.png")
    begin(page, archive)
    page.locator("#many-status progress[value]").wait_for()
    page.locator("#many-cancel").click()
    page.locator("#many-csv").wait_for()
    assert "Cancelled after" in page.locator("#many-status").inner_text()
    data = json.loads(download(page, "#many-json", tmp_path))
    assert 0 < len(data["rows"]) < 300
    expect(page.locator("#many-begin")).to_be_enabled()
    expect(page.locator("#many-cancel")).to_be_disabled()


def test_an_archive_then_sorted_filtered_and_opened(page, twelve, tmp_path):
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in (twelve[10], *twelve[:4]):
            packed.write(path, f"folder/{path.name}")
    begin(page, archive)
    page.locator("#many-csv").wait_for()
    assert "of 4 pictures" in page.locator("#many-status").inner_text()
    expected = [f"pictures.zip/folder/{path.name}" for path in (*twelve[:4], twelve[10])]
    strongest = names(page)
    assert sorted(strongest[:4]) == expected[:4] and strongest[4] == expected[4], "bad files come last"
    order = page.locator("#many-table").get_by_label("Order")
    order.select_option("As given")
    assert names(page) == [expected[4], *expected[:4]]
    order.select_option("Strongest evidence first")
    assert names(page) == strongest
    page.locator("#many-table [name=answer]").select_option("error")
    assert names(page) == [expected[4]] and "1 of 5 shown" in page.locator("#many-table").inner_text()
    page.locator("#many-table [name=answer]").select_option("")
    page.locator("#many-table").get_by_label("Words").fill("flower")
    assert names(page) == [expected[1]]
    button = page.get_by_role("button", name=expected[1])
    button.focus()
    page.keyboard.press("Enter")
    page.locator("#map img").wait_for()
    expect(page.locator("#verdict .line")).to_contain_text("01_flower.png")
    served.open_tab(page, "Many pictures")
    page.locator("#many-table tr:not([hidden]) td").first.click()
    page.get_by_role("tab", name="One picture", selected=True).wait_for()
    page.locator("#map img").wait_for()


def test_the_report_of_a_batch_opens_without_the_page_and_prints(page, chromium, twelve, tmp_path):
    begin(page, [twelve[0], twelve[10]])
    download(page, "#many-html", tmp_path)
    reader = chromium.new_context(viewport={"width": 390, "height": 844}, offline=True).new_page()
    asked = []
    reader.on("request", lambda request: asked.append(request.url) if request.url.startswith("http") else None)
    reader.goto((tmp_path / "mdmf-batch.html").as_uri())
    text = reader.locator("main").inner_text()
    assert "Evidence report: 2 files" in text and "00_china.png" in text and "looks like text" in text
    assert reader.locator("tbody img").count() == 1 and reader.locator("tbody tr").count() == 2
    assert reader.evaluate("document.querySelector('tbody img').naturalWidth") == 320
    assert not reader.evaluate("document.documentElement.scrollWidth > window.innerWidth") and not asked
    assert reader.pdf().startswith(b"%PDF")
    reader.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1024, "dark")])
def test_the_tabs_are_accessible_and_need_no_sideways_scrolling(chromium, address, twelve, axe, width, scheme):
    """At a large width, and when the window is as narrow as a phone."""
    page = served.open_page(chromium, address, width, 844, scheme)
    begin(page, [*twelve[:2], twelve[10]])
    page.locator("#many-csv").wait_for()
    expect(page.locator("#many-table img")).to_have_count(2)
    for name in ("Many pictures", "Two pictures", "Model"):
        served.open_tab(page, name)
        if name == "Two pictures":
            page.locator("#compare-first input[type=file]").set_input_files(twelve[0])
            page.locator("#compare-second input[type=file]").set_input_files(twelve[1])
            page.locator(".stage-of-two img").first.wait_for()
        for across in (390, width):
            page.set_viewport_size({"width": across, "height": 844})
            page.wait_for_function("document.documentElement.scrollWidth <= window.innerWidth")
            part = "html" if name == "Many pictures" else f"[role=tabpanel]:has({PARTS[name]})"
            assert violations(page, axe, part) == [], (name, across)
    page.context.close()


def test_two_pictures_side_by_side(page, bundled, parts):
    served.open_tab(page, "Two pictures")
    paths = [parts / "china.png", parts / "flower.png"]
    page.locator("#compare-first input[type=file]").set_input_files(paths[0])
    page.locator("#compare-first-map img").wait_for()
    page.locator("#compare-second input[type=file]").set_input_files(paths[1])
    page.locator("#compare-second-map img").wait_for()
    found = [bundled.detect(path) for path in paths]
    expect(page.locator("#compare-together")).to_contain_text(compare(*found)["sentence"])
    for name, evidence in zip(("first", "second"), found, strict=True):
        text = page.locator(f"#compare-{name}-card").inner_text()
        assert VERDICTS[evidence.verdict.outcome] in text and f"{evidence.verdict.p_value:.3g}" in text


def test_two_pictures_are_blended_and_their_difference_is_shown(page, parts):
    served.open_tab(page, "Two pictures")
    for place, name in (("first", "china.png"), ("second", "china_composite.png")):
        page.locator(f"#compare-{place} input[type=file]").set_input_files(parts / name)
        page.locator(f"#compare-{place}-map img").wait_for()
    stage = page.locator(".stage-of-two")
    expect(stage).to_contain_text("The second lies on the first pixel on pixel, corner on corner.")
    served.still(page, ".stage-of-two img.second")
    boxes = [stage.locator(f"img.{name}").bounding_box() for name in ("first", "second")]
    assert boxes[0] == boxes[1] and boxes[0]["width"] > 300
    opacity = "document.querySelector('.stage-of-two .{}').computedStyleMap().get('opacity').value"
    stage.get_by_label("Blend").focus()
    page.keyboard.press("Home")
    assert page.evaluate(opacity.format("second")) == 0
    page.keyboard.press("End")
    assert page.evaluate(opacity.format("second")) == 1 and page.evaluate(opacity.format("difference")) == 0
    stage.get_by_label("Difference").fill("10")
    assert page.evaluate(opacity.format("difference")) == 1
    expect(stage.locator("output")).to_have_text("10 times as bright")
    plain = stage.locator("img.first").get_attribute("src")
    stage.get_by_label("Maps").check()
    shown = stage.locator("img.first").get_attribute("src")
    assert shown != plain and shown == page.locator("#compare-first-map img").get_attribute("src")
    stage.get_by_label("Pictures", exact=True).check()
    assert stage.locator("img.first").get_attribute("src") == plain


def test_the_model_is_told_and_a_wrong_one_changes_nothing(page, bundled):
    served.open_tab(page, "Model")
    assert bundled.fingerprint in page.locator("#model-about").inner_text()
    page.locator("#model-wanted").locator("input, textarea").fill("/nowhere/at/all")
    page.locator("#model-load").click()
    page.locator("#model-status [role=alert]").wait_for()
    assert "The model in use stays." in page.locator("#model-status").inner_text()
    assert bundled.fingerprint in page.locator("#model-about").inner_text()


def test_name_device_and_figures_of_the_model_are_in_one_screen(page, bundled):
    before, about = page.viewport_size, page.locator("#model-about")
    served.open_tab(page, "Model")
    for width in (1440, 1024, 390):
        page.set_viewport_size({"width": width, "height": 900})
        text = about.inner_text()
        assert bundled.located.model in text and "CPU" in text and " sources" in text
        bottom = about.bounding_box()["y"] + about.bounding_box()["height"]
        assert bottom <= 900
        assert page.locator("#model-card table").count() and not page.locator("#model-card table:visible").count()
        heading = page.locator("#model-card details:has(table) summary").first
        heading.click()
        page.locator("#model-card table:visible").first.wait_for()
        heading.click()
        page.locator("#model-card table:visible").first.wait_for(state="detached")
    page.set_viewport_size(before)


def test_an_example_says_whether_it_was_answered_rightly_and_another_picture_does_not(page, parts):
    answers = {row["file"]: row for row in json.loads((EXAMPLES / "answers.json").read_text("utf-8"))["answers"]}
    for title, file in (("Dahlia", "flower.jpg"), ("Astronaut", "astronaut_composite.png")):
        served.click_example(page, title)
        expect(page.locator("#verdict .truth")).to_have_text(answers[file]["sentence"])
    page.locator("#picture input[type=file]").set_input_files(parts / "rocket.png")
    expect(page.locator("#verdict .line")).to_contain_text("rocket.png")
    expect(page.locator("#verdict .truth")).to_have_count(0)
