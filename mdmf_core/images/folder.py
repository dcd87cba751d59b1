"""What a command is given, files, folders and `-`, as a list of pictures to read; nothing is passed over unsaid."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mdmf_core.images.kinds import is_image_name

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Passed:
    """A file or folder that was passed over: one sentence, and whether that is because it could not be read."""

    sentence: str
    unread: bool = False


def pictures(given: Iterable[str]) -> tuple[list[str], list[Passed]]:
    """The files named, and the pictures of the folders named, in order; and what was passed over in the folders.

    Links to files are followed, links to folders are not: they may lead in circles. `-` stays as it is.
    """
    found: list[str] = []
    passed: list[Passed] = []
    for path in given:
        if path == STANDARD_INPUT or not os.path.isdir(path):
            found.append(path)
            continue
        inside = list(_walk(path))
        taken = sorted(Path(entry) for entry in inside if isinstance(entry, str))
        left = [entry for entry in inside if isinstance(entry, Passed)]
        found += map(str, taken)
        passed += left
        if not taken and not any(entry.unread for entry in left):
            passed.append(Passed(f"The folder {path} holds no picture."))
    return found, passed


def _walk(folder: str) -> Iterator[str | Passed]:
    """The pictures of a folder and of those in it, and all that is none."""
    unread: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=unread.append):
        yield from (
            Passed(f"{os.path.join(place, name)} is a link to a folder and was not followed.")
            for name in sorted(folders)
            if os.path.islink(os.path.join(place, name))
        )
        for name in sorted(files):
            yield _judged(os.path.join(place, name))
    for error in unread:
        yield Passed(f"The folder {error.filename} can't be read; check its permissions.", unread=True)


def _judged(path: str) -> str | Passed:
    """The path of a picture, or why a file is passed over."""
    if not is_image_name(path):
        return Passed(f"{path} was passed over: its name is not that of a picture.")
    if os.path.isfile(path):
        return path
    if os.path.islink(path):
        return Passed(f"{path} is a link to nothing.", unread=True)
    return Passed(f"{path} is no file and can't be read.", unread=True)
