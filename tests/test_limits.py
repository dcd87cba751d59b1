"""What is too large, too slow or too much at once is refused, and nobody else waits for it."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import gradio as gr
import pytest
from asked import LIMITS, join, numbers, unfinished, upload, wait_for, waited
from gradio_client import handle_file

from benchmarks import served as serving
from mdmf_app import context
from mdmf_app.context import PLACES
from mdmf_app.server import middleware
from mdmf_app.server.patched import inside_gradio
from mdmf_app.tabs import many
from mdmf_core.images.archive import Item
from mdmf_core.run.batch import Row


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
    assert wait_for(lambda: unfinished() <= before), "what is refused leaves nothing"
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

    started, body = waited(ask())
    assert started["status"] == 503 and json.loads(body["body"]) == {"detail": middleware.BUSY}


def test_over_the_bound_the_queue_says_busy_and_recovers(web, demo, client, detector, photo, monkeypatch):
    free, detect = threading.Event(), detector.detect
    monkeypatch.setattr(detector, "detect", lambda *args, **more: free.wait(120) and detect(*args, **more))
    with ThreadPoolExecutor(8) as people:
        queue, asked = demo._queue, []
        for more, count in ((PLACES, lambda: under_way(queue)), (LIMITS.waiting, lambda: len(queue))):
            for number in range(1, more + 1):  # one by one: before any is begun, all of them would be too many
                asked.append(people.submit(client.predict, handle_file(photo), api_name="/describe"))
                assert wait_for(lambda number=number, count=count: count() == number), asked[-1]
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
    verdict.locator("p.small").get_by_text(second.name).wait_for()
    free.clear()
    drop.set_input_files(first)
    verdict.locator("h2").wait_for(state="detached")  # what is under way may be a finer map of the second
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
