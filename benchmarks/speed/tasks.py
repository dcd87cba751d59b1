"""Five tasks on the page, as a person does them with a mouse: clicks, keys, scrolls, and seconds until the answer.

    python benchmarks/speed/tasks.py          # prints a table and writes benchmarks/results/tasks.json

A file that is dropped or chosen counts as one click, and so does a tab. A scroll is counted where an answer is not in
the window. Seconds are those that the page takes, not those that a person
needs to read or to find a button. Needs what `benchmarks/served.py` needs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import served  # noqa: E402
from benchmarks.speed.measure import facts  # noqa: E402

EXAMPLES = ROOT / "examples"
PICTURES = sorted(path for path in EXAMPLES.iterdir() if path.suffix in (".jpg", ".png") and "mask" not in path.name)
FILES = 50
ONCE_MORE = ("china_composite.jpg", "china.jpg")  # an edit and its original


@dataclass
class Hand:
    """What a person does on a page, counted."""

    page: Page
    clicks: int = 0
    keys: int = 0
    scrolls: int = 0

    def click(self, selector: str) -> None:
        self.page.locator(selector).first.click()
        self.clicks += 1

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()
        self.clicks += 1

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.keys += 1

    def give(self, field: str, files: Path | list[Path]) -> None:
        """Drop files on a field, which is one movement."""
        self.page.locator(f"{field} input[type=file]").set_input_files(files)
        self.clicks += 1

    def sees(self, selector: str, text: str = "", share: float = 1.0) -> None:
        """Wait for it, and scroll where less than that share of its height is in the window."""
        found = self.page.locator(selector, has_text=text).first
        found.wait_for()
        box, height = found.bounding_box(), self.page.viewport_size["height"]
        inside = min(height, box["y"] + box["height"]) - max(0, box["y"])
        if inside < share * min(height, box["height"]) - 1:
            found.scroll_into_view_if_needed()
            self.scrolls += 1


Task = Callable[[Hand, Path], None]


def whether_and_where(hand: Hand, folder: Path) -> None:
    hand.give("#picture", EXAMPLES / ONCE_MORE[0])
    hand.sees("#verdict .line", ONCE_MORE[0])
    hand.page.wait_for_function("document.querySelector('#map img')?.complete")
    hand.sees("#map img", share=0.9)


def quote_the_strongest(hand: Hand, folder: Path) -> None:
    hand.click("#verdict [data-copy]")
    hand.sees("#verdict [data-copy]", "Copied")
    copied = hand.page.evaluate("navigator.clipboard.readText()")
    if "Strongest of" not in copied:
        raise RuntimeError("The summary names no patch.")


def check_that_it_holds(hand: Hand, folder: Path) -> None:
    hand.page.wait_for_function("/^(Holds|Changes)/.test(document.querySelector('#verdict .held')?.textContent ?? '')")


def compare_with_the_original(hand: Hand, folder: Path) -> None:
    hand.tab("Two pictures")
    for place, name in zip(("first", "second"), ONCE_MORE, strict=True):
        hand.give(f"#compare-{place}", EXAMPLES / name)
        hand.sees(f"#compare-{place}-card h2")
    hand.sees(".stage-of-two .frame", share=0.9)


def triage_many(hand: Hand, folder: Path) -> None:
    hand.tab("Many pictures")
    hand.give("#many-files", many(folder))
    hand.page.locator("#many-files .file-preview").wait_for()
    hand.click("#many-begin")
    hand.sees("#many-csv")
    hand.sees("#many-table tbody tr")
    name = hand.page.locator("#many-table tbody tr[data-open] .name").first.inner_text()
    hand.click("#many-table tbody tr[data-open] button")
    hand.sees("#verdict .line", name)
    hand.sees("#map img", share=0.9)


TASKS: dict[str, Task] = {
    "find out whether and where": whether_and_where,
    "quote the strongest patch": quote_the_strongest,
    "check that it holds": check_that_it_holds,
    "compare with the original": compare_with_the_original,
    f"triage {FILES} files, open the strongest": triage_many,
}


def many(folder: Path) -> list[Path]:
    """The examples under other names, again and again."""
    sources = [PICTURES[number % len(PICTURES)] for number in range(FILES)]
    return [Path(shutil.copy(path, folder / f"{number:02d}_{path.name}")) for number, path in enumerate(sources)]


def run(tasks: dict[str, Task], address: str, chromium: Any, folder: Path) -> list[dict[str, Any]]:
    """Each task after the other on one page of 1440 x 900 pixels; what each took."""
    page, rows = served.open_page(chromium, address, 1440, 900), []
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for name, task in tasks.items():
        hand, begun = Hand(page), time.perf_counter()
        task(hand, folder)
        seconds = round(time.perf_counter() - begun, 1)
        counts = {"clicks": hand.clicks, "keys": hand.keys, "scrolls": hand.scrolls}
        rows.append({"task": name, **counts, "seconds": seconds})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "tasks.json")
    given = parser.parse_args()
    machine = facts()
    with tempfile.TemporaryDirectory() as name, served.serve(Path(name)) as address, served.browser() as chromium:
        rows = run(TASKS, address, chromium, Path(name))
    print(table(rows))
    given.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
