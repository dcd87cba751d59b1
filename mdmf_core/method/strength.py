"""How strong the evidence of a score is: a likelihood ratio with bounds, its words, and how often tests were as strong.

The likelihood ratio says how many times as common a score is among generated pictures as among real ones. It is read
from a small table that `mdmf_core.training.strength` fits to pictures of sources that training never saw.

Sources: the verbal scale is that of the ENFSI guideline for evaluative reporting (2015); bounds by what the number of
pictures can carry, Vergeer et al. (Science & Justice 56, 2016).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mdmf_core.sentence import Sentence, said

LEAST = 2.0  # below it either way there is no support
WORDS = (
    (1e6, "extremely strong"),
    (1e4, "very strong"),
    (1e3, "strong"),
    (100.0, "moderately strong"),
    (10.0, "moderate"),
    (LEAST, "weak"),
)
NO_SUPPORT = said("support.none", "no support either way")
GENERATED, REAL = "generated", "real"
ROUNDING = 1e-9  # of a logarithm: a ratio of 10 that was stored as 9.999999999 is still 10


class Table(NamedTuple):
    """Likelihood ratios by score, and the scores that they were fitted to.

    `scores` (T,) are sorted and `log10_lr` (T,) never falls; its ends are the bounds. `real` (R,) and `generated` (G,)
    are sorted scores of pictures that training did not see.
    """

    scores: np.ndarray
    log10_lr: np.ndarray
    real: np.ndarray
    generated: np.ndarray

    def at(self, scores: float | np.ndarray) -> np.ndarray:
        """log10 of the likelihood ratio of scores, of their shape; beyond the table the bound."""
        return np.interp(scores, self.scores, self.log10_lr)


class Strength(NamedTuple):
    """What a score is worth as evidence.

    `ratio` is the likelihood ratio and `bounds` the lowest and highest that the table can give. `real` and `generated`
    are the shares of the pictures of each kind in the tests, `n_real` and `n_generated` of them, whose ratio is at
    least as far on the same side of 1.
    """

    ratio: float
    bounds: tuple[float, float]
    real: float
    generated: float
    n_real: int
    n_generated: int

    @property
    def support(self) -> Sentence:
        """The verbal scale: "moderate support for generated", or `NO_SUPPORT`."""
        return support(self.ratio)

    @property
    def told(self) -> str:
        """The ratio to three digits, with "at least" or "at most" where the table ends."""
        end = {self.bounds[0]: "at most ", self.bounds[1]: "at least "}.get(self.ratio, "")
        return f"{end}{self.ratio:.3g}"

    @property
    def side(self) -> str:
        """What the score supports, `GENERATED` or `REAL`; "" for neither."""
        return "" if self.support == NO_SUPPORT else GENERATED if self.ratio > 1 else REAL


def strength(score: float, table: Table) -> Strength:
    """The strength of a score by the table for pictures like it."""
    value = float(table.at(score))
    sign = 1 if value >= 0 else -1
    shares = [float((sign * table.at(each) >= sign * value).mean()) for each in (table.real, table.generated)]
    low, high = (float(10**end) for end in (table.log10_lr[0], table.log10_lr[-1]))
    return Strength(float(10**value), (low, high), *shares, len(table.real), len(table.generated))


def equally_rare(score: float, own: np.ndarray, other: np.ndarray) -> float:
    """The score that is as rare among one kind of real pictures as `score` is among another; it rises with it.

    Args:
        score: of a picture.
        own: (R,) sorted scores of real pictures of its kind.
        other: (S,) sorted scores of real pictures of the kind that is asked for.
    """
    rank = np.interp(score, own, np.linspace(0, 1, len(own)))
    return float(np.interp(rank, np.linspace(0, 1, len(other)), other))


def support(ratio: float) -> Sentence:
    """The verbal scale for a likelihood ratio above 0."""
    size = abs(float(np.log10(ratio))) + ROUNDING
    for least, word in WORDS:
        if size >= np.log10(least):
            side = GENERATED if ratio > 1 else REAL
            return said(f"support.{word.replace(' ', '_')}.{side}", f"{word} support for {side}")
    return NO_SUPPORT
