"""Checkpoint folders, local or on the Hugging Face Hub: find, verify, publish.

A checkpoint is a folder of four files: `config.json`, `model.safetensors`, `reference.safetensors` and
`README.md`, the model card. A local folder and a Hub repository load through the same code.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

FILES = ("config.json", "model.safetensors", "reference.safetensors")
CARD = "README.md"
BUNDLED = Path(__file__).resolve().parent.parent / "assets" / "compact"
TIMEOUT = 5.0  # seconds for the Hub's first answer


class CheckpointError(RuntimeError):
    """A checkpoint can't be used; the message is one sentence that says why and what to do."""


@dataclass(frozen=True)
class Located:
    """A checkpoint on this machine. `model` and `revision` say where it came from."""

    folder: Path
    model: str
    revision: str


def explain(error: Exception, repo: str) -> str:
    """One sentence for what the Hub's client raised."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalTokenNotFoundError):
        return "You are not logged in to the Hub; run `hf auth login` first."
    if isinstance(error, errors.GatedRepoError):
        return f"The repository {repo} is gated; accept its terms on the Hub and log in with `hf auth login`."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"The repository {repo} has no such revision."
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"There is no repository {repo} on the Hub, or it is private and you are not logged in."
    if isinstance(error, errors.HFValidationError):
        return f"{repo} is neither a folder on this machine nor a Hub repository id of the form owner/name."
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return f"The repository {repo} lacks a file that a checkpoint needs."
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"The Hub refused access to {repo} (HTTP {status}); log in with an account that has it, `hf auth login`."
    return f"The Hub could not be reached for {repo}, and no copy of it is on this machine; check the network."


def download(repo: str, files: tuple[str, ...], revision: str | None = None) -> Located:
    """The named files of a Hub repository, from the cache where the Hub can't be reached.

    Raises:
        CheckpointError: the repository, the revision or the Hub can't be reached.
    """
    from huggingface_hub import HfApi, errors, snapshot_download

    refusals = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError)
    try:
        try:
            HfApi().repo_info(repo, revision=revision, timeout=TIMEOUT)  # snapshot_download would wait for ever
            reached = True
        except refusals:
            raise
        except Exception:  # whatever the client of the day raises: the cache may still have the files
            reached = False
        folder = Path(
            snapshot_download(repo, revision=revision, allow_patterns=list(files), local_files_only=not reached)
        )
    except Exception as error:
        raise CheckpointError(explain(error, repo)) from error
    return Located(folder, repo, folder.name)


def locate(folder_or_repo_id: str | Path | None = None, revision: str | None = None) -> Located:
    """Find a checkpoint: a local folder, else a Hub repository.

    Args:
        folder_or_repo_id: None takes the setting MDMF_MODEL or, without it, the bundled detector.
        revision: branch, tag or commit of a Hub repository; None takes MDMF_REVISION or the main branch.

    Raises:
        CheckpointError: it isn't there or lacks a file.
    """
    wanted = str(folder_or_repo_id or os.environ.get("MDMF_MODEL") or BUNDLED)
    folder = Path(wanted).expanduser()
    if folder.is_dir():
        model = "bundled" if folder.resolve() == BUNDLED else folder.name
        located = Located(folder, model, "local")
    elif folder.is_absolute() or wanted.startswith((".", "~")):
        raise CheckpointError(f"There is no folder {wanted}.")
    else:
        located = download(wanted, (*FILES, CARD), revision or os.environ.get("MDMF_REVISION"))
    missing = [name for name in FILES if not (located.folder / name).is_file()]
    if missing:
        raise CheckpointError(f"The checkpoint {located.model} lacks {', '.join(missing)}.")
    return located


def fingerprint(folder: Path) -> str:
    """SHA-256 over configuration, weights and reference: two checkpoints that can differ in a score differ here."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()


def push(folder: str | Path, repo: str, private: bool = False) -> str:
    """Publish a checkpoint folder with its model card; returns the commit's address.

    Raises:
        CheckpointError: a file is missing, or the Hub refuses.
    """
    from huggingface_hub import HfApi, errors

    folder = Path(folder)
    missing = [name for name in (*FILES, CARD) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"The checkpoint in {folder} lacks {', '.join(missing)}; nothing was pushed.")
    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        commit = api.upload_folder(repo_id=repo, folder_path=folder, allow_patterns=[*FILES, CARD])
    except (errors.LocalTokenNotFoundError, errors.HfHubHTTPError, errors.HFValidationError) as error:
        raise CheckpointError(f"Nothing was published. {explain(error, repo)}") from error
    except Exception as error:  # whatever the client of the day raises where the network fails
        raise CheckpointError(f"Nothing was published: the Hub could not be reached for {repo}.") from error
    return str(commit.commit_url)
