"""Invisible marks that the reference code of generators writes into the pixels by default.

Sources: the package `invisible-watermark` 0.2 (method "dwtDct": one bit in each 4 x 4 block of the Haar average of U,
in the value furthest from 0, by its remainder); the bits: CompVis/stable-diffusion, scripts/txt2img.py
("StableDiffusionV1"); Stability-AI/stablediffusion, scripts/txt2img.py ("SDV2"); Stability-AI/generative-models,
sgm/inference/helpers.py (SDXL); black-forest-labs/flux, src/flux/util.py (FLUX: 48 bits, of which Python's `bin` loses
the two zeros that lead, so that its code writes 46); invoke-ai/InvokeAI, its node img_watermark ("InvokeAI"). A test
compares this reader with that package bit for bit.

What counts is the chance that so many bits agree by luck (binomial, times the number of marks tried), below `RARE`.
"""

from __future__ import annotations

import math

import numpy as np

from mdmf_core.images.origin.said import Mark

RARE = 1e-6
LEAST = 256  # the encoder marks no smaller picture
MOST = 4_000_000  # pixels that are read, from the top: thousands of blocks a bit
_SCALE, _BLOCK = 36, 4
_HAAR = 0.7071067811865476
_FLUX = 0b001010101111111010000111100111001111010100101110


def _of_bytes(text: bytes) -> tuple[int, ...]:
    return tuple(np.unpackbits(np.frombuffer(text, np.uint8)).tolist())


MARKS = (
    ("Stable Diffusion 1", _of_bytes(b"StableDiffusionV1")),
    ("Stable Diffusion 2", _of_bytes(b"SDV2")),
    ("Stable Diffusion XL", tuple(map(int, f"{0b101100111110110010010000011110111011000110011110:048b}"))),
    ("FLUX", tuple(map(int, f"{_FLUX:b}"))),
    ("FLUX", tuple(map(int, f"{_FLUX:048b}"))),
    ("InvokeAI", _of_bytes(b"InvokeAI")),
)


def find_marks(pixels: np.ndarray) -> tuple[Mark, ...]:
    """Marks in (H, W, 3) uint8 pixels, the surest first.

    The pixels must be as they were when marked: a cut at the left or top, another size or strong compression hide them.
    """
    if min(pixels.shape[:2]) < LEAST:
        return ()
    votes = block_votes(pixels)
    found = []
    for tool, bits in MARKS:
        agreeing = int((read_bits(votes, len(bits), votes.mean()) == np.array(bits)).sum())
        chance = min(1.0, by_luck(agreeing, len(bits)) * len(MARKS))
        if chance < RARE:
            found.append(Mark(tool, agreeing, len(bits), chance))
    return tuple(sorted(found, key=lambda mark: mark.chance))


def by_luck(agreeing: int, bits: int) -> float:
    """The chance that at least so many of fair bits agree."""
    return sum(math.comb(bits, count) for count in range(agreeing, bits + 1)) / 2**bits


def block_votes(pixels: np.ndarray) -> np.ndarray:
    """One bit of each block, row by row."""
    width = pixels.shape[1] // 4 * 4
    height = min(pixels.shape[0], max(LEAST, MOST // pixels.shape[1])) // 4 * 4
    average = _haar(_u(pixels[:height, :width]))
    rows, columns = average.shape[0] // _BLOCK, average.shape[1] // _BLOCK
    blocks = average[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    values = np.abs(blocks.transpose(0, 2, 1, 3).reshape(-1, _BLOCK * _BLOCK))
    furthest = values[:, 1:].max(axis=1)
    return furthest % _SCALE > 0.5 * _SCALE


def read_bits(votes: np.ndarray, length: int, level: float = 127 / 255) -> np.ndarray:
    """The message of a length: a bit is 1 where more of its blocks say so than `level`.

    The package takes half of the blocks. Smooth places say 0 whatever was written, so `find_marks` takes the share of
    the whole picture, which finds half as many marks again in photographs, and ten times as many after JPEG 90.
    """
    places = np.arange(len(votes)) % length
    counts = np.bincount(places, minlength=length)
    return np.bincount(places, votes, length) / np.maximum(counts, 1) > level


def _u(pixels: np.ndarray) -> np.ndarray:
    """U of YUV in whole numbers, as OpenCV computes it from 8-bit colours."""
    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    luma = (4899 * red + 9617 * green + 1868 * blue + 8192) >> 14
    return np.clip(((blue - luma) * 8061 + (128 << 14) + 8192) >> 14, 0, 255)


def _haar(values: np.ndarray) -> np.ndarray:
    """The averages of one level of Haar's wavelet, in the order of PyWavelets, so that they round alike."""
    halves = _HAAR * values[1::2] + _HAAR * values[::2]
    return _HAAR * halves[:, 1::2] + _HAAR * halves[:, ::2]
