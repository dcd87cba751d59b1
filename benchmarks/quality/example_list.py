"""The pictures of examples/, in the order of display: what each is, whose, and what is known about it.

They were chosen by kind before anybody looked at their scores. `make_examples.py` makes the files, `judge_examples.py`
writes this list beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

JPEG_QUALITY = 95
SKIMAGE = "scikit-image 0.26.0, skimage/data/"
SKLEARN = "scikit-learn 1.9.1, sklearn/datasets/images/"
MATPLOTLIB = "matplotlib 3.11.2, mpl-data/sample_data/"
CC_BY = "CC BY 2.0 (https://creativecommons.org/licenses/by/2.0/)"
CC0 = "CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/)"
APACHE = "Apache-2.0, by TeenBiscuits"
IMAGEN = "TeenBiscuits/RealOrAI @ 7e84faec19ef, public/images/ai/"


@dataclass(frozen=True)
class Example:
    """One entry of examples.json; `truth` is "photograph", "generated" or "edited"."""

    file: str
    title: str
    kind: str
    what: str
    licence: str
    source: str
    truth: str = "photograph"
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
        "dog_in_car.jpg",
        "Dog in a car",
        "generated",
        "A whole picture made by Google Imagen, as its repository says.",
        APACHE,
        f"{IMAGEN}ai_0075.jpg, unchanged",
        "generated",
    ),
    Example(
        "breakfast.jpg",
        "Breakfast table",
        "generated",
        "A whole picture made by Google Imagen, as its repository says.",
        APACHE,
        f"{IMAGEN}ai_0080.jpg, unchanged",
        "generated",
    ),
    Example(
        "garden_table.png",
        "Table in a garden",
        "generated",
        "A whole picture made by Stable Diffusion XL in ComfyUI, as the file's own records say.",
        "MIT, by hitthecodelabs",
        "hitthecodelabs/CreativeAI-Portraits @ c2ea3f102272, text2image/output/ComfyUI_00120_.png, unchanged",
        "generated",
    ),
    Example(
        "yellow_house.jpg",
        "Yellow house",
        "generated",
        "A whole picture made by Kandinsky 3, a sample of its official repository.",
        "Apache-2.0, by ai-forever",
        "ai-forever/Kandinsky-3 @ a4c9e92e4d9b, assets/photo_16.jpg, unchanged",
        "generated",
    ),
    Example(
        "astronaut_composite.png",
        "Astronaut, the suit re-synthesised",
        "edited",
        "A NASA portrait of the astronaut Eileen Collins in which this project had Real-ESRGAN invent the detail of "
        "the orange suit; her face and the background are the photograph.",
        "Public domain, like its photograph (NASA; no known copyright restrictions)",
        f"Made by this project from {SKIMAGE}astronaut.png (https://flic.kr/p/r9qvLn); PNG",
        "edited",
        "astronaut_composite_mask.png",
    ),
    Example(
        "china_composite.jpg",
        "Pagoda above a lake, the pagoda re-synthesised",
        "edited",
        "The photograph of a pagoda shown above in which this project had Real-ESRGAN invent the detail of the "
        "building and of a narrow strip around it; the rest is the photograph.",
        f"{CC_BY}, photograph by danielbuechele, changed as described",
        f"Made by this project from {SKLEARN}china.jpg; JPEG of quality {JPEG_QUALITY}",
        "edited",
        "china_composite_mask.png",
    ),
    Example(
        "rocket_edited.jpg",
        "Rocket, made again",
        "edited",
        "The photograph of a rocket shown above in which this project had the latent decoder of a current generator "
        "make the rocket and the sky around it again; the rest is the photograph.",
        "Public domain, like its photograph (SpaceX)",
        f"Made by this project from {SKIMAGE}rocket.jpg; JPEG of quality {JPEG_QUALITY}",
        "edited",
        "rocket_edited_mask.png",
    ),
    Example(
        "flower_edited.png",
        "Dahlia, the blossom made again",
        "edited",
        "The photograph of a dahlia shown above in which this project had the latent decoder of a current generator "
        "make the blossom again; the rest is the photograph.",
        f"{CC_BY}, photograph by vultilion, changed as described",
        f"Made by this project from {SKLEARN}flower.jpg; PNG",
        "edited",
        "flower_edited_mask.png",
    ),
    Example(
        "cat_resynthesised.jpg",
        "Cat, wholly re-synthesised",
        "re-synthesised",
        "A photograph of a cat by Stefan van der Walt that this project shrank four times and let Real-ESRGAN grow "
        "back, so that every fine detail is invented.",
        f"{CC0}, like its photograph",
        f"Made by this project from {SKIMAGE}chelsea.png; JPEG of quality {JPEG_QUALITY}",
        "generated",
    ),
    Example(
        "coffee_resynthesised.png",
        "Cup of coffee, wholly re-synthesised",
        "re-synthesised",
        "The photograph of a cup of espresso shown above, which this project shrank four times and let Real-ESRGAN "
        "grow back, so that every fine detail is invented.",
        f"{CC0}, like its photograph",
        f"Made by this project from {SKIMAGE}coffee.png; PNG",
        "generated",
    ),
    Example(
        "cat_decoded.png",
        "Cat, wholly made again by a latent decoder",
        "re-synthesised",
        "A photograph of a cat by Stefan van der Walt that this project turned into the latents of a current generator "
        "and back: to the eye the same, but every pixel is the decoder's.",
        f"{CC0}, like its photograph",
        f"Made by this project from {SKIMAGE}chelsea.png; PNG",
        "generated",
    ),
    Example(
        "mountain_path_signed.jpg",
        "Mountain path, with a signed origin",
        "signed",
        "A whole picture made by Google Imagen, as its repository says, to which this project added a signed manifest "
        "that declares it so; no list of trusted signers knows the certificate.",
        APACHE,
        f"{IMAGEN}ai_0211.jpg, with a manifest (C2PA) added by this project; the pixels are unchanged",
        "generated",
    ),
    Example(
        "coffee_marked.png",
        "Cup of coffee, with an invisible mark",
        "watermarked",
        "The photograph of a cup of espresso shown above, which this project had the latent decoder of a current "
        "generator make again and then marked in its pixels as the reference code of Stable Diffusion XL does.",
        f"{CC0}, like its photograph",
        f"Made by this project from {SKIMAGE}coffee.png; PNG",
        "generated",
    ),
]
