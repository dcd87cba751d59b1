"""What happens to pictures between their making and the analyst: recompression, resizing, blur, noise.

Pure functions on (H, W, 3) uint8 arrays. Three users: training draws a random `history` for every
picture of both classes, so that no container tells them apart; evaluation recompresses both classes
alike (`alike`) and walks the robustness curves of the paper (JPEG, blur, noise) and of resizing.
"""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image, ImageFilter

ROOM = 8  # pixels that an off-grid cut may take
LIVES = "as_is, alike, web, without_traces, history0, jpeg:Q, blur:S, noise:S or resize:F"
LIFE = re.compile(r"as_is|alike|web|without_traces|history\d+|(jpeg|blur|noise|resize):\d*\.?\d+([eE][+-]?\d+)?")
RESAMPLERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)


def _through_codec(pixels: np.ndarray, **options) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **options)
    return np.asarray(Image.open(buffer).convert("RGB"))


def jpeg(pixels: np.ndarray, quality: int, subsampling: int = 2) -> np.ndarray:
    """Compress as JPEG and decode; `subsampling` 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0."""
    return _through_codec(pixels, format="JPEG", quality=quality, subsampling=subsampling)


def webp(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Compress as lossy WebP and decode."""
    return _through_codec(pixels, format="WEBP", quality=quality, method=2)


def avif(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Compress as AVIF and decode."""
    return _through_codec(pixels, format="AVIF", quality=quality, speed=9)


def resize(pixels: np.ndarray, factor: float, resampler: Image.Resampling = Image.Resampling.BICUBIC) -> np.ndarray:
    """Resize both sides by `factor` (0.5 halves them), at least one pixel each."""
    height, width = pixels.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, resampler))


def blur(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with a standard deviation of `sigma` pixels."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma))) if sigma else pixels


def sharpen(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Unsharp mask of radius 1; `amount` 0.5 adds half of the detail again."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.UnsharpMask(1, round(100 * amount), 0)))


def noise(pixels: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise of standard deviation `sigma` (of the 0..1 range), clipped and rounded."""
    if not sigma:
        return pixels
    noisy = pixels + rng.normal(0.0, 255 * sigma, pixels.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def off_grid(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut 1 to 7 pixels from the top and from the left, so that an old 8 x 8 grid no longer lines up."""
    top, left = rng.integers(1, 8, 2)
    return pixels[top:, left:]


def alike(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The second condition of every quality figure: off-grid crop, then JPEG of quality 75 to 95."""
    return jpeg(off_grid(pixels, rng), int(rng.integers(75, 96)))


def web(pixels: np.ndarray, rng: np.random.Generator, smallest: int) -> np.ndarray:
    """The third condition: resized by 0.5 to 1.0, no side below `smallest` and room for the cut, then `alike`."""
    low = max(0.5, (smallest + ROOM) / min(pixels.shape[:2]))
    return alike(resize(pixels, rng.uniform(low, 1.0)) if low < 1 else pixels, rng)


def without_traces(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shrunk to a quarter and grown back to its size: what it shows is left, how it was made is not."""
    small = resize(pixels, 0.25, RESAMPLERS[rng.integers(len(RESAMPLERS))])
    return np.asarray(Image.fromarray(small).resize(pixels.shape[1::-1], Image.Resampling.BICUBIC))


def shrunk(pixels: np.ndarray, rng: np.random.Generator, smallest: int, lowest: float, highest: float) -> np.ndarray:
    """Resized by a random factor between `lowest` and `highest`; no side gets below `smallest` and room for a cut."""
    low = max(lowest, (smallest + ROOM) / min(pixels.shape[:2]))
    return resize(pixels, rng.uniform(low, highest), RESAMPLERS[rng.integers(len(RESAMPLERS))]) if low < 1 else pixels


def codec(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Through JPEG of any chroma subsampling, WebP or AVIF, at a random quality."""
    lot = rng.random()
    if lot < 0.78:
        return jpeg(pixels, int(rng.integers(65, 99)), int(rng.choice([0, 1, 2, 2])))
    if lot < 0.92:
        return webp(pixels, int(rng.integers(65, 96)))
    return avif(pixels, int(rng.integers(50, 90)))


def retouched(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """In one of five cases blurred, sharpened, median-filtered (as phones reduce noise) or noisy."""
    lot = rng.random()
    if lot < 0.05:
        return blur(pixels, rng.uniform(0.3, 0.9))
    if lot < 0.13:
        return sharpen(pixels, rng.uniform(0.2, 0.9))
    if lot < 0.16:
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.MedianFilter(3)))
    return noise(pixels, rng.uniform(0.002, 0.02), rng) if lot < 0.21 else pixels


def history(pixels: np.ndarray, rng: np.random.Generator, never_jpeg: bool, smallest: int = 128) -> np.ndarray:
    """A random history for a training picture, the same lottery for both classes.

    Args:
        pixels: (H, W, 3) uint8.
        rng: the source of every choice.
        never_jpeg: the file has no JPEG in its past. Most such pictures get one first, because nearly
            every real photograph has, and the label must not be readable from it.
        smallest: no resize or cut takes the shorter side below this many pixels.

    Returns:
        (H', W', 3) uint8, each side at most 1.18 times that of the input.
    """
    if never_jpeg and rng.random() < 0.6:
        pixels = jpeg(pixels, int(rng.integers(75, 100)), int(rng.choice([0, 2])))
    if rng.random() < 0.42:
        pixels = shrunk(pixels, rng, smallest, 0.5, 1.12)
    pixels = retouched(pixels, rng)
    for time in range(int(rng.choice([0, 1, 2], p=[0.22, 0.53, 0.25]))):
        if time and rng.random() < 0.3:
            pixels = shrunk(pixels, rng, smallest, 0.7, 1.05)
        pixels = codec(off_grid(pixels, rng) if min(pixels.shape[:2]) >= smallest + ROOM else pixels, rng)
    return pixels


def apply(condition: str, pixels: np.ndarray, rng: np.random.Generator, never_jpeg: bool, smallest: int) -> np.ndarray:
    """A picture after what `life` names.

    Args:
        condition: "as_is", "alike", "web", "without_traces", "history" and a number ("history0"; numbers only tell
            conditions apart), "jpeg:70", "blur:1.5", "noise:0.05" or "resize:0.7".
        pixels: (H, W, 3) uint8.
        rng: the source of every random choice.
        never_jpeg, smallest: as `history` takes them.

    Raises:
        ValueError: no condition has that name, or its number is out of range.
    """
    name, _, value = condition.partition(":")
    if condition == "as_is":
        return pixels
    if condition == "alike":
        return alike(pixels, rng)
    if condition == "web":
        return web(pixels, rng, smallest)
    if condition == "without_traces":
        return without_traces(pixels, rng)
    if re.fullmatch(r"history\d+", condition):
        return history(pixels, rng, never_jpeg, smallest)
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if name == "jpeg" and 1 <= number <= 100:
        return jpeg(pixels, int(number))
    if name == "blur" and 0 <= number <= 50:
        return blur(pixels, number)
    if name == "noise" and 0 <= number <= 1:
        return noise(pixels, number, rng)
    if name == "resize" and 0 < number <= 4:
        return resize(pixels, number)
    known = "as_is, alike, web, without_traces, jpeg:Q, blur:S, noise:S or resize:F"
    raise ValueError(f"There is no condition {condition!r}; use {known}.")


def generator(seed: int, condition: str, key: str) -> np.random.Generator:
    """The random numbers of a picture in one condition: the same on every machine and in any order of pictures."""
    return np.random.default_rng([seed, *condition.encode(), 0, *key.encode()])
