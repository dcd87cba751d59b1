"""What strangers can ask of the running server, as they would: raw HTTP, Gradio's client, MCP."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import threading
import time
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from asked import data_of, join, numbers, png, raw, result, run, upload, wait_for, waited
from gradio_client import handle_file
from gradio_client.exceptions import AppError

import app
from mdmf_app import context
from mdmf_app.server import middleware, start
from mdmf_app.server import place as place_of_files
from mdmf_app.tabs import model

ROOT = Path(app.__file__).resolve().parent
SECRET = "holiday-of-anna"
PUBLIC = ("analyze", "describe", "batch", "compare", "batch_zip")


# Routes


@pytest.mark.parametrize(
    "route", ["call/take", "call/partial", "call/v2/analyse", "call/show_map", "run/take", "api/take"]
)
def test_only_public_endpoints_are_called_by_name(web, route):
    assert web.post(f"/gradio_api/{route}", json={"data": [None]}).status_code == 404


def test_public_endpoints_are_called_by_name(web, demo):
    assert {fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"} == set(PUBLIC)
    event = web.post("/gradio_api/call/describe", json={"data": [None, 0.05]}).json()["event_id"]
    assert "choose one first" in web.get(f"/gradio_api/call/describe/{event}").text


def test_the_queue_can_not_be_skipped(web, demo):
    reply = run(web, numbers(demo, "describe")[0], [None, 0.05])
    assert reply.status_code == 404 and "queue" in reply.text


@pytest.mark.parametrize(
    "route",
    [
        *("docs", "openapi.json", "monitoring", "monitoring/summary", "pwa_icon/9999", "logout", "gradio_api/runs"),
        *("gradio_api/proxy=https://a.hf.space/", "gradio_api/deep_link?session_hash=s", "gradio_api/dev/reload"),
        *("gradio_api/custom_component/a/client/b/c", "gradio_api/stream/s/r/1/playlist.m3u8", "gradio_api/vibe-code"),
        *("gradio_api/file/etc/passwd", "gradio_api/token", "gradio_api/user"),
    ],
)
def test_there_is_no_other_route(web, route):
    reply = web.get(f"/{route}")
    assert (reply.status_code, reply.json()) == (404, {"detail": middleware.NOTHING})


@pytest.mark.parametrize("route", ["process_recording", "component_server", "vibe-edit", "undo-vibe-edit", "login"])
def test_there_is_no_other_route_for_data(web, route):
    assert web.post(f"/gradio_api/{route}", json={}).json() == {"detail": middleware.NOTHING}
    assert web.put("/gradio_api/cancel").status_code == 405


# Files


def test_a_file_is_served_to_whoever_was_given_its_path_and_never_as_a_page(web):
    for name in ("page.html", "drawing.svg", "photo.png"):
        path = upload(web, b"<script>alert(1)</script>", name).json()[0]
        reply = web.get(f"/gradio_api/file={path}")
        assert reply.status_code == 200 and reply.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert reply.headers["x-content-type-options"] == "nosniff" and reply.headers["cache-control"] == "private"
        assert reply.headers["content-type"] in ("application/octet-stream", "image/png")


def test_nothing_else_is_served(web, demo):
    own = Path(upload(web, png(1), "own.png").json()[0])
    place = place_of_files.folder()
    (place / "tmpupload").write_text("root:")
    (place / "deep_links").mkdir()
    (place / "deep_links" / "state.json").write_text("root:")
    targets = [
        *("/etc/passwd", "/proc/self/environ", "/proc/self/fd/0", "~/.cache", "app.py", "./app.py", "../etc/passwd"),
        *(f"{ROOT}/app.py", f"{ROOT}/assets/bundled/model.safetensors", str(Path.home() / ".cache"), "\\etc\\passwd"),
        *(f"{own}/../../tmpupload", f"{place}/tmpupload", f"{place}/deep_links/state.json", f"{place}", f"{place}/"),
        *(
            f"{own.parent}",
            f"{own.parent}/",
            f"{own.parent}/..",
            f"{own.parent}/../../../../../etc/passwd",
            "//etc/passwd",
        ),
        *("file:///etc/passwd", "http://127.0.0.1/", "https://a.test/", f"{own}\0.png", f"{own}/", "%2e%2e/etc/passwd"),
    ]
    targets += [quote(target, safe="") for target in targets] + [quote(quote(target)) for target in targets]
    targets = [target for target in targets if "\0" not in target and " " not in target]
    for target in targets:
        status, body = raw(demo, f"/gradio_api/file={target}")
        served = status == 200 and target.rstrip("/") in (
            str(own),
            quote(str(own), safe=""),
            f"{quote(str(own), safe='')}%2F",
        )
        assert served or (status in (400, 403, 404) and b"root:" not in body and b"PNG" not in body), target
    assert web.get(f"/gradio_api/file={own}").status_code == 200
    (place / "tmpupload").unlink()


def test_a_name_can_not_be_guessed_from_its_content(web):
    content = png(2)
    path = Path(upload(web, content, "guess.png").json()[0])
    guessed = path.parent.parent / hashlib.sha256(content).hexdigest() / path.name
    assert guessed != path and web.get(f"/gradio_api/file={guessed}").status_code == 403


# Addresses and paths in requests


@pytest.fixture
def visited():
    """The address of another server, and who came to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        callers = []

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                callers.append(connection)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/photo.png", callers


@pytest.mark.parametrize("where", ["event", "call", "private"])
def test_no_address_is_fetched_and_no_path_of_the_server_read(web, demo, visited, where):
    address, callers = visited
    for path in (address, "https://huggingface.co/x.png", "/etc/passwd", f"{ROOT}/LICENSE", "", None, 7, ["a"]):
        for file in (
            data_of(path),
            {"path": path},
            {"meta": {"_type": "gradio.FileData"}, "url": "data:image/png;base64,"},
        ):
            if where == "event":
                reply = join(web, numbers(demo, "describe")[0], [file, 0.05], "s")
            elif where == "call":
                reply = web.post("/gradio_api/call/batch", json={"data": [[[file]], 0.05]})
            else:
                reply = run(web, numbers(demo, "take")[0], [file])
            assert (reply.status_code, reply.json()) == (422, {"detail": middleware.INVALID}), path
    assert web.get(f"/gradio_api/file={address}").status_code == 404
    assert not callers


def test_mcp_fetches_no_address(demo, visited):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    address, callers = visited

    async def ask():
        async with streamablehttp_client(f"{demo.local_url}gradio_api/mcp/") as (reading, writing, _):
            async with ClientSession(reading, writing) as session:
                await session.initialize()
                return await session.call_tool("describe", {"file": address})

    answer = waited(ask())
    assert answer.isError and middleware.NOT_OWN in answer.content[0].text and not callers


# Private events, called raw


HOSTILE = (
    *(None, True, -1, 0, 2**70, 1e308, float("nan"), "", "x" * 5000, "<script>", "/etc/passwd", "../..", "\0", [], {}),
    *([None] * 300, {"value": {"value": 1}}, [[[[]]]], {"__type__": "update", "value": "x"}, "evidence", {"index": 1}),
)
EVENTS = (
    *(None, "x", 7, [], {}, {"index": "x"}, {"index": 10**9, "value": None}),
    {"index": [None, "a"], "value": {}, "row_value": ["x"] * 9},
)


def test_private_events_are_harmless_with_any_data(web, demo):
    rng = np.random.default_rng(0)
    private = [i for i, fn in demo.fns.items() if fn.api_visibility == "private" and fn.fn]
    assert len(private) > 50
    replies = []
    for number in [*private, 10**6, -1]:
        fn = demo.fns.get(number)
        for turn in range(2):
            length = len(fn.inputs) if fn and turn == 0 else int(rng.integers(0, 12))
            body = {
                "fn_index": number,
                "session_hash": "raw",
                "trigger_id": [None, 10**6][turn],
                "event_data": EVENTS[rng.integers(len(EVENTS))],
                "data": [HOSTILE[rng.integers(len(HOSTILE))] for _ in range(length)],
                "batched": bool(turn),
            }
            content = json.dumps(body)
            route = "queue/join" if fn and fn.queue else "run/predict"
            reply = web.post(f"/gradio_api/{route}", content=content, headers={"content-type": "application/json"})
            replies.append(reply.text)
            if route == "queue/join" and reply.status_code == 200:
                replies.append(result(web, "raw"))
    told = "\n".join(replies)
    for leaked in (str(ROOT), str(place_of_files.folder()), "Traceback", "site-packages", "root:"):
        assert leaked not in told
    assert middleware.FAULT in told and web.get("/gradio_api/queue/status").json()["queue_size"] == 0


# Telemetry, log, headers, model


def test_requests_are_not_summed_up(demo, client, tmp_path):
    """Gradio did so with pandas at the end of each, at a cost, and in several threads."""
    (tmp_path / "photo.png").write_bytes(png(8))
    client.predict(handle_file(tmp_path / "photo.png"), api_name="/describe")
    assert demo._queue.events_recorded and demo._queue.cached_event_analytics_summary == {"functions": {}}


def test_nothing_is_reported_to_anybody(demo, monkeypatch):
    assert Path(demo.GRADIO_CACHE).name.startswith(place_of_files.PREFIX), "app.py has prepared it"
    monkeypatch.setattr(os, "environ", {"GRADIO_TEMP_DIR": os.environ["GRADIO_TEMP_DIR"]})
    monkeypatch.setattr(start.atexit, "register", lambda *_, **__: None)
    start.prepare()
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False" and os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    os.rmdir(place_of_files.folder())
    assert demo.analytics_enabled is False and not demo.enable_monitoring and not demo.run_history and not demo.share


def test_the_log_names_no_file(demo, web, client, detector, tmp_path, monkeypatch, capfd, caplog):
    path = tmp_path / f"{SECRET}.png"
    path.write_bytes(png(3))

    def broken(picture, *_):
        raise RuntimeError(f"{picture.name} can't be analysed")

    monkeypatch.setattr(detector, "detect", broken)
    with pytest.raises(AppError) as failed:
        client.predict(handle_file(path), api_name="/describe")
    assert SECRET not in str(failed.value)
    run(web, numbers(demo, "take")[0], [data_of(upload(web, png(4), f"{SECRET}.png").json()[0]), SECRET])
    run(web, 10**6, [SECRET])
    time.sleep(0.2)
    printed: list[str] = []

    def logged() -> bool:
        printed.extend(capfd.readouterr())
        return "RuntimeError" in "".join([*printed, caplog.text])

    assert wait_for(logged)
    log = "".join([*printed, caplog.text])
    assert SECRET not in log and "in broken" in log


def test_a_logged_exception_has_no_message(caplog):
    try:
        raise OSError(SECRET)
    except OSError:
        logging.getLogger("uvicorn.error").exception("Failed.")
    assert SECRET not in caplog.text and "OSError" in caplog.text and "test_server.py" in caplog.text


def test_the_page_may_ask_nobody_else(web):
    reply = web.get("/")
    assert reply.headers["x-content-type-options"] == "nosniff" and reply.headers["referrer-policy"] == "same-origin"
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'self' ") and "http" not in policy


def test_folders_are_named_only_where_nobody_else_comes(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    for name, allowed in ((None, True), ("127.0.0.1", True), ("0.0.0.0", False), ("192.168.0.7", False)):
        monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
        if name:
            monkeypatch.setenv("GRADIO_SERVER_NAME", name)
        assert model.local_allowed() is allowed


def test_examples_are_not_taken_from_requests(web, demo):
    reply = run(web, numbers(demo, "take")[0], [data_of(str(context.EXAMPLES / "flower.jpg"))])
    assert reply.status_code == 422
