"""Hostile ZIP archives: names that climb, bombs, members that overlap."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator

import numpy as np

from benchmarks.stress.mutations import ODD, Case, clean


def _packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def archives() -> Iterator[Case]:
    """Hostile ZIP archives for a batch."""
    picture, kind = clean()["plain.jpg"], "ZIP archive"
    outside = ("../a.jpg", "/etc/a.jpg", "..\\a.jpg", "C:\\a.jpg", "x/../../a.jpg", "\\\\host\\a.jpg", "a\0.jpg")
    for index, name in enumerate(outside):
        yield kind, f"outside_{index}.zip", _packed({name: picture})
    bomb = _packed({"bomb.png": bytes(1_400_000_000)})
    yield kind, "bomb.zip", bomb
    yield kind, "bombs.zip", _packed({f"{index}.jpg": bytes(120_000_000) for index in range(12)})
    nested = bomb
    for _ in range(5):
        nested = _packed({"next.zip": nested}, zipfile.ZIP_STORED)
    yield kind, "nested.zip", nested
    yield kind, "disguised.zip", _packed({"inner.jpg": bomb}, zipfile.ZIP_STORED)
    yield kind, "overlapping.zip", _overlapping(bytes(50_000_000), 100)
    yield kind, "directory.zip", _packed({f"{index}.jpg": b"" for index in range(60_000)})
    yield kind, "many.zip", _packed({f"{index}.jpg": picture[:300] for index in range(3_000)})
    yield kind, "long_name.zip", _packed({"a" * 60_000 + ".jpg": picture})
    yield kind, "no_zip.zip", picture
    yield kind, "empty.zip", _packed({})
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield kind, f"method_{method}.zip", _packed({"a.jpg": bytes(10_000_000)}, method)
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = 0o120777 << 16
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    yield kind, "link.zip", file.getvalue()


def archives_mutated(rng: np.random.Generator, count: int = 120) -> Iterator[Case]:
    """ZIP archives with odd values in their headers and directory."""
    files = clean()
    whole = _packed({"a.jpg": files["plain.jpg"], "b/c.png": files["plain.png"]})
    for index in range(count):
        data = bytearray(whole)
        start = whole.index(b"PK\1\2") if index % 2 else 0
        for _ in range(rng.integers(1, 6)):
            at = start + int(rng.integers(min(len(data) - start - 4, 200)))
            data[at : at + 2] = (int(rng.choice(ODD)) % 2**16).to_bytes(2, "little")
        yield "ZIP archive", f"mutated_{index}.zip", bytes(data)


def _overlapping(content: bytes, count: int) -> bytes:
    """An archive whose directory names the same packed data again and again."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", content)
    data = file.getvalue()
    start = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    entry = data[start:end]
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(entry) * count, start, 0)
    return data[:start] + entry * count + tail
