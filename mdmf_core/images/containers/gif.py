"""GIF: its extensions up to the trailer.

Source: GIF89a Specification, sections 17 to 27; XMP Specification Part 3, 1.1.2 (XMP as an application extension).
"""

from __future__ import annotations

MAX_BLOCKS = 1_000_000
_XMP = b"\x0bXMP DataXMP"
_MAGIC_TRAILER = 258  # bytes after the packet, which lead every reader of blocks to the end


def xmp(data: bytes) -> list[bytes]:
    """The XMP packet, which stands in its extension as it is, not in blocks."""
    at = 13 + _table(data[10:11])
    for _ in range(MAX_BLOCKS):
        kind = data[at : at + 1]
        if kind == b"\x21" and data.startswith(_XMP, at + 2):
            end = _after_blocks(data, at + 14)
            return [data[at + 14 : max(at + 14, end - _MAGIC_TRAILER)]]
        if kind == b"\x21":
            at = _after_blocks(data, at + 2)
        elif kind == b"\x2c":
            at = _after_blocks(data, at + 11 + _table(data[at + 9 : at + 10]))
        else:
            return []
    return []


def _table(flags: bytes) -> int:
    """Bytes of the colour table that such flags announce."""
    return 3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _after_blocks(data: bytes, at: int) -> int:
    """The place after a chain of blocks, each with its length before it, that begins here."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1
