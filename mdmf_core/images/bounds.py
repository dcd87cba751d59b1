"""How large, how long and how nested a picture may be; around every decoder, whatever it throws is one sentence."""

from __future__ import annotations

import io
import threading
import warnings
from typing import BinaryIO

from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from mdmf_core.errors import ImageError

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 70_000_000
MAX_SIDE = 20_000
MAX_HEADER_READS = {"JPEG": 2_000}  # before them; of other formats 10,000
MAX_NUMBERS = 2**20  # bytes of numbers in one directory of TIFF or EXIF entries


def too_heavy() -> str:
    return f"The file is larger than {MAX_BYTES // 2**20} MiB, the most that is accepted."


class Sparing(io.BytesIO):
    """A file in memory that may be read only so many times: headers can ask Pillow for millions of tiny steps."""

    def __init__(self, data: bytes, kind: str):
        super().__init__(data)
        self.left = MAX_HEADER_READS.get(kind, 10_000)

    def read(self, size: int | None = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise too_many_parts()
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


class Decoding:
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
        shared = Decoding
        with shared._lock:
            if shared._inside == 0:
                shared._saved = warnings.catch_warnings()
                shared._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")
                ImageFileDirectory_v2.load = _load_sane_directory
            shared._inside += 1

    def __exit__(self, kind, error, traceback) -> None:
        shared = Decoding
        with shared._lock:
            shared._inside -= 1
            if shared._inside == 0:
                ImageFileDirectory_v2.load = _load_directory
                shared._saved.__exit__(None, None, None)
        if isinstance(error, ImageError) or not isinstance(error, Exception):
            return
        if isinstance(error, Image.DecompressionBombError):
            raise ImageError(f"The picture has far more than the {megapixels()} that are accepted; crop it.") from None
        if isinstance(error, MemoryError):
            raise ImageError("There is not enough memory to decode the picture; crop it.") from None
        raise ImageError(self.sentence) from error


def megapixels() -> str:
    return f"{MAX_PIXELS // 1_000_000} megapixels"


def too_many_parts() -> ImageError:
    return ImageError("The picture's file is made of far too many parts; save it again in an image program.")


def check_size(width: int, height: int, min_side: int, what: str = "picture") -> None:
    size = f"The {what} is {width:,} x {height:,} pixels"
    if width * height > MAX_PIXELS:
        raise ImageError(f"{size}, more than the {megapixels()} that are accepted; crop it.")
    if max(width, height) > MAX_SIDE:
        raise ImageError(f"{size}; its longer side may have at most {MAX_SIDE:,}, so crop it.")
    if min(width, height) < min_side:
        raise ImageError(f"{size}, too small to judge; at least {min_side:,} x {min_side:,} are needed.")
