"""What strangers can ask of the running server, as they would: raw HTTP, Gradio's client, MCP."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import io
import json
import logging
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from tiny import picture

import app
from benchmarks import served as serving
from mdmf_app import context
from mdmf_app import session as sessions
from mdmf_app.context import ONE_HOUR, PLACES
from mdmf_app.server import housekeeping, limits, middleware, start
from mdmf_app.server import place as place_of_files
from mdmf_app.server.patched import inside_gradio
from mdmf_app.tabs import many, model
from mdmf_app.tabs.one import handlers
from mdmf_core.errors import ImageError
from mdmf_core.images.archive import Item
from mdmf_core.images.reader import read
from mdmf_core.run.batch import Row

ROOT = Path(app.__file__).resolve().parent
LIMITS = limits.Limits(waiting=2, upload=2 * 2**20, delete_cache=(ONE_HOUR, ONE_HOUR), request=3 * 2**20)
SECRET = "holiday-of-anna"
SHOW_MAP = [None, None, "evidence", 0.5, None, None, None, None, None, None]
PUBLIC = ("analyze", "describe", "batch", "compare", "batch_zip")


@pytest.fixture(scope="module")
def demo(detector):
    """The page with small limits."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(limits, "limits", lambda: LIMITS)
        built = app.build(detector, mcp=True)
        app.launch(built, server_port=serving.free_port(), prevent_thread_lock=True, quiet=True, mcp_server=True)
        yield built
        built.close()


@pytest.fixture(scope="module")
def web(demo):
    """A program that speaks HTTP with the server."""
    with httpx.Client(base_url=demo.local_url.rstrip("/"), timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def client(demo) -> Client:
    return Client(demo.local_url, verbose=False, download_files=False)


def png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(seed)).save(file, "PNG")
    return file.getvalue()


def unfinished() -> set[Path]:
    """Uploads under way; and what other tests left, which the sweep would take in an hour."""
    return set(place_of_files.folder().glob("tmp??*"))


def upload(web: httpx.Client, content: bytes, name: str = "photo.png") -> httpx.Response:
    return web.post("/gradio_api/upload", files={"files": (name, content)})


def data_of(path: str) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def numbers(demo: gr.Blocks, name: str) -> list[int]:
    """The numbers of the events that call a function of this name."""
    found = [i for i, fn in demo.fns.items() if getattr(getattr(fn.fn, "func", fn.fn), "__name__", "") == name]
    assert found, name
    return found


def run(web: httpx.Client, number: int, data: list, session: str = "s") -> httpx.Response:
    """A private event without the queue, as the page calls it."""
    return web.post("/gradio_api/run/predict", json={"fn_index": number, "data": data, "session_hash": session})


def join(web: httpx.Client, number: int, data: list, session: str) -> httpx.Response:
    """An event in the queue, as the page calls it."""
    return web.post("/gradio_api/queue/join", json={"fn_index": number, "data": data, "session_hash": session})


def result(web: httpx.Client, session: str) -> str:
    """All that the server says about the events of a session."""
    return web.get("/gradio_api/queue/data", params={"session_hash": session}).text


def analyse(web: httpx.Client, demo: gr.Blocks, seed: int, session: str) -> str:
    """Drop a picture as the page does; gives its path on the server."""
    path = upload(web, png(seed)).json()[0]
    assert run(web, numbers(demo, "take")[0], [data_of(path)], session).status_code == 200
    assert join(web, numbers(demo, "analyse")[0], [None, 0.05, None, None, None], session).status_code == 200
    assert "process_completed" in result(web, session)
    return path


def raw(demo: gr.Blocks, target: str) -> tuple[int, bytes]:
    """GET exactly these characters."""
    connection = http.client.HTTPConnection(urlsplit(demo.local_url).netloc, timeout=60)
    connection.putrequest("GET", target, skip_host=False)
    connection.endheaders()
    reply = connection.getresponse()
    return reply.status, reply.read()


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

    answer = asyncio.run(asyncio.wait_for(ask(), 120))
    assert answer.isError and middleware.NOT_OWN in answer.content[0].text and not callers


# Limits


def test_uploads_have_limits(web, monkeypatch):
    before = unfinished()
    assert upload(web, bytes(LIMITS.upload)).status_code == 200
    assert upload(web, bytes(LIMITS.upload + 1)).status_code == 413
    files = [("files", (f"{number}.png", b"x")) for number in range(inside_gradio.FILES + 1)]
    assert web.post("/gradio_api/upload", files=files[:-1]).status_code == 200
    assert web.post("/gradio_api/upload", files=files).status_code == 400
    three = [("files", (f"{number}.png", bytes(LIMITS.upload - 1))) for number in range(2)]
    assert web.post("/gradio_api/upload", files=three).status_code == 413
    request = web.build_request("POST", "/gradio_api/upload", files=three)
    kind = {"content-type": request.headers["content-type"]}
    assert web.post("/gradio_api/upload", headers=kind, content=iter([request.read()])).status_code == 413
    field = web.post("/gradio_api/upload", files={"field": (None, bytes(2**20))})
    assert field.status_code == 400 and "Too many fields" in field.text
    assert unfinished() <= before, "what is refused leaves nothing"
    monkeypatch.setattr(middleware, "ROOM", 2**60)
    assert upload(web, b"x").text == middleware.FULL


def test_json_has_limits(web):
    for content, status in ((b"[" * 10**5, 400), (b"{", 400), (b"[]", 400), (b" " * (middleware.JSON_BYTES + 1), 413)):
        reply = web.post("/gradio_api/queue/join", content=content, headers={"content-type": "application/json"})
        assert reply.status_code == status and reply.json()["detail"].endswith("."), content[:9]


def half_sent(demo: gr.Blocks, head: str, body: bytes) -> socket.socket:
    """A connection whose request stops in the middle."""
    address = urlsplit(demo.local_url)
    connection = socket.create_connection((address.hostname, address.port), 60)
    connection.sendall(f"{head}\r\nHost: a\r\nContent-Length: 100000\r\n\r\n".encode() + body)
    return connection


def test_a_request_that_does_not_arrive_is_given_up(demo, monkeypatch):
    monkeypatch.setattr(middleware, "JSON_SECONDS", 0.1)
    with half_sent(demo, "POST /gradio_api/queue/join HTTP/1.1\r\nContent-Type: application/json", b"{") as connection:
        assert b"408" in connection.recv(4096).splitlines()[0]


def test_an_upload_that_breaks_off_leaves_no_file(demo):
    head = "POST /gradio_api/upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b"
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nhalf'
    before = unfinished()
    with half_sent(demo, head, part):
        assert wait_for(lambda: unfinished() - before), "it has begun"
    assert wait_for(lambda: not unfinished() - before)


def wait_for(true) -> bool:
    end = time.monotonic() + 60
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(true())


def test_too_many_at_once_are_told_so():
    async def never(*_):
        raise AssertionError

    async def ask():
        sent = []
        gate = middleware.Guard(never, set(), LIMITS)
        gate.running["call"] = middleware.AT_ONCE["call"]
        scope = {"type": "http", "method": "POST", "path": "/gradio_api/run/predict", "headers": []}

        async def send(message):
            sent.append(message)

        await gate(scope, never, send)
        return sent

    started, body = asyncio.run(ask())
    assert started["status"] == 503 and json.loads(body["body"]) == {"detail": middleware.BUSY}


def test_over_the_bound_the_queue_says_busy_and_recovers(web, demo, client, detector, photo, monkeypatch):
    free, detect = threading.Event(), detector.detect
    monkeypatch.setattr(detector, "detect", lambda *args, **more: free.wait(120) and detect(*args, **more))
    with ThreadPoolExecutor(8) as people:
        queue, asked = demo._queue, []
        bounds = {PLACES: lambda: under_way(queue) == PLACES, LIMITS.waiting: lambda: len(queue) == LIMITS.waiting}
        for more, full in bounds.items():
            for _ in range(more):
                asked.append(people.submit(client.predict, handle_file(photo), api_name="/describe"))
            assert wait_for(full)
        with pytest.raises(Exception, match=r"^Queue is full! Please try again\.$"):
            client.predict(handle_file(photo), api_name="/describe")
        assert join(web, numbers(demo, "describe")[0], [None, 0.05], "s").status_code == 503
        free.set()
        answers = {handlers.result() for handlers in asked}
    assert answers == {client.predict(handle_file(photo), api_name="/describe")}


def under_way(queue) -> int:
    return sum(len(jobs or ()) for jobs in queue.active_jobs)


def hold_up(name: str, monkeypatch) -> threading.Event:
    """Pictures of this name are stuck in the decoder until the event is set."""
    free, read_now = threading.Event(), context.isolated.read

    def read_late(path, *rest):
        if Path(path).name == name:
            assert free.wait(120)
        return read_now(path, *rest)

    monkeypatch.setattr(context.isolated, "read", read_late)
    return free


def test_a_stuck_picture_delays_nobody(demo, client, photo, tmp_path, monkeypatch):
    stuck = tmp_path / "stuck.jpg"
    stuck.write_bytes(photo.read_bytes())
    free = hold_up(stuck.name, monkeypatch)
    with ThreadPoolExecutor(1) as people:
        late = people.submit(client.predict, handle_file(stuck), api_name="/describe")
        assert wait_for(lambda: under_way(demo._queue) == 1)
        told = client.predict(handle_file(photo), api_name="/describe")
        assert not late.done()
        free.set()
        assert late.result() == told.replace(photo.name, stuck.name)


def test_the_page_says_busy_and_recovers(chromium, demo, photo, monkeypatch):
    page = serving.open_page(chromium, demo.local_url)
    with monkeypatch.context() as full:
        full.setattr(demo._queue, "max_size", 0)
        page.locator("#picture input[type=file]").set_input_files(photo)
        page.get_by_text("This application is currently busy. Please try again.").wait_for()
    page.locator("#picture input[type=file]").set_input_files(photo)
    page.locator("#verdict h2").wait_for()
    page.context.close()


def test_the_last_picture_is_the_one_that_is_shown(chromium, demo, photo, tmp_path, monkeypatch):
    page = serving.open_page(chromium, demo.local_url)
    first, second = tmp_path / "first.jpg", tmp_path / "second.jpg"
    for path in (first, second):
        path.write_bytes(photo.read_bytes())
    free = hold_up(first.name, monkeypatch)
    drop, verdict = page.locator("#picture input[type=file]"), page.locator("#verdict")
    drop.set_input_files(first)
    assert wait_for(lambda: under_way(demo._queue) == 1)
    drop.set_input_files(second)
    page.wait_for_timeout(500)
    free.set()
    verdict.get_by_text(second.name).wait_for()
    free.clear()
    drop.set_input_files(first)
    assert wait_for(lambda: under_way(demo._queue) == 1)
    page.locator("#examples button").first.click()
    page.wait_for_function("!document.querySelector('#verdict').innerText.includes('second.jpg')")
    verdict.locator("h2").wait_for()
    free.set()
    assert wait_for(lambda: under_way(demo._queue) == 0)
    page.wait_for_timeout(500)
    assert first.name not in verdict.inner_text()
    page.context.close()


def test_a_batch_ends_in_time(monkeypatch):
    items, rows = [Item("a.png"), Item("b.png")], [Row("a.png"), Row("b.png")]
    assert list(many.in_time(iter(rows), items)) == rows
    monkeypatch.setattr(many, "LONGEST", -1)
    assert [row.error for row in many.in_time(iter(rows), items)] == [many.LATE] * 2


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


# Sessions


def test_nobody_gets_what_is_another_ones(web, demo, detector):
    folder = place_of_files.folder()
    mine, yours = analyse(web, demo, 11, "mine"), analyse(web, demo, 12, "yours")
    assert mine != yours and Path(mine).parent.parent == folder
    patch = numbers(demo, "show_patch")[0]
    shown = [run(web, patch, [None, None, 1], session).json()["data"][0] for session in ("mine", "yours", "guessed")]
    assert shown[0] != shown[1] and "<h3>" in shown[0] and handlers.GONE in shown[2]
    forged = run(web, patch, [{"picture": 1}, "x", 1], "forged").json()["data"][0]
    assert handlers.GONE in forged, "a state that is sent is not believed"


def test_parallel_clients_get_their_own(demo, detector, tmp_path):
    paths = [tmp_path / f"{seed}.png" for seed in range(4)]
    for seed, path in enumerate(paths):
        path.write_bytes(png(seed + 20))

    def ask(path: Path) -> list[str]:
        own = Client(demo.local_url, verbose=False, download_files=False)
        return [own.predict([handle_file(path)], api_name="/batch")[0]["rows"][0] for _ in range(2)]

    with ThreadPoolExecutor(2) as people:
        for path, rows in zip(paths, people.map(ask, paths), strict=True):
            assert {(row["name"], row["score"]) for row in rows} == {(path.name, detector.detect(path).verdict.score)}


def test_pictures_make_room_and_come_back(web, demo, monkeypatch):
    kept = sessions.Pictures(picture(14).nbytes)
    monkeypatch.setattr(sessions, "of_sessions", kept)
    patch, paths = numbers(demo, "show_patch")[0], {}

    def pixels(session: str) -> str:
        panel = run(web, patch, [None, None, 1], session).json()["data"][0]
        return panel.split("data:image/png;base64,")[1].split('"')[0]

    for seed, session in ((13, "older"), (14, "newer")):
        paths[session] = analyse(web, demo, seed, session)
    shown = {session: pixels(session) for session in paths}
    assert kept.n_bytes == kept.most
    assert pixels("older") == shown["older"] != shown["newer"]
    Path(paths["older"]).unlink()
    kept.forget()
    assert kept.n_bytes == 0
    assert handlers.GONE in run(web, patch, [None, None, 1], "older").json()["data"][0]
    told = run(web, numbers(demo, "show_map")[0], SHOW_MAP, "older").json()["data"][2]
    assert told.strip() == f"<p>{handlers.GONE}</p>"
    assert pixels("newer") == shown["newer"]


def test_sessions_are_counted(demo):
    assert demo.state_holder.capacity == start.SESSIONS and demo.limiter.total_tokens == start.THREADS


def test_pictures_used_last_are_kept(tmp_path):
    for seed in range(3):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    size, (first, second, third) = picture(0).nbytes, map(str, sorted(tmp_path.iterdir()))
    kept = sessions.Pictures(2 * size)
    for path in (first, second, first, third):
        assert np.array_equal(kept.read(path).pixels, read(path, 1).pixels)
    assert kept.n_bytes == 2 * size
    Path(second).unlink()
    assert kept.read(first) is kept.read(first), "it was used after the second"
    with pytest.raises(ImageError):
        kept.read(second)
    small = sessions.Pictures(size - 1)
    assert small.read(first) is not small.read(first) and small.n_bytes == 0


def test_freed_memory_goes_back():
    def mebibytes() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

    blocks = [bytearray(b"x" * 60_000) for _ in range(4_000)]
    pins = blocks[::500]
    del blocks
    before = mebibytes()
    housekeeping.give_back()
    assert before - mebibytes() > 100 and len(pins) == 8


def test_answers_that_nobody_reads_go(web, demo):
    assert join(web, numbers(demo, "describe")[0], [None, 0.05], "unread").status_code == 200
    assert wait_for(lambda: len(demo._queue.pending_messages_per_session["unread"]._queue) >= 2)
    seen = housekeeping.forget_unread(demo, {})
    assert "unread" in housekeeping.forget_unread(demo, {}) and "unread" in housekeeping.forget_unread(demo, seen)
    assert "unread" not in demo._queue.pending_messages_per_session
    assert "unread" not in demo._queue.pending_event_ids_session


# Disk


def test_forgotten_files_go(tmp_path):
    names = ("tmpold", f"{'a' * 64}/old.png", f"{'b' * 64}/kept.png", "mdmf-files-other/old.png")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ("c" * 32)).mkdir()
    kept = {str(tmp_path / names[2])}
    housekeeping.sweep(tmp_path, kept, time.time() - 100)
    assert all((tmp_path / name).exists() for name in (*names, "c" * 32))
    housekeeping.sweep(tmp_path, kept, time.time() + 100)
    assert {path.name for path in tmp_path.iterdir()} == {"b" * 64, "mdmf-files-other"}


def test_files_lie_in_a_folder_of_this_process_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {"GRADIO_TEMP_DIR": str(tmp_path)})
    monkeypatch.setattr(start.atexit, "register", lambda *_, **__: None)
    killed, alive = tmp_path / f"{place_of_files.PREFIX}killed", tmp_path / f"{place_of_files.PREFIX}alive"
    for folder, age in ((killed, 2 * place_of_files.STALE), (alive, 0)):
        folder.mkdir()
        os.utime(folder, (time.time() - age,) * 2)
    start.prepare()
    assert place_of_files.folder().parent == tmp_path and place_of_files.folder().stat().st_mode & 0o077 == 0
    assert not killed.exists() and alive.exists()


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
    log = "".join([*capfd.readouterr(), caplog.text])
    assert SECRET not in log and "RuntimeError" in log and "in broken" in log


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
