"""Records of generators: whole texts from every field, no person, camera or quotation taken for a generator."""

from __future__ import annotations

import io
import json
import struct
import zlib

import numpy as np
import pytest
import tifffile
from bad_files import encoded, png_chunk
from PIL import Image, PngImagePlugin
from recorded import A1111, AI_FIELD, LABEL, commented, jpeg, looked_at, png, scene, tools, whole, with_xmp
from signed import lasting, signed

from mdmf_core.errors import ImageError
from mdmf_core.images.origin import origin_of
from mdmf_core.images.reader import read

LONG = "a cat on a mat, " * 400 + A1111  # what names the tool stands far behind
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"


def with_segment(marker: int, body: bytes, data: bytes) -> bytes:
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + data[2:]


def exif_of(fields: dict[int, str | bytes]) -> Image.Exif:
    exif = Image.Exif()
    for tag, text in fields.items():
        exif[tag] = text
    return exif


# Names that others have, too


@pytest.mark.parametrize(
    "name",
    [
        *("Randall Edwards", "Kendall E. Price", "Marco Dalle Vedove", "Leonardo Aiello", "Jimeng Sun", "Tongyi Li"),
        *("Hunyuan Zhang", "Leonardo", "Sora", "Gemini Okafor", "Grok", "Firefly"),
    ],
)
def test_a_person_is_no_generator(name):
    assert tools(jpeg(exif_of({0x013B: name}))) == tools(png(Author=name)) == []
    assert tools(jpeg(xmp=whole(f'photoshop:Credit="{name}" photoshop:Source="{name}"'))) == []


@pytest.mark.parametrize(
    ("make", "model"), [("FIREFLY", "FIREFLY 8SE"), ("Planet Computers", "Gemini"), ("Sora", "Sora 2")]
)
def test_a_camera_with_the_name_of_a_generator_is_a_camera(make, model):
    found = looked_at(jpeg(exif_of({0x010F: make, 0x0110: model})))
    assert found.generator == () and found.camera == {"Make": make, "Model": model}


@pytest.mark.parametrize(
    ("software", "tool"),
    [
        ("DALL·E 3", "OpenAI"),
        ("DALL-E", "OpenAI"),
        ("dalle3", "OpenAI"),
        ("RecraftV3", "Recraft"),
        ("Ideogram_v2", "Ideogram"),
        ("Jimeng", "ByteDance (Doubao, Jimeng)"),
        ("通义万相", "Tongyi (Alibaba)"),
        ("Firefly 3", "Adobe Firefly"),
        ("Randall Edit 2", None),
        ("Recrafter", None),
    ],
)
def test_a_program_is_named_by_whole_words_and_versions(software, tool):
    assert tools(png(Software=software)) == ([tool] if tool else [])


@pytest.mark.parametrize("text", ["alpha=0.3, n=100", "Steps: 1000, dt: 0.1", "Seed: 42", "a note on parameters"])
def test_parameters_of_other_programs_are_none_of_a_generator(text):
    assert tools(png(parameters=text)) == []
    assert tools(png(parameters=f"{text} Negative prompt: dog Steps: 3")) == ["A1111"]


# What is declared


@pytest.mark.parametrize("text", ["no", "", '{"Label":"9"}', '{"Label":"fragile"}'])
def test_what_is_no_label_is_not_called_one(text):
    assert tools(png(AIGC=text)) == tools(commented(json.dumps({"AIGC": text}).encode(), "JPEG")) == []


@pytest.mark.parametrize(("number", "generated"), [("1", "yes"), ("2", "unknown"), ("3", "unknown"), ("", "unknown")])
def test_a_label_inside_a_string_is_read_and_an_unreadable_one_is_possibly(number, generated):
    text = LABEL.replace('"1"', f'"{number}"', 1)
    for data in (png(AIGC=text), commented(json.dumps({"AIGC": text}).encode(), "JPEG")):
        found = origin_of(data)
        assert found.generated == generated and "AIGC label" in found.by
        assert ("possibly" in found.declared) == (generated == "unknown")


@pytest.mark.parametrize(
    "xmp",
    [
        whole('photoshop:Credit="Edited with Google AI"'),
        whole('photoshop:Credit="Apple Photos Clean Up"'),
        whole("", "<xmpMM:History><rdf:Seq><rdf:li stEvt:parameters='Generative Fill'/></rdf:Seq></xmpMM:History>"),
        whole("", "<crs:RetouchAreas><rdf:Seq><rdf:li crs:Method='generative'/></rdf:Seq></crs:RetouchAreas>"),
    ],
)
def test_an_edited_picture_is_not_called_made(xmp):
    found = origin_of(jpeg(xmp=xmp))
    assert found.generated == "yes" and found.declared == "edited with generative AI"
    assert origin_of(jpeg(xmp=whole('photoshop:Credit="Made with Google AI"'))).declared == "made by generative AI"


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_subject_of_a_packet_is_the_file_itself_wherever_it_stands(place):
    other = f'<rdf:Description rdf:about="other.jpg" xmlns:Iptc4xmpExt="x" {AI_FIELD}/>'
    at = "<rdf:Description rdf:about=" if place == "before" else "</rdf:RDF>"
    assert looked_at(jpeg(xmp=whole("").replace(at, other + at, 1))).digital_source_code is None


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("form", ["utf-16-be", "utf-16-le", "utf-16"])
def test_xmp_in_utf_16(kind, form):
    packet = whole(AI_FIELD).encode(form)
    options = {"tiffinfo": {700: packet}} if kind == "TIFF" else {"xmp": packet}
    assert looked_at(encoded(scene(), kind, **options)).digital_source_code == "trainedAlgorithmicMedia"


# Texts in full, and all of them


@pytest.mark.parametrize(
    "data",
    [
        with_segment(0xFE, LONG.encode(), jpeg()),
        with_segment(0xFE, A1111.encode(), with_segment(0xFE, b"hello", jpeg())),
        with_segment(0xFE, b"hello", with_segment(0xFE, A1111.encode(), jpeg())),
        encoded(scene(), "GIF", comment=LONG.encode()),
        jpeg(exif_of({0x010E: LONG})),
        encoded(scene(), "TIFF", exif=exif_of({0x010E: LONG})),
        jpeg(exif_of({0x9C9C: LONG.encode("utf-16-le") + b"\0\0"})),
        commented(b"UNICODE\0" + LONG.encode(), "JPEG"),
    ],
)
def test_the_end_of_a_long_text_and_each_of_several_comments_counts(data):
    assert tools(data) == ["A1111"]


def test_a_long_record_of_json_in_a_comment_is_read_whole():
    text = json.dumps({"prompt": "x" * 5_000, "software": "RuinedFooocus"}).encode()
    assert tools(with_segment(0xFE, text, jpeg())) == tools(encoded(scene(), "GIF", comment=text)) == ["RuinedFooocus"]


def test_the_second_text_of_a_name_counts():
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "alpha=0.3")
    info.add_text("parameters", A1111)
    claim = looked_at(encoded(scene(), "PNG", pnginfo=info)).generator[0]
    assert (claim.tool, claim.field) == ("A1111", "parameters 2")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "AVIF", "HEIF", "TIFF"])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_exif_in_both_byte_orders(kind, endian):
    exif = exif_of({0x010F: "Ideogram AI"})
    exif.endian = endian
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + ("猫" * 700 + A1111).encode("utf-16-be")
    found = looked_at(encoded(scene(), kind, exif=exif.tobytes()))
    assert [claim.tool for claim in found.generator] == ["Ideogram", "A1111"] and found.camera == {}


def raw_profile(kind: str, body: bytes) -> bytes:
    """A PNG with a profile in hexadecimal digits, as ImageMagick and older programs write it."""
    digits = body.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = zlib.compress(f"\n{kind}\n{len(body):8d}\n{lines}\n".encode())
    data = png()
    return data[:33] + png_chunk(b"zTXt", f"Raw profile type {kind}\0\0".encode() + text) + data[33:]


def test_raw_profiles_of_a_png():
    packet = whole(AI_FIELD).encode()
    for data in (raw_profile("xmp", packet), raw_profile("APP1", XMP_HEAD + packet)):
        assert looked_at(data).digital_source_code == "trainedAlgorithmicMedia"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + LONG.encode("utf-16-be")
    for kind in ("exif", "APP1"):
        assert tools(raw_profile(kind, exif.tobytes())) == ["A1111"]
    assert (
        tools(raw_profile("xmp", packet)[:33] + png_chunk(b"tEXt", b"Raw profile type xmp\0\nxyz") + png()[33:]) == []
    )


# Other pictures and what stands behind the end


@pytest.fixture(scope="module")
def signed_files() -> list[bytes]:
    certificates, key, _ = lasting(86_400)
    return [
        signed(data, mime, certificates, key, "trainedAlgorithmicMedia")
        for data, mime in ((jpeg(), "image/jpeg"), (png(), "image/png"))
    ]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_signed_file_behind_the_end_signs_nothing(kind, signed_files):
    for other in signed_files:
        found = looked_at(encoded(scene(), kind) + other)
        assert found.c2pa is None and found.generator == ()
        assert not origin_of(encoded(scene(), kind) + other).declared


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_a_file_behind_an_avif_or_heic_is_another_file(kind, signed_files):
    """Phones put a film there; ISO/IEC 14496-12, 4.3: a file has one ftyp."""
    plain, made = encoded(scene(), kind), encoded(scene(), kind, xmp=whole(AI_FIELD).encode())
    certificates, key, _ = lasting(86_400)
    proved = signed(plain, "image/heic" if kind == "HEIF" else "image/avif", certificates, key, "digitalCapture")
    film = b"".join(struct.pack(">I", 100) + name + bytes(92) for name in (b"ftyp", b"moov", b"meta"))
    for tail in (made, proved, film, *signed_files, b"\0" * 50, whole(AI_FIELD).encode()):
        assert np.array_equal(read(plain + tail).pixels, read(plain).pixels)
        assert not origin_of(plain + tail).sentence.startswith("The file has") and not origin_of(plain + tail).declared
        assert looked_at(made + tail).digital_source_code == "trainedAlgorithmicMedia"
    assert origin_of(proved).signed and origin_of(proved + plain).unchanged is False
    assert origin_of(proved + film).sentence.endswith("but it can't be read, so it proves nothing.")


def test_what_the_second_picture_of_a_phones_file_says_is_not_the_firsts():
    data = encoded(scene(), "MPO", save_all=True, append_images=[scene()])
    at = data.rindex(b"\xff\xd8")
    second = with_segment(0xE1, XMP_HEAD + whole(AI_FIELD).encode(), with_segment(0xFE, A1111.encode(), data[at:]))
    assert not origin_of(data[:at] + second).declared


def test_the_film_of_a_motion_photo_says_nothing():
    film = struct.pack(">I", 24) + b"ftypmp42\0\0\0\0mp42isom" + whole(AI_FIELD).encode() + A1111.encode()
    assert not origin_of(jpeg() + film).declared


def test_of_several_pages_the_first_ones_statement_counts():
    file = io.BytesIO()
    tag = [(700, 1, None, whole(AI_FIELD).encode(), True)]
    with tifffile.TiffWriter(file) as pages:
        for extra, software in (([], "GIMP"), (tag, "Midjourney")):
            pages.write(np.asarray(scene()), photometric="rgb", metadata=None, extratags=extra, software=software)
    found = origin_of(file.getvalue())
    assert (found.declared, found.generated) == ("written by a program, GIMP", "unknown")


@pytest.mark.parametrize("order", ["<", ">"])
def test_xmp_of_a_tiff_in_each_byte_order_and_of_a_bigtiff(order):
    for big in (False, True)[: 1 + (order == "<")]:
        file = io.BytesIO()
        with tifffile.TiffWriter(file, byteorder=order, bigtiff=big) as pages:
            tag = [(700, 1, None, whole(AI_FIELD).encode(), True)]
            pages.write(np.asarray(scene()), photometric="rgb", metadata=None, extratags=tag)
        assert looked_at(file.getvalue()).digital_source_code == "trainedAlgorithmicMedia"


def test_animations_say_what_their_file_says():
    red, blue = (Image.new("RGB", (160, 160), colour) for colour in ("red", "blue"))
    moving = encoded(red, "AVIF", save_all=True, append_images=[blue], xmp=whole(AI_FIELD).encode())
    assert looked_at(moving).digital_source_code == "trainedAlgorithmicMedia"
    plain = encoded(red, "PNG", save_all=True, append_images=[blue])
    assert tools(plain[:-12] + png_chunk(b"tEXt", b"parameters\0" + A1111.encode()) + plain[-12:]) == ["A1111"]


def test_a_heif_sequence_without_a_still_picture_is_not_called_damaged():
    def box(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + name + body

    data = box(b"ftyp", b"hevc\0\0\0\0msf1hevc") + box(b"moov", bytes(400)) + box(b"mdat", bytes(5_000))
    with pytest.raises(ImageError, match="a HEIF image sequence without a still picture, a kind that can't be read"):
        read(data)


def test_two_packets_of_a_jpeg_the_first_one_is_the_pictures():
    def packets(*fields: str) -> bytes:
        data = jpeg()
        for field in reversed(fields):
            data = with_segment(0xE1, XMP_HEAD + whole(field).encode(), data)
        return data

    tool = 'xmp:CreatorTool="GIMP"'
    assert looked_at(packets(tool, AI_FIELD)).digital_source_code is None
    assert looked_at(packets(AI_FIELD, tool)).digital_source_code == "trainedAlgorithmicMedia"
    two = with_xmp("PNG", whole(tool))
    extra = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + whole(AI_FIELD).encode())
    assert looked_at(two[:-12] + extra + two[-12:]).digital_source_code is None
