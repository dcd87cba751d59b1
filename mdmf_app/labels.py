"""What components show before anybody asked for anything: Gradio sends it once, the browser chooses the language.

A label, or a fragment of HTML, is made in each language when the page is built; `I18n` holds them all (`spoken_by`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.i18n import I18nData

from mdmf_app.language import ENGLISH, WORDS, everywhere, told
from mdmf_core.sentence import Sentence

_made: dict[str, dict[str, str]] = {}


def label(text: str) -> Any:
    """A sentence for a component; what is no sentence stays as it is."""
    return still(lambda: told(text)) if isinstance(text, Sentence) else text


def still(make: Callable[[], str]) -> I18nData:
    """What `make` gives in each language, for a component that begins with it."""
    words = everywhere(make)
    key = "page_" + hashlib.sha256("\0".join(words.values()).encode()).hexdigest()[:16]
    _made[key] = words
    return I18nData(key)


def english(data: I18nData | str | None) -> str:
    """What a component begins with, in English."""
    text = "" if data is None else str(data)
    return next((words[ENGLISH] for key, words in _made.items() if f'"{key}"' in text), text)


def spoken_by() -> gr.I18n:
    """All labels and fragments that were made, for `launch`."""
    return gr.I18n(**{language: {key: words[language] for key, words in _made.items()} for language in WORDS})
