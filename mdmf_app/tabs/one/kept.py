"""What a session keeps of its analyses, and whether that is still what the page shows."""

from __future__ import annotations

from dataclasses import replace

from mdmf_app.language import say
from mdmf_app.views import Result
from mdmf_core.evidence import decide
from mdmf_core.show.stability import Variant

GONE = say("one.gone")

Held = tuple[Result, list[Variant]]


class Turn:
    """Counts the analyses and drawings that a session began: of each the last counts; `shown` is on the screen."""

    def __init__(self) -> None:
        self.last = 0
        self.drawing = 0
        self.shown: Result | None = None

    def begin(self) -> int:
        self.last += 1
        self.shown = None
        self.draw()
        return self.last

    def draw(self) -> int:
        """A drawing of the map begins, and overtakes what is still under way: answers may come in any order."""
        self.drawing += 1
        return self.drawing

    def shows(self, result: Result | None) -> bool:
        """Whether this result is on the screen."""
        return result is not None and self.shown is result

    def show(self, result: Result | None) -> None:
        """This result is on the screen now, and overtakes what is still under way."""
        self.begin()
        self.shown = result


def is_gone(result: Result | None) -> bool:
    """Whether there is nothing to show: the session has no result any more, or the result no picture."""
    return result is None or not result.is_there()


def held_at(held: Held | None, result: Result, alpha: float) -> list[Variant]:
    """The variants that were tried of this result, under a false-alarm rate; none if it wasn't tested."""
    if held is None or held[0] is not result:
        return []
    return [v if v.error else replace(v, decision=decide(v.p_value, alpha)) for v in held[1]]
