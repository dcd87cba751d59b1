"""Checkpoint folders, local or on the Hugging Face Hub: find, fetch, verify, publish.

A checkpoint is a folder of four files: `config.json`, `model.safetensors`, `reference.safetensors` and
`README.md`, the model card; a fifth, `locator.safetensors`, may be there. A local folder and a Hub repository load
through the same code.

The Hub's client does not compare content with the hash that the Hub states; `download` does, each time. What it
asks of the Hub has the time and the attempts that `client` grants.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdmf_core.checkpoint import client
from mdmf_core.errors import CheckpointError
from mdmf_core.files import write_whole

FILES = ("config.json", "model.safetensors", "reference.safetensors")
LOCATOR = "locator.safetensors"
CARD = "README.md"
CARD_NEEDS = ("license", "library_name", "tags", "metrics")  # https://huggingface.co/docs/hub/model-cards
_PACKAGE = Path(__file__).resolve().parent.parent
_INSTALLED = _PACKAGE / "_assets" / "bundled"  # where `pip install` puts what lies at the top of a checkout
BUNDLED = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "assets" / "bundled"


@dataclass(frozen=True)
class Located:
    """A checkpoint on this machine. `model` and `revision` say where it came from."""

    folder: Path
    model: str
    revision: str


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
    with client.limits():
        try:
            folder = _cached(repo, files, revision)
            if folder is None or not re.fullmatch("[0-9a-f]{40}", revision or ""):
                info = HfApi().repo_info(repo, revision=revision, files_metadata=True, timeout=client.TIMEOUT)
        except refusals as error:
            raise CheckpointError(client.explain(error, repo, unreachable)) from error
        except Exception as error:  # whatever the client of the day raises: the cache may still have the files
            if folder is None:
                raise CheckpointError(client.explain(error, repo, unreachable)) from error
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
        bar = client.bar(repo, total)
        paths = [hf_hub_download(repo, name, revision=info.sha, tqdm_class=bar) for name in wanted]
    except CheckpointError:
        raise
    except Exception as error:
        broken = f"The connection to the Hub broke while {repo} was on its way; check the network and try again."
        raise CheckpointError(client.explain(error, repo, broken)) from error
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
        CheckpointError: it isn't there, may not be opened or lacks a file, or it is the bundled one and not as its card
            says.
    """
    wanted = str(folder_or_repo_id or os.environ.get("MDMF_MODEL") or BUNDLED)
    folder = Path(wanted).expanduser()
    if _is_there(Path.is_dir, folder):
        model = "bundled" if folder.resolve() == BUNDLED else folder.name
        located = Located(folder, model, "local")
    elif folder.is_absolute() or wanted.startswith((".", "~")):
        raise CheckpointError(f"There is no folder {wanted}.")
    else:
        own = os.environ.get("MDMF_REVISION") if wanted == os.environ.get("MDMF_MODEL") else None
        return download(wanted, FILES, revision or own, extra=(CARD, LOCATOR))
    missing = [name for name in FILES if not _is_there(Path.is_file, located.folder / name)]
    if missing:
        raise CheckpointError(f"The checkpoint {located.model} lacks {', '.join(missing)}.")
    if folder.resolve() == BUNDLED and not _as_its_card_says(folder):
        raise CheckpointError(
            "The bundled detector is damaged or was altered, for its fingerprint is not the one that its model card "
            "names; get this repository again."
        )
    return located


def _is_there(ask: Callable[[Path], bool], path: Path) -> bool:
    try:
        return ask(path)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise CheckpointError(f"{path} can't be opened ({why}); let this program's user read it.") from error


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
    with client.limits():
        try:
            api.create_repo(repo, private=private, exist_ok=True)
            names = (*FILES, *_locator_in(folder), CARD)
            parts = [CommitOperationAdd(name, folder / name) for name in names]
            for part in parts:
                api.preupload_lfs_files(repo, [part], free_memory=False)
            lost = f"The Hub did not confirm that {repo} is published; push again, what has arrived is not sent twice."
            commit = api.create_commit(repo, parts, commit_message="Checkpoint")
        except Exception as error:
            sentence = client.explain(error, repo, lost)
            raise CheckpointError(sentence if sentence == lost else f"Nothing was published. {sentence}") from error
    return str(commit.commit_url)
