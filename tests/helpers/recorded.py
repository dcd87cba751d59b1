"""Pictures with records of their origin, made by hand, and what is read of them."""

from __future__ import annotations

import gzip
import io
import struct

import numpy as np
from bad_files import encoded
from PIL import Image, PngImagePlugin

from mdmf_core.images.origin import read_provenance
from mdmf_core.images.origin.said import MAX_TEXT
from mdmf_core.images.reader import read

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
A1111 = "a cat, best quality Negative prompt: dog Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Model: sd15"
NODES = '{"3": {"inputs": {"seed": 1}, "class_type": "KSampler"}}'


def scene() -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (160, 160, 3), dtype=np.uint8))


def png(**texts: str) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        chunks.add_itxt(key, text)
    file = io.BytesIO()
    scene().save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


def jpeg(exif: Image.Exif | None = None, xmp: str = "") -> bytes:
    file = io.BytesIO()
    scene().save(file, "JPEG", exif=exif or Image.Exif(), **({"xmp": xmp.encode()} if xmp else {}))
    return file.getvalue()


def packet(fields: str) -> str:
    filler = "<!-- " + "x" * 2 * MAX_TEXT + " -->"  # the decoder's copy is cut short before the fields
    head = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{filler}<rdf:RDF><rdf:Description rdf:about="" '
    return head + fields + "</rdf:Description></rdf:RDF></x:xmpmeta>"


def looked_at(data: bytes, **options):
    return read_provenance(data, read(data), **options)


def tools(data: bytes) -> list[str]:
    return [claim.tool for claim in looked_at(data).generator]


LABEL = '{"Label":"1","ContentProducer":"00119144030070","ProduceID":"a1"}'
UUID = "01234567-89ab-cdef-0123-456789abcdef"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
KINDS = ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF", "HEIF"]


def whole(fields: str, inside: str = "", about: str = "") -> str:
    """A packet whose namespaces are all declared."""
    spaces = {
        "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
        "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",
        "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
        "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#",
        "photoshop": "http://ns.adobe.com/photoshop/1.0/",
        "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
        "exif": "http://ns.adobe.com/exif/1.0/",
        "dc": "http://purl.org/dc/elements/1.1/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
    }
    declared = " ".join(f'xmlns:{name}="{uri}"' for name, uri in spaces.items())
    return (
        f'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="{about}" {declared} {fields}>{inside}'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


AI_FIELD = f'Iptc4xmpExt:DigitalSourceType="{IPTC}trainedAlgorithmicMedia"'


def gif_with(xmp: bytes) -> bytes:
    """XMP as an application extension before the trailer, with its 258 bytes of magic trailer."""
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    return encoded(scene(), "GIF")[:-1] + b"\x21\xff\x0bXMP DataXMP" + xmp + trailer + b"\x3b"


def with_xmp(kind: str, xmp: str) -> bytes:
    if kind == "PNG":
        return png(**{"XML:com.adobe.xmp": xmp})
    if kind == "GIF":
        return gif_with(xmp.encode())
    if kind == "TIFF":
        return encoded(scene(), "TIFF", tiffinfo={700: xmp.encode()})
    return encoded(scene(), kind, xmp=xmp.encode())


def commented(body: bytes, kind: str) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = body
    return encoded(scene(), kind, exif=exif.tobytes())


def stealthy(text: str, mode: str, zipped: bool) -> bytes:
    body = gzip.compress(text.encode()) if zipped else text.encode()
    name = {"RGBA": b"stealth_png", "RGB": b"stealth_rgb"}[mode] + (b"comp" if zipped else b"info")
    bits = np.unpackbits(np.frombuffer(name + struct.pack(">I", 8 * len(body)) + body, np.uint8))
    pixels = np.array(scene().convert(mode))
    lowest = pixels[..., 3:] if mode == "RGBA" else pixels[..., :3]
    columns = np.ascontiguousarray(lowest.transpose(1, 0, 2))
    flat = columns.reshape(-1)
    flat[: len(bits)] = flat[: len(bits)] & 254 | bits
    lowest[:] = columns.transpose(1, 0, 2)
    return encoded(Image.fromarray(pixels), "PNG")
