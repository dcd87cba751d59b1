"""XMP of the picture's own subject, and IPTC's source type in it.

Sources: XMP Specification Part 1 (ISO 16684-1), 7.4 and C.2 (RDF: one subject a packet, its properties are direct
children or attributes of the outer rdf:Description); IPTC NewsCodes, "Digital Source Type"; IPTC Photo Metadata
Standard 2025.1 (AISystemUsed, AIPromptInformation).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat  # noqa: S407  # a document type, and with it every entity, is refused below

from mdmf_core.images.origin.said import MAX_TEXT
from mdmf_core.texts import plain

MAX_PACKET = 2**22
MAX_NODES = 100_000
MAX_DEPTH = 60

SOURCE_TYPES = {
    "digitalCapture": "captured with a digital camera",
    "computationalCapture": "captured with a camera that merges several exposures",
    "negativeFilm": "scanned from a film negative",
    "positiveFilm": "scanned from a film positive",
    "print": "scanned from a print",
    "minorHumanEdits": "a photograph with small edits by a person",
    "humanEdits": "edited by a person without generative AI",
    "algorithmicallyEnhanced": "altered by an algorithm",
    "dataDrivenMedia": "drawn from data",
    "digitalArt": "made by a person with digital tools",
    "digitalCreation": "made by a person with digital tools",
    "softwareImage": "made with software",
    "virtualRecording": "a recording of a virtual scene",
    "screenCapture": "a screenshot",
    "composite": "put together from several parts",
    "compositeCapture": "put together from several photographs",
    "empty": "an empty canvas",
    "algorithmicMedia": "made by an algorithm that has not learned from pictures",
    "trainedAlgorithmicMedia": "made by generative AI",
    "trainedAlgorithmicData": "made by generative AI",
    "compositeWithTrainedAlgorithmicMedia": "edited with generative AI",
    "compositeSynthetic": "put together from parts, some of them made by generative AI",
}
AI_SOURCE_TYPES = frozenset(
    "trainedAlgorithmicMedia trainedAlgorithmicData compositeWithTrainedAlgorithmicMedia compositeSynthetic".split()
)
CAPTURES = frozenset(
    "digitalCapture computationalCapture negativeFilm positiveFilm print minorHumanEdits humanEdits compositeCapture "
    "digitalArt digitalCreation screenCapture virtualRecording".split()
)
_KNOWN = {code.lower(): code for code in SOURCE_TYPES}


@dataclass
class Node:
    """An element: its name without prefix, its attributes alike, what is in it."""

    name: str
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces).strip()

    def walk(self) -> Iterator[Node]:
        """This element and all below it, in order."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)


class _Stop(Exception):
    """The packet is larger, deeper or stranger than XMP is."""


def _tree(packet: bytes) -> Node:
    """The packet as a tree; of one that breaks off, what stands before."""
    root = Node("", {})
    open_, nodes = [root], 0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal nodes
        nodes += 1
        if nodes > MAX_NODES or len(open_) > MAX_DEPTH:
            raise _Stop
        node = Node(_local(name), {_local(key): value for key, value in attributes.items()})
        open_[-1].children.append(node)
        open_.append(node)

    def end(name: str) -> None:
        open_.pop()

    def text(data: str) -> None:
        open_[-1].pieces.append(data)

    def refuse(*_) -> None:
        raise _Stop

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(packet[:MAX_PACKET].strip(b"\0 \r\n\t"), True)
    except (expat.ExpatError, _Stop, ValueError):
        pass
    return root


def _local(name: str) -> str:
    return name.rpartition(":")[2]


class Xmp:
    """The picture's own statements: `fields`, name without prefix to text, and the trees below them."""

    def __init__(self, packets: list[bytes]):
        self.fields: dict[str, str] = {}
        self.nodes: dict[str, Node] = {}
        found = [description for packet in packets for description in _descriptions(_tree(packet))]
        subjects = [description.attributes.get("about", "") for description in found]
        for description, subject in zip(found, subjects, strict=True):
            if subject == ("" if "" in subjects else subjects[0]):  # the empty one is the file itself
                self._take(description)

    def _take(self, description: Node) -> None:
        for name, value in description.attributes.items():
            if name != "about":
                self.fields.setdefault(name, value)
        for child in description.children:
            self.nodes.setdefault(child.name, child)
            if value := _value(child):
                self.fields.setdefault(child.name, value)

    def field(self, name: str, most: int = MAX_TEXT) -> str | None:
        """A property as one line."""
        return plain(self.fields.get(name, ""), most) or None

    def below(self, name: str) -> Iterator[dict[str, str]]:
        """Attributes and simple elements of each structure below a property."""
        for node in self.nodes[name].walk() if name in self.nodes else ():
            yield node.attributes | {child.name: child.text for child in node.children if not child.children}


def _descriptions(root: Node) -> list[Node]:
    """The outer rdf:Description elements: those right below rdf:RDF, which is the root or its child."""
    tops = [node for top in root.children for node in (top, *top.children) if node.name == "RDF"]
    return [node for top in tops for node in top.children if node.name == "Description"]


def _value(node: Node) -> str:
    """The text of a simple property, its rdf:resource, or the first item of its array."""
    if "resource" in node.attributes:
        return node.attributes["resource"]
    if not node.children:
        return node.text
    array = node.children[0]
    if array.name in ("Alt", "Seq", "Bag") and array.children and not array.children[0].children:
        return array.children[0].text or array.children[0].attributes.get("resource", "")
    return ""


def source_code(xmp: Xmp) -> str | None:
    return last_part(xmp.fields.get("DigitalSourceType", "")) or None


def last_part(uri: object) -> str:
    """trainedAlgorithmicMedia of http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia."""
    code = plain(re.split(r"[/:#]", str(uri)[:MAX_TEXT].strip().rstrip("/"))[-1], 100)
    return _KNOWN.get(code.lower(), code)


def source_words(code: str) -> str:
    return SOURCE_TYPES.get(code, f"a source type that IPTC does not list ({code})")
