"""What comes of comparing one picture with trusted ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RANGES = {
    "generated": "at most the false-alarm rate",
    "inconclusive": "between that rate and 0.2",
    "no_evidence": "above 0.2",
}  # of p, by decision


@dataclass(frozen=True)
class Comparison:
    """A picture compared with trusted ones.

    Attributes:
        name: of the reference.
        n: trusted pictures that it was compared with.
        score: among them, with their signatures in the real bank where `mixed`.
        above: how many of them score at least as high.
        p_value: (1 + above) / (n + 1).
        decision: by that p-value, as `Verdict.decision`.
        general_p_value: without the trusted pictures.
        general_decision: by that.
        mixed: whether the trusted pictures' signatures were in the bank.
        notes: what makes the comparison doubtful, one sentence each.
    """

    name: str
    n: int
    score: float
    above: int
    p_value: float
    decision: str
    general_p_value: float
    general_decision: str
    mixed: bool
    notes: tuple[str, ...] = ()

    @property
    def smallest_p(self) -> float:
        """The least p-value that so many pictures allow."""
        return 1 / (self.n + 1)

    def to_dict(self) -> dict[str, Any]:
        """`reference` in the JSON of `detect`."""
        return {
            "name": self.name,
            "n": self.n,
            "score": self.score,
            "p_value": self.p_value,
            "smallest_p": self.smallest_p,
            "decision": self.decision,
            "mixed": self.mixed,
            "changed": {
                "decision": self.decision != self.general_decision,
                "general_decision": self.general_decision,
                "general_p_value": self.general_p_value,
                "p_value_ratio": self.p_value / self.general_p_value,
            },
            "notes": list(self.notes),
        }

    @property
    def sentence(self) -> str:
        """The comparison in some sentences."""
        n, old, new = f"{self.n:,}", RANGES[self.general_decision], RANGES[self.decision]
        reach = {0: "none of them scores", 1: "1 of them scores"}.get(self.above, f"{self.above:,} of them score")
        change = f"it stays {new}" if old == new else f"it moves from {old} to {new}"
        told = (
            f"Compared with your {n} pictures: {reach} at least as high, so p is {self.p_value:.2g} and not "
            f"{self.general_p_value:.2g}; {change}.",
            f"With {n} pictures p can't be below {self.smallest_p:.2g}.",
        )
        return " ".join([*told, *self.notes])
