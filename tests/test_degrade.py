"""Recompression, resizing, blur and noise: what they do to pixels, and that a seed fixes them."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import picture

from mdmf_core.images import degrade

CONDITIONS = ("as_is", "alike", "history0", "history17", "jpeg:70", "blur:1.5", "noise:0.05", "resize:0.7")


def blockiness(pixels: np.ndarray, offset: int) -> float:
    """Mean step across columns that are `offset` modulo 8, over the mean step across all columns."""
    steps = np.abs(np.diff(pixels.astype(float), axis=1)).mean((0, 2))
    return steps[offset::8].mean() / steps.mean()


def seam(pixels: np.ndarray) -> int:
    """Which columns modulo 8 have the largest steps: 7 for a JPEG grid that starts at the left edge."""
    return int(np.argmax([blockiness(pixels, offset) for offset in range(8)]))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_seed_fixes_a_condition_and_the_input_is_left_alone(condition):
    pixels = picture(0, 160, 200)
    before = pixels.copy()
    made = [degrade.apply(condition, pixels, degrade.generator(3, condition, "a/b.png"), True, 64) for _ in range(2)]
    assert np.array_equal(*made) and np.array_equal(pixels, before)
    assert made[0].dtype == np.uint8 and made[0].ndim == 3 and made[0].shape[2] == 3


def test_generators_differ_by_seed_life_and_key():
    arguments = [(0, "alike", "a"), (1, "alike", "a"), (0, "history0", "a"), (0, "alike", "b"), (0, "alik", "ea")]
    assert len({degrade.generator(*each).integers(2**60) for each in arguments}) == 5
    assert degrade.generator(0, "alike", "ä/図.png").integers(9) in range(9)


def test_lives_do_what_they_name():
    pixels, rng = picture(1, 120, 150), np.random.default_rng(0)
    assert degrade.apply("as_is", pixels, rng, False, 64) is pixels
    assert np.array_equal(degrade.apply("jpeg:70", pixels, rng, False, 64), degrade.jpeg(pixels, 70))
    assert np.array_equal(degrade.apply("blur:1.5", pixels, rng, False, 64), degrade.blur(pixels, 1.5))
    assert degrade.apply("resize:0.5", pixels, rng, False, 64).shape == (60, 75, 3)
    for nothing in ("blur:0", "noise:0"):
        assert np.array_equal(degrade.apply(nothing, pixels, rng, False, 64), pixels)


@pytest.mark.parametrize(
    "condition",
    ["", "asis", "As_is", "jpeg", "jpeg:", "jpeg:0", "jpeg:101", "jpeg:x", "jpeg:nan", "blur:-1", "blur:99", "noise:2"]
    + ["resize:0", "resize:9", "resize:inf", "history", "history-1", "history:1", "as_is:1", "crop:2"],
)
def test_an_unknown_condition_is_one_sentence(condition):
    with pytest.raises(ValueError, match="There is no condition"):
        degrade.apply(condition, picture(1), np.random.default_rng(0), False, 64)


def test_jpeg_really_compresses():
    pixels = picture(2, 160, 160)
    errors = [np.abs(degrade.jpeg(pixels, q).astype(float) - pixels).mean() for q in (95, 70, 30, 10)]
    assert errors == sorted(errors) and errors[0] < 5 < errors[-1]
    harsh = degrade.jpeg(pixels, 10)
    assert seam(harsh) == 7 and blockiness(harsh, 7) > 1.3 > 1.05 * blockiness(pixels, 7)
    assert not np.array_equal(degrade.jpeg(pixels, 80, 0), degrade.jpeg(pixels, 80, 2))
    again = degrade.jpeg(degrade.jpeg(pixels, 50), 50)
    assert np.abs(again.astype(int) - degrade.jpeg(pixels, 50)).mean() < 1, "the second time little is lost"


def test_webp_compresses():
    pixels = picture(2, 160, 160)
    made = degrade.webp(pixels, 60)
    assert made.shape == pixels.shape and 0.5 < np.abs(made.astype(float) - pixels).mean() < 15


def test_off_grid_shifts_the_old_grid():
    old = degrade.jpeg(picture(3, 240, 320), 10)
    shifts = set()
    for seed in range(40):
        cropped = degrade.off_grid(old, np.random.default_rng(seed))
        top, left = 240 - cropped.shape[0], 320 - cropped.shape[1]
        assert 1 <= top <= 7 and 1 <= left <= 7
        assert np.array_equal(cropped, old[top:, left:]) and seam(cropped) == (7 - left) % 8
        shifts.add((top, left))
    assert {top for top, _ in shifts} == {left for _, left in shifts} == set(range(1, 8))


def test_alike_crops_off_the_grid_then_compresses_lightly(monkeypatch):
    pixels, qualities = picture(4, 128, 160), []
    compress = degrade.jpeg
    monkeypatch.setattr(degrade, "jpeg", lambda p, q, *rest: qualities.append(q) or compress(p, q, *rest))
    for seed in range(300):
        made = degrade.alike(pixels, np.random.default_rng(seed))
        assert 121 <= made.shape[0] <= 127 and 153 <= made.shape[1] <= 159
    assert min(qualities) == 75 and max(qualities) == 95 and len(set(qualities)) == 21


def test_noise_has_the_deviation_it_names():
    grey = np.full((200, 200, 3), 128, np.uint8)
    for sigma in (0.01, 0.05, 0.1):
        added = degrade.noise(grey, sigma, np.random.default_rng(0)).astype(float) - 128
        assert added.std() == pytest.approx(255 * sigma, rel=0.02) and abs(added.mean()) < 0.3
    black = degrade.noise(np.zeros((100, 100, 3), np.uint8), 0.25, np.random.default_rng(0))
    assert black.min() == 0 and (black == 0).mean() == pytest.approx(0.5, abs=0.02), "clipped, not wrapped round"


def test_blur_has_the_deviation_it_names():
    point = np.zeros((101, 101, 3), np.uint8)
    point[50] = 255
    for sigma in (1.0, 2.5, 5.0):
        profile = degrade.blur(point, sigma)[:, 50, 0].astype(float)
        place = np.arange(101) - 50
        assert np.sqrt((profile * place**2).sum() / profile.sum()) == pytest.approx(sigma, rel=0.12)
    steps = [np.abs(np.diff(degrade.blur(picture(5), s).astype(float), axis=0)).mean() for s in (0, 1, 3)]
    assert steps == sorted(steps, reverse=True)


def test_sharpening_adds_detail():
    soft = degrade.blur(np.random.default_rng(6).integers(0, 256, (99, 99, 3), dtype=np.uint8), 1.0)
    detail = [np.abs(np.diff(p.astype(float), axis=1)).mean() for p in (soft, degrade.sharpen(soft, 0.5))]
    assert detail[1] > 1.1 * detail[0]


def test_resize_never_reaches_nothing():
    assert degrade.resize(picture(7, 100, 50), 0.001).shape == (1, 1, 3)
    assert degrade.resize(picture(7, 101, 51), 1.1).shape == (111, 56, 3)


@pytest.mark.parametrize("never_jpeg", [False, True])
def test_a_history_keeps_to_its_bounds_and_varies(never_jpeg):
    sizes, unchanged = set(), 0
    for seed in range(250):
        height, width = (int(v) for v in np.random.default_rng([9, seed]).integers(90, 200, 2))
        pixels = picture(seed % 5, height, width)
        made = degrade.history(pixels, np.random.default_rng(seed), never_jpeg, 80)
        assert made.dtype == np.uint8 and made.shape[2] == 3
        assert made.shape[0] <= round(1.18 * height) and made.shape[1] <= round(1.18 * width)
        assert min(made.shape[:2]) >= 80 - 7 - 1
        sizes.add(made.shape[0] / height)
        unchanged += np.array_equal(made, pixels)
    assert len(sizes) > 50 and unchanged < 80
    assert (unchanged > 0) or never_jpeg


def test_a_small_picture_is_not_made_smaller_than_asked():
    """After the off-grid crop a training picture must still hold its patches."""
    for seed in range(200):
        made = degrade.history(picture(0, 80, 96), np.random.default_rng(seed), True, 80)
        assert min(made.shape[:2]) >= 73


def test_histories_of_pictures_without_jpeg_get_one_mostly(monkeypatch):
    pixels, calls = picture(0, 40, 40), []
    monkeypatch.setattr(degrade, "jpeg", lambda made, *rest: calls.append(rest) or made)
    counts = []
    for never_jpeg in (True, False):
        calls.clear()
        for seed in range(600):
            degrade.history(pixels, np.random.default_rng(seed), never_jpeg, 1)
        counts.append(len(calls))
    assert counts[0] - counts[1] == pytest.approx(0.6 * 600, abs=60)
