"""The page as it is served, and a browser that uses it as a person would; for benchmarks, tests and screenshots.

Needs `playwright` (requirements-dev.txt) and Debian's chromium (`apt-get install chromium`).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, sync_playwright

SLOW = 120_000  # milliseconds; a busy machine

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
).split()
START_SECONDS = 300  # a busy machine


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serve(folder: Path, **more: str) -> Iterator[str]:
    """The address of `python app.py`, run from another folder, with the bundled detector and `more` settings.

    Raises:
        RuntimeError: it ended, or did not answer in time; with what it printed.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("MDMF_", "GRADIO_"))}
    settings |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), **more}
    log = folder / "app.log"
    with log.open("w") as out:
        command = [sys.executable, str(ROOT / "app.py")]
        program = subprocess.Popen(command, cwd=folder, env=settings, stdout=out, stderr=subprocess.STDOUT)  # noqa: S603  # the words are our own
    try:
        end = time.monotonic() + START_SECONDS
        while not answers(address):
            if program.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"app.py does not answer:\n{log.read_text()}")
            time.sleep(0.3)
        yield address
    finally:
        program.terminate()
        program.wait(START_SECONDS)


def answers(address: str) -> bool:
    """Whether a page is served there."""
    try:
        with urlopen(address, timeout=5) as reply:  # noqa: S310  # an address of our own
            return reply.status == 200
    except (URLError, OSError):
        return False


STILL = """async (selector) => {
    for (let before = "", same = 0; same < 8;) {
        await new Promise(requestAnimationFrame);
        const {x, y, width, height} = document.querySelector(selector)?.getBoundingClientRect() ?? {};
        const now = [x, y, width, height].join();
        same = width && now === before ? same + 1 : 0;
        before = now;
    }
}"""


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without its background requests."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


def open_page(
    chromium: Browser,
    address: str,
    width: int = 1280,
    height: int = 900,
    scheme: str = "light",
    touch: bool = False,
) -> Page:
    """The page, once it is ready for a picture."""
    viewport = {"width": width, "height": height}
    page = chromium.new_context(viewport=viewport, color_scheme=scheme, has_touch=touch).new_page()
    page.set_default_timeout(SLOW)
    come(page, address)
    return page


def come(page: Page, address: str) -> None:
    """Load the page anew, and wait until it is ready for a picture."""
    page.goto(address)
    page.locator("#verdict .waiting").wait_for()
    page.locator("#picture input[type=file]").wait_for(state="attached")


def click_example(page: Page, title: str) -> None:
    """Click the first example whose title begins so, and wait for its map."""
    example = page.locator("#examples button", has_text=f": {title}").first
    if not example.is_visible():
        page.locator("#more-examples").click()
    example.click()
    page.locator("#verdict h2").wait_for()
    drawn(page)


def open_tab(page: Page, name: str) -> None:
    """Go to a tab; none is in a menu of those that don't fit."""
    page.get_by_role("tab", name=name, exact=True).click()
    page.get_by_role("tab", name=name, exact=True, selected=True).wait_for()


def drawn(page: Page) -> None:
    """Wait until the map is there; Gradio takes it away while another takes its place."""
    page.wait_for_function("document.querySelector('#map img')?.complete && document.querySelector('#map img').width")


def still(page: Page, selector: str = "#map img") -> None:
    """Wait until a part of the page, the map, has kept its place and size for eight frames."""
    page.evaluate(STILL, selector)


def click_map(page: Page, across: float, down: float) -> None:
    """Click the map at shares of its width and height."""
    image = page.locator("#map img")
    drawn(page)
    still(page)
    image.scroll_into_view_if_needed()
    size = image.bounding_box()
    image.click(position={"x": across * size["width"], "y": down * size["height"]})


def look_at_patch(page: Page) -> None:
    open_tab(page, "Patch")
    click_map(page, 0.45, 0.7)
    page.locator("#patch h3").first.wait_for()


def open_advanced(page: Page) -> None:
    """Open what is seldom needed below the map."""
    if not page.locator("#mode").is_visible():
        page.locator("#alpha-advanced").get_by_role("button", name="Advanced").click()
    page.locator("#mode").wait_for()


def look_at_region(page: Page) -> None:
    open_advanced(page)
    page.locator("#mode label").nth(1).click()
    before = page.locator("#map img").get_attribute("src")
    click_map(page, 0.25, 0.55)
    page.get_by_text("First corner set").wait_for()
    page.wait_for_function("(old) => ![undefined, old].includes(document.querySelector('#map img')?.src)", arg=before)
    click_map(page, 0.65, 0.95)
    page.get_by_text("Region set").wait_for()
    page.locator("#look").click()
    page.locator("#region .card").wait_for()


def hold(page: Page) -> None:
    open_tab(page, "Does it hold?")
    page.locator("#hold").click()
    page.locator("#stability img").wait_for()


def make_report(page: Page) -> None:
    open_tab(page, "Report")
    page.locator("#make").click()
    page.locator("#report-html").wait_for()


def run_batch(page: Page) -> None:
    open_tab(page, "Many pictures")
    files = [ROOT / "examples" / name for name in ("china.jpg", "flower.jpg", "cat_resynthesised.jpg", "README.md")]
    page.locator("#many-files input[type=file]").set_input_files(files)
    page.locator("#many-begin").click()
    page.locator("#many-csv").wait_for()


def compare_two(page: Page) -> None:
    open_tab(page, "Two pictures")
    for place, name in (("first", "china.jpg"), ("second", "china_composite.jpg")):
        page.locator(f"#compare-{place} input[type=file]").set_input_files(ROOT / "examples" / name)
        page.locator(f"#compare-{place}-card h2").wait_for()
