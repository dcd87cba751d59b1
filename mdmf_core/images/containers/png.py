"""PNG: chunks up to the end of the picture. Source: W3C, PNG Specification (Third Edition), sections 5 and 11.3."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

MAX_CHUNKS = 1_000_000
XMP = "XML:com.adobe.xmp"
MAX_TEXT = 2**20  # bytes of one text when unpacked
_XMP_HEAD, _EXIF_HEAD = b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0\0"
_METADATA = {b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP"}


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk's content, up to IEND."""
    at = 8
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            return
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if at + 12 + length > len(data):
            return
        yield name, at + 8, at + 8 + length
        if name == b"IEND":
            return
        at += 12 + length


def without_metadata(data: bytes) -> bytes:
    """The file less its texts, EXIF and profile."""
    kept, at = [], 0
    for name, start, end in chunks(data):
        if name in _METADATA:
            kept.append(data[at : start - 8])
            at = end + 4
    return b"".join([*kept, data[at:]])


def colour(data: bytes) -> dict[bytes, tuple[int, ...]]:
    """What cICP, gAMA, cHRM, sRGB and iCCP before the pixels say, as their numbers (iCCP: none)."""
    forms = {b"cICP": ">4B", b"gAMA": ">I", b"cHRM": ">8I", b"sRGB": ">B", b"iCCP": ""}
    found: dict[bytes, tuple[int, ...]] = {}
    for name, start, end in chunks(data):
        if name == b"IDAT":
            break
        if name in forms and (name == b"iCCP" or end - start == struct.calcsize(forms[name])):
            found.setdefault(name, struct.unpack(forms[name], data[start:end]) if forms[name] else ())
    return found


def texts(data: bytes, wanted: str | None = None) -> Iterator[tuple[str, bytes]]:
    """Keyword and text of each tEXt, zTXt and iTXt chunk, also those after the pixels, unpacked; or of one keyword."""
    for name, start, end in chunks(data):
        key, _, rest = data[start:end].partition(b"\0") if name in (b"tEXt", b"zTXt", b"iTXt") else (b"", b"", b"")
        if not key or (wanted and key.decode("latin-1") != wanted):
            continue
        zipped = name == b"zTXt"
        if name == b"iTXt":
            zipped, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        elif zipped:
            rest = rest[1:]
        yield key.decode("latin-1"), _unzipped(rest) if zipped else rest


def _unzipped(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_TEXT)
    except zlib.error:
        return b""


def xmp(data: bytes) -> list[bytes]:
    """The XMP packet, also as programs wrote it that are older than its keyword. Source: XMP Part 3, 1.1.5."""
    packets = [text for _, text in texts(data, XMP)]
    return (packets or _profiles(data, "xmp", b"") or _profiles(data, "APP1", _XMP_HEAD))[:1]


def exif(data: bytes) -> bytes:
    bodies = [data[start:end] for name, start, end in chunks(data) if name == b"eXIf"]
    return next(iter(bodies or _profiles(data, "exif", _EXIF_HEAD) or _profiles(data, "APP1", _EXIF_HEAD)), b"")


def _profiles(data: bytes, kind: str, head: bytes) -> list[bytes]:
    """Profiles in hexadecimal digits behind their head. Source: ImageMagick, coders/png.c, "Raw profile type"."""
    found = []
    for _, text in texts(data, f"Raw profile type {kind}"):
        with suppress(ValueError):
            body = bytes.fromhex(text.split(b"\n", 3)[-1].decode("latin-1"))
            found += [body.removeprefix(head)] if body.startswith(head) else []
    return found
