"""From an untrusted file, bytes, PIL image or array to an upright RGB uint8 picture, or one sentence why not.

Everything a picture passes before the detector sees it happens here: only the accepted formats reach a decoder, size
limits are checked from the header before decoding, 16-bit and floating-point values are scaled, embedded colour
profiles become sRGB, alpha is put on white, the EXIF orientation is applied. Pixels that need none of this are left
exactly as decoded. Pillow's settings are not changed.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from mdmf_core.errors import ImageError
from mdmf_core.images.bounds import (
    MAX_BYTES,
    MAX_PIXELS,
    Decoding,
    Sparing,
    check_size,
    megapixels,
    too_heavy,
    too_many_parts,
)
from mdmf_core.images.colour import eight_bits, on_white, ordinary
from mdmf_core.images.kinds import format_name, kind_of, other_kind
from mdmf_core.images.metadata import clean, exif_of, metadata_of

MAX_READS = 1_000_000  # of a file by Pillow's own code, from the pixels on
MAX_ZIPPED = 1_000  # zipped texts and profiles of a PNG
MAX_SCANNED = 4 * 10**9  # pixels of a JPEG times its scans, each of which goes through all of them
_PNG_METADATA = {b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP"}
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
_TIFF_SUBFILE, _TIFF_DNG_VERSION, _TIFF_TILE_WIDTH, _TIFF_TILE_LENGTH = 254, 50706, 322, 323


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
        return _from_bytes(_load_file(path), clean(path.name, 255), min_side)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_bytes(bytes(source), "image", min_side)
    if isinstance(source, Image.Image):
        return _from_pil(source, min_side)
    if isinstance(source, np.ndarray):
        return _from_array(source, min_side)
    raise ImageError("There is no picture here; give a file, its bytes, a PIL image or an array.")


def _load_file(path: Path) -> bytes:
    name = clean(path.name, 100) or "."
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f'"{name}" is a folder; give the picture files in it.')
        if not stat.S_ISREG(mode):
            raise ImageError(f'"{name}" is a device or a pipe; give a picture file.')
        if os.path.getsize(path) > MAX_BYTES:
            raise ImageError(too_heavy())
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


def _from_bytes(data: bytes, name: str, min_side: int) -> Picture:
    kind = kind_of(data)
    notes: list[str] = []
    with Decoding(f"The {kind} picture is damaged or cut off; get a fresh copy of it."):
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
        metadata = metadata_of(image)
    return Picture(pixels, hashlib.sha256(data).hexdigest(), kind, len(data), metadata, tuple(notes), name)


def _from_pil(image: Image.Image, min_side: int) -> Picture:
    notes: list[str] = []
    check_size(*image.size, min_side)
    with Decoding("The PIL image could not be decoded; load it again from its file."):
        pixels = _pixels(image, min_side, notes)
        metadata = metadata_of(image)
    kind = format_name(image.format) if image.format else "array"
    filename = getattr(image, "filename", "")
    name = clean(Path(os.fsdecode(filename)).name, 255) if filename else "image"
    digest = hashlib.sha256(pixels).hexdigest()
    return Picture(pixels, digest, kind, pixels.nbytes, metadata, tuple(notes), name)


def _from_array(array: np.ndarray, min_side: int) -> Picture:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ImageError("An array must have the shape (height, width), (height, width, 3) or (height, width, 4).")
    if array.dtype.kind not in "buif":
        raise ImageError("An array must hold numbers, 0 to 255 or 0 to 1.")
    check_size(array.shape[1], array.shape[0], min_side)
    notes: list[str] = []
    with Decoding("The array could not be read as a picture."):
        image = Image.fromarray(np.ascontiguousarray(eight_bits(array, notes)))
        pixels = np.array(on_white(image, None, notes))
    digest = hashlib.sha256(pixels).hexdigest()
    return Picture(pixels, digest, "array", pixels.nbytes, {}, tuple(notes), "image")


def _decode(data: bytes, kind: str, min_side: int, notes: list[str]) -> tuple[Image.Image, np.ndarray]:
    if kind == "PNG" and sum(data.count(name) for name in _PNG_ZIPPED) > MAX_ZIPPED:
        raise too_many_parts()
    image = _open(data, kind)
    check_size(*image.size, min_side)
    if kind == "JPEG" and len(_JPEG_SCAN.findall(data)) * image.width * image.height > MAX_SCANNED:
        raise too_many_parts()
    if kind == "TIFF":
        tags = image.tag_v2
        if _TIFF_DNG_VERSION in tags or tags.get(_TIFF_SUBFILE, 0) == 1:
            raise other_kind("a camera raw file")
        if float(tags.get(_TIFF_TILE_WIDTH, 0)) * float(tags.get(_TIFF_TILE_LENGTH, 0)) > MAX_PIXELS:
            raise ImageError(f"A tile of the picture has more than {megapixels()}; save it without tiles.")
        exif_of(image)  # once loaded, a TIFF no longer knows its file
    return image, _pixels(image, min_side, notes)


def _open(data: bytes, kind: str) -> Image.Image:
    """Read the header with the one decoder of `kind`."""
    if kind != "HEIC":
        file = Sparing(data, kind)
        image = Image.open(file, formats=[kind])
        file.left = MAX_READS
        return image
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise ImageError("HEIC pictures need the package pillow-heif; install it or convert to JPEG.") from None
    return HeifImageFile(io.BytesIO(data), "")


def _pixels(image: Image.Image, min_side: int, notes: list[str]) -> np.ndarray:
    """Decode, (H, W, 3) uint8."""
    image.load()
    vars(image).pop("_decoder", None)  # those of WebP and AVIF hold the picture again, or twice
    check_size(*image.size, min_side)
    profile = image.info.get("icc_profile")
    upright = on_white(ordinary(image, notes), profile, notes)
    orientation = exif_of(image).get(ExifTags.Base.Orientation, 1)
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
