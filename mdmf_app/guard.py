"""What strangers may ask of the server: few routes, files of their own, requests within bounds. Issue 7, "The server".

Gradio's server has more routes than this page uses, fetches addresses that a request names, and keeps sessions for
long. Here is what stands before and around it: a small middleware (`Guard`), limits of uploads, a housekeeper
(`keep_house`) that bounds what sessions leave in memory and on disk, and a log without names. `app.py`
calls `prepare` before anything imports Gradio, and launches with `options`. Checked with gradio 6.31.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import cache, partial
from multiprocessing import parent_process
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mdmf_app import pictures

if TYPE_CHECKING:
    import gradio as gr

    from mdmf_app.space import Limits

JSON_BYTES = 2**20  # of a request that is neither an upload nor MCP, which carries pictures as text
MCP_BYTES = 32 * 2**20
JSON_SECONDS, UPLOAD_SECONDS = 30, 600  # for all of a request to arrive
FILES = 250  # of one upload; some more than a batch takes, whose sentence says what was left out
AT_ONCE = {"upload": 64, "mcp": 8, "call": 256}
ROOM = 2**28  # bytes of disk that an upload must leave
SESSIONS = 500  # a quarter of a megabyte each, without their pictures
THREADS = 8  # handlers at once, which may each draw a large picture
_M_ARENA_MAX = -8  # of glibc's malloc.h
SWEEP = 60  # seconds between two looks for forgotten files
STALE = 3600  # seconds without a look, after which a folder is that of a process that was killed
PREFIX = "mdmf-files-"
HASH = re.compile("[0-9a-f]{32,64}")

API = "/gradio_api"
GET_ROUTES = re.compile(
    rf"/(config|theme\.css|robots\.txt|manifest\.json|favicon\.ico)?/?|/(assets|static|svelte)/.+"
    rf"|{API}/(info|openapi\.json|app_id|startup-events|theme\.css|upload_progress|queue/(data|status))/?"
    rf"|{API}/heartbeat/[^/]+|{API}/call/(v2/)?(?P<name>[^/]+)/[^/]+|{API}/mcp(/.*)?|{API}/file=(?P<file>.+)"
)
POST_ROUTES = re.compile(
    rf"{API}/(?P<kind>upload|mcp(/.*)?)|{API}/(queue/join|run/predict|cancel|reset)/?"
    rf"|{API}/call/(v2/)?(?P<name>[^/]+)/?"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "content-security-policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'",
}
OF_FILES = {"content-security-policy": "default-src 'none'; sandbox", "cache-control": "private"}

NOTHING = "There is nothing here."
NO_FILE = "There is no such file, or its hour is over."
NOT_OWN = "Upload the file first; addresses of other servers and paths of this one are refused."
INVALID = [{"__type__": "validate", "is_valid": False, "message": NOT_OWN}]  # gradio_client tells this one's message
NO_JSON = "The request is not the JSON that is expected here."
LARGE = "The request exceeded the maximum allowed size; send less at once."
SLOW = "The request took too long to arrive; send it again."
BUSY = "The server is busy; try again in a moment."
FULL = "The server has no room for more files now; try again later."
FAULT = "This request could not be served; check what it holds."
GONE = "The connection ended before the upload did."


# Settings


def prepare() -> None:
    """Nothing is reported to anybody, and files of this process lie in a folder that nobody else can read.

    Raises:
        OSError: there is no folder for temporary files that can be written to.
    """
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        # statistics in memory, which nobody asks for: few, and never summed up, which pandas did for every request
        "GRADIO_ANALYTICS_MAX_EVENTS": "100",
        "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9),
    }
    if parent_process() is not None:
        return  # a worker, which is born with the settings of its parent
    few_heaps()
    place = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()).resolve()
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > STALE:
                shutil.rmtree(old, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = own = tempfile.mkdtemp(prefix=PREFIX, dir=place)
    atexit.register(shutil.rmtree, own, ignore_errors=True)


def folder() -> Path:
    """Where Gradio keeps uploads and results of this process."""
    return Path(os.environ["GRADIO_TEMP_DIR"])


def options(demo: gr.Blocks, limits: Limits) -> dict[str, Any]:
    """What `demo.launch` is given so that the guards stand, of its own settings and ours."""
    patch_gradio()
    public = {fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"}
    return {
        "app_kwargs": {
            "middleware": [Middleware(Guard, public=public, limits=limits)],
            "lifespan": partial(keep_house, demo, limits.delete_cache[1]),
        },
        "max_file_size": limits.upload,
        "state_session_capacity": SESSIONS,
        "max_threads": THREADS,
        "show_error": False,  # what is not one of our sentences may hold a path of the server
        "allowed_paths": [],
        "enable_monitoring": False,
        "ssr_mode": False,
        "run_history": False,
    }


# Requests


class Refusal(Exception):
    """A request is refused: HTTP status and one sentence, or Gradio's way to say that an argument is invalid."""

    def __init__(self, status: int, sentence: str | list[dict[str, Any]]) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Guard:
    """Lets through what the page, its endpoints and MCP need, within limits, and sets headers of security."""

    def __init__(self, app: ASGIApp, public: set[str], limits: Limits) -> None:
        self.app, self.public, self.limits = app, public, limits
        self.running: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return None
        is_file, begun = scope["path"].startswith(f"{API}/file="), []
        send = partial(with_headers, send, HEADERS | OF_FILES if is_file else HEADERS, begun)
        try:
            if scope["method"] in ("GET", "HEAD"):
                self.check_get(scope["path"])
                await self.app(scope, receive, send)
            elif scope["method"] == "POST":
                await self.post(scope, receive, send)
            else:
                raise Refusal(405, NOTHING)
        except Refusal as refusal:
            await answer(scope, refusal.status, refusal.sentence)(scope, receive, send)
        except Exception:  # Gradio raises what it likes for a hostile request
            if begun:
                raise
            log_nameless()
            await answer(scope, 500, FAULT)(scope, receive, send)
        return None

    def check_get(self, path: str) -> None:
        found = GET_ROUTES.fullmatch(path)
        if found is None or not self.may_be_called(found["name"]):
            raise Refusal(404, NOTHING)
        if found["file"] and not is_own(found["file"]):
            raise Refusal(404, NO_FILE)

    def may_be_called(self, name: str | None) -> bool:
        return name is None or name in self.public

    async def post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Within the bounds of number, size and time; what the JSON names is checked before Gradio sees it."""
        found = POST_ROUTES.fullmatch(scope["path"])
        if found is None or not self.may_be_called(found["name"]):
            raise Refusal(404, NOTHING)
        kind = (found["kind"] or "call").split("/")[0]
        if self.running[kind] >= AT_ONCE[kind]:
            raise Refusal(503, BUSY)
        self.running[kind] += 1
        try:
            if kind == "upload":
                receive = self.bounded_upload(Headers(scope=scope), receive)
            else:
                body = await read(receive, MCP_BYTES if kind == "mcp" else JSON_BYTES)
                if kind == "call":
                    check_json(body)
                receive = again(body, receive)
            await self.app(scope, receive, send)
        finally:
            self.running[kind] -= 1

    def bounded_upload(self, headers: Headers, receive: Receive) -> Receive:
        """Hands on an upload as it comes; what breaks it off is an error after which its parser tidies up."""
        stated = headers.get("content-length", "")
        size = int(stated) if stated.isdecimal() else self.limits.request
        if size > self.limits.request:
            raise Refusal(413, LARGE)
        if shutil.disk_usage(folder()).free < size + ROOM:
            raise Refusal(507, FULL)
        parts = arriving(receive, self.limits.request, UPLOAD_SECONDS)

        async def part() -> Message:
            try:
                return await anext(parts, None) or await receive()
            except Refusal as refusal:
                raise MultiPartException(refusal.sentence) from None

        return part


async def arriving(receive: Receive, most: int, seconds: float) -> AsyncIterator[Message]:
    """The parts of a request's body.

    Raises:
        Refusal: it is too large, too slow or ended too early.
    """
    end, size, more = time.monotonic() + seconds, 0, True
    while more:
        try:
            message = await asyncio.wait_for(receive(), max(0, end - time.monotonic()))
        except asyncio.TimeoutError:
            raise Refusal(408, SLOW) from None
        if message["type"] == "http.disconnect":
            raise Refusal(400, GONE)
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        if size > most:
            raise Refusal(413, LARGE)
        yield message


async def read(receive: Receive, most: int) -> bytes:
    """All of a request's body.

    Raises:
        Refusal: it is too large or too slow.
    """
    return b"".join([message.get("body", b"") async for message in arriving(receive, most, JSON_SECONDS)])


def again(body: bytes, receive: Receive) -> Receive:
    """Hands on a body that was read, then what comes after it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def part() -> Message:
        return waiting.pop() if waiting else await receive()

    return part


def answer(scope: Scope, status: int, sentence: str | list[dict[str, Any]]) -> Response:
    """A sentence in the form that the page shows: JSON, but for uploads plain text."""
    if scope["path"] == f"{API}/upload":
        return PlainTextResponse(sentence, status)
    return JSONResponse({"detail": sentence}, status)


async def with_headers(send: Send, headers: dict[str, str], begun: list[bool], message: Message) -> None:
    """Sends a message of an answer, with these headers at its beginning, which is noted in `begun`."""
    if message["type"] == "http.response.start":
        begun.append(True)
        MutableHeaders(scope=message).update(headers)
    await send(message)


def is_own(path: Any) -> bool:
    """Whether it is a file where Gradio puts uploads and results: `folder`, a hash, a name."""
    if not isinstance(path, str) or "\0" in path:
        return False
    file = Path(path)
    return file.parent.parent == folder() and bool(HASH.fullmatch(file.parent.name)) and file.name != ".."


def check_json(body: bytes) -> None:
    """Nothing but uploads may be named as files: no address that would be fetched, no path of the server.

    Raises:
        Refusal: it names something else, or is no JSON object.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, NO_JSON) from None
    if not isinstance(content, dict):
        raise Refusal(400, NO_JSON)
    for found in dicts(content):
        if ("path" in found or "meta" in found) and not is_own(found.get("path")):
            raise Refusal(422, INVALID)


def dicts(content: Any) -> Iterator[dict[str, Any]]:
    """All objects in JSON, however deep."""
    left = [content]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield value
            left += value.values()
        elif isinstance(value, list):
            left += value


# Memory, disk and log


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
            pictures.of_sessions.forget()
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


@cache
def patch_gradio() -> None:
    """Once: the limits of uploads, which can't be set, and exceptions that are logged without their messages."""
    from gradio import queueing, route_utils, routes

    original = route_utils.GradioMultiPartParser

    def parser(headers: Headers, stream: Any, **settings: Any) -> Any:
        return original(headers, stream, **{**settings, "max_files": FILES, "max_fields": 0})

    push = queueing.Queue.push

    async def clear_push(*given: Any, **named: Any) -> tuple[bool, Any, str]:
        success, words, state = await push(*given, **named)
        return success, BUSY if state == "queue_full" else words, state

    queueing.Queue.push = clear_push
    route_utils.GradioMultiPartParser = parser
    queueing.traceback = routes.traceback = SimpleNamespace(print_exc=log_nameless)
    logging.setLogRecordFactory(nameless_record)


def log_nameless() -> None:
    """Log the exception that is being handled."""
    logging.getLogger(__name__).error("A request failed.", exc_info=True)


def nameless_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """A log record whose exception has its type and places, and no message: that may hold the name of a file."""
    record = logging.LogRecord(*args, **kwargs)
    if record.exc_info and record.exc_info[1]:
        kind, error, trace = record.exc_info
        places = [f"  {Path(at.filename).name}:{at.lineno} in {at.name}" for at in traceback.extract_tb(trace)]
        record.exc_text = "\n".join([*places, f"{kind.__name__} (its message is not kept)"])
    return record
