"""A real browser on the real program with the bundled detector: the one-picture tab as a reviewer uses it.

Needs `apt-get install chromium`; without it these tests fail and say so. Accessibility is checked with axe-core, which
the package axe-playwright-python carries.
"""

from __future__ import annotations

import json
from urllib.parse import urlparse

import pytest
from accessible import violations

from benchmarks import served
from mdmf_app import views
from mdmf_core.images.reader import read
from mdmf_core.show.maps import layer, top_patches
from mdmf_core.show.stability import CHANGES
from mdmf_core.show.words import VERDICTS

EXAMPLES = served.ROOT / "examples"
COMPOSITE = EXAMPLES / "astronaut_composite.png"


@pytest.fixture(scope="module")
def evidence(bundled):
    return bundled.detect(COMPOSITE)


@pytest.fixture(scope="module")
def page(chromium, address):
    """A desktop page with the composite analysed, which several tests go on with."""
    page = served.open_page(chromium, address)
    served.click_example(page, "Astronaut")
    page.locator("#legend .bar").wait_for()
    yield page
    page.context.close()


def upload(page, path) -> str:
    """Give the page a file; the card's text once the page has answered."""
    page.evaluate("document.querySelector('#verdict .card').dataset.old = '1'")
    page.locator("#picture input[type=file]").set_input_files(path)
    page.locator("#verdict .card:not([data-old], .busy)").wait_for()
    return page.locator("#verdict").inner_text()


def sideways(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > window.innerWidth")


def wait_for_patch(page, number: int) -> None:
    page.locator("#patch h3", has_text=f"Patch {number} (").wait_for()


def test_upload_gives_the_detectors_verdict_and_no_request_leaves(chromium, address, bundled, parts):
    page = chromium.new_context().new_page()
    page.set_default_timeout(served.SLOW)
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.locator("#verdict .waiting").wait_for()
    text = upload(page, parts / "china.png")
    page.locator("#map img").wait_for()
    page.wait_for_timeout(1500)
    evidence = bundled.detect(parts / "china.png")
    for told in (VERDICTS[evidence.verdict.outcome], f"{evidence.verdict.p_value:.3g}", "china.png"):
        assert told in text
    assert evidence.model.fingerprint[:16] in page.content()
    assert page.locator("#map img").get_attribute("alt")
    hosts = {urlparse(url).hostname for url in requests if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"} and not errors
    page.context.close()


def test_a_bad_file_a_pasted_picture_and_the_camera(chromium, address, parts, tmp_path):
    drawing = tmp_path / "drawing.png"
    drawing.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="500" height="500"/>')
    page = served.open_page(chromium, address)
    assert "SVG drawing" in upload(page, drawing)
    assert page.locator("#map img").count() == 0
    assert "No result" not in upload(page, parts / "rocket.png")
    page.evaluate(
        """async () => {
            const canvas = Object.assign(document.createElement("canvas"), {width: 300, height: 260});
            const picture = await new Promise((done) => canvas.toBlob(done, "image/png"));
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([picture], "pasted.png", {type: "image/png"}));
            document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
        }"""
    )
    page.locator("#verdict .line", has_text="pasted.png, 300 x 260 pixels").wait_for()
    page.get_by_text("Take a picture with the camera").click()
    page.get_by_text("Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('#camera video')?.videoWidth > 0")
    page.evaluate("document.querySelector('#verdict .card').dataset.old = '1'")
    page.get_by_label("capture photo").click()
    page.locator("#verdict .card:not([data-old], .busy) h2").wait_for()
    assert "No result" not in page.locator("#verdict").inner_text()
    page.context.close()


def test_an_example_says_what_it_is_and_the_slider_changes_the_rate(page):
    page.locator("#verdict summary").first.click()
    assert "invent the detail of the orange suit" in page.locator("#verdict").inner_text()
    page.locator("#mask img").wait_for()
    served.open_advanced(page)
    score = page.locator("#verdict dt:text-is('Score') + dd")
    before, headline = score.text_content(), page.locator("#verdict h2").inner_text()
    page.locator("#alpha input[type=range]").press("End")
    page.get_by_text("1 real picture in 5 would").wait_for(state="attached")
    assert score.text_content().split()[0] == before.split()[0], "the score does not depend on the rate"
    assert score.text_content() != before
    assert page.locator("#verdict h2").inner_text() == headline, "nor does the headline"
    page.locator("#alpha").get_by_label("reset", exact=False).click()
    page.get_by_text("about 1 real picture in 20 would").wait_for(state="attached")


def test_a_patch_is_chosen_by_click_row_and_number(page, evidence):
    served.open_tab(page, "Patch")
    view = views.judge(read(COMPOSITE), evidence)
    clicked = views.patch_at(view, (int(0.45 * evidence.picture.width), int(0.7 * evidence.picture.height)))
    served.look_at_patch(page)
    wait_for_patch(page, clicked + 1)
    assert page.locator("#number input").input_value() == str(clicked + 1)
    images = page.locator("#patch img")
    assert images.count() == 7 and all(image.get_attribute("alt") for image in images.all())
    best = top_patches(evidence, 3)[2]
    page.locator("#table [data-testid=cell-2-2]").click()
    wait_for_patch(page, best["index"] + 1)
    text = page.locator("#patch").inner_text()
    assert f"3 of {evidence.n_patches}" in text and f"{best['evidence_times_n']:.3g}" in text
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    wait_for_patch(page, top_patches(evidence, 2)[1]["index"] + 1)
    page.locator("#number input").fill("5")
    wait_for_patch(page, 5)
    served.open_tab(page, "How unusual")
    served.click_map(page, 0.45, 0.7)
    wait_for_patch(page, clicked + 1)


def test_opacity_and_colours_redraw_the_map_alone(page, evidence):
    served.open_tab(page, "Patch")
    verdict = page.locator("#verdict .card").element_handle()
    before = page.locator("#map img").get_attribute("src")
    assert page.locator("#colour label").count() == 2
    served.open_advanced(page)
    page.locator("#all-maps label").click()
    page.locator("#opacity input[type=range]").focus()
    page.keyboard.press("End")
    page.wait_for_function("(old) => document.querySelector('#map img').src !== old", arg=before)
    assert page.locator("#colour label").count() == 4
    for name, title in (
        ("p-value", "p-value of each patch"),
        ("Distance to real pictures", layer(evidence, "mmd").title),
        ("Does not match the rest", "How unlike the rest of the picture"),
        ("Looks generated", "Evidence of each patch"),
    ):
        page.locator("#colour label", has_text=name).click()
        page.locator("#legend strong", has_text=title).first.wait_for()
    assert verdict.evaluate("(card) => card.isConnected"), "the card was not even drawn again"
    assert not page.locator("#colour label", has_text="Witness value").count(), "it is drawn as the evidence is"


def test_two_clicks_analyse_a_region_alone(page):
    served.open_tab(page, "Patch")
    served.look_at_region(page)
    assert "in this region alone" in page.locator("#region").inner_text()
    shape = "(img) => img.complete && img.naturalWidth / img.naturalHeight"
    page.locator("#back").click()
    page.locator("#back").wait_for(state="hidden")
    page.wait_for_function(f"Math.abs(({shape})(document.querySelector('#map img')) - 1) < 0.02")
    for name, number in zip("xywh", ("0", "0", "40", "200"), strict=True):
        page.locator(f"#region-{name} input").fill(number)
    page.locator("#look").click()
    page.locator("#region .error").wait_for()
    assert "at least" in page.locator("#region").inner_text()
    served.click_map(page, 0.3, 0.3)
    page.get_by_text("First corner set").wait_for()
    page.locator("#mode label").first.click()
    page.get_by_text("First corner set").wait_for(state="hidden")


def test_every_tab_shows_its_part(page, evidence):
    served.open_tab(page, "Before / after")
    page.wait_for_function(
        "[...document.querySelectorAll('#pair img')].filter((img) => img.naturalWidth && img.alt).length >= 2"
    )
    served.open_tab(page, "How unusual")
    assert f"{evidence.verdict.n_calibration:,} real pictures" in page.locator("#null img").get_attribute("alt")
    served.open_tab(page, "Origin")
    assert "None of it enters the score" in page.locator("#origin").inner_text()
    served.hold(page)
    text = page.locator("#stability").inner_text()
    assert all(name in text for name in CHANGES) and ("Stable:" in text or "Not stable:" in text)


def test_the_report_has_the_detectors_figures_and_opens_without_a_request(page, chromium, evidence, tmp_path):
    served.make_report(page)
    files = {}
    for kind in ("html", "json"):
        with page.expect_download() as caught:
            page.locator(f"#report-{kind}").click()
        files[kind] = tmp_path / caught.value.suggested_filename
        caught.value.save_as(files[kind])
        assert files[kind].suffix == f".{kind}"
    figures = json.loads(files["json"].read_text(encoding="utf-8"))
    assert figures["picture"]["sha256"] == evidence.picture.sha256 and figures["settings"]["alpha"] == 0.05
    assert figures["result"]["score"] == pytest.approx(evidence.verdict.score, rel=1e-5)
    assert len(figures["stability"]["variants"]) == len(CHANGES)
    requests = []
    reader = chromium.new_context(offline=True).new_page()
    reader.on("request", lambda request: requests.append(request.url))
    reader.goto(files["html"].as_uri())
    text = reader.locator("body").inner_text()
    for told in (evidence.picture.sha256, evidence.model.fingerprint, VERDICTS[evidence.verdict.outcome]):
        assert told in text
    assert [url for url in requests if not url.startswith("data:")] == [files["html"].as_uri()]
    reader.context.close()


def test_desktop_is_accessible(page, axe):
    for name in ("Patch", "How unusual", "Does it hold?", "Origin", "Before / after", "Report"):
        served.open_tab(page, name)
        assert violations(page, axe, "#right" if name != "Patch" else "html") == [], name


def test_a_dark_phone_is_accessible_and_needs_no_sideways_scrolling(chromium, address, parts, axe):
    page = served.open_page(chromium, address, 390, 844, "dark")
    assert not sideways(page) and violations(page, axe) == []
    upload(page, parts / "china_composite.png")
    served.look_at_patch(page)
    page.keyboard.press("Escape")
    page.locator("#right:not(.sheet)").wait_for()
    for name in ("Patch", "How unusual", "Does it hold?", "Origin", "Before / after", "Report"):
        served.open_tab(page, name)
        part = "#right" if name != "Patch" else "html"
        assert violations(page, axe, part) == [] and not sideways(page), name
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(int(part) for part in background[4:-1].split(",")[:3]) < 150, "the page is dark"
    page.context.close()
