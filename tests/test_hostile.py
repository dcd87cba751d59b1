"""Hostile files: a short version of `benchmarks/stress/hostile.py`, and a test of every bound that the loader keeps."""

from __future__ import annotations

import os
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from bad_files import encoded, png, png_chunk, scene
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from profiles import P3_LIKE, WHITE, gamma, profile, xyz

from benchmarks.stress import crowded, hostile, hostile_archives, hostile_files, mutations
from mdmf_core.errors import ImageError
from mdmf_core.images import bounds, colour, reader
from mdmf_core.images.reader import read

ROWS = bytes(601 * 200)


@pytest.fixture(scope="module")
def clean():
    return mutations.clean()


@pytest.mark.stress
def test_a_short_corpus_gives_pictures_and_sentences_and_nothing_else(tmp_path):
    rng = np.random.default_rng(1)
    light = [case for case in hostile_files.describing_exif() if len(case[2]) < 10**5]
    cases = [*mutations.damaged(rng, 3), *hostile_files.lying(), *hostile_files.pretending(), *light]
    tallies, findings = hostile.run(hostile.written(cases, tmp_path))
    whole = hostile.total(tallies)
    assert findings == []
    assert whole.files == len(cases) > 300 and whole.read > 50 and whole.refused > 100
    assert not list(tmp_path.iterdir())


@pytest.mark.stress
def test_links_pipes_and_folders_are_read_or_refused(tmp_path):
    tallies, findings = hostile.run(hostile_files.special(tmp_path))
    assert findings == [] and tallies[0].refused == tallies[0].files == 9


@pytest.mark.stress
def test_a_hostile_archive_gives_sentences(tmp_path):
    rng = np.random.default_rng(2)
    for _, path in hostile.written(hostile_archives.archives_mutated(rng, 30), tmp_path):
        assert all(map(hostile.is_sentence, hostile.try_one(path, False)["texts"])), path.name


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ({"read": True, "texts": ["Two. Sentences."]}, "bad_sentences"),
        ({"read": False, "texts": []}, "bad_sentences"),
        ({"read": False, "texts": ["It is in /tmp/x/a.jpg."]}, "leaked_paths"),
        ({"read": True, "texts": [], "seconds": 11}, "over_time"),
        ({"read": True, "texts": [], "peak": 1.6e9}, "over_memory"),
        ({"crash": "the process ended with -11"}, "crashes"),
        ({"hang": True}, "hangs"),
    ],
)
def test_the_corpus_counts_what_is_wrong(found, fault, tmp_path):
    tally = hostile.Tally("kind")
    hostile.count(tally, found, [], str(tmp_path))
    assert getattr(tally, fault) == 1 and tally.faults == 1


def test_a_crash_is_put_down_to_its_file_and_what_is_left_behind_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(hostile.Child, "ask", lambda self, path: self._process.kill() or {"crash": "it died"})
    (tmp_path / "a.png").touch()
    assert hostile.run([("kind", tmp_path / "a.png")])[1][0]["file"] == "a.png"
    tally = hostile.Tally("kind")
    hostile.count(tally, {"read": True}, [tmp_path / "left"], "/")
    assert tally.files_left == tally.faults == 1


@pytest.mark.stress
def test_mutated_files_for_some_seconds(clean):
    rng = np.random.default_rng(int(os.environ.get("MDMF_SEED", 3)))
    names, until = list(clean), time.process_time() + 3
    while time.process_time() < until:
        name = names[rng.integers(len(names))]
        try:
            picture = read(mutations.mutated(name, clean[name], rng), 8)
        except ImageError as error:
            assert hostile.is_sentence(str(error)), error
        else:
            assert picture.pixels.dtype == np.uint8 and all(map(hostile.is_sentence, picture.notes))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_header_of_very_many_parts_is_refused(kind, clean):
    jpeg, gif = clean["plain.jpg"], clean["animated.gif"]
    cut = mutations._gif_cuts(gif)[2]
    parts = {
        "PNG": lambda count: png(200, 200, 8, 2, ROWS, png_chunk(b"teSt", b"") * count),
        "JPEG": lambda count: jpeg[:2] + b"\xff\xe1\0\x0cExif\0\0aaaa" * count + jpeg[2:],
        "GIF": lambda count: gif[:cut] + b"!\xfe" + (b"\xff" + bytes(255)) * count + b"\0" + gif[cut:],
    }
    assert read(parts[kind](100)).format == kind
    with pytest.raises(ImageError, match="far too many parts"):
        read(parts[kind](6_000))


def test_pixels_and_what_follows_in_very_many_parts_are_refused(monkeypatch):
    whole = png(200, 200, 8, 2, ROWS)
    crowded = whole[:-12] + png_chunk(b"teSt", b"") * 1_000 + whole[-12:]
    assert read(crowded).format == "PNG"
    monkeypatch.setattr(reader, "MAX_READS", 1_000)
    with pytest.raises(ImageError, match="far too many parts"):
        read(crowded)


def test_a_png_of_very_many_zipped_texts_is_refused():
    text = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10_000))[:-4] + b"torn")
    assert read(png(200, 200, 8, 2, ROWS, text * 100)).format == "PNG"
    whole = png(200, 200, 8, 2, ROWS)
    with pytest.raises(ImageError, match="far too many parts"):
        read(whole[:-12] + text * 1_001 + whole[-12:])


def test_a_jpeg_of_very_many_scans_is_refused(monkeypatch):
    data = crowded._many_scans(160, 50)
    assert read(data).format == "JPEG"
    monkeypatch.setattr(reader, "MAX_SCANNED", 50 * 160 * 160)
    with pytest.raises(ImageError, match="far too many parts"):
        read(data)
    with_video = encoded(Image.fromarray(scene()), "JPEG") + b"\xff\xdaaa" * 100
    assert read(with_video).format == "JPEG", "a phone's moving picture: only real scans count"


def test_a_tile_larger_than_any_picture_is_refused_unpacked():
    with pytest.raises(ImageError, match="A tile of the picture has more than 70 megapixels"):
        read(mutations.tiff(200, 200, zlib.compress(bytes(40_000)), tile=(10_000, 7_001)))
    words = ((322, 2, 4, 0x616161), (323, 4, 1, 2**31), (324, 4, 1, 8), (325, 4, 1, 100))
    with pytest.raises(ImageError, match="damaged"):
        read(mutations.tiff(200, 200, bytes(100), extra=words))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "TIFF"])
def test_entries_that_overlap_are_not_multiplied(kind):
    tags = 2_000
    entries = b"".join(struct.pack("<HHII", tag, 7, 30_000, 8) for tag in range(1_000, 1_000 + tags))
    exif = struct.pack("<2sHIH", b"II", 42, 8, tags) + entries + bytes(30_000)
    if kind == "TIFF":
        data = exif
    else:
        data = encoded(Image.fromarray(scene()), kind, exif=b"Exif\0\0" + exif if kind == "JPEG" else exif)
    tracemalloc.start()
    try:
        read(data)
    except ImageError:
        assert kind == "TIFF"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < tags * 30_000 / 4
    assert ImageFileDirectory_v2.load is bounds._load_directory


def test_a_directory_of_very_many_numbers_is_passed_over():
    def metadata(count: int) -> dict[str, str]:
        entries = struct.pack("<HHII", 0x0131, 2, 4, 0x616161) + struct.pack("<HHII", 0x0132, 5, count, 38)
        exif = struct.pack("<2sHIH", b"II", 42, 8, 2) + entries + bytes(4 + 8 * count)
        return read(encoded(Image.fromarray(scene()), "PNG", exif=exif)).metadata

    assert metadata(10)["Software"] == "aaa"
    assert metadata(200_000) == {}


def test_endless_stages_of_a_profile_are_passed_over():
    swap = struct.pack(">HH12f", 3, 3, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0)
    elements = b"mpet\0\0\0\0" + struct.pack(">HHIII", 3, 3, 1, 24, 8 + len(swap)) + b"matf\0\0\0\0" + swap
    plain = {b"wtpt": WHITE, b"rXYZ": xyz(0.5, 0.2, 0), b"gXYZ": xyz(0.3, 0.7, 0), b"bXYZ": xyz(0.16, 0.1, 0.8)}
    plain |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma(2.2))
    image = Image.new("RGB", (160, 160), (200, 120, 30))
    found = []
    for tags in (plain, plain | {b"D2B0": elements, b"D2B1": elements}):
        made = bytearray(profile(b"RGB ", tags))
        made[8] = 4  # the version that knows such stages
        found.append(read(encoded(image, "PNG", icc_profile=bytes(made))).pixels)
    assert P3_LIKE[8] < 5 and np.array_equal(*found)


def test_wide_numbers_are_scaled_in_little_memory():
    values = np.full((3_000, 3_000), 0.5, np.float32)
    tracemalloc.start()
    eight = colour.eight_bits(values, [])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (eight == 128).all() and peak < 8 * values.size


@pytest.mark.parametrize("name", ["lossless.webp", "animated.webp", "plain.avif"])
def test_decoders_do_not_keep_a_second_copy_of_the_picture(name, clean):
    kind = name.rsplit(".", 1)[1].upper()
    image, pixels = reader._decode(clean[name], kind, 8, [])
    assert not hasattr(image, "_decoder") and pixels.shape[2] == 3


def test_pictures_of_64_megapixel_sensors_are_accepted():
    for width, height in ((9_248, 6_936), (9_280, 6_944), (6_944, 9_280)):
        bounds.check_size(width, height, 128)
