"""A real browser on the real program: what the first view holds, at which size, and how the map is moved and read.

Needs `apt-get install chromium`; without it these tests fail and say so.
"""

from __future__ import annotations

import pytest
from gestures import double_click
from patience import patient
from PIL import Image
from playwright.sync_api import expect

from benchmarks import served
from mdmf_core.show.maps import top_patches
from mdmf_core.show.words import quote

EXAMPLES = served.ROOT / "examples"
SCALE = "new DOMMatrix(getComputedStyle(document.querySelector('#map img')).transform).a"
FIRST = {"#verdict .origin", "#verdict h2", "#map img", "#colour label >> nth=0", "#colour label >> nth=1"}
SIZES = [(1440, 900, "light"), (1024, 768, "dark"), (390, 844, "light")]


@pytest.fixture(scope="module")
def page(chromium, address, parts):
    """A desktop page with a photograph analysed, which several tests go on with."""
    page = served.open_page(chromium, address, 1440, 900)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    give(page, parts / "china.png")
    page.get_by_text("Drawn finer").wait_for()  # no other drawing takes the map's place after this one
    drawn(page)
    yield page
    page.context.close()


def give(page, path) -> None:
    page.locator("#picture input[type=file]").set_input_files(path)
    page.locator("#legend .bar").wait_for()
    drawn(page)


def drawn(page) -> None:
    """Wait for the map and its place on the page."""
    served.drawn(page)
    served.still(page)


def box(page, selector: str) -> dict[str, float]:
    return page.locator(selector).first.bounding_box()


COMING = """() => {
    const at = (selector) => document.querySelector(selector);
    return at("#coming strong")?.textContent === "flower.png" && at("#coming").innerText.includes("Sending")
        && at("#coming img[src^='blob:']")?.checkVisibility()
        && !at("#verdict").checkVisibility() && !at("#map").checkVisibility();
}"""


CLICKS = """(points) => {
    for (const [clientX, clientY] of points) {
        const at = {bubbles: true, cancelable: true, detail: 1, pointerId: 1, pointerType: "mouse", clientX, clientY};
        const there = document.elementFromPoint(clientX, clientY);
        for (const type of ["pointerdown", "pointerup", "click"]) there.dispatchEvent(new PointerEvent(type, at));
    }
}"""  # at one moment, so that no answer of the server comes between them
TAKE_AWAY = """() => {
    document.querySelector("#reading output").textContent = "";
    window.away = document.querySelector("#map img");
    window.stood = window.away.parentElement;
    window.away.remove();
}"""


def start_view(page) -> None:
    page.locator("[data-view=fit]").click()
    page.locator("#map .image-container > button").focus()


def wait_for_patch(page, number: int) -> None:
    page.locator("#patch h3", has_text=f"Patch {number} (").wait_for()


@pytest.mark.parametrize(("width", "height", "scheme"), SIZES)
def test_the_first_view_holds_verdict_and_map(chromium, address, parts, width, height, scheme):
    page = served.open_page(chromium, address, width, height, scheme)
    assert page.locator("#examples .gallery-item:visible").count() == 3
    assert "Drop a picture." in page.locator("#intro p").inner_text() and box(page, "#examples")["y"] < height
    assert box(page, "#picture")["y"] + box(page, "#picture")["height"] < height
    give(page, parts / "china.png")
    assert page.evaluate("scrollY") == 0
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    tops = {selector: box(page, selector) for selector in FIRST}
    assert all(0 <= found["y"] and found["y"] < height for found in tops.values())
    assert box(page, "#sources")["height"] < 150, "a strip is left of it"
    image = tops["#map img"]
    if width == 1440:
        assert image["y"] < 420 and image["width"] >= 800 and image["y"] + image["height"] <= height
        assert box(page, "#patch")["x"] > image["x"] + image["width"], "the patch stands beside the map"
    assert image["y"] < (420 if width > 700 else height)
    assert page.get_by_label("More tabs").locator("visible=true").count() == 0
    page.context.close()


@pytest.mark.parametrize("title", ["Pagoda above a lake, the pagoda", "Rocket, made again"])
def test_the_first_view_holds_the_map_of_an_example_that_was_answered_wrongly(chromium, address, title):
    page = served.open_page(chromium, address, 1440, 900)
    served.click_example(page, title)
    drawn(page)
    assert page.locator("#verdict .truth").inner_text().startswith("Wrong")
    image = box(page, "#map img")
    assert page.evaluate("scrollY") == 0 and image["width"] >= 800 and image["y"] + image["height"] <= 900
    page.context.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_the_strip_of_examples_says_of_what_kind_each_is(chromium, address, parts, width):
    page = served.open_page(chromium, address, width, 844)
    give(page, parts / "china.png")
    captions = page.locator("#examples .caption-label")
    assert captions.count() == 18
    for caption, kind in ((captions.nth(0), "Photograph"), (captions.nth(1), "Generated")):
        place = caption.bounding_box()
        assert caption.inner_text().startswith(kind) and place["width"] >= 80 and place["height"] >= 14
        assert float(caption.evaluate("(label) => parseFloat(getComputedStyle(label).fontSize)")) >= 12
    page.context.close()


def copied_by(page, button) -> str:
    """What a button copies; it says so for a moment, which a busy machine would miss."""
    handle, again = button.element_handle(), patient(page, 1500)
    button.click()
    page.wait_for_function("(button) => button.textContent === 'Copied'", arg=handle)
    again()
    handle.evaluate("(button) => { button.textContent = button.dataset.told; }")
    return page.evaluate("navigator.clipboard.readText()")


def test_the_sentence_to_quote_is_copied_alone(page, bundled, parts):
    evidence = bundled.detect(parts / "china.png")
    page.locator("#verdict .quote summary").click()
    copied = copied_by(page, page.locator("#verdict .quote [data-copy]"))
    assert copied == quote(evidence) == page.locator("#verdict blockquote").inner_text()
    page.locator("#verdict .quote summary").click()


def test_a_new_picture_clears_the_old_verdict_and_map_at_once(chromium, address, parts):
    page = served.open_page(chromium, address)
    give(page, parts / "china.png")
    expect(page.locator("#verdict .held")).not_to_be_empty(timeout=120_000)  # nothing more is on its way
    page.route("**/upload*", lambda held: None)  # so that no answer can come
    page.locator("#picture input[type=file]").set_input_files(parts / "flower.png")
    page.wait_for_function(COMING)
    page.context.close()


def test_the_map_is_moved_by_buttons_keys_wheel_and_double_click(page):
    start_view(page)
    assert page.evaluate(SCALE) == 1
    page.locator("[data-view=closer]").click()
    assert page.evaluate(SCALE) == pytest.approx(1.5)
    page.locator("#map .image-container > button").focus()
    page.keyboard.press("+")
    assert page.evaluate(SCALE) == pytest.approx(2.25)
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert page.evaluate(SCALE) == 1
    place = box(page, "#map .image-frame")
    middle = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(*middle)
    page.mouse.wheel(0, -200)
    page.wait_for_function(f"{SCALE} > 1.5")
    before = box(page, "#map img")["x"]
    page.mouse.down()
    page.mouse.move(middle[0] - 40, middle[1], steps=4)
    page.mouse.up()
    assert box(page, "#map img")["x"] == pytest.approx(before - 40, abs=2)
    page.keyboard.press("0")
    double_click(page, *middle)
    page.wait_for_function(f"{SCALE} > 2")
    start_view(page)


def test_a_click_into_the_enlarged_map_chooses_what_lies_there(page):
    start_view(page)
    place = box(page, "#map .image-frame")
    point = place["x"] + 0.72 * place["width"], place["y"] + 0.6 * place["height"]
    page.mouse.move(*point)
    for _ in range(4):
        page.mouse.wheel(0, -200)
    page.wait_for_function(f"{SCALE} > 4")
    told = page.locator("#reading output").inner_text()
    page.mouse.click(*point)
    wait_for_patch(page, int(told.split(":")[0].removeprefix("Patch ")))
    start_view(page)


def test_of_two_clicks_one_right_after_the_other_the_last_counts(page):
    start_view(page)
    drawn(page)
    place, told, reading = box(page, "#map .image-frame"), [], page.locator("#reading output")
    points = [(place["x"] + across * place["width"], place["y"] + 0.4 * place["height"]) for across in (0.3, 0.5)]
    for point in points:  # the second between two patches: what is told there is what is chosen
        reading.evaluate("(reading) => { reading.textContent = ''; }")
        page.mouse.move(*point)
        expect(reading).to_contain_text("Patch")
        told.append(reading.inner_text())
    assert told[0] != told[1]
    page.evaluate(CLICKS, points)
    wait_for_patch(page, int(told[1].split(":")[0].removeprefix("Patch ")))


def test_what_is_pointed_at_while_the_map_is_drawn_anew_is_told_once_it_is_there(page):
    start_view(page)
    drawn(page)
    place, reading = box(page, "#map .image-frame"), page.locator("#reading output")
    page.mouse.move(place["x"] + 9, place["y"] + 9)
    page.evaluate(TAKE_AWAY)
    page.mouse.move(place["x"] + 0.4 * place["width"], place["y"] + 0.4 * place["height"])
    assert reading.inner_text() == ""
    page.evaluate("() => { window.stood.append(window.away); window.away.dispatchEvent(new Event('load')); }")
    expect(reading).to_contain_text("Patch")


def test_arrow_keys_go_from_patch_to_patch(page, bundled, parts):
    evidence = bundled.detect(parts / "china.png")
    start_view(page)
    page.locator("#number input").fill("1")
    wait_for_patch(page, 1)
    page.locator("#map .image-container > button").focus()
    page.evaluate("document.querySelector('#map .image-container > button').focus()")
    page.keyboard.press("ArrowRight")
    wait_for_patch(page, 2)
    page.keyboard.press("ArrowDown")
    wait_for_patch(page, 2 + evidence.grid.cols)
    value = evidence.maps["evidence"].values[1 + evidence.grid.cols]
    assert f"{value:.3g}, p-value" in page.locator("#reading output").inner_text()


def test_a_summary_is_copied_with_figures_hash_and_model(page, bundled, parts):
    evidence = bundled.detect(parts / "china.png")
    copied = copied_by(page, page.locator("[data-copy]").first)
    best = top_patches(evidence, 1)[0]["index"] + 1
    for told in (
        evidence.picture.sha256,
        evidence.model.fingerprint,
        f"{evidence.verdict.p_value:.3g}",
        f"number {best}",
    ):
        assert told in copied
    assert "\n" not in copied


def test_whether_it_holds_comes_by_itself_into_the_verdicts_line_and_the_summary(page):
    answer = page.locator("#verdict .held", has_text="changed copies").filter(has_not_text="Does it hold")
    answer.wait_for()
    assert answer.inner_text().startswith(("Holds in 6 of 6", "Changes in "))
    card = page.locator("#verdict .card").element_handle()
    copied = copied_by(page, page.locator("[data-copy]").first)
    assert ("table: the result" in copied) and card.evaluate("(card) => card.isConnected")
    served.open_tab(page, "Does it hold?")
    assert page.locator("#stability img").count() == 1, "nobody had to ask"
    served.open_tab(page, "Patch")


def test_a_panorama_keeps_a_useful_height(chromium, address, tmp_path):
    with Image.open(EXAMPLES / "china.jpg") as image:
        image.crop((0, 200, 640, 330)).resize((1280, 260)).save(tmp_path / "wide.png")
    page = served.open_page(chromium, address, 1440, 900)
    give(page, tmp_path / "wide.png")
    assert box(page, "#map .image-frame")["height"] >= 300
    assert box(page, "#map img")["height"] >= 299, "it fills the frame; what is beside it comes by dragging"
    page.locator("[data-view=fit]").click()
    assert box(page, "#map img")["width"] <= box(page, "#map .image-frame")["width"] + 1
    page.context.close()


def test_the_known_part_of_an_example_is_outlined_on_its_map(page):
    assert page.locator("#known").count() == 0, "nothing is known of a photograph"
    served.click_example(page, "Astronaut")
    page.locator("#known input").wait_for()
    page.locator("#legend .bar").wait_for()
    before = page.locator("#map img").get_attribute("src")
    page.locator("#known input").check()
    page.wait_for_function("(old) => document.querySelector('#map img').src !== old", arg=before)
