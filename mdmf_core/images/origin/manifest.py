"""C2PA manifests: signature, pixels and actions, checked without a network.

Sources: C2PA specification 2.4, section "Validation" (status codes), 14.4 (key usages); CAWG Identity Assertion 1.2,
section 7 (cawg.* codes).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mdmf_core.images.containers import boxes
from mdmf_core.images.origin.said import C2PA, MAX_LIST
from mdmf_core.images.origin.xmp import AI_SOURCE_TYPES, Xmp, last_part, source_words
from mdmf_core.texts import plain

MAX_MANIFEST = 2**24
MAX_VALUES = 100_000
_MIME = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIC": "image/heic",
    "MP4": "video/mp4",
    "MOV": "video/quicktime",
}
_PIXEL_HASHES = ("assertion.dataHash.", "assertion.bmffHash.", "assertion.boxesHash.", "assertion.collectionHash.")
# Key usages that a signer's certificate may have: the trust configuration that the C2PA publishes beside its lists
# (c2pa-rs, cli/sample/store.cfg): e-mail protection, document signing, time stamping, OCSP signing, Microsoft's and
# C2PA's own for signing claims.
KEY_USAGES = (
    *("1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36", "1.3.6.1.5.5.7.3.8", "1.3.6.1.5.5.7.3.9"),
    *("1.3.6.1.4.1.311.76.59.1.9", "1.3.6.1.4.1.62558.2.1"),
)
# Endings of codes that concern what one assertion says, and neither the signature nor other assertions.
EDITED_SOURCE = "compositeWithTrainedAlgorithmicMedia"
_OF_ONE = (".malformed", ".invalid", ".disallowed", ".ingredientMismatch", ".unsupported")
_WORST_FIRST = ("altered", "malformed", "revoked", "expired", "untrusted_signer")


def read_manifest(data: bytes, kind: str, trust: str | Path | None, xmp: Xmp, notes: list[str]) -> C2PA | None:
    if b"c2pa" not in (data[: boxes.end_of_picture(data)] if kind in ("AVIF", "HEIC") else data):
        if xmp.field("provenance"):
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
    trust = {"trust_config": "\n".join(KEY_USAGES)} | ({"trust_anchors": anchors} if anchors else {})
    return {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}, "trust": trust}


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
    sentences += _recorded(active)
    signature = active.get("signature_info") or {}
    in_order = [active, *(manifest for manifest in list(manifests.values())[:MAX_LIST] if manifest is not active)]
    codes = list(dict.fromkeys(code for manifest in in_order for code in _declared(manifest)))
    return C2PA(
        signer=_signer(signature),
        state=state,
        explanation=explanation,
        problems=tuple(sentences[:MAX_LIST]),
        unchanged=unchanged,
        claims_ai=any(code in AI_SOURCE_TYPES for part in _parts(manifests, active) for code in _declared(part)),
        source_types=tuple(source_words(code) for code in codes[:MAX_LIST]),
        actions=tuple(action for manifest in in_order for action in _actions(manifest))[:MAX_LIST],
        when=plain(signature["time"], 40) if signature.get("time") else None,
        program=_program(active),
        declares=_declares(manifests, active),
    )


def _rank(state: str | None) -> int:
    return _WORST_FIRST.index(state) if state else len(_WORST_FIRST)


def _valid(unchanged: bool | None) -> str:
    since = "and the picture is unchanged since it was signed" if unchanged else "but nothing ties it to the pixels"
    return f"The signature is intact, its signer is trusted, {since}."


def _finding(status: dict, has_trust_list: bool) -> tuple[str | None, str]:
    """State and sentence of one failed check; no state where it doesn't touch the verdict."""
    code, reason = str(status.get("code")), str(status.get("explanation"))
    if code.startswith(_PIXEL_HASHES) and ("exclusion" in reason or code.endswith(".malformed")):
        return None, "Whether the picture was altered after it was signed can't be told: the record for it is wrong."
    if code.startswith("cawg."):
        return None, "Who the manifest names as the picture's creator can't be confirmed."
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
    if code.startswith(("assertion.", "ingredient.")) and code.endswith(_OF_ONE):
        place = str(status.get("url")).partition("c2pa.assertions/")[2]
        part = plain(place or code.split(".")[1], 40)
        return None, f'One part of the manifest, {part}, breaks a rule of C2PA: "{detail}".'
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
    if any(_finding(status, False)[0] == "altered" and _of_pixels(status) for status in failed):
        return False
    if any(_of_pixels(status) for status in failed):
        return None
    intact = "claimSignature.validated" in passed and not any(code.endswith(".mismatch") for code in codes)
    return True if intact and any(f"{name}match" in passed for name in _PIXEL_HASHES) else None


def _of_pixels(status: dict) -> bool:
    return str(status.get("code")).startswith(_PIXEL_HASHES)


def _recorded(manifest: dict) -> list[str]:
    """What the manifest recorded of the signatures of earlier versions and parts when it took them in."""
    sentences = []
    for ingredient in (manifest.get("ingredients") or [])[:MAX_LIST]:
        codes, passed = _recorded_codes(ingredient)
        name = plain(ingredient.get("title") or "an earlier version", 60)
        if any(code.endswith(".mismatch") for code in codes):
            sentences.append(f'Of "{name}" it was recorded that it did not match its own signature.')
        elif codes:
            reason = plain(codes[0], 60)
            sentences.append(f'Of "{name}" it was recorded that its signature was not accepted ({reason}).')
        elif "claimSignature.validated" in passed:
            sentences.append(f'Of "{name}" it was recorded that its own signature was intact.')
    return sentences


def _recorded_codes(ingredient: dict) -> tuple[list[str], list[str]]:
    """Codes of what failed and of what passed when an ingredient was taken in."""
    results = (ingredient.get("validation_results") or {}).get("activeManifest") or {}
    failures = (results.get("failure") or []) + (ingredient.get("validation_status") or [])
    failed = [str(status.get("code")) for status in failures[:MAX_VALUES]]
    return failed, [str(status.get("code")) for status in results.get("success") or []]


def _parts(manifests: dict, active: dict) -> list[dict]:
    """The manifest and those of its earlier versions and parts; what was only an input (inputTo) is no part."""
    found = [active]
    for manifest in found:  # grows on the way
        for ingredient in (manifest.get("ingredients") or [])[:MAX_LIST]:
            part = manifests.get(ingredient.get("active_manifest"))
            is_new = part is not None and all(part is not other for other in found)
            if is_new and ingredient.get("relationship") != "inputTo" and len(found) < MAX_LIST:
                found.append(part)
    return found


def _declares(manifests: dict, active: dict) -> str | None:
    """The manifest's own source type, the worst first; else that of the version it opened or of its only part.

    A part beside others (componentOf, inputTo) is another picture, whose source type is not this one's; nor is that of
    a version that did not match its own signature.
    """
    for _ in range(MAX_LIST):
        codes = _declared(active)
        if codes:
            return _leading(active, codes)
        parts = active.get("ingredients") or []
        parts = [part for part in parts if not any(code.endswith(".mismatch") for code in _recorded_codes(part)[0])]
        parents = [part for part in parts if part.get("relationship") == "parentOf"]
        parents = parents or (parts if len(parts) == 1 else [])
        if not parents or parents[0].get("active_manifest") not in manifests:
            return None
        active = manifests[parents[0]["active_manifest"]]
    return None


def _leading(manifest: dict, codes: list[str]) -> str:
    """Generative AI first; but where the picture was begun without it, a later step with it has only edited it."""
    generated = next((code for code in codes if code in AI_SOURCE_TYPES), None)
    steps = [action for assertion in _assertions_of_actions(manifest) for action in assertion]
    begun = [step for step in steps if step.get("action") in ("c2pa.created", "c2pa.opened")]
    sources = [last_part(step.get("digitalSourceType") or "") for step in begun]
    later = {last_part(step.get("digitalSourceType") or "") for step in steps if step not in begun}
    if generated in later and begun and not AI_SOURCE_TYPES & set(sources):
        return EDITED_SOURCE
    return generated or codes[0]


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
        last_part(value)
        for key, value in _values(manifest.get("assertions"))
        if key.lower().endswith("digitalsourcetype") and isinstance(value, str)
    ]


def _actions(manifest: dict) -> list[str]:
    """What was done, in words: "created with GPT-4o: made by generative AI"."""
    return [_action(action) for actions in _assertions_of_actions(manifest) for action in actions[:MAX_LIST]]


def _assertions_of_actions(manifest: dict) -> list[list[dict]]:
    """The list of actions of each assertion that holds one."""
    assertions = (manifest.get("assertions") or [])[:MAX_VALUES]
    return [
        (assertion["data"].get("actions") or [])[:MAX_VALUES]
        for assertion in assertions
        if str(assertion.get("label")).startswith("c2pa.actions")
    ]


def _action(action: dict) -> str:
    agent = action.get("softwareAgent") or ""
    name = plain(agent.get("name") or "" if isinstance(agent, dict) else agent, 80)
    text = plain(str(action.get("action")).removeprefix("c2pa.").replace("_", " "), 80)
    text += f" with {name}" if name else ""
    if action.get("digitalSourceType"):
        text += f": {source_words(last_part(action['digitalSourceType']))}"
    return text
