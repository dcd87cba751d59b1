"""BMP: the kinds that Pillow doesn't read, and 4-bit run lengths made plain.

Source: Microsoft, "BITMAPINFOHEADER structure" and "Bitmap Compression" (BI_RLE4, BI_BITFIELDS, BI_JPEG, BI_PNG).
"""

from __future__ import annotations

import struct

RLE4 = 2
_KINDS = {3: "a BMP with unusual bit fields", 4: "a BMP that wraps a JPEG", 5: "a BMP that wraps a PNG", 6: ""}
_MAX_PIXELS = 70_000_000
MAX_BYTES = 2**23  # of a file with run lengths of 4 bits, each of which is a step


def compression(data: bytes) -> int:
    return int.from_bytes(data[30:34], "little") if int.from_bytes(data[14:18], "little") >= 40 else 0


def unusual(data: bytes) -> str | None:
    """What kind of BMP this is, where it is one that Pillow may refuse although it is sound."""
    if compression(data) == RLE4 and len(data) > MAX_BYTES:
        return "a BMP of very many run lengths"
    return _KINDS.get(compression(data)) or None


def plain(data: bytes) -> bytes:
    """The same picture without run lengths, if it has those of 4 bits, which Pillow reads right only from version 13.

    Raises:
        ValueError: the run lengths end before the picture does, or there are very many.
    """
    if compression(data) == RLE4 and len(data) > MAX_BYTES:
        raise ValueError("too many run lengths")
    if compression(data) != RLE4 or len(data) < 54:
        return data
    width, height = struct.unpack("<ii", data[18:26])
    if not (0 < width and 0 < height and width * height <= _MAX_PIXELS):
        return data
    start = int.from_bytes(data[10:14], "little")
    stride = (width + 3) // 4 * 4
    rows = bytearray(stride * height)
    _unroll(data, start, rows, width, height, stride)
    head = bytearray(data[:start])
    head[28:30], head[30:34], head[34:38] = struct.pack("<H", 8), bytes(4), struct.pack("<I", len(rows))
    return bytes(head + rows)


def _unroll(data: bytes, at: int, rows: bytearray, width: int, height: int, stride: int) -> None:
    """Write a byte for each pixel; what is jumped over stays 0."""
    x = y = 0
    while at + 1 < len(data):
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            pixels = bytes((value >> 4, value & 15)) * ((count + 1) // 2)
        elif value == 0:
            x, y = 0, y + 1
            continue
        elif value == 1:
            return
        elif value == 2:
            x, y, at = x + data[at], y + data[at + 1], at + 2
            continue
        else:
            count, packed = value, data[at : at + (value + 1) // 2]
            at += (len(packed) + 1) // 2 * 2
            pixels = bytes(half for byte in packed for half in (byte >> 4, byte & 15))
        if y < height:
            room = max(0, min(count, len(pixels), width - x))
            rows[y * stride + x : y * stride + x + room] = pixels[:room]
        x += count
    if y < height - 1 or (y == height - 1 and x < width):
        raise ValueError("the run lengths end early")
