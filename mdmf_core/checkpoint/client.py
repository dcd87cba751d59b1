"""The Hub's client with limits, progress and sentences.

The client waits in silence: a minute for a file that stalls, half a minute for a Hub in trouble, and as long as a busy
one tells it to. Here an answer or the next bytes have `TIMEOUT` seconds and an address `TRIES` attempts without any
progress; then there is one sentence.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from mdmf_core.files import NO_ROOM, NOT_ALLOWED

TIMEOUT = 5.0  # seconds for an answer, and for the next bytes of a file
UPLOAD_TIMEOUT = 8.0  # seconds for the answer to something sent
TRIES = 2
PIECE = 2**16  # bytes between two reports of progress; a broken transfer is resumed at such a place

Listener = Callable[[str, int, int], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_attempts: ContextVar[Counter[str] | None] = ContextVar("attempts", default=None)


class _GaveUp(Exception):
    """No more attempts: the Hub's answer, if there was one, and the seconds that it asks to wait."""

    def __init__(self, status: int | None = None, wait: int | None = None) -> None:
        super().__init__(status, wait)
        self.status, self.wait = status, wait


@contextmanager
def progress_to(listener: Listener) -> Iterator[None]:
    """Tell `listener` repository, bytes arrived and bytes wanted of what this thread downloads.

    It is called before the first byte, too; what it raises ends the download.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def explain(error: Exception, repo: str, otherwise: str) -> str:
    """One sentence for what the Hub's client raised; `otherwise` where there was no answer that says why."""
    from huggingface_hub import errors

    chain = list(_chain(error))
    for kind, sentence in {
        errors.LocalTokenNotFoundError: "You are not logged in to the Hub; run `hf auth login` first.",
        errors.GatedRepoError: f"The repository {repo} is gated; accept its terms on the Hub and log in with "
        "`hf auth login`.",
        errors.RevisionNotFoundError: f"The repository {repo} has no such revision.",
        errors.RepositoryNotFoundError: f"There is no repository {repo} on the Hub, or it is private and you are not "
        "logged in.",
        errors.RemoteEntryNotFoundError: f"The repository {repo} lacks a file that a checkpoint needs.",
        errors.HFValidationError: f"{repo} is neither a folder on this machine nor a Hub repository id of the form "
        "owner/name.",
        errors.OfflineModeIsEnabled: f"HF_HUB_OFFLINE is set, so the Hub is not asked for {repo}, which is not on this "
        "machine; unset it to use the Hub.",
    }.items():
        if any(isinstance(one, kind) for one in chain):
            return sentence
    status = next(filter(None, map(_status, chain)), None)
    if status == 429:
        wait = next((one.wait for one in chain if isinstance(one, _GaveUp) and one.wait), None)
        when = f"in {max(1, round(wait / 60))} min" if wait else "later"
        return f"The Hub takes no more requests from here at the moment (HTTP 429); try again {when}."
    if status in (401, 403):
        return f"The Hub refused access to {repo} (HTTP {status}); log in with an account that has it, `hf auth login`."
    if status and status >= 500:
        return f"The Hub is in trouble and can't serve {repo} now (HTTP {status}); try again later."
    if status:
        return f"The Hub refused what was asked of {repo} (HTTP {status})."
    if any(isinstance(one, OSError) and one.errno in NO_ROOM for one in chain):
        return f"There is no room on the disk for {repo}; make some and try again."
    if any(isinstance(one, OSError) and one.filename and one.errno in NOT_ALLOWED for one in chain):
        return "The Hub's cache can't be written; set HF_HOME to a folder that can."
    return otherwise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    if isinstance(error, _GaveUp):
        return error.status
    return getattr(getattr(error, "response", None), "status_code", None)


@contextmanager
def limits() -> Iterator[None]:
    """What this thread asks of the Hub has the time and the attempts that this module grants."""
    _set_up()
    token = _attempts.set(Counter())
    try:
        yield
    finally:
        _attempts.reset(token)


@cache
def _set_up() -> None:
    """Hooks in the client's sessions. Outside of `limits` they do nothing."""
    from huggingface_hub import constants, get_session, set_client_factory
    from huggingface_hub.utils import logging

    constants.DOWNLOAD_CHUNK_SIZE = PIECE  # 10 MB, and nothing is told or kept of an unfinished one
    constants.HF_HUB_DISABLE_XET = True  # has time limits of its own; plain HTTP serves the same files
    if "HF_HUB_VERBOSITY" not in os.environ:
        logging.set_verbosity_error()  # each attempt is a warning
    made = get_session()
    kind, hooks, timeout = type(made), made.event_hooks, made.timeout

    def client() -> Any:
        return kind(
            event_hooks={"request": [*hooks["request"], _before], "response": [*hooks["response"], _after]},
            follow_redirects=True,
            timeout=timeout,
        )

    set_client_factory(client)


def _before(request: Any) -> None:
    attempts = _attempts.get()
    if attempts is None:
        return
    key = f"{request.method} {request.url}"
    attempts[key] += 1
    if attempts[key] > TRIES:
        raise _GaveUp()
    limit = TIMEOUT if request.method in ("GET", "HEAD") else UPLOAD_TIMEOUT
    request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), limit)


def _after(response: Any) -> None:
    attempts = _attempts.get()
    if attempts is None:
        return
    key = f"{response.request.method} {response.request.url}"
    status = response.status_code
    if status == 429:
        wait = re.search(r"\d+$", response.headers.get("Retry-After", "") or response.headers.get("RateLimit", ""))
        raise _GaveUp(status, int(wait[0]) if wait else None)
    if status >= 500 and attempts[key] >= TRIES:
        raise _GaveUp(status)
    if status < 400 and response.request.method != "GET":
        del attempts[key]


def bar(repo: str, total: int) -> type:
    """The client's progress bar, which also tells the listener and counts as progress."""
    from huggingface_hub.utils import tqdm

    tell, arrived = _listener.get() or (lambda *_: None), 0
    tell(repo, 0, total)

    class Bar(tqdm):
        def update(self, n: float | None = 1) -> bool | None:
            nonlocal arrived
            arrived += int(n or 0)
            _attempts.get(Counter()).clear()
            tell(repo, arrived, total)
            return super().update(n)

    return Bar
