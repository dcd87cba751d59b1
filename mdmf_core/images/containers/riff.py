"""WebP: chunks of its RIFF. Source: RFC 9649, section 2."""

from __future__ import annotations

from collections.abc import Iterator

MAX_CHUNKS = 100_000


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk inside the RIFF."""
    at, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    for _ in range(MAX_CHUNKS):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > end:
            return
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def xmp(data: bytes) -> list[bytes]:
    return [body for name, body in chunks(data) if name == b"XMP "][:1]


def exif(data: bytes) -> bytes:
    return next((body for name, body in chunks(data) if name == b"EXIF"), b"").removeprefix(b"Exif\0\0")
