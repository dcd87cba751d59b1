"""The parts of a picture's file, found without decoding: what it declares of itself and where each record stands.

One file a container. They read untrusted bytes within bounds and never beyond the end of the picture; what makes no
sense ends the search and raises nothing but ValueError.
"""

from __future__ import annotations

from mdmf_core.images.containers import bmp, boxes, gif, jpeg, png, riff, tiff


def xmp(data: bytes, kind: str) -> list[bytes]:
    """XMP packets of the picture, from where its container keeps them; the first is the main one."""
    readers = {"JPEG": jpeg.xmp, "PNG": png.xmp, "WEBP": riff.xmp, "GIF": gif.xmp, "TIFF": tiff.xmp}
    readers |= dict.fromkeys(("AVIF", "HEIC"), lambda file: boxes.File(file).xmp())
    try:
        return readers[kind](data)
    except (KeyError, ValueError, IndexError):
        return []


def comments(data: bytes, kind: str) -> list[bytes]:
    """The comments of a JPEG's COM segments and of a GIF's extensions, in order."""
    readers = {"JPEG": jpeg.comments, "GIF": gif.comments}
    return readers[kind](data) if kind in readers else []


def exif_texts(data: bytes, kind: str) -> tuple[dict[str, bytes], str]:
    """The texts of EXIF that records stand in, each in full, by name of the field, and the byte order of its EXIF."""
    readers = {"JPEG": jpeg.exif, "PNG": png.exif, "WEBP": riff.exif, "TIFF": bytes}
    readers |= dict.fromkeys(("AVIF", "HEIC"), lambda file: boxes.File(file).exif())
    try:
        return tiff.texts(readers[kind](data))
    except (KeyError, ValueError, IndexError):
        return {}, "<"


def plain(data: bytes, kind: str) -> bytes:
    """The file as decoders read it right: a BMP without run lengths of 4 bits, a HEIC or AVIF without what follows it.

    Raises:
        ValueError: the run lengths of a BMP make no sense.
    """
    if kind in ("AVIF", "HEIC"):
        return data[: boxes.end_of_picture(data)] or data
    return bmp.plain(data) if kind == "BMP" else data


def without_metadata(data: bytes, kind: str) -> list[bytes]:
    """The file less what describes the picture, in the formats where one broken comment fails the decoder.

    A PNG loses its text, EXIF and profile chunks; an AVIF's EXIF item becomes one of an unknown type; a JPEG loses
    first what is broken, then all that is not needed for its colours.
    """
    if kind == "AVIF":
        return [data[:4096].replace(b"Exif", b"skip") + data[4096:]]
    if kind == "PNG":
        return [png.without_metadata(data)]
    if kind == "JPEG":
        return list(dict.fromkeys((jpeg.without_broken(data), jpeg.without_metadata(data))))
    return []
