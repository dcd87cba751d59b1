"""Invisible marks: the reader against the package that writes them, bit for bit; no mark where there is none.

Needs invisible-watermark, with PyWavelets and OpenCV (development only).
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from bad_files import scene
from imwatermark.maxDct import EmbedMaxDct
from PIL import Image

from mdmf_core.images import isolated
from mdmf_core.images.origin import marks, origin_of, read_provenance
from mdmf_core.images.reader import read


def marked(pixels: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    return np.ascontiguousarray(EmbedMaxDct(list(bits), wmLen=len(bits)).encode(bgr)[..., ::-1])


def theirs(pixels: np.ndarray, length: int) -> np.ndarray:
    return EmbedMaxDct(wmLen=length).decode(np.ascontiguousarray(pixels[..., ::-1]))


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    smooth = np.stack([scene(512, 640)[..., channel] // 2 + 60 for channel in (2, 0, 1)], -1)
    return [
        scene(320, 384),
        smooth,
        rng.integers(0, 256, (259, 301, 3), np.uint8),
        np.full((256, 256, 3), 77, np.uint8),
    ]


@pytest.mark.parametrize("length", [8, 32, 46, 48, 136])
def test_bits_are_those_of_the_package(length):
    rng = np.random.default_rng(length)
    bits = tuple(rng.integers(0, 2, length).tolist())
    for pixels in pictures():
        for shown in (pixels, marked(pixels, bits)):
            assert np.array_equal(marks.read_bits(marks.block_votes(shown), length), theirs(shown, length))


def test_the_bits_are_those_of_the_reference_codes():
    lengths = {tool: len(bits) for tool, bits in marks.MARKS[:4]}
    assert lengths == {"Stable Diffusion 1": 136, "Stable Diffusion 2": 32, "Stable Diffusion XL": 48, "FLUX": 46}
    text = np.packbits(np.array(marks.MARKS[0][1], np.uint8)).tobytes()
    assert marks.MARKS[5] == ("InvokeAI", tuple(np.unpackbits(np.frombuffer(b"InvokeAI", np.uint8)).tolist()))
    assert text == b"StableDiffusionV1" and marks.MARKS[4][1][2:] == marks.MARKS[3][1]


@pytest.mark.parametrize(("tool", "bits"), marks.MARKS)
def test_each_mark_is_found_and_no_other(tool, bits):
    pixels = marked(scene(512, 512), bits)
    found = marks.find_marks(pixels)
    assert found[0].tool == tool and found[0].bits == len(bits) and found[0].chance < marks.RARE
    assert {mark.tool for mark in found} == {tool}


def test_nothing_is_found_where_there_is_none():
    for pixels in (*pictures(), np.zeros((300, 300, 3), np.uint8), marked(scene(200, 240), marks.MARKS[2][1])):
        assert marks.find_marks(pixels) == ()


def test_the_chance_is_that_of_a_binomial():
    stats = pytest.importorskip("scipy.stats")
    for agreeing, bits in ((48, 48), (40, 48), (24, 48), (0, 32), (100, 136)):
        assert marks.by_luck(agreeing, bits) == pytest.approx(stats.binom.sf(agreeing - 1, bits, 0.5))


def test_a_mark_is_in_the_first_line_also_from_another_process(tmp_path):
    file = io.BytesIO()
    Image.fromarray(marked(scene(512, 512), marks.MARKS[2][1])).save(file, "PNG")
    path = tmp_path / "marked.png"
    path.write_bytes(file.getvalue())
    said = origin_of(path)
    assert said.generated == "yes" and "invisible mark of Stable Diffusion XL" in said.sentence
    picture = read(path)
    assert isolated.origin_of(path, picture) == said
    assert isolated.read_provenance(path, picture) == read_provenance(path, picture)
