"""A reference of trusted pictures as one safetensors file: scores and signatures, no pixels.

It may come from anybody, so its size is bounded and every tensor is checked before it is used. Names of pictures are
in it only where they were asked for; else it has their SHA-256, by which a picture that is one of them is known.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mdmf_core.detector import Detector
from mdmf_core.errors import TrustedError
from mdmf_core.files import reason, write_whole
from mdmf_core.method import company
from mdmf_core.method.state import KINDS
from mdmf_core.texts import plain
from mdmf_core.trusted.pictures import COLUMNS, OTHER_MODEL, PATCHES, Trusted, check_count

FORMAT = "mdmf trusted pictures 1"
MOST_BYTES = 2**26
LONGEST_NAME = 200
NUMBERS = (*COLUMNS, "likeness")
KEYS = {"format", "fingerprint", "name", "hashes", "pictures"}


def save(trusted: Trusted, path: str | Path, keep_names: bool = False) -> Path:
    """Write a reference; signatures in float32, all else in float64.

    Args:
        trusted: the reference.
        path: of the file.
        keep_names: also write what the pictures are called.

    Raises:
        WriteError: the disk is full or the folder can't be written; one sentence.
    """
    tensors = {name: torch.from_numpy(getattr(trusted, name).astype(np.float64)) for name in NUMBERS}
    tensors["signatures"] = trusted.signatures.float().contiguous()
    told = {
        "format": FORMAT,
        "fingerprint": trusted.fingerprint,
        "name": trusted.name,
        "hashes": trusted.hashes,
        "pictures": trusted.pictures if keep_names else (),
    }
    content = {"content": json.dumps(told, sort_keys=True)}
    return write_whole(path, lambda place: save_file(tensors, place, metadata=content))


def load(path: str | Path, detector: Detector) -> Trusted:
    """Read a reference for the detector that made it.

    Raises:
        TrustedError: the file can't be read, is damaged, or was made with another model; one sentence.
    """
    path = Path(path)
    shown = plain(path.name, LONGEST_NAME)
    try:
        told, tensors = _read(path)
        if told.fingerprint != detector.fingerprint:
            raise TrustedError(OTHER_MODEL.format(told.name))
        _check(tensors, len(told.hashes), detector.model.pfs.config["signature"])
    except OSError as error:
        raise TrustedError(f"The reference {shown} can't be read: {reason(error)}.") from error
    except SafetensorError as error:
        raise TrustedError(f"The file {shown} is damaged or no reference of trusted pictures.") from error
    except _Unfit as error:
        raise TrustedError(f"The file {shown} is no reference that can be used: {error}.") from error
    check_count(len(told.hashes))
    numbers = {name: tensors[name].numpy() for name in NUMBERS}
    whole = {name: numbers.pop(name).astype(np.int64) for name in ("n_patches", "details")}
    return Trusted(
        told.name,
        **numbers,
        **whole,
        signatures=tensors["signatures"],
        hashes=told.hashes,
        pictures=told.pictures,
        fingerprint=told.fingerprint,
        bank=detector.reference.real,
        kernel=detector.model.kernel,
        sizes=company.sizes(detector.reference.scores_by_size(detector.model.statistic)),
    )


class _Unfit(ValueError):
    """What is wrong with a file's content, as the end of a sentence."""


@dataclass(frozen=True)
class _Told:
    """What a file says about itself."""

    name: str
    fingerprint: str
    hashes: tuple[str, ...]
    pictures: tuple[str, ...]


def _read(path: Path) -> tuple[_Told, dict[str, Tensor]]:
    if path.stat().st_size > MOST_BYTES:
        raise _Unfit(f"it is larger than {MOST_BYTES // 2**20} MiB")
    with safe_open(path, framework="pt") as file:
        told = _content((file.metadata() or {}).get("content", "{}"))
        if set(file.keys()) != {*NUMBERS, "signatures"}:
            raise _Unfit("it does not hold what one does")
        return told, {
            name: file.get_tensor(name).clone() for name in file.keys()
        }  # else views of a file that may change


def _content(text: str) -> _Told:
    try:
        told: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Unfit("what it says about itself can't be read") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT or set(told) != KEYS:
        raise _Unfit("it does not say that it is one")
    hashes, pictures = (told[name] if isinstance(told[name], list) else [None] for name in ("hashes", "pictures"))
    texts = [told["name"], told["fingerprint"], *hashes, *pictures]
    if not all(isinstance(text, str) for text in texts) or len(pictures) not in (0, len(hashes)):
        raise _Unfit("what it says about its pictures does not fit")
    if len(set(hashes)) < len(hashes) or not all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in hashes):
        raise _Unfit("what it says about its pictures does not fit")
    shown = tuple(plain(name, LONGEST_NAME) for name in pictures)
    return _Told(plain(told["name"], LONGEST_NAME), told["fingerprint"], tuple(hashes), shown)


def _check(tensors: dict[str, Tensor], n: int, signature: int) -> None:
    """Refuse tensors of other shapes or with values that can't be.

    Raises:
        _Unfit: which one, as the end of a sentence.
    """
    for name, value in tensors.items():
        kind, shape = (torch.float32, 3) if name == "signatures" else (torch.float64, 1)
        if value.dtype != kind or value.ndim != shape or len(value) != n or not torch.isfinite(value).all():
            raise _Unfit(f"its {name} do not fit")
    if not 1 <= tensors["signatures"].shape[1] <= PATCHES or tensors["signatures"].shape[2] != signature:
        raise _Unfit("its signatures do not fit")
    whole = tensors["details"], tensors["n_patches"]
    bounds = {
        "details": (0, len(KINDS) - 1),
        "n_patches": (1, 10**6),
        "p_values": (0, 1),
        "real": (0, 1.001),
        "likeness": (0, n),
    }
    outside = [name for name, (low, high) in bounds.items() if ((tensors[name] < low) | (tensors[name] > high)).any()]
    outside += ["details"] if any((value != value.round()).any() for value in whole) else []
    if outside:
        raise _Unfit(f"its {outside[0]} do not fit")
