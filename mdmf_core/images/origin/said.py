"""The statements of a file about its origin, as every reader gives them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

MAX_TEXT = 2_000
MAX_LIST = 20


@dataclass(frozen=True)
class Claim:
    """A generator's own record: which tool, the field it stands in, and its text."""

    tool: str
    field: str
    text: str


@dataclass(frozen=True)
class C2PA:
    """A signed manifest and what checking it gave.

    Attributes:
        signer: whom the certificate names, which only a trust list confirms.
        state: "valid", "untrusted_signer", "expired", "revoked", "altered" or "malformed": the worst finding.
        explanation: that finding as one sentence.
        problems: the other findings, one sentence each.
        unchanged: whether the picture is as it was when signed; None where that can't be told.
        claims_ai: the manifest, or that of an earlier version or a part, declares generative AI.
        source_types: what it declares about the origin, in plain words.
        actions: what was done to the picture, oldest first within each manifest.
        when: time of signing by the signer's time stamp.
        program: what wrote the manifest.
        declares: IPTC code that it gives for this picture itself: its own or, where it only opens an earlier version,
            that version's; None where there is none.
    """

    signer: str | None
    state: str
    explanation: str
    problems: tuple[str, ...] = ()
    unchanged: bool | None = None
    claims_ai: bool = False
    source_types: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    when: str | None = None
    program: str | None = None
    declares: str | None = None


@dataclass(frozen=True)
class Mark:
    """An invisible mark in the pixels: whose it is, how many of its bits agree, and the chance of that by luck."""

    tool: str
    agreeing: int
    bits: int
    chance: float


@dataclass(frozen=True)
class Origin:
    """What is declared of a picture's origin, as its first line; no part of the score.

    Attributes:
        declared: in words: "made by generative AI"; empty where nothing is declared.
        by: who says so: a signer, a program's record with its field, a mark in the pixels.
        signed: the statement stands in a signed manifest that is intact.
        unchanged: whether the signature covers these pixels; None where it can't be told or nothing is signed.
        trusted: the signer is on the list of trusted ones.
        generated: "yes" (in whole or in part), "no" or "unknown", as declared.
        sentence: all of it as one sentence.
    """

    declared: str
    by: str
    signed: bool
    unchanged: bool | None
    trusted: bool
    generated: str
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Provenance:
    """All that a file says about its origin.

    Attributes:
        camera: EXIF fields about the capture, label to text.
        software: the program that wrote the file.
        generator: records that image generators leave.
        digital_source_type: IPTC statement in XMP, in plain words.
        digital_source_code: the same as IPTC's code.
        c2pa: the signed manifest, if there is one.
        marks: invisible marks in the pixels.
        notes: one sentence each, for the user.
    """

    camera: dict[str, str]
    software: str | None
    generator: tuple[Claim, ...]
    digital_source_type: str | None
    digital_source_code: str | None
    c2pa: C2PA | None
    notes: tuple[str, ...]
    marks: tuple[Mark, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Provenance:
        """The other way round."""
        manifest = found["c2pa"] and C2PA(**{key: _tupled(value) for key, value in found["c2pa"].items()})
        claims = tuple(Claim(**claim) for claim in found["generator"])
        marks = tuple(Mark(**mark) for mark in found["marks"])
        rest = {"generator": claims, "c2pa": manifest, "notes": tuple(found["notes"]), "marks": marks}
        return cls(**{**found, **rest})


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
