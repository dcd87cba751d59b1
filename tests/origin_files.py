"""A folder of files sorted by what they declare: `write_origin_files(folder)`. Deterministic, but for signatures."""

from __future__ import annotations

import json
from pathlib import Path

from bad_files import encoded
from PIL import Image
from recorded import (
    A1111,
    AI_FIELD,
    IPTC,
    KINDS,
    LABEL,
    NODES,
    UUID,
    commented,
    jpeg,
    png,
    scene,
    stealthy,
    whole,
    with_xmp,
)
from signed import lasting, signed

ENDINGS = {"JPEG": "jpg", "HEIF": "heic", "TIFF": "tif"}
AI_CODES = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic")
TEXTS = {
    "a1111": {"parameters": A1111},
    "civitai": {"parameters": f"{A1111}, Civitai resources: []"},
    "fooocus": {"parameters": '{"metadata_scheme": "fooocus"}', "fooocus_scheme": "fooocus"},
    "ruined": {"parameters": '{"software": "RuinedFooocus"}'},
    "swarm": {"parameters": '{"sui_image_params": {}}'},
    "comfy": {"prompt": NODES},
    "workflow": {"workflow": '{"nodes": []}'},
    "invoke": {"invokeai_metadata": "{}"},
    "novelai": {"Software": "NovelAI", "Comment": '{"prompt": "a"}'},
    "midjourney": {"Description": f"a cat --v 6 Job ID: {UUID}"},
    "aigc": {"AIGC": LABEL},
    "wrapped": {"Comment": f'{{"AIGC": {LABEL}}}'},
    **{f"program_{n}": {"Software": name} for n, name in enumerate(("Gemini", "Grok", "Imagen 4", "Sora", "Ideogram"))},
    **{f"maker_{n}": {"Source": name} for n, name in enumerate(("Recraft", "Leonardo.Ai", "Adobe Firefly"))},
}
HARMLESS = (
    {},
    {"Software": "GIMP 2.10"},
    {"Comment": "made by hand"},
    {"Title": "Firefly at night"},
    {"Description": "Job ID: 7"},
    {"Author": "Gemini Okafor"},
    {"prompt": "asked nicely"},
    {"Comment": '{"Label": "fragile"}'},
)


def write_origin_files(folder: Path) -> int:
    """Files under "generated" (they declare it) and "real" (they don't); returns how many."""
    files = {**_generated(), **_real()}
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return len(files)


def _named(kind: str) -> str:
    return ENDINGS.get(kind, kind.lower())


def _generated() -> dict[str, bytes]:
    files = {f"text_{name}.png": png(**texts) for name, texts in TEXTS.items()}
    label = LABEL.replace('"', "&quot;")
    for kind in KINDS:
        for code in AI_CODES:
            field = f'Iptc4xmpExt:DigitalSourceType="{IPTC}{code}"'
            files[f"iptc_{code}.{_named(kind)}"] = with_xmp(kind, whole(field))
        files[f"label.{_named(kind)}"] = with_xmp(kind, whole(f'TC260:AIGC="{label}"'))
        files[f"system.{_named(kind)}"] = with_xmp(kind, whole('Iptc4xmpExt:AISystemUsed="DALL-E 3"'))
        files[f"credit.{_named(kind)}"] = with_xmp(kind, whole('photoshop:Credit="Made with Google AI"'))
        if kind != "GIF":
            bodies = {"be": b"UNICODE\0" + A1111.encode("utf-16-be"), "le": b"UNICODE\0" + A1111.encode("utf-16-le")}
            bodies |= {"comfy": json.dumps({"prompt": {"1": {"class_type": "x"}}}).encode()}
            for name, body in bodies.items():
                files[f"comment_{name}.{_named(kind)}"] = commented(body, kind)
    for mode in ("RGBA", "RGB"):
        for zipped in (True, False):
            files[f"stealth_{mode}_{zipped}.png"] = stealthy(A1111, mode, zipped)
    certificates, key, _ = lasting(86_400)
    for kind, mime, data in (("png", "image/png", png()), ("jpg", "image/jpeg", jpeg())):
        for code in AI_CODES:
            files[f"signed_{code}.{kind}"] = signed(data, mime, certificates, key, code)
    return {f"generated/{name}": data for name, data in files.items()}


def _real() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "NIKON CORPORATION", "NIKON Z 9"
    certificates, key, _ = lasting(86_400)
    files = {f"text_{number}.png": png(**texts) for number, texts in enumerate(HARMLESS)}
    files["signed.jpg"] = signed(jpeg(exif), "image/jpeg", certificates, key, "digitalCapture")
    inside = f"<xmpMM:Pantry><rdf:Bag><rdf:li><rdf:Description {AI_FIELD}/></rdf:li></rdf:Bag></xmpMM:Pantry>"
    quoted = "<dc:description>" + AI_FIELD.replace('"', "&quot;") + "</dc:description>"
    for kind in KINDS:
        options = {} if kind == "GIF" else {"exif": exif.tobytes()}
        plain = encoded(scene(), kind, **options)
        files[f"camera.{_named(kind)}"] = plain
        files[f"bare.{_named(kind)}"] = encoded(scene(), kind)
        for code in ("digitalCapture", "humanEdits", "screenCapture"):
            field = f'Iptc4xmpExt:DigitalSourceType="{IPTC}{code}"'
            files[f"iptc_{code}.{_named(kind)}"] = with_xmp(kind, whole(field))
        files[f"ingredient.{_named(kind)}"] = with_xmp(kind, whole("", inside))
        files[f"quoted.{_named(kind)}"] = with_xmp(kind, whole("", quoted))
        if kind not in ("TIFF", "AVIF", "HEIF"):
            files[f"after_the_end.{_named(kind)}"] = plain + jpeg(xmp=whole(AI_FIELD))
    return {f"real/{name}": data for name, data in files.items()}
