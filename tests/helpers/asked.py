"""Requests to the page's server, as programs send them, and its limits in the tests."""

from __future__ import annotations

import asyncio
import http.client
import io
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import httpx
from gradio_client import Client
from PIL import Image
from tiny import picture

from mdmf_app.context import ONE_HOUR
from mdmf_app.server import limits
from mdmf_app.server import place as place_of_files

LIMITS = limits.Limits(waiting=2, upload=2 * 2**20, delete_cache=(ONE_HOUR, ONE_HOUR), request=3 * 2**20)


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


def client_of(address: str, downloads: str | Path | bool = False) -> Client:
    """Gradio's client of a page; it waits for as long as a busy machine needs.

    Nothing here is encrypted, and with `ssl_verify` each request would read all certificates of this machine.
    """
    more = {"verbose": False, "ssl_verify": False, "httpx_kwargs": {"timeout": None}}
    return Client(address, download_files=downloads, **more)


def waited(asked: Coroutine, seconds: float = 120) -> Any:
    """What a coroutine gives, in a thread of its own: a browser may use the event loop of this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asyncio.wait_for(asked, seconds)).result()


def wait_for(true) -> bool:
    end = time.monotonic() + 300  # a busy machine
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(true())
