"""The page's handlers, and the server as a program sees it through gradio_client."""

from __future__ import annotations

import socket

import gradio as gr
import httpx
import huggingface_hub
import numpy as np
import pytest
from bad_files import write_bad_files
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from tiny import picture

import app
from mdmf_core.detector import CheckpointError, Detector


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def detector(checkpoint) -> Detector:
    return Detector.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def address(detector):
    """A running server; its page warns of a model with a hostile name."""
    demo = app.build(detector, "The model <script>alert(1)</script> can't be used.")
    url = app.launch(demo, server_port=free_port(), prevent_thread_lock=True, quiet=True)[1]
    yield url
    demo.close()


@pytest.fixture(scope="module")
def client(address, tmp_path_factory) -> Client:
    return Client(address, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


@pytest.fixture(scope="module")
def bad(tmp_path_factory) -> dict:
    return {path.name: path for path in write_bad_files(tmp_path_factory.mktemp("bad"))}


def test_the_endpoint_gives_overlay_and_contract_in_this_order(client, detector, photo):
    overlay, data = client.predict(handle_file(photo), api_name="/analyze")
    expected = detector.detect(photo).to_dict()
    assert data == {**expected, "path": None, "name": photo.name}
    assert abs(sum(patch["evidence"] for patch in data["patches"]) - data["score"]) <= 1e-5 * max(1, abs(data["score"]))
    with Image.open(overlay) as image:
        assert image.format == "PNG"
        drawn = np.asarray(image)
    again = app.analyze(detector, str(photo), None)[0]
    assert np.array_equal(drawn, np.asarray(again)), "the map arrives without loss"


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


def test_only_analyze_is_public_and_its_arguments_are_documented(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(endpoints) == ["/analyze"]
    file, alpha = endpoints["/analyze"]["parameters"]
    assert (file["parameter_name"], alpha["parameter_name"]) == ("file", "alpha")
    assert not file["parameter_has_default"] and alpha["parameter_default"] == app.ALPHA
    assert [value["component"] for value in endpoints["/analyze"]["returns"]] == ["Image", "Json"]


def test_files_of_the_server_are_not_served(address, photo):
    for path in (photo, app.EXAMPLES.parent / "app.py", "/etc/passwd"):
        assert httpx.get(f"{address}gradio_api/file={path}").status_code in (403, 404)


def test_no_page_source_names_another_host(address):
    page = httpx.get(address).text
    assert "googleapis" not in page and "<script>alert(1)" not in page


def test_the_card_says_what_was_found_and_escapes_names(detector, tmp_path):
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    Image.fromarray(picture(5)).save(path)
    card, image, legend, mask = app.show(detector, str(path), 0.05, None)
    evidence = detector.detect(path)
    assert app.heatmap.VERDICTS[evidence.decision] in card and f"{evidence.p_value:.3g}" in card
    assert "<img" not in card and "&lt;img" in card
    assert image["visible"] and image["value"].size == (128, 96)
    assert "gradient" in legend and not mask["visible"]


def test_a_bad_file_on_the_page_is_a_sentence_in_place_of_the_result(detector, bad):
    card, image, legend, _ = app.show(detector, str(bad["bad_text.jpg"]), 0.05, None)
    assert "No result" in card and "looks like text" in card
    assert not image["visible"] and image["value"] is None and legend == ""


def test_the_page_waits_without_a_picture(detector):
    assert app.WAITING in app.show(detector, None, 0.05, None)[0]


def test_a_composite_is_shown_with_its_mask_and_what_it_is(detector):
    example = {"what": "A & B.", "licence": "CC0", "mask": "china_composite_mask.png"}
    card, _, _, mask = app.show(detector, str(app.EXAMPLES / "china_composite.jpg"), 0.05, example)
    assert mask["visible"] and "A &amp; B. CC0." in card


def test_the_model_is_named(detector):
    assert detector.fingerprint[:16] in app.footer(detector) and detector.located.model in app.footer(detector)


def test_an_unreachable_repository_falls_back_to_the_bundled_detector(monkeypatch, checkpoint):
    def unreachable(*args, **kwargs):
        raise httpx.ConnectError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    monkeypatch.setattr(app, "BUNDLED", checkpoint)
    monkeypatch.setenv("MDMF_MODEL", "someone/some-model")
    detector, warning = app.load()
    assert detector.located.folder == checkpoint
    assert "someone/some-model" in warning and "could not be reached" in warning and "bundled" in warning


def test_a_missing_folder_falls_back_and_its_path_stays_private(monkeypatch, checkpoint, tmp_path):
    monkeypatch.setattr(app, "BUNDLED", checkpoint)
    monkeypatch.setenv("MDMF_MODEL", str(tmp_path / "nowhere"))
    _, warning = app.load()
    assert "nowhere" in warning and str(tmp_path) not in warning


def test_without_any_detector_the_program_ends_with_a_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(app, "BUNDLED", tmp_path / "gone")
    monkeypatch.setenv("MDMF_MODEL", str(tmp_path / "nowhere"))
    assert app.main() == 1
    assert "There is no folder" in capsys.readouterr().err
    with pytest.raises(CheckpointError):
        app.load()


def test_the_queue_is_bounded_and_the_cache_expires(detector):
    demo = app.build(detector)
    assert demo._queue.max_size and demo.delete_cache == (app.ONE_HOUR, app.ONE_HOUR)
    model = [fn for fn in demo.fns.values() if fn.concurrency_id == "model"]
    assert len(model) == 4 and {fn.concurrency_limit for fn in model} == {1}


def test_errors_carry_no_trace(detector, bad):
    with pytest.raises(gr.Error) as caught:
        app.detect(detector, str(bad["bad_empty.jpg"]), None)
    assert caught.value.print_exception is False
