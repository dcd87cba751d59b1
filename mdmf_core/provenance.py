"""What a file says about its own origin: camera, software, generator, IPTC source type, C2PA manifest.

Issue 4, "Provenance". Nothing here enters the score: these are statements that anybody can write or remove,
except a C2PA signature, which is checked. Nothing is fetched from a network: manifests and revocation lists
that are kept elsewhere are left alone. Every string is one line of printable characters with a limit; whoever
shows it escapes it.

Sources: C2PA specification 2.4, section "Validation" (status codes); IPTC NewsCodes, "Digital Source Type".
The setting MDMF_C2PA_TRUST names a PEM file with the certificates of trusted authorities; none is bundled.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from html import unescape
from pathlib import Path
from typing import Any

from mdmf_core.images import Picture
from mdmf_core.texts import plain

MAX_TEXT = 2_000
MAX_LIST = 20
MAX_PACKETS = 8
MAX_PACKET = 2**18
MAX_MANIFEST = 2**24
MAX_VALUES = 100_000

SOURCE_TYPES = {
    "digitalCapture": "captured with a digital camera",
    "computationalCapture": "captured with a camera that merges several exposures",
    "negativeFilm": "scanned from a film negative",
    "positiveFilm": "scanned from a film positive",
    "print": "scanned from a print",
    "minorHumanEdits": "a photograph with small edits by a person",
    "humanEdits": "edited by a person without generative AI",
    "algorithmicallyEnhanced": "altered by an algorithm",
    "dataDrivenMedia": "drawn from data",
    "digitalArt": "made by a person with digital tools",
    "digitalCreation": "made by a person with digital tools",
    "softwareImage": "made with software",
    "virtualRecording": "a recording of a virtual scene",
    "screenCapture": "a screenshot",
    "composite": "put together from several parts",
    "compositeCapture": "put together from several photographs",
    "algorithmicMedia": "made by an algorithm that has not learned from pictures",
    "trainedAlgorithmicMedia": "made by generative AI",
    "trainedAlgorithmicData": "made by generative AI",
    "compositeWithTrainedAlgorithmicMedia": "edited with generative AI",
    "compositeSynthetic": "put together from parts, some of them made by generative AI",
}
AI_SOURCE_TYPES = frozenset(
    "trainedAlgorithmicMedia trainedAlgorithmicData compositeWithTrainedAlgorithmicMedia compositeSynthetic".split()
)

_CAMERA = {
    "Make": "Make",
    "Model": "Model",
    "LensModel": "Lens",
    "DateTimeOriginal": "Taken",
    "ExposureTime": "Exposure (s)",
    "FNumber": "Aperture (f/)",
    "ISOSpeedRatings": "ISO",
    "PhotographicSensitivity": "ISO",
    "FocalLength": "Focal length (mm)",
}
_MIME = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIC": "image/heic",
}
_TOOL_KEYS = {
    "invokeai_metadata": "InvokeAI",
    "invokeai_graph": "InvokeAI",
    "invokeai_workflow": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "dream": "InvokeAI",
    "fooocus_scheme": "Fooocus",
    "generation_data": "Tensor.Art",
    "use_stable_diffusion_model": "Easy Diffusion",
    "aigc": "AIGC label (China)",
}
_NAMED_TOOLS = re.compile(
    r"\b(Midjourney|DALL[-·. ]?E|Stable Diffusion|Adobe Firefly|NovelAI|Draw Things|Ideogram|Leonardo\.Ai|ComfyUI"
    r"|InvokeAI|Fooocus|SwarmUI|ChatGPT|GPT-4o|Made with Google AI)\b",
    re.IGNORECASE,
)
_SOURCE_TYPE = re.compile(
    r"DigitalSourceType\s{0,20}=\s{0,20}[\"']([^\"']{1,200})[\"']"
    r"|DigitalSourceType\s[^<>]{0,200}resource\s{0,20}=\s{0,20}[\"']([^\"']{1,200})[\"']"
    r"|DigitalSourceType(?:\s[^<>]{0,200})?>\s{0,200}([^<>\s][^<>]{0,199})<"
)
_XMP_FIELD = r"{0}\s{{0,20}}=\s{{0,20}}[\"']([^\"']{{1,2000}})[\"']|{0}>\s{{0,200}}([^<>\s][^<>]{{0,1999}})<"
_PIXEL_HASHES = ("assertion.dataHash.", "assertion.bmffHash.", "assertion.boxesHash.", "assertion.collectionHash.")
_WORST_FIRST = ("altered", "malformed", "revoked", "expired", "untrusted_signer")


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


def read_provenance(source: str | Path | bytes, picture: Picture, trust: str | Path | None = None) -> Provenance:
    """Everything a file says about its origin; a bad file gives notes, never an exception.

    Args:
        source: path or bytes of the file that `picture` was read from.
        picture: for its metadata and format.
        trust: PEM file of trusted authorities for C2PA; None takes the setting MDMF_C2PA_TRUST.
    """
    notes: list[str] = []
    data = _load(source, notes)
    texts = picture.metadata
    packets = _xmp_packets(data, texts)
    code = _source_code(packets)
    software = texts.get("Software") or _xmp_field(packets, "CreatorTool")
    generator = _generator(texts, packets, data, software)
    camera = _camera(texts)
    manifest = _c2pa(data, picture.format, trust or os.environ.get("MDMF_C2PA_TRUST"), notes)
    if not (camera or software or generator or code or manifest):
        notes.append("The file says nothing about its origin; most sites remove such records, so this means nothing.")
    elif camera and not manifest:
        notes.append("Camera fields are not signed: any program can write them.")
    return Provenance(
        camera=camera,
        software=plain(software) if software else None,
        generator=generator,
        digital_source_type=_source_words(code) if code else None,
        digital_source_code=code,
        c2pa=manifest,
        notes=tuple(notes),
    )


def _load(source: str | Path | bytes, notes: list[str]) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    try:
        return Path(source).read_bytes()
    except (OSError, ValueError):
        notes.append("The file can't be read any more, so only its EXIF and text fields are shown.")
        return b""


def _camera(texts: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, label in _CAMERA.items():
        text = plain(texts.get(name, ""))
        if text and not text.startswith(("prompt:", "workflow:")):
            found.setdefault(label, _fraction(text) if name == "ExposureTime" else text)
    return found


def _fraction(seconds: str) -> str:
    """0.0125 as 1/80, the way cameras show it."""
    try:
        value = float(seconds)
    except ValueError:
        return seconds
    return f"1/{round(1 / value)}" if 0.00001 < value < 0.3 else seconds


def _xmp_packets(data: bytes, texts: dict[str, str]) -> list[str]:
    """XMP as it stands in the file, then what the decoder unpacked, which is cut short."""
    packets, start = [], 0
    while len(packets) < MAX_PACKETS and (start := data.find(b"<x:xmpmeta", start)) >= 0:
        end = data.find(b"</x:xmpmeta>", start, start + MAX_PACKET)
        packets.append(data[start : end if end > 0 else start + MAX_PACKET].decode("utf-8", "replace"))
        start = end if end > 0 else start + 1
    return packets + [texts[name] for name in ("XML:com.adobe.xmp", "xmp") if name in texts]


def _xmp_field(packets: list[str], name: str) -> str | None:
    for packet in packets:
        if match := re.search(_XMP_FIELD.format(name), packet):
            return plain(unescape(match[1] or match[2]), MAX_TEXT) or None
    return None


def _source_code(packets: list[str]) -> str | None:
    for packet in packets:
        if match := _SOURCE_TYPE.search(packet):
            return _last_part(next(filter(None, match.groups()))) or None
    return None


def _last_part(uri: object) -> str:
    """trainedAlgorithmicMedia of http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia."""
    return plain(re.split(r"[/:#]", str(uri)[:MAX_TEXT].strip().rstrip("/"))[-1], 100)


def _source_words(code: str) -> str:
    return SOURCE_TYPES.get(code, f"a source type that IPTC does not list ({code})")


def _generator(
    texts: dict[str, str], packets: list[str], data: bytes, software: str | None
) -> tuple[Claim, ...]:
    """Records of image generators, one for each field."""
    claims = []
    for field, text in texts.items():
        if tool := _tool(field, text, texts, data):
            claims.append(Claim(tool, plain(field, 100), plain(text, MAX_TEXT)))
    if label := _xmp_field(packets, "TC260:AIGC"):
        claims.append(Claim("AIGC label (China)", "XMP TC260:AIGC", label))
    for field, text in (("Software", software), ("XMP Credit", _xmp_field(packets, "photoshop:Credit"))):
        if text and (match := _NAMED_TOOLS.search(text)):
            claims.append(Claim(plain(match[1]), field, plain(text, MAX_TEXT)))
    return tuple(claims[:MAX_LIST])


def _tool(field: str, text: str, texts: dict[str, str], data: bytes) -> str | None:
    """The generator that writes such a field, if one is known."""
    name = field.lower()
    if name in _TOOL_KEYS:
        return _TOOL_KEYS[name]
    if name == "parameters":
        return "SwarmUI" if "sui_image_params" in text else "A1111"
    if name == "usercomment":
        return _tool_of_comment(text, data)
    if name in ("prompt", "workflow") and text.startswith("{"):
        return "ComfyUI"
    if name in ("make", "model", "imagedescription") and text.startswith(("prompt:{", "workflow:{", "Workflow:{")):
        return "ComfyUI"
    if name == "comment" and text.startswith("{") and "NovelAI" in texts.get("Software", ""):
        return "NovelAI"
    if name == "description" and "Job ID:" in text:
        return "Midjourney"
    return None


def _tool_of_comment(text: str, data: bytes) -> str | None:
    if "sui_image_params" in text:
        return "SwarmUI"
    cut_short = len(text) >= MAX_TEXT
    if all(word in text or (cut_short and _mentions(data, word)) for word in ("Steps: ", "Sampler: ")):
        return "A1111"
    return None


def _mentions(data: bytes, word: str) -> bool:
    return any(word.encode(encoding) in data for encoding in ("utf-8", "utf-16-le", "utf-16-be"))


def _c2pa(data: bytes, kind: str, trust: str | Path | None, notes: list[str]) -> C2PA | None:
    if b"c2pa" not in data:
        if b"dcterms:provenance=" in data:
            notes.append("The file names a C2PA manifest that is kept elsewhere; it was not fetched.")
        return None
    if kind not in _MIME:
        notes.append(f"C2PA manifests in {plain(kind)} files can't be checked here.")
        return None
    try:
        import c2pa
        from cryptography.x509 import load_pem_x509_certificates
    except Exception:  # not installed, or its native library doesn't load on this machine
        notes.append("There may be a C2PA manifest, which can't be checked because c2pa-python is not installed.")
        return None
    anchors = _anchors(trust, load_pem_x509_certificates, notes)
    try:
        report = _report(c2pa, data, _MIME[kind], anchors)
        return None if report is None else _judge(report, anchors is not None)
    except Exception as error:  # the library's errors, and a manifest of any shape
        return _unreadable(error, notes)


def _anchors(trust: str | Path | None, parse: Callable[[bytes], object], notes: list[str]) -> str | None:
    """Certificates of trusted authorities (PEM), if there are usable ones."""
    if not trust:
        return None
    try:
        anchors = Path(trust).read_text(encoding="utf-8")
        parse(anchors.encode())
    except (OSError, ValueError):
        notes.append("The file of trusted C2PA authorities can't be used, so every signer counts as unknown.")
        return None
    return anchors


def _settings(anchors: str | None) -> dict[str, Any]:
    """Nothing from the network; trust only what was given."""
    verify = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    return {**verify, "trust": {"trust_anchors": anchors}} if anchors else verify


def _report(c2pa: Any, data: bytes, mime: str, anchors: str | None) -> dict | None:
    """The library's report about a manifest; None where there is no manifest."""
    with c2pa.Context.from_dict(_settings(anchors)) as context:
        reader = c2pa.Reader.try_create(mime, io.BytesIO(data), context=context)
        if reader is None:
            return None
        with reader:
            text = reader.json()
    if len(text) > MAX_MANIFEST:
        raise ValueError("the manifest is too long")
    return json.loads(text)


def _unreadable(error: Exception, notes: list[str]) -> C2PA | None:
    kind = str(error).split(":")[0]
    if kind in ("Remote", "RemoteManifest"):
        notes.append("The file names a C2PA manifest that is kept elsewhere; it was not fetched.")
        return None
    if kind == "NotSupported":
        notes.append("C2PA manifests in files of this kind can't be checked here.")
        return None
    return C2PA(None, "malformed", "There is a C2PA manifest, but it is damaged and can't be read.")


def _judge(report: dict, has_trust_list: bool) -> C2PA:
    """The library's report in our words."""
    manifests = report["manifests"]
    active = manifests[report["active_manifest"]]
    results = report.get("validation_results") or {}
    checked = results.get("activeManifest") or {"failure": report.get("validation_status") or []}
    passed = {str(status.get("code")) for status in checked.get("success") or []}
    findings = [_finding(status, has_trust_list) for status in (checked.get("failure") or [])[:MAX_VALUES]]
    findings += _about_ingredients(results)
    ordered = list(dict.fromkeys(sorted(findings, key=lambda finding: _rank(finding[0]))))
    unchanged = _unchanged(passed, checked.get("failure") or [])
    state, explanation = ordered[0] if ordered and ordered[0][0] else ("valid", _valid(unchanged))
    sentences = [sentence for _, sentence in ordered if sentence != explanation]
    if state != "valid" and unchanged:
        sentences.append("The picture is unchanged since it was signed.")
    signature = active.get("signature_info") or {}
    in_order = [active, *(manifest for manifest in list(manifests.values())[:MAX_LIST] if manifest is not active)]
    codes = list(dict.fromkeys(code for manifest in in_order for code in _declared(manifest)))
    return C2PA(
        signer=_signer(signature),
        state=state,
        explanation=explanation,
        problems=tuple(sentences[:MAX_LIST]),
        unchanged=unchanged,
        claims_ai=any(code in AI_SOURCE_TYPES for code in codes),
        source_types=tuple(_source_words(code) for code in codes[:MAX_LIST]),
        actions=tuple(action for manifest in in_order for action in _actions(manifest))[:MAX_LIST],
        when=plain(signature["time"], 40) if signature.get("time") else None,
        program=_program(active),
    )


def _rank(state: str | None) -> int:
    return _WORST_FIRST.index(state) if state else len(_WORST_FIRST)


def _valid(unchanged: bool | None) -> str:
    since = "and the picture is unchanged since it was signed" if unchanged else "but nothing ties it to the pixels"
    return f"The signature is intact, its signer is trusted, {since}."


def _finding(status: dict, has_trust_list: bool) -> tuple[str | None, str]:
    """State and sentence of one failed check; no state where it doesn't touch the verdict."""
    code = str(status.get("code"))
    if code.endswith(".mismatch") and code.startswith(_PIXEL_HASHES):
        return "altered", "The picture was altered after it was signed."
    if code.endswith(".mismatch") and not code.startswith("timeStamp."):
        return "altered", "The manifest itself was altered after it was signed."
    if code == "signingCredential.untrusted":
        reason = "the signer is not on the list of trusted ones" if has_trust_list else "this app has no list to check"
        return "untrusted_signer", f"Who signed can't be confirmed: {reason}."
    if code == "signingCredential.expired":
        return "expired", "The signer's certificate has expired, and no trusted time stamp shows that it signed before."
    if code == "claimSignature.outsideValidity":
        return "expired", "The signature was made while the signer's certificate was not valid."
    if code.endswith(".revoked"):
        return "revoked", "The signer's certificate was withdrawn."
    if code.startswith("timeStamp."):
        return None, "The time of signing can't be confirmed."
    detail = plain(status.get("explanation") or code, 120)
    return "malformed", f'The manifest breaks a rule of C2PA: "{detail}".'


def _about_ingredients(results: dict) -> list[tuple[str | None, str]]:
    """Whether the manifest of an earlier version was altered; other findings there are the earlier signer's affair."""
    for delta in (results.get("ingredientDeltas") or [])[:MAX_LIST]:
        for status in (delta.get("validationDeltas") or {}).get("failure") or []:
            if str(status.get("code")).endswith(".mismatch"):
                return [(None, "The record of an earlier version of the picture does not match that version.")]
    return []


def _unchanged(passed: set[str], failed: list[dict]) -> bool | None:
    """A hash of the pixels proves something only where the signed manifest that holds it is intact."""
    codes = {str(status.get("code")) for status in failed}
    if any(f"{name}mismatch" in codes for name in _PIXEL_HASHES):
        return False
    intact = "claimSignature.validated" in passed and not any(code.endswith(".mismatch") for code in codes)
    return True if intact and any(f"{name}match" in passed for name in _PIXEL_HASHES) else None


def _signer(signature: dict) -> str | None:
    names = [plain(signature[key]) for key in ("issuer", "common_name") if signature.get(key)]
    if len(names) == 2 and names[0] != names[1]:
        return f"{names[0]} ({names[1]})"
    return names[0] if names else None


def _program(manifest: dict) -> str | None:
    info = manifest.get("claim_generator_info")
    if isinstance(info, list) and info and isinstance(info[0], dict):
        return plain(f"{info[0].get('name', '')} {info[0].get('version', '')}") or None
    return plain(manifest.get("claim_generator") or "") or None


def _values(tree: object) -> Iterator[tuple[str, object]]:
    """Every key and value of nested objects, without recursion, in order."""
    waiting, seen = [tree], 0
    while waiting and seen < MAX_VALUES:
        node = waiting.pop()
        seen += 1
        if isinstance(node, dict):
            yield from ((str(key), value) for key, value in node.items())
            waiting.extend(reversed(list(node.values())))
        elif isinstance(node, list):
            waiting.extend(reversed(node))


def _declared(manifest: dict) -> list[str]:
    """IPTC codes that a manifest's assertions declare."""
    return [
        _last_part(value)
        for key, value in _values(manifest.get("assertions"))
        if key.lower().endswith("digitalsourcetype") and isinstance(value, str)
    ]


def _actions(manifest: dict) -> list[str]:
    """What was done, in words: "created with GPT-4o: made by generative AI"."""
    found = []
    for assertion in (manifest.get("assertions") or [])[:MAX_VALUES]:
        if str(assertion.get("label")).startswith("c2pa.actions"):
            for action in (assertion["data"].get("actions") or [])[:MAX_LIST]:
                found.append(_action(action))
    return found


def _action(action: dict) -> str:
    agent = action.get("softwareAgent") or ""
    name = plain(agent.get("name") or "" if isinstance(agent, dict) else agent, 80)
    text = plain(str(action.get("action")).removeprefix("c2pa.").replace("_", " "), 80)
    text += f" with {name}" if name else ""
    if action.get("digitalSourceType"):
        text += f": {_source_words(_last_part(action['digitalSourceType']))}"
    return text
