"""The languages of the page: one file of words each in `words/`, and which of them a request gets.

Whatever the page shows is a `Sentence`: English, with its key and values. `told` says it in the language of the request
that is being answered; the templates do so by themselves (`style.render`). What is for programs is never told, and so
stays English. A sentence that a language lacks stays English, too.

The language of a request is the one that its address asks for (`?lang=de`), else the first that the browser accepts
(RFC 9110, 12.5.4) and that there is a file of.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from string import Formatter
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mdmf_core.sentence import COMMA, Sentence, Template, said

ENGLISH = "en"
MOST_ACCEPTED, LONGEST_TAG = 32, 35  # of a header that anybody can write
_FOLDER = Path(__file__).with_name("words")
_asked: ContextVar[str | None] = ContextVar("language", default=None)


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Template]]:
    """Dotted keys with their templates; a template has plural forms where it has "other"."""
    for name, value in tree.items():
        if isinstance(value, str) or "other" in value:
            yield f"{path}{name}", value
        else:
            yield from _leaves(value, f"{path}{name}.")


def read(path: Path) -> dict[str, Template]:
    """The words of a language by dotted keys."""
    return dict(_leaves(json.loads(path.read_text(encoding="utf-8"))))


WORDS = {path.stem: read(path) for path in sorted(_FOLDER.glob("*.json"))}
RECOGNISED = {  # sentences about files, which come as mere texts from the process that reads them
    text: key for key, text in WORDS[ENGLISH].items() if key.startswith("declared.") and isinstance(text, str)
}


def choose(accepted: str, asked: str = "") -> str:
    """The language for an `Accept-Language` header; one that is asked for by name goes first."""
    for tag in (asked, *_by_weight(accepted)):
        if found := _known(tag):
            return found
    return ENGLISH


def _by_weight(accepted: str) -> list[str]:
    """The tags of a header, the one that is wanted most first; what is no tag with a weight is passed over."""
    weights: dict[str, float] = {}
    for part in accepted.split(",")[:MOST_ACCEPTED]:
        tag, _, weight = part.partition(";")
        try:
            value = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue
        if math.isfinite(value) and 0 < value <= 1:
            weights.setdefault(tag.strip(), value)
    return sorted(weights, key=lambda tag: -weights[tag])


def _known(tag: str) -> str:
    """The language of a tag, or another variety of it; "" where there is none."""
    wanted = tag.lower() if len(tag) <= LONGEST_TAG else ""
    alike = [language for language in WORDS if language.split("-")[0].lower() == wanted.split("-")[0]]
    return next((language for language in alike if language.lower() == wanted), alike[0] if alike else "")


def of_headers(headers: Mapping[str, str], query: str = "") -> str:
    """The language of a request, whose page's address the browser sends along (`referer`)."""
    try:
        address = parse_qs(query or urlsplit(headers.get("referer", "")).query, max_num_fields=MOST_ACCEPTED)
    except ValueError:
        address = {}
    return choose(headers.get("accept-language", ""), address.get("lang", [""])[-1])


def current() -> str:
    """The language of the request that is being answered; English outside of one."""
    from gradio.context import LocalContext  # here, for the server's settings come before Gradio

    request = LocalContext.request.get(None)
    return _asked.get() or (of_headers(request.headers) if request is not None else ENGLISH)


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """Everything is told in this language meanwhile."""
    before = _asked.set(language)
    try:
        yield
    finally:
        _asked.reset(before)


def everywhere(make: Callable[[], str]) -> dict[str, str]:
    """What `make` gives in each language."""
    made = {}
    for language in WORDS:
        with spoken(language):
            made[language] = make()
    return made


def say(key: str, /, **values: Any) -> Sentence:
    """A sentence of the page's own, from the file of English words."""
    return said(key, WORDS[ENGLISH][key], **values)


def told(text: Any) -> Any:
    """A sentence in the language of the request; anything else as it is, but for `RECOGNISED` sentences."""
    language = current()
    return text if language == ENGLISH else _in(language, text)


def is_foreign(text: object) -> bool:
    """Whether a text stays English on a page in another language."""
    return current() != ENGLISH and not _is_said(text)


def _is_said(text: object) -> bool:
    """Whether there are other languages for all of it."""
    if isinstance(text, Sentence) and text.parts:
        return all(map(_is_said, text.parts))
    return text in RECOGNISED or (isinstance(text, Sentence) and bool(text.key))


def _in(language: str, text: Any) -> Any:
    words = WORDS[language]
    if not isinstance(text, Sentence):
        return words.get(RECOGNISED[text], text) if isinstance(text, str) and text in RECOGNISED else text
    if text.parts:
        gap = words["language.list" if text.gap == COMMA else "language.gap"]
        return gap.join(_in(language, part) for part in text.parts)
    if text.key not in words:
        return str(text)
    template = words[text.key]
    if not isinstance(template, str):
        one = str(text.values["n"]) in words["language.one"].split()
        template = template["one" if one else "other"]
    values = {name: _in(language, value) for name, value in text.values.items()}
    return _Numbers(words["language.thousands"], words["language.decimal"]).vformat(template, (), values)


def signs(figures: str) -> str:
    """Figures that were written in English, with the signs of the language."""
    words = WORDS[current()]
    return figures.translate(str.maketrans({",": words["language.thousands"], ".": words["language.decimal"]}))


class _Numbers(Formatter):
    """Fills a template; numbers get the signs of a language."""

    def __init__(self, thousands: str, decimal: str) -> None:
        self._signs = str.maketrans({",": thousands, ".": decimal})

    def format_field(self, value: Any, format_spec: str) -> str:
        shown = super().format_field(value, format_spec)
        return shown.translate(self._signs) if isinstance(value, int | float) else shown


def number(value: float, spec: str) -> str:
    """A number alone, with the signs of the language."""
    return signs(format(value, spec))
