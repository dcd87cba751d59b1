"""What several tests assert of pixels and sentences."""

from __future__ import annotations

import re

import numpy as np


def worst(found: np.ndarray, wanted: np.ndarray) -> int:
    assert found.shape == wanted.shape
    return int(np.abs(found.astype(int) - wanted.astype(int)).max())


def assert_one_sentence(text: str, folder: str = "/") -> None:
    assert re.fullmatch(r"[A-Z\"][^\n]{8,250}\.", text), text
    assert ". " not in text and folder not in text and "0x" not in text and "Error" not in text, text


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., None], 3, axis=2)
