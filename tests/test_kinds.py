"""Kinds of file that decoders misread or refuse, colours that containers declare: right pixels, or a sentence."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from asserted import assert_one_sentence, worst
from bad_files import encoded, png, png_chunk, rows_of, scene
from PIL import Image

from mdmf_core.errors import ImageError
from mdmf_core.images.containers import boxes, jpeg, tiff
from mdmf_core.images.reader import read

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
BROKEN = ("The file's metadata is broken and was ignored.",)


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read(data)
    assert_one_sentence(str(caught.value))
    return str(caught.value)


# HEIC of tiles


@pytest.fixture(scope="module")
def tiled() -> bytes:
    """Six tiles of 128 x 128, as phones write them."""
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(scene(256, 384))).save(file, tile_size=128, quality=80)
    return file.getvalue()


def test_a_whole_tiled_heic_is_read(tiled):
    assert len(boxes.File(tiled).tiles()) == 6
    picture = read(tiled)
    assert picture.notes == () and np.abs(picture.pixels.astype(int) - scene(256, 384)).mean() < 8


def test_a_tiled_heic_without_its_end_is_refused_wherever_it_is_cut(tiled):
    file = boxes.File(tiled)
    first, last = (file.items[file.tiles()[at]].extents[0] for at in (0, -1))
    for cut in (first[0] + 10, sum(first), (first[0] + last[0]) // 2, last[0], sum(last) - 1):
        assert "damaged or cut off" in refusal(tiled[:cut])


@pytest.mark.parametrize("new", [lambda body: bytes(len(body)), lambda body: body[:4] + b"\x7e" + body[5:]])
def test_a_tile_that_holds_no_picture_is_refused(tiled, new):
    """Zeros; or a unit of a reserved type, which libheif passes over and leaves the tile green."""
    for tile in boxes.File(tiled).tiles():
        start, length = boxes.File(tiled).items[tile].extents[0]
        body = new(tiled[start : start + length])
        assert "damaged or cut off" in refusal(tiled[:start] + body + tiled[start + length :])


def test_green_tiles_that_are_meant_are_read():
    import pillow_heif

    pixels = scene(256, 256)
    pixels[:128, :128] = (0, 136, 0)
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(file, tile_size=128, quality=-1, chroma="444")
    assert worst(read(file.getvalue()).pixels[:120, :120], pixels[:120, :120]) <= 3


def test_boxes_that_make_no_sense_end_the_search(tiled):
    rng = np.random.default_rng(3)
    for _ in range(300):
        data = bytearray(tiled[:4000])
        for at in rng.integers(0, 1200, 12):
            data[at] = rng.integers(256)
        try:
            found = boxes.File(bytes(data))
            found.is_incomplete(), found.colour(), found.xmp()
        except (ValueError, IndexError, KeyError):
            continue


# TIFF


def test_layouts_that_pillow_misreads_are_refused():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (160, 1))
    for tags, words in (
        ({258: (16, 16, 16), 277: 3, 284: 2, 262: 2}, "16-bit whole numbers in separate planes"),
        ({258: 32, 339: 1}, "32-bit whole numbers"),
        ({258: 16, 339: 2}, "16-bit signed numbers"),
        ({258: 32, 339: 3, 262: 0}, "32-bit floating-point numbers"),
        ({258: (32, 32, 32), 339: (3, 3, 3), 277: 3, 262: 2}, "32-bit floating-point numbers"),
        ({258: 64, 339: 3}, "64-bit floating-point numbers"),
        ({258: (5, 6, 5), 277: 3, 262: 2}, "6-bit whole numbers"),
        ({259: 34712}, "JPEG 2000"),
        ({259: 12345}, "number 12345"),
    ):
        text = refusal(tiff_of(256, 160, ramp.tobytes(), tags))
        assert words in text and "save it as PNG" in text, tags


def tiff_of(width: int, height: int, data: bytes, tags: dict, order: str = "<") -> bytes:
    """A TIFF of one strip, with these tags in place of the usual ones of 8 bits."""
    usual = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 400, 277: 1, 278: height, 279: len(data)}
    entries, more, place = b"", b"", 300
    for tag, value in sorted((usual | tags).items()):
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"{order}{len(values)}{'H' if len(values) > 1 else 'I'}", *values)
        if len(packed) > 4:
            more, packed = more + packed, struct.pack(f"{order}I", place + len(more))
        entries += struct.pack(f"{order}HHI", tag, 3 if len(values) > 1 else 4, len(values)) + packed
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(usual | tags))
    head = start + entries + bytes(4)
    return head.ljust(300, b"\0") + more.ljust(100, b"\0") + data


def test_a_compressed_float_in_big_endian_order_is_refused_and_a_plain_one_is_read():
    import zlib

    values = np.tile(np.linspace(0, 1, 256, dtype=">f4"), (160, 1))
    tags = {258: 32, 339: 3}
    plain = read(tiff_of(256, 160, values.tobytes(), tags, ">")).pixels[0, :, 0]
    assert worst(plain, np.arange(256)) <= 1
    zipped = zlib.compress(values.tobytes())
    assert "big-endian" in refusal(tiff_of(256, 160, zipped, tags | {259: 8, 279: len(zipped)}, ">"))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_palette_that_counts_to_255_is_refused_and_a_usual_one_is_read(order):
    pixels, ramp = scene()[..., 1], np.arange(256)
    for top, words in ((257, ""), (1, "a palette that counts to 255")):
        colours = np.stack([ramp, ramp[::-1], ramp // 2]) * top
        file = io.BytesIO()
        with tifffile.TiffWriter(file, byteorder=order) as pages:
            pages.write(pixels, photometric="palette", colormap=colours.astype(np.uint16), metadata=None)
        if words:
            assert words in refusal(file.getvalue())
        else:
            assert np.array_equal(read(file.getvalue()).pixels, (colours[:, pixels] // 257).transpose(1, 2, 0))


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2)])
def test_ycbcr_without_compression_is_no_damage(subsampling):
    pixels = np.asarray(Image.fromarray(scene()).convert("YCbCr"))
    tags = {258: (8, 8, 8), 277: 3, 262: 6, 530: subsampling}
    assert "uncompressed YCbCr" in refusal(tiff_of(200, 160, pixels.tobytes(), tags))


def test_a_directory_that_points_anywhere_is_a_sentence():
    rng = np.random.default_rng(4)
    whole = encoded(Image.fromarray(scene()), "TIFF")
    at = struct.unpack("<I", whole[4:8])[0]
    for _ in range(200):
        data = bytearray(whole)
        for place in rng.integers(at, len(whole), 6):
            data[place] = rng.integers(256)
        try:
            tiff.unusual(tiff.Directory(bytes(data)))
        except ValueError:
            continue


# JPEG


def with_segment(marker: int, body: bytes, data: bytes) -> bytes:
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + data[2:]


@pytest.mark.parametrize(
    ("marker", "body"),
    [
        (0xE0, b"JFIF"),
        (0xE0, b""),
        (0xE2, b"ICC_PROFILE\0\1"),
        (0xE2, b"MPF\0II"),
        (0xE1, b"Exif\0"),
        (0xED, b"Photoshop 3.0\0008BI"),
        (0xEE, b"Adobe\0"),
        (0xFE, b""),
    ],
)
def test_a_broken_application_segment_costs_the_metadata_only(marker, body):
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = encoded(Image.fromarray(scene()), "JPEG", quality=95, exif=exif)
    picture = read(with_segment(marker, body, whole))
    assert np.array_equal(picture.pixels, read(whole).pixels), "turned as its own sound EXIF says"
    assert picture.notes in ((), BROKEN)


def test_the_colours_of_an_adobe_cmyk_jpeg_survive_a_broken_segment():
    whole = encoded(Image.fromarray(scene()).convert("CMYK"), "JPEG", quality=95)
    picture = read(with_segment(0xE2, b"ICC_PROFILE\0", whole))
    assert np.array_equal(picture.pixels, read(whole).pixels) and picture.notes == BROKEN


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 2}])
def test_a_jpeg_that_lacks_only_its_end_marker_is_read(options):
    whole = encoded(Image.fromarray(scene()), "JPEG", quality=90, **options)
    for data in (whole[:-2], whole[:-1]):
        picture = read(data)
        assert np.array_equal(picture.pixels, read(whole).pixels)
        assert len(picture.notes) == 1 and "no end marker" in picture.notes[0]
    broken = read(with_segment(0xE2, b"ICC_PROFILE\0", whole[:-2]))
    assert np.array_equal(broken.pixels, read(whole).pixels) and len(broken.notes) == 2


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_more_is_refused_wherever_it_is_cut(progressive):
    whole = encoded(Image.fromarray(scene()), "JPEG", quality=90, progressive=progressive)
    scans = [part for part in jpeg.segments(whole) if part.marker == 0xDA]
    cuts = [*np.linspace(scans[0].end + 20, len(whole) - 12, 25).astype(int), *(part.start for part in scans[1:])]
    for cut in cuts:
        assert "damaged or cut off" in refusal(whole[:cut])


@pytest.mark.parametrize(
    ("marker", "bits", "words"),
    [(0xC1, 12, "12 bits"), (0xC3, 16, "lossless JPEG of 16 bits"), (0xF7, 8, "JPEG-LS"), (0xC5, 8, "hierarchical")],
)
def test_an_unusual_jpeg_is_called_what_it_is(marker, bits, words):
    whole = encoded(Image.fromarray(scene()), "JPEG")
    at = whole.index(b"\xff\xc0")
    text = refusal(whole[: at + 1] + bytes([marker]) + whole[at + 2 : at + 4] + bytes([bits]) + whole[at + 5 :])
    assert words in text and "save it as PNG" in text


# Orientation by the container's rule


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
def test_an_orientation_in_xmp_turns_nothing(kind):
    pixels = scene(128, 200)
    if kind == "PNG":
        data = png(200, 128, 8, 2, rows_of(pixels), png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP))
    else:
        upright = encoded(Image.fromarray(pixels), kind, quality=95, xmp=XMP.replace(b'"6"', b'"1"'))
        data = upright.replace(b'Orientation="1"', b'Orientation="6"')
    assert XMP in data
    assert np.abs(read(data).pixels.astype(int) - pixels).mean() < 8


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_exif_turns_no_avif_or_heic(kind):
    """ISO/IEC 23000-22 (MIAF), 7.3.9: the picture is turned by irot and imir alone."""
    exif = Image.Exif()
    exif[0x0213] = 6  # a field of the same form, whose number becomes that of the orientation
    data = encoded(Image.fromarray(scene(128, 200)), kind, quality=95, exif=exif.tobytes())
    order = ">" if struct.pack(">HHIH", 0x0213, 3, 1, 6) in data else "<"
    entry = struct.pack(f"{order}HHIH", 0x0213, 3, 1, 6)
    assert data.count(entry) == 1
    turned = read(data.replace(entry, struct.pack(f"{order}HHIH", 0x0112, 3, 1, 6)))
    assert turned.pixels.shape == (128, 200, 3)


# GIF, BMP and kinds that are no pictures here


def test_a_first_gif_frame_of_a_part_lies_on_white():
    small = Image.fromarray(scene(128, 140)).quantize(64)
    data = bytearray(encoded(small, "GIF"))
    data[6:10] = struct.pack("<HH", 200, 160)
    at = data.index(b"\x2c\0\0\0\0")
    data[at + 1 : at + 5] = struct.pack("<HH", 50, 20)
    picture = read(bytes(data))
    assert np.array_equal(picture.pixels[20:148, 50:190], np.asarray(small.convert("RGB")))
    assert (picture.pixels[:20] == 255).all() and (picture.pixels[:, :50] == 255).all()
    assert len(picture.notes) == 1 and "rest was left white" in picture.notes[0]


def rle4(rows: list[bytes]) -> bytes:
    """A BMP of 16 greys; `rows` are run lengths, the lowest row first."""
    body = b"".join(rows) + b"\0\1"
    palette = b"".join(bytes((17 * level,) * 3 + (0,)) for level in range(16))
    head = struct.pack("<IiiHHIIiiII", 40, 130, len(rows), 1, 4, 2, len(body), 0, 0, 16, 0)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + head + palette + body


def test_4_bit_run_lengths_of_bmp_odd_even_literal_and_jumped():
    runs = (
        b"\x81\x5a\x01\xf0\0\0",  # 129 pixels that alternate, then one
        b"\0\x05\x12\x34\x50\0\x7d\x77\0\0",  # 5 literal ones, 125 of one run
        b"\x02\xcc\0\2\x20\0\x60\x11\0\0",  # 2, a jump by 32, 96
        b"\x82\x33\0\0",
    )
    picture = read(rle4(list(runs) * 40), 128)
    values = (picture.pixels[::-1, :, 0] // 17)[:4]
    assert values[0].tolist() == [5, 10] * 64 + [5, 15]
    assert values[1].tolist() == [1, 2, 3, 4, 5] + [7] * 125
    assert values[2].tolist() == [12] * 2 + [0] * 32 + [1] * 96
    assert values[3].tolist() == [3] * 130 and picture.notes == ()


def test_an_alpha_channel_of_a_bmp_that_nobody_filled_hides_nothing():
    pixels = scene()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    head = struct.pack("<IiiHHIIiiII", 108, 200, -160, 1, 32, 3, 0, 0, 0, 0, 0) + masks

    def with_alpha(alpha: int) -> bytes:
        stored = np.concatenate([pixels[..., ::-1], np.full_like(pixels[..., :1], alpha)], -1)
        start = 14 + len(head)
        return b"BM" + struct.pack("<IHHI", start + stored.size, 0, 0, start) + head + stored.tobytes()

    for alpha in (0, 255):
        assert np.array_equal(read(with_alpha(alpha)).pixels, pixels) and read(with_alpha(alpha)).notes == ()
    assert read(with_alpha(9)).notes == ("Transparent parts were put on white.",)


def test_run_lengths_that_end_early_are_damage():
    assert "damaged or cut off" in refusal(rle4([b"\x82\x33\0\0"] * 160)[:-200])


def test_bit_fields_and_wrapped_pictures_in_bmp_are_called_so():
    pixels = np.zeros((160, 160), "<u2")
    head = struct.pack("<IiiHHIIiiIIIII", 40, 160, 160, 1, 16, 3, pixels.nbytes, 0, 0, 0, 0, 0xF00, 0xF0, 0xF)
    data = b"BM" + struct.pack("<IHHI", 66 + pixels.nbytes, 0, 0, 66) + head + pixels.tobytes()
    assert "unusual bit fields" in refusal(data)
    assert "wraps a JPEG" in refusal(data[:30] + b"\4" + data[31:])


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
        (b"\xff\x0a", "a JPEG XL picture"),
        (b"qoif", "a QOI picture"),
        (b"P6\n200 200\n255\n", "a PNM picture"),
        (b"#?RADIANCE\n", "a Radiance HDR picture"),
    ],
)
def test_other_pictures_are_named_with_what_to_convert_them_to(start, words):
    text = refusal(start + bytes(500))
    assert words in text and "save it as PNG or JPEG" in text
