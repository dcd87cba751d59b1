"""Colours that a file declares by numbers."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from asserted import assert_one_sentence, worst
from bad_files import encoded, png, png_chunk, rows_of
from PIL import Image
from profiles import P3_LIKE, TAGS, profile

from mdmf_core.images.declared import declared
from mdmf_core.images.reader import read


def coloured(colour: tuple[int, ...], *chunks: bytes, mode: int = 2) -> bytes:
    pixels = np.full((128, 128, len(colour)), colour, np.uint8)
    return png(128, 128, 8, mode, rows_of(pixels), *chunks)


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}I", *(round(100_000 * value) for value in values))


SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


@pytest.mark.parametrize(
    ("chunks", "wanted", "noted"),
    [
        ([png_chunk(b"cICP", bytes((12, 13, 0, 1)))], (0, 183, 30), "Display P3"),
        ([png_chunk(b"cICP", bytes((1, 13, 0, 1)))], (40, 180, 60), ""),
        ([png_chunk(b"cICP", bytes((1, 1, 0, 1)))], (40, 180, 60), ""),
        ([png_chunk(b"cICP", bytes((9, 16, 0, 1)))], (40, 180, 60), "HDR displays (PQ)"),
        ([png_chunk(b"cICP", bytes((9, 18, 0, 1)))], (40, 180, 60), "HDR displays (HLG)"),
        ([png_chunk(b"cICP", bytes((77, 13, 0, 1)))], (40, 180, 60), "not converted"),
        ([png_chunk(b"cICP", bytes((1, 13, 1, 0)))], (40, 180, 60), "not converted"),
        ([png_chunk(b"gAMA", fixed(1.0))], (110, 218, 133), "gAMA"),
        ([png_chunk(b"gAMA", fixed(1 / 2.2))], (40, 180, 60), ""),
        ([png_chunk(b"gAMA", fixed(1 / 2.2)), png_chunk(b"cHRM", fixed(*SRGB))], (40, 180, 60), ""),
        ([png_chunk(b"sRGB", b"\0"), png_chunk(b"gAMA", fixed(1.0))], (40, 180, 60), ""),
        ([png_chunk(b"gAMA", fixed(0.0))], (40, 180, 60), "not converted"),
        ([png_chunk(b"cHRM", fixed(*8 * (0.3,)))], (40, 180, 60), "not converted"),
        (
            [png_chunk(b"cICP", bytes((1, 13, 0, 1))), png_chunk(b"gAMA", fixed(1.0))],
            (40, 180, 60),
            "",
        ),
    ],
)
def test_png_colours_by_numbers(chunks, wanted, noted):
    picture = read(coloured((40, 180, 60), *chunks))
    assert worst(picture.pixels[0, 0], np.array(wanted)) <= 1
    assert noted in "".join(picture.notes) and len(picture.notes) == bool(noted)
    for note in picture.notes:
        assert_one_sentence(note)


def test_adobe_rgb_by_chrm_and_gama_is_what_the_formula_says():
    """Source: Adobe RGB (1998) Color Image Encoding, 4.3: light = value ^ 2.19921875, then its matrix."""
    chunks = png_chunk(b"gAMA", fixed(1 / 2.2)), png_chunk(b"cHRM", fixed(*ADOBE))
    light = (np.array([120, 90, 200]) / 255) ** 2.2
    to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
    from_xyz = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    wanted = 255 * (1.055 * (from_xyz @ to_xyz @ light) ** (1 / 2.4) - 0.055)
    assert worst(read(coloured((120, 90, 200), *chunks)).pixels[0, 0], np.rint(wanted)) <= 1


def test_grey_and_transparent_png_are_converted_too():
    gama = png_chunk(b"gAMA", fixed(1.0))
    assert read(coloured((128,), gama, mode=0)).pixels[0, 0].tolist() == [188] * 3
    assert read(coloured((128, 128, 128, 255), gama, mode=6)).pixels[0, 0].tolist() == [188] * 3


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize(
    ("codes", "noted"), [((12, 13), "Display P3"), ((9, 16), "(PQ)"), ((9, 18), "(HLG)"), ((1, 13), ""), ((1, 1), "")]
)
def test_nclx_of_avif_and_heic(kind, codes, noted):
    data = encoded(Image.new("RGB", (160, 160), (230, 30, 30)), kind, quality=98)
    at = data.find(b"colrnclx")
    assert at > 0, "the encoder writes no nclx, so the case can't be made"
    picture = read(data[: at + 8] + struct.pack(">HH", *codes) + data[at + 12 :])
    assert noted in "".join(picture.notes) and len(picture.notes) == bool(noted)
    wanted = (251, 0, 0) if codes == (12, 13) else (230, 30, 30)
    assert worst(picture.pixels[80, 80], np.array(wanted)) <= 5


CICP = b"cicp\0\0\0\0"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(("transfer", "curve"), [(16, "PQ"), (18, "HLG"), (13, "")])
def test_a_profile_for_hdr_is_noted_in_every_container(kind, transfer, curve):
    icc = profile(b"RGB ", {**TAGS, b"cicp": CICP + bytes((12, transfer, 0, 1))})
    picture = read(encoded(Image.new("RGB", (160, 160), (230, 30, 30)), kind, icc_profile=icc))
    assert ["HDR displays" in note for note in picture.notes].count(True) == bool(curve)
    assert not curve or f"({curve})" in picture.notes[0]


def test_an_old_profile_for_hdr_is_known_by_its_name():
    name = "ITUR_2100_PQ_FULL"
    text = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2 * len(name), 28) + name.encode("utf-16-be")
    picture = read(encoded(Image.new("RGB", (160, 160)), "PNG", icc_profile=profile(b"RGB ", {**TAGS, b"desc": text})))
    assert "HDR displays (PQ)" in picture.notes[0]


def test_hdr_codes_beside_a_profile_are_noted_and_others_give_way_to_it():
    data = encoded(Image.new("RGB", (160, 160), (230, 30, 30)), "AVIF", quality=98, icc_profile=P3_LIKE)
    at = data.find(b"colrnclx")
    assert at > 0 and b"colrprof" in data
    for codes, said in (((9, 16), ["HDR displays (PQ)", "embedded profile"]), ((12, 13), ["embedded profile"])):
        notes = read(data[: at + 8] + struct.pack(">HH", *codes) + data[at + 12 :]).notes
        assert len(notes) == len(said) and all(words in note for words, note in zip(said, notes, strict=True))


def test_declared_colours_of_nothing_are_nothing():
    for kind in ("PNG", "AVIF", "HEIC", "JPEG", "TIFF"):
        assert declared(b"", kind).profile is None
