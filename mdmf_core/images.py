"""From an untrusted file, bytes, PIL image or array to an upright RGB uint8 picture, or one sentence why not.

Issue 2, "Images". Everything a picture passes before the detector sees it happens here: only the accepted
formats reach a decoder, size limits are checked from the header before decoding, 16-bit and floating-point
values are scaled, embedded colour profiles become sRGB, alpha is put on white, the EXIF orientation is
applied. Pixels that need none of this are left exactly as decoded. Pillow's settings are not changed.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageChops, ImageCms, TiffTags
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 70_000_000
MAX_SIDE = 20_000
MAX_TEXT = 2_000
MAX_ENTRIES = 200
MAX_READS = 1_000_000  # of a file by Pillow's own code, from the pixels on
MAX_HEADER_READS = {"JPEG": 2_000}  # before them; of other formats 10,000
MAX_ZIPPED = 1_000  # zipped texts and profiles of a PNG
MAX_NUMBERS = 2**20  # bytes of numbers in one directory of TIFF or EXIF entries
MAX_SCANNED = 4 * 10**9  # pixels of a JPEG times its scans, each of which goes through all of them
EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .gif .bmp .dib .tif .tiff .avif .heic .heif .hif".split()
)

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
    (b"\x00\x00\x01\xba", "a video"),
    (b"\x00\x00\x01\xb3", "a video"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"FUJIFILMCCD-RAW", "a camera raw file"),
    (b"IIRO", "a camera raw file"),
    (b"IIU\x00", "a camera raw file"),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_PNG_METADATA = {b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP"}
_PLUMBING = {
    *("ExifOffset", "GPSInfo", "ExifInteroperabilityOffset", "MakerNote", "InterColorProfile", "JPEGTables"),
    *("StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts", "SubIFDs", "JpegIFOffset"),
    *("ImageWidth", "ImageLength", "BitsPerSample", "SamplesPerPixel", "SampleFormat", "RowsPerStrip"),
    *("Compression", "PhotometricInterpretation", "PlanarConfiguration", "FillOrder"),
}
_PNG_ZIPPED = (b"zTXt", b"iTXt", b"iCCP")
_JPEG_SCAN = re.compile(rb"\xff\xda\0(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_TIFF_BITS_PER_SAMPLE, _TIFF_PHOTOMETRIC, _TIFF_SUBFILE, _TIFF_DNG_VERSION = 258, 262, 254, 50706
_TIFF_TILE_WIDTH, _TIFF_TILE_LENGTH = 322, 323


class ImageError(ValueError):
    """The picture cannot be analysed; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, ready for the detector.

    Attributes:
        pixels: (H, W, 3) uint8, upright, sRGB, alpha on white.
        sha256: of the file's bytes; of `pixels` for a PIL image or an array.
        format: "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"; "array" where there was no file.
        n_bytes: size of the file; of `pixels` for a PIL image or an array.
        metadata: EXIF tags (without GPS) and text chunks, name to printable text of at most 2,000 characters.
        notes: what was done to the picture that the user should know, one sentence each.
        name: file name without its folder.
    """

    pixels: np.ndarray
    sha256: str
    format: str
    n_bytes: int
    metadata: dict[str, str]
    notes: tuple[str, ...]
    name: str

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]


def is_image_name(path: str | Path) -> bool:
    """Whether a file's name promises an accepted format; hidden files are passed over."""
    path = Path(path)
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def read(source: str | Path | bytes | Image.Image | np.ndarray, min_side: int = 128) -> Picture:
    """Read a picture from whatever holds it.

    Args:
        source: path of a file; a file's bytes; a PIL image; or an array of shape (H, W), (H, W, 1), (H, W, 3)
            or (H, W, 4), uint8, uint16, bool, or numbers of 0..1 (floating point) or 0..255.
        min_side: least width and height in pixels.

    Raises:
        ImageError: it is no picture, is damaged, or is too small or too large.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return _from_bytes(_load_file(path), _clean(path.name, 255), min_side)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_bytes(bytes(source), "image", min_side)
    if isinstance(source, Image.Image):
        return _from_pil(source, min_side)
    if isinstance(source, np.ndarray):
        return _from_array(source, min_side)
    raise ImageError("There is no picture here; give a file, its bytes, a PIL image or an array.")


def _load_file(path: Path) -> bytes:
    name = _clean(path.name, 100) or "."
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f'"{name}" is a folder; give the picture files in it.')
        if not stat.S_ISREG(mode):
            raise ImageError(f'"{name}" is a device or a pipe; give a picture file.')
        if os.path.getsize(path) > MAX_BYTES:
            raise ImageError(_too_heavy())
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f'There is no file named "{name}".') from None
    except PermissionError:
        raise ImageError(f'"{name}" may not be read; check its permissions.') from None
    except OSError:
        raise ImageError(f'"{name}" cannot be read from the disk.') from None
    except ImageError:
        raise
    except ValueError:  # a null character in the path
        raise ImageError(f'There is no file named "{name}".') from None


def _too_heavy() -> str:
    return f"The file is larger than {MAX_BYTES // 2**20} MiB, the most that is accepted."


def _from_bytes(data: bytes, name: str, min_side: int) -> Picture:
    kind = _kind(data)
    notes: list[str] = []
    with _Decoding(f"The {kind} picture is damaged or cut off; get a fresh copy of it."):
        try:
            image, pixels = _decode(data, kind, min_side, notes)
        except ImageError:
            raise
        except Exception:
            bare = _without_metadata(data, kind)
            if bare == data:
                raise
            notes[:] = ["The file's metadata is broken and was ignored."]
            image, pixels = _decode(bare, kind, min_side, notes)
        metadata = _metadata(image)
    return Picture(pixels, hashlib.sha256(data).hexdigest(), kind, len(data), metadata, tuple(notes), name)


def _from_pil(image: Image.Image, min_side: int) -> Picture:
    notes: list[str] = []
    _check_size(*image.size, min_side)
    with _Decoding("The PIL image could not be decoded; load it again from its file."):
        pixels = _pixels(image, min_side, notes)
        metadata = _metadata(image)
    kind = _format_name(image.format) if image.format else "array"
    filename = getattr(image, "filename", "")
    name = _clean(Path(os.fsdecode(filename)).name, 255) if filename else "image"
    digest = hashlib.sha256(pixels).hexdigest()
    return Picture(pixels, digest, kind, pixels.nbytes, metadata, tuple(notes), name)


def _from_array(array: np.ndarray, min_side: int) -> Picture:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ImageError("An array must have the shape (height, width), (height, width, 3) or (height, width, 4).")
    if array.dtype.kind not in "buif":
        raise ImageError("An array must hold numbers, 0 to 255 or 0 to 1.")
    _check_size(array.shape[1], array.shape[0], min_side)
    notes: list[str] = []
    with _Decoding("The array could not be read as a picture."):
        image = Image.fromarray(np.ascontiguousarray(_eight_bits(array, notes)))
        pixels = np.array(_on_white(image, None, notes))
    digest = hashlib.sha256(pixels).hexdigest()
    return Picture(pixels, digest, "array", pixels.nbytes, {}, tuple(notes), "image")


class _Sparing(io.BytesIO):
    """A file in memory that may be read only so many times: headers can ask Pillow for millions of tiny steps."""

    def __init__(self, data: bytes, kind: str):
        super().__init__(data)
        self.left = MAX_HEADER_READS.get(kind, 10_000)

    def read(self, size: int | None = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise _too_many_parts()
        return super().read(size)


class _Ration:
    """A file for one directory of TIFF or EXIF entries, which may read no more than all of it: entries can overlap."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        here = file.tell()
        self._left = file.seek(0, io.SEEK_END) + 2**16  # a few short values may share a place
        file.seek(here)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise OSError("the entries overlap")
        return data


_load_directory = ImageFileDirectory_v2.load


def _load_sane_directory(directory: ImageFileDirectory_v2, file: BinaryIO) -> None:
    """Pillow's reader of TIFF and EXIF entries, within bounds; a directory of more numbers than that is empty."""
    _load_directory(directory, _Ration(file))
    texts = (TiffTags.BYTE, TiffTags.ASCII, TiffTags.UNDEFINED)
    numbers = (len(data) for tag, data in directory._tagdata.items() if directory.tagtype[tag] not in texts)
    if sum(numbers) > MAX_NUMBERS:
        directory.reset()


class _Decoding:
    """Around every decoder: its warnings stay inside, whatever it throws becomes an ImageError.

    Meanwhile Pillow reads directories of entries within bounds. `warnings.catch_warnings` puts back what it found on
    entry, so two threads that overlap could leave the importing program with changed filters; here the first one in
    saves and the last one out restores.
    """

    _lock = threading.Lock()
    _inside = 0
    _saved: warnings.catch_warnings

    def __init__(self, sentence: str):
        self.sentence = sentence

    def __enter__(self) -> None:
        shared = _Decoding
        with shared._lock:
            if shared._inside == 0:
                shared._saved = warnings.catch_warnings()
                shared._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")
                ImageFileDirectory_v2.load = _load_sane_directory
            shared._inside += 1

    def __exit__(self, kind, error, traceback) -> None:
        shared = _Decoding
        with shared._lock:
            shared._inside -= 1
            if shared._inside == 0:
                ImageFileDirectory_v2.load = _load_directory
                shared._saved.__exit__(None, None, None)
        if isinstance(error, ImageError) or not isinstance(error, Exception):
            return
        if isinstance(error, Image.DecompressionBombError):
            raise ImageError(f"The picture has far more than the {_megapixels()} that are accepted; crop it.") from None
        if isinstance(error, MemoryError):
            raise ImageError("There is not enough memory to decode the picture; crop it.") from None
        raise ImageError(self.sentence) from error


def _kind(data: bytes) -> str:
    """The accepted format that the first bytes name."""
    if not data:
        raise ImageError("The file is empty.")
    if len(data) > MAX_BYTES:
        raise ImageError(_too_heavy())
    if data[4:8] == b"ftyp":
        return _boxed_kind(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:2] == b"BM" and data[15:18] == bytes(3):
        return "BMP"
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            if kind == "TIFF" and data[8:10] == b"CR":
                raise _other_kind("a camera raw file")
            return kind
    raise _other_kind(_describe(data))


def _boxed_kind(data: bytes) -> str:
    brands = {data[8:12]} | {data[i : i + 4] for i in range(16, min(int.from_bytes(data[:4], "big"), 256), 4)}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        return "HEIC"
    raise _other_kind("a camera raw file" if data[8:12] == b"crx " else "a video")


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


def _other_kind(what: str) -> ImageError:
    start = f"The file looks like {what}, not a picture that can be read here" if what else "The file is not a picture"
    return ImageError(f"{start}; accepted are {_ACCEPTED}.")


def _megapixels() -> str:
    return f"{MAX_PIXELS // 1_000_000} megapixels"


def _too_many_parts() -> ImageError:
    return ImageError("The picture's file is made of far too many parts; save it again in an image program.")


def _check_size(width: int, height: int, min_side: int) -> None:
    size = f"The picture is {width:,} x {height:,} pixels"
    if width * height > MAX_PIXELS:
        raise ImageError(f"{size}, more than the {_megapixels()} that are accepted; crop it.")
    if max(width, height) > MAX_SIDE:
        raise ImageError(f"{size}; its longer side may have at most {MAX_SIDE:,}, so crop it.")
    if min(width, height) < min_side:
        raise ImageError(f"{size}, too small to judge; at least {min_side:,} x {min_side:,} are needed.")


def _decode(data: bytes, kind: str, min_side: int, notes: list[str]) -> tuple[Image.Image, np.ndarray]:
    if kind == "PNG" and sum(data.count(name) for name in _PNG_ZIPPED) > MAX_ZIPPED:
        raise _too_many_parts()
    image = _open(data, kind)
    _check_size(*image.size, min_side)
    if kind == "JPEG" and len(_JPEG_SCAN.findall(data)) * image.width * image.height > MAX_SCANNED:
        raise _too_many_parts()
    if kind == "TIFF":
        tags = image.tag_v2
        if _TIFF_DNG_VERSION in tags or tags.get(_TIFF_SUBFILE, 0) == 1:
            raise _other_kind("a camera raw file")
        if float(tags.get(_TIFF_TILE_WIDTH, 0)) * float(tags.get(_TIFF_TILE_LENGTH, 0)) > MAX_PIXELS:
            raise ImageError(f"A tile of the picture has more than {_megapixels()}; save it without tiles.")
        _exif(image)  # once loaded, a TIFF no longer knows its file
    return image, _pixels(image, min_side, notes)


def _open(data: bytes, kind: str) -> Image.Image:
    """Read the header with the one decoder of `kind`."""
    if kind != "HEIC":
        file = _Sparing(data, kind)
        image = Image.open(file, formats=[kind])
        file.left = MAX_READS
        return image
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise ImageError("HEIC pictures need the package pillow-heif; install it or convert to JPEG.") from None
    return HeifImageFile(io.BytesIO(data), "")


def _format_name(pillow_name: str) -> str:
    return {"MPO": "JPEG", "HEIF": "HEIC"}.get(pillow_name, pillow_name)


def _pixels(image: Image.Image, min_side: int, notes: list[str]) -> np.ndarray:
    """Decode, (H, W, 3) uint8."""
    image.load()
    vars(image).pop("_decoder", None)  # those of WebP and AVIF hold the picture again, or twice
    _check_size(*image.size, min_side)
    profile = image.info.get("icc_profile")
    upright = _on_white(_ordinary(image, notes), profile, notes)
    orientation = _exif(image).get(ExifTags.Base.Orientation, 1)
    if isinstance(orientation, int) and orientation in _TURN:
        upright = upright.transpose(_TURN[orientation])
    pixels = np.array(upright)
    _note_frames(image, notes)
    return pixels


def _note_frames(image: Image.Image, notes: list[str]) -> None:
    """Several frames are worth a note, except in a phone's MPO, where the others are previews or maps."""
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return
    if image.format in ("TIFF", "HEIF"):
        which = "first" if image.format == "TIFF" else "main one"
        notes.append(f"The file holds several pictures; only the {which} was analysed.")
    elif image.tell() == 0:
        notes.append("The file is animated; only its first frame was analysed.")


def _ordinary(image: Image.Image, notes: list[str]) -> Image.Image:
    """The picture in mode L, RGB, CMYK or LAB, or LA or RGBA where something is transparent."""
    if image.mode.startswith("I") or image.mode == "F":
        return _narrowed(image, notes)
    if image.has_transparency_data:
        if image.mode in ("La", "RGBa"):
            return image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
        return image if image.mode in ("LA", "RGBA") else image.convert("LA" if image.mode in "1L" else "RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")


def _narrowed(image: Image.Image, notes: list[str]) -> Image.Image:
    """One channel of more than 8 bits, as L or (with a transparent value) LA."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS_PER_SAMPLE, (16,))[0] if image.mode.startswith("I;16") else 16
    grey = _eight_bits(values, notes, 2 ** min(bits, 16) - 1)
    if image.mode.startswith("I;16") and tags.get(_TIFF_PHOTOMETRIC) == 0:
        grey = 255 - grey
    narrow = Image.fromarray(grey)
    if isinstance(image.info.get("transparency"), int):
        opaque = Image.fromarray(np.where(values == image.info["transparency"], 0, 255).astype(np.uint8))
        return Image.merge("LA", (narrow, opaque))
    return narrow


def _eight_bits(values: np.ndarray, notes: list[str], top_of_16: int = 65535) -> np.ndarray:
    """Scale numbers to uint8 of the same shape.

    uint16 counts from 0 to `top_of_16`. Wider numbers are taken as 0..1 (floating point only), 0..255 or
    0..65535, whichever holds them all; failing that, their whole range is stretched, with a note.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * 255
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        table = np.minimum(np.rint(np.arange(65536) * (255 / top_of_16)), 255).astype(np.uint8)
        return table[values]
    finite = np.isfinite(values)
    has_holes = not finite.all()
    if has_holes:
        notes.append("The file holds values that are not numbers; they were taken as black.")
    low = values.min(where=finite, initial=0 if has_holes else values.flat[0])
    low, high = float(low), float(values.max(where=finite, initial=low))
    tops = [top for top in ((1.0,) if values.dtype.kind == "f" else ()) + (255.0, 65535.0) if high <= top]
    if low >= 0 and tops:
        black, white = 0.0, tops[0]
    else:
        black, white = low, high
        notes.append("The values exceed the usual range; all of them were stretched to 8 bits.")
    eight = np.empty(values.shape, np.uint8)
    for rows in np.array_split(np.arange(len(values)), -(-values.size // MAX_NUMBERS)):
        part = slice(rows[0], rows[-1] + 1)
        eight[part] = _scaled(np.where(finite[part], values[part], low), black, white)
    return eight


def _scaled(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Numbers to uint8 of the same shape, `black` to 0 and `white` to 255."""
    scaled = values.astype(np.float64)
    with np.errstate(all="ignore"):
        scaled -= black
        scaled *= 255 / ((white - black) or 1.0)
        np.rint(scaled, out=scaled)
    return np.nan_to_num(scaled, copy=False).clip(0, 255).astype(np.uint8)


def _on_white(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """Mode RGB: colours to sRGB, then whatever is transparent on white."""
    if image.mode not in ("LA", "RGBA"):
        return _to_srgb(image, profile, notes)
    alpha = image.getchannel("A")
    colours = _to_srgb(image.convert(image.mode[:-1]), profile, notes)
    if alpha.getextrema()[0] == 255:
        return colours
    notes.append("Transparent parts were put on white.")
    colours.paste("white", mask=ImageChops.invert(alpha))
    return colours


def _to_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    if image.mode == "LAB":
        return _transform(ImageCms.createProfile("LAB"), "LAB").apply(image)
    if profile:
        try:
            return _through_profile(image, profile, notes)
        except Exception:  # lcms and Pillow throw many kinds, and none of them concerns the picture itself
            notes.append("The embedded colour profile is broken or does not fit the picture, and was ignored.")
    return _as_rgb(image)


def _as_rgb(image: Image.Image) -> Image.Image:
    """Mode RGB, without the copy that `convert` makes of what is RGB already."""
    return image if image.mode == "RGB" else image.convert("RGB")


def _through_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Convert by an embedded profile, unless it is sRGB by its effect: then no pixel may change by rounding.

    Floating-point transforms (tags D2B0 to D2B3) may have any number of stages and are passed over; profiles that
    have them must have ordinary ones too (ICC.1:2022, section 8).
    """
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile.replace(b"D2B", b"off")))
    mode = _PROFILE_MODES[opened.profile.xcolor_space.strip()]
    if (image.mode, mode) == ("L", "RGB"):
        image = image.convert("RGB")
    if image.mode != mode:
        raise ImageCms.PyCMSError("the profile is for another kind of picture")
    transform = _transform(opened, mode)
    if mode != "CMYK":
        probe = _probe(mode)
        change = np.asarray(transform.apply(probe), np.int16) - np.asarray(probe.convert("RGB"), np.int16)
        if np.abs(change).max() <= 2:
            return _as_rgb(image)
    name = _clean(opened.profile.profile_description or "", 60)
    named = f" ({name.rstrip('.')})" if name else ""
    notes.append(f"The colours were converted from the embedded profile{named} to sRGB.")
    return transform.apply(image)


def _transform(profile, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _probe(mode: str) -> Image.Image:
    """All grey levels, or a 9 x 9 x 9 lattice of colours."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.rint(np.linspace(0, 255, 9)).astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3))


def _without_metadata(data: bytes, kind: str) -> bytes:
    """The file less what describes the picture, in the formats where one broken comment fails the decoder.

    A PNG loses its text, EXIF and profile chunks; an AVIF's EXIF item becomes one of an unknown type.
    """
    if kind == "AVIF":
        return data[:4096].replace(b"Exif", b"skip") + data[4096:]
    if kind != "PNG":
        return data
    kept, at = [data[:8]], 8
    while at + 12 <= len(data) and len(kept) < MAX_READS:
        length, name = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if name not in _PNG_METADATA or end > len(data):
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def _exif(image: Image.Image) -> Image.Exif:
    try:
        return image.getexif()
    except Exception:  # broken EXIF is no EXIF
        return Image.Exif()


def _metadata(image: Image.Image) -> dict[str, str]:
    """Text chunks and EXIF of a loaded image; what cannot be read is left out."""
    exif = _exif(image)
    texts: dict[str, str] = {}
    for directory in (lambda: _text_chunks(image), lambda: exif, lambda: exif.get_ifd(ExifTags.IFD.Exif)):
        try:
            entries = directory()
            for key in entries:
                name = _clean(key if isinstance(key, str) else ExifTags.TAGS.get(key, ""), 100)
                text = _printable(name, entries[key]) if name and name not in _PLUMBING else ""
                if text and len(texts) < MAX_ENTRIES:
                    texts.setdefault(name, text)
        except Exception:  # noqa: S112  # a directory may point anywhere, and a value be of any type
            continue
    return texts


def _text_chunks(image: Image.Image) -> dict[str, object]:
    """PNG text, GIF and JPEG comments, XMP. Of an APNG only those before the pixels: Pillow would decode it all."""
    chunks = {name: image.info[name] for name in ("comment", "xmp") if name in image.info}
    if getattr(image, "format", None) != "PNG":
        return chunks
    if getattr(image, "is_animated", False):
        return {name: value for name, value in image.info.items() if isinstance(name, str) and isinstance(value, str)}
    return {**getattr(image, "text", {}), **chunks}


def _printable(name: str, value: object) -> str:
    """A metadata value as short text; empty where it is binary or a long list."""
    if isinstance(value, bytes):
        return _decoded(name, value[: 4 * MAX_TEXT])
    if isinstance(value, tuple):
        return ", ".join(_printable(name, item) for item in value) if len(value) <= 16 else ""
    if isinstance(value, IFDRational):
        return _rational(value)
    return _clean(f"{value:g}" if isinstance(value, float) else str(value), MAX_TEXT)


def _decoded(name: str, value: bytes) -> str:
    if name.startswith("XP") or value.startswith(b"UNICODE\0"):
        text = value.removeprefix(b"UNICODE\0")
        big_endian = not name.startswith("XP") and text[:1] == b"\0"
        return _clean(text.decode("utf-16-be" if big_endian else "utf-16-le", "ignore"), MAX_TEXT)
    text = value.removeprefix(b"ASCII\0\0\0").rstrip(b"\0").decode("utf-8", "replace")
    unreadable = sum(letter == "\ufffd" or not (letter.isprintable() or letter.isspace()) for letter in text)
    return _clean(text, MAX_TEXT) if unreadable <= len(text) / 10 else ""


def _rational(value: IFDRational) -> str:
    if value.denominator and value.numerator == 1 and value.denominator > 1:
        return f"1/{value.denominator}"
    return f"{float(value):g}"


def _clean(text: str, most: int) -> str:
    """One line of printable characters."""
    words = " ".join(text[: 4 * most].split())
    return "".join(letter for letter in words if letter.isprintable())[:most]
