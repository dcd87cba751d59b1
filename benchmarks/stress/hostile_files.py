"""Hostile files for the loader: mutated, cut off, lying, exploding, pretending.

Used by `hostile.py`, `fuzz.py` and tests. Everything is made from a seed, nothing is fetched. A case is the kind of
attack, a file name and the file's bytes; those that need more than bytes (links, pipes) are made by `special`.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))
from bad_files import HTML, PDF, SVG, encoded, png, png_chunk, scene

Case = tuple[str, str, bytes]
ODD = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 20_001, 2**28)
BOXES = {b"meta", b"iprp", b"ipco", b"iinf", b"iref", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf"}
HEADS = {b"meta": 12, b"iinf": 14, b"iref": 12}
SIZE = (8, 3)  # bits and channels of most pictures made by hand


def clean() -> dict[str, bytes]:
    """A sound small picture of every accepted format and of the main ways to store one, by file name."""
    image = Image.fromarray(scene(136, 144))
    grey16 = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    alpha = image.copy()
    alpha.putalpha(image.getchannel("G"))
    whole, text = _described()

    def several(kind: str) -> bytes:
        return encoded(image.copy(), kind, save_all=True, append_images=[image.rotate(180), image.rotate(90)])

    files = {
        "plain.jpg": encoded(image, "JPEG", quality=85, comment=b"hello", **whole),
        "progressive.jpg": encoded(image, "JPEG", quality=85, progressive=True),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "phone.mpo": several("MPO"),
        "plain.png": encoded(image, "PNG", pnginfo=text, **whole),
        "alpha.png": encoded(alpha, "PNG"),
        "palette.png": encoded(image.quantize(32), "PNG", transparency=3),
        "grey16.png": encoded(grey16, "PNG"),
        "animated.apng": several("PNG"),
        "lossy.webp": encoded(image, "WEBP", **whole),
        "lossless.webp": encoded(alpha, "WEBP", lossless=True),
        "animated.webp": several("WEBP"),
        "plain.gif": encoded(image, "GIF", comment=b"hello"),
        "animated.gif": several("GIF"),
        "plain.bmp": encoded(image, "BMP"),
        "palette.bmp": encoded(image.quantize(32), "BMP"),
        "plain.tif": encoded(image, "TIFF", exif=whole["exif"]),
        "float.tif": encoded(Image.fromarray(np.asarray(image.convert("L"), np.float32) / 255), "TIFF"),
        "grey16.tif": encoded(grey16, "TIFF", compression="tiff_lzw"),
        "bits.tif": encoded(image.convert("1"), "TIFF", compression="group4"),
        "pages.tif": several("TIFF"),
        "tiled.tif": tiff(144, 144, zlib.compress(bytes(144 * 144)), tile=(144, 144)),
        "plain.avif": encoded(image, "AVIF", **whole),
        "animated.avif": several("AVIF"),
        "plain.heic": encoded(image, "HEIF", **whole),
    }
    return files | {f"{name}.tif": encoded(image, "TIFF", compression=name) for name in _packings()}


def _packings() -> list[str]:
    """Compressions of TIFF that the installed Pillow writes; some before 12 end Python where they lack Zstandard."""
    has_zstandard = int(PIL.__version__.split(".")[0]) >= 12
    return ["packbits", "tiff_adobe_deflate", "jpeg", *(["zstd"] if has_zstandard else [])]


def _described() -> tuple[dict[str, bytes], PngImagePlugin.PngInfo]:
    """EXIF and profile of most pictures, and the texts of a PNG."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif.get_ifd(0x8769)[0xA434] = "Lens"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a picture")
    text.add_itxt("Comment", "zipped", zip=True)
    return {"exif": exif.tobytes(), "icc_profile": srgb}, text


def tiff(
    width: int, height: int, data: bytes, tile: tuple[int, int] = (0, 0), extra: tuple = (), compression: int = 8
) -> bytes:
    """A grey TIFF put together by hand: one strip, or one tile; `extra` entries are (tag, type, count, value)."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)]
    tags += [(277, 3, 1, 1), (284, 3, 1, 1), *extra]
    if tile[0]:
        tags += [(322, 4, 1, tile[0]), (323, 4, 1, tile[1]), (324, 4, 1, 0), (325, 4, 1, len(data))]
    else:
        tags += [(273, 4, 1, 0), (278, 4, 1, height), (279, 4, 1, len(data))]
    tags.sort()
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", t, k, n, start if t in (273, 324) else v) for t, k, n, v in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + data


def _pieces(name: str, data: bytes) -> list[bytes]:
    """A file cut at the borders of its chunks, segments, boxes, blocks or directory entries."""
    cutters: dict[str, Callable[[bytes], list[int]]] = {
        "jpg": _jpeg_cuts,
        "mpo": _jpeg_cuts,
        "png": _png_cuts,
        "apng": _png_cuts,
        "webp": _riff_cuts,
        "gif": _gif_cuts,
        "tif": _tiff_cuts,
        "bmp": lambda data: [2, 10, *range(14, 54, 4)],
        "avif": lambda data: _box_cuts(data, 0, len(data)),
        "heic": lambda data: _box_cuts(data, 0, len(data)),
    }
    cuts = sorted({0, len(data), *cutters[name.rsplit(".", 1)[1]](data)})
    return [data[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]


def _png_cuts(data: bytes) -> list[int]:
    cuts = [8]
    while cuts[-1] + 12 <= len(data):
        cuts.append(cuts[-1] + 12 + int.from_bytes(data[cuts[-1] : cuts[-1] + 4], "big"))
    return cuts


def _jpeg_cuts(data: bytes) -> list[int]:
    cuts = [2]
    while data[cuts[-1]] == 0xFF and data[cuts[-1] + 1] != 0xDA:
        cuts.append(cuts[-1] + 2 + int.from_bytes(data[cuts[-1] + 2 : cuts[-1] + 4], "big"))
    scans, at = [], cuts[-1]
    while (at := data.find(b"\xff\xda", at + 2)) > 0:
        scans.append(at)
    return [*cuts, cuts[-1] + 14, *scans]


def _riff_cuts(data: bytes) -> list[int]:
    cuts = [12]
    while cuts[-1] + 8 <= len(data):
        size = int.from_bytes(data[cuts[-1] + 4 : cuts[-1] + 8], "little")
        cuts.append(cuts[-1] + 8 + size + size % 2)
    return cuts


def _gif_cuts(data: bytes) -> list[int]:
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 128 else 0)
    cuts = [6, 13, at]
    while data[at : at + 1] in (b"!", b","):
        if data[at] == 0x21:
            at += 2
        else:
            at += 11 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 128 else 0)
            cuts.append(at)
        while data[at]:
            at += 1 + data[at]
        at += 1
        cuts.append(at)
    return cuts


def _tiff_cuts(data: bytes) -> list[int]:
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack_from(order + "I", data, 4)[0]
    count = struct.unpack_from(order + "H", data, at)[0]
    return [8, at, *range(at + 2, at + 3 + 12 * count, 12), at + 6 + 12 * count]


def _box_cuts(data: bytes, start: int, end: int) -> list[int]:
    cuts = []
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        size = size if 8 <= size <= end - start else end - start
        cuts += [start, start + size]
        if name in BOXES:
            cuts += _box_cuts(data, start + HEADS.get(name, 8), start + size)
        start += size
    return cuts


def mutated(name: str, data: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes to the structure: pieces dropped, repeated, swapped, torn; fields set to odd values."""
    pieces = _pieces(name, data)
    for _ in range(rng.integers(1, 5)):
        at, other = (int(index) for index in rng.integers(len(pieces), size=2))
        what = rng.integers(8)
        if what == 0 and len(pieces) > 2:
            del pieces[at]
        elif what == 1:
            pieces[at:at] = [pieces[at]] * int(rng.integers(1, 30))
        elif what == 2:
            pieces[at], pieces[other] = pieces[other], pieces[at]
        elif what == 3:
            pieces[at] = pieces[at][: int(rng.integers(len(pieces[at]) + 1))] + rng.bytes(int(rng.integers(20)))
        else:
            pieces[at] = _field_set(pieces[at], rng)
    if name.endswith("png") and rng.random() < 0.8:
        pieces = [_summed(piece) for piece in pieces]
    return b"".join(pieces)


def _field_set(piece: bytes, rng: np.random.Generator) -> bytes:
    """A field of 1, 2 or 4 bytes near the beginning of a piece is given an odd value."""
    width = int(rng.choice([1, 2, 4]))
    at = int(rng.integers(max(1, min(len(piece), 48) - width + 1)))
    value = int(rng.choice(ODD)) if rng.random() < 0.7 else int(rng.integers(2**32))
    order = "little" if rng.random() < 0.5 else "big"
    return piece[:at] + (value % 256**width).to_bytes(width, order) + piece[at + width :]


def _summed(chunk: bytes) -> bytes:
    """A PNG chunk with its checksum put right."""
    return chunk[:-4] + struct.pack(">I", zlib.crc32(chunk[4:-4])) if len(chunk) >= 12 else chunk


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """Up to 60 bytes changed, anywhere."""
    changed = bytearray(data)
    for at in rng.integers(len(data), size=rng.integers(1, 60)):
        changed[at] = rng.integers(256)
    return bytes(changed)


def damaged(rng: np.random.Generator, rounds: int) -> Iterator[Case]:
    """For every clean file: `rounds` structural mutations, a third as many byte flips, a third as many cuts."""
    for name, data in clean().items():
        ending = name.rsplit(".", 1)[1]
        for index in range(rounds):
            yield f"mutated {ending}", f"m{index}_{name}", mutated(name, data, rng)
            if index % 3 == 0:
                yield "byte flips", f"f{index}_{name}", flipped(data, rng)
                yield "cut off", f"c{index}_{name}", data[: int(rng.integers(1, len(data)))]


def lying() -> Iterator[Case]:
    """Headers that claim a size which the data does not have."""
    sides = [(2**31 - 1, 2**31 - 1), (30_000, 30_000), (8_400, 8_400), (60_000, 1), (0, 100), (19_999, 3_600)]
    files = clean()
    for width, height in sides:
        size = f"{width}x{height}"
        yield "lying header", f"{size}.png", png(width, height, *SIZE[:1], 2, bytes(1000))
        yield "lying header", f"{size}_16.png", png(width, height, 16, 6, bytes(1000))
        yield "lying header", f"{size}.tif", tiff(width, height, zlib.compress(bytes(1000)))
        yield "lying header", f"{size}_tile.tif", tiff(200, 200, zlib.compress(bytes(1000)), tile=(width, height))
        bmp = bytearray(files["plain.bmp"])
        struct.pack_into("<ii", bmp, 18, width, height)
        yield "lying header", f"{size}.bmp", bytes(bmp)
        small = (min(width, 65535), min(height, 65535))
        gif = bytearray(files["plain.gif"])
        struct.pack_into("<HH", gif, 6, *small)
        yield "lying header", f"{size}.gif", bytes(gif)
        yield "lying header", f"{size}_frame.gif", _with_frame(files["plain.gif"], small)
        jpeg = bytearray(files["plain.jpg"])
        struct.pack_into(">HH", jpeg, jpeg.index(b"\xff\xc0") + 5, small[1], small[0])
        yield "lying header", f"{size}.jpg", bytes(jpeg)
        yield "lying header", f"{size}.webp", _with_canvas(*small)
        for kind in ("avif", "heic"):
            boxed = bytearray(files[f"plain.{kind}"])
            struct.pack_into(">II", boxed, boxed.index(b"ispe") + 8, width, height)
            yield "lying header", f"{size}.{kind}", bytes(boxed)
    words = ((322, 2, 4, 0x616161), (323, 4, 1, 2**31), (324, 4, 1, 8), (325, 4, 1, 100))
    yield "lying header", "worded_tile.tif", tiff(200, 200, bytes(100), extra=words)
    for kind, ending in (("AVIF", "avif"), ("HEIF", "heic")):
        boxed = bytearray(encoded(Image.new("L", (6_000, 6_000), 99), kind))
        struct.pack_into(">II", boxed, boxed.index(b"ispe") + 8, 200, 200)
        yield "lying header", f"larger_than_it_says.{ending}", bytes(boxed)


def _with_frame(gif: bytes, size: tuple[int, int]) -> bytes:
    at = _gif_cuts(gif)[2]
    while gif[at] != 0x2C:
        at = next(cut for cut in _gif_cuts(gif) if cut > at)
    return gif[: at + 5] + struct.pack("<HH", *size) + gif[at + 9 :]


def _with_canvas(width: int, height: int) -> bytes:
    """An animated WebP with a huge canvas and a small frame."""
    webp = clean()["animated.webp"]
    at = webp.index(b"VP8X") + 12
    size = b"".join((max(side, 1) - 1).to_bytes(3, "little") for side in (width, height))
    return webp[:at] + size + webp[at + 6 :]


def exploding() -> Iterator[Case]:
    """Small files that grow when decoded: as far as the limits allow, and further."""
    for side in (8_360, 8_400):
        image = Image.new("RGB", (side, side), "gray")
        for kind, options in {
            "PNG": {},
            "GIF": {},
            "WEBP": {"quality": 1, "method": 0},
            "TIFF": {"compression": "tiff_deflate"},
            "JPEG": {"quality": 5},
        }.items():
            yield "decompression bomb", f"{side}.{kind.lower()}", encoded(image, kind, **options)
    image = Image.new("RGBA", (8_360, 8_360), (10, 20, 30, 99))
    yield "decompression bomb", "alpha.png", encoded(image, "PNG", compress_level=1)
    yield "decompression bomb", "alpha.webp", encoded(image, "WEBP", lossless=True, method=0, quality=0)
    floats = Image.new("F", (8_360, 8_360), 3e9)
    yield "decompression bomb", "float.tif", encoded(floats, "TIFF", compression="tiff_deflate")
    yield "decompression bomb", "cmyk.jpg", encoded(Image.new("CMYK", (8_360, 8_360)), "JPEG", progressive=True)
    yield "decompression bomb", "16.png", _deep_png(8_360)
    big = zlib.compress(bytes(1_900_000_000), 1)
    yield "decompression bomb", "tile.tif", tiff(200, 200, big, tile=(30_000, 60_000))
    yield "decompression bomb", "rows.png", png(200, 200, 8, 2, bytes(500_000_000))
    rows = bytes(601 * 200)
    bomb = zlib.compress(bytes(900_000_000), 9)
    for chunk, head in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")):
        yield "decompression bomb", f"{chunk.decode()}.png", png(200, 200, 8, 2, rows, png_chunk(chunk, head + bomb))
    mega = zlib.compress(bytes(1_000_000), 9)
    torn = mega[:-4] + b"torn"
    for count in (60, 3_000):
        chunks = (png_chunk(b"zTXt", b"k%d\0\0" % index + torn) for index in range(count))
        yield "decompression bomb", f"{count}_torn_texts.png", png(200, 200, 8, 2, rows, *chunks)
    after = b"".join(png_chunk(b"zTXt", b"k%d\0\0" % index + torn) for index in range(15_000))
    whole = png(200, 200, 8, 2, rows)
    yield "decompression bomb", "texts_after.png", whole[:-12] + after + whole[-12:]


def _deep_png(side: int) -> bytes:
    return png(side, side, 16, 6, bytes(side * (side * 8 + 1)))


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


def describing_exif() -> Iterator[Case]:
    """EXIF directories that are recursive, overlap, or claim huge counts, in every format."""
    image = Image.fromarray(scene())
    for name, exif in _bad_exif().items():
        for kind in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF"):
            if kind == "JPEG" and len(exif) > 65_000:
                continue
            if kind == "AVIF":  # its writer would read the directory
                blank = b"II*\0\x08".ljust(len(exif), b"\0")
                data = encoded(image, kind, exif=blank).replace(blank, exif)
            else:
                data = encoded(image, kind, exif=b"Exif\0\0" + exif if kind == "JPEG" else exif)
            yield "EXIF bomb", f"{name}.{kind.lower()}", data
        yield "EXIF bomb", f"{name}.tif", exif
        lines = "\n".join(["", "exif", str(len(exif)), exif.hex()]).encode()
        raw = png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(lines))
        yield "EXIF bomb", f"{name}_raw.png", png(200, 160, 8, 2, bytes(601 * 160), raw)


def describing_colours() -> Iterator[Case]:
    """Colour profiles that claim what they don't have or ask for very much work, in every format."""
    image = Image.fromarray(scene())
    for name, profile in _bad_profiles().items():
        for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"):
            yield "ICC bomb", f"{name}.{kind.lower()}", encoded(image, kind, icc_profile=profile)
        yield "ICC bomb", f"{name}_large.png", encoded(Image.new("RGB", (8_360, 8_360)), "PNG", icc_profile=profile)


def _bad_exif() -> dict[str, bytes]:
    def directory(entries: list[tuple[int, int, int, int]], following: int = 0, pad: int = 0) -> bytes:
        body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
        return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + body + struct.pack("<I", following) + bytes(pad)

    def overlapping(kind: int, width: int, tags: int, size: int) -> bytes:
        known = [*ExifTags.TAGS, *range(1, 65_000)][:tags]
        return directory([(tag, kind, size // width, 8) for tag in known], pad=size)

    return {
        "itself": directory([(0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0x927C, 4, 1, 8)], following=8),
        "huge_count": directory([(0x010F, 2, 0xFFFFFFFF, 8), (0x0112, 3, 0xFFFFFFF0, 8)]),
        "overlapping_shorts": overlapping(3, 2, 600, 56_000),
        "overlapping_fractions": overlapping(5, 8, 600, 56_000),
        "overlapping_bytes": overlapping(7, 1, 30_000, 600_000),
        "wide_orientation": directory([(0x0112, 3, 20_000, 8)], pad=40_000),
        "wide_fractions": directory([(0x0112, 5, 1_000_000, 8)], pad=8_000_000),
        "deep": directory([(0x8769, 4, 1, 26)]) + struct.pack("<HHHII", 1, 0x8769, 4, 1, 26) + bytes(4),
        "exif_overlapping": directory([(0x8769, 4, 1, 26)]) + overlapping(5, 8, 2_500, 20_000)[8:],
    }


def _bad_profiles() -> dict[str, bytes]:
    head = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()[:128])

    def profile(tags: dict[bytes, bytes], space: bytes = b"RGB ", version: int = 4) -> bytes:
        at, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
        for name, data in tags.items():
            table += struct.pack(">4sII", name, at + len(body), len(data))
            body += data + bytes(-len(data) % 4)
        start = struct.pack(">I", at + len(body)) + bytes(head[4:8]) + bytes([version, 0, 0, 0]) + bytes(head[12:16])
        return start + space + bytes(head[20:128]) + table + body

    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    stages = 20_000
    matrix = b"matf\0\0\0\0" + struct.pack(">HH12f", 3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    place = struct.pack(">II", 16 + 8 * stages, len(matrix))
    elements = b"mpet\0\0\0\0" + struct.pack(">HHI", 3, 3, stages) + place * stages + matrix
    curve = b"curv\0\0\0\0" + struct.pack(">I", 200_000) + bytes(400_000)
    grid = b"mft2\0\0\0\0" + bytes([3, 3, 48, 0]) + struct.pack(">9i2H", *[65536, 0, 0, 0, 65536, 0, 0, 0, 65536], 2, 2)
    grid += struct.pack(">6H", *[0, 65535] * 3) + bytes(48**3 * 6) + struct.pack(">6H", *[0, 65535] * 3)
    return {
        "stages": profile({b"wtpt": white, b"A2B0": grid, b"D2B0": elements, b"D2B1": elements}),
        "curves": profile(
            {b"wtpt": white, b"rXYZ": white, b"gXYZ": white, b"bXYZ": white}
            | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
            version=2,
        ),
        "grid": profile({b"wtpt": white, b"A2B0": grid}),
        "tags": bytes(head) + struct.pack(">I", 0xFFFFFFFF) + bytes(900_000),
        "zeros": bytes(head) + bytes(900_000),
    }


def pretending() -> Iterator[Case]:
    """Files that are two things at once, or another thing than their ending says."""
    files = clean()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("../../evil.py", "print('evil')")
    script = b"=1;alert(document.cookie)//"
    gif = files["plain.gif"]
    yield "polyglot", "jpeg_and_zip.jpg", files["plain.jpg"] + archive.getvalue()
    yield "polyglot", "zip_and_jpeg.jpg", archive.getvalue() + files["plain.jpg"]
    yield "polyglot", "gif_and_script.gif", gif[:6] + b"/*" + gif[8:] + b"*/" + script
    yield "polyglot", "png_and_html.png", files["plain.png"] + HTML
    html = png_chunk(b"tEXt", b"Comment\0<script>alert(1)</script>")
    yield "polyglot", "html_in_png.png", png(200, 160, 8, 2, bytes(601 * 160), html)
    yield "polyglot", "pdf_and_jpeg.pdf", PDF + files["plain.jpg"]
    yield "polyglot", "jpeg_and_pdf.jpg", files["plain.jpg"] + PDF
    yield "polyglot", "jpeg_in_jpeg.jpg", files["plain.jpg"] * 50
    yield "polyglot", "bmp_and_script.bmp", files["plain.bmp"] + script
    yield "polyglot", "tiff_and_zip.tif", files["plain.tif"] + archive.getvalue()
    for ending in ("jpg", "png", "webp", "gif", "bmp", "tif", "avif", "heic"):
        for name, data in _others(archive.getvalue()).items():
            yield "another kind", f"{name}.{ending}", data


def _others(archive: bytes) -> dict[str, bytes]:
    """Files that are no pictures, or pictures of kinds that are not taken."""
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><image href="http://127.0.0.1/"/></svg>'
    entity = b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>'
    return {
        "svg": SVG,
        "svg_script": svg,
        "svg_entity": entity,
        "pdf": PDF,
        "html": HTML,
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 500 500\n(/etc/passwd) (r) file\n",
        "eps_binary": b"\xc5\xd0\xd3\xc6" + bytes(60) + b"%!PS",
        "icon": encoded(Image.fromarray(scene(64, 64)), "ICO"),
        "jpeg2000": encoded(Image.fromarray(scene()), "JPEG2000"),
        "tga": encoded(Image.fromarray(scene()), "TGA"),
        "ppm": encoded(Image.fromarray(scene()), "PPM"),
        "psd": b"8BPS\0\1" + bytes(100),
        "python": b"import os\nos.system('id')\n",
        "elf": b"\x7fELF" + bytes(100),
        "zip": archive,
        "pickle": b"\x80\x04\x95\x10\0\0\0",
        "empty": b"",
    }


def _packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def archives() -> Iterator[Case]:
    """Hostile ZIP archives for a batch."""
    picture, kind = clean()["plain.jpg"], "ZIP archive"
    outside = ("../a.jpg", "/etc/a.jpg", "..\\a.jpg", "C:\\a.jpg", "x/../../a.jpg", "\\\\host\\a.jpg", "a\0.jpg")
    for index, name in enumerate(outside):
        yield kind, f"outside_{index}.zip", _packed({name: picture})
    bomb = _packed({"bomb.png": bytes(1_400_000_000)})
    yield kind, "bomb.zip", bomb
    yield kind, "bombs.zip", _packed({f"{index}.jpg": bytes(120_000_000) for index in range(12)})
    nested = bomb
    for _ in range(5):
        nested = _packed({"next.zip": nested}, zipfile.ZIP_STORED)
    yield kind, "nested.zip", nested
    yield kind, "disguised.zip", _packed({"inner.jpg": bomb}, zipfile.ZIP_STORED)
    yield kind, "overlapping.zip", _overlapping(bytes(50_000_000), 100)
    yield kind, "directory.zip", _packed({f"{index}.jpg": b"" for index in range(60_000)})
    yield kind, "many.zip", _packed({f"{index}.jpg": picture[:300] for index in range(3_000)})
    yield kind, "long_name.zip", _packed({"a" * 60_000 + ".jpg": picture})
    yield kind, "no_zip.zip", picture
    yield kind, "empty.zip", _packed({})
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield kind, f"method_{method}.zip", _packed({"a.jpg": bytes(10_000_000)}, method)
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = 0o120777 << 16
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    yield kind, "link.zip", file.getvalue()


def archives_mutated(rng: np.random.Generator, count: int = 120) -> Iterator[Case]:
    """ZIP archives with odd values in their headers and directory."""
    files = clean()
    whole = _packed({"a.jpg": files["plain.jpg"], "b/c.png": files["plain.png"]})
    for index in range(count):
        data = bytearray(whole)
        start = whole.index(b"PK\1\2") if index % 2 else 0
        for _ in range(rng.integers(1, 6)):
            at = start + int(rng.integers(min(len(data) - start - 4, 200)))
            data[at : at + 2] = (int(rng.choice(ODD)) % 2**16).to_bytes(2, "little")
        yield "ZIP archive", f"mutated_{index}.zip", bytes(data)


def _overlapping(content: bytes, count: int) -> bytes:
    """An archive whose directory names the same packed data again and again."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", content)
    data = file.getvalue()
    start = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    entry = data[start:end]
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(entry) * count, start, 0)
    return data[:start] + entry * count + tail


def special(folder: Path) -> Iterator[tuple[str, Path]]:
    """Links, pipes and folders with the ending of a picture, made in `folder`."""
    for index, target in enumerate(("/etc/passwd", "/dev/zero", "link_2.jpg", "none.jpg", "/proc/self/mem", "/")):
        (folder / f"link_{index}.jpg").symlink_to(target)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.png").mkdir()
    unreadable = folder / "hollow.jpg"
    with open(unreadable, "wb") as file:
        os.truncate(file.fileno(), 2**40)
    for path in sorted(folder.iterdir()):
        yield "link, pipe or folder", path


def corpus(seed: int = 0, rounds: int = 120) -> Iterator[Case]:
    """The whole corpus as it is made; with 120 rounds more than 5,000 files."""
    rng = np.random.default_rng(seed)
    yield from damaged(rng, rounds)
    yield from lying()
    yield from exploding()
    yield from crowded()
    yield from describing_exif()
    yield from describing_colours()
    yield from pretending()
    yield from archives()
    yield from archives_mutated(rng)
