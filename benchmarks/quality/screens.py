"""Screenshots as a browser draws them: pages and a desktop, with photographs in them.

    python benchmarks/quality/screens.py PHOTOGRAPHS OUT --count 40       # PHOTOGRAPHS/SOURCE/PICTURE

Needs `playwright` and Debian's chromium, as `benchmarks/served.py` does. Of each layout `--count` screenshots are made,
with photographs that are drawn by lot, in a light or a dark theme, at one or two device pixels a CSS pixel. Every
second one is a PNG, as it was taken, the others are JPEGs, as they are sent on. They are written as
OUT/LAYOUT/screens/NUMBER, the way `validate.py --kinds` wants them. The layouts: "page without photographs" (text, a
table, buttons), "page with photographs" (an article), "gallery" (photographs side by side) and "desktop" (a photograph
behind windows).
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.quality.outlines import ENDINGS  # noqa: E402
from benchmarks.served import CHROMIUM, FLAGS  # noqa: E402

VIEW = (1280, 800)
WORDS = (
    "the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which "
    "one you were her all she there would their we him been has when who will more no if out so said what up its about "
    "into than them can only other new some could time these two may then do first any my now such like our over man me"
).split()
THEMES = (("#ffffff", "#1b1b1f", "#e8eaee"), ("#16181d", "#e4e6ea", "#2a2e36"))  # ground, text, panels
Layout = Callable[[list[str], np.random.Generator], str]


def text(rng: np.random.Generator, count: int) -> str:
    """A sentence of `count` words."""
    return " ".join(rng.choice(WORDS, count)).capitalize() + "."


def paragraphs(rng: np.random.Generator, count: int) -> str:
    return "".join(f"<p>{text(rng, int(rng.integers(25, 70)))}</p>" for _ in range(count))


def table(rng: np.random.Generator) -> str:
    rows = [
        f"<tr><td>{rng.choice(WORDS)}</td><td>{rng.integers(9999)}</td><td>{text(rng, 3)}</td></tr>" for _ in range(9)
    ]
    return f"<table>{''.join(rows)}</table>"


def plain(photographs: list[str], rng: np.random.Generator) -> str:
    above, below = paragraphs(rng, 3), paragraphs(rng, 3)
    return f"<main><h1>{text(rng, 5)}</h1>{above}{table(rng)}<button>Save</button>{below}</main>"


def article(photographs: list[str], rng: np.random.Generator) -> str:
    one, two = (f'<img src="{path}" style="width:{int(rng.integers(320, 860))}px">' for path in photographs[:2])
    return f"<main><h1>{text(rng, 6)}</h1>{paragraphs(rng, 1)}{one}{paragraphs(rng, 2)}{two}{paragraphs(rng, 4)}</main>"


def gallery(photographs: list[str], rng: np.random.Generator) -> str:
    width = int(rng.integers(180, 420))
    style = f"width:{width}px;height:{width}px;object-fit:cover;margin:4px"
    return "".join(f'<img src="{path}" style="{style}">' for path in photographs)


def desktop(photographs: list[str], rng: np.random.Generator) -> str:
    windows = ""
    for _ in range(int(rng.integers(1, 4))):
        x, y, w, h = rng.integers((20, 20, 320, 220), (700, 320, 640, 480))
        windows += (
            f'<div class="window" style="left:{x}px;top:{y}px;width:{w}px;height:{h}px"><b>{text(rng, 2)}</b>'
            f"{paragraphs(rng, 2)}</div>"
        )
    wall = f"background-image:url({photographs[0]})"
    return f'<div class="wall" style="{wall}">{windows}<div class="bar">12:45</div></div>'


LAYOUTS: dict[str, Layout] = {
    "page without photographs": plain,
    "page with photographs": article,
    "gallery": gallery,
    "desktop": desktop,
}


def page(layout: Layout, photographs: list[str], rng: np.random.Generator) -> str:
    """The HTML of one page."""
    ground, ink, panel = THEMES[int(rng.integers(2))]
    style = (
        f"body{{margin:0;background:{ground};color:{ink};font:{int(rng.integers(14, 20))}px sans-serif}}"
        f"main{{max-width:900px;margin:24px auto}}td{{border:1px solid {panel};padding:4px 12px}}"
        f".wall{{position:fixed;inset:0;background-size:cover;background-position:center}}"
        f".window{{position:absolute;background:{ground};border:1px solid {panel};padding:12px;overflow:hidden}}"
        f".bar{{position:absolute;bottom:0;left:0;right:0;height:40px;background:{panel};text-align:right;padding:8px}}"
    )
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{layout(photographs, rng)}"


def shot(browser: Browser, file: Path, scale: int) -> Image.Image:
    """What the browser shows of a page, as a picture."""
    size = dict(zip(("width", "height"), VIEW, strict=True))
    context = browser.new_context(viewport=size, device_scale_factor=scale)
    try:
        tab = context.new_page()
        tab.goto(file.resolve().as_uri(), wait_until="load")
        return Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
    finally:
        context.close()


def make(browser: Browser, photographs: list[Path], out: Path, count: int, seed: int) -> int:
    """Write `count` screenshots of each layout; how many in all."""
    made = 0
    for number, (name, layout) in enumerate(LAYOUTS.items()):
        folder = out / name / "screens"
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            rng = np.random.default_rng([seed, number, index])
            drawn = rng.choice(len(photographs), min(12, len(photographs)), replace=False)
            file = out / "page.html"
            file.write_text(page(layout, [photographs[i].resolve().as_uri() for i in drawn], rng), "utf-8")
            image = shot(browser, file, int(rng.integers(1, 3)))
            if index % 2:
                image.save(folder / f"{index:03d}.jpg", quality=int(rng.integers(80, 96)))
            else:
                image.save(folder / f"{index:03d}.png")
            file.unlink()
            made += 1
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="folder SOURCE/PICTURE")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=40, help="screenshots of each layout")
    parser.add_argument("--only", nargs="*", default=[], help="sources to take; default: all")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    photographs = [
        path
        for path in sorted(given.photographs.glob("*/*"))
        if path.suffix.lower() in ENDINGS and path.parent.name in (given.only or [path.parent.name])
    ]
    if len(photographs) < 2:
        raise SystemExit(f"{given.photographs} has fewer than two photographs.")
    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        print(f"{make(browser, photographs, given.out, given.count, given.seed)} screenshots in {given.out}.")
        browser.close()


if __name__ == "__main__":
    main()
