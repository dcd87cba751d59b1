"""HEIC and AVIF: items, their properties and places. Source: ISO/IEC 14496-12, section 8.11; ISO/IEC 23008-12 (HEIF).

`File(data)` reads the boxes that say which item is the picture, of which tiles it is made, and what describes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_BOXES = 20_000
MAX_ITEMS = 10_000
_XMP = b"application/rdf+xml"
_ALPHA = (b"urn:mpeg:hevc:2015:auxid:1", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")


@dataclass
class Item:
    """One item: its type and content type, its extents in the file (or in idat), its properties, its box."""

    kind: bytes = b""
    box: int = 0
    content: bytes = b""
    extents: list[tuple[int, int]] = field(default_factory=list)
    method: int = 0
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)


class _Reader:
    """Numbers from bytes, one after the other."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def number(self, size: int) -> int:
        if self.at + size > len(self.data):
            raise ValueError("a box ends early")
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "big")

    def text(self) -> bytes:
        end = self.data.find(b"\0", self.at)
        end = len(self.data) if end < 0 else end
        start, self.at = self.at, end + 1
        return self.data[start:end]


def boxes(data: bytes, at: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the content of each box; one that goes on to the end of the file may be cut short."""
    end = len(data) if end is None else end
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return
        size, name, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        size = size or end - at
        if size < head:
            return
        yield name, at + head, min(at + size, end)
        at += size


def end_of_picture(data: bytes) -> int:
    """Where the picture's own boxes end: before another file, such as a phone's film, or before what is no box."""
    end = 0
    for name, _, stop in boxes(data):
        if (name == b"ftyp" and end) or not all(32 <= letter < 127 for letter in name):
            return end
        end = stop
    return end


class File:
    """The picture's items, and for each type of reference what it leads from and to, by number of item.

    Raises:
        ValueError: the boxes contradict themselves.
    """

    def __init__(self, data: bytes):
        self.data, self.primary = data, 0
        self.items: dict[int, Item] = {}
        self.references: dict[bytes, dict[int, list[int]]] = {}
        self._many = 0
        self._idat = (0, 0)
        self._primary_at: tuple[int, int] = (0, 0)
        first = next(
            ((start, end) for name, start, end in boxes(data, 0, end_of_picture(data)) if name == b"meta"), None
        )
        if first:
            self._meta(first[0] + 4, first[1])

    def _meta(self, start: int, end: int) -> None:
        found = {name: (start, stop) for name, start, stop in boxes(self.data, start, end)}
        self._idat = found.get(b"idat", (0, 0))
        for name, read in (
            (b"pitm", self._pitm),
            (b"iinf", self._iinf),
            (b"iloc", self._iloc),
            (b"iref", self._iref),
            (b"iprp", self._iprp),
        ):
            if name in found:
                read(*found[name])

    def _item(self, number: int) -> Item:
        if number not in self.items and len(self.items) >= MAX_ITEMS:
            raise ValueError("too many items")
        return self.items.setdefault(number, Item())

    def _pitm(self, start: int, end: int) -> None:
        size = 2 if self.data[start] == 0 else 4
        self._primary_at = (start + 4, size)
        self.primary = int.from_bytes(self.data[start + 4 : start + 4 + size], "big")

    def _iinf(self, start: int, end: int) -> None:
        first = start + (6 if self.data[start] == 0 else 8)
        for name, begin, stop in boxes(self.data, first, end):
            version = self.data[begin] if name == b"infe" else 0
            if version in (2, 3):
                reader = _Reader(self.data[begin + 4 : stop])
                item = self._item(reader.number(2 if version == 2 else 4))
                item.box = begin
                reader.number(2)
                item.kind = reader.number(4).to_bytes(4, "big")
                reader.text()
                item.content = reader.text()

    def _iloc(self, start: int, end: int) -> None:
        reader = _Reader(self.data[start:end])
        version = reader.number(4) >> 24
        sizes = reader.number(2)
        offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
        wide = 4 if version == 2 else 2
        for _ in range(min(reader.number(wide), MAX_ITEMS)):
            item = self._item(reader.number(wide))
            item.method = reader.number(2) & 15 if version else 0
            reader.number(2)
            base = reader.number(base_size)
            for _ in range(min(reader.number(2), MAX_ITEMS)):
                reader.number(index_size if version else 0)
                item.extents.append((base + reader.number(offset_size), reader.number(length_size)))

    def _iref(self, start: int, end: int) -> None:
        size = 2 if self.data[start] == 0 else 4
        for name, begin, stop in boxes(self.data, start + 4, end):
            reader = _Reader(self.data[begin:stop])
            here = reader.number(size)
            for _ in range(min(reader.number(2), MAX_ITEMS)):
                self._many += 1
                if self._many > 4 * MAX_ITEMS:
                    raise ValueError("too many references")
                self.references.setdefault(name, {}).setdefault(here, []).append(reader.number(size))

    def _iprp(self, start: int, end: int) -> None:
        kinds: list[tuple[bytes, bytes]] = []
        for name, begin, stop in boxes(self.data, start, end):
            if name == b"ipco":
                kinds = [(kind, self.data[at:to]) for kind, at, to in boxes(self.data, begin, stop)]
            elif name == b"ipma":
                self._associate(self.data[begin:stop], kinds)

    def _associate(self, data: bytes, kinds: list[tuple[bytes, bytes]]) -> None:
        reader = _Reader(data)
        flags = reader.number(4)
        for _ in range(min(reader.number(4), MAX_ITEMS)):
            item = self._item(reader.number(2 if flags >> 24 == 0 else 4))
            for _ in range(reader.number(1)):
                index = reader.number(2) & 0x7FFF if flags & 1 else reader.number(1) & 0x7F
                if 0 < index <= len(kinds):
                    item.properties.append(kinds[index - 1])

    def _property(self, number: int, name: bytes) -> list[bytes]:
        return [body for kind, body in self._item(number).properties if kind == name]

    def _from(self, kind: bytes, number: int) -> list[int]:
        return self.references.get(kind, {}).get(number, [])

    def _to_picture(self, kind: bytes) -> list[int]:
        return [here for here, to in self.references.get(kind, {}).items() if self.primary in to]

    def content(self, item: Item) -> bytes | None:
        """The bytes of an item; None where some are not in the file."""
        start, end = self._idat if item.method == 1 else (0, len(self.data))
        pieces = []
        for at, length in item.extents:
            length = length or end - start - at
            if length < 0 or start + at + length > end:
                return None
            pieces.append(self.data[start + at : start + at + length])
        return b"".join(pieces) if item.method in (0, 1) else None

    def parts(self) -> list[int]:
        """The numbers of the items that make the picture and its transparency, down to the coded ones."""
        found = dict.fromkeys([self.primary, *filter(self._is_alpha, self._to_picture(b"auxl"))])
        waiting = list(found)
        while waiting and len(found) < MAX_ITEMS:
            new = [number for number in dict.fromkeys(self._from(b"dimg", waiting.pop())) if number not in found]
            found |= dict.fromkeys(new)
            waiting += new
        return list(found)

    def _is_alpha(self, number: int) -> bool:
        return any(body[4:].startswith(_ALPHA) for body in self._property(number, b"auxC"))

    def tiles(self) -> list[int]:
        """The coded items of a picture that is put together; none where it is one item."""
        return [number for number in self.parts() if self.items[number].kind != b"grid" and number != self.primary]

    def is_incomplete(self) -> bool:
        """Whether a part of the picture is not in the file, or is no chain of coded units as long as it claims."""
        for number in self.parts():
            item = self._item(number)
            content = self.content(item)
            if content is None or (item.kind == b"hvc1" and not _is_chain(content, self._length_size(number))):
                return True
        return False

    def _length_size(self, number: int) -> int:
        """Bytes of the length before each unit. Source: ISO/IEC 14496-15, 8.3.3.1 (hvcC)."""
        found = self._property(number, b"hvcC")
        return (found[0][21] & 3) + 1 if found and len(found[0]) > 21 else 4

    def with_primary(self, number: int) -> bytes:
        """The same file with another item as its picture, which may be a hidden one."""
        (at, size), box = self._primary_at, self._item(number).box
        changed = bytearray(self.data)
        changed[at : at + size] = number.to_bytes(size, "big")
        changed[box + 3] &= 0xFE
        return bytes(changed)

    def colour(self) -> tuple[int, int, int, int] | None:
        """Primaries, transfer, matrix and full range (ISO/IEC 23091-2) of the picture."""
        for body in self._property(self.primary, b"colr"):
            if body[:4] == b"nclx" and len(body) >= 11:
                code = [int.from_bytes(body[at : at + 2], "big") for at in (4, 6, 8)]
                return code[0], code[1], code[2], body[10] >> 7
        return None

    def _describing(self) -> list[Item]:
        """The items that describe the picture. Source: ISO/IEC 23008-12, 6.4.1 (cdsc)."""
        return [self._item(number) for number in self._to_picture(b"cdsc")]

    def xmp(self) -> list[bytes]:
        """XMP of the picture. Source: ISO/IEC 23008-12, A.3."""
        packets = [self.content(item) for item in self._describing() if item.content == _XMP]
        return [packet for packet in packets if packet][:1]

    def exif(self) -> bytes:
        """EXIF of the picture, from its TIFF header on. Source: ISO/IEC 23008-12, A.2.1."""
        for item in self._describing():
            if item.kind == b"Exif" and (content := self.content(item)):
                return content[4 + int.from_bytes(content[:4], "big") :]
        return b""

    def codec(self) -> bytes:
        """The type of the coded items."""
        coded = [self.items[number].kind for number in self.parts() if number in self.items]
        return next((kind for kind in coded if kind not in (b"grid", b"iovl", b"iden")), b"")


def _is_chain(data: bytes, size: int) -> bool:
    """Whether the bytes are units of HEVC, each with its length before it. Source: ITU-T H.265, 7.3.1.2 (header)."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + size], "big")
        at += size + length
        header = int.from_bytes(data[at - length : at - length + 2], "big")
        if length < 3 or at > len(data) or header >> 15 or header & 7 == 0:
            return False
    return bool(data)
