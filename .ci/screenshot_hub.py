"""Pictures of the app with a Hub: offline, unreachable, reachable, and with a checkpoint of the wrong shape.

    python .ci/screenshot_hub.py --out assets

The Hub is the stand-in of the tests (`tests/helpers/hub.py`). The checkpoint that it serves is the bundled detector; to
be loaded in the page it has one with random weights. Needs what `benchmarks/served.py` needs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from hub import StandIn, environment  # noqa: E402
from tiny import make_checkpoint  # noqa: E402

from benchmarks.served import (  # noqa: E402
    CHROMIUM,
    browser,
    click_example,
    free_port,
    open_page,
    open_tab,
    serve,
)

GOOD, WRONG, RANDOM = "someone/mdmf-compact", "someone/wrong-shape", "someone/random-weights"
CARD = """---
license: mit
library_name: mdmf
tags: [image-forensics]
metrics: [roc_auc]
---

# random-weights

A detector with random weights, to look at the page: its results mean nothing.
"""


def fill(hub: StandIn, folder: Path) -> None:
    """The repositories: the bundled detector, the same with a signature of another length, and one for the page."""
    hub.publish(GOOD, ROOT / "assets" / "bundled")
    wrong = Path(shutil.copytree(ROOT / "assets" / "bundled", folder / "wrong"))
    config = json.loads((wrong / "config.json").read_text("utf-8"))
    config["pfs"]["signature"] += 1
    (wrong / "config.json").write_text(json.dumps(config), "utf-8")
    hub.publish(WRONG, wrong)
    other = make_checkpoint(folder / "random")
    (other / "README.md").write_text(CARD, "utf-8")
    hub.publish(RANDOM, other)


def load_in_page(page: Page) -> None:
    open_tab(page, "Model")
    page.locator("#model-wanted").locator("input, textarea").fill(RANDOM)
    page.locator("#model-load").click()
    page.locator("#model-status", has_text=f"{RANDOM} is in use").wait_for()


def look_at_model(page: Page) -> None:
    open_tab(page, "Model")


def take(chromium: Browser, path: Path, folder: Path, settings: dict[str, str], step: Callable[[Page], None]) -> Path:
    """Start the app with these settings only, do the step, photograph what is seen."""
    folder.mkdir()
    with serve(folder, **settings) as address:
        page = open_page(chromium, address, height=800)
        step(page)
        page.mouse.move(0, 0)
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(1500)
        page.screenshot(path=path)
        page.context.close()
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(96, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def take_all(chromium: Browser, hub: StandIn, out: Path, folder: Path) -> Iterator[Path]:
    """The four pictures; the one of a Hub at hand comes first, for it fills the cache of the one without."""
    cache = str(folder / "cache")
    dead = f"http://127.0.0.1:{free_port()}"

    def take_one(name: str, settings: dict[str, str], step: Callable[[Page], None]) -> Path:
        return take(chromium, out / f"hub_{name}.png", folder / name, settings, step)

    reached = {"HF_ENDPOINT": hub.url, "HF_HOME": cache}
    yield take_one("standin", {**reached, "MDMF_MODEL": GOOD}, load_in_page)
    yield take_one("offline", {"HF_HUB_OFFLINE": "1", "HF_HOME": cache, "MDMF_MODEL": GOOD}, look_at_model)
    unreachable = {"HF_ENDPOINT": dead, "HF_HOME": str(folder / "empty"), "MDMF_MODEL": GOOD}
    yield take_one("unreachable", unreachable, lambda page: click_example(page, "Astronaut"))
    yield take_one("wrong_shape", {**reached, "MDMF_MODEL": WRONG}, look_at_model)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "screens", help="folder for the pictures")
    out = parser.parse_args().out.resolve()
    if not CHROMIUM.exists():
        print(f"There is no {CHROMIUM}; install it with: apt-get install chromium", file=sys.stderr)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, StandIn() as hub, browser() as chromium:
        folder = Path(name)
        fill(hub, folder)
        kept = environment(hub.url, folder / "cache")
        for setting in set(os.environ) - set(kept):  # a token or a proxy of the person who runs this
            del os.environ[setting]
        for path in take_all(chromium, hub, out, folder):
            print(path, f"{path.stat().st_size / 1000:.0f} kB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
