"""Images: right colours from every kind of picture, one sentence for everything that is none."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import warnings

import numpy as np
import pytest
from asserted import assert_one_sentence, grey, worst
from bad_files import encoded, png, scene, write_bad_files
from PIL import Image, ImageFile, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from mdmf_core.errors import ImageError
from mdmf_core.images import bounds
from mdmf_core.images.kinds import is_image_name
from mdmf_core.images.reader import read


def test_lossless_pictures_come_out_as_they_went_in():
    pixels = scene()
    for kind, options in (("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        picture = read(encoded(Image.fromarray(pixels), kind, **options))
        assert np.array_equal(picture.pixels, pixels), kind
        assert (picture.format, picture.width, picture.height, picture.notes) == (kind, 200, 160, ())
        assert picture.pixels.flags.writeable and picture.pixels.flags.c_contiguous


@pytest.mark.parametrize(("kind", "wanted"), [("JPEG", "JPEG"), ("AVIF", "AVIF"), ("HEIF", "HEIC"), ("MPO", "JPEG")])
def test_lossy_pictures_keep_their_colours(kind, wanted):
    blocks = np.kron(np.random.default_rng(0).integers(0, 256, (5, 5, 3)), np.ones((32, 32, 1))).astype(np.uint8)
    picture = read(encoded(Image.fromarray(blocks), kind, quality=95))
    centres = (slice(16, None, 32), slice(16, None, 32))
    assert picture.format == wanted
    assert worst(picture.pixels[centres], blocks[centres]) <= 8


def test_the_record_beside_the_pixels(tmp_path):
    data = encoded(Image.fromarray(scene()), "PNG")
    path = tmp_path / "a photo.png"
    path.write_bytes(data)
    picture = read(path)
    assert (picture.name, picture.n_bytes) == ("a photo.png", len(data))
    assert picture.sha256 == hashlib.sha256(data).hexdigest() == read(data).sha256
    assert read(str(path)).sha256 == picture.sha256


def test_every_orientation_is_made_upright():
    pixels = scene()
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, 1),
        7: np.rot90(pixels, 2).transpose(1, 0, 2),
        8: np.rot90(pixels, -1),
    }
    for orientation, array in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
            data = encoded(Image.fromarray(np.ascontiguousarray(array)), kind, exif=exif, **options)
            assert np.array_equal(read(data).pixels, pixels), (orientation, kind)
            assert np.array_equal(read(Image.open(io.BytesIO(data))).pixels, pixels), (orientation, kind)
        if array.shape == pixels.shape:
            continue
        for kind in ("JPEG", "AVIF", "HEIF"):
            data = encoded(Image.fromarray(np.ascontiguousarray(array)), kind, exif=exif.tobytes(), quality=95)
            found = read(data).pixels.astype(int)
            assert found.shape == pixels.shape and np.abs(found - pixels).mean() < 8, (orientation, kind)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_of_an_animation_the_first_frame_is_read(kind):
    red, blue = (Image.new("RGB", (160, 160), colour) for colour in ("red", "blue"))
    picture = read(encoded(red, kind, save_all=True, append_images=[blue]))
    assert worst(picture.pixels, np.full((160, 160, 3), (255, 0, 0), np.uint8)) <= 4
    assert picture.notes == ("The file is animated; only its first frame was analysed.",)


def test_pages_are_noted_and_phone_previews_are_not():
    red, blue = (Image.new("RGB", (160, 160), colour) for colour in ("red", "blue"))
    pages = read(encoded(red, "TIFF", save_all=True, append_images=[blue]))
    assert pages.notes == ("The file holds several pictures; only the first was analysed.",)
    assert read(encoded(red, "MPO", save_all=True, append_images=[blue])).notes == ()


def test_metadata_is_text_under_its_name():
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131] = "Maker", "Model 7\0\0", "Editor\x1b[31m 2\n\u202e"
    exif.get_ifd(0x8769).update(
        {
            0x829A: IFDRational(1, 60),
            0x829D: IFDRational(28, 10),
            0x9204: IFDRational(0, 0),
            0xA434: "Lens 35mm",
            0x9003: "2024:05:06 07:08:09",
            0x927C: bytes(range(256)),
        }
    )
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    for kind in ("JPEG", "TIFF", "WEBP", "PNG", "AVIF", "HEIF"):
        found = read(encoded(Image.fromarray(scene()), kind, exif=exif.tobytes())).metadata
        wanted = {"Make": "Maker", "Model": "Model 7", "LensModel": "Lens 35mm", "ExposureTime": "1/60"}
        wanted |= {"FNumber": "2.8", "DateTimeOriginal": "2024:05:06 07:08:09"}
        assert wanted.items() <= found.items(), (kind, found)
        assert found["Software"].startswith("Editor[31m 2")
        assert not {"MakerNote", "GPSInfo", "ExifOffset"} & set(found)
        assert all(text.isprintable() for text in found.values())


def test_png_text_is_kept_and_capped():
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a cat, Steps: 20" + "x" * 5000)
    text.add_itxt("Title", "Zürich 東京", zip=True)
    for number in range(500):
        text.add_text(f"key{number}", "value")
    found = read(encoded(Image.fromarray(scene()), "PNG", pnginfo=text)).metadata
    assert found["parameters"].startswith("a cat, Steps: 20") and len(found["parameters"]) == 2000
    assert found["Title"] == "Zürich 東京" and len(found) == 200


def test_the_text_of_an_animation_costs_no_decoding_of_its_frames(monkeypatch):
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "two frames")
    frames = [Image.new("RGB", (160, 160), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], pnginfo=text)
    monkeypatch.delattr(PngImagePlugin.PngImageFile, "seek")
    assert read(data).metadata == {"Title": "two frames"}


def test_byte_values_in_exif():
    exif = Image.Exif()
    exif[0x9C9C] = "Wörter".encode("utf-16-le") + b"\0\0"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0a comment"
    found = read(encoded(Image.fromarray(scene()), "JPEG", exif=exif, comment=b"made by hand")).metadata
    assert found == {"XPComment": "Wörter", "UserComment": "a comment", "comment": "made by hand"}


def test_pil_images_and_arrays():
    pixels = scene()
    image = Image.fromarray(pixels)
    for source in (image, pixels, pixels.astype(np.int64)):
        picture = read(source)
        assert np.array_equal(picture.pixels, pixels)
        assert (picture.format, picture.name, picture.n_bytes) == ("array", "image", pixels.size)
        assert picture.sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert worst(read(pixels[..., :1]).pixels, grey(pixels[..., 0])) == 0
    assert worst(read(pixels[..., 0] > 99).pixels, grey((pixels[..., 0] > 99).astype(np.uint8) * 255)) == 0
    opened = Image.open(io.BytesIO(encoded(image, "PNG")))
    assert read(opened).format == "PNG"
    picture = read(pixels)
    picture.pixels[:] = 0
    assert pixels.any(), "the caller's array is not shared"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"", "empty"),
        (b"<svg xmlns='x'></svg>", "SVG drawing"),
        (b"%PDF-1.4", "PDF document"),
        (b"<!doctype html><html>", "web page"),
        (b"hello there", "looks like text"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isom", "a video"),
        (b"II*\0\x10\0\0\0CR\x02\0", "camera raw"),
        (b"\0" * 100, "not a picture"),
        (np.zeros((3, 160, 200), np.uint8), "shape"),
        (np.zeros((160, 200), complex), "numbers"),
        (np.zeros((100, 200), np.uint8), "200 x 100 pixels, too small to judge; at least 128 x 128"),
        (np.broadcast_to(np.uint8(0), (9000, 9000)), "70 megapixels"),
        (Image.new("L", (20_001, 130)), "20,001 x 130 pixels; its longer side may have at most 20,000"),
        (None, "no picture"),
        ("", "folder"),
        ("a\0b.png", "no file named"),
        ("x" * 300 + ".png", "cannot be read"),
        ("no/such/place/lost.png", 'no file named "lost.png"'),
        ("/dev/null", "device"),
    ],
)
def test_refusals(source, words):
    with pytest.raises(ImageError) as caught:
        read(source)
    assert words in str(caught.value)
    assert_one_sentence(str(caught.value))


def test_a_folder_a_heavy_file_and_a_thumbnail_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ImageError, match="is a folder"):
        read(tmp_path)
    heavy = tmp_path / "heavy.png"
    with open(heavy, "wb") as file:
        os.truncate(file.fileno(), 256 * 2**20 + 1)
    with pytest.raises(ImageError, match="256 MiB"):
        read(heavy)
    raw = encoded(Image.fromarray(scene()), "TIFF", tiffinfo={254: 1})
    with pytest.raises(ImageError, match="camera raw"):
        read(raw)


def test_the_least_side_is_the_caller_s():
    data = encoded(Image.fromarray(scene(40, 60)), "PNG")
    assert read(data, min_side=40).height == 40
    with pytest.raises(ImageError, match="60 x 40 pixels, too small to judge; at least 41 x 41"):
        read(data, min_side=41)


def test_size_is_checked_before_decoding(monkeypatch):
    def never(self):
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", never)
    for side in (8_367, 9_500, 30_000):
        with pytest.raises(ImageError, match="70 megapixels"):
            read(png(side, side, 8, 2, bytes(1000)))


def test_what_decoders_throw_becomes_a_sentence_but_an_interrupt_goes_through(monkeypatch):
    data = encoded(Image.fromarray(scene()), "PNG")

    def read_while_the_decoder_throws(error: BaseException) -> None:
        def throw(self):
            raise error

        monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", throw)
        read(data)

    for kind in (OSError, KeyError, struct.error, MemoryError, RecursionError, TypeError, SyntaxError):
        with pytest.raises(ImageError) as caught:
            read_while_the_decoder_throws(kind("/secret/path"))
        assert_one_sentence(str(caught.value))
    with pytest.raises(KeyboardInterrupt):
        read_while_the_decoder_throws(KeyboardInterrupt())


def test_bad_files_give_a_picture_or_a_sentence(tmp_path, capfd, monkeypatch):
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)  # imageio registers it, where another test imports that
    paths = write_bad_files(tmp_path)
    assert len(paths) >= 40
    before = list(warnings.filters), Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, set(Image.OPEN)
    Image.init()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for path in paths:
            try:
                picture = read(path)
            except ImageError as error:
                assert not path.name.startswith("good"), (path.name, error)
                assert_one_sentence(str(error))
                continue
            assert not path.name.startswith("bad"), path.name
            assert picture.pixels.dtype == np.uint8 and picture.pixels.shape[2] == 3
            for note in picture.notes:
                assert_one_sentence(note)
    assert [str(warning.message) for warning in caught] == []
    after = list(warnings.filters), Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    assert after == before[:3] and "HEIF" not in Image.OPEN
    assert capfd.readouterr().out == ""


def test_a_tail_cut_off_never_changes_pixels():
    pixels = scene()
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF"):
        data = encoded(Image.fromarray(pixels), kind)
        whole = read(data).pixels
        for cut in (1, 2, 3, 7, 13, 17, 40):
            try:
                assert np.array_equal(read(data[:-cut]).pixels, whole), (kind, cut)
            except ImageError:
                pass


def test_threads_leave_the_warning_filters_as_they_were():
    corrupt = encoded(Image.fromarray(scene()), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\0")
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [read(corrupt) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before and bounds.Decoding._inside == 0


def test_names_of_images():
    for name in ("a.jpg", "b.JPEG", "c.d.png", "e.HEIC", "f.avif", "g.tif", "h.webp", "folder/i.gif"):
        assert is_image_name(name)
    for name in ("a.txt", "jpg", "b.svg", "c.json", "._d.jpg", "e.jpg.part"):
        assert not is_image_name(name)
