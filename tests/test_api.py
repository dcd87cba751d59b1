"""The endpoints as programs and assistants see them: gradio_client on a real server, and the MCP client."""

from __future__ import annotations

import ast
import base64
import csv
import importlib.util
import logging
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from asked import client_of, waited
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from tiny import picture

import app
from benchmarks.served import free_port
from mdmf_app import api
from mdmf_app.context import PLACES
from mdmf_core.images.origin import as_json, origin_of, together
from mdmf_core.images.reader import read
from mdmf_core.run import batch
from mdmf_core.show import maps, report
from mdmf_core.show import words as wording

LETTER = "This is a letter and not a picture.\n" * 20


@pytest.fixture(scope="module")
def address(detector):
    """A running server with its MCP server."""
    demo = app.build(detector, mcp=True)
    url = app.launch(demo, server_port=free_port(), prevent_thread_lock=True, quiet=True, mcp_server=True)[1]
    yield url
    demo.close()


@pytest.fixture(scope="module")
def client(address, tmp_path_factory) -> Client:
    return client_of(address, tmp_path_factory.mktemp("downloads"))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list:
    """Three pictures and a letter."""
    folder = tmp_path_factory.mktemp("batch")
    paths = [folder / f"picture_{seed}.png" for seed in range(3)]
    for seed, path in enumerate(paths):
        Image.fromarray(picture(seed + 40)).save(path)
    letter = folder / "letter.jpg"
    letter.write_text(LETTER)
    return [*paths, letter]


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_each_endpoint_documents_its_typed_arguments(client):
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(named) == ["/analyze", "/describe", "/batch", "/compare", "/batch_zip"]
    for name, info in named.items():
        arguments = info["parameters"]
        assert arguments[-1]["parameter_name"] == "alpha" and arguments[-1]["python_type"]["type"] == "float"
        assert arguments[-1]["parameter_default"] == 0.05
        expected = "list[filepath]" if name == "/batch" else "filepath"
        assert {argument["python_type"]["type"] for argument in arguments[:-1]} == {expected}
        assert not any(argument["parameter_has_default"] for argument in arguments[:-1])
        assert len(info["description"]) > 60


def test_without_mcp_there_is_no_tool_for_archives(detector):
    info = app.build(detector).get_api_info()
    assert list(info["named_endpoints"]) == ["/analyze", "/describe", "/batch", "/compare"]


def test_analyze_gives_the_map_and_the_contract(client, detector, photo):
    overlay, data = client.predict(handle_file(photo), 0.2, api_name="/analyze")
    evidence = detector.detect(photo, 0.2)
    assert data.pop("origin") == as_json(origin_of(photo), evidence.verdict.decision)
    assert data.pop("quote") == wording.quote(evidence)
    assert data == {**evidence.to_dict(), "path": None, "name": photo.name}
    assert np.array_equal(pixels(overlay), np.asarray(maps.overlay(read(photo, 32).pixels, evidence)))


def test_describe_says_the_result_in_words(client, detector, photo):
    text = client.predict(file=handle_file(photo), api_name="/describe")
    evidence = detector.detect(photo)
    first = maps.top_patches(evidence, 1)[0]
    assert text.splitlines()[0] == origin_of(photo).sentence
    for needed in (
        wording.VERDICTS[evidence.verdict.outcome],
        wording.explain(evidence),
        f"p-value {evidence.verdict.p_value:.3g}",
        f"- {first['x']}, {first['y']}, {first['w']}, {first['h']}; p {first['p_value']:.2g}",
        evidence.model.fingerprint[:16],
        *report.LIMITATIONS[:3],
    ):
        assert needed in text


def test_describe_names_no_hatched_patch(detector, photo):
    evidence = detector.detect(photo)
    named = "Patches with the most evidence"
    assert named in api.in_words(evidence, origin_of(photo))
    assert named not in api.in_words(replace(evidence, reasons=("flat",) * evidence.n_patches), origin_of(photo))


def test_describe_names_the_places_that_are_unlike_the_rest(detector, photo):
    evidence = detector.detect(photo)
    found = evidence.maps["locator"]
    one = replace(found, outlined=np.arange(evidence.n_patches) == 5)
    x, y, w, h = evidence.grid.boxes[5].tolist()
    needed = f"Patches unlike the rest of the picture (x, y, width, height):\n- {x}, {y}, {w}, {h}\n"
    origin = origin_of(photo)
    assert needed in api.in_words(replace(evidence, maps=evidence.maps | {"locator": one}), origin)
    none = replace(found, outlined=np.zeros(evidence.n_patches, bool))
    without = {name: shown for name, shown in evidence.maps.items() if name != "locator"}
    for maps_of_it in (without, without | {"locator": none}):
        assert "unlike the rest" not in api.in_words(replace(evidence, maps=maps_of_it), origin)


def test_batch_gives_rows_and_a_table(client, detector, files):
    data, table = client.predict([handle_file(path) for path in files], 0.1, api_name="/batch")
    assert [row["name"] for row in data["rows"]] == [path.name for path in files]
    scores = [detector.detect(path).verdict.score for path in files[:3]]
    assert [row["score"] for row in data["rows"][:3]] == scores
    assert all(row["q_value"] >= row["p_value"] for row in data["rows"][:3])
    assert data["rows"][3]["score"] is None and data["rows"][3]["error"].endswith(".")
    assert data["alpha"] == 0.1 and data["fingerprint"] == detector.fingerprint
    assert data["about_q_value"] == batch.ABOUT_Q and data["summary"].endswith("could not be analysed.")
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["score"]) for row in rows[:3]] == scores and rows[3]["error"] == data["rows"][3]["error"]


def test_compare_gives_both_maps_and_a_sentence(client, detector, files):
    first, second, data = client.predict(*map(handle_file, files[:2]), api_name="/compare")
    found = [detector.detect(path) for path in files[:2]]
    assert data["sentence"] == report.compare(*found)["sentence"]
    assert data["score_difference"] == found[0].verdict.score - found[1].verdict.score and data["same_file"] is False
    assert data["origins"] == together(*map(origin_of, files[:2]))
    for name, path, evidence, drawn in zip(("first", "second"), files, found, (first, second), strict=False):
        assert data[name].pop("origin") == as_json(origin_of(path), evidence.verdict.decision)
        assert data[name].pop("quote") == wording.quote(evidence)
        assert data[name] == {**evidence.to_dict(), "path": None, "name": path.name}
        assert np.array_equal(pixels(drawn), np.asarray(maps.overlay(read(path, 32).pixels, evidence)))


@pytest.mark.parametrize("alpha", [0, -1, 0.21, 5])
@pytest.mark.parametrize("endpoint", ["/analyze", "/describe", "/batch"])
def test_a_rate_out_of_range_is_a_sentence(client, photo, endpoint, alpha):
    file = [handle_file(photo)] if endpoint == "/batch" else handle_file(photo)
    with pytest.raises(AppError, match=r"^The false-alarm rate must be above 0 and at most 0\.2, not .*\.$"):
        client.predict(file, alpha, api_name=endpoint)


def test_no_files_are_a_sentence(client):
    for endpoint, arguments in (("/batch", ([],)), ("/describe", (None,)), ("/compare", (None, None))):
        with pytest.raises(AppError, match=r"^There (is no picture|are no pictures) yet; .*\.$"):
            client.predict(*arguments, api_name=endpoint)


def test_a_bad_file_is_a_sentence_without_a_path(client, files):
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(files[0]), handle_file(files[3]), api_name="/compare")
    assert "looks like text" in str(caught.value) and "/" not in str(caught.value)


def test_the_model_is_used_by_one_at_a_time(detector):
    demo = app.build(detector)
    named = [fn for fn in demo.fns.values() if fn.api_name in ("analyze", "describe", "batch", "compare")]
    assert len(named) == 4
    assert {(fn.concurrency_id, fn.concurrency_limit) for fn in named} == {("model", PLACES)}


def encoded(path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def ask(address: str, *calls: tuple[str, dict]) -> tuple[list, list]:
    """The tools of the MCP server, and the answers to calls of them."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def progress(*_) -> None:
        """Whoever wants progress gets outputs one by one."""

    async def talk():
        async with streamablehttp_client(f"{address}gradio_api/mcp/") as (reading, writing, _):
            async with ClientSession(reading, writing) as session:
                await session.initialize()
                tools = (await session.list_tools()).tools
                answers = [await session.call_tool(*call, progress_callback=progress) for call in calls]
                return tools, answers

    return waited(talk())


def test_an_assistant_finds_tools_that_it_can_use(address):
    tools, _ = ask(address)
    assert [tool.name for tool in tools] == ["analyze", "describe", "compare", "batch_zip"]
    for tool in tools:
        assert "generated" in tool.description and "Returns:" in tool.description
        arguments = tool.inputSchema["properties"]
        assert all(argument["description"] for argument in arguments.values())
        assert set(tool.inputSchema["required"]) == set(arguments) - {"alpha"}
        assert arguments["alpha"]["type"] == "number"


def test_an_assistant_gets_answers(address, detector, files, photo, tmp_path):
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in files:
            packed.write(path, path.name)
    image = encoded(photo, "image/png")
    _, (words, figures, table, refused, secret) = ask(
        address,
        ("describe", {"file": image, "alpha": 0.2}),
        ("analyze", {"file": image}),
        ("batch_zip", {"archive": encoded(archive, "application/zip")}),
        ("describe", {"file": encoded(files[3], "image/jpeg")}),
        ("describe", {"file": "/etc/passwd"}),
    )
    evidence = detector.detect(photo)
    assert not words.isError and wording.explain(detector.detect(photo, 0.2)) in words.content[0].text
    assert [part.type for part in figures.content] == ["image", "text", "text"]
    assert ast.literal_eval(figures.content[2].text)["score"] == evidence.verdict.score
    rows = table.content[0].text.split("\n\n", 1)[1].splitlines()
    assert len(rows) == 5 and "picture_0.png" in rows[1] and "looks like text" in rows[4]
    assert refused.isError and "The file looks like text" in refused.content[0].text
    assert secret.isError and "root:" not in secret.content[0].text


def test_mcp_is_off_unless_asked_for(monkeypatch):
    monkeypatch.delenv("MDMF_MCP", raising=False)
    assert api.mcp_server([]) is False
    assert api.mcp_server(["--mcp"]) is True
    monkeypatch.setenv("MDMF_MCP", "1")
    assert api.mcp_server([]) is True


def test_without_the_package_mcp_is_one_sentence(monkeypatch, caplog):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        assert api.mcp_server(["--mcp"]) is False
    assert caplog.messages == [api.NO_MCP]
