"""Training pictures as crops that are small enough to carry to another machine.

    python benchmarks/quality/packed.py benchmarks/configs/encoder_third.json runs/packed

From each training picture one crop, cut losslessly (a JPEG in its own blocks, by `jpegtran`), and how often it is to be
drawn, in archives of at most `PART` bytes; beside them the recipe's settings for the encoder. `on_gpu` trains on them.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mdmf_core.training import crops, encoder  # noqa: E402
from mdmf_core.training.dataset import Entry, scan, split  # noqa: E402
from mdmf_core.training.recipe import read_recipe  # noqa: E402

PART = 52 * 2**20  # bytes of an archive
JPEG_SIDE, OTHER_SIDE = 288, 240  # pixels of a crop's sides
EACH = 70  # crops of a source, at most


def _jpeg_crop(path: Path, size: tuple[int, int], rng: np.random.Generator) -> bytes:
    """A part of a JPEG file, of its own coefficients, at a multiple of 16 pixels."""
    width, height = (min(JPEG_SIDE, side) for side in size)
    x, y = (int(rng.integers(0, side - part + 1)) // 16 * 16 for side, part in zip(size, (width, height), strict=True))
    cut = ["jpegtran", "-copy", "none", "-crop", f"{width}x{height}+{x}+{y}", str(path)]
    return subprocess.run(cut, check=True, capture_output=True).stdout  # noqa: S603  # the words are our own


def _other_crop(image: Image.Image, rng: np.random.Generator) -> bytes:
    """A part of any other picture, as lossless WebP."""
    pixels = np.asarray(image.convert("RGB"))
    buffer = io.BytesIO()
    Image.fromarray(pixels[crops.corner(pixels, OTHER_SIDE, rng)]).save(buffer, "WEBP", lossless=True, method=4)
    return buffer.getvalue()


def small(entry: Entry) -> tuple[str, bytes]:
    """A crop of a training picture, and how its name ends; the most voluminous of three, which shows most detail."""
    rng = crops.degrade.generator(0, "small", entry.key)
    with Image.open(entry.path) as image:
        kind, fits = image.format, max(image.size) <= 1.4 * JPEG_SIDE
        if fits and kind in ("JPEG", "WEBP"):
            return kind.lower(), entry.path.read_bytes()
        if kind == "JPEG" and image.mode == "RGB":
            return "jpeg", max((_jpeg_crop(entry.path, image.size, rng) for _ in range(3)), key=len)
        return "webp", max((_other_crop(image, rng) for _ in range(3)), key=len)


def pack(recipe_path: Path, out: Path) -> None:
    """Write `part0.tar` and so on; each member's name is number, label, weight and source."""
    recipe = read_recipe(recipe_path)
    config, rng = recipe.encoder, np.random.default_rng(0)
    entries = [e for e in split(scan(recipe.data), **dict(recipe.split)).train if e.source not in config.leave_out]
    sources: dict[tuple[int, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        sources[entry.label, entry.source].append(entry)
    entries = [own[i] for own in sources.values() for i in sorted(rng.permutation(len(own))[:EACH])]
    weights = encoder.weights_of(entries, np.array([e.label for e in entries]), config)
    out.mkdir(parents=True, exist_ok=True)
    order = rng.permutation(len(entries))
    with ThreadPoolExecutor(2) as threads:
        made = threads.map(lambda i: (i, *small(entries[i])), order)
        for number, part in enumerate(_parts(made)):
            with tarfile.open(out / f"part{number}.tar", "w") as archive:
                for i, kind, data in part:
                    entry = entries[i]
                    info = tarfile.TarInfo(f"{i}_{entry.label}_{weights[i]:.4e}_{entry.source}.{kind}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
            print(f"part{number}.tar: {len(part)} crops", flush=True)
    settings = config.model_dump(mode="json")
    (out / "pretrain.json").write_text(json.dumps(settings, indent=1))


def _parts(made: Iterator[tuple[int, str, bytes]]) -> Iterator[list[tuple[int, str, bytes]]]:
    part, size = [], 0
    for item in made:
        if size + len(item[2]) + 1024 > PART:
            yield part
            part, size = [], 0
        part.append(item)
        size += len(item[2]) + 1024
    yield part


class Crop(NamedTuple):
    """A packed crop: pixels (H, W, 3) uint8, whether it has no JPEG in its past, its file, label, weight and source."""

    pixels: np.ndarray
    never_jpeg: bool
    file: bytes
    label: int
    weight: float
    source: str


def _crop(name: str, data: bytes) -> Crop:
    stem, kind = name.rsplit(".", 1)
    _, label, weight, source = stem.split("_", 3)
    with Image.open(io.BytesIO(data)) as image:
        return Crop(np.asarray(image.convert("RGB")), kind != "jpeg", data, int(label), float(weight), source)


def unpack(folder: Path, window: int) -> list[Crop]:
    """The crops of all archives in a folder that a window fits into, in the order of their names."""
    files = {}
    for path in sorted(folder.glob("part*.tar")):
        with tarfile.open(path) as archive:
            files |= {member.name: archive.extractfile(member).read() for member in archive}
    with ThreadPoolExecutor() as threads:
        found = list(threads.map(_crop, *zip(*sorted(files.items()), strict=True)))
    return [crop for crop in found if min(crop.pixels.shape[:2]) >= window + crops.degrade.ROOM]


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args(given)
    pack(options.recipe, options.out)


if __name__ == "__main__":
    main()
