"""Which sources are held out, by the file of roles (`benchmarks/configs/folds.json`).

The file maps "real/SOURCE" or "fake/SOURCE" to a kind (gan, diffusion_2022, sdxl_era, 2025_on, upscalers; cameras, web,
faces, art) and a role (train, validation, calibration, test, apart). What has the role "test" is held out; "apart" are
upscalers, which alter a picture and do not make one. The kind "art" is of real pictures: paintings, renders, gloss.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from mdmf_core.errors import DatasetError
from mdmf_core.training.dataset import Entry, lot, scan

FOLDS = Path(__file__).resolve().parents[1] / "configs" / "folds.json"
HELD_OUT, ART = "test", "art"
Roles = dict[str, dict]


def load(path: Path = FOLDS) -> Roles:
    return json.loads(path.read_text("utf-8"))


def name_of(label: int, source: str) -> str:
    """A source's name in the file of roles: "real/ffhq1024" or "fake/sdxl"."""
    return f"{('real', 'fake')[label]}/{source}"


def held_out(data: Path, roles: Roles, most: int | None = None) -> list[Entry]:
    """Labelled pictures below a folder whose sources are held out, at most `most` a source, drawn by `lot`.

    Raises:
        DatasetError: there is none.
    """
    found = [entry for entry in scan(data) if roles.get(name_of(entry.label, entry.source), {}).get("role") == HELD_OUT]
    if not found:
        raise DatasetError(f"No picture below {data} is of a source that is held out.")
    return found if most is None else _some(found, most)


def _some(entries: Iterable[Entry], most: int) -> list[Entry]:
    by_source: dict[tuple[int, str], list[Entry]] = {}
    for entry in entries:
        by_source.setdefault((entry.label, entry.source), []).append(entry)
    return [entry for own in by_source.values() for entry in sorted(own, key=lambda entry: lot(entry.key))[:most]]


def without_art(entries: Iterable[Entry], roles: Roles) -> list[Entry]:
    """Photographs and generated pictures alone."""
    return [entry for entry in entries if roles[name_of(entry.label, entry.source)]["kind"] != ART]
