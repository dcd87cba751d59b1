"""What an adversary does to the answer: held-out pictures after one attack each, and how many still get p <= 0.05.

    python benchmarks/quality/attack.py bundled ../shared/data --each 12

The pictures are those of sources with the role "test" in `benchmarks/configs/folds.json`, which the detector never saw;
art is left out. Real pictures go through the same attacks, for what makes generated pictures pass may make real ones
fail. A picture that an attack leaves too small is counted apart. "Kept" is the share of the generated pictures called
generated as they are that are still called so. "Traces" are the shares with a likelihood ratio of 10 or more that are
not refused, and "worth" is the one over the other: the ratio that such an answer has after the attack. "Refused" are
the shares that can't be judged. Prints a table and writes `attack.json` to `--out`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFilter, ImageOps

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality import roles  # noqa: E402
from benchmarks.quality.held_out_tables import head, line  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.errors import ImageError  # noqa: E402
from mdmf_core.evidence import TRACES  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.images import degrade  # noqa: E402
from mdmf_core.images.reader import read  # noqa: E402
from mdmf_core.run import workers  # noqa: E402
from mdmf_core.training.dataset import Entry  # noqa: E402

ALPHA = 0.05
SCREEN = (1920, 1080)
AS_IS = "as it is"
Attack = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def crop(pixels: np.ndarray) -> np.ndarray:
    """The middle of the picture, half of its area."""
    height, width = pixels.shape[:2]
    top, left = round(height * (1 - 0.5**0.5) / 2), round(width * (1 - 0.5**0.5) / 2)
    return pixels[top : height - top, left : width - left]


def median(pixels: np.ndarray, size: int) -> np.ndarray:
    """Each channel's median in windows of `size` x `size` pixels."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.MedianFilter(size)))


def screenshot(pixels: np.ndarray) -> np.ndarray:
    """Shown as large as a screen allows, taken (as PNG, which changes nothing) and handed on as JPEG."""
    return degrade.jpeg(np.asarray(ImageOps.contain(Image.fromarray(pixels), SCREEN)), 85)


def border(pixels: np.ndarray, photograph: np.ndarray) -> np.ndarray:
    """The picture in the middle of a photograph that is enlarged or shrunk to twice its area."""
    height, width = pixels.shape[:2]
    size = round(width * 2**0.5), round(height * 2**0.5)
    framed = np.array(ImageOps.fit(Image.fromarray(photograph), size))
    top, left = (framed.shape[0] - height) // 2, (framed.shape[1] - width) // 2
    framed[top : top + height, left : left + width] = pixels
    return framed


def mixed(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Resized to 0.75, noise of 1%, then JPEG 80."""
    return degrade.jpeg(degrade.noise(degrade.resize(pixels, 0.75), 0.01, rng), 80)


def attacks(photograph: np.ndarray) -> dict[str, Attack]:
    """What is done to a picture, by name; `photograph` is for the border."""
    found: dict[str, Attack] = {AS_IS: lambda x, rng: x}
    found |= {f"JPEG {q}": lambda x, rng, q=q: degrade.jpeg(x, q) for q in (95, 90, 80, 70, 60, 50)}
    found |= {f"WebP {q}": lambda x, rng, q=q: degrade.webp(x, q) for q in (90, 70, 50)}
    found |= {f"resized to {f:g}": lambda x, rng, f=f: degrade.resize(x, f) for f in (0.9, 0.8, 0.7, 0.6, 0.5, 1.5)}
    found |= {f"noise of {s:.0%}": lambda x, rng, s=s: degrade.noise(x, s, rng) for s in (0.01, 0.02, 0.05)}
    found |= {f"blur of {s:g} pixels": lambda x, rng, s=s: degrade.blur(x, s) for s in (0.5, 1, 2)}
    found |= {f"median of {n} x {n}": lambda x, rng, n=n: median(x, n) for n in (3, 5)}
    found |= {f"sharpened by {a:g}": lambda x, rng, a=a: degrade.sharpen(x, a) for a in (0.5, 1)}
    found["cropped to half"] = lambda x, rng: crop(x)
    found["screenshot, JPEG 85"] = lambda x, rng: screenshot(x)
    found["in a real border"] = lambda x, rng: border(x, photograph)
    found["resized to 0.75, noise of 1%, JPEG 80"] = mixed
    return found


class Answer(NamedTuple):
    """What the detector says of one picture: its p-value, whether there are traces, and whether it is refused."""

    p_value: float
    traces: bool = False
    refused: bool = False


Row = tuple[int, dict[str, Answer | None]]  # label, and the answer after each attack; None where it is too small


def judge(detector: Detector, pair: tuple[Entry, Entry]) -> dict[str, Answer | None]:
    """The answer to a picture after each attack, None where it is too small; the pair's second is for the border."""
    entry, photograph = pair
    pixels, smallest = read(entry.path, 1).pixels, detector.model.geometry.min_side
    found: dict[str, Answer | None] = {}
    for name, attack in attacks(read(photograph.path, 1).pixels).items():
        attacked = attack(pixels, degrade.generator(0, name, entry.key))
        try:
            verdict = detector.detect(read(attacked, smallest), ALPHA, locate=False).verdict
            traces = verdict.judged and verdict.strength is not None and verdict.strength.ratio >= TRACES
            found[name] = Answer(verdict.p_value, traces, not verdict.judged)
        except ImageError:
            found[name] = None
    return found


def borders(entries: list[Entry]) -> list[tuple[Entry, Entry]]:
    """Each entry with a real picture of another source, by turns."""
    real = [entry for entry in entries if entry.label == 0]
    pairs = []
    for index, entry in enumerate(entries):
        others = [other for other in real if other.source != entry.source]
        pairs.append((entry, others[index % len(others)]))
    return pairs


def measure(detector: Detector, entries: list[Entry], processes: int) -> list[Row]:
    """Label and answers of each picture.

    Raises:
        RuntimeError: a picture could not be judged at all.
    """
    pairs, rows = borders(entries), []
    for (entry, _), found in zip(pairs, workers.run(partial(judge, detector), pairs, processes), strict=True):
        if isinstance(found, workers.Died):
            raise RuntimeError(f"{entry.key}: {found}")
        rows.append((entry.label, found))
        print(f"\r{len(rows)} of {len(pairs)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows


def summary(rows: list[Row]) -> dict[str, dict[str, Any]]:
    """For each attack: shares and numbers of both classes, what is kept, what traces are worth, what is too small."""
    table = {}
    for name in rows[0][1]:
        own = [[answers[name] for of, answers in rows if of == label and answers[name]] for label in (0, 1)]
        before = [answers for label, answers in rows if label and answers[AS_IS] and answers[AS_IS].p_value <= ALPHA]
        row: dict[str, Any] = {"kept": share(answers[name].p_value <= ALPHA for answers in before if answers[name])}
        for word, answers in zip(("real", "generated"), own, strict=True):
            row[word] = share(answer.p_value <= ALPHA for answer in answers)
            row[f"traces_{word}"] = share(answer.traces for answer in answers)
            row[f"refused_{word}"] = share(answer.refused for answer in answers)
            row[f"n_{word}"] = len(answers)
        row["worth"] = row["traces_generated"] / row["traces_real"] if row["traces_real"] else None
        table[name] = row | {"too_small": sum(answers[name] is None for _, answers in rows)}
    return table


def share(called: Iterable[bool]) -> float | None:
    called = list(called)
    return float(np.mean(called)) if called else None


def markdown(table: dict[str, dict[str, Any]]) -> str:
    """The table for people."""
    lines = head("attack", "p <= 0.05: generated", "kept", "real", "traces: generated", "real", "worth", "refused", "n")

    def told(value: float | None, digits: int = 3) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    for name, row in table.items():
        by_p = [told(row[key]) for key in ("generated", "kept", "real")]
        by_ratio = [told(row["traces_generated"]), told(row["traces_real"]), told(row["worth"], 1)]
        refused = f"{told(row['refused_generated'])} / {told(row['refused_real'])}"
        lines.append(line(name, *by_p, *by_ratio, refused, f"{row['n_generated']} / {row['n_real']}"))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="'bundled', a folder or a Hub repository")
    parser.add_argument("data", type=Path)
    parser.add_argument("--folds", type=Path, default=roles.FOLDS, help="the file of roles")
    parser.add_argument("--each", type=int, default=12, help="pictures of a source at most")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    detector = Detector.from_pretrained(None if arguments.checkpoint == "bundled" else arguments.checkpoint)
    known = roles.load(arguments.folds)
    entries = roles.without_art(roles.held_out(arguments.data, known, arguments.each), known)
    table = summary(measure(detector, entries, arguments.processes))
    result = {
        "fingerprint": detector.fingerprint,
        "each": arguments.each,
        "alpha": ALPHA,
        "attacks": table,
    }
    text = json.dumps(result, indent=1) + "\n"
    write_whole(arguments.out / "attack.json", lambda path: path.write_text(text, "utf-8"))
    print(markdown(table))


if __name__ == "__main__":
    main()
