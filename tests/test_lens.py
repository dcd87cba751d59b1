"""The magnifier gets the picture's own pixels around a place, and nothing for what is no place."""

from __future__ import annotations

import base64
import io
import re

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from tiny import picture

from mdmf_app import views
from mdmf_app.context import ALPHA
from mdmf_app.tabs.one import handlers


@pytest.fixture(scope="module")
def result(context, tmp_path_factory) -> views.Result:
    path = tmp_path_factory.mktemp("wide") / "wide.png"
    Image.fromarray(picture(3, 200, 300)).save(path)
    return handlers.analyse(context, str(path), ALPHA, None, None)[0]


def asked(result, place, region=None):
    return handlers.magnify(result, region, gr.SelectData(None, {"index": place, "value": None}))


@pytest.mark.parametrize("place", [(150, 100), (0, 0), (299, 199), (-5, 10**30)])
def test_a_piece_holds_the_pixels_around_a_place_and_says_where_it_begins(result, place):
    answer = asked(result, list(place))
    left, top, width, height = map(int, re.search(r'data-box="(\d+) (\d+) (\d+) (\d+)"', answer).groups())
    assert (width, height) == (views.PIECE, views.PIECE)
    x, y = np.clip(place[0], 0, 299), min(max(place[1], 0), 199)
    assert left <= x < left + width and top <= y < top + height
    data = base64.b64decode(re.search(r"base64,([^\"]+)\"", answer)[1])
    with Image.open(io.BytesIO(data)) as piece:
        assert np.array_equal(np.asarray(piece), result.picture.pixels[top : top + height, left : left + width])


def test_a_piece_stays_within_the_region_that_is_shown(context, result):
    region = handlers.analyse_region(context, result, ALPHA, 96, 64, 80, 96)[0]
    x, y, w, h = views.extent(region.evidence)
    piece, left, top = views.around(result, region, (0, 0))
    assert (left, top) == (x, y) and piece.size == (min(w, views.PIECE), min(h, views.PIECE))


@pytest.mark.parametrize("place", [None, 3, "a", [1], [1, 2, 3], [1.5, 2], [True, 1], {"x": 1}])
def test_what_is_no_place_changes_nothing(result, place):
    assert asked(result, place) == gr.skip()
    assert asked(None, [1, 2]) == gr.skip()
