"""From a picture's drop to its verdict and its map, as a browser shows them. Part of `all.py`.

    python benchmarks/speed/all.py --only drop

The clock runs in the browser: from the moment that the page's file field has the picture until the verdict is on
the screen, and until the map is. What comes by itself afterwards, the finer map and the stability test, has ended
before the next picture comes. Processor time is that of the page and the browser together until the map.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page

from benchmarks import served
from benchmarks.speed.measure import Rows
from benchmarks.speed.picture import photograph

SIZES = {"0.5 MP": (816, 612), "12 MP": (4000, 3000), "48 MP": (8000, 6000)}
RUNS = 3
CLOCK = """() => {
    const at = (selector) => document.querySelector(selector), seen = {};
    const shown = (element) => element?.checkVisibility() ? element : null;
    const look = () => {
        const now = performance.now(), map = shown(at("#map img"));
        if (seen.given && !seen.verdict && shown(at("#verdict .card.answer:not([data-old])"))) seen.verdict = now;
        if (seen.verdict && map?.complete && map.naturalWidth) seen.map = now;
        if (!seen.map) requestAnimationFrame(look);
    };
    window.seen = seen;
    document.addEventListener("change", ({target}) => {
        if (!target.matches("#picture input[type=file]")) return;
        const card = at("#verdict .card");
        if (card) card.dataset.old = "1";
        Object.assign(seen, {given: performance.now(), verdict: 0, map: 0});
        look();
    }, true);
}"""


def drop(folder: Path, quick: bool) -> Rows:
    """Milliseconds from a picture's arrival to its verdict and its map, for three sizes, on a page that is warm."""
    rows: Rows = {}
    with served.serve(folder) as address, served.browser() as chromium:
        page = served.open_page(chromium, address, 1440, 900)
        page.evaluate(CLOCK)
        give(page, photograph(700, 500, folder / "first.jpg"))
        for name, (width, height) in SIZES.items():
            path = photograph(width, height, folder / f"{width}.jpg")
            runs = [give(page, path) for _ in range(1 if quick else RUNS)]
            rows[f"drop of {name}"] = {
                "file_mb": path.stat().st_size / 1e6,
                **{key: float(np.median([run[key] for run in runs])) for key in runs[0]},
            }
    return rows


def give(page: Page, path: Path) -> dict[str, Any]:
    """Give the page a picture; what it waited for its verdict and map, and the processor time that went into both.

    Raises:
        RuntimeError: the page did not analyse it.
    """
    before = processor_seconds()
    page.evaluate("window.seen.map = 0")
    page.locator("#picture input[type=file]").set_input_files(path)
    page.wait_for_function("window.seen.map || document.querySelector('#verdict .card.error')")
    if error := page.locator("#verdict .card.error").all_inner_texts():
        raise RuntimeError(f"The page could not analyse {path.name}: {error[0]}")
    spent = processor_seconds() - before
    seen = page.evaluate("window.seen")
    page.get_by_text("Drawn finer").wait_for()
    page.wait_for_function("/^(Holds|Changes)/.test(document.querySelector('#verdict .held')?.textContent ?? '')")
    waits = {f"{name}_ms": seen[name] - seen["given"] for name in ("verdict", "map")}
    return {**waits, "processor_ms": 1e3 * spent}


def processor_seconds() -> float:
    """Processor time of all processes that descend from this one, on Linux."""
    spent, parents = {}, {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, rest = int(place.parent.name), place.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        parents[number], spent[number] = int(rest[1]), sum(map(int, rest[11:15]))
    below = {os.getpid()}
    for _ in parents:
        more = {number for number, parent in parents.items() if parent in below} - below
        if not more:
            break
        below |= more
    return sum(spent.get(number, 0) for number in below) / os.sysconf("SC_CLK_TCK")


SECTIONS = {"drop": drop}
