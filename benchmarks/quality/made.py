"""Pictures of kinds that a detector must not judge as it judges photographs, made from held-out photographs.

Each function takes pixels (H, W, 3) uint8 and random numbers and gives pixels. `ORDINARY` are what happens to pictures
on their way, so that their false alarms are measured; `REFUSED` are what should be refused.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from mdmf_core.images import degrade

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
WORDS = "File Edit View Help Account balance Total Sign in Message 12:45 Search Settings Name Date Amount".split()


def palette(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """16 to 256 colours, as in a GIF, dithered or not."""
    colours, dither = int(rng.choice([16, 32, 64, 128, 256])), int(rng.choice([0, 3]))
    image = Image.fromarray(pixels).quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither(dither))
    return np.asarray(image.convert("RGB"))


def screenshot(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Windows, bars and text over flat colours, of the size of the picture, which is shown small in it."""
    height, width = pixels.shape[:2]
    light = int(rng.integers(225, 256))
    image = Image.new("RGB", (width, height), (light, light, light))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, width, height // 12), fill=tuple(int(v) for v in rng.integers(30, 220, 3)))
    for _ in range(5):
        left, top = int(rng.integers(0, width * 3 // 4)), int(rng.integers(height // 10, height * 3 // 4))
        box = (left, top, left + width // 4, top + height // 5)
        pen.rectangle(box, fill=tuple(int(v) for v in rng.integers(190, 256, 3)), outline=(120, 120, 120))
    for row in range(height // 8, height - 12, 16):
        pen.text((8, row), " ".join(rng.choice(WORDS, max(1, width // 60))), fill=(20, 20, 20))
    small = Image.fromarray(pixels).resize((max(1, width // 5), max(1, height // 5)), Image.Resampling.LANCZOS)
    image.paste(small, (width * 3 // 4, height * 3 // 4))
    return np.asarray(image)


def drawing(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flat areas of at most eight colours with dark lines between them, as a program for drawing saves them."""
    image = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(float(rng.uniform(4, 8))))
    flat = np.asarray(image.quantize(int(rng.integers(4, 9)), dither=Image.Dither.NONE).convert("RGB")).copy()
    edges = (flat[1:, 1:] != flat[:-1, 1:]).any(2) | (flat[1:, 1:] != flat[1:, :-1]).any(2)
    flat[1:, 1:][edges] = 20
    return flat


def white(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One colour, mostly white."""
    return np.full_like(pixels, 255 if rng.random() < 0.5 else int(rng.integers(0, 256)))


def gradient(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """From one colour to another, across or down."""
    height, width = pixels.shape[:2]
    ramp = np.linspace(*rng.uniform(0, 255, (2, 3)), width if rng.random() < 0.5 else height)
    across = ramp[None] if len(ramp) == width else ramp[:, None]
    return np.broadcast_to(np.rint(across), (height, width, 3)).astype(np.uint8)


def enlarged(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The middle, four times as large; of the size of the picture."""
    height, width = pixels.shape[:2]
    rows, cols = height // 4, width // 4
    top, left = (height - rows) // 2, (width - cols) // 2
    middle = Image.fromarray(pixels[top : top + rows, left : left + cols])
    resampler = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BILINEAR)[rng.integers(3)]
    return np.asarray(middle.resize((width, height), resampler))


def dark(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposed so little that hardly more than black is left."""
    return np.rint(pixels * rng.uniform(0.02, 0.06)).astype(np.uint8)


def recompressed(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return degrade.alike(pixels, rng)


def resized(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return degrade.web(pixels, rng, 128)


def blurred(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return degrade.blur(pixels, float(rng.uniform(0.8, 3)))


def noisy(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return degrade.noise(pixels, float(rng.uniform(0.02, 0.1)), rng)


def median(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.MedianFilter(int(rng.choice([3, 5])))))


def phone(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A phone's noise reduction: luma median-filtered in part, colour blurred, then sharpened and saved as JPEG."""
    luma, *colour = Image.fromarray(pixels).convert("YCbCr").split()
    luma = Image.blend(luma, luma.filter(ImageFilter.MedianFilter(3)), float(rng.uniform(0.5, 0.9)))
    colour = [band.filter(ImageFilter.GaussianBlur(2)) for band in colour]
    image = Image.merge("YCbCr", (luma, *colour)).convert("RGB").filter(ImageFilter.UnsharpMask(1, 70, 2))
    return degrade.jpeg(np.asarray(image), int(rng.integers(88, 96)))


ORDINARY: dict[str, Change] = {
    "recompressed": recompressed,
    "resized": resized,
    "blurred": blurred,
    "noisy": noisy,
    "median": median,
    "phone noise reduction": phone,
}
REFUSED: dict[str, Change] = {
    "palette": palette,
    "screenshot": screenshot,
    "drawing": drawing,
    "one colour": white,
    "gradient": gradient,
    "enlarged 4x": enlarged,
    "dark": dark,
}
