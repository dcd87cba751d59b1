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


def history(pixels: np.ndarray, rng: np.random.Generator, never_jpeg: bool, smallest: int = 128) -> np.ndarray:
    """A random life for a training picture, the same lottery for both classes.

    Args:
        pixels: (H, W, 3) uint8.
        rng: the source of every choice.
        never_jpeg: the file has no JPEG in its past. Most such pictures get one first, because nearly
            every real photograph has, and the label must not be readable from it.
        smallest: no resize takes the shorter side below this many pixels.

    Returns:
        (H', W', 3) uint8, each side at most that of the input plus a tenth.
    """
    if never_jpeg and rng.random() < 0.7:
        pixels = jpeg(pixels, int(rng.integers(72, 100)), int(rng.choice([0, 2])))
    if rng.random() < 0.35:
        low = max(0.6, (smallest + 8) / min(pixels.shape[:2]))  # 8: an off-grid cut may follow
        if low < 1:
            pixels = resize(pixels, rng.uniform(low, 1.1), RESAMPLERS[rng.integers(len(RESAMPLERS))])
    if rng.random() < 0.06:
        pixels = blur(pixels, rng.uniform(0.3, 0.9))
    elif rng.random() < 0.08:
        pixels = sharpen(pixels, rng.uniform(0.2, 0.8))
    if rng.random() < 0.05:
        pixels = noise(pixels, rng.uniform(0.002, 0.015), rng)
    if rng.random() < 0.75:
        pixels = off_grid(pixels, rng)
        if rng.random() < 0.08:
            return webp(pixels, int(rng.integers(70, 96)))
        pixels = jpeg(pixels, int(rng.integers(70, 99)), int(rng.choice([0, 2])))
    return pixels


def apply(life: str, pixels: np.ndarray, rng: np.random.Generator, never_jpeg: bool, smallest: int) -> np.ndarray:
    """A picture after what `life` names.

    Args:
        life: "as_is", "alike", "history" and a number ("history0"; numbers only tell lives apart),
            "jpeg:70", "blur:1.5", "noise:0.05" or "resize:0.7".
        pixels: (H, W, 3) uint8.
        rng: the source of every random choice.
        never_jpeg, smallest: as `history` takes them.

    Raises:
        ValueError: no life has that name, or its number is out of range.
    """
    name, _, value = life.partition(":")
    if life == "as_is":
        return pixels
    if life == "alike":
        return alike(pixels, rng)
    if re.fullmatch(r"history\d+", life):
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
    raise ValueError(f"There is no condition {life!r}; use as_is, alike, jpeg:Q, blur:S, noise:S or resize:F.")


def generator(seed: int, life: str, key: str) -> np.random.Generator:
    """The random numbers of one picture's life: the same on every machine and in any order of pictures."""
    return np.random.default_rng([seed, *life.encode(), 0, *key.encode()])
