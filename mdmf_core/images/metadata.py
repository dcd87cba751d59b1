"""EXIF and text chunks as short printable texts."""

from __future__ import annotations

import unicodedata

from PIL import ExifTags, Image, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

MAX_TEXT = 2_000
MAX_ENTRIES = 200
_PLUMBING = {
    *("ExifOffset", "GPSInfo", "ExifInteroperabilityOffset", "MakerNote", "InterColorProfile", "JPEGTables"),
    *("StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts", "SubIFDs", "JpegIFOffset"),
    *("ImageWidth", "ImageLength", "BitsPerSample", "SamplesPerPixel", "SampleFormat", "RowsPerStrip"),
    *("Compression", "PhotometricInterpretation", "PlanarConfiguration", "FillOrder"),
}


def exif_of(image: Image.Image) -> Image.Exif:
    try:
        return image.getexif()
    except Exception:  # broken EXIF is no EXIF
        return Image.Exif()


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation from where the container keeps EXIF, 1 to 8; XMP's copy of it counts nowhere.

    AVIF and HEIC are turned by irot and imir alone (ISO/IEC 23000-22, 7.3.9): Pillow gives these as EXIF, pillow-heif
    has applied them and says 1. PNG has eXIf for it (third edition, 11.3.4.5), TIFF its own tag.
    """
    if hasattr(image, "tag_v2"):
        return _turn(image.tag_v2.get(ExifTags.Base.Orientation))
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif") or b"")
    except Exception:  # broken EXIF is no EXIF
        return 1
    if not image.info.get("exif") and image.format is None and "xmp" not in image.info:
        exif = exif_of(image)  # made in memory
    return _turn(exif.get(ExifTags.Base.Orientation))


def _turn(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def metadata_of(image: Image.Image) -> dict[str, str]:
    """Text chunks and EXIF of a loaded image; what cannot be read is left out."""
    exif = exif_of(image)
    texts: dict[str, str] = {}
    for directory in (lambda: _text_chunks(image), lambda: exif, lambda: exif.get_ifd(ExifTags.IFD.Exif)):
        try:
            entries = directory()
            keys = list(entries)
        except Exception:  # noqa: S112  # a directory may point anywhere
            continue
        for key in keys:
            name, text = _entry(key, entries)
            if text and len(texts) < MAX_ENTRIES:
                texts.setdefault(name, text)
    return texts


def _entry(key: object, entries) -> tuple[str, str]:
    """Name and text of one value; no text where it can't be shown."""
    try:
        name = clean(key if isinstance(key, str) else ExifTags.TAGS.get(key, ""), 100)
        return name, _printable(name, entries[key]) if name and name not in _PLUMBING else ""
    except Exception:  # a value may be of any type
        return "", ""


def _text_chunks(image: Image.Image) -> dict[str, object]:
    """PNG text, GIF and JPEG comments, XMP. Of an APNG only those before the pixels: Pillow would decode it all."""
    chunks = {name: image.info[name] for name in ("comment", "xmp") if name in image.info}
    if getattr(image, "format", None) != "PNG":
        return chunks
    if getattr(image, "is_animated", False):
        texts = {name: value for name, value in image.info.items() if isinstance(name, str) and isinstance(value, str)}
    else:
        texts = {**getattr(image, "text", {}), **chunks}
    return {name: _utf8(value) for name, value in texts.items()}


def _utf8(value: object) -> object:
    """A PNG's text; many programs write UTF-8 where the standard says Latin-1 (tEXt, zTXt)."""
    if not isinstance(value, str) or isinstance(value, PngImagePlugin.iTXt):
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except ValueError:
        return value


def _printable(name: str, value: object) -> str:
    """A metadata value as short text; empty where it is binary or a long list."""
    if isinstance(value, bytes):
        return _decoded(name, value[: 4 * MAX_TEXT])
    if isinstance(value, tuple):
        return ", ".join(_printable(name, item) for item in value) if len(value) <= 16 else ""
    if isinstance(value, IFDRational):
        return _rational(value)
    return clean(f"{value:g}" if isinstance(value, float) else str(value), MAX_TEXT)


def _decoded(name: str, value: bytes) -> str:
    if name.startswith("XP"):
        return clean(value.decode("utf-16-le", "ignore"), MAX_TEXT)
    if value.startswith(b"UNICODE\0"):
        return clean(utf16(value[8:]), MAX_TEXT)
    text = value.removeprefix(b"ASCII\0\0\0").rstrip(b"\0").decode("utf-8", "replace")
    unreadable = sum(letter == "\ufffd" or not (letter.isprintable() or letter.isspace()) for letter in text)
    return clean(text, MAX_TEXT) if unreadable <= len(text) / 10 else ""


def utf16(value: bytes, order: str = "<") -> str:
    """UTF-16 by its byte order mark; without one, in the order that gives fewer characters which nobody writes.

    Exif 3.0 leaves the order of UserComment open: some programs take that of the EXIF, others always big-endian.
    """
    if value[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return value.decode("utf-16", "ignore")
    big, little = (value.decode(name, "replace") for name in ("utf-16-be", "utf-16-le"))
    odd = _strangeness(big[:MAX_TEXT]) - _strangeness(little[:MAX_TEXT])
    return big if odd < 0 or (odd == 0 and order == ">") else little


def _strangeness(text: str) -> int:
    """How many characters are private, unassigned or controls, and how few are Latin."""
    strange = sum(unicodedata.category(letter) in ("Co", "Cn", "Cs", "Cc") for letter in text)
    return 100 * strange - sum(" " <= letter <= "~" for letter in text)


def _rational(value: IFDRational) -> str:
    if value.denominator and value.numerator == 1 and value.denominator > 1:
        return f"1/{value.denominator}"
    return f"{float(value):g}"


def clean(text: str, most: int) -> str:
    """One line of printable characters."""
    words = " ".join(text[: 4 * most].split())
    return "".join(letter for letter in words if letter.isprintable())[:most]
