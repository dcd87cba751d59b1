"""A real browser on the real program with the bundled detector: upload, read the verdict, nothing leaves the machine.

Needs `apt-get install chromium`; without it these tests fail and say so.
"""

from __future__ import annotations

from urllib.parse import urlparse

import pytest

from benchmarks import screenshot
from mdmf_core.detector import Detector
from mdmf_core.heatmap import VERDICTS
from mdmf_core.hub import BUNDLED

EXAMPLES = screenshot.ROOT / "examples"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with screenshot.serve(tmp_path_factory.mktemp("served")) as url:
        yield url


@pytest.fixture(scope="module")
def chromium():
    if not screenshot.CHROMIUM.exists():
        pytest.fail(f"There is no {screenshot.CHROMIUM}; install it with: apt-get install chromium", pytrace=False)
    with screenshot.browser() as started:
        yield started


def upload(page, path) -> str:
    """Give the page a file; the card's text once the page has answered."""
    page.evaluate("document.querySelector('#verdict .card').dataset.old = '1'")
    page.locator("#picture input[type=file]").set_input_files(path)
    page.locator("#verdict .card:not([data-old])").wait_for()
    return page.locator("#verdict").inner_text()


def sideways(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > window.innerWidth")


def test_upload_gives_the_detectors_verdict_and_no_request_leaves(chromium, address):
    page = chromium.new_context().new_page()
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.locator("#verdict .waiting").wait_for()
    text = upload(page, EXAMPLES / "china.jpg")
    page.locator("#map img").wait_for()
    page.wait_for_timeout(1500)
    evidence = Detector.from_pretrained(BUNDLED).detect(EXAMPLES / "china.jpg")
    assert VERDICTS[evidence.decision] in text and f"{evidence.p_value:.3g}" in text and "china.jpg" in text
    assert evidence.fingerprint[:16] in page.content()
    assert page.locator("#map img").get_attribute("alt")
    hosts = {urlparse(url).hostname for url in requests if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"} and not errors


def test_a_bad_file_then_a_good_one(chromium, address, tmp_path):
    drawing = tmp_path / "drawing.png"
    drawing.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="500" height="500"/>')
    page = screenshot.open_page(chromium, address)
    assert "SVG drawing" in upload(page, drawing)
    assert page.locator("#map img").count() == 0
    assert "No result" not in upload(page, EXAMPLES / "rocket.jpg")


def test_a_pasted_picture_is_analysed(chromium, address):
    page = screenshot.open_page(chromium, address)
    page.evaluate(
        """async () => {
            const canvas = Object.assign(document.createElement("canvas"), {width: 300, height: 260});
            const picture = await new Promise((done) => canvas.toBlob(done, "image/png"));
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([picture], "pasted.png", {type: "image/png"}));
            document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
        }"""
    )
    page.locator("#verdict h2").wait_for()
    assert "pasted.png, 300 x 260 pixels" in page.locator("#verdict").inner_text()


def test_an_example_says_what_it_is_and_the_slider_changes_the_rate(chromium, address):
    page = screenshot.open_page(chromium, address)
    screenshot.click_example(page, "Astronaut")
    assert "invent the detail of the orange suit" in page.locator("#verdict").inner_text()
    page.locator("#mask img").wait_for()
    score = page.locator("#verdict dd").nth(1)
    before = score.inner_text()
    page.locator("#alpha input[type=range]").focus()
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("(old) => document.querySelectorAll('#verdict dd')[1].innerText !== old", arg=before)
    assert score.inner_text().split()[0] == before.split()[0], "the score does not depend on the rate"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(chromium, address, scheme):
    page = screenshot.open_page(chromium, address, 390, 844, scheme)
    assert not sideways(page)
    screenshot.click_example(page, "Pagoda above a lake, the pagoda")
    assert not sideways(page)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] < 80")
    assert dark == (scheme == "dark")
