"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny import make_checkpoint, picture

torch.set_num_threads(1)  # small tensors; two threads only wait for each other


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A complete checkpoint folder with random weights."""
    return make_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> Path:
    """A PNG of 128 x 96 pixels."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(picture(100)).save(path)
    return path
