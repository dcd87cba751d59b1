"""A real browser on the real program: the patch as a sheet on a phone, a region drawn into the map, dropped addresses.

Needs `apt-get install chromium`; without it these tests fail and say so.
"""

from __future__ import annotations

import re

import pytest
from accessible import violations
from gestures import double_tap, touch
from patience import patient
from playwright.sync_api import expect
from test_browser_tools import ADDRESS, settled
from test_browser_view import SCALE

from benchmarks import served

SIZES = [(1440, 900, "dark", False), (1024, 768, "light", False), (390, 844, "light", True), (390, 844, "dark", True)]
DROP = """([place, kind, text]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.setData(kind, text);
    const over = new DragEvent("dragover", {dataTransfer, bubbles: true, cancelable: true});
    document.querySelector(place).dispatchEvent(over);
    const dropped = new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true});
    document.querySelector(place).dispatchEvent(dropped);
    return over.defaultPrevented && dropped.defaultPrevented;
}"""
BOX = re.compile(r"x (\d+), y (\d+), (\d+) x (\d+) pixels")
CHECKED = {(1440, True), (390, False)}  # by axe-core, which other tests ask at the other sizes
PARTS = {
    "Many pictures": "#many-files",
    "Two pictures": "#compare-files",
    "Model": "#model-wanted",
    "My reference": "#mine-files",
}
TABS = ("Patch", "How unusual", "Does it hold?", "Origin", "Before / after", "Report")


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]}-{size[2]}")
def page(request, chromium, address, parts):
    """A page with an edited photograph, which all tests of one size and scheme go on with."""
    width, height, scheme, touch = request.param
    page = served.open_page(chromium, address, width, height, scheme, touch)
    page.requested = []
    page.on("request", lambda sent: page.requested.append(sent.url))
    page.locator("#picture input[type=file]").set_input_files(parts / "china_composite.png")
    settled(page, "china_composite.png")
    yield page
    page.context.close()


PHONES = [size for size in SIZES if size[0] <= 700]  # elsewhere the patch stands beside or below the map
WIDTHS = SIZES[:3]  # what the sheet has no part in: every width, and both schemes
on_phones = pytest.mark.parametrize("page", PHONES, indirect=True, ids=lambda size: f"{size[0]}-{size[2]}")
at_all_widths = pytest.mark.parametrize("page", WIDTHS, indirect=True, ids=lambda size: f"{size[0]}-{size[2]}")


@pytest.fixture
def phone(page):
    yield page
    page.keyboard.press("Escape")
    page.evaluate("scrollTo(0, 0)")


def place_of(page, across: float, down: float) -> tuple[float, float]:
    image = page.locator("#map img")
    image.scroll_into_view_if_needed()
    served.still(page)
    box = image.bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def drag(page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag by finger where there is a touch screen, else by mouse."""
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    if not page.evaluate("navigator.maxTouchPoints > 0"):
        page.mouse.move(*start)
        page.mouse.down()
        for point in (middle, end):
            page.mouse.move(*point)
        page.mouse.up()
        return
    touch(page, [start], [middle], [end])


def tap(page, across: float, down: float) -> None:
    page.touchscreen.tap(*place_of(page, across, down))
    page.locator("#right.sheet").wait_for()
    page.wait_for_timeout(600)  # the page moves until what was tapped is in sight
    served.still(page)


@on_phones
def test_a_tap_raises_the_patch_in_view_and_leaves_what_was_tapped_in_sight(phone):
    tap(phone, 0.3, 0.9)
    sheet, heading = phone.locator("#right.sheet"), phone.locator("#patch h3").first
    number = phone.locator("#reading output").inner_text().split(":")[0]
    assert heading.inner_text().startswith(f"{number} (")
    top, height = sheet.bounding_box()["y"], phone.viewport_size["height"]
    assert top + sheet.bounding_box()["height"] == pytest.approx(height, abs=1)
    assert top < heading.bounding_box()["y"] < height
    image = phone.locator("#map img").bounding_box()
    assert 0 < image["y"] + 0.9 * image["height"] < top, "nothing has to be scrolled to see it"
    assert sheet.get_attribute("role") == "dialog" and sheet.get_attribute("aria-label") == "Patch"
    tap(phone, 0.8, 0.1)
    expect(phone.locator("#patch h3").first).not_to_contain_text(f"{number} (")


@on_phones
def test_two_fingers_or_two_taps_bring_the_map_closer(phone):
    across, down = place_of(phone, 0.5, 0.4)
    touch(phone, *([(across - apart, down), (across + apart, down)] for apart in (20, 40, 60)))
    phone.wait_for_function(f"{SCALE} > 2")
    phone.locator("[data-view=fit]").tap()
    phone.wait_for_function(f"{SCALE} === 1")
    again = patient(phone, 350)  # the sheet waits for the second tap as long as a busy machine needs to send it
    for _ in range(2):  # the second time the patch is chosen already, and its sheet could rise at once
        double_tap(phone, *place_of(phone, 0.5, 0.4), rest=500)
        phone.wait_for_function(f"{SCALE} > 2")
        assert not phone.locator("#right.sheet").count()
        phone.locator("[data-view=fit]").tap()
        phone.wait_for_function(f"{SCALE} === 1")
    again()


@on_phones
def test_the_open_sheet_is_accessible_and_nothing_stands_beyond_the_edge(phone, axe):
    tap(phone, 0.5, 0.5)
    assert not phone.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert violations(phone, axe) == []


@on_phones
@pytest.mark.parametrize("way", ["button", "Escape", "outside", "swipe"])
def test_the_sheet_goes_by_a_button_escape_a_tap_outside_or_a_swipe(phone, way):
    tap(phone, 0.5, 0.5)
    focused = "document.activeElement.closest('#grip, #map')?.id"
    assert phone.evaluate(focused) == "grip", "whoever can't see it is told of it"
    grip = phone.locator("#grip").bounding_box()
    middle = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    if way == "button":
        phone.get_by_role("dialog", name="Patch").get_by_role("button", name="Close").tap()
    elif way == "Escape":
        phone.keyboard.press("Escape")
    elif way == "outside":
        phone.touchscreen.tap(4, 4)
    else:
        drag(phone, middle, (middle[0], middle[1] + 30))
        assert phone.locator("#right.sheet").count() == 1, "a small movement is none"
        drag(phone, middle, (middle[0], middle[1] + 160))
    phone.locator("#right:not(.sheet)").wait_for()
    assert phone.locator("#right").get_attribute("role") is None
    if way != "outside":
        assert phone.evaluate(focused) == "map", "back where one was"


@on_phones
def test_the_sheet_follows_arrow_keys_and_is_entered_by_the_enter_key(phone):
    phone.evaluate("document.querySelector('#map .image-container > button').focus()")
    for key in ("ArrowRight", "ArrowDown"):
        phone.keyboard.press(key)
    phone.locator("#right.sheet").wait_for()
    assert phone.evaluate("document.activeElement.closest('#map') !== null"), "the arrows go on"
    phone.keyboard.press("Enter")
    phone.wait_for_function("document.activeElement.closest('#grip')")
    phone.keyboard.press("Enter")
    phone.locator("#right:not(.sheet)").wait_for()


@at_all_widths
def test_a_region_drawn_into_the_map_is_analysed_in_place_with_a_way_back(page):
    page.locator("[data-view=mark]").click()
    expect(page.locator("[data-view=mark]")).to_have_attribute("aria-pressed", "true")
    before = page.locator("#map img").get_attribute("src")
    drag(page, place_of(page, 0.2, 0.2), place_of(page, 0.7, 0.8))
    page.locator("#region .card").wait_for()
    assert "in this region alone" in page.locator("#region").inner_text()
    page.locator("#region summary").click()
    x, y, w, h = map(int, BOX.search(page.locator("#region").inner_text()).groups())
    assert abs(x - 0.2 * 384) < 40 and abs(y - 0.2 * 256) < 40 and abs(w - 192) < 64 and abs(h - 154) < 64
    page.wait_for_function("(old) => document.querySelector('#map img').src !== old", arg=before)
    expect(page.locator("[data-view=mark]")).to_have_attribute("aria-pressed", "false")
    assert page.locator("#region .card").bounding_box()["y"] < page.locator("#map img").bounding_box()["y"]
    page.locator("#back").click()
    page.locator("#back").wait_for(state="hidden")
    assert page.locator("#region .card").count() == 0


@at_all_widths
def test_a_dropped_address_is_answered_by_one_sentence_and_the_page_stays(page):
    told = page.locator("#address")
    for place, kind, text in (
        ("body", "text/uri-list", ADDRESS),
        ("#picture .upload-container", "text/uri-list", f"# a comment\r\n{ADDRESS}\r\n"),
        ("#map", "text/uri-list", ADDRESS),
    ):
        page.evaluate("document.querySelector('#address p').textContent = ''")
        assert page.evaluate(DROP, [place, kind, text]), "the browser itself would go there"
        told.get_by_text("fetches nothing from the web").wait_for()
        assert told.inner_text().count(".") == 1 and told.get_by_role("alert").count() == 1
    page.evaluate("document.querySelector('#address p').textContent = ''")
    page.evaluate(DROP, ["body", "text/plain", "just words"])
    assert not told.is_visible()
    assert not [url for url in page.requested if "elsewhere.test" in url]
    served.open_tab(page, "Many pictures")
    assert page.evaluate(DROP, ["body", "text/uri-list", ADDRESS]), "nor is what was done lost in another tab"
    served.open_tab(page, "One picture")


@at_all_widths
def test_full_screen_crops_nothing_and_escape_or_its_key_leaves_it(page):
    page.locator("[data-view=full]").click()
    page.locator("#stage.full").wait_for()
    page.wait_for_timeout(400)
    served.still(page)
    box, size = page.locator("#map img").bounding_box(), page.viewport_size
    assert box["x"] >= -0.5 and box["x"] + box["width"] <= size["width"] + 0.5
    assert box["y"] >= -0.5 and box["y"] + box["height"] <= size["height"] + 0.5
    assert box["width"] / box["height"] == pytest.approx(384 / 256, rel=0.02)
    for key, stage in (("Escape", "#stage:not(.full)"), ("f", "#stage.full"), ("f", "#stage:not(.full)")):
        page.keyboard.press(key)
        page.locator(stage).wait_for()


@at_all_widths
def test_legend_words_for_readers_and_map_agree(page):
    legend, image = page.locator("#legend"), page.locator("#map img")
    assert legend.locator(".bar i").count() == 2 and "Dotted lines" in legend.inner_text()
    words = image.get_attribute("alt")
    assert "dotted lines" in words and "outlines" in words and "solid outline" in legend.inner_text().lower()
    title = legend.locator("strong").first.inner_text()
    page.locator("#colour label").nth(1).click()
    expect(legend.locator("strong").first).not_to_have_text(title)
    page.locator("#colour label").first.click()
    expect(legend.locator("strong").first).to_have_text(title)


@at_all_widths
def test_every_tab_is_accessible_and_within_the_edges(page, axe):
    width, dark = page.viewport_size["width"], page.evaluate("document.body.classList.contains('dark')")
    for name in (*TABS, *PARTS):
        served.open_tab(page, name)
        assert page.get_by_label("More tabs").locator("visible=true").count() == 0
        assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth"), name
        for plot in page.locator(".plot img:visible").all():
            assert ("invert" in plot.evaluate("(plot) => getComputedStyle(plot).filter")) == dark, name
        if (width, dark) in CHECKED:
            part = "#right" if name in TABS else f"[role=tabpanel]:has({PARTS[name]})"
            assert violations(page, axe, part) == [], name
    page.evaluate("scrollTo(0, 0)")
    for tab in page.get_by_role("tablist").first.get_by_role("tab").all():
        box = tab.bounding_box()
        assert box["y"] >= 0 and 0 <= box["x"] <= width - box["width"]
