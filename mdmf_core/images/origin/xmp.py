"""XMP packets and IPTC's source type in them. Source: IPTC NewsCodes, "Digital Source Type"."""

from __future__ import annotations

import re
from html import unescape

from mdmf_core.images.origin.said import MAX_TEXT
from mdmf_core.texts import plain

MAX_PACKETS = 8
MAX_PACKET = 2**18

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
    "algorithmicMedia": "made by an algorithm that has not learned from pictures",
    "trainedAlgorithmicMedia": "made by generative AI",
    "trainedAlgorithmicData": "made by generative AI",
    "compositeWithTrainedAlgorithmicMedia": "edited with generative AI",
    "compositeSynthetic": "put together from parts, some of them made by generative AI",
}
AI_SOURCE_TYPES = frozenset(
    "trainedAlgorithmicMedia trainedAlgorithmicData compositeWithTrainedAlgorithmicMedia compositeSynthetic".split()
)
_SOURCE_TYPE = re.compile(
    r"DigitalSourceType\s{0,20}=\s{0,20}[\"']([^\"']{1,200})[\"']"
    r"|DigitalSourceType\s[^<>]{0,200}resource\s{0,20}=\s{0,20}[\"']([^\"']{1,200})[\"']"
    r"|DigitalSourceType(?:\s[^<>]{0,200})?>\s{0,200}([^<>\s][^<>]{0,199})<"
)
_XMP_FIELD = r"{0}\s{{0,20}}=\s{{0,20}}[\"']([^\"']{{1,2000}})[\"']|{0}>\s{{0,200}}([^<>\s][^<>]{{0,1999}})<"


def xmp_packets(data: bytes, texts: dict[str, str]) -> list[str]:
    """XMP as it stands in the file, then what the decoder unpacked, which is cut short."""
    packets, start = [], 0
    while len(packets) < MAX_PACKETS and (start := data.find(b"<x:xmpmeta", start)) >= 0:
        end = data.find(b"</x:xmpmeta>", start, start + MAX_PACKET)
        packets.append(data[start : end if end > 0 else start + MAX_PACKET].decode("utf-8", "replace"))
        start = end if end > 0 else start + 1
    return packets + [texts[name] for name in ("XML:com.adobe.xmp", "xmp") if name in texts]


def xmp_field(packets: list[str], name: str) -> str | None:
    for packet in packets:
        if match := re.search(_XMP_FIELD.format(name), packet):
            return plain(unescape(match[1] or match[2]), MAX_TEXT) or None
    return None


def source_code(packets: list[str]) -> str | None:
    for packet in packets:
        if match := _SOURCE_TYPE.search(packet):
            return last_part(next(filter(None, match.groups()))) or None
    return None


def last_part(uri: object) -> str:
    """trainedAlgorithmicMedia of http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia."""
    return plain(re.split(r"[/:#]", str(uri)[:MAX_TEXT].strip().rstrip("/"))[-1], 100)


def source_words(code: str) -> str:
    return SOURCE_TYPES.get(code, f"a source type that IPTC does not list ({code})")
