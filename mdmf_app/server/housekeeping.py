"""While the server runs, what sessions leave in memory and on disk is bounded."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from mdmf_app import session
from mdmf_app.server.log import log_nameless
from mdmf_app.server.place import HASH, folder

if TYPE_CHECKING:
    import gradio as gr

_M_ARENA_MAX = -8  # of glibc's malloc.h
SWEEP = 60  # seconds between two looks for forgotten files


@asynccontextmanager
async def keep_house(demo: gr.Blocks, age: int, _: ASGIApp) -> AsyncIterator[None]:
    """While the server runs, what sessions keep is bounded, and files older than `age` seconds go."""
    task = asyncio.create_task(house(demo, age))
    try:
        yield
    finally:
        task.cancel()


async def house(demo: gr.Blocks, age: int) -> None:
    unread: dict[str, Any] = {}
    while True:
        try:
            unread = forget_unread(demo, unread)
            kept = {path for block in demo.blocks.values() for path in getattr(block, "keep_in_cache", ())}
            await asyncio.to_thread(sweep, folder(), kept, time.time() - age - 2 * SWEEP)
            session.of_sessions.forget()
            await asyncio.to_thread(give_back)
        except Exception:  # it must not end while the server runs
            log_nameless()
        await asyncio.sleep(SWEEP)


def few_heaps() -> None:
    """Threads share two heaps, where the C library is glibc: pieces of many would lie between what is used."""
    mallopt = _of_c_library("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)


def give_back() -> None:
    """Memory that was freed goes back to the system; glibc keeps it otherwise."""
    trim = _of_c_library("malloc_trim")
    if trim is not None:
        trim(0)


def _of_c_library(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def forget_unread(demo: gr.Blocks, before: dict[str, Any]) -> dict[str, Any]:
    """Drop the answers of sessions whose first one nobody has read since the look before.

    Args:
        demo: the page.
        before: what the look before gave.

    Returns:
        the first unread answer of each session that has one.
    """
    queue = demo._queue
    sessions = list(queue.pending_messages_per_session.items())
    waiting = {name: held._queue[0] for name, held in sessions if held.qsize()}
    for name, first in waiting.items():
        if before.get(name) is first:
            queue.pending_messages_per_session.pop(name, None)
            queue.pending_event_ids_session.pop(name, None)
    return waiting


def sweep(place: Path, kept: set[str], before: float) -> None:
    """Remove what Gradio leaves behind: broken uploads, pictures from MCP, empty folders; and show that we live."""
    os.utime(place)
    for entry in list(place.iterdir()):
        if entry.is_dir() and not HASH.fullmatch(entry.name):
            continue
        with suppress(OSError):  # others remove files too
            for file in [*entry.iterdir()] if entry.is_dir() else [entry]:
                if str(file) not in kept and file.stat().st_ctime < before:
                    file.unlink(missing_ok=True)
            if entry.is_dir() and entry.stat().st_mtime < before:
                entry.rmdir()  # unless it holds something
