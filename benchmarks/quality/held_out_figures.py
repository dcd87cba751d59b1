"""Figures of `held_out.py`: AUROC, share found and false alarms, by family, generator, real source and pair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.quality import by_source, roles
from mdmf_core.training.evaluate import Row
from mdmf_core.training.metrics import share

FAMILIES = ("gan", "diffusion_2022", "sdxl_era", "2025_on")
ALPHA = 0.05
LEAST = 8  # pictures of a source that has figures of its own
MANY = 0.12  # false alarms of a source that is named
DRAWS = 1000
MATCH = ("generated", "real", "alike")  # keys of a generated picture and of a real one, and how alike they are
Match = tuple[str, str, float]


@dataclass(frozen=True)
class Side:
    """Pictures of one class, scored: `names` of S sources; scores, p-values, which are refused
    and sources `of` N pictures by `keys`.
    """

    names: list[str]
    keys: list[str]
    of: np.ndarray
    scores: np.ndarray
    p_values: np.ndarray
    refused: np.ndarray

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> Side:
        rows = list(rows)
        names = sorted({row.source for row in rows})
        numbers = {name: number for number, name in enumerate(names)}
        return cls(
            names,
            [row.key for row in rows],
            np.array([numbers[row.source] for row in rows], np.int64),
            np.array([row.score for row in rows], float),
            np.array([row.p_value for row in rows], float),
            np.array([row.reason is not None for row in rows], bool),
        )

    @cached_property
    def sizes(self) -> np.ndarray:
        return np.bincount(self.of, minlength=len(self.names))

    @cached_property
    def called(self) -> np.ndarray:
        """Shares of each source's pictures with p <= 0.05, (S,)."""
        return self.shares(self.p_values <= ALPHA)

    def shares(self, chosen: np.ndarray) -> np.ndarray:
        """Shares of each source's pictures that are chosen by a mask (N,), (S,)."""
        return by_source.sums(chosen.astype(float), self.of, len(self.names)) / self.sizes

    def p_of(self, source: int) -> np.ndarray:
        return self.p_values[self.of == source]


class Condition:
    """All that the figures of one condition are made from: R real and G generated sources, B draws of them."""

    def __init__(self, rows: list[Row], known: roles.Roles, seed: int = 0, draws: int = DRAWS) -> None:
        good = [row for row in rows if row.error is None]
        self.pictures, self.failures, self.seed = len(rows), len(rows) - len(good), seed
        self.real, self.generated = (Side.of_rows(row for row in good if row.label == label) for label in (0, 1))
        kinds = [
            np.array([known[roles.name_of(label, name)]["kind"] for name in side.names], object)
            for label, side in enumerate((self.real, self.generated))
        ]
        self.art, self.family = kinds[0] == roles.ART, kinds[1]
        self.enough = self.generated.sizes >= LEAST
        rng = np.random.default_rng(seed)
        self.times = by_source.resampled(self.art, draws, rng)
        self.hits = by_source.resampled(self.enough, draws, rng)
        real, count = self.real, len(self.real.names)
        self.beaten = by_source.beaten(self.generated.scores, real.scores, real.of, count)
        self.won = by_source.sums(self.beaten, self.generated.of, len(self.generated.names))

    def aurocs(self, against: np.ndarray) -> np.ndarray:
        """AUROC (B + 1, G) against the real sources `against` (R,), a mask."""
        return by_source.aurocs(self.won, self.generated.sizes, self.real.sizes, self.times * against)

    def means(self, values: np.ndarray, of: np.ndarray | None = None) -> dict[str, by_source.Figure]:
        """Means of each generator's values over the generators `of` (G,), a mask; None takes all."""
        hits = self.hits if of is None else self.hits * of
        found = by_source.three_means(values, self.generated.sizes, hits, LEAST)
        return {name: by_source.figure(drawn) for name, drawn in found.items()}

    def refused(self) -> dict[str, by_source.Figure]:
        """Shares of all pictures of each class that can't be judged."""
        sides = ("photographs", self.real, self.times * ~self.art), ("art", self.real, self.times * self.art)
        return {
            name: by_source.figure(by_source.average(side.shares(side.refused), drawn * side.sizes))
            for name, side, drawn in (*sides, ("generated", self.generated, self.hits))
        }

    def false_alarms(self, among: np.ndarray) -> dict[str, Any]:
        """Means over the pictures and over the sources `among` (R,), a mask."""
        times, sizes = self.times * among, self.real.sizes
        return {
            "n": int(sizes[among].sum()),
            "sources": int(among.sum()),
            "pictures": by_source.figure(by_source.average(self.real.called, times * sizes)),
            "mean": by_source.figure(by_source.average(self.real.called, times)),
        }


def of_condition(given: Condition, named: list[dict], matches: list[Match]) -> dict[str, Any]:
    """All figures of one condition; what does not exist is None."""
    photographs, art = given.aurocs(~given.art), given.aurocs(given.art)
    found, alarms = given.generated.called, given.false_alarms(~given.art)
    return {
        "pictures": given.pictures,
        "failures": given.failures,
        "generated": {"n": int(given.generated.sizes.sum()), "sources": len(given.generated.names)},
        "auroc": given.means(photographs),
        "tpr": given.means(found),
        "found_at_own_point": at_own_point(given),
        "false_alarms": alarms,
        "refused": given.refused(),
        "families": {name: family(given, photographs, given.family == name) for name in FAMILIES},
        "generators": {name: generator(given, number) for number, name in listed(given.generated)},
        "real": {name: real_source(given, number) for number, name in listed(given.real)},
        "above": [name for number, name in listed(given.real) if given.real.called[number] > MANY],
        "art": {"auroc": given.means(art), "false_alarms": given.false_alarms(given.art)},
        "pairs": of_named(given, named),
        "matched": of_matches(given, matches),
    }


def listed(side: Side) -> list[tuple[int, str]]:
    """Number and name of each source that has figures of its own."""
    return [(number, name) for number, name in enumerate(side.names) if side.sizes[number] >= LEAST]


def at_own_point(given: Condition) -> float | None:
    """Share of all generated pictures above the photographs' own 95% point, which no detector knows beforehand."""
    photographs = given.real.scores[~given.art[given.real.of]]
    if not len(photographs) or not len(given.generated.scores):
        return None
    return float((given.generated.scores > np.quantile(photographs, 1 - ALPHA)).mean())


def family(given: Condition, aurocs: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    sizes = given.generated.sizes[own]
    return {
        "n": int(sizes.sum()),
        "sources": len(sizes),
        "auroc": given.means(aurocs, own),
        "tpr": given.means(given.generated.called, own),
    }


def generator(given: Condition, number: int) -> dict[str, Any]:
    """A generator against photographs and against genuine art."""
    own, rng = given.generated.of == number, np.random.default_rng([given.seed, number])
    sizes, p_values = given.real.sizes, given.generated.p_of(number)

    def against(real: np.ndarray) -> by_source.Figure:
        return by_source.figure(by_source.auroc_of_one(given.beaten[own], sizes, given.times * real, rng))

    return {
        "n": len(p_values),
        "family": given.family[number],
        "auroc": against(~given.art),
        "art": against(given.art),
        "tpr": share(p_values, ALPHA),
    }


def real_source(given: Condition, number: int) -> dict[str, Any]:
    p_values = given.real.p_of(number)
    return {"n": len(p_values), "art": bool(given.art[number]), "false_alarms": share(p_values, ALPHA)}


def of_named(given: Condition, named: list[dict]) -> dict[str, Any]:
    """AUROC of each pair of sources, and their mean; pairs of which a source is missing are left out."""
    real, generated = given.real.names, given.generated.names
    there = [pair for pair in named if pair["real"] in real and pair["generated"] in generated]
    places = [(generated.index(pair["generated"]), real.index(pair["real"])) for pair in there]
    numbers = np.array(places, np.int64).reshape(-1, 2)
    auroc = given.won / (given.generated.sizes[:, None] * given.real.sizes)
    own = [float(auroc[g, r]) for g, r in numbers]
    return {
        "n": len(there),
        "auroc": by_source.figure(by_source.of_pairs(auroc, numbers, given.times, given.hits)),
        "each": [pair | {"auroc": value} for pair, value in zip(there, own, strict=True)],
    }


def of_matches(given: Condition, matches: list[Match]) -> dict[str, Any]:
    """Shares of matched pairs in which the generated picture has the higher score: pooled, closest, by generator."""
    real, generated = ({key: number for number, key in enumerate(side.keys)} for side in (given.real, given.generated))
    there = [pair for pair in matches if pair[0] in generated and pair[1] in real]
    mine = np.array([generated[pair[0]] for pair in there], np.int64)
    theirs = np.array([real[pair[1]] for pair in there], np.int64)
    alike = np.array([pair[2] for pair in there])
    close = alike >= np.median(alike) if there else alike > 0
    return {
        "n": len(there),
        "higher": higher(given, mine, theirs),
        "higher_of_the_closer_half": higher(given, mine[close], theirs[close]),
        "mean_over_generators": mean_higher(given, mine, theirs),
    }


def higher(given: Condition, mine: np.ndarray, theirs: np.ndarray) -> by_source.Figure:
    scores, of = (given.generated.scores[mine], given.real.scores[theirs]), (given.generated.of, given.real.of)
    drawn = by_source.share_higher(*scores, of[0][mine], of[1][theirs], given.times, given.hits)
    return by_source.figure(drawn)


def mean_higher(given: Condition, mine: np.ndarray, theirs: np.ndarray) -> by_source.Figure:
    """The same share as a mean over generators of enough pictures."""
    count = len(given.generated.names)
    drawn = np.full((len(given.times), count), np.nan)
    for number in np.flatnonzero(given.enough):
        own = given.generated.of[mine] == number
        scores = given.generated.scores[mine[own]], given.real.scores[theirs[own]]
        sources = given.generated.of[mine[own]], given.real.of[theirs[own]]
        drawn[:, number] = by_source.share_higher(*scores, *sources, given.times, np.ones_like(given.hits))
    there = given.hits * given.enough * ~np.isnan(drawn)
    return by_source.figure(by_source.average(drawn, there))
