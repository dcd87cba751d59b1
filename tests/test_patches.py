"""Grids: where patches lie, what their cells cover, and that they hold the pixels they name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mdmf_core.method.patches import ALIGN, Geometry, Grid, cut, merged


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def check_boxes(grid: Grid, height: int, width: int) -> None:
    """Shapes, types, bounds and reading order."""
    for rects in (grid.boxes, grid.cells):
        assert rects.shape == (grid.rows * grid.cols, 4) and rects.dtype == np.int64
        assert (rects >= 0).all() and (rects[:, 2:] > 0).all()
        assert (rects[:, 0] + rects[:, 2] <= width).all() and (rects[:, 1] + rects[:, 3] <= height).all()
    corners = grid.boxes[:, :2].reshape(grid.rows, grid.cols, 2)
    assert (np.diff(corners[..., 0], axis=1) > 0).all() and (np.diff(corners[..., 1], axis=0) > 0).all()


def covered(grid: Grid, height: int, width: int) -> np.ndarray:
    """How many cells each pixel lies in, (height, width)."""
    count = np.zeros((height, width), int)
    for x, y, w, h in grid.cells:
        count[y : y + h, x : x + w] += 1
    return count


def check_tiling(grid: Grid, height: int, width: int) -> tuple[int, int, int, int]:
    """Cells tile one rectangle without gap or overlap; returns it as x, y, w, h."""
    left, top = grid.cells[:, :2].min(0)
    right, bottom = (grid.cells[:, :2] + grid.cells[:, 2:]).max(0)
    count = covered(grid, height, width)
    assert (count[top:bottom, left:right] == 1).all() and count.sum() == (right - left) * (bottom - top)
    return left, top, right - left, bottom - top


def check_pixels(pixels: np.ndarray, patches: torch.Tensor, grid: Grid) -> None:
    for patch, (x, y, w, h) in zip(patches, grid.boxes, strict=True):
        assert np.array_equal(patch.permute(1, 2, 0).numpy(), pixels[y : y + h, x : x + w])


def test_a_picture_that_fits_exactly():
    pixels = noise(128, 192)
    patches, grid = cut(pixels, Geometry(32, 100))
    assert patches.shape == (24, 3, 32, 32) and patches.dtype == torch.uint8 and patches.is_contiguous()
    assert (grid.rows, grid.cols, grid.independent) == (4, 6, 24)
    assert np.array_equal(grid.boxes, grid.cells)
    assert grid.boxes[0].tolist() == [0, 0, 32, 32] and grid.boxes[7].tolist() == [32, 32, 32, 32]
    check_pixels(pixels, patches, grid)


def test_native_grids_of_many_sizes():
    rng = np.random.default_rng(0)
    for trial in range(150):
        size = int(rng.choice([16, 24, 32, 64]))
        limit = int(rng.choice([4, 5, 9, 24, 49, 196]))
        height, width = (int(v) for v in rng.integers(2 * size, 12 * size, 2))
        if trial % 10 == 0:
            width *= 6
        pixels = noise(height, width, trial)
        patches, grid = cut(pixels, Geometry(size, limit))
        check_boxes(grid, height, width)
        assert grid.rows * grid.cols <= limit and len(patches) == len(grid.boxes)
        assert (grid.boxes[:, 2:] == size).all()
        x, y, w, h = check_tiling(grid, height, width)
        assert w == width // size * size and h == height // size * size, "less than a patch is left over"
        assert abs((width - w) - 2 * x) <= 2 * ALIGN and abs((height - h) - 2 * y) <= 2 * ALIGN, "in the middle"
        assert not (grid.boxes[:, :2] % ALIGN).any() or (grid.rows, grid.cols) != (height // size, width // size)
        inside = (grid.boxes[:, :2] >= grid.cells[:, :2]) & (
            grid.boxes[:, :2] + grid.boxes[:, 2:] <= grid.cells[:, :2] + grid.cells[:, 2:]
        )
        assert inside.all(), "a patch lies in the cell it stands for"
        if (height // size) * (width // size) <= limit:
            assert (grid.rows, grid.cols) == (height // size, width // size)
        assert grid.independent == grid.rows * grid.cols
        check_pixels(pixels, patches, grid)


def test_at_least_two_patches_each_way():
    """Calibration cuts 2 x 2 blocks out of every picture, so that long ones need two rows too."""
    for height, width in ((64, 3200), (3200, 64), (70, 640), (64, 64), (65, 6400)):
        grid = cut(noise(height, width), Geometry(32, 24))[1]
        assert min(grid.rows, grid.cols) >= 2, (height, width, grid.rows, grid.cols)


def test_a_sub_lattice_keeps_the_picture_s_shape_and_uses_the_maximum():
    for height, width in ((2000, 3000), (3000, 2000), (1024, 1024), (640, 2560)):
        grid = cut(noise(height, width), Geometry(32, 96))[1]
        assert 0.7 * 96 <= grid.rows * grid.cols <= 96
        assert (grid.rows / grid.cols) / (height / width) == pytest.approx(1, abs=0.35)
        if height != width:
            turned = cut(noise(width, height), Geometry(32, 96))[1]
            assert (turned.rows, turned.cols) == (grid.cols, grid.rows)


def test_patches_of_a_sub_lattice_sit_on_the_jpeg_grid_of_the_picture():
    for height, width in ((2000, 3000), (1111, 777), (501, 2003)):
        grid = cut(noise(height, width), Geometry(64, 30))[1]
        assert not (grid.boxes[:, :2] % ALIGN).any(), (height, width)


def test_cutting_is_deterministic_and_copies():
    pixels = noise(300, 410)
    first, second = cut(pixels, Geometry(32, 24)), cut(pixels, Geometry(32, 24))
    assert torch.equal(first[0], second[0]) and np.array_equal(first[1].boxes, second[1].boxes)
    first[0].zero_()
    assert pixels.any()
    wide = noise(300, 820)[:, ::2]
    assert torch.equal(cut(wide, Geometry(32, 24))[0], cut(np.ascontiguousarray(wide), Geometry(32, 24))[0])


def test_resized_grids():
    geometry = Geometry(32, 49, resize=224, crop_size=98)
    rng = np.random.default_rng(1)
    for height, width in [(224, 224), (64, 64), (65, 1000), *rng.integers(64, 900, (20, 2)).tolist()]:
        pixels = noise(height, width)
        patches, grid = cut(pixels, geometry)
        assert patches.shape == (49, 3, 32, 32) and (grid.rows, grid.cols, grid.independent) == (7, 7, 49)
        check_boxes(grid, height, width)
        assert check_tiling(grid, height, width) == (0, 0, width, height)
        assert np.array_equal(grid.boxes, grid.cells)
    square = np.asarray(Image.fromarray(pixels).resize((224, 224), Image.Resampling.BICUBIC))
    assert np.array_equal(patches[9].permute(1, 2, 0).numpy(), square[32:64, 64:96])
    exact = noise(224, 224)
    patches, grid = cut(exact, geometry)
    check_pixels(exact, patches, grid)


def test_resized_boxes_are_the_pixels_their_patches_came_from():
    """A bright block of the picture lights up the patch whose box holds it, and no other."""
    geometry = Geometry(32, 49, resize=224)
    pixels = np.zeros((300, 500, 3), np.uint8)
    grid = cut(pixels, geometry)[1]
    for index in (0, 17, 48):
        x, y, w, h = grid.boxes[index]
        lit = pixels.copy()
        lit[y + 8 : y + h - 8, x + 8 : x + w - 8] = 255
        assert int(cut(lit, geometry)[0].float().mean((1, 2, 3)).argmax()) == index


def test_a_region_is_covered_densely():
    pixels = noise(600, 800)
    geometry = Geometry(32, 400)
    region = (101, 203, 150, 120)
    patches, grid = cut(pixels, geometry, region)
    check_boxes(grid, 600, 800)
    check_pixels(pixels, patches, grid)
    x, y, w, h = region
    assert (grid.boxes[:, 0] >= x).all() and (grid.boxes[:, 0] + 32 <= x + w).all()
    assert (grid.boxes[:, 1] >= y).all() and (grid.boxes[:, 1] + 32 <= y + h).all()
    assert np.diff(np.unique(grid.boxes[:, 0])).tolist() == [8] * (grid.cols - 1)
    check_tiling(grid, 600, 800)
    assert grid.independent == 4 * 3 < grid.rows * grid.cols


def test_a_region_gets_a_wider_stride_and_then_a_lattice_as_the_maximum_demands():
    pixels = noise(600, 800)
    for limit, stride in ((49, 16), (48, None)):
        grid = cut(pixels, Geometry(32, limit), (0, 0, 128, 128))[1]
        assert len(grid.boxes) <= limit
        assert (np.diff(np.unique(grid.boxes[:, 0])) == (stride or 32)).all()
        check_tiling(grid, 600, 800)


def test_regions_of_many_places_stay_inside_the_picture_and_the_region():
    rng = np.random.default_rng(2)
    pixels = noise(300, 420)
    for trial in range(100):
        geometry = Geometry(32, int(rng.choice([6, 24, 100])), resize=None if trial % 3 else 224)
        w, h = (int(v) for v in rng.integers(64, 300, 2))
        x, y = int(rng.integers(-40, 400)), int(rng.integers(-40, 280))
        left, top, right, bottom = max(0, x), max(0, y), min(420, x + w), min(300, y + h)
        if min(right - left, bottom - top) < 64:
            with pytest.raises(ValueError, match="region"):
                cut(pixels, geometry, (x, y, w, h))
            continue
        patches, grid = cut(pixels, geometry, (x, y, w, h))
        check_boxes(grid, 300, 420)
        check_tiling(grid, 300, 420)
        assert len(patches) == len(grid.boxes) and 1 <= grid.independent
        for rects in (grid.boxes, grid.cells):
            assert (rects[:, 0] >= left).all() and (rects[:, 0] + rects[:, 2] <= right).all()
            assert (rects[:, 1] >= top).all() and (rects[:, 1] + rects[:, 3] <= bottom).all()
        if geometry.resize is None:
            assert len(patches) <= geometry.max_patches
            check_pixels(pixels, patches, grid)


def test_too_small_is_one_sentence():
    assert Geometry(32, 9).min_side == 64
    for height, width in ((63, 200), (200, 63), (1, 1)):
        with pytest.raises(ValueError, match=f"The picture is {width} x {height} pixels; at least 64 x 64 are needed."):
            cut(noise(height, width), Geometry(32, 9))
    outside = [(150, 150, 100, 100), (900, 900, 100, 100), (-100, -100, 150, 150)]
    for region in ((0, 0, 40, 200), (0, 0, -5, 100), *outside):
        with pytest.raises(ValueError, match=r"The region is \d+ x \d+ pixels; at least 64 x 64"):
            cut(noise(200, 200), Geometry(32, 9), region)


WINDOWED = Geometry(patch_size=32, max_patches=400, window=128)


@pytest.mark.parametrize("size", [(128, 128), (224, 160), (301, 255), (512, 384), (2000, 999), (900, 4000)])
def test_what_windows_say_of_a_patch_is_put_together(size):
    """An encoder that gives each patch of a window its mean colour gives each patch of the picture its own."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    windows, grid = cut(pixels, WINDOWED)
    assert windows.shape[1:] == (3, 128, 128) and grid.rows * grid.cols == len(grid.boxes) <= WINDOWED.max_patches
    colours = windows.double().reshape(-1, 3, 4, 32, 4, 32).mean((3, 5)).permute(0, 2, 3, 1).reshape(-1, 3)
    wanted = [pixels[y : y + h, x : x + w].mean((0, 1)) for x, y, w, h in grid.boxes]
    np.testing.assert_allclose(merged(colours, grid), wanted)
    assert set(grid.boxes[:, 2:].ravel()) == {32}
    counts = np.bincount(grid.members, minlength=len(grid.boxes))
    assert counts.min() >= 1 and counts.sum() == 16 * len(windows)


@pytest.mark.parametrize("size", [(301, 255), (2000, 1000)])
def test_cells_of_windows_cover_the_picture_without_overlap(size):
    _, grid = cut(np.zeros((*size, 3), np.uint8), WINDOWED)
    covered = np.zeros(size, int)
    for x, y, w, h in grid.cells:
        covered[y : y + h, x : x + w] += 1
    assert covered.max() == 1 and covered.mean() > 0.75


def test_large_pictures_cost_no_more_windows_than_allowed():
    for size in ((3000, 4000), (700, 9000)):
        windows, grid = cut(np.zeros((*size, 3), np.uint8), WINDOWED)
        assert 16 <= len(windows) <= WINDOWED.max_patches // 16 and grid.independent == 16 * len(windows)


@pytest.mark.parametrize("settings", [{"window": 100}, {"window": 32}, {"window": 1024}, {"window": 64, "resize": 224}])
def test_a_window_that_holds_no_whole_patches_is_refused(settings):
    with pytest.raises(ValueError, match="window"):
        Geometry(patch_size=32, max_patches=400, **settings)


def test_without_windows_embeddings_stay_as_they_are():
    _, grid = cut(np.zeros((96, 128, 3), np.uint8), Geometry(32, 24))
    embeddings = torch.randn(12, 5)
    assert merged(embeddings, grid) is embeddings
