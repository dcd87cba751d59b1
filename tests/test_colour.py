"""Right colours: CMYK, deep and wide numbers, palettes, transparency and profiles."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import pytest
from asserted import grey, worst
from bad_files import encoded, png, scene
from PIL import Image, ImageCms
from profiles import P3_LIKE, WHITE, gamma, profile

from mdmf_core.images.reader import read


def test_cmyk_with_and_without_adobe_inversion():
    pixels = np.full((160, 160, 3), (200, 60, 20), np.uint8)
    cmyk = Image.fromarray(pixels).convert("CMYK")
    for kind in ("TIFF", "JPEG"):
        data = encoded(cmyk, kind, quality=98)
        assert worst(read(data).pixels, pixels) <= 3
    assert b"Adobe" in encoded(cmyk, "JPEG"), "Pillow writes the inverted kind"


def test_16_bit_gradients_keep_their_range():
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (160, 1))
    wanted = grey(np.tile(np.arange(256, dtype=np.uint8), (160, 1)))
    for kind in ("PNG", "TIFF"):
        assert worst(read(encoded(Image.fromarray(ramp), kind)).pixels, wanted) == 0
    assert worst(read(ramp).pixels, wanted) == 0
    big_endian = np.repeat(ramp.astype(">u2")[..., None], 3, axis=2)
    rows = np.hstack([np.zeros((160, 1), np.uint8), big_endian.view(np.uint8).reshape(160, -1)])
    assert worst(read(png(256, 160, 16, 2, rows.tobytes())).pixels, wanted) <= 1


def test_12_bit_and_white_is_zero_tiffs():
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (160, 1))
    wanted = grey(np.tile(np.arange(256, dtype=np.uint8), (160, 1)))
    inverted = encoded(Image.fromarray(65535 - ramp), "TIFF", tiffinfo={262: 0})
    assert worst(read(inverted).pixels, wanted) == 0
    twelve = np.tile(np.linspace(0, 4095, 256).astype(np.uint16), (160, 1)).reshape(-1, 2)
    packed = np.stack([twelve[:, 0] >> 4, (twelve[:, 0] & 15) << 4 | twelve[:, 1] >> 8, twelve[:, 1] & 255], -1)
    assert worst(read(tiff_of_12_bits(256, 160, packed.astype(np.uint8).tobytes())).pixels, wanted) == 0


def tiff_of_12_bits(width: int, height: int, data: bytes) -> bytes:
    tags = ((256, width), (257, height), (258, 12), (259, 1), (262, 1), (273, 200), (277, 1), (278, height))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in (*tags, (279, len(data))))
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags) + 1) + entries + bytes(4)
    return head.ljust(200, b"\0") + data


def test_floating_point_and_wide_integers():
    ramp = np.tile(np.arange(256), (160, 1))
    wanted = grey(ramp.astype(np.uint8))
    for array in (ramp / 255, ramp.astype(np.float64), ramp * 257.0):
        assert worst(read(array).pixels, wanted) == 0
        assert worst(read(encoded(Image.fromarray(array.astype(np.float32)), "TIFF")).pixels, wanted) == 0
    assert worst(read(encoded(Image.fromarray((ramp * 257).astype(np.int32)), "TIFF")).pixels, wanted) == 0
    stretched = read((ramp - 100.0) * 1e6)
    assert worst(stretched.pixels, wanted) == 0 and "stretched" in stretched.notes[0]
    holed = ramp / 255
    holed[0, :] = np.nan
    assert worst(read(holed).pixels[1:], wanted[1:]) == 0 and "not numbers" in read(holed).notes[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(np.where(ramp > 9, 1e308, -1e308))


def test_grey_palette_and_bits():
    pixels = scene()
    image = Image.fromarray(pixels)
    grey_image = image.convert("L")
    assert worst(read(encoded(grey_image, "PNG")).pixels, grey(np.asarray(grey_image))) == 0
    palette = image.quantize(64)
    for kind in ("PNG", "GIF", "TIFF"):
        assert worst(read(encoded(palette, kind)).pixels, np.asarray(palette.convert("RGB"))) == 0
    bits = image.convert("1")
    assert worst(read(encoded(bits, "PNG")).pixels, grey(np.asarray(bits).astype(np.uint8) * 255)) == 0
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    assert np.abs(read(encoded(lab, "TIFF")).pixels.astype(int) - pixels).mean() < 3


def test_alpha_is_put_on_white():
    pixels = scene()
    alpha = np.tile(np.linspace(0, 255, 200).astype(np.uint8), (160, 1))
    share = alpha[..., None] / 255
    image = Image.fromarray(pixels)
    wanted = np.rint(pixels * share + 255 * (1 - share))
    image.putalpha(Image.fromarray(alpha))
    picture = read(encoded(image, "PNG"))
    assert worst(picture.pixels, wanted) <= 1 and picture.notes == ("Transparent parts were put on white.",)
    assert worst(read(np.asarray(image)).pixels, wanted) <= 1
    one_grey = encoded(Image.fromarray(pixels[..., 0]), "PNG", transparency=int(pixels[5, 5, 0]))
    found = read(one_grey).pixels[..., 0]
    assert worst(found, np.where(pixels[..., 0] == pixels[5, 5, 0], 255, pixels[..., 0])) == 0
    image.putalpha(255)
    opaque = read(encoded(image, "PNG"))
    assert np.array_equal(opaque.pixels, pixels) and opaque.notes == ()


def test_palette_transparency_is_put_on_white():
    palette = Image.fromarray(scene()).quantize(64)
    data = encoded(palette, "PNG", transparency=bytes([0] * 10 + [255] * 54))
    wanted = np.asarray(palette.convert("RGB")).copy()
    wanted[np.asarray(palette) < 10] = 255
    assert worst(read(data).pixels, wanted) == 0


def test_a_wide_gamut_profile_changes_the_pixels():
    pixels = np.full((160, 160, 3), (180, 120, 90), np.uint8)
    linear = (np.array([180, 120, 90]) / 255) ** 2.2
    to_xyz = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
    from_xyz = np.linalg.inv([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
    light = from_xyz @ to_xyz @ linear
    wanted = np.rint(255 * (1.055 * light ** (1 / 2.4) - 0.055))
    assert np.abs(wanted - pixels[0, 0]).max() > 5
    alpha = Image.fromarray(pixels)
    alpha.putalpha(255)
    for data in (
        encoded(Image.fromarray(pixels), "PNG", icc_profile=P3_LIKE),
        encoded(Image.fromarray(pixels), "WEBP", icc_profile=P3_LIKE, lossless=True),
        encoded(Image.fromarray(pixels), "TIFF", icc_profile=P3_LIKE),
        encoded(alpha, "PNG", icc_profile=P3_LIKE),
    ):
        picture = read(data)
        assert worst(picture.pixels[0, 0], wanted) <= 2
        assert len(picture.notes) == 1 and "to sRGB" in picture.notes[0]
    for kind in ("JPEG", "AVIF", "HEIF"):
        found = read(encoded(Image.fromarray(pixels), kind, icc_profile=P3_LIKE, quality=98)).pixels
        assert worst(found[80, 80], wanted) <= 5, kind


def test_a_grey_profile_is_applied():
    pixels = np.tile(np.arange(256, dtype=np.uint8), (160, 1))
    dot = profile(b"GRAY", {b"wtpt": WHITE, b"kTRC": gamma(1.0)})
    found = read(encoded(Image.fromarray(pixels), "PNG", icc_profile=dot)).pixels
    wanted = 255 * (1.055 * (128 / 255) ** (1 / 2.4) - 0.055)
    assert abs(int(found[0, 128, 0]) - wanted) <= 2


def test_an_srgb_profile_leaves_every_pixel_alone():
    pixels = scene()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = read(encoded(Image.fromarray(pixels), "PNG", icc_profile=srgb))
    assert np.array_equal(picture.pixels, pixels) and picture.notes == ()


@pytest.mark.parametrize("bad", [b"nonsense", P3_LIKE[:150], profile(b"GRAY", {b"wtpt": WHITE, b"kTRC": gamma(1.8)})])
def test_a_profile_that_is_broken_or_does_not_fit_is_ignored(bad):
    pixels = scene()
    picture = read(encoded(Image.fromarray(pixels), "PNG", icc_profile=bad))
    assert np.array_equal(picture.pixels, pixels)
    assert len(picture.notes) == 1 and "ignored" in picture.notes[0]
