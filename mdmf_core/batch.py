"""Many pictures: files and ZIP archives in, one row for each picture out, as a table, CSV or JSON.

Issue 4, "Many pictures". An archive is untrusted: what its headers claim is not believed, sizes are counted while
members are unpacked, and members land under names of our own in a folder that the caller owns. A file that can't
be used is a row with one sentence, and the others go on. The p-values of a batch are adjusted with the procedure of
Benjamini and Hochberg (1995), which holds for conformal p-values that share their calibration pictures (Bates et
al., 2023).
"""

from __future__ import annotations

import csv
import io
import json
import logging
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from PIL import Image
from scipy.stats import false_discovery_control

from mdmf_core import heatmap
from mdmf_core.detector import Detector, check_alpha
from mdmf_core.images import MAX_BYTES, ImageError, Picture, is_image_name, read
from mdmf_core.texts import cell, plain

MOST = 200
MAX_TOTAL = 2**30
MAX_DIRECTORY = 2 * 2**20
MAX_NAME = 200
CHUNK = 2**18
THUMBNAIL = 320
COLUMNS = (
    *("name", "decision", "score", "p_value", "q_value", "flagged_share"),
    *("width", "height", "n_bytes", "sha256", "error"),
)
ABOUT_Q = (
    "The p-value is about one picture; among many, some are low by chance. The q-value allows for the number of "
    "pictures (Benjamini-Hochberg): of the pictures with q at most 0.1, about 1 in 10 is expected to be a false alarm, "
    "or fewer."
)

_LITTER = {"thumbs.db", "desktop.ini"}
_ARCHIVES = {".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst"}


@dataclass(frozen=True)
class Item:
    """One picture to analyse (`path`) or why there is none (`error`, one sentence)."""

    name: str
    path: Path | None = None
    error: str | None = None


@dataclass(frozen=True, eq=False)
class Row:
    """The result for one picture, or `error`, one sentence, and nothing else.

    Attributes:
        name: file name; for a member of an archive "archive.zip/folder/file.jpg".
        decision: "generated", "inconclusive" or "no_evidence".
        score: the deciding statistic.
        p_value: of the picture alone.
        q_value: within the batch; None before `adjust`.
        flagged_share: share of patches that stand out, 0..1.
        width: in pixels.
        height: in pixels.
        n_bytes: size of the file.
        sha256: of the file's bytes.
        notes: what was done to the picture on reading, one sentence each.
        thumbnail: the picture with its map, the longest side at most 320 pixels.
        error: why there is no result.
    """

    name: str
    decision: str | None = None
    score: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    flagged_share: float | None = None
    width: int | None = None
    height: int | None = None
    n_bytes: int | None = None
    sha256: str | None = None
    notes: tuple[str, ...] = ()
    thumbnail: Image.Image | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the thumbnail."""
        return {name: getattr(self, name) for name in COLUMNS} | {"notes": list(self.notes)}


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
            members = [info for info in archive.infolist() if not _is_litter(info)]
            if not members:
                raise _Refused("The archive has no pictures in it.")
            taken = members[:places]
            return [_member(archive, info, shown, folder, room) for info in taken], len(members) - len(taken)
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


def run(
    detector: Detector, items: Iterable[Item], alpha: float, read: Callable[[Path, int], Picture] = read
) -> Iterator[Row]:
    """One row for each item, as it comes; stop asking to cancel.

    Args:
        detector: judges the pictures.
        items: from `gather`.
        alpha: the false-alarm rate that "generated" allows.
        read: as `images.read` reads a file.

    Raises:
        ValueError: `alpha` is out of range; at once.
    """
    check_alpha(alpha)
    return (_row(detector, item, alpha, read) for item in items)


def _row(detector: Detector, item: Item, alpha: float, read: Callable[[Path, int], Picture]) -> Row:
    if item.path is None:
        return Row(item.name, error=item.error)
    try:
        picture = read(item.path, detector.model.geometry.min_side)
        evidence = detector.detect(picture, alpha, locate=False)
        thumbnail = heatmap.overlay(picture.pixels, evidence, colorbar=False)
    except ImageError as error:
        return Row(item.name, error=str(error))
    except Exception:
        logging.getLogger(__name__).exception("A picture of a batch failed.")
        return Row(item.name, error="This picture could not be analysed because of a fault in the program.")
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
    return Row(
        name=item.name,
        decision=evidence.decision,
        score=evidence.score,
        p_value=evidence.p_value,
        flagged_share=float(evidence.flagged.mean()),
        width=picture.width,
        height=picture.height,
        n_bytes=picture.n_bytes,
        sha256=picture.sha256,
        notes=picture.notes,
        thumbnail=thumbnail,
    )


def adjust(rows: Sequence[Row]) -> list[Row]:
    """The rows with q-values over those that have a p-value."""
    p_values = [row.p_value for row in rows if row.p_value is not None]
    q_values = iter(false_discovery_control(p_values).tolist() if p_values else ())
    return [row if row.p_value is None else replace(row, q_value=next(q_values)) for row in rows]


def summary(rows: Sequence[Row], alpha: float) -> str:
    """The batch in one or two sentences."""
    good = [row for row in rows if row.error is None]
    if not good:
        return "No picture could be analysed."
    called = sum(row.decision == "generated" for row in good)
    text = (
        f"{called:,} of {len(good):,} pictures {'is' if called == 1 else 'are'} likely generated; if all were real, "
        f"about {alpha * len(good):.3g} would be called so by chance."
    )
    bad = len(rows) - len(good)
    return text + (f" {bad:,} {'file' if bad == 1 else 'files'} could not be analysed." if bad else "")


def facts(detector: Detector, alpha: float) -> dict[str, Any]:
    """What the figures of a batch were made with."""
    return {
        "model": detector.located.model,
        "revision": detector.located.revision,
        "fingerprint": detector.fingerprint,
        "backbone": detector.model.backbone.name,
        "statistic": detector.model.statistic,
        "alpha": alpha,
    }


def to_csv(rows: Iterable[Row]) -> str:
    """A table with a header (RFC 4180); a text that a spreadsheet would run as a formula begins with an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for row in rows:
        values = row.to_dict()
        writer.writerow(["" if values[name] is None else cell(values[name]) for name in COLUMNS])
    return file.getvalue()


def to_json(rows: Iterable[Row], made_with: dict[str, Any]) -> str:
    """The rows, after `facts` about what they were made with."""
    content = {**made_with, "about_q_value": ABOUT_Q, "rows": [row.to_dict() for row in rows]}
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
