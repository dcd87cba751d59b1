"""Small pictures and ZIP archives of them."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

from PIL import Image
from tiny import picture


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(seed)).save(file, "PNG")
    return file.getvalue()


def pack(path: Path, members: dict | list, method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> Path:
    """A ZIP of names or ready `ZipInfo`s and their bytes; a name may come twice."""
    with zipfile.ZipFile(path, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.comment = comment
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return path
