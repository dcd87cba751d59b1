"""GIF: its extensions up to the trailer.

Source: GIF89a Specification, sections 17 to 27; XMP Specification Part 3, 1.1.2 (XMP as an application extension).
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_BLOCKS = 1_000_000
_XMP = b"\x0bXMP DataXMP"
_MAGIC_TRAILER = 258  # bytes after the packet, which lead every reader of blocks to the end


def _extensions(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each extension, up to the trailer."""
    at = 13 + _table(data[10:11])
    for _ in range(MAX_BLOCKS):
        kind, start = data[at : at + 1], at
        if kind == b"\x21":
            at = _after_blocks(data, at + 2)
            yield start, at
        elif kind == b"\x2c":
            at = _after_blocks(data, at + 11 + _table(data[at + 9 : at + 10]))
        else:
            return


def xmp(data: bytes) -> list[bytes]:
    """The XMP packet, which stands in its extension as it is, not in blocks."""
    for start, end in _extensions(data):
        if data.startswith(_XMP, start + 2):
            return [data[start + 14 : max(start + 14, end - _MAGIC_TRAILER)]]
    return []


def comments(data: bytes) -> list[bytes]:
    """The texts of the comment extensions, whose blocks hold up to 255 bytes each."""
    return [_joined(data, start + 2, end) for start, end in _extensions(data) if data[start + 1] == 0xFE]


def _joined(data: bytes, at: int, end: int) -> bytes:
    pieces = []
    while at < end and data[at]:
        pieces.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(pieces)


def _table(flags: bytes) -> int:
    """Bytes of the colour table that such flags announce."""
    return 3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _after_blocks(data: bytes, at: int) -> int:
    """The place after a chain of blocks, each with its length before it, that begins here."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1
