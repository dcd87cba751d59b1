"""Files with more pieces than anyone needs: chunks, segments, frames, scans, pages."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from bad_files import encoded, png, png_chunk, scene
from PIL import Image

from benchmarks.stress.mutations import Case, _gif_cuts, clean, tiff


def crowded() -> Iterator[Case]:
    """Files made of very many parts: chunks, segments, blocks, frames, pages, layers, scans, strips."""
    files = clean()
    yield from _crowded_png()
    yield from _crowded_jpeg(files["plain.jpg"])
    yield from _crowded_gif(files["animated.gif"])
    image = Image.fromarray(scene())
    small = [image.point(lambda value, shift=shift: (value + shift) % 256) for shift in range(300)]
    for kind, options in {"GIF": {}, "PNG": {}, "WEBP": {"quality": 5, "method": 0}, "TIFF": {}}.items():
        data = encoded(image, kind, save_all=True, append_images=small, **options)
        yield "very many parts", f"frames.{kind.lower()}", data
    yield "very many parts", "pages.tif", _many_pages(60_000)
    yield "very many parts", "loop.tif", files["plain.tif"].replace(bytes(4), struct.pack("<I", 8), 1)
    tiny = ((322, 4, 1, 1), (323, 4, 1, 1), (324, 4, 1, 8), (325, 4, 1, 3))
    yield "very many parts", "tiny_tiles.tif", tiff(1_000, 1_000, bytes(100), extra=tiny)
    yield (
        "very many parts",
        "layers.tif",
        tiff(200, 200, zlib.compress(bytes(200 * 200)), extra=((37724, 7, 30_000_000, 0),)) + bytes(30_000_000),
    )


def _crowded_png() -> Iterator[Case]:
    rows = bytes(601 * 200)
    chunk = png_chunk(b"teSt", b"")
    yield "very many parts", "chunks.png", png(200, 200, 8, 2, rows, chunk * 2_000_000)
    whole = png(200, 200, 8, 2, rows)
    yield "very many parts", "chunks_after.png", whole[:-12] + chunk * 2_000_000 + whole[-12:]
    bad = png_chunk(b"tEXt", b"a\0b")[:-4] + b"abcd"
    yield "very many parts", "bad_chunks.png", png(200, 200, 8, 2, rows, bad, chunk * 2_000_000)
    yield "very many parts", "idat.png", _many_idat()


def _crowded_jpeg(jpeg: bytes) -> Iterator[Case]:
    for name, part in {
        "empty": b"\xff\xef\0\2" * 4_000_000,
        "fill": b"\xff" * 20_000_000,
        "junk": b"\0" * 20_000_000,
        "exif": b"\xff\xe1\0\x0cExif\0\0aaaa" * 300_000,
        "long_exif": (b"\xff\xe1\xff\xf0Exif\0\0".ljust(0xFFF2, b"a")) * 1_500,
        "icc": (b"\xff\xe2\xff\xf0ICC_PROFILE\0\1\1".ljust(0xFFF2, b"a")) * 1_000,
        "comments": b"\xff\xfe\0\5abc" * 2_000_000,
    }.items():
        yield "very many parts", f"{name}.jpg", jpeg[:2] + part + jpeg[2:]
    yield "very many parts", "scans.jpg", _many_scans(8_360, 3_000)
    yield "very many parts", "few_scans.jpg", _many_scans(8_360, 40)
    yield "very many parts", "small_scans.jpg", _many_scans(256, 20_000)


def _crowded_gif(gif: bytes) -> Iterator[Case]:
    cut = _gif_cuts(gif)[2]
    comment = b"!\xfe" + (b"\xff" + b"c" * 255) * 60_000 + b"\0"
    yield "very many parts", "comment.gif", gif[:cut] + comment + gif[cut:]
    yield "very many parts", "blocks.gif", gif[:cut] + b"!\xfe" + b"\1c" * 8_000_000 + b"\0" + gif[cut:]
    yield "very many parts", "extensions.gif", gif[:cut] + b"!\xfe\1c\0" * 4_000_000 + gif[cut:]
    first = _gif_cuts(gif)[-2]
    yield "very many parts", "blocks_between.gif", gif[:first] + b"!\xfe" + b"\1c" * 8_000_000 + b"\0" + gif[first:]


def _many_idat() -> bytes:
    packed = zlib.compress(np.random.default_rng(1).bytes(601 * 200), 0)
    head = png(200, 200, 8, 2, b"")
    at = head.index(b"IDAT") - 4
    parts = b"".join(png_chunk(b"IDAT", packed[i : i + 1]) + png_chunk(b"IDAT", b"") * 5 for i in range(len(packed)))
    return head[:at] + parts + png_chunk(b"IEND", b"")


def _many_scans(side: int, count: int) -> bytes:
    """A progressive JPEG with one scan repeated; one coefficient of all blocks is refined again and again."""
    data = encoded(Image.new("L", (side, side), 77), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:-2] + data[at:-2] * count + data[-2:]


def _many_pages(count: int) -> bytes:
    page = tiff(200, 200, b"")
    entries = page[8:-4]
    step, start = len(entries) + 4, len(page)
    pages = [entries + struct.pack("<I", start + step * (index + 1)) for index in range(count)]
    return page[:-4] + struct.pack("<I", start) + b"".join(pages)
