"""How the page looks and moves: theme, style sheet, the script, and fragments of HTML that several tabs use.

All HTML stands in `templates/`, where everything that comes from a file or a user is escaped.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from matplotlib import rc_context
from matplotlib.figure import Figure

from mdmf_app.language import ENGLISH, WORDS, current, is_foreign, say, signs, told
from mdmf_core.show import html
from mdmf_core.show.html import Inline, environment

_TEMPLATES = environment(Path(__file__).with_name("templates"))
_shown = _TEMPLATES.finalize
_TEMPLATES.finalize = lambda value: _shown(told(value))
_TEMPLATES.globals["say"] = say
_TEMPLATES.tests["foreign"] = is_foreign
_TEMPLATES.filters["signs"] = signs

ICONS = {"generated": "▲", "inconclusive": "◆", "no_evidence": "○", "not_judged": "–"}


def _beside(name: str) -> str:
    """A file of the page's own that lies beside this one."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


_SPOKEN = {
    language: {key: words.get(key, text) for key, text in WORDS[ENGLISH].items() if key.startswith("script.")}
    for language, words in WORDS.items()
}
_WORDS = f"const WORDS = {json.dumps(_SPOKEN, ensure_ascii=False)};"
_SCRIPTS = (_beside(f"{name}.js") for name in ("words", "page", "map", "lens", "region", "sheet"))
SCRIPT = "\n".join(("() => {", _WORDS, *_SCRIPTS, f"({_beside('tabs.js')})();", "}"))
MORE_EXAMPLES = '() => { document.querySelector("#one").classList.toggle("all-examples"); }'
SELECT_BY_INDEX = """
element.addEventListener("click", (event) => {
    const chosen = event.target.closest("[data-index]");
    if (chosen) trigger("select", {index: Number(chosen.dataset.index), value: null});
});
"""
SELECT_BY_PLACE = """
element.addEventListener("ask", (event) => trigger("select", {index: event.detail, value: null}));
"""
NAME_PAIR = """
() => {
    const name = (tries) => {
        const images = document.querySelectorAll("#pair img");
        images.forEach((image, second) => {
            image.alt = window.mdmfSay(second ? "pair_map" : "pair_plain");
        });
        if (images.length < 2 && tries) setTimeout(name, 50, tries - 1);
    };
    name(60);
}
"""

MAP_IS_SEEN = """
() => new Promise((go) => {
    const look = (tries) => {
        if (!tries || document.querySelector("#map img")?.complete) go([]);
        else setTimeout(look, 20, tries - 1);
    };
    look(50);
})
"""

NO_RESULT = say("error.no_result")
GO_TO_ONE = "() => document.querySelector('[role=tab]').click()"
CSS = _beside("page.css") + _beside("tabs.css")


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


def render(template: str, /, **values: Any) -> str:
    """A fragment of the page; what the template is given is escaped."""
    return _TEMPLATES.get_template(template).render(**values)


def drawing(make: Callable[[], Figure]) -> Inline:
    """A plot; what the letters of matplotlib's font can't write, the browser writes with its own."""
    with rc_context({"svg.fonttype": WORDS[current()]["language.svg_letters"]}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        return html.drawing(make())


def notice(text: str) -> str:
    """What to do next, where a result will be."""
    return render("notice.html", text=text)


def error_card(sentence: str, title: str = NO_RESULT) -> str:
    """One sentence in place of a result."""
    return render("error.html", sentence=sentence, title=title)


def paragraph(text: str, kind: str = "", role: str = "") -> str:
    """A sentence or two on the page."""
    return render("paragraph.html", text=text, kind=kind, role=role)


def progress(id: str, words: str, value: str = "", most: int = 1) -> str:
    """Progress in words and as a bar, which only moves where there is no value."""
    return render("progress.html", id=id, words=words, value=value or None, most=most)
