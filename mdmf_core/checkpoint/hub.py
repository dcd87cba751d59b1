"""Checkpoint folders, local or on the Hugging Face Hub: find, fetch, verify, publish.

A checkpoint is a folder of four files: `config.json`, `model.safetensors`, `reference.safetensors` and
`README.md`, the model card; a fifth, `locator.safetensors`, may be there. A local folder and a Hub repository load
through the same code.

The Hub's client waits in silence: a minute for a file that stalls, half a minute for a Hub in trouble, and as long as
a busy one tells it to. Here an answer or the next bytes have `TIMEOUT` seconds and an address `TRIES` attempts without
any progress; then there is one sentence. The client does not compare content with the hash that the Hub states, either;
`download` does, each time.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mdmf_core.errors import CheckpointError
from mdmf_core.files import NO_ROOM, NOT_ALLOWED, write_whole

FILES = ("config.json", "model.safetensors", "reference.safetensors")
LOCATOR = "locator.safetensors"
CARD = "README.md"
CARD_NEEDS = ("license", "library_name", "tags", "metrics")  # https://huggingface.co/docs/hub/model-cards
_PACKAGE = Path(__file__).resolve().parent.parent
_INSTALLED = _PACKAGE / "_assets" / "bundled"  # where `pip install` puts what lies at the top of a checkout
BUNDLED = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "assets" / "bundled"
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


@dataclass(frozen=True)
class Located:
    """A checkpoint on this machine. `model` and `revision` say where it came from."""

    folder: Path
    model: str
    revision: str


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
def _limits() -> Iterator[None]:
    """What this thread asks of the Hub has the time and the attempts that this module grants."""
    _set_up()
    token = _attempts.set(Counter())
    try:
        yield
    finally:
        _attempts.reset(token)


@cache
def _set_up() -> None:
    """Hooks in the client's sessions. Outside of `_limits` they do nothing."""
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


def _bar(repo: str, total: int) -> type:
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


def download(repo: str, files: tuple[str, ...], revision: str | None = None, extra: tuple[str, ...] = ()) -> Located:
    """The named files of a Hub repository, from the cache where the Hub can't be reached.

    A commit that is in the cache is not asked for. `extra` files may be missing. A file whose content has another hash
    than the Hub states for it is deleted.

    Raises:
        CheckpointError: the repository, the revision or the Hub can't be reached, or what arrives is damaged.
    """
    from huggingface_hub import HfApi, errors

    refusals = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError)
    unreachable = f"The Hub could not be reached for {repo}, and no copy of it is on this machine; check the network."
    folder = info = None
    with _limits():
        try:
            folder = _cached(repo, files, revision)
            if folder is None or not re.fullmatch("[0-9a-f]{40}", revision or ""):
                info = HfApi().repo_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT)
        except refusals as error:
            raise CheckpointError(explain(error, repo, unreachable)) from error
        except Exception as error:  # whatever the client of the day raises: the cache may still have the files
            if folder is None:
                raise CheckpointError(explain(error, repo, unreachable)) from error
        if info is not None:
            folder = _fetch(repo, info, files, extra)
    for name in (*files, *extra):
        _verify(repo, folder / name)
    if info is not None:
        _remember(folder, revision or "main")
    return Located(folder, repo, folder.name)


def _cached(repo: str, files: tuple[str, ...], revision: str | None) -> Path | None:
    """The folder of the cache that has all of the files."""
    from huggingface_hub import try_to_load_from_cache

    paths = [try_to_load_from_cache(repo, name, revision=revision) for name in files]
    return Path(paths[0]).parent if all(isinstance(path, str) for path in paths) else None


def _fetch(repo: str, info: Any, files: tuple[str, ...], extra: tuple[str, ...]) -> Path:
    """The folder of the cache that has the files of this commit, after a download of those that it lacked."""
    from huggingface_hub import hf_hub_download

    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    missing = [name for name in files if name not in sizes]
    if missing:
        raise CheckpointError(f"The repository {repo} lacks {', '.join(missing)}.")
    wanted = [name for name in (*extra, *files) if name in sizes]  # where all of `files` is there, nothing is missing
    total = sum(sizes[name] for name in wanted if _cached(repo, (name,), info.sha) is None)
    try:
        bar = _bar(repo, total)
        paths = [hf_hub_download(repo, name, revision=info.sha, tqdm_class=bar) for name in wanted]
    except CheckpointError:
        raise
    except Exception as error:
        broken = f"The connection to the Hub broke while {repo} was on its way; check the network and try again."
        raise CheckpointError(explain(error, repo, broken)) from error
    return Path(paths[0]).parent


def _verify(repo: str, path: Path) -> None:
    """Delete a file of the cache whose content is not what the Hub states.

    The cache keeps the stated hash as the name that the file's link points to: SHA-256, or git's hash of small files.

    Raises:
        CheckpointError: it was deleted.
    """
    stated = Path(os.readlink(path)).name if path.is_symlink() else ""
    if not path.exists() or not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", stated):
        return
    git = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    digest = hashlib.sha256() if len(stated) == 64 else git
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    if digest.hexdigest() != stated:
        with suppress(OSError):  # a cache that can't be written: the file is refused each time
            path.resolve().unlink()
            path.unlink()
        raise CheckpointError(
            f"The file {path.name} of {repo} is damaged, its hash is not the one that the Hub states; it was deleted, "
            "so try again."
        )


def _remember(folder: Path, revision: str) -> None:
    """Which commit a branch or tag names, for a start without the Hub; only once all files of it are there.

    https://huggingface.co/docs/huggingface_hub/guides/manage-cache, "refs"
    """
    reference = folder.parents[1] / "refs" / revision
    if revision != folder.name and not (reference.is_file() and reference.read_text("utf-8") == folder.name):
        with suppress(OSError):  # a cache that can't be written
            write_whole(reference, lambda path: path.write_text(folder.name, "utf-8"))


def locate(folder_or_repo_id: str | Path | None = None, revision: str | None = None) -> Located:
    """Find a checkpoint: a local folder, else a Hub repository.

    Args:
        folder_or_repo_id: None takes the setting MDMF_MODEL or, without it, the bundled detector.
        revision: branch, tag or commit of a Hub repository; None takes the main branch, and MDMF_REVISION where the
            repository is the one of MDMF_MODEL.

    Raises:
        CheckpointError: it isn't there or lacks a file, or it is the bundled one and not as its card says.
    """
    wanted = str(folder_or_repo_id or os.environ.get("MDMF_MODEL") or BUNDLED)
    folder = Path(wanted).expanduser()
    if folder.is_dir():
        model = "bundled" if folder.resolve() == BUNDLED else folder.name
        located = Located(folder, model, "local")
    elif folder.is_absolute() or wanted.startswith((".", "~")):
        raise CheckpointError(f"There is no folder {wanted}.")
    else:
        own = os.environ.get("MDMF_REVISION") if wanted == os.environ.get("MDMF_MODEL") else None
        return download(wanted, FILES, revision or own, extra=(CARD, LOCATOR))
    missing = [name for name in FILES if not (located.folder / name).is_file()]
    if missing:
        raise CheckpointError(f"The checkpoint {located.model} lacks {', '.join(missing)}.")
    if folder.resolve() == BUNDLED and not _as_its_card_says(folder):
        raise CheckpointError(
            "The bundled detector is damaged or was altered, for its fingerprint is not the one that its model card "
            "names; get this repository again."
        )
    return located


def fingerprint(folder: Path) -> str:
    """SHA-256 over all but the card: two checkpoints that can differ in a score or a map differ here."""
    return _digest(folder, (*FILES, *_locator_in(folder)))


def score_fingerprint(folder: Path) -> str:
    """SHA-256 over configuration, weights and reference, without the locator, which no score depends on."""
    return _digest(folder, FILES)


def _locator_in(folder: Path) -> tuple[str, ...]:
    return (LOCATOR,) if (folder / LOCATOR).is_file() else ()


def _digest(folder: Path, names: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()


def _as_its_card_says(folder: Path) -> bool:
    """Whether the card names the fingerprint of the files beside it."""
    card = folder / CARD
    return card.is_file() and fingerprint(folder) in card.read_text("utf-8", "replace")


def card_lacks(card: Path) -> list[str]:
    """What a model card's front matter doesn't say: of `CARD_NEEDS`, those that are missing or empty."""
    from huggingface_hub import metadata_load

    try:
        stated = metadata_load(card) or {}
    except Exception:  # not text, not YAML, or YAML of another kind
        stated = {}
    return [name for name in CARD_NEEDS if not stated.get(name)]


def push(folder: str | Path, repo: str, private: bool = False) -> str:
    """Publish a checkpoint folder with its model card, in one commit; returns the commit's address.

    Raises:
        CheckpointError: a file is missing, the card doesn't say enough, or the Hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    folder = Path(folder)
    missing = [name for name in (*FILES, CARD) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"The checkpoint in {folder} lacks {', '.join(missing)}; nothing was pushed.")
    if unsaid := card_lacks(folder / CARD):
        raise CheckpointError(
            f"The model card {CARD} has no {', '.join(unsaid)} in its front matter, the YAML between two lines `---` "
            "at its top; nothing was pushed."
        )
    api = HfApi()
    lost = f"Nothing was published: the Hub could not be reached for {repo}; check the network."
    with _limits():
        try:
            api.create_repo(repo, private=private, exist_ok=True)
            names = (*FILES, *_locator_in(folder), CARD)
            parts = [CommitOperationAdd(name, folder / name) for name in names]
            for part in parts:
                api.preupload_lfs_files(repo, [part], free_memory=False)
            lost = f"The Hub did not confirm that {repo} is published; push again, what has arrived is not sent twice."
            commit = api.create_commit(repo, parts, commit_message="Checkpoint")
        except Exception as error:
            sentence = explain(error, repo, lost)
            raise CheckpointError(sentence if sentence == lost else f"Nothing was published. {sentence}") from error
    return str(commit.commit_url)
