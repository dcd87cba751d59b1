"""How many untouched photographs with a shallow depth of field have an outline, by kind and map.

    python benchmarks/quality/outlines.py bundled shallow --sheets sheets   # FOLDER/KIND/SOURCE/PICTURE
    python benchmarks/quality/outlines.py --choose whole/real shallow       # makes such a folder
    python benchmarks/quality/outlines.py --choose whole/real shallow --listed benchmarks/configs/shallow.csv

A sharp subject before a blurred background is where a map of what does not match the rest is most likely to accuse a
photograph. `--choose` takes FOLDER/SOURCE/PICTURE and links those into KIND "shallow" of the second folder whose
sharpness says so. On a grid of 16 x 16 cells of the picture at 1,024 pixels, at least `SHARP` of the cells are about as
sharp as the sharpest, at least `BLURRED` have little fine detail and yet medium detail, as blur leaves it and sky or
paper don't, and sharp cells lie together. People then sort the folder into kinds, by the contact sheets: portrait,
flower, macro and so on. Only pictures of sources that no training saw belong there, each as it was published. With
`--listed` those of a list are linked under their kinds: kind, source, picture.

Printed, with 95% bootstrap intervals over sources and pictures: shares with any outline, by kind and map, and how much
of a picture is outlined then. Pictures that can't be judged count; their hatched patches have no outline. They are
looked at in an order drawn by lot, so a run that is ended early has looked at some of each.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps
from scipy.ndimage import gaussian_filter, uniform_filter
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.errors import ImageError  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.images.reader import read  # noqa: E402
from mdmf_core.training.dataset import lot  # noqa: E402

MAPS = ("evidence", "locator")
LONGEST, CELLS = 1024, 16
FINE, MEDIUM = 1.0, 8.0  # deviations of the blurs whose differences are fine and medium detail
SHARP, BLURRED = 0.05, 0.35  # least shares of cells
AS_SHARP, AS_BLURRED = 0.5, 0.15  # of the fine detail of the sharpest cells
LEAST_MEDIUM = 2.0  # grey levels of medium detail in a blurred cell
TOGETHER = 0.5  # mean share of sharp cells among the neighbours of one
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic", ".avif")
SHEET, THUMBNAIL = 8, 160  # pictures a row and their size
DRAWS = 1000
OFTEN = 5  # pictures after which the rows are kept


def details(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deviations (16, 16) of fine and of medium detail of a grey picture (H, W), in grey levels."""
    soft = gaussian_filter(grey, FINE)
    bands = grey - soft, soft - gaussian_filter(grey, MEDIUM)
    return tuple(np.sqrt(_cells(band**2)) for band in bands)


def _cells(values: np.ndarray) -> np.ndarray:
    h, w = (side // CELLS for side in values.shape)
    return values[: h * CELLS, : w * CELLS].reshape(CELLS, h, CELLS, w).mean((1, 3))


def is_shallow(fine: np.ndarray, medium: np.ndarray) -> bool:
    """Whether a picture is sharp in one part and blurred in another, by what `details` gives."""
    most = np.quantile(fine, 0.98)
    sharp = fine >= AS_SHARP * most
    blurred = (fine <= AS_BLURRED * most) & (medium >= LEAST_MEDIUM)
    near = (9 * uniform_filter(sharp.astype(float), 3, mode="constant") - 1) / 8
    return bool(sharp.mean() >= SHARP and blurred.mean() >= BLURRED and near[sharp].mean() >= TOGETHER)


def grey_of(path: Path) -> np.ndarray | None:
    """A file's luma (H, W), at most 1,024 pixels long, float32; None where it is smaller than that or can't be read."""
    try:
        with Image.open(path) as image:
            if max(image.size) < LONGEST:
                return None
            image.draft("L", (LONGEST, LONGEST))
            grey = image.convert("L")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    grey.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    return np.asarray(grey, np.float32)


def choose(given: Path, out: Path, listed: Path | None = None) -> int:
    """Link pictures with a shallow depth of field into out/shallow/SOURCE, or those of a list under kinds; how many."""
    count, kinds = 0, None
    if listed is not None:
        with open(listed, encoding="utf-8", newline="") as file:
            kinds = {(row["source"], row["picture"]): row["kind"] for row in csv.DictReader(file)}
    for path in tqdm(sorted(path for path in given.glob("*/*") if path.suffix.lower() in ENDINGS)):
        kind = kind_of(path) if kinds is None else kinds.get(path.parts[-2:])
        if kind:
            link = out / kind / path.parent.name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())
            count += 1
    return count


def kind_of(path: Path) -> str:
    """`shallow` where a file's depth of field is, or nothing."""
    grey = grey_of(path)
    return "shallow" if grey is not None and min(grey.shape) >= 2 * CELLS and is_shallow(*details(grey)) else ""


def pictures(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Kind, source and file of each picture of FOLDER/KIND/SOURCE."""
    for path in sorted(folder.glob("*/*/*")):
        if path.suffix.lower() in ENDINGS:
            yield path.parts[-3], path.parts[-2], path


def sheets(folder: Path, out: Path) -> None:
    """A contact sheet of each kind, 64 pictures a file, in the order of `pictures`, numbered from 0 in a kind."""
    own: dict[str, list[Path]] = {}
    for kind, _, path in pictures(folder):
        own.setdefault(kind, []).append(path)
    out.mkdir(parents=True, exist_ok=True)
    for kind, paths in own.items():
        for start in range(0, len(paths), SHEET**2):
            sheet = Image.new("RGB", (SHEET * THUMBNAIL, SHEET * THUMBNAIL))
            for place, path in enumerate(paths[start : start + SHEET**2]):
                with Image.open(path) as image:
                    image.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
                    small = ImageOps.contain(ImageOps.exif_transpose(image).convert("RGB"), (THUMBNAIL, THUMBNAIL))
                corner = THUMBNAIL * (place % SHEET), THUMBNAIL * (place // SHEET)
                sheet.paste(small, corner)
                ImageDraw.Draw(sheet).text(
                    corner, str(start + place), fill="white", stroke_width=2, stroke_fill="black"
                )
            sheet.save(out / f"{kind}_{start:04d}.jpg", quality=85)


def judged(detector: Detector, path: Path) -> dict[str, float]:
    """Shares of a picture's patches that are outlined, by map; nothing where it can't be read."""
    try:
        evidence = detector.detect(read(path, detector.model.geometry.min_side))
    except ImageError:
        return {}
    return {name: float(evidence.maps[name].outlined.mean()) for name in MAPS if name in evidence.maps}


def interval(sources: list[list[float]], rng: np.random.Generator) -> tuple[float, float]:
    """Ends of the 95% bootstrap interval of a mean over pictures; sources are drawn, then pictures of each."""
    means = []
    for _ in range(DRAWS):
        drawn = [sources[index] for index in rng.integers(0, len(sources), len(sources))]
        means.append(np.concatenate([rng.choice(own, len(own)) for own in drawn]).mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def figures(rows: list[dict]) -> dict[str, dict[str, dict]]:
    """By kind ("all" too) and map: pictures, sources, share with an outline, its interval, patches outlined then."""
    made: dict[str, dict[str, dict]] = {}
    for kind in [*sorted({row["kind"] for row in rows}), "all"]:
        for name in MAPS:
            own = [row for row in rows if kind in ("all", row["kind"]) and name in row["outlined"]]
            by_source: dict[str, list[float]] = {}
            for row in own:
                by_source.setdefault(row["source"], []).append(float(row["outlined"][name] > 0))
            hits = [row["outlined"][name] for row in own if row["outlined"][name]]
            made.setdefault(kind, {})[name] = {
                "pictures": len(own),
                "sources": len(by_source),
                "with_an_outline": len(hits) / max(1, len(own)),
                "interval": interval(list(by_source.values()), np.random.default_rng(0)) if own else None,
                "patches_outlined_then": float(np.mean(hits)) if hits else 0.0,
            }
    return made


def kept(path: Path | None, detector: Detector) -> list[dict]:
    """What an earlier run with the same detector found of pictures."""
    if path is None or not path.is_file():
        return []
    told = json.loads(path.read_text("utf-8"))
    return told["pictures"] if told["fingerprint"] == detector.fingerprint else []


def keep(path: Path, detector: Detector, rows: list[dict], found: dict) -> None:
    told = {"fingerprint": detector.fingerprint, "figures": found, "pictures": rows}
    write_whole(path, lambda place: place.write_text(json.dumps(told, indent=1) + "\n", "utf-8"))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="bundled")
    parser.add_argument("folder", type=Path, help="KIND/SOURCE/PICTURE; with --choose, the folder to make")
    parser.add_argument("--choose", type=Path, help="folder SOURCE/PICTURE to choose from by sharpness, and no more")
    parser.add_argument("--listed", type=Path, help="CSV of what `--choose` takes instead, with its kinds")
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets, and no more")
    parser.add_argument("--out", type=Path, help="JSON file for figures and rows; goes on with its rows")
    return parser.parse_args()


def main() -> None:
    given = parsed()
    if given.choose:
        print(f"{choose(given.choose, given.folder, given.listed)} pictures are linked in {given.folder}.")
        return
    if given.sheets:
        sheets(given.folder, given.sheets)
        return
    detector = Detector.from_pretrained(None if given.model == "bundled" else given.model)
    rows = kept(given.out, detector)
    known = {(row["kind"], row["source"], row["picture"]) for row in rows}
    by_lot = sorted(pictures(given.folder), key=lambda own: lot(f"{own[1]}/{own[2].name}"))
    for kind, source, path in tqdm([own for own in by_lot if (*own[:2], own[2].name) not in known]):
        rows.append({"kind": kind, "source": source, "picture": path.name, "outlined": judged(detector, path)})
        if given.out and not len(rows) % OFTEN:
            keep(given.out, detector, rows, {})
    found = figures(rows)
    for kind, own in found.items():
        for name, figure in own.items():
            ends = "" if figure["interval"] is None else " [{:.3f}, {:.3f}]".format(*figure["interval"])
            counted = f"{figure['pictures']} pictures of {figure['sources']} sources"
            print(f"{kind}, {name}: {figure['with_an_outline']:.3f}{ends} of {counted} with an outline")
    if given.out:
        keep(given.out, detector, rows, found)


if __name__ == "__main__":
    main()
