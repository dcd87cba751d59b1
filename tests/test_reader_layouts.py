"""Every layout that the formats' libraries write, against a second decoder: right pixels, or refused by its kind.

Needs tifffile, imagecodecs and av, which holds FFmpeg (development only).
"""

from __future__ import annotations

import io
import itertools
import logging

import av
import imagecodecs
import numpy as np
import pytest
import tifffile
from bad_files import encoded, png, rows_of, scene
from PIL import Image

from mdmf_core.errors import ImageError
from mdmf_core.images.reader import read

BASE = scene(128, 144)
SMALL = scene(72, 80)  # for what is written in hundreds of layouts; more than one tile and one strip
LOSSY = {"jpeg": 12.0, "webp": 12.0, "jpeg2000": 3.0}


def numbers(pixels: np.ndarray, kind: str) -> np.ndarray:
    """The same picture in other numbers; signed ones use their upper half."""
    form = np.dtype(kind)
    if form.kind == "b":
        return pixels > 127
    if form.kind == "f":
        return (pixels / 255).astype(form)
    top = 2 ** (8 * form.itemsize - (form.kind == "i")) - 1
    return (pixels.astype(np.uint64) * top // 255).astype(form)


def tiff(pixels: np.ndarray, photometric: str, **options) -> bytes | None:
    """A TIFF by tifffile; None where it writes no such layout."""
    file = io.BytesIO()
    try:
        tifffile.imwrite(file, pixels, photometric=photometric, metadata=None, **options)
    except Exception:
        return None
    return file.getvalue()


def judged(data: bytes, wanted: np.ndarray, most: float) -> str:
    """ "right", "refused" by its kind, "damaged" or "wrong"."""
    try:
        found = read(data, 64).pixels.astype(int)
    except ImageError as error:
        return "damaged" if "damaged" in str(error) else "refused"
    off = np.abs(found - wanted)
    return "right" if off.mean() <= most and (off.max() <= most or most > 3) else "wrong"


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
@pytest.mark.parametrize("form", ["bool", "u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])
def test_tiff(photometric, form, monkeypatch):
    monkeypatch.setattr(logging.root.manager, "disable", logging.ERROR)  # what libtiff lacks
    found: dict[str, list] = {"right": [], "refused": [], "damaged": [], "wrong": []}
    rgb = photometric == "rgb"
    methods = (None, "lzw", "deflate", "packbits", "zstd", "lzma", "jpeg", "webp", "jpeg2000")
    extras = (None, "unassalpha", "assocalpha", "unspecified") if rgb else (None,)
    layouts = itertools.product(
        methods, (False, True), ("<", ">"), (None, (64, 64)), (1, 2) if rgb else (1,), (False, True), extras
    )
    pixels = numbers(SMALL if rgb else SMALL[..., 0], form)
    wanted = (255 - SMALL if photometric == "miniswhite" else SMALL).astype(int)
    wanted = wanted if rgb else np.repeat(wanted[..., :1], 3, axis=2)
    if form == "bool":
        wanted = np.repeat((pixels != (photometric == "miniswhite"))[..., None] * 255, 3, axis=2)
    for method, predictor, order, tile, planar, big, extra in layouts:
        if (extra and (big or tile)) or (big and (tile or method not in (None, "deflate"))):
            continue
        stored = pixels
        if extra:
            opaque = np.full((*pixels.shape[:2], 1), 255, np.uint8)
            stored = np.concatenate([pixels, numbers(opaque, form)], -1)
        data = tiff(
            stored if planar == 1 else np.moveaxis(stored, -1, 0),
            photometric,
            planarconfig=planar if rgb else None,
            compression=method,
            predictor=predictor,
            byteorder=order,
            tile=tile,
            bigtiff=big,
            extrasamples=[extra] if extra else None,
            rowsperstrip=None if tile else 50,
        )
        if data is not None:
            answer = judged(data, wanted, LOSSY.get(method, 3.0 if form[0] == "i" else 1.0))
            found[answer].append((method, predictor, order, tile, planar, big, extra))
    assert found["wrong"] == [] and found["damaged"] == []
    readable = {"bool", "u1", "u2", "i4", "f4"} if photometric == "minisblack" else {"bool", "u1", "u2"}
    assert bool(found["right"]) == (form in readable - ({"bool"} if rgb else set()))


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("CMYK", {}),
        ("CMYK", {"compression": "tiff_lzw"}),
        ("LA", {}),
        ("P", {"compression": "packbits"}),
        ("1", {"compression": "group3"}),
        ("1", {"compression": "group4"}),
        ("1", {"tiffinfo": {266: 2}, "compression": "group4"}),
        ("YCbCr", {"compression": "jpeg"}),
    ],
)
def test_tiff_by_pillow_against_tifffile(mode, options):
    image = Image.fromarray(BASE)
    image = image.quantize(64) if mode == "P" else image.convert(mode)
    data = encoded(image, "TIFF", **options)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        stored = file.pages[0].asarray()
        palette = file.pages[0].colormap
    found = read(data).pixels.astype(int)
    if mode == "CMYK":
        stored = 255 - np.minimum(255, stored[..., :3].astype(int) + stored[..., 3:])
        assert np.abs(found - stored).mean() < 2
    elif mode == "P":
        assert np.array_equal(found, (palette[:, stored] >> 8).transpose(1, 2, 0))
    elif mode == "1":
        assert np.array_equal(found[..., 0] > 0, stored)
    elif mode == "LA":
        assert np.abs(found[..., 0] - stored[..., 0]).max() <= 1
    else:
        assert np.abs(found - np.asarray(image.convert("RGB"))).mean() < 6


@pytest.mark.parametrize("level", [0, 6])
@pytest.mark.parametrize("shape", ["grey", "grey_alpha", "rgb", "rgba"])
@pytest.mark.parametrize("form", ["u1", "u2"])
def test_png(shape, form, level):
    pixels = BASE[..., : {"grey": 1, "grey_alpha": 1}.get(shape, 3)]
    stored = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], -1) if "a" in shape[-5:] else pixels
    stored = np.ascontiguousarray(numbers(stored if shape != "grey" else pixels[..., 0], form))
    data = imagecodecs.png_encode(stored, level=level)
    assert np.array_equal(imagecodecs.png_decode(data), stored)
    assert np.abs(read(data).pixels.astype(int) - pixels).max() <= 1


@pytest.mark.parametrize(
    ("mode", "options"),
    [("1", {}), ("L", {}), ("LA", {}), ("RGBA", {}), ("I;16", {}), *(("P", {"bits": bits}) for bits in (1, 2, 4, 8))],
)
def test_png_by_pillow_against_libpng(mode, options):
    image = Image.fromarray(BASE)
    image = image.quantize(2 ** options["bits"]) if mode == "P" else image.convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(numbers(np.asarray(image), "u2"))
    data = encoded(image, "PNG", **options)
    assert np.abs(read(data).pixels.astype(int) - as_rgb(imagecodecs.png_decode(data))).max() <= 1


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (6, 4)])
def test_interlaced_png_against_libpng(colour, channels):
    pixels = np.concatenate([BASE, np.full_like(BASE[..., :1], 255)], -1)[..., :channels]
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = b"".join(rows_of(np.ascontiguousarray(pixels[y::down, x::right])) for y, x, down, right in passes)
    data = png(144, 128, 8, colour, rows, interlaced=True)
    assert np.array_equal(as_rgb(imagecodecs.png_decode(data)), as_rgb(pixels.squeeze()))
    assert np.array_equal(read(data).pixels, as_rgb(pixels.squeeze()))


def as_rgb(stored: np.ndarray) -> np.ndarray:
    """(H, W), (H, W, 1 to 4) as whole numbers (H, W, 3) of 8 bits, without transparency."""
    stored = stored.astype(int) // (257 if stored.dtype == np.uint16 else 1)
    stored = stored[..., None] if stored.ndim == 2 else stored
    return stored[..., :3] if stored.shape[2] > 2 else np.repeat(stored[..., :1], 3, axis=2)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True, "restart_marker_blocks": 3}])
def test_jpeg(subsampling, options):
    data = encoded(Image.fromarray(BASE), "JPEG", quality=92, subsampling=subsampling, **options)
    assert np.abs(read(data).pixels.astype(int) - imagecodecs.jpeg8_decode(data)).max() <= 3
    other = imagecodecs.jpeg8_encode(BASE, level=92, subsampling=subsampling.replace(":", ""))
    assert np.abs(read(other).pixels.astype(int) - imagecodecs.jpeg8_decode(other)).max() <= 3


def test_jpegs_of_other_depths_are_refused_by_their_kind():
    for data, words in (
        (imagecodecs.jpeg8_encode(BASE.astype(np.uint16) * 16, bitspersample=12), "12 bits"),
        (imagecodecs.ljpeg_encode(BASE[..., 0].astype(np.uint16) * 257), "lossless JPEG of 16 bits"),
        (imagecodecs.jpegls_encode(BASE), "JPEG-LS"),
    ):
        with pytest.raises(ImageError, match=words):
            read(data)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "GIF", "BMP"])
def test_the_rest_against_a_second_decoder(kind):
    image = Image.fromarray(BASE)
    if kind == "WEBP":
        for lossless in (True, False):
            data = encoded(image, kind, lossless=lossless, quality=90)
            assert np.abs(read(data).pixels.astype(int) - imagecodecs.webp_decode(data)[..., :3]).max() <= 1
    elif kind == "AVIF":
        for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:0:0"):
            data = encoded(image, kind, quality=90, subsampling=subsampling)
            other = imagecodecs.avif_decode(data)
            other = other if other.ndim == 3 else np.repeat(other[..., None], 3, axis=2)
            assert np.abs(read(data).pixels.astype(int) - other[..., :3]).mean() <= 1
    elif kind == "GIF":
        data = encoded(image.quantize(64), kind, interlace=1)
        assert np.array_equal(read(data).pixels, imagecodecs.gif_decode(data)[..., :3])
    else:
        for other in (image, image.convert("L"), image.quantize(200), image.convert("1"), image.convert("RGBA")):
            data = encoded(other, kind)
            assert np.array_equal(read(data).pixels, np.asarray(other.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "1"])
@pytest.mark.parametrize(("chroma", "quality"), [("420", 90), ("422", 90), ("444", 90), ("444", -1)])
def test_heic_against_ffmpeg(mode, chroma, quality):
    image = Image.fromarray(BASE)
    data = encoded(image.quantize(64) if mode == "P" else image.convert(mode), "HEIF", quality=quality, chroma=chroma)
    assert np.abs(read(data).pixels.astype(int) - by_ffmpeg(data)).mean() < 1


@pytest.mark.parametrize(("bits", "most"), [(10, 2.5), (12, 2.5)])
def test_heic_of_more_bits_against_ffmpeg(bits, most, monkeypatch):
    import pillow_heif

    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    file = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (144, 128), numbers(BASE, "u2").tobytes()).save(file, quality=90)
    wanted = by_ffmpeg(file.getvalue())
    assert np.abs(read(file.getvalue()).pixels.astype(int) - wanted).mean() < most and np.abs(wanted - BASE).mean() < 8


def by_ffmpeg(data: bytes) -> np.ndarray:
    """The one coded picture of a HEIC, (H, W, 3)."""
    with av.open(io.BytesIO(data)) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24").astype(int)
