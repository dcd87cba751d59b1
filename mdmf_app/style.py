"""How the page looks: theme, style sheet, the two small scripts, and fragments of HTML that several tabs use.

All HTML stands in `templates/`, where everything that comes from a file or a user is escaped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from mdmf_core.show.html import environment

_TEMPLATES = environment(Path(__file__).with_name("templates"))

ICONS = {"generated": "▲", "inconclusive": "◆", "no_evidence": "○", "not_judged": "–"}

PASTE = """
() => document.addEventListener("paste", (event) => {
    const input = document.querySelector("#picture input[type=file]");
    if (!input || !input.closest("#picture").checkVisibility() || !event.clipboardData.files.length) return;
    event.preventDefault();
    input.files = event.clipboardData.files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
})
"""

REVEAL = '() => document.querySelector("#verdict").scrollIntoView({behavior: "smooth", block: "nearest"})'
NAME_PAIR = """
() => document.querySelectorAll("#pair img").forEach((image, second) => {
    image.alt = second ? "The same picture under the map of its evidence." : "The picture as it is.";
})
"""

CSS = """
.gradio-container {max-width: 1440px !important; width: 100%; min-width: 0; margin: 0 auto;}
.dark {--color-accent: #60a5fa;}
:is(#hint, #doubts, #beside):not(:has(p)) {display: none;}
#stability, #ready {min-height: 60px;}
@media (max-width: 500px) {
  .gradio-container main {padding: 12px !important;}
  .tab-container button {padding-inline: 8px !important;}
}
.card {border: 1px solid var(--border-color-primary); border-left: 8px solid var(--tone); border-radius: 8px;
  padding: 12px 16px; background: var(--background-fill-primary); color: var(--body-text-color);}
.card h3:first-child {margin-top: 0;}
.card .origin {margin-bottom: 12px;}
.card h2 {margin: 0 0 6px; font-size: 1.4rem; color: var(--body-text-color);}
.card h3, .panel h3 {margin: 18px 0 4px; font-size: 1.05rem; color: var(--body-text-color);}
.card p, .panel p {margin: 6px 0; overflow-wrap: anywhere;}
.card dl, .panel dl {display: grid; grid-template-columns: fit-content(45%) minmax(0, 1fr); gap: 4px 14px;
  margin: 10px 0;}
.card dt, .panel dt {font-weight: 600;}
.card dd, .panel dd {margin: 0; overflow-wrap: anywhere;}
.panel {color: var(--body-text-color);}
.panel ul {margin: 6px 0; padding-left: 1.2em;}
.panel figure {margin: 0;}
.panel figcaption {font-size: 0.9rem; margin-top: 4px;}
.panel img {max-width: 100%; height: auto; border-radius: 4px;}
.crops {display: grid; grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)); gap: 12px; margin: 8px 0;
  max-width: 640px;}
.crops.pair {grid-template-columns: 1fr 1fr; max-width: 560px;}
.crops img {width: 100%; image-rendering: pixelated;}
.plot img {display: block; width: 100%; max-width: 560px;}
.panel table {border-collapse: collapse; width: 100%; margin: 8px 0;}
.panel th, .panel td {text-align: left; padding: 4px 6px !important; font-size: 0.9rem; overflow-wrap: normal;}
.panel pre {white-space: pre-wrap; overflow-wrap: anywhere; max-height: 16em; overflow: auto; padding: 8px;
  border: 1px solid var(--border-color-primary); border-radius: 4px; font-size: 0.85rem;}
#model-card pre {max-height: none; overflow: visible;}
.generated {--tone: #b3261e;}
.inconclusive {--tone: #b26a00;}
.no_evidence {--tone: #5f6b7a;}
.not_judged {--tone: #4b5563;}
.waiting, .error, .notice {--tone: #1f6feb;}
.error {--tone: #b3261e;}
.small {font-size: 0.9rem; overflow-wrap: anywhere;}
.legend .bar {height: 18px; border-radius: 4px; border: 1px solid var(--border-color-primary);}
.legend ol {display: grid; grid-template-columns: 1fr 1fr; gap: 12px; list-style: none; padding: 0; margin: 4px 0;}
.legend li {font-size: 0.9rem; margin: 0;}
.legend li:not(:first-child) {text-align: right;}
.html-container {padding: 0 !important;}
#map img, #mask img {object-fit: contain;}
#map img {cursor: crosshair;}
label[data-testid="block-label"] {position: static !important; white-space: normal;}
#examples .caption-label, #many-gallery .caption-label {position: static; display: block; max-width: 100%;
  white-space: normal; text-align: left; border: 0; border-radius: 0; line-height: 1.25; overflow-wrap: anywhere;}
#many-gallery .grid-container {grid-template-columns: repeat(auto-fill, minmax(140px, 1fr));
  grid-auto-rows: max-content; align-content: start;}
#many-files button[aria-label="common.upload"] {display: none;}
.dark .download-link {color: #93c5fd;}
#many-gallery .grid-wrap {min-height: 0; max-height: 640px;}
#many-gallery button.thumbnail-item {aspect-ratio: auto; height: auto;}
#examples button.thumbnail-item {aspect-ratio: auto; height: auto;}
#examples .grid-wrap {max-height: none; overflow: visible;}
#examples .grid-container {padding-top: 0; grid-template-columns: repeat(3, minmax(0, 1fr));}
#examples button img {aspect-ratio: 1;}
"""


def theme() -> gr.Theme:
    """Fonts of the user's own system, blue as the one accent, and contrasts of 4.5 to 1 or more."""
    chosen = gr.themes.Default(
        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    parts = ("body_text_color_subdued", "block_info_text_color", "block_label_text_color", "block_title_text_color")
    small_print = {part: "*neutral_600" for part in parts} | {f"{part}_dark": "*neutral_300" for part in parts}
    button = {f"button_primary_background_fill{state}": "*primary_600" for state in ("", "_dark")}
    hovered = {f"button_primary_background_fill_hover{state}": "*primary_700" for state in ("", "_dark")}
    return chosen.set(color_accent="*primary_600", **small_print, **button, **hovered)


def render(name: str, **values: Any) -> str:
    """A fragment of the page; what the template is given is escaped."""
    return _TEMPLATES.get_template(name).render(**values)


def notice(text: str) -> str:
    """What to do next, where a result will be."""
    return render("notice.html", text=text)


def error_card(sentence: str, title: str = "No result") -> str:
    """One sentence in place of a result."""
    return render("error.html", sentence=sentence, title=title)


def paragraph(text: str, kind: str = "", role: str = "") -> str:
    """A sentence or two on the page."""
    return render("paragraph.html", text=text, kind=kind, role=role)


def progress(id: str, words: str, value: str = "", most: int = 1) -> str:
    """Progress in words and as a bar, which only moves where there is no value."""
    return render("progress.html", id=id, words=words, value=value or None, most=most)
