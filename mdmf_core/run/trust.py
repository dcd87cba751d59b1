"""Trusted pictures from files: looked at in parallel, then one reference; and references kept by name.

References with a name lie in the user's data folder (XDG base directories: $XDG_DATA_HOME, else ~/.local/share).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from mdmf_core.detector import Detector
from mdmf_core.errors import ImageError, TrustedError
from mdmf_core.images.reader import read
from mdmf_core.run import workers
from mdmf_core.trusted import Kept, keep

ENDING = ".safetensors"
NAME = re.compile(r"\w(?:[\w .-]{0,62}[\w-])?")


def look(detector: Detector, path: Path) -> Kept | str:
    """What a reference keeps of one file, or one sentence why it can't be used."""
    try:
        picture = read(path, detector.model.geometry.min_side)
        evidence = detector.detect(picture, locate=False)
        return keep(evidence) if evidence.verdict.judged else f"{path}: {evidence.verdict.reason}"
    except ImageError as error:
        return f"{path}: {error}"


def look_at(detector: Detector, paths: Sequence[Path], processes: int = 0) -> Iterator[Kept | str]:
    """`look` at each file, in order, in several processes where that is worth it."""
    processes = processes or workers.sensible(len(paths), detector.model.backbone)
    for seen in workers.run(partial(look, detector), paths, processes):
        yield f"{seen.item}: {seen}" if isinstance(seen, workers.Died) else seen


def folder() -> Path:
    """Where references with a name are kept."""
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share") / "mdmf" / "references"


def named(name: str) -> Path:
    """The file of a reference with a name, whether it is there or not.

    Raises:
        TrustedError: it can't be a name.
    """
    if not NAME.fullmatch(name):
        raise TrustedError("A reference's name has up to 64 letters, digits, spaces, dots, hyphens and underscores.")
    return folder() / f"{name}{ENDING}"


def names() -> list[str]:
    """Of the references that are kept, sorted."""
    return sorted(path.name.removesuffix(ENDING) for path in folder().glob(f"*{ENDING}"))


def place_of(name_or_file: str) -> Path:
    """The file of a reference: a path to one, else a name.

    Raises:
        TrustedError: there is neither.
    """
    path = Path(name_or_file)
    if path.is_file():
        return path
    if NAME.fullmatch(name_or_file) and named(name_or_file).is_file():
        return named(name_or_file)
    raise TrustedError(f"There is no reference {name_or_file}; `reference list` names those that there are.")


def remove(name: str) -> None:
    """Delete a reference.

    Raises:
        TrustedError: there is none of this name.
    """
    if not named(name).is_file():
        raise TrustedError(f"There is no reference {name}.")
    named(name).unlink()
