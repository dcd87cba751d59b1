"""Text that strangers wrote, made safe to show: on one line, on a terminal, in a cell of a table.

Characters that can't be printed are controls (also those that colour a terminal), direction marks, zero-width ones,
lone surrogates and what Unicode has not assigned.
"""

from __future__ import annotations

import unicodedata
from typing import TypeVar

MAX_SHORT = 200
FORMULA = tuple("=+-@")

Cell = TypeVar("Cell")


def plain(value: object, most: int = MAX_SHORT) -> str:
    """One line of at most `most` printable characters; the others are left out."""
    words = " ".join(str(value)[: 4 * most].split())
    return "".join(letter for letter in words if letter.isprintable())[:most]


def printable(value: object) -> str:
    """The text with spaces of all kinds, line ends and tabs; other characters that can't be printed become U+FFFD."""
    return "".join(letter if _is_shown(letter) else "\ufffd" for letter in str(value))


def _is_shown(letter: str) -> bool:
    """Python counts spaces that no line breaks at, which French puts before its signs, among the unprintable."""
    return letter.isprintable() or letter in "\n\t" or unicodedata.category(letter) == "Zs"


def one_line(value: object) -> str:
    """The text on one line of a terminal; characters that can't be printed, line ends too, become U+FFFD."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(value))


def cell(value: Cell) -> Cell | str:
    """A value for a spreadsheet; where it might run a text as a formula, an apostrophe stands in front.

    Full-width and small forms of the signs count too, whatever quotes, spaces and unprintable characters stand before
    them; and so does what follows a semicolon, for some spreadsheets begin a new cell there.
    https://owasp.org/www-community/attacks/CSV_Injection
    """
    return ";".join(map(_no_formula, value.split(";"))) if isinstance(value, str) else value


def _no_formula(text: str) -> str:
    shown = (letter for letter in unicodedata.normalize("NFKC", text) if letter.isprintable() and letter not in ' "')
    return f"'{text}" if next(shown, "") in FORMULA else text
