"""What strangers may ask of the server: few routes, files of their own, requests within bounds."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mdmf_app.server.log import log_nameless
from mdmf_app.server.place import HASH, folder

if TYPE_CHECKING:
    from mdmf_app.server.limits import Limits

JSON_BYTES = 2**20  # of a request that is neither an upload nor MCP, which carries pictures as text
MCP_BYTES = 32 * 2**20
JSON_SECONDS, UPLOAD_SECONDS = 30, 600  # for all of a request to arrive
AT_ONCE = {"upload": 64, "mcp": 8, "call": 256}
ROOM = 2**28  # bytes of disk that an upload must leave

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
