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
        claims_ai: the manifest, or that of an ingredient, declares generative AI.
        source_types: what it declares about the origin, in plain words.
        actions: what was done to the picture, oldest first within each manifest.
        when: time of signing by the signer's time stamp.
        program: what wrote the manifest.
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
        notes: one sentence each, for the user.
    """

    camera: dict[str, str]
    software: str | None
    generator: tuple[Claim, ...]
    digital_source_type: str | None
    digital_source_code: str | None
    c2pa: C2PA | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Provenance:
        """The other way round."""
        manifest = found["c2pa"] and C2PA(**{key: _tupled(value) for key, value in found["c2pa"].items()})
        claims = tuple(Claim(**claim) for claim in found["generator"])
        return cls(**{**found, "generator": claims, "c2pa": manifest, "notes": tuple(found["notes"])})


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
