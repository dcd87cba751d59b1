"""JPEG: segments up to the end of the picture, the kind of its coding, and files made sound again.

Source: ITU-T T.81, annex B (markers, segments, scans); T.871 (JFIF); XMP Specification Part 3, 1.1.3 (APP1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

MAX_SEGMENTS = 20_000
EOI = b"\xff\xd9"
_SCAN_END = re.compile(rb"\xff+[^\xff\x00\xd0-\xd7]", re.DOTALL)
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_LOSSLESS, _HIERARCHICAL, _JPEG_LS = (0xC3, 0xC7, 0xCB, 0xCF), (0xC5, 0xC6, 0xCD, 0xCE), 0xF7
_XMP, _XMP_MORE = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_LEAST = {0xE1: (b"Exif\0\0", 14), 0xE2: (b"ICC_PROFILE\0", 15), 0xEE: (b"Adobe", 12)}


@dataclass(frozen=True)
class Segment:
    """One marker segment: its marker's second byte, where it starts, where its content lies."""

    marker: int
    start: int
    body: int
    end: int


def segments(data: bytes) -> Iterator[Segment]:
    """All segments up to the end marker, which is the last one; scans without their coded data."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        while data[at : at + 2] == b"\xff\xff":
            at += 1
        if at + 4 > len(data) and data[at : at + 2] != EOI:
            return
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at] != 0xFF or marker == 0xD9:
            if data[at] == 0xFF:
                yield Segment(marker, at, at + 2, at + 2)
            return
        yield Segment(marker, at, at + 4, at + 2 + length)
        at += 2 + length
        if marker == 0xDA:
            found = _SCAN_END.search(data, at)
            if not found:
                return
            at = found.end() - 2


def header(data: bytes) -> Iterator[Segment]:
    """The segments before the first scan, where all that describes the picture stands."""
    return takewhile(lambda part: part.marker != 0xDA, segments(data))


def end_of_picture(data: bytes) -> int:
    """Where the picture's end marker ends; the length of the data where there is none."""
    ends = [part.end for part in segments(data) if part.marker == 0xD9]
    return ends[0] if ends else len(data)


def frame(data: bytes) -> Segment | None:
    """The header of the coded frame."""
    return next((part for part in header(data) if part.marker in _FRAMES or part.marker == _JPEG_LS), None)


def unusual(data: bytes) -> str | None:
    """What kind of JPEG this is, where it is none that decoders for 8 bits read."""
    found = frame(data)
    if found is None or found.end > len(data):
        return None
    bits = data[found.body]
    if found.marker == _JPEG_LS:
        return "a JPEG-LS picture"
    if found.marker in _LOSSLESS:
        return f"a lossless JPEG of {bits} bits a colour"
    if found.marker in _HIERARCHICAL:
        return "a hierarchical JPEG"
    return None if bits == 8 else f"a JPEG of {bits} bits a colour"


def is_broken(part: Segment, data: bytes) -> bool:
    """Whether a segment that only describes the picture is too short for what it says it is, or of no known use."""
    if not (0xE0 <= part.marker <= 0xEF or part.marker == 0xFE):
        return False
    name, least = _LEAST.get(part.marker, (b"", 0))
    return not (name and data.startswith(name, part.body) and part.end - part.body >= least)


def without_broken(data: bytes) -> bytes:
    """The file less its application segments and comments, except sound EXIF, profile and Adobe's colour transform."""
    return _without(data, lambda part: is_broken(part, data))


def without_metadata(data: bytes) -> bytes:
    """The file less all application segments and comments, except Adobe's, which says what the colours are."""
    return _without(data, lambda part: 0xE0 <= part.marker <= 0xED or is_broken(part, data))


def _without(data: bytes, unwanted) -> bytes:
    kept, at = [], 0
    for part in segments(data):
        if unwanted(part):
            kept.append(data[at : part.start])
            at = part.end
    return b"".join([*kept, data[at:]])


def scans_are_complete(data: bytes) -> bool:
    """Whether the scans hold every coefficient of every component to its last bit, as far as their headers say."""
    header = frame(data)
    if header is None or header.end > len(data):
        return False
    names = data[header.body + 6 : header.end : 3]
    final: dict[int, set[int]] = {name: set() for name in names}
    for part in segments(data):
        body = data[part.body : part.end]
        if part.marker == 0xDA and len(body) >= 6 and len(body) == 4 + 2 * body[0]:
            first, last, approximation = body[-3:]
            for name in body[1 : 1 + 2 * body[0] : 2]:
                if approximation & 15 == 0 and name in final:
                    final[name].update(range(first, min(last, 63) + 1))
    return bool(final) and all(len(bands) == 64 for bands in final.values())


def xmp(data: bytes) -> list[bytes]:
    """The picture's XMP packet, then what Adobe's extension carries beyond 64 KB, put together."""
    packets: list[bytes] = []
    more: dict[bytes, dict[int, bytes]] = {}
    for part in header(data):
        body = data[part.body : part.end] if part.marker == 0xE1 else b""
        if body.startswith(_XMP):
            packets.append(body[len(_XMP) :])
        elif body.startswith(_XMP_MORE):
            digest, rest = body[len(_XMP_MORE) :][:32], body[len(_XMP_MORE) + 32 :]
            more.setdefault(digest, {})[int.from_bytes(rest[4:8], "big")] = rest[8:]
    wanted = b"".join(packets)
    pieces = [parts for digest, parts in more.items() if digest in wanted]
    return packets[:1] + [b"".join(parts[at] for at in sorted(parts)) for parts in pieces]


def comments(data: bytes) -> list[bytes]:
    return [data[part.body : part.end] for part in header(data) if part.marker == 0xFE]


def exif(data: bytes) -> bytes:
    found = (data[part.body : part.end] for part in header(data) if part.marker == 0xE1)
    return next((body[6:] for body in found if body.startswith(b"Exif\0\0")), b"")


def photoshop(data: bytes) -> bytes:
    """Photoshop's image resources (APP13), put together."""
    head = b"Photoshop 3.0\0"
    bodies = (data[part.body : part.end] for part in header(data) if part.marker == 0xED)
    return b"".join(body[len(head) :] for body in bodies if body.startswith(head))
