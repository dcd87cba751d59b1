"""Records that image generators leave in text fields."""

from __future__ import annotations

import re

from mdmf_core.images.origin.said import MAX_LIST, MAX_TEXT, Claim
from mdmf_core.images.origin.xmp import xmp_field
from mdmf_core.texts import plain

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


def claims_of(texts: dict[str, str], packets: list[str], data: bytes, software: str | None) -> tuple[Claim, ...]:
    """Records of image generators, one for each field."""
    claims = []
    for field, text in texts.items():
        if tool := _tool(field, text, texts, data):
            claims.append(Claim(tool, plain(field, 100), plain(text, MAX_TEXT)))
    if label := xmp_field(packets, "TC260:AIGC"):
        claims.append(Claim("AIGC label (China)", "XMP TC260:AIGC", label))
    for field, text in (("Software", software), ("XMP Credit", xmp_field(packets, "photoshop:Credit"))):
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
