"""TIFF: the first directory, and which layouts Pillow reads right.

Source: TIFF Revision 6.0, section 2; the BigTIFF design of libtiff; XMP Specification Part 3, 1.1.6 (tag 700).
"""

from __future__ import annotations

import struct
from contextlib import suppress

MAX_ENTRIES = 4_096
MAX_NUMBERS = 64
BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANAR, PREDICTOR, FORMAT = 258, 259, 262, 277, 284, 317, 339
PALETTE = 320
XMP, IPTC, EXIF, COMMENT = 700, 33723, 34665, 37510
TEXTS = {270: "ImageDescription", 271: "Make", 272: "Model", 40092: "XPComment"}
_FORMS = {1: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = {1: "whole numbers", 2: "signed numbers", 3: "floating-point numbers"}
_COMPRESSIONS = {
    6: "old JPEG", 34712: "JPEG 2000", 34892: "lossy JPEG", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP",
    34887: "LERC", 50002: "JPEG XL", 52546: "JPEG XL", 34933: "PNG", 32809: "ThunderScan", 32766: "NeXT",
}  # fmt: skip
_ORDINARY = (1, 2, 3, 4, 5, 7, 8, 32773, 32946)


class Directory:
    """The first directory of a TIFF, or the one at a place: `order` is "<" or ">", `is_big` tells BigTIFF."""

    def __init__(self, data: bytes, at: int | None = None):
        self.order = "<" if data[:2] == b"II" else ">"
        self.is_big = 43 in data[2:4]
        self._data = data
        self._entries: dict[int, tuple[int, int, int]] = {}
        self._read(at)

    def _number(self, form: str, at: int) -> int:
        size = struct.calcsize(form)
        if not 0 <= at <= len(self._data) - size:
            raise ValueError("the directory points outside the file")
        return struct.unpack(self.order + form, self._data[at : at + size])[0]

    def _read(self, at: int | None) -> None:
        word, count, step = ("Q", "Q", 20) if self.is_big else ("I", "H", 12)
        at = self._number(word, 8 if self.is_big else 4) if at is None else at
        entries = min(self._number(count, at), MAX_ENTRIES)
        at += struct.calcsize(count)
        inline = 8 if self.is_big else 4
        for place in range(at, at + entries * step, step):
            tag, kind = self._number("H", place), self._number("H", place + 2)
            many = self._number(word, place + 4)
            value = place + step - inline
            if many * _SIZES.get(kind, 1) > inline:
                value = self._number(word, value)
            self._entries.setdefault(tag, (kind, many, value))

    def numbers(self, tag: int, otherwise: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Whole numbers under a tag, at most `MAX_NUMBERS` of them."""
        kind, many, value = self._entries.get(tag, (0, 0, 0))
        if kind not in _FORMS:
            return otherwise
        size = _SIZES[kind]
        return tuple(self._number(_FORMS[kind], value + size * n) for n in range(min(many, MAX_NUMBERS)))

    def raw(self, tag: int) -> bytes:
        """The bytes under a tag."""
        kind, many, value = self._entries.get(tag, (1, 0, 0))
        return self._data[value : value + many * _SIZES.get(kind, 1)]


def xmp(data: bytes) -> list[bytes]:
    packet = Directory(data).raw(XMP)
    return [packet] if packet else []


def texts(exif: bytes) -> tuple[dict[str, bytes], str]:
    """Fields that hold whole records, UserComment with its character code, and the byte order.

    Source: Exif 3.0, 4.6.5 and 4.6.6.7.2 (tag 37510); XPComment is Microsoft's.
    """
    first = Directory(exif)
    found = {name: first.raw(tag) for tag, name in TEXTS.items()}
    if place := first.numbers(EXIF):
        with suppress(ValueError):
            found["UserComment"] = Directory(exif, place[0]).raw(COMMENT)
    return {name: body for name, body in found.items() if body}, first.order


def misread(found: Directory) -> bool:
    """Whether Pillow would open this layout and read wrong numbers from it.

    Found by comparing every layout that tifffile writes (`tests/test_reader_layouts.py`) under Pillow 11.3 to 13.0: 16
    bits in separate planes without compression; numbers of 32 bits that are compressed in big-endian order; unsigned
    numbers of 32 bits, which it takes for signed ones; signed numbers of 8 and 16 bits; floating point where 0 is
    white; and differences (predictor) packed as PackBits, which libtiff doesn't undo. Found by hand: palettes of old
    programs that count to 255 where the standard says 65,535, and YCbCr without compression.
    """
    if _own_kind(found):
        return True
    bits, kind = max(found.numbers(BITS, (1,))), max(found.numbers(FORMAT, (1,)))
    compressed = found.numbers(COMPRESSION, (1,)) != (1,)
    if found.numbers(COMPRESSION) == (32773,) and found.numbers(PREDICTOR, (1,)) != (1,):
        return True
    if bits == 16 and kind == 1:
        return found.numbers(PLANAR) == (2,) and not compressed and found.numbers(SAMPLES, (1,)) > (1,)
    if bits == 32 and kind in (2, 3):
        return (compressed and found.order == ">") or found.numbers(PHOTOMETRIC) == (0,)
    return bits > 16 or kind != 1


def _own_kind(found: Directory) -> str | None:
    """YCbCr without compression, or a palette whose upper bytes are all 0."""
    photometric = found.numbers(PHOTOMETRIC)
    if photometric == (6,) and found.numbers(COMPRESSION, (1,)) == (1,):
        return "a TIFF of uncompressed YCbCr colours"
    palette = found.raw(PALETTE)
    if photometric == (3,) and any(palette) and not any(palette[found.order == "<" :: 2]):
        return "a TIFF with a palette that counts to 255"
    return None


def unusual(found: Directory) -> str | None:
    """What kind of TIFF this is, where it is none that is read here."""
    bits, kind = found.numbers(BITS, (1,)), max(found.numbers(FORMAT, (1,)))
    samples, method = max(found.numbers(SAMPLES, (1,))), max(found.numbers(COMPRESSION, (1,)))
    if kind_of_its_own := _own_kind(found):
        return kind_of_its_own
    if found.is_big and found.order == ">":
        return "a BigTIFF in big-endian order"
    ordinary = len(set(bits)) == 1 and (bits[0] in (1, 2, 4, 8, 16) or (samples == 1 and bits[0] in (12, 32)))
    ordinary = ordinary and (samples == 1 or bits[0] in (8, 16))
    ordinary = ordinary and not (found.order == ">" and bits[0] == 16 and found.numbers(PHOTOMETRIC) == (0,))
    ordinary = ordinary and not (found.numbers(PLANAR) == (2,) and samples > 3)
    if misread(found) or not ordinary:
        planes = " in separate planes" if found.numbers(PLANAR) == (2,) and samples > 1 else ""
        order = " in big-endian order" if bits[0] in (16, 32) and found.order == ">" else ""
        return f"a TIFF of {max(bits)}-bit {_NUMBERS.get(kind, 'numbers')}{planes}{order}"
    if method not in _ORDINARY:
        return f"a TIFF compressed as {_COMPRESSIONS.get(method, f'number {method}')}"
    return None
