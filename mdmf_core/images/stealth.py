"""Text that generators hide in the lowest bits of the pixels ("stealth PNG info").

Source: github.com/neggles/sd-webui-stealth-pnginfo, and NovelAI's own reader, NovelAI/novelai-image-metadata there:
a signature, the number of bits (32, big-endian), then UTF-8, zipped where the signature says so; one bit a pixel in
alpha, or three in red, green and blue; down each column, from the left.
"""

from __future__ import annotations

import zlib

import numpy as np
from PIL import Image

MAX_BITS = 2**23
MAX_TEXT = 2**20
_SIGNATURES = {
    "RGBA": (b"stealth_pnginfo", b"stealth_pngcomp"),
    "RGB": (b"stealth_rgbinfo", b"stealth_rgbcomp"),
}
_HEAD = 15 * 8


def hidden_text(image: Image.Image) -> str:
    """The text in a loaded picture of mode RGB or RGBA; empty where there is none."""
    for mode, signatures in _SIGNATURES.items():
        if image.mode != mode and not (mode, image.mode) == ("RGB", "RGBA"):
            continue
        signature = _bytes(image, mode, 0, _HEAD)
        if signature in signatures:
            length = int.from_bytes(_bytes(image, mode, _HEAD, 32), "big")
            body = _bytes(image, mode, _HEAD + 32, min(length, MAX_BITS))
            return _text(body, zipped=signature.endswith(b"comp"))
    return ""


def _bytes(image: Image.Image, mode: str, first: int, bits: int) -> bytes:
    """The bits from the first on, eight to a byte."""
    each = (1 if mode == "RGBA" else 3) * image.height
    left, right = first // each, min(image.width, -(-(first + bits) // each))
    columns = np.asarray(image.crop((left, 0, max(left, right), image.height)))
    lowest = columns[..., 3:] if mode == "RGBA" else columns[..., :3]
    found = (lowest.transpose(1, 0, 2).ravel() & 1)[first - left * each :][:bits]
    return np.packbits(found[: len(found) // 8 * 8]).tobytes()


def _text(body: bytes, zipped: bool) -> str:
    try:
        body = zlib.decompressobj(31).decompress(body, MAX_TEXT) if zipped else body
    except zlib.error:
        return ""
    return body.decode("utf-8", "ignore")
