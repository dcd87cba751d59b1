"""Text in a picture's lowest bits."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from bad_files import encoded
from PIL import Image
from recorded import A1111, stealthy, tools

from mdmf_core.images.reader import read


@pytest.mark.parametrize("mode", ["RGBA", "RGB"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("text", "tool"),
    [
        (A1111, "A1111"),
        (json.dumps({"Software": "NovelAI", "Comment": "{}", "Description": "a cat"}), "NovelAI"),
        ("something else", "Stealth PNG info"),
    ],
)
def test_text_in_the_lowest_bits(mode, zipped, text, tool):
    data = stealthy(text, mode, zipped)
    picture = read(data)
    assert picture.metadata["stealth_pnginfo"] == text and picture.notes == ()
    assert tools(data) == [tool]


def test_a_signature_without_a_sound_text_is_nothing():
    data = stealthy("x", "RGBA", False)
    pixels = np.array(Image.open(io.BytesIO(data)))
    pixels[120 : 120 + 32, 0, 3] = 255  # a length of four billion
    assert len(read(encoded(Image.fromarray(pixels), "PNG")).metadata.get("stealth_pnginfo", "")) <= 2000
