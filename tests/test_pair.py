"""Two pictures on one another: crops and copies are found to the pixel, and different scenes are not taken for one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bad_files import scene
from PIL import Image
from tiny import picture

from mdmf_core.images.origin.said import Claim, Provenance
from mdmf_core.show import pair


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    """A scene with detail everywhere, (720, 960, 3) uint8."""
    rng = np.random.default_rng(4)
    rough = Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8)).resize((960, 720), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(rough, int) + rng.normal(0, 5, (720, 960, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("left", "top", "width", "height"), [(0, 0, 960, 720), (133, 57, 500, 400), (401, 301, 559, 400)]
)
def test_a_crop_lies_where_it_was_cut(whole, left, top, width, height):
    place = pair.align(whole, whole[top : top + height, left : left + width])
    assert (place.x, place.y, place.scale) == (left, top, 1.0) and place.alike
    assert not pair.difference(whole, whole[top : top + height, left : left + width], place).any()


def test_the_whole_lies_around_its_crop(whole):
    place = pair.align(whole[57:457, 133:633], whole)
    assert (place.x, place.y, place.scale) == (-133, -57, 1.0)
    assert pair.shared(whole[57:457, 133:633], whole, place) == (0, 0, 500, 400)


def test_a_smaller_copy_is_laid_over_the_whole(whole):
    small = np.asarray(Image.fromarray(whole).resize((480, 360), Image.Resampling.LANCZOS))
    place = pair.align(whole, small)
    assert (place.x, place.y, place.scale) == (0, 0, 2.0) and place.likeness > 0.9
    assert pair.difference(whole, small, place).shape == (720, 960)


def test_other_scenes_are_not_taken_for_one():
    place = pair.align(picture(1, 300, 400), scene(320, 200))
    assert not place.alike and (place.x, place.y) == (0, 0) and place.scale == pytest.approx(300 / 320)


def test_the_difference_is_that_of_a_naive_loop(whole):
    first, second = whole[:40, :50], whole[3:43, 5:55].copy()
    found = pair.difference(first, second, pair.Placement(5.0, 3.0, 1.0, 1.0))
    expected = np.zeros((37, 45), int)
    for y in range(37):
        for x in range(45):
            expected[y, x] = max(abs(int(first[y + 3, x + 5, c]) - int(second[y, x, c])) for c in range(3))
    assert np.array_equal(found, expected)


def test_a_flat_picture_matches_nothing():
    assert not pair.align(np.full((200, 200, 3), 90, np.uint8), np.full((200, 200, 3), 90, np.uint8)).alike


def test_only_what_differs_in_origin_is_told():
    first = Provenance({"Make": "NIKON"}, "GIMP", (), None, None, None, ())
    second = replace(first, software=None, generator=(Claim("ComfyUI", "prompt", "{}"),))
    assert pair.origins(first, first) == []
    assert pair.origins(first, second) == [
        ("Software", "GIMP", "nothing"),
        ("Record of ComfyUI", "nothing", "in the field prompt"),
    ]
