"""The page itself begins in the language of the request: Gradio's script reads it from the browser.

Gradio chooses by `navigator.language`, the server by what a request says (`mdmf_app.language`). So that the page never
mixes two, the server tells the script what it chose, before that starts.
"""

from __future__ import annotations

from functools import partial

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mdmf_app.language import of_headers

BEGINS, HEAD = b'lang="en"', b"<head>"
CHOSEN = '<script>Object.defineProperty(navigator, "language", {value: "%s"});</script>'


class Spoken:
    """Writes the language into the page; all else passes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/" and scope["method"] == "GET":
            language = of_headers(Headers(scope=scope), scope["query_string"].decode("latin-1"))
            send = partial(in_language, send, language)
        await self.app(scope, receive, send)


async def in_language(send: Send, language: str, message: Message) -> None:
    """Sends a part of the page; its length is not told, for it changes."""
    if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        del headers["content-length"]
        headers.add_vary_header("accept-language")
    elif message["type"] == "http.response.body":
        told = CHOSEN % language
        body = message.get("body", b"").replace(BEGINS, f'lang="{language}"'.encode(), 1)
        message = {**message, "body": body.replace(HEAD, HEAD + told.encode(), 1)}
    await send(message)
