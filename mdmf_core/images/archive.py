"""Files and ZIP archives in, a list of pictures to read out.

An archive is untrusted: what its headers claim is not believed, sizes are counted while members are unpacked, and
members land under names of our own in a folder that the caller owns. A file that can't be used is an item with one
sentence, and the others go on.
"""

from __future__ import annotations

import stat
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mdmf_core.errors import ImageError
from mdmf_core.images.bounds import MAX_BYTES
from mdmf_core.images.kinds import is_image_name
from mdmf_core.texts import plain

MOST = 200
MAX_TOTAL = 2**30
MAX_DIRECTORY = 2 * 2**20
MAX_NAME = 200
CHUNK = 2**18

_LITTER = {"thumbs.db", "desktop.ini"}
_ARCHIVES = {".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst"}


@dataclass(frozen=True)
class Item:
    """One picture to analyse (`path`) or why there is none (`error`, one sentence).

    `member` is where it stands in an archive, which `unpack_again` takes: the archive and the place in its directory.
    """

    name: str
    path: Path | None = None
    error: str | None = None
    member: tuple[Path, int] | None = None


class _Refused(ValueError):
    """An archive or a member can't be used; the message is one sentence."""


class _Bounded:
    """A file for `zipfile` that never reads much at once, whatever size a header claims for the directory."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, MAX_DIRECTORY + 1) if size >= 0 else MAX_DIRECTORY + 1)
        if len(data) > MAX_DIRECTORY:
            raise _Refused("The archive lists far too many files; pack the pictures alone.")
        return data


class _Room:
    """How many bytes may still be unpacked in this batch; what is thrown away counts too."""

    def __init__(self, left: int):
        self._left = left

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _Refused(f"The archives hold more than {MAX_TOTAL // 2**20:,} MiB when unpacked; give fewer at once.")


def gather(paths: Sequence[str | Path], folder: str | Path, most: int = MOST) -> list[Item]:
    """Files and archives (by the ending .zip) as a list of pictures, in order.

    Args:
        paths: what the user gave.
        folder: where members of archives are written, under names of our own; the caller removes it afterwards.
        most: how many items are taken; a last one more tells how many were left out.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    items: list[Item] = []
    names: dict[str, int] = {}
    left_out, room = 0, _Room(MAX_TOTAL)
    for path in map(Path, paths):
        found, more = [], 1
        if len(items) < most:
            found, more = _found(path, folder, room, most - len(items))
        items += [_unique(item, names) for item in found]
        left_out += more
    if left_out:
        verb = "was" if left_out == 1 else "were"
        sentence = f"Only the first {most:,} are taken; {left_out:,} {verb} left out."
        items.append(Item(f"{left_out:,} more", error=sentence))
    return items


def unpack_again(member: tuple[Path, int], folder: Path) -> Path:
    """One member of an archive, alone, in a folder that is there.

    Args:
        member: of an `Item`.
        folder: where it is written, under its own last name.

    Raises:
        ImageError: the archive is gone, or the member can't be had; one sentence.
    """
    path, place = member
    try:
        with open(path, "rb") as file, zipfile.ZipFile(_Bounded(file)) as archive:  # type: ignore[arg-type]
            info = archive.infolist()[place]
            _check(info)
            written = _write(archive, info, folder, _Room(MAX_TOTAL))
            return written.rename(folder / _shown(PurePosixPath(info.filename.replace("\\", "/")).name))
    except Exception as error:
        raise ImageError("This file of the archive can't be unpacked any more; give the archive again.") from error


def _shown(name: str) -> str:
    return plain(name, MAX_NAME) or "unnamed"


def _unique(item: Item, names: dict[str, int]) -> Item:
    """The second picture of a name becomes "name (2)"."""
    names[item.name] = count = names.get(item.name, 0) + 1
    return item if count == 1 else _unique(replace(item, name=f"{item.name} ({count})"), names)


def _found(path: Path, folder: Path, room: _Room, places: int) -> tuple[list[Item], int]:
    """What one path holds, at most `places` items, and how many more there are."""
    shown = _shown(path.name)
    if path.suffix.lower() != ".zip":
        return [Item(shown, path)], 0
    try:
        with open(path, "rb") as file, zipfile.ZipFile(_Bounded(file)) as archive:  # type: ignore[arg-type]
            members = [(place, info) for place, info in enumerate(archive.infolist()) if not _is_litter(info)]
            if not members:
                raise _Refused("The archive has no pictures in it.")
            taken = members[:places]
            items = [
                replace(_member(archive, info, shown, folder, room), member=(path, place)) for place, info in taken
            ]
            return items, len(members) - len(taken)
    except _Refused as refusal:
        return [Item(shown, error=str(refusal))], 0
    except Exception:  # zipfile raises what it likes for a hostile directory
        return [Item(shown, error="The archive is damaged or is no ZIP file; pack the pictures again.")], 0


def _is_litter(info: zipfile.ZipInfo) -> bool:
    """Folders, and what operating systems put beside files."""
    parts = _parts(info.filename)
    hidden = any(part.startswith(".") and part not in (".", "..") for part in parts)
    litter = "__MACOSX" in parts or (bool(parts) and parts[-1].lower() in _LITTER)
    return info.filename.endswith(("/", "\\")) or hidden or litter


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str, folder: Path, room: _Room) -> Item:
    """One member, written into the folder; or why it was not."""
    name = _shown(f"{shown}/{info.filename}".replace("\\", "/"))
    try:
        _check(info)
        return Item(name, _write(archive, info, folder, room))
    except _Refused as refusal:
        return Item(name, error=str(refusal))
    except Exception:  # a wrong checksum, a broken stream, a header that contradicts the directory
        return Item(name, error="This file in the archive is damaged; pack it again.")


def _check(info: zipfile.ZipInfo) -> None:
    """Refuse what is no plain picture file, before a byte of it is unpacked."""
    name = info.filename.replace("\\", "/")
    suffix = PurePosixPath(name).suffix.lower()
    if name.startswith("/") or name[1:2] == ":" or ".." in _parts(name):
        raise _Refused("Its name points outside the archive, so it was not unpacked.")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        raise _Refused("It is a link or a device, not a file.")
    if info.flag_bits & 0x1:
        raise _Refused("It is locked with a password; unpack it yourself and give the pictures.")
    if suffix in _ARCHIVES:
        raise _Refused("An archive inside an archive is not opened; unpack it yourself.")
    if suffix and not is_image_name(name):
        raise _Refused("It is not a picture by its name.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Refused("It is packed in an unusual way; pack it again as an ordinary ZIP.")


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, room: _Room) -> Path:
    """Unpack one member in chunks and stop at the limits, whatever its header claims."""
    suffix = PurePosixPath(info.filename.replace("\\", "/")).suffix.lower()
    size = 0
    with archive.open(info) as member, tempfile.NamedTemporaryFile(dir=folder, suffix=suffix, delete=False) as file:
        try:
            while chunk := member.read(CHUNK):
                size += len(chunk)
                room.spend(len(chunk))
                if size > MAX_BYTES:
                    raise _Refused(f"It is larger than {MAX_BYTES // 2**20} MiB, the most that is accepted.")
                file.write(chunk)
        except BaseException:
            Path(file.name).unlink()
            raise
    return Path(file.name)
