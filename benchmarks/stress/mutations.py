"""Clean files of each format, and what becomes of them when pieces are cut, moved, repeated or set to odd values."""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))
from bad_files import encoded, scene
from PIL import Image, ImageCms, PngImagePlugin

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
    """Compressions of TIFF; the libtiff of older packages of Pillow ends Python where it lacks Zstandard."""
    return ["packbits", "tiff_adobe_deflate", "jpeg"] + (["zstd"] if int(PIL.__version__.split(".")[0]) >= 12 else [])


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
