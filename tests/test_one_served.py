"""The one-picture tab as a program sees it: the endpoint, its sentences, and what the server keeps to itself."""

from __future__ import annotations

import gradio as gr
import httpx
import numpy as np
import pytest
from asked import client_of
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from benchmarks.served import free_port
from mdmf_app.context import EXAMPLES, ONE_HOUR, PLACES
from mdmf_app.tabs.one import handlers
from mdmf_core.images.reader import read
from mdmf_core.show import maps


@pytest.fixture(scope="module")
def address(detector):
    """A running server; its page warns of a model with a hostile name."""
    demo = app.build(detector, "The model <script>alert(1)</script> can't be used.")
    url = app.launch(demo, server_port=free_port(), prevent_thread_lock=True, quiet=True)[1]
    yield url
    demo.close()


@pytest.fixture(scope="module")
def client(address, tmp_path_factory) -> Client:
    return client_of(address, tmp_path_factory.mktemp("downloads"))


def test_the_endpoint_gives_overlay_and_contract_in_this_order(client, detector, photo):
    overlay, data = client.predict(handle_file(photo), api_name="/analyze")
    evidence = detector.detect(photo)
    assert data.pop("origin")["declared"] == ""
    assert photo.name in data.pop("quote")
    assert data == {**evidence.to_dict(), "path": None, "name": photo.name}
    assert abs(sum(patch["evidence"] for patch in data["patches"]) - data["score"]) <= 1e-5 * max(1, abs(data["score"]))
    with Image.open(overlay) as image:
        assert image.format == "PNG"
        drawn = np.asarray(image)
    expected = maps.overlay(read(photo, 64).pixels, evidence)
    assert np.array_equal(drawn, np.asarray(expected)), "the map arrives without loss"


def test_alpha_is_an_argument(client, photo):
    assert client.predict(file=handle_file(photo), alpha=0.2, api_name="/analyze")[1]["alpha"] == 0.2


@pytest.mark.parametrize("alpha", [0, -1, 0.21, 5])
def test_an_alpha_out_of_range_is_a_sentence(client, photo, alpha):
    with pytest.raises(AppError, match=r"^The false-alarm rate must be above 0 and at most 0\.2, not .*\.$"):
        client.predict(handle_file(photo), alpha, api_name="/analyze")


@pytest.mark.parametrize(
    "name",
    ["bad_empty.jpg", "bad_svg.png", "bad_svg_itself.svg", "bad_text.jpg", "bad_claims_30000.png", "bad_1x1.gif"],
)
def test_a_bad_file_is_a_sentence_without_a_path(client, bad, name):
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(bad[name]), api_name="/analyze")
    sentence = str(caught.value)
    assert sentence.endswith(".") and sentence.count("\n") == 0 and "/" not in sentence


def test_odd_but_sound_files_give_a_result(client, bad):
    heic = client.predict(handle_file(bad["good_plain.heic"]), api_name="/analyze")[1]
    animated = client.predict(handle_file(bad["good_animated.gif"]), api_name="/analyze")[1]
    assert (heic["width"], heic["height"]) == (200, 160)
    assert any("first frame" in note for note in animated["notes"])


def test_no_file_is_a_sentence(client):
    with pytest.raises(AppError, match="choose one first"):
        client.predict(None, api_name="/analyze")


def test_handlers_of_the_page_are_not_public(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/analyze", "/describe", "/batch", "/compare"}
    assert [value["component"] for value in endpoints["/analyze"]["returns"]] == ["Image", "Json"]


def test_files_of_the_server_are_not_served(address, photo):
    for path in (photo, EXAMPLES.parent / "app.py", "/etc/passwd"):
        assert httpx.get(f"{address}gradio_api/file={path}", timeout=60).status_code in (403, 404)


def test_no_page_source_names_another_host(address):
    page = httpx.get(address, timeout=60).text
    assert "googleapis" not in page and "<script>alert(1)" not in page


def test_the_queue_is_bounded_the_model_has_few_places_in_it_and_nothing_is_kept_beyond_an_hour(detector):
    demo = app.build(detector)
    assert demo._queue.max_size and demo.delete_cache == (ONE_HOUR, ONE_HOUR)
    model = [fn for fn in demo.fns.values() if fn.concurrency_id == "model"]
    assert len(model) >= 8 and {fn.concurrency_limit for fn in model} == {PLACES}
    states = [block for block in demo.blocks.values() if isinstance(block, gr.State)]
    assert states and {state.time_to_live for state in states} == {ONE_HOUR}
    assert [state.value for state in states if not isinstance(state.value, handlers.Turn)] == [None] * (len(states) - 1)
