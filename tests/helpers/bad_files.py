"""Writes files that go wrong, or look as if they would: `write_bad_files(folder)`.

Used by the tests of the images, of the command line and of the app. Names that begin with "good" are sound
pictures of an odd kind and must give a result; names that begin with "bad" must give a sentence; of the
damaged ones, "any", either will do. Deterministic.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="500" height="500"><rect/></svg>'
PDF = b"%PDF-1.7\n1 0 obj << /Type /Catalog >> endobj\ntrailer << /Root 1 0 R >>\n%%EOF\n"
HTML = b"<!DOCTYPE html><html><body><img src='photo.jpg'></body></html>"


def scene(height: int = 160, width: int = 200) -> np.ndarray:
    """A colourful picture with smooth and noisy parts, (height, width, 3) uint8."""
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([255 * x / width, 255 * y / height, 128 + 100 * np.sin(x / 17 + y / 23)], -1)
    noise = np.random.default_rng(7).normal(0, 8, smooth.shape) * (x > width / 2)[..., None]
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """The file of `image` in a format; "HEIF" through pillow-heif."""
    buffer = io.BytesIO()
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.from_pillow(image).save(buffer, **options)
    else:
        image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes, interlaced: bool = False
) -> bytes:
    """A PNG put together by hand; `rows` are the filtered scan lines, `chunks` come before them."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    data = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + png_chunk(b"IEND", b"")


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    return exif


def _truncated() -> dict[str, bytes]:
    image = Image.fromarray(scene())
    whole = {
        "jpg": encoded(image, "JPEG", quality=90),
        "progressive.jpg": encoded(image, "JPEG", quality=90, progressive=True),
        "png": encoded(image, "PNG"),
        "webp": encoded(image, "WEBP", quality=90),
        "gif": encoded(image, "GIF"),
        "bmp": encoded(image, "BMP"),
        "tif": encoded(image, "TIFF", compression="tiff_deflate"),
        "avif": encoded(image, "AVIF"),
        "heic": encoded(image, "HEIF"),
    }
    rng = np.random.default_rng(20)
    files = {}
    for kind, data in whole.items():
        for share in rng.uniform(0.05, 0.9, 3 if kind in ("jpg", "png", "webp") else 1):
            files[f"bad_cut_at_{round(1000 * share)}.{kind}"] = data[: int(share * len(data))]
        files[f"bad_signature_only.{kind}"] = data[:16]
        scrambled = bytearray(data)
        for at in rng.integers(20, len(data), 40):
            scrambled[at] = rng.integers(256)
        files[f"any_scrambled.{kind}"] = bytes(scrambled)
    return files


def _no_pictures() -> dict[str, bytes]:
    noise = np.random.default_rng(3).bytes(5000)
    return {
        "bad_empty.jpg": b"",
        "bad_one_byte.png": b"\x89",
        "bad_zeros.jpg": bytes(4096),
        "bad_noise.webp": b"\x01" + noise,
        "bad_text.jpg": b"This is a letter and not a picture.\n" * 20,
        "bad_begins_with_bm.bmp": b"BMW is a maker of cars.\n" * 20,
        "bad_svg.png": SVG,
        "bad_svg_itself.svg": SVG,
        "bad_pdf.jpg": PDF,
        "bad_html.png": HTML,
        "bad_postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 500 500\nshowpage\n",
        "bad_video.jpg": b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + noise,
        "bad_zip.png": b"PK\x03\x04" + noise,
        "bad_heic_box_only.heic": b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + noise,
        "bad_avif_box_only.avif": b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif" + noise,
        "bad_riff.webp": b"RIFF\x10\x00\x00\x00WEBPVP8 " + noise[:20],
        "bad_icon.png": encoded(Image.fromarray(scene(64, 64)), "ICO"),
    }


def _bad_sizes() -> dict[str, bytes]:
    image = Image.fromarray(scene())
    return {
        "bad_claims_30000.png": png(30_000, 30_000, 8, 2, bytes(1000)),
        "bad_claims_9000.png": png(9_000, 9_000, 8, 2, bytes(1000)),
        "bad_claims_12000.png": png(12_000, 12_000, 8, 2, bytes(1000)),
        "bad_claims_2_billion.png": png(2**31 - 1, 2**31 - 1, 8, 2, bytes(1000)),
        "bad_no_width.png": png(0, 200, 8, 2, bytes(1000)),
        "any_few_rows.png": png(200, 200, 8, 2, bytes(601)),
        "bad_strip.png": encoded(Image.new("L", (20_001, 150), 128), "PNG"),
        "bad_1x1.png": encoded(Image.new("RGB", (1, 1)), "PNG"),
        "bad_1x1.gif": encoded(Image.new("P", (1, 1)), "GIF"),
        "bad_small.jpg": encoded(image.resize((100, 300)), "JPEG"),
    }


def _odd_modes() -> dict[str, bytes]:
    pixels = scene()
    image = Image.fromarray(pixels)
    grey16 = (pixels[..., 0].astype(np.uint16) * 257).astype(np.uint16)
    rgb16 = np.repeat(pixels, 2, axis=2).reshape(160, -1)
    rows16 = np.hstack([np.zeros((160, 1), np.uint8), rgb16]).tobytes()
    palette = image.quantize(64)
    palette.info["transparency"] = 3
    alpha = image.copy()
    alpha.putalpha(Image.fromarray(pixels[..., 1]))
    return {
        "good_cmyk.jpg": encoded(image.convert("CMYK"), "JPEG", quality=95),
        "good_cmyk.tif": encoded(image.convert("CMYK"), "TIFF"),
        "good_lab.tif": encoded(_lab(image), "TIFF"),
        "good_grey16.png": encoded(Image.fromarray(grey16), "PNG"),
        "good_rgb16.png": png(200, 160, 16, 2, rows16),
        "good_grey16.tif": encoded(Image.fromarray(grey16), "TIFF"),
        "good_float.tif": encoded(Image.fromarray((pixels[..., 0] / 255).astype(np.float32)), "TIFF"),
        "good_nan.tif": encoded(Image.fromarray(np.full((160, 200), np.nan, np.float32)), "TIFF"),
        "good_int32.tif": encoded(Image.fromarray(pixels[..., 0].astype(np.int32) * 10**6), "TIFF"),
        "good_palette.png": encoded(palette, "PNG"),
        "good_palette_alpha.png": encoded(image.quantize(64), "PNG", transparency=bytes(range(0, 256, 4))),
        "good_la.png": encoded(alpha.convert("LA"), "PNG"),
        "good_rgba.webp": encoded(alpha, "WEBP", lossless=True),
        "good_bits.png": encoded(image.convert("1"), "PNG"),
        "good_bits.tif": encoded(image.convert("1"), "TIFF", compression="group4"),
        "good_grey.jpg": encoded(image.convert("L"), "JPEG"),
        "good_plain.bmp": encoded(image, "BMP"),
        "good_plain.avif": encoded(image, "AVIF"),
        "good_plain.heic": encoded(image, "HEIF"),
        "good_jpeg_called.png": encoded(image, "JPEG"),
        "good_png_called.heic": encoded(image, "PNG"),
    }


def _lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))


def _several_frames() -> dict[str, bytes]:
    image = Image.fromarray(scene())
    others = [Image.fromarray(255 - scene()), image.rotate(180)]
    more = {"save_all": True, "append_images": others}
    return {
        "good_animated.gif": encoded(image, "GIF", **more),
        "good_animated.png": encoded(image, "PNG", **more),
        "good_animated.webp": encoded(image, "WEBP", lossless=True, **more),
        "good_animated.avif": encoded(image, "AVIF", **more),
        "good_pages.tif": encoded(image, "TIFF", **more),
        "good_phone.jpg": encoded(image, "MPO", **more),
    }


def _broken_metadata() -> dict[str, bytes]:
    image = Image.fromarray(scene())
    noise = np.random.default_rng(5).bytes(300)
    rows = np.hstack([np.zeros((160, 1), np.uint8), scene().reshape(160, -1)]).tobytes()
    bomb = b"Comment\0\0" + zlib.compress(bytes(3_000_000))
    text = PngImagePlugin.PngInfo()
    text.add_text("control\x07name", "a\x00b\x1b[31mred\u202e\n" + "x" * 5000)
    pointer = struct.pack("<2sHIHHHII", b"II", 42, 8, 1, 0x8769, 4, 1, 0xFFFFFF00)
    return {
        "good_broken_exif.jpg": encoded(image, "JPEG", exif=b"Exif\0\0" + noise),
        "good_exif_points_nowhere.jpg": encoded(image, "JPEG", exif=b"Exif\0\0" + pointer + bytes(4)),
        "good_broken_exif.webp": encoded(image, "WEBP", exif=noise),
        "good_broken_exif.avif": encoded(image, "AVIF", exif=_exif(1)).replace(b"MM\0*", b"XX\0*"),
        "good_broken_exif.heic": encoded(image, "HEIF", exif=noise),
        "good_broken_exif.png": encoded(image, "PNG", exif=noise),
        "good_broken_icc.jpg": encoded(image, "JPEG", icc_profile=noise),
        "good_broken_icc.png": encoded(image, "PNG", icc_profile=noise),
        "good_text_bomb.png": png(200, 160, 8, 2, rows, png_chunk(b"zTXt", bomb)),
        "good_text_bad_sum.png": png(200, 160, 8, 2, rows, png_chunk(b"tEXt", b"Comment\0hello")[:-4] + b"abcd"),
        "good_odd_text.png": encoded(image, "PNG", pnginfo=text),
        **{f"good_orientation_{n}.jpg": encoded(image, "JPEG", exif=_exif(n)) for n in range(10)},
    }


def write_bad_files(folder: Path) -> list[Path]:
    """Write all of them into an existing folder; returns their paths, sorted."""
    groups = (_truncated, _no_pictures, _bad_sizes, _odd_modes, _several_frames, _broken_metadata)
    for group in groups:
        for name, data in group().items():
            (folder / name).write_bytes(data)
    return sorted(folder.iterdir())


def rows_of(pixels: np.ndarray) -> bytes:
    return np.hstack([np.zeros((len(pixels), 1), np.uint8), pixels.reshape(len(pixels), -1)]).tobytes()
