"""Which pictures are refused, why, and that ordinary ones are not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from test_reliability import opened
from tiny import make_checkpoint

from benchmarks.quality import made
from mdmf_core.detector import Detector
from mdmf_core.images import degrade
from mdmf_core.method import doubt
from mdmf_core.show import words

PHOTOGRAPHS = ("china.jpg", "flower.jpg", "grace_hopper.jpg")
SAID = {
    "palette": "colours only",
    "screenshot": "exactly equal",
    "drawing": "colours only",
    "one colour": "None of its",
    "gradient": "None of its",
    "enlarged 4x": "fine detail",
    "dark": "None of its",
}


def refused(pixels, places):
    return doubt.refusal(pixels, places, doubt.reasons(pixels, places))


def boxes(pixels: np.ndarray, side: int = 32) -> np.ndarray:
    """All whole patches of a picture."""
    height, width = pixels.shape[:2]
    return np.array(
        [(x, y, side, side) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)]
    )


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("kind", SAID)
def test_what_is_no_photograph_any_more_is_refused_with_its_reason(name, kind):
    pixels = np.ascontiguousarray(made.REFUSED[kind](opened(name), np.random.default_rng(3)))
    assert SAID[kind] in refused(pixels, boxes(pixels))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("kind", ["as it is", "recompressed", "resized", "noisy", "phone noise reduction"])
def test_photographs_and_what_happens_to_them_are_judged(name, kind):
    pixels = made.ORDINARY.get(kind, lambda pixels, rng: pixels)(opened(name), np.random.default_rng(3))
    assert refused(pixels, boxes(pixels)) == ""


def test_the_share_of_medians_is_that_of_a_loop_and_tells_a_median_filter():
    pixels = np.random.default_rng(5).integers(0, 40, (24, 28, 3)).astype(np.uint8)
    green, equal = np.pad(pixels[..., 1].astype(float), 1, mode="symmetric"), []
    for y in range(24):
        for x in range(28):
            around = green[y : y + 3, x : x + 3]
            if abs(around[1, 1] - around.mean()) > 2:
                equal.append(around[1, 1] == np.median(around))
    assert doubt.median_share(pixels) == pytest.approx(np.mean(equal)) and len(equal) > 200
    assert doubt.median_share(np.full((64, 64, 3), 9, np.uint8)) == 0
    for name in PHOTOGRAPHS:
        smooth = np.asarray(Image.fromarray(opened(name)).filter(ImageFilter.MedianFilter(3)))
        shares = doubt.median_share(opened(name)), doubt.median_share(smooth)
        assert shares[0] < 0.3 < 0.4 < shares[1]
        assert (refused(smooth, boxes(smooth)) == doubt.MEDIAN) == (shares[1] > doubt.MEDIAN_SHARE)


def test_a_grey_photograph_is_no_palette():
    pixels = opened("camera")
    assert doubt.n_colours(pixels) <= 256 and refused(pixels, boxes(pixels)) == ""
    coarse = pixels // 16 * 16
    assert "colours only" in refused(coarse, boxes(coarse))


def test_the_measures_are_those_of_a_loop():
    pixels = np.random.default_rng(0).integers(0, 3, (9, 11, 3)).astype(np.uint8)
    assert doubt.n_colours(pixels) == len({tuple(each) for each in pixels.reshape(-1, 3).tolist()})
    across = [tuple(pixels[y, x]) == tuple(pixels[y, x + 1]) for y in range(9) for x in range(10)]
    down = [tuple(pixels[y, x]) == tuple(pixels[y + 1, x]) for y in range(8) for x in range(11)]
    assert doubt.equal_share(pixels) == max(np.mean(across), np.mean(down))


def test_a_picture_of_the_coarsest_jpeg_steps_is_refused():
    coarse, fair = (degrade.jpeg(opened("china.jpg"), quality) for quality in (20, 45))
    assert refused(coarse, boxes(coarse)) == doubt.COMPRESSED
    assert refused(fair, boxes(fair)) == "" and set(doubt.reasons(fair, boxes(fair))) <= {
        *doubt.WHOLE,
        "flat",
        "saturated",
        "very dark",
    }


def test_a_quarter_of_the_patches_must_hold_enough():
    pixels = np.random.default_rng(1).integers(40, 200, (160, 160, 3)).astype(np.uint8)
    grid = boxes(pixels)
    pixels[:128] = 255
    assert refused(pixels, grid).startswith("5 of its 25 patches hold enough")
    pixels[96:128] = pixels[128:]
    assert refused(pixels, grid) == ""


def test_a_region_is_refused_for_itself_alone():
    pixels = opened("china.jpg").copy()
    pixels[:128, :128] = 255
    grid = boxes(pixels)
    inside = (grid[:, :2] + grid[:, 2:] <= 128).all(1)
    assert refused(pixels, grid[inside]) and not refused(pixels, grid[~inside])


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> Detector:
    return Detector.from_pretrained(make_checkpoint(tmp_path_factory.mktemp("doubt") / "tiny"))


def test_a_white_square_cannot_be_judged_and_keeps_its_figures(detector):
    evidence = detector.detect(np.full((160, 160, 3), 255, np.uint8))
    told = evidence.to_dict()
    assert words.headline(evidence) == "Can't be judged" and told["judged"] is False
    assert words.explain(evidence) == told["reason"] and told["reason"].count(".") == 1
    assert told["likelihood_ratio"] is None and told["support"] is None
    assert told["decision"] in ("generated", "inconclusive", "no_evidence") and 0 < told["p_value"] <= 1
    assert not any(patch["flagged"] for patch in told["patches"])


def test_hatched_patches_are_never_outlined_on_any_map(detector):
    pixels = np.random.default_rng(1).integers(0, 256, (160, 192, 3)).astype(np.uint8)
    pixels[:64] = 255
    evidence = detector.detect(pixels)
    hatched = np.array([bool(reason) for reason in evidence.reasons])
    assert hatched.any() and not hatched.all() and evidence.n_hatched == hatched.sum()
    for found in evidence.maps.values():
        assert not found.outlined[hatched].any()
    assert evidence.verdict.judged and f"{(~hatched).sum()} of its {len(hatched)} patches that are not hatched" in (
        words.explain(evidence)
    )
    heavy = detector.detect(degrade.jpeg(opened("china.jpg"), 40))
    assert heavy.n_outlined == 0 and "none of them can be judged alone" in words.explain(heavy)
