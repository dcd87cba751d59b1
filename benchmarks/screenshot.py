"""Take the README's picture of the page: start the app, click an example, wait for its result.

    python benchmarks/screenshot.py --out assets/screenshot.png

Needs `playwright` (requirements-dev.txt) and Debian's chromium (`apt-get install chromium`). The browser tests
start the app and the browser with the same functions.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
START_SECONDS = 90


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The address of `python app.py`, run from another folder, with the bundled detector.

    Raises:
        RuntimeError: it ended, or did not answer in time; with what it printed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("MDMF_", "GRADIO_"))}
    settings |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    log = folder / "app.log"
    with log.open("w") as out:
        command = [sys.executable, str(ROOT / "app.py")]
        program = subprocess.Popen(command, cwd=folder, env=settings, stdout=out, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + START_SECONDS
        while not _answers(address):
            if program.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"app.py does not answer:\n{log.read_text()}")
            time.sleep(0.3)
        yield address
    finally:
        program.terminate()
        program.wait(20)


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as reply:
            return reply.status == 200
    except (URLError, OSError):
        return False


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without its background requests."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


def open_page(chromium: Browser, address: str, width: int = 1280, height: int = 900, scheme: str = "light") -> Page:
    """The page, once it is ready for a picture."""
    page = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
    page.goto(address)
    page.locator("#verdict .waiting").wait_for()
    page.locator("#picture input[type=file]").wait_for(state="attached")
    return page


def click_example(page: Page, title: str) -> None:
    """Click the first example whose title begins so, and wait for its map."""
    page.locator("#examples button", has_text=f": {title}").first.click()
    page.locator("#verdict h2").wait_for()
    page.locator("#map img").wait_for()
    page.wait_for_function("document.querySelector('#map img').complete")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "screenshot.png")
    parser.add_argument("--example", default="Astronaut", help="beginning of its title")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    options = parser.parse_args()
    if not CHROMIUM.exists():
        print(f"There is no {CHROMIUM}; install it with: apt-get install chromium", file=sys.stderr)
        return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as address, browser() as chromium:
        page = open_page(chromium, address, options.width, scheme=options.scheme)
        click_example(page, options.example)
        page.wait_for_timeout(1000)
        page.screenshot(path=options.out, full_page=True)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
