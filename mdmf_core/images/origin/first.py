"""The first line: what a file declares of its origin, who says so and what that is worth, in one sentence.

Order of the statements: generative AI leads whoever says it, a signature before a field, a field before a mark; then
what is signed, IPTC's source type, a device's name. An expired certificate, an unknown signer are remarks behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mdmf_core.images.origin.generators import AIGC, is_edit, label_of
from mdmf_core.images.origin.said import C2PA, Mark, Origin, Provenance
from mdmf_core.images.origin.xmp import AI_SOURCE_TYPES, CAPTURES, source_words
from mdmf_core.sentence import joined, said
from mdmf_core.texts import plain

MADE, MAYBE = "made by generative AI", "possibly made by generative AI"
EDITED = source_words("compositeWithTrainedAlgorithmicMedia")
NOTHING = said("declared.nothing", "The file says nothing of how the picture was made, as most files on the web.")
PARTS = "put together with parts made by generative AI"
_CLEAN, _TRUST = "the score finds nothing unusual", "trust the file's statement."
CLEAN = said("declared.clean", f"The file says that it was generated; {_CLEAN}: {_TRUST}")
CLEAN_IN_PART = said(
    "declared.clean_in_part", f"The file says that generative AI made a part of it; {_CLEAN}: {_TRUST}"
)
CLEAN_BUT_MARKED = said(
    "declared.clean_but_marked",
    f"A mark in the pixels says that a generator made or edited the picture; {_CLEAN}: trust the mark.",
)
CLEAN_UNPROVEN = said(
    "declared.clean_unproven",
    f"The file says that generative AI was used; {_CLEAN}: which of them is right can't be told from the file.",
)
_UNUSUAL = "the score finds it unusual: trust the signature where its signer is known to you."
UNUSUAL = said("declared.unusual", f"The file's signature says that a camera took this picture; {_UNUSUAL}")
UNUSUAL_OTHERWISE = said(
    "declared.unusual_otherwise",
    f"The file's signature says that this picture was made without generative AI; {_UNUSUAL}",
)
SIGNED_ONLY = said("declared.signed_only", "signed, no source declared")
NONE_DECLARED = said("declared.none", "nothing declared")
NEITHER = said("declared.neither", "Neither file declares its origin.")
THE_SAME = said("declared.the_same", "Both files declare the same of their origin.")
_CAMERAS = frozenset(source_words(code) for code in ("digitalCapture", "computationalCapture", "compositeCapture"))
_IN_PIXELS, _UNPROVEN = "The pixels carry ", "so it proves nothing."
_UNCHANGED = {
    True: "and the picture is unchanged since",
    False: "but the file was altered afterwards",
    None: "and whether the picture was altered since can't be told",
}
_REMARKS = {
    "valid": "the signer is trusted",
    "untrusted_signer": "who signed is not confirmed",
    "expired": "the signer's certificate has expired",
    "revoked": "the signer's certificate was withdrawn",
    "altered": "the signature does not hold for the file as it is",
    "malformed": "the manifest breaks a rule of C2PA",
}


def summary(found: Provenance) -> Origin:
    """The statement that leads."""
    statements = list(_statements(found))
    for wanted in ("yes", "maybe", ""):
        for origin, kind in statements:
            if not wanted or kind == wanted:
                return origin
    return Origin("", "", False, None, False, "unknown", NOTHING)


def contradiction(origin: Origin, outcome: str) -> str:
    """One sentence where origin and score disagree; empty where they don't. The score stays as it is."""
    if origin.generated == "yes" and outcome == "no_evidence":
        if origin.sentence.startswith(_IN_PIXELS):
            return CLEAN_BUT_MARKED
        if origin.sentence.endswith(_UNPROVEN) or (origin.signed and not origin.unchanged):
            return CLEAN_UNPROVEN
        return CLEAN if origin.declared == MADE else CLEAN_IN_PART
    if origin.generated == "no" and origin.signed and origin.unchanged and outcome == "generated":
        return UNUSUAL if origin.declared in _CAMERAS else UNUSUAL_OTHERWISE
    return ""


def opening(origin: Origin, outcome: str) -> str:
    """What stands above the verdict: the statement, and where the score disagrees."""
    return joined([origin.sentence, contradiction(origin, outcome)])


def as_json(origin: Origin, outcome: str) -> dict[str, Any]:
    """The line for programs, with what contradicts the outcome."""
    return {**origin.to_dict(), "contradiction": contradiction(origin, outcome)}


def together(first: Origin, second: Origin) -> str:
    """What two files declare, and what differs between them, in one sentence."""
    if first == second:
        nothing = not (first.declared or first.by)
        return NEITHER if nothing else THE_SAME
    return (
        f"The files differ in what they declare of their origin: the first {_told(first)}, the second {_told(second)}."
    )


def _told(origin: Origin) -> str:
    if not (origin.declared or origin.by):
        return "nothing"
    said = f"“{origin.declared}”" if origin.declared else "no source"
    if not origin.signed:
        return f"{said} (not signed)"
    state = {True: "unchanged since", False: "altered since", None: "perhaps altered since"}[origin.unchanged]
    return f"{said} (signed by {origin.by}, {state}, {'trusted' if origin.trusted else 'not confirmed'})"


def in_short(origin: Origin | None) -> str:
    """A few words for a table, which sort generated pictures together."""
    if origin is None or not origin.declared:
        return SIGNED_ONLY if origin is not None and origin.signed else NONE_DECLARED
    signed = ", signed" if origin.signed else ""
    return f"{'generated' if origin.generated == 'yes' else 'declared'}: {origin.declared}{signed}"


def _statements(found: Provenance) -> Iterator[tuple[Origin, str]]:
    """All statements, the stronger first, each with "yes", "maybe" or "" for generative AI."""
    if found.c2pa is not None:
        yield from _of_manifest(found.c2pa)
    if found.digital_source_code:
        code = found.digital_source_code
        yield _unsigned(source_words(code), "the field DigitalSourceType (IPTC)", _answer(code))
    for claim in found.generator:
        words, answer = EDITED if is_edit(claim) else MADE, "yes"
        if claim.tool == AIGC and label_of(claim.text) != "1":
            words, answer = MAYBE, "maybe"
        yield _unsigned(words, f"a record of {claim.tool} in the field {claim.field}", answer)
    for mark in found.marks:
        yield _of_mark(mark), "yes"
    if made := _device(found.camera):
        yield _names(f"the device {plain(made, 80)}", "EXIF fields"), ""
    if found.software:
        yield _unsigned(f"written by a program, {plain(found.software, 80)}", "the field Software", "")


def _device(camera: Mapping[str, str]) -> str:
    """Maker and model of a device; the maker once where the model begins with it."""
    maker, model = camera.get("Make", ""), camera.get("Model", "")
    named = any(model.lower().startswith(word.lower()) for word in maker.split()[:1])
    return model if named else f"{maker} {model}".strip()


def _answer(code: str) -> str:
    return "yes" if code in AI_SOURCE_TYPES else "no" if code in CAPTURES else ""


def _of_manifest(c2pa: C2PA) -> Iterator[tuple[Origin, str]]:
    words, answer = (source_words(c2pa.declares), _answer(c2pa.declares)) if c2pa.declares else ("", "")
    if c2pa.claims_ai and answer != "yes":
        words, answer = PARTS, "yes"
    intact = c2pa.state not in ("altered", "malformed") or c2pa.unchanged is not None
    signed = c2pa.signer is not None and intact
    unchanged = c2pa.unchanged if signed else None
    trusted = c2pa.state == "valid"
    by = plain(c2pa.signer or "nobody", 120)
    remark = _REMARKS[c2pa.state] if c2pa.signer or c2pa.state != "malformed" else "it can't be read"
    if c2pa.state == "expired" and any(problem.startswith("Who signed can't") for problem in c2pa.problems):
        remark = "who signed is not confirmed, and the certificate has expired"
    if signed:
        start = (
            f"The file declares: {words}; signed" if words else "The file is signed without a word about its source,"
        )
        sentence = f"{start} by {by}, {_UNCHANGED[unchanged]}; {remark}."
    else:
        said = f"declares: {words}; but" if words else "has a record of its origin (C2PA), but"
        sentence = f"The file {said} {remark}, {_UNPROVEN}"
    yield Origin(words, by, signed, unchanged, trusted, _three(answer), sentence), answer


def _three(answer: str) -> str:
    return answer if answer in ("yes", "no") else "unknown"


def _unsigned(words: str, place: str, answer: str) -> tuple[Origin, str]:
    sentence = f"The file declares: {words}, in {plain(place, 140)}; nothing of it is signed."
    return Origin(words, place, False, None, False, _three(answer), sentence), answer


def _names(device: str, place: str) -> Origin:
    """A device by its name: a camera, a scanner and a minilab write the same fields."""
    sentence = f"The file names {device}, in {place}; nothing of it is signed."
    return Origin(device, place, False, None, False, "unknown", sentence)


def _of_mark(mark: Mark) -> Origin:
    by = f"an invisible mark of {mark.tool}"
    sentence = (
        f"{_IN_PIXELS}{by}: {mark.agreeing} of {mark.bits} bits agree, a chance of {mark.chance:.0e} in a picture "
        "without it; the program that made or edited it is a generator."
    )
    return Origin(MADE, by, False, None, False, "yes", sentence)
