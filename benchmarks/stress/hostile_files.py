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
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))
from bad_files import HTML, PDF, SVG, encoded, png, png_chunk, scene

from benchmarks.stress.crowded import crowded
from benchmarks.stress.hostile_archives import archives, archives_mutated
from benchmarks.stress.mutations import SIZE, Case, _gif_cuts, clean, damaged, tiff


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
