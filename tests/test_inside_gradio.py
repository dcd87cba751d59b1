"""What is replaced inside Gradio: a server on a busy machine is waited for."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
from gradio import http_server, networking
from starlette.applications import Starlette

from benchmarks.served import free_port
from mdmf_app.server.patched.inside_gradio import LOOKS, patch_gradio


@pytest.fixture
def hasty(monkeypatch):
    """Gradio's five seconds are over at its first look."""
    patch_gradio()
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(http_server, "time", SimpleNamespace(time=lambda: next(clock), sleep=time.sleep))


def server(port: int) -> http_server.Server:
    @asynccontextmanager
    async def slow(_):
        await asyncio.sleep(0.3)
        yield

    return http_server.Server(uvicorn.Config(Starlette(lifespan=slow), port=port, log_level="critical"))


def test_a_server_that_listens_late_is_waited_for(hasty):
    late = server(free_port())
    late.run_in_thread()
    assert late.started and late.thread.is_alive()
    late.close()


def test_a_server_that_ends_is_not(hasty):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(http_server.ServerFailedToStartError):
        server(taken.getsockname()[1]).run_in_thread()


@pytest.mark.parametrize(("silent", "answers"), [(LOOKS - 1, True), (LOOKS, False)])
def test_a_server_that_answers_late_is_asked_again(monkeypatch, silent, answers):
    patch_gradio()
    looks = []

    def head(url: str, **_) -> httpx.Response:
        looks.append(url)
        if len(looks) <= silent:
            raise httpx.ConnectTimeout("busy")
        return httpx.Response(200)

    monkeypatch.setattr(networking.httpx, "head", head)
    assert networking.url_ok("http://127.0.0.1:9/") is answers and len(looks) == LOOKS
