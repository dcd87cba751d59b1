"""From an untrusted file, bytes, PIL image or array to an upright RGB uint8 picture, or one sentence why not.

Everything a picture passes before the detector sees it happens here: only the accepted formats reach a decoder, size
limits are checked from the header before decoding, 16-bit and floating-point values are scaled, declared colours
become sRGB, alpha is put on white, the orientation is applied by each container's rule. Pixels that need none of this
are left exactly as decoded. Pillow's settings are not changed.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mdmf_core.errors import ImageError
from mdmf_core.images import containers
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
from mdmf_core.images.colour import EMBEDDED, eight_bits, on_white, ordinary
from mdmf_core.images.containers import boxes, jpeg
from mdmf_core.images.declared import declared
from mdmf_core.images.kinds import format_name, kind_of, misread, other_kind, unreadable
from mdmf_core.images.metadata import MAX_TEXT, clean, exif_of, metadata_of, orientation_of
from mdmf_core.images.stealth import hidden_text

MAX_READS = 1_000_000  # of a file by Pillow's own code, from the pixels on
MAX_ZIPPED = 1_000  # zipped texts and profiles of a PNG
MAX_SCANNED = 4 * 10**9  # pixels of a JPEG times its scans, each of which goes through all of them
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
DAMAGED = "The {0} picture is damaged or cut off; get a fresh copy of it."
BROKEN_METADATA = "The file's metadata is broken and was ignored."
NO_END = "The file has no end marker, as if it had been cut off; every pixel of the picture is there."
_FILLER = 16
_TIFF_SUBFILE, _TIFF_DNG_VERSION, _TIFF_TILE_WIDTH, _TIFF_TILE_LENGTH = 254, 50706, 322, 323


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, ready for the detector.

    Attributes:
        pixels: (H, W, 3) uint8, upright, sRGB, alpha on white.
        sha256: of the file's bytes; of `pixels` for a PIL image or an array.
        format: "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"; "array" where there was no file.
        n_bytes: size of the file; of `pixels` for a PIL image or an array.
        metadata: EXIF tags (without GPS), text chunks and text hidden in the pixels, name to printable text of at most
            2,000 characters.
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
        return _from_bytes(load_file(path), clean(path.name, 255), min_side)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_bytes(bytes(source), "image", min_side)
    if isinstance(source, Image.Image):
        return _from_pil(source, min_side)
    if isinstance(source, np.ndarray):
        return _from_array(source, min_side)
    raise ImageError("There is no picture here; give a file, its bytes, a PIL image or an array.")


def load_file(path: Path) -> bytes:
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
    with Decoding(DAMAGED.format(kind)):
        if misread(data, kind):
            raise unreadable(data, kind) or ValueError("a layout that is misread")
        image, pixels = _decode_or_mend(data, kind, min_side, notes)
        metadata = metadata_of(image)
        if kind in ("PNG", "WEBP") and (hidden := clean(hidden_text(image), MAX_TEXT)):
            metadata = {"stealth_pnginfo": hidden, **metadata}
    return Picture(pixels, hashlib.sha256(data).hexdigest(), kind, len(data), metadata, tuple(notes), name)


def _decode_or_mend(data: bytes, kind: str, min_side: int, notes: list[str]) -> tuple[Image.Image, np.ndarray]:
    """Decode; where that fails, without broken metadata, then with the end marker that a JPEG lacks.

    Raises:
        ImageError: it is of a kind that no decoder here reads.
        Exception: what the decoder said of the file as it is.
    """
    try:
        return _decode(data, kind, min_side, notes)
    except ImageError:
        raise
    except Exception as error:
        if (refusal := unreadable(data, kind)) is not None:
            raise refusal from error
        bare = [(other, BROKEN_METADATA) for other in containers.without_metadata(data, kind) if other != data]
        for other, note in bare:
            with suppress(_Undecodable):
                return _attempt(other, kind, min_side, notes, note)
        for other, *note in ((data,), *bare) if kind == "JPEG" else ():
            with suppress(_Undecodable):
                return _without_end(other, min_side, notes, *note)
        raise


class _Undecodable(Exception):
    """A mended file that no decoder takes either."""


def _attempt(data: bytes, kind: str, min_side: int, notes: list[str], *said: str) -> tuple[Image.Image, np.ndarray]:
    notes[:] = said
    try:
        return _decode(data, kind, min_side, notes)
    except ImageError:
        raise
    except Exception as error:
        raise _Undecodable from error


def _without_end(data: bytes, min_side: int, notes: list[str], *said: str) -> tuple[Image.Image, np.ndarray]:
    """A JPEG whose scans are all there, only its end marker is not.

    Two different tails are put behind the data: if a single bit of the picture were missing, a decoder would take it
    from there, and the pixels would differ.
    """
    if jpeg.end_of_picture(data) != len(data) or not jpeg.scans_are_complete(data):
        raise _Undecodable
    data = data.rstrip(b"\xff")
    _, other = _attempt(data + bytes.fromhex("fedcba98") * 64 + jpeg.EOI, "JPEG", min_side, notes)
    image, pixels = _attempt(data + jpeg.EOI, "JPEG", min_side, notes, *said, NO_END)
    if not np.array_equal(pixels, other):
        raise _Undecodable
    return image, pixels


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
    if kind == "HEIC" and _is_incomplete(data):
        raise ImageError(DAMAGED.format(kind))
    image = _open(containers.plain(data, kind), kind)
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
    return image, _pixels(image, min_side, notes, data)


def _is_incomplete(data: bytes) -> bool:
    """Whether a part of a HEIC is missing, which libheif doesn't say of tiles; senseless boxes are its affair."""
    try:
        return boxes.File(data).is_incomplete()
    except (ValueError, IndexError, KeyError):
        return False


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


def _pixels(image: Image.Image, min_side: int, notes: list[str], data: bytes = b"") -> np.ndarray:
    """Decode, (H, W, 3) uint8; `data` is the file, where there is one."""
    frame = image.tile[0][1] if image.format == "GIF" and image.tile else None
    image.load()
    vars(image).pop("_decoder", None)  # those of WebP and AVIF hold the picture again, or twice
    check_size(*image.size, min_side)
    if image.format == "HEIF" and data:
        _check_tiles(image, data)
    profile, source = image.info.get("icc_profile"), EMBEDDED
    said = declared(data, format_name(image.format or ""), profile)
    notes += [said.note] if said.note else []
    if said.profile:
        profile, source = said.profile, said.words
    upright = on_white(ordinary(image, notes), profile, notes, source)
    if frame and frame != (0, 0, *image.size):
        upright = _on_canvas(upright, frame, notes)
    orientation = orientation_of(image)
    if orientation in _TURN:
        upright = upright.transpose(_TURN[orientation])
    pixels = np.array(upright)
    _note_frames(image, notes)
    return pixels


def _on_canvas(image: Image.Image, frame: tuple[int, int, int, int], notes: list[str]) -> Image.Image:
    """White around a first frame that is smaller than the picture: browsers leave that part transparent."""
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(image.crop(frame), frame[:2])
    notes.append("The first frame fills only a part of the picture; the rest was left white.")
    return canvas


def _check_tiles(image: Image.Image, data: bytes) -> None:
    """Refuse a tiled HEIC with a tile that can't be decoded, for which libheif puts in zeros without a word.

    Zeros in all three planes come out without red and blue in one even colour. Where a square is so, each tile is
    decoded as a picture of its own, which fails for such a tile.
    """
    pixels = np.asarray(image.convert("RGB"))
    height, width = (side // _FILLER * _FILLER for side in pixels.shape[:2])
    squares = pixels[:height, :width].reshape(height // _FILLER, _FILLER, width // _FILLER, _FILLER, 3)
    low, high = squares.min(axis=(1, 3)), squares.max(axis=(1, 3))
    if not ((low == high) & (high * (1, 0, 1) == 0)).all(-1).any():
        return
    file = boxes.File(data)
    for tile in file.tiles():
        _open(file.with_primary(tile), "HEIC").load()


def _note_frames(image: Image.Image, notes: list[str]) -> None:
    """Several frames are worth a note, except in a phone's MPO, where the others are previews or maps."""
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return
    if image.format in ("TIFF", "HEIF"):
        which = "first" if image.format == "TIFF" else "main one"
        notes.append(f"The file holds several pictures; only the {which} was analysed.")
    elif image.tell() == 0:
        notes.append("The file is animated; only its first frame was analysed.")
