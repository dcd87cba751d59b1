"""What a file says about its own origin: camera, software, generator, IPTC source type, C2PA manifest.

Nothing here enters the score: these are statements that anybody can write or remove, except a C2PA signature, which is
checked. Nothing is fetched from a network: manifests and revocation lists that are kept elsewhere are left alone. Every
string is one line of printable characters with a limit; whoever shows it escapes it.

Sources: C2PA specification 2.4, section "Validation" (status codes); IPTC NewsCodes, "Digital Source Type". The setting
MDMF_C2PA_TRUST names a PEM file with the certificates of trusted authorities; none is bundled. `origin_of` gives the
one line that is shown first.
"""

from __future__ import annotations

import os
from pathlib import Path

from mdmf_core.images import containers, reader
from mdmf_core.images.origin.camera import camera_of
from mdmf_core.images.origin.first import as_json, contradiction, in_short, opening, summary, together
from mdmf_core.images.origin.generators import claims_of
from mdmf_core.images.origin.manifest import read_manifest
from mdmf_core.images.origin.marks import find_marks
from mdmf_core.images.origin.records import records_of
from mdmf_core.images.origin.said import Origin, Provenance
from mdmf_core.images.origin.xmp import Xmp, source_code, source_words
from mdmf_core.images.reader import Picture
from mdmf_core.sentence import said
from mdmf_core.texts import plain

__all__ = [
    "Origin",
    "as_json",
    "contradiction",
    "in_short",
    "opening",
    "origin_of",
    "read_provenance",
    "summary",
    "together",
]

SAYS_NOTHING = said(
    "declared.says_nothing",
    "The file says nothing about its origin; most sites remove such records, so this means nothing.",
)
DEVICE_UNSIGNED = said("declared.device_unsigned", "Names of devices are not signed: any program can write them.")


def origin_of(source: Picture | str | Path | bytes, picture: Picture | None = None) -> Origin:
    """What a picture's file declares of its origin, in one line; a bad file declares nothing.

    Args:
        source: a path or a file's bytes; or a picture alone, of which only its metadata and pixels can be asked.
        picture: what was read from it, where that is at hand.

    Raises:
        ImageError: `source` is no picture that can be read, and `picture` was not given.
    """
    if isinstance(source, Picture):
        return summary(read_provenance(b"", source))
    return summary(read_provenance(source, picture or reader.read(source, 1)))


def read_provenance(source: str | Path | bytes, picture: Picture, trust: str | Path | None = None) -> Provenance:
    """Everything a file says about its origin; a bad file gives notes, never an exception.

    Args:
        source: path or bytes of the file that `picture` was read from.
        picture: for its metadata, format and pixels.
        trust: PEM file of trusted authorities for C2PA; None takes the setting MDMF_C2PA_TRUST.
    """
    notes: list[str] = []
    data = _load(source, notes)
    xmp = Xmp(containers.xmp(data, picture.format))
    code = source_code(xmp)
    records = records_of(picture.metadata, data, picture.format, xmp)
    software = records.get("Software") or xmp.field("CreatorTool")
    generator = claims_of(records, xmp)
    camera = camera_of(picture.metadata)
    marks = find_marks(picture.pixels)
    manifest = read_manifest(data, picture.format, trust or os.environ.get("MDMF_C2PA_TRUST"), xmp, notes)
    if not (camera or software or generator or code or manifest):
        notes.append(SAYS_NOTHING)
    elif camera and not manifest:
        notes.append(DEVICE_UNSIGNED)
    return Provenance(
        camera=camera,
        software=plain(software) or None if software else None,
        generator=generator,
        digital_source_type=source_words(code) if code else None,
        digital_source_code=code,
        c2pa=manifest,
        notes=tuple(notes),
        marks=marks,
    )


def _load(source: str | Path | bytes, notes: list[str]) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    try:
        return Path(source).read_bytes()
    except (OSError, ValueError):
        notes.append("The file can't be read any more, so only its EXIF and text fields are shown.")
        return b""
