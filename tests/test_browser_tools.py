"""A real browser on the real program: what helps a person to look closer, on every width, in light and dark.

Needs `apt-get install chromium`; without it these tests fail and say so.
"""

from __future__ import annotations

import re

import pytest
from accessible import violations

from benchmarks import served
from mdmf_core.images.reader import read

SIZES = [(1440, 900, "light", False), (1024, 768, "dark", False), (390, 844, "dark", True)]
PASTE = """(text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
}"""
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
ADDRESS = "https://elsewhere.test/picture.jpg"


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]}-{size[2]}")
def page(request, chromium, address, parts):
    """A page that two photographs were given to, which several tests go on with."""
    width, height, scheme, touch = request.param
    page = served.open_page(chromium, address, width, height, scheme, touch)
    page.requested = []
    page.on("request", lambda sent: page.requested.append(sent.url))
    page.locator("#picture input[type=file]").set_input_files(parts / "rocket.png")
    page.locator("#verdict .line", has_text="rocket.png").wait_for()
    page.locator("#legend .bar").wait_for()
    give(page, parts / "flower.png")
    yield page
    page.context.close()


def give(page, path) -> None:
    """Give a picture and wait for its map."""
    page.locator("#picture input[type=file]").set_input_files(path)
    settled(page, path.name)


def settled(page, name: str) -> None:
    page.locator("#verdict .line", has_text=name).wait_for()
    page.get_by_text("Drawn finer").wait_for()
    served.drawn(page)
    served.still(page)


def point_at(page, across: float, down: float) -> None:
    """Point at shares of the map, by mouse or finger."""
    page.locator("#map img").scroll_into_view_if_needed()
    place = page.locator("#map img").bounding_box()
    point = place["x"] + across * place["width"], place["y"] + down * place["height"]
    if page.evaluate("navigator.maxTouchPoints > 0"):
        page.touchscreen.tap(*point)
    else:
        page.mouse.move(*point)
        page.mouse.move(point[0] + 1, point[1])


def press(page, name: str) -> None:
    page.locator(f"[data-view={name}]").click()


def test_a_picture_of_the_session_comes_back_with_its_result(page):
    row = page.locator("#past button")
    assert row.count() == 2 and row.first.get_attribute("aria-current") == "true"
    before = len([url for url in page.requested if "/upload" in url])
    row.nth(1).focus()
    page.keyboard.press("Enter")
    settled(page, "rocket.png")
    page.locator("#past button").nth(1).locator("xpath=self::*[@aria-current]").wait_for()
    assert len([url for url in page.requested if "/upload" in url]) == before, "nothing is sent again"
    page.locator("#past button").first.click()
    settled(page, "flower.png")
    page.locator("#verdict .held", has_text="changed copies").wait_for()
    assert page.locator("#sources").bounding_box()["height"] < 150


def test_the_magnifier_shows_the_pictures_own_pixels_and_tells_their_values(page, parts):
    press(page, "lens")
    point_at(page, 0.4, 0.6)
    page.locator("#lens .lens[data-box]").wait_for()
    for _ in range(100):  # the piece under the magnifier comes late on a busy machine
        page.wait_for_timeout(300)  # two taps are no double tap
        point_at(page, 0.41, 0.6)
        page.wait_for_timeout(300)
        point_at(page, 0.4, 0.6)
        if page.locator("#reading output", has_text="RGB").count():
            break
    told = re.search(r"x (\d+), y (\d+): RGB (\d+), (\d+), (\d+)", page.locator("#reading output").inner_text())
    x, y, *colour = map(int, told.groups())
    assert read(parts / "flower.png").pixels[y, x].tolist() == colour
    assert abs(x - 0.4 * 384) < 4 and abs(y - 0.6 * 256) < 4
    lens = page.locator("#lens").bounding_box()
    assert 0 <= lens["x"] and lens["x"] + lens["width"] <= page.viewport_size["width"]
    press(page, "lens")
    page.locator("#lens").wait_for(state="hidden")


def test_the_magnifier_follows_the_arrow_keys(page):
    page.evaluate("document.querySelector('#map .image-container > button').focus()")
    page.keyboard.press("m")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.locator("#lens").wait_for()
    page.locator("#patch h3", has_text="Patch").first.wait_for()
    away = page.locator("#lens").bounding_box()["y"] - page.locator("#map img").bounding_box()["y"]
    page.evaluate("scrollBy(0, scrollY ? -30 : 30)")
    page.evaluate(TWO_FRAMES)
    place = page.locator("#lens").bounding_box()["y"] - page.locator("#map img").bounding_box()["y"]
    assert page.locator("#lens").is_visible() and place == pytest.approx(away, abs=1), "it stays on its patch"
    page.keyboard.press("m")
    page.locator("#lens").wait_for(state="hidden")


def test_legend_and_map_agree_on_the_contour_lines(page):
    assert "Dotted lines" in page.locator("#legend").inner_text() and page.locator("#legend .bar i").count() == 2
    assert "dotted lines" in page.locator("#map img").get_attribute("alt")
    before = page.locator("#map img").get_attribute("src")
    served.open_advanced(page)
    page.locator("#contours input").uncheck()
    page.wait_for_function("(old) => document.querySelector('#map img').src !== old", arg=before)
    page.locator("#legend .bar i").first.wait_for(state="detached")
    assert "Dotted lines" not in page.locator("#legend").inner_text()
    page.locator("#contours input").check()
    page.locator("#legend .bar i").first.wait_for(state="attached")


def test_a_pasted_address_is_answered_by_one_sentence_and_nothing_is_fetched(page, parts):
    page.evaluate(PASTE, ADDRESS)
    told = page.locator("#address")
    told.get_by_text("fetches nothing from the web").wait_for()
    assert told.inner_text().count(".") == 1
    page.evaluate(PASTE, "just words")
    give(page, parts / "flower.png")
    assert not told.is_visible()
    assert not [url for url in page.requested if "elsewhere.test" in url]


def test_reverse_searches_are_links_that_tell_nothing(page):
    served.open_tab(page, "Origin")
    links = page.locator("#right a[target=_blank]")
    assert links.count() == 4
    for link in links.all():
        assert "noreferrer" in link.get_attribute("rel") and "?" not in link.get_attribute("href")
    assert all(url.startswith(("http://127.0.0.1", "data:", "blob:")) for url in page.requested)


def test_plots_are_dark_where_the_page_is(page):
    dark = page.evaluate("document.body.classList.contains('dark')")
    served.open_tab(page, "How unusual")
    chosen = page.locator("#null .plot img").evaluate("(plot) => getComputedStyle(plot).filter")
    assert ("invert" in chosen) == dark


def test_nothing_stands_beyond_the_edge_or_in_a_menu_and_axe_is_content(page, axe):
    served.open_tab(page, "Patch")
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert page.get_by_label("More tabs").locator("visible=true").count() == 0
    assert violations(page, axe) == []
