"""Sentences in English that know their key and values, so that a page can say them in another language.

    said("patches.none", "None of its {n:,} patches stands out alone.", n=72)

A `Sentence` is a text like any other; who writes English, JSON or CSV need not know. The translations belong to whoever
shows it (`mdmf_app.language`): nothing here knows another language than English.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Template = str | Mapping[str, str]  # one text, or "one" and "other" of which the value `n` chooses

SPACE, COMMA = " ", ", "


class Sentence(str):
    """A text with where it comes from: the key of its template with the values, or the parts that it is made of."""

    key: str = ""
    values: Mapping[str, Any] = {}
    parts: tuple[str, ...] = ()
    gap: str = SPACE


def said(key: str, template: Template, /, **values: Any) -> Sentence:
    """A sentence from a template, in English.

    Args:
        key: names the template for translators.
        template: with a place for each value; or two, "one" and "other", of which `values["n"]` chooses.
        values: numbers, names, or sentences.
    """
    if not isinstance(template, str):
        template = template["one" if values["n"] == 1 else "other"]
    made = Sentence(template.format(**values))
    made.key, made.values = key, values
    return made


def joined(parts: Iterable[str], gap: str = SPACE) -> Sentence:
    """Sentences one after another, or the things of a list; empty ones are left out."""
    kept = tuple(part for part in parts if part)
    made = Sentence(gap.join(kept))
    made.parts, made.gap = kept, gap
    return made
