"""What an encoder is trained on: lives of pictures, pairs and composites."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import picture

from mdmf_core.errors import DatasetError
from mdmf_core.training import crops
from mdmf_core.training.dataset import Entry


def test_lives_are_fixed_by_seed_and_name(small_data: Path) -> None:
    path = small_data / "real" / "real0" / "0.png"
    entry = Entry(path, "real/real0/0.png", 0, "real0")
    first, again, other = (crops.lives_of(entry, 2, 96, 64, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert first[0].shape != other[0].shape or not np.array_equal(first[0], other[0])
    assert max(first[0].shape[:2]) <= 96 and min(first[0].shape[:2]) >= 64
    assert crops.lives_of(entry, 2, 96, 128, 0) == []


def test_both_of_a_pair_get_the_same_history_and_place(tmp_path: Path) -> None:
    pixels = picture(0, 120, 120)
    for kind in ("real", "made"):
        Image.fromarray(pixels).save(tmp_path / f"a_{kind}.png")
    (pair,) = crops.find_pairs(tmp_path)
    for real, made in crops.pair_of(pair, 6, 96, 64, 0):
        assert np.array_equal(real, made)
    (tmp_path / "b_real.png").write_bytes((tmp_path / "a_real.png").read_bytes())
    with pytest.raises(DatasetError, match="lacks b_made.png"):
        crops.find_pairs(tmp_path)


@pytest.mark.parametrize("labels", [(0, 1), (1, 0), (0, 0), None])
def test_a_composite_knows_what_was_generated(labels, tmp_path: Path) -> None:
    for name, grey in (("first", 20), ("second", 220)):
        Image.fromarray(np.full((200, 240, 3), grey, np.uint8)).save(tmp_path / f"{name}.png")
    for number in range(8):
        job = (tmp_path / "first.png", tmp_path / "second.png", labels, number)
        pixels, generated = crops.composite_of(job, 160, 64, 0)
        assert pixels.shape[:2] == generated.shape and max(generated.shape) <= 160
        if labels == (0, 0):
            assert not generated.any()
            continue
        second = pixels[..., 1] > 120
        wrong = second != ((generated > 127) == (labels != (1, 0)))
        assert wrong.mean() < 0.03
