from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tiny import picture

from mdmf_app import views
from mdmf_core.show import maps
from mdmf_core.show.smaller import smaller


@pytest.mark.parametrize(("height", "width", "shape"), [(300, 400, (60, 80)), (401, 90, (80, 18)), (2, 900, (1, 80))])
def test_a_picture_is_shrunk_as_pillow_does_it_cubically(height, width, shape):
    pixels = picture(3, height, width)
    pixels.flags.writeable = False  # as those of a file that Pillow opened
    found = smaller(pixels, 80)
    wanted = np.asarray(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BICUBIC))
    assert found.shape == (*shape, 3) and np.abs(found.astype(int) - wanted).max() <= 1


def test_a_part_of_a_picture_is_shrunk_as_a_copy_of_it_would_be():
    pixels = picture(4, 300, 400)
    part = pixels[50:250, 30:330]
    assert np.array_equal(smaller(part, 90), smaller(part.copy(), 90))


def test_a_small_picture_keeps_its_pixels_and_gives_none_of_them_away():
    pixels = picture(5, 30, 40)
    found = smaller(pixels, 40)
    found[:] = 0
    assert found.shape == pixels.shape and pixels.any()
    assert np.array_equal(smaller(pixels, 41), pixels)


def test_a_map_goes_to_the_browser_without_loss_unless_its_picture_was_shrunk():
    small, row = picture(6, 90, 120), np.linspace(0, 255, maps.LONGEST_SIDE)
    large = np.rint(np.stack([row, 255 - row, row / 2], 1))[None].repeat(60, axis=0).astype(np.uint8)
    content, name = views.file_of(Image.fromarray(small))
    assert name == "map.webp" and np.array_equal(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), small)
    content, name = views.file_of(Image.fromarray(large))
    found = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    assert name == "map.jpg" and found.shape == large.shape and np.abs(found - large).max() <= 4
