"""Each rule finds what it names and leaves ordinary photographs alone."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from skimage import data

from mdmf_core.images import degrade
from mdmf_core.images.reader import read
from mdmf_core.method import state
from mdmf_core.method.patches import Geometry, cut
from mdmf_core.show import reliability

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PHOTOS = ("china.jpg", "flower.jpg", "rocket.jpg", "grace_hopper.jpg", "coffee.png", "cat_resynthesised.jpg")
CAMERA_LIKE = (*PHOTOS, "astronaut", "chelsea", "coffee", "camera", "coins")
SMOOTHED = "The finest detail is missing"
COMPRESSED = "heavily compressed"


def opened(name: str) -> np.ndarray:
    """(H, W, 3) uint8 of an example or of scikit-image's data."""
    return read(EXAMPLES / name if "." in name else getattr(data, name)()).pixels


def assess(pixels: np.ndarray, size: int = 64) -> reliability.Reliability:
    picture = read(pixels, 2 * size)
    _, grid = cut(picture.pixels, Geometry(size, 144))
    return reliability.assess(picture, SimpleNamespace(grid=grid, n_patches=len(grid.boxes), reasons=()))


def noisy(level: float, sigma: float, seed: int = 0, shape=(256, 320, 3)) -> np.ndarray:
    values = level + np.random.default_rng(seed).normal(0, sigma, shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        (noisy(128, 3), ""),
        (noisy(128, 0), "flat"),
        (noisy(257, 8), "saturated"),
        (noisy(255, 0), "saturated"),
        (noisy(0, 0), "saturated"),
        (noisy(9, 2), "very dark"),
        (noisy(9, 0), "very dark"),
        (noisy(30, 3), ""),
    ],
)
def test_why_a_patch_is_doubtful(patch, why):
    assert reliability.reason(patch) == why


def test_a_smooth_ramp_is_flat_and_a_grainy_one_is_not():
    ramp = np.repeat(np.linspace(40, 100, 64)[None, :, None], 64, axis=0).repeat(3, axis=2)
    assert reliability.reason(np.rint(ramp).astype(np.uint8)) == "flat"
    assert reliability.reason(noisy(0, 1, shape=ramp.shape) + np.rint(ramp).astype(np.uint8)) == ""


def test_the_doubtful_patches_are_those_at_that_place():
    pixels = noisy(120, 4)
    pixels[64:128, 128:192] = 255
    pixels[192:, :64] = 90
    found = assess(pixels)
    assert np.flatnonzero(found.doubtful).tolist() == [7, 15]
    assert found.reasons[7] == "saturated" and found.reasons[15] == "flat" and found.reasons[0] == ""
    assert found.patch_note.startswith("2 of 20 patches are hatched (1 saturated, 1 flat)") and not found.warnings
    assert assess(noisy(120, 4)).patch_note == ""


def test_a_picture_that_is_mostly_doubtful_is_warned_of():
    pixels = noisy(120, 4)
    pixels[:192] = 255
    (warning,) = assess(pixels).warnings
    assert "More than half" in warning and warning.endswith(".")
    pixels[:192] = noisy(120, 4)[:192]
    assert assess(pixels).warnings == ()


@pytest.mark.parametrize("name", CAMERA_LIKE)
def test_ordinary_photographs_have_few_doubtful_patches_and_no_warning(name):
    found = assess(opened(name))
    assert found.doubtful.mean() <= 0.1 and found.warnings == ()


@pytest.mark.parametrize("name", CAMERA_LIKE)
@pytest.mark.parametrize("quality", [60, 45, 30])
def test_heavy_compression_is_found_in_the_pixels(name, quality):
    pixels = degrade.jpeg(opened(name), quality)
    found = assess(pixels)
    assert any(COMPRESSED in warning for warning in found.warnings)
    assert found.doubtful.all() and "heavily compressed" in found.patch_note


@pytest.mark.parametrize("name", CAMERA_LIKE)
@pytest.mark.parametrize("quality", [75, 90])
def test_ordinary_compression_is_not_held_against_a_picture(name, quality):
    assert not any(COMPRESSED in warning for warning in assess(degrade.jpeg(opened(name), quality)).warnings)


@pytest.mark.parametrize(("quality", "step"), [(75, 6), (60, 10), (50, 12)])
def test_the_step_is_that_of_the_table(quality, step):
    luma = degrade.jpeg(opened("flower.jpg"), quality) @ state.LUMA
    assert reliability.jpeg_step(luma) == step
    assert reliability.jpeg_step(np.ascontiguousarray(luma[3:, 5:])) == 0, "off the grid it can't be read"


@pytest.mark.parametrize(
    "turn", [lambda p: p[::-1], lambda p: p[:, ::-1], lambda p: np.rot90(p), lambda p: np.rot90(p, 3)]
)
def test_a_turned_jpeg_is_recognised(turn):
    pixels = degrade.jpeg(opened("china.jpg")[:421, :637], 50)
    assert reliability.jpeg_step(np.ascontiguousarray(turn(pixels)) @ state.LUMA) == 12


def test_a_large_picture_keeps_its_grid_where_only_its_middle_is_looked_at():
    large = degrade.jpeg(np.tile(opened("china.jpg"), (3, 3, 1))[:1237, :1903], 50)
    middle = state.middle(large)
    assert max(middle.shape) <= state.LONGEST_SIDE + 16
    assert reliability.jpeg_step(middle @ state.LUMA) == 12


@pytest.mark.parametrize("name", ("china.jpg", "rocket.jpg", "chelsea", "camera", "coffee"))
@pytest.mark.parametrize("change", ["resize:2", "resize:4", "blur:1", "blur:3"])
def test_lost_detail_is_found(name, change):
    pixels = opened(name)
    worse = degrade.apply(change, pixels, np.random.default_rng(0), False, 64)
    assert state.lacks_fine_detail(worse) and not state.lacks_fine_detail(pixels)
    found = assess(worse)
    assert any(SMOOTHED in warning for warning in found.warnings)
    assert found.doubtful.all()
    assert state.detail_of(worse) == state.SOFT and state.detail_of(pixels) == state.USUAL


@pytest.mark.parametrize(
    ("side", "metadata", "warned"),
    [
        (2240, {"Make": "A", "Model": "B"}, True),
        (2230, {"Make": "A", "Model": "B"}, False),
        (2240, {"Make": "A"}, False),
        (2240, {}, False),
    ],
)
def test_originals_of_cameras_are_warned_of(side, metadata, warned):
    picture = replace(read(np.tile(noisy(120, 4), (9, 7, 1))[:side, :side]), metadata=metadata)
    evidence = SimpleNamespace(grid=SimpleNamespace(boxes=np.array([[0, 0, 64, 64]] * 16)), n_patches=16, reasons=())
    assert any("originals of cameras" in each for each in reliability.assess(picture, evidence).warnings) == warned


def test_a_small_picture_rests_on_little():
    assert any("Only 9 patches" in warning for warning in assess(noisy(120, 4)[:192, :192]).warnings)
    assert assess(noisy(120, 4)[:, :256]).warnings == ()


@pytest.mark.parametrize("pixels", [np.full((128, 128, 3), 90, np.uint8), np.zeros((50, 60, 3), np.uint8)])
def test_a_picture_without_anything_in_it_breaks_nothing(pixels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = assess(pixels, 16)
    assert found.doubtful.all() and not any(SMOOTHED in each or COMPRESSED in each for each in found.warnings)
    assert reliability.jpeg_step(np.zeros((5, 9))) == 0


@pytest.mark.parametrize("sigma", [2.0, 6.0])
def test_the_noise_level_is_that_of_the_noise(sigma):
    luma = 100 + np.random.default_rng(1).normal(0, sigma, (256, 320)) + np.linspace(0, 60, 320)
    assert state.noise_level(luma) == pytest.approx(sigma, rel=0.12)


@pytest.mark.parametrize("name", PHOTOS)
def test_added_noise_is_warned_of(name):
    pixels = degrade.noise(opened(name), 0.05, np.random.default_rng(0))
    assert state.detail_of(pixels) == state.NOISY
    assert any("very noisy" in warning for warning in assess(pixels).warnings)
