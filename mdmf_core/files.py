"""Whole files or none: everything that is written is made in a hidden folder beside its place, then moved there."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from safetensors import SafetensorError

from mdmf_core.errors import WriteError
from mdmf_core.texts import one_line

PREFIX, SUFFIX = ".mdmf-", ".part"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
MOST_BYTES = 200  # of a name; 255 is the limit of most file systems
STALE = 3600  # seconds after which a hidden folder belongs to a process that was killed


def short_name(stem: str) -> str:
    """A stem that every file system takes with an ending behind it: printable, and of at most 200 bytes."""
    return one_line(stem).encode()[:MOST_BYTES].decode(errors="ignore")


def write_whole(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Call `write` with a temporary path, then rename it to `path`.

    An interruption at any moment, a kill included, leaves the old file or the new one, never half of one. What a killed
    process leaves is a hidden folder, which a later process removes once it is an hour old.

    Raises:
        WriteError: the disk is full or the folder can't be written; one sentence.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent.resolve())
        with tempfile.TemporaryDirectory(SUFFIX, PREFIX, path.parent) as folder:
            temporary = Path(folder) / path.name
            write(temporary)
            temporary.chmod(0o644)  # safetensors makes files that only their owner can read
            os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise WriteError(f"{path.name} can't be written: {reason(error)}.") from error
    return path


@cache
def _sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder; once in a process, for folders can be large."""
    for left in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError):  # another process was quicker
            if time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left)


def reason(error: Exception) -> str:
    """Why something could not be written, and what to do, without a full stop."""
    told = re.search(r"\(os error (\d+)\)", str(error))  # safetensors' way
    number = int(told[1]) if told else getattr(error, "errno", None)
    if number in NO_ROOM:
        return "there is no room on the disk; make some and try again"
    if number in NOT_ALLOWED:
        return "its folder may not be written; name another or change its permissions"
    return os.strerror(number) if number else str(error)
