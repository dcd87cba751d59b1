"""The text fields of a file that generators write to, each in full: EXIF, PNG text, comments, XMP, IPTC's credit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from mdmf_core.images import containers
from mdmf_core.images.containers import jpeg, png, tiff
from mdmf_core.images.metadata import utf16
from mdmf_core.images.origin.xmp import Xmp
from mdmf_core.texts import plain

MAX_TEXT = 2**20
MAX_FIELDS = 300
MAX_ALL = 2**22  # bytes of texts of one file
_FROM_XMP = {
    "CreatorTool": "XMP CreatorTool",
    "Credit": "XMP Credit",
    "AIGC": "XMP AIGC",
    "UserComment": "XMP UserComment",  # Draw Things
    "description": "XMP description",
    "AISystemUsed": "XMP AISystemUsed",
    "Source": "XMP Source",
    "parameters": "XMP parameters",
    "prompt": "XMP prompt",
    "workflow": "XMP workflow",
}


def records_of(metadata: dict[str, str], data: bytes, kind: str, xmp: Xmp) -> dict[str, str]:
    """Name of the field to its text, at most a megabyte of it.

    Args:
        metadata: the picture's, whose texts are cut short.
        data: the file; empty where it can't be read.
        kind: its format.
        xmp: its own XMP.
    """
    found = {name: text for name, text in metadata.items() if name not in ("XML:com.adobe.xmp", "xmp")}
    if kind == "PNG":
        found |= _of_png(data)
    found |= dict(_numbered(("comment", _decoded(body)) for body in containers.comments(data, kind)))
    bodies, order = containers.exif_texts(data, kind)
    found |= {name: _of_exif(name, body[:MAX_TEXT], order) for name, body in bodies.items()}
    found |= {label: xmp.fields[name] for name, label in _FROM_XMP.items() if xmp.fields.get(name)}
    if credit := _credit(data, kind):
        found["IPTC Credit"] = credit
    return {name: text for name, text in found.items() if text}


def _of_png(data: bytes) -> dict[str, str]:
    """The first texts of a PNG, as many as there is room for."""
    found: list[tuple[str, str]] = []
    left = MAX_ALL
    for name, body in png.texts(data):
        left -= len(body)
        if left < 0 or len(found) >= MAX_FIELDS:
            break
        if name != png.XMP:
            found.append((plain(name, 100), _decoded(body)))
    return dict(_numbered(found))


def _numbered(fields: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The second field of a name gets the number 2, and so on."""
    seen: Counter[str] = Counter()
    for name, text in islice(fields, MAX_FIELDS):
        seen[name] += 1
        yield (name if seen[name] == 1 else f"{name} {seen[name]}"), text


def _decoded(body: bytes) -> str:
    """A PNG's text or a comment: UTF-8 where it is, else Latin-1 as the standard has it."""
    try:
        return body[:MAX_TEXT].decode("utf-8")
    except UnicodeDecodeError:
        return body[:MAX_TEXT].decode("latin-1")


def _of_exif(name: str, body: bytes, order: str) -> str:
    if name == "UserComment":
        return _comment(body, order)
    return (body.decode("utf-16-le", "ignore") if name == "XPComment" else _decoded(body)).rstrip("\0")


def _comment(body: bytes, order: str) -> str:
    """UserComment by its character code, which some programs write before UTF-8, too."""
    if body.startswith(b"UNICODE\0"):
        letters = len(body) > 40 and all(32 <= byte < 127 or byte in b"\t\n\r" for byte in body[8:])
        return body[8:].decode("ascii") if letters else utf16(body[8:], order)
    return body.removeprefix(b"ASCII\0\0\0").removeprefix(bytes(8)).rstrip(b"\0").decode("utf-8", "replace")


def _credit(data: bytes, kind: str) -> str:
    """IPTC-IIM 2:110, Credit. Source: IIM 4.2, section 6; Photoshop File Formats, image resource 1028."""
    block = b""
    if kind == "JPEG":
        block = _resource(jpeg.photoshop(data), 1028)
    elif kind == "TIFF":
        try:
            block = tiff.Directory(data).raw(tiff.IPTC)
        except ValueError:
            return ""
    at = block.find(b"\x1c\x02\x6e")
    length = int.from_bytes(block[at + 3 : at + 5], "big") if at >= 0 else 0
    return block[at + 5 : at + 5 + min(length, 200)].decode("utf-8", "replace") if length else ""


def _resource(data: bytes, wanted: int) -> bytes:
    """One of Photoshop's image resources."""
    at = 0
    while data[at : at + 4] == b"8BIM" and at + 12 <= len(data):
        number, name = int.from_bytes(data[at + 4 : at + 6], "big"), data[at + 6] + 1
        place = at + 6 + name + name % 2
        length = int.from_bytes(data[place : place + 4], "big")
        if number == wanted:
            return data[place + 4 : place + 4 + length]
        at = place + 4 + length + length % 2
    return b""
