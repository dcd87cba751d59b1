"""Records that image generators, and the laws that bind them, leave in text fields.

Each rule says where it comes from. A tool is named once, however many fields it writes.
"""

from __future__ import annotations

import json
import re
from typing import Any

from mdmf_core.images.origin.said import MAX_LIST, MAX_TEXT, Claim
from mdmf_core.images.origin.xmp import Xmp
from mdmf_core.texts import plain

AIGC = "AIGC label (China)"
# Field names that only one tool writes. InvokeAI: invokeai/app/services/image_files; Fooocus: modules/meta_parser.py;
# Easy Diffusion: ui/easydiffusion/utils/save_utils.py; TC260-PG-20259A, annex B (AIGC as a PNG text).
_TOOL_KEYS = {
    "invokeai_metadata": "InvokeAI",
    "invokeai_graph": "InvokeAI",
    "invokeai_workflow": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "dream": "InvokeAI",
    "fooocus_scheme": "Fooocus",
    "generation_data": "Tensor.Art",
    "use_stable_diffusion_model": "Easy Diffusion",
    "aigc": AIGC,
    "xmp aigc": AIGC,
}
# Names of nothing but generators, in fields for programs, makers, credits and people.
_NAMED = {
    r"Midjourney": "Midjourney",
    r"DALL[-·.]E|DALL ?E(?= ?\d)|ChatGPT|GPT-4o|gpt-image|OpenAI": "OpenAI",
    r"(?:Made|Edited|Created) with Google AI|Google Gemini|Nano Banana|SynthID": "Google AI",
    r"Adobe Firefly": "Adobe Firefly",
    r"Ideogram": "Ideogram",
    r"Leonardo\.?\s?Ai": "Leonardo.Ai",
    r"Recraft": "Recraft",
    r"\bxAI\b|Grok Imagine": "Grok (xAI)",
    r"Stable Diffusion|Stability\.? ?AI|DreamStudio": "Stable Diffusion",
    r"NovelAI": "NovelAI",
    r"Draw Things": "Draw Things",
    r"ComfyUI": "ComfyUI",
    r"InvokeAI": "InvokeAI",
    r"RuinedFooocus": "RuinedFooocus",
    r"Fooocus": "Fooocus",
    r"SwarmUI": "SwarmUI",
    r"AUTOMATIC1111|stable-diffusion-webui": "A1111",
    r"Civitai": "Civitai",
    r"Tensor\.Art": "Tensor.Art",
    r"Black Forest Labs|\bFLUX[.12-]+(?:dev|pro|schnell|kontext|\d)": "FLUX (Black Forest Labs)",
    r"Bing Image Creator|Microsoft Designer|Image Creator from Designer": "Microsoft Image Creator",
    r"Apple Image Playground|Apple Photos Clean Up": "Apple",
    r"Imagine with Meta AI|Meta AI\b": "Meta AI",
    r"Seedream": "ByteDance (Doubao, Jimeng)",
    r"Qwen-Image": "Tongyi (Alibaba)",
    r"Kling ?AI": "Kling",
    r"NightCafe": "NightCafe",
    r"Craiyon": "Craiyon",
    r"Krea(?:\.ai| AI)": "Krea",
    r"Playground ?AI": "Playground",
}
# Names that people have, too: they count only in fields for programs.
_NAMED_PROGRAMS = {
    r"Doubao|Jimeng|豆包|即梦": "ByteDance (Doubao, Jimeng)",
    r"Tongyi|通义": "Tongyi (Alibaba)",
    r"Hunyuan|混元": "Hunyuan (Tencent)",
    r"可灵": "Kling",
    r"SeaArt": "SeaArt",
}


def _compiled(named: dict[str, str]) -> list[tuple[re.Pattern, str]]:
    """Each name as a word of its own, perhaps with a version behind it."""
    words = r"(?<![A-Za-z])(?:{0})(?!(?!v\d)[A-Za-z])"
    return [(re.compile(words.format(pattern), re.IGNORECASE), tool) for pattern, tool in named.items()]


_SURE_NAMES = _compiled(_NAMED)
_NAMES = _SURE_NAMES + _compiled(_NAMED_PROGRAMS)
# Words that mean other things too: a program's field must hold nothing else but a version.
_WHOLE = re.compile(
    r"(?:google )?(?P<google>gemini|imagen)|(?P<grok>grok)|(?:openai )?(?P<openai>sora)|(?P<flux>flux)"
    r"|(?P<leonardo>leonardo)|(?P<krea>krea)|(?P<firefly>firefly)",
    re.IGNORECASE,
)
_VERSION = re.compile(
    r"[\s\-_/]*(?:v?\d[\w.\-]*|pro|ultra|fast|flash|dev|schnell|image|preview|[\s\-_])*", re.IGNORECASE
)
_WHOLE_TOOLS = {
    "google": "Google AI",
    "grok": "Grok (xAI)",
    "openai": "OpenAI",
    "flux": "FLUX (Black Forest Labs)",
    "leonardo": "Leonardo.Ai",
    "krea": "Krea",
    "firefly": "Adobe Firefly",
}
_PROGRAMS = ("software", "processingsoftware", "xmp creatortool", "xmp aisystemused")
_OTHERS = ("make", "model", "hostcomputer", "source", "credit", "iptc credit", "xmp credit", "xmp source")
_OTHERS += ("artist", "author", "creator")  # fields of cameras, houses and people
_RECORDS = ("parameters", "usercomment", "comment", "description", "imagedescription", "xpcomment", "xmp usercomment")
_RECORDS += ("xmp description", "xmp parameters", "stealth_pnginfo", "generation_data", "metadata", "json")
# ComfyUI-Manager's and ComfyUI's own savers for WebP and JPEG put "prompt:" and "workflow:" before the JSON, in Make,
# Model or ImageDescription (github.com/comfyanonymous/ComfyUI, comfy_extras/nodes_images.py).
_COMFY = re.compile(r"\s*(?:prompt|workflow)\s*:\s*\{", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_GROK = re.compile(r"\s*Signature:\s*[A-Za-z0-9+/=]{64,}")
_LABEL = re.compile(r'Label[\\"]*\s*[:=]\s*[\\"]*([123])(?!\d)')
_BESIDE_STEPS = ("Sampler: ", "CFG scale: ", "Model hash: ")
_EDITED = re.compile(r"Edited with|Clean Up", re.IGNORECASE)
_STEPS = ("History", "RetouchAreas", "RemoveAreas")


def claims_of(records: dict[str, str], xmp: Xmp) -> tuple[Claim, ...]:
    """Records of image generators, one for each tool: of several fields the one that says most."""
    found: dict[str, Claim] = {}
    for field, text in records.items():
        for tool in written_by(field, text, records):
            claim = Claim(tool, plain(field, 100), plain(text, MAX_TEXT))
            if tool not in found or len(claim.text) > len(found[tool].text):
                found[tool] = claim
    for claim in _of_adobe(xmp):
        found.setdefault(claim.tool, claim)
    if "RuinedFooocus" in found:
        found.pop("Fooocus", None)
    return tuple(found.values())[:MAX_LIST]


def label_of(text: str) -> str | None:
    """What an AIGC label says: "1" made by AI, "2" possibly, "3" suspected. Source: GB 45438-2025, annex E."""
    match = _LABEL.search(text)
    return match[1] if match else None


def _is_label(text: str) -> bool:
    return label_of(text) is not None or "ContentProducer" in text


def is_edit(claim: Claim) -> bool:
    """Whether a record says that generative AI only edited the picture: Adobe's steps, Google's or Apple's credit."""
    return claim.field in [f"XMP {name}" for name in _STEPS] or bool(
        "credit" in claim.field.lower() and _EDITED.search(claim.text)
    )


def written_by(field: str, text: str, records: dict[str, str]) -> list[str]:
    """The generators that write such a field."""
    name = re.sub(r" \d+$", "", field.lower())  # the second of a name has a number
    if name in _TOOL_KEYS:
        return [_TOOL_KEYS[name]] if _TOOL_KEYS[name] != AIGC or _is_label(text) else []
    found = [_of_record(name, text)] if name in _RECORDS else []
    if name in ("prompt", "workflow", "xmp prompt", "xmp workflow") and _is_graph(text):
        found.append("ComfyUI")
    if name in ("make", "model", "imagedescription") and _COMFY.match(text):
        return ["ComfyUI"]
    if name in _PROGRAMS or name in _OTHERS:
        found.append(named(text, sure=name in _OTHERS))
    # github.com/wiltodelta/remove-ai-watermarks, docs: three kinds of download of Grok carry this pair.
    if name == "imagedescription" and _GROK.match(text) and _UUID.fullmatch(records.get("Artist", "").strip()):
        found.append("Grok (xAI)")
    # Midjourney's PNG: Description = prompt, parameters and "Job ID: " with a UUID.
    if name in ("description", "xmp description", "imagedescription") and "Job ID:" in text and _UUID.search(text):
        found.append("Midjourney")
    if name == "comment" and text.startswith("{") and "NovelAI" in records.get("Software", ""):
        found.append("NovelAI")
    return [tool for tool in found if tool]


def named(text: str, sure: bool = False) -> str | None:
    """The generator that a short field names; `sure` leaves out words and names that mean other things too."""
    if len(text) > 300:
        return None
    for pattern, tool in _SURE_NAMES if sure else _NAMES:
        if pattern.search(text):
            return tool
    match = None if sure else _WHOLE.match(text.strip())
    if match and _VERSION.fullmatch(text.strip()[match.end() :]):
        return _WHOLE_TOOLS[match.lastgroup]
    return None


def _is_graph(text: str) -> bool:
    """ComfyUI's prompt (nodes by number with class_type) or workflow (a list of nodes)."""
    return text.lstrip().startswith("{") and any(word in text for word in ('"class_type"', '"nodes"'))


def _of_record(name: str, text: str) -> str | None:
    """The tool behind a field that holds a whole record, by what the record looks like."""
    if text.lstrip().startswith("{"):
        return _of_json(text)
    if "sui_image_params" in text:
        return "SwarmUI"
    if "Steps: " in text and "Sampler: " in text:  # the line of parameters that A1111 made common
        if "Version: Fooocus" in text:
            return "Fooocus"
        return "Civitai" if "Civitai resources:" in text else "A1111"
    if name == "stealth_pnginfo":
        return named(text[:300]) or "Stealth PNG info"
    beside = "Steps: " in text and any(word in text for word in _BESIDE_STEPS)
    return "A1111" if name == "parameters" and (beside or "Negative prompt:" in text) else None


def _of_json(text: str) -> str | None:
    """Records that are objects of JSON.

    SwarmUI: src/Text2Image/T2IParamInput.cs; RuinedFooocus: modules/async_worker.py ("software"); Fooocus:
    modules/meta_parser.py ("metadata_scheme", "version"); ComfyUI: nodes by number; Civitai: "extraMetadata" and
    "resource-stack" beside ComfyUI's nodes; NovelAI: "request_type", "signed_hash"; Draw Things: prompts "c", "uc".
    """
    if "sui_image_params" in text:
        return "SwarmUI"
    content = _object(text)
    if ("AIGC" in content or {"Label", "ContentProducer"} <= set(content)) and _is_label(text):
        return AIGC
    if tool := named(str(content.get("software") or content.get("Software") or "")):
        return tool
    version = f"{content.get('version', '')} {content.get('metadata_scheme', '')} {content.get('created_by', '')}"
    if "fooocus" in version.lower():
        return "Fooocus"
    if "extraMetadata" in content or "resource-stack" in content:
        return "Civitai"
    if "request_type" in content and "signed_hash" in content:
        return "NovelAI"
    if {"c", "uc", "seed"} <= set(content):
        return "Draw Things"
    return "ComfyUI" if _is_graph(text) else None


def _object(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _of_adobe(xmp: Xmp) -> list[Claim]:
    """Generative steps in Adobe's edit history (xmpMM:History) and in Camera Raw's retouching (crs:*Areas).

    Source: XMP Specification Part 2, 1.2.4 (ResourceEvent: action, softwareAgent, parameters); the namespace crs.
    """
    for place in _STEPS:
        fields = ("softwareAgent", "parameters", "action") if place == "History" else ("Method", "SpotType", "Type")
        for entry in xmp.below(place):
            text = "; ".join(entry[name] for name in fields if entry.get(name))
            if re.search(r"firefly|generative", text, re.IGNORECASE):
                return [Claim("Adobe Firefly", f"XMP {place}", plain(text, MAX_TEXT))]
    return []
