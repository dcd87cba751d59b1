"""Pictures of every tab, desktop and phone, light and dark: start the app, use it as a person would, photograph it.

    python .ci/screenshot.py --out runs/screens        # all of them
    python .ci/screenshot.py --best assets             # the one that the README shows

Needs what `benchmarks/served.py` needs.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.served import (  # noqa: E402
    CHROMIUM,
    ROOT,
    browser,
    click_example,
    compare_two,
    hold,
    look_at_patch,
    look_at_region,
    make_report,
    open_page,
    open_tab,
    run_batch,
    serve,
)

LAYOUTS = {"desktop": 1280, "phone": 390}
SCHEMES = ("light", "dark")
BEST = {"screenshot.png": "map-desktop-light"}


def steps(example: str) -> dict[str, Callable[[Page], None]]:
    """What to do before each picture, in this order."""
    return {
        "start": lambda page: None,
        "map": lambda page: click_example(page, example),
        "before-after": lambda page: open_tab(page, "Before / after"),
        "unusual": lambda page: open_tab(page, "How unusual"),
        "stability": hold,
        "origin": lambda page: open_tab(page, "Origin"),
        "report": make_report,
        "patch": look_at_patch,
        "region": look_at_region,
        "many": run_batch,
        "compare": compare_two,
        "mine": lambda page: open_tab(page, "My reference"),
        "model": lambda page: open_tab(page, "Model"),
    }


def take_all(chromium: Browser, address: str, folder: Path, example: str) -> Iterator[Path]:
    """Photograph every step in every layout and scheme."""
    folder.mkdir(parents=True, exist_ok=True)
    for layout, width in LAYOUTS.items():
        for scheme in SCHEMES:
            page = open_page(chromium, address, width, scheme=scheme)
            for name, step in steps(example).items():
                step(page)
                page.mouse.move(0, 0)
                page.wait_for_timeout(1500)
                path = folder / f"{name}-{layout}-{scheme}.png"
                page.screenshot(path=path, full_page=True)
                yield path
            page.context.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "screens", help="folder for all pictures")
    parser.add_argument("--best", type=Path, help="folder for a copy of the one that the README shows")
    parser.add_argument("--example", default="Astronaut", help="beginning of its title")
    options = parser.parse_args()
    if not CHROMIUM.exists():
        print(f"There is no {CHROMIUM}; install it with: apt-get install chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as address, browser() as chromium:
        for path in take_all(chromium, address, options.out, options.example):
            print(path)
    if options.best:
        options.best.mkdir(parents=True, exist_ok=True)
        for name, picture in BEST.items():
            shutil.copy(options.out / f"{picture}.png", options.best / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
