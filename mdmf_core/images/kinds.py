"""Which format a file has by its first bytes, and what it is where it is none that is read here."""

from __future__ import annotations

from pathlib import Path

from mdmf_core.errors import ImageError
from mdmf_core.images.bounds import MAX_BYTES, too_heavy
from mdmf_core.images.containers import bmp, boxes, jpeg, tiff

EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .gif .bmp .dib .tif .tiff .avif .heic .heif .hif".split()
)

VIDEOS = frozenset(".mp4 .m4v .mov .qt .3gp .3g2 .webm .mkv .avi".split())
HEAD = 4096  # bytes that tell what a file is

_FRAMES = "give its file to the command detect, or under Many pictures, for its frames"
_ACCEPTED = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF and HEIC"
_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II\x2a\x00", "TIFF"),
    (b"MM\x00\x2a", "TIFF"),
    (b"II\x2b\x00", "TIFF"),
    (b"MM\x00\x2b", "TIFF"),
)
_OTHER_KINDS = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript file"),
    (b"8BPS", "a Photoshop document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"\x00\x00\x01\xba", "an MPEG stream"),
    (b"\x00\x00\x01\xb3", "an MPEG stream"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"FUJIFILMCCD-RAW", "a camera raw file"),
    (b"IIRO", "a camera raw file"),
    (b"IIU\x00", "a camera raw file"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"#?RGBE", "a Radiance HDR picture"),
    (b"qoif", "a QOI picture"),
    (b"DDS ", "a DirectDraw texture"),
    (b"icns", "an icon"),
    (b"gimp xcf ", "a GIMP document"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (b"SIMPLE  =", "a FITS picture"),
    (b"BPG\xfb", "a BPG picture"),
    (b"FLIF", "a FLIF picture"),
    *((b"P" + number, "a PNM picture") for number in (b"4\n", b"5\n", b"6\n", b"7\n")),
)
_TO_CONVERT = ("picture", "document", "texture", "drawing", "raw file", "metafile")
_AVIF_BRANDS = {b"avif", b"avis"}
_OLD_QUICKTIME = {b"moov", b"mdat", b"wide", b"free", b"skip"}  # from before there was ftyp
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


def is_image_name(path: str | Path) -> bool:
    """Whether a file's name promises an accepted format; hidden files are passed over."""
    path = Path(path)
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def video_kind(head: bytes) -> str | None:
    """The accepted video container that the first bytes name; None where they name none."""
    if head[4:8] == b"ftyp":
        brands = _brands(head)
        picture = brands & (_AVIF_BRANDS | _HEIF_BRANDS) or head[8:12] == b"crx "
        return None if picture else "MOV" if head[8:12] == b"qt  " else "MP4"
    if head[4:8] in _OLD_QUICKTIME:
        return "MOV"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "WebM" if b"webm" in head[:64] else "Matroska"
    return "AVI" if head[:4] == b"RIFF" and head[8:12] == b"AVI " else None


def is_video(path: str | Path) -> bool:
    """Whether a file is to be read as a video: by its first bytes; by its name where they are no picture's either."""
    try:
        if not Path(path).is_file():  # a pipe would never end
            return False
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError):
        return False
    if video_kind(head) or Path(path).suffix.lower() not in VIDEOS:
        return bool(video_kind(head))
    try:
        return not kind_of(head)
    except ImageError:
        return True


def kind_of(data: bytes) -> str:
    """The accepted format that the first bytes name."""
    if not data:
        raise ImageError("The file is empty.")
    if len(data) > MAX_BYTES:
        raise ImageError(too_heavy())
    if data[4:8] == b"ftyp":
        return _boxed_kind(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:2] == b"BM" and data[15:18] == bytes(3):
        return "BMP"
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            if kind == "TIFF" and data[8:10] == b"CR":
                raise other_kind("a camera raw file")
            return kind
    raise other_kind(_describe(data))


def _brands(data: bytes) -> set[bytes]:
    return {data[8:12]} | {data[i : i + 4] for i in range(16, min(int.from_bytes(data[:4], "big"), 256), 4)}


def _boxed_kind(data: bytes) -> str:
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        return "HEIC"
    raise other_kind("a camera raw file" if data[8:12] == b"crx " else "a video")


def _describe(data: bytes) -> str:
    for magic, what in _OTHER_KINDS:
        if data.startswith(magic):
            return what
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "a video"
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(b"<"):
        for tag, what in ((b"<svg", "an SVG drawing"), (b"<!doctype html", "a web page"), (b"<html", "a web page")):
            if tag in start:
                return what
    if start and all(32 <= byte < 127 or byte in b"\t\n\r\f" for byte in start):
        return "text"
    return ""


def other_kind(what: str) -> ImageError:
    start = f"The file looks like {what}, not a picture that can be read here" if what else "The file is not a picture"
    if what == "a video":
        return ImageError(f"{start}; {_FRAMES}.")
    advice = "save it as PNG or JPEG" if what.endswith(_TO_CONVERT) else f"accepted are {_ACCEPTED}"
    return ImageError(f"{start}; {advice}.")


def unreadable(data: bytes, kind: str) -> ImageError | None:
    """A sentence about the kind of a sound file that no decoder here reads, with what to convert it to."""
    try:
        what = _UNUSUAL[kind](data) if kind in _UNUSUAL else None
    except (ValueError, IndexError):
        return None
    if what is None:
        return None
    return ImageError(f"The file is {what}, a kind that can't be read here; save it as PNG, or as JPEG of 8 bits.")


def misread(data: bytes, kind: str) -> bool:
    """Whether the decoder would give wrong pixels without a word."""
    try:
        return kind == "TIFF" and tiff.misread(tiff.Directory(data))
    except ValueError:
        return False


def _unusual_heif(data: bytes) -> str | None:
    """Another codec than HEVC, or moving pictures without a still one (ISO/IEC 23008-12, 7.1)."""
    names = {name for name, _, _ in boxes.boxes(data, 0, boxes.end_of_picture(data))}
    if b"moov" in names and b"meta" not in names:
        return "a HEIF image sequence without a still picture"
    codecs = {b"av01": "AV1", b"vvc1": "VVC", b"avc1": "AVC", b"jpeg": "JPEG", b"j2k1": "JPEG 2000"}
    codec = codecs.get(boxes.File(data).codec())
    return f"a HEIF picture coded with {codec}" if codec else None


_UNUSUAL = {
    "JPEG": jpeg.unusual,
    "TIFF": lambda data: tiff.unusual(tiff.Directory(data)),
    "BMP": bmp.unusual,
    "HEIC": _unusual_heif,
}


def format_name(pillow_name: str) -> str:
    return {"MPO": "JPEG", "HEIF": "HEIC"}.get(pillow_name, pillow_name)
