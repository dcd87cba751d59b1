"""How well scores tell the pictures of real and of generated sources apart, and how much depends on the sources drawn.

Pure functions on arrays. Pictures have a source each: `of` (N,) is its number. In what is resampled, row 0 is what was
found and rows 1 to B are draws: `times` (B + 1, R) says how often each real source counts, `hits` (B + 1, G) how often
each generated one does. Because an AUROC is a mean over pairs, it is a product of these with a matrix of pairs won, so
a thousand draws cost as much as one sort. A figure is its value and the ends of its 95% interval, each None where it
does not exist.
"""

from __future__ import annotations

import numpy as np

Figure = list[float | None]


def resampled(strata: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each source counts, (draws + 1, S): once each in row 0, then as drawn with replacement.

    Args:
        strata: (S,) labels; as many are drawn of each stratum as it has.
        draws: B.
        rng: of the draws.
    """
    found = np.ones((draws + 1, len(strata)), np.int64)
    for stratum in sorted(set(strata.tolist())):
        own = np.flatnonzero(strata == stratum)
        found[1:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), size=draws)
    return found


def beaten(scores: np.ndarray, real: np.ndarray, of: np.ndarray, count: int) -> np.ndarray:
    """How many pictures of each real source each generated picture has a higher score than, (M, R); ties are halves.

    Args:
        scores: of generated pictures, (M,).
        real, of: scores of real pictures and their sources, (N,).
        count: R.
    """
    found = np.zeros((len(scores), count))
    for source in range(count):
        own = np.sort(real[of == source])
        found[:, source] = (np.searchsorted(own, scores, "left") + np.searchsorted(own, scores, "right")) / 2
    return found


def sums(values: np.ndarray, of: np.ndarray, count: int) -> np.ndarray:
    """Sums (count, ...) over the pictures of each source of values (N, ...)."""
    found = np.zeros((count, *values.shape[1:]))
    np.add.at(found, of, values)
    return found


def average(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means (B + 1,) along the last axis; nan where nothing has weight, and values of no weight may be nan."""
    total = weights.sum(-1, dtype=float)
    kept = np.where(weights > 0, values, 0.0) * weights
    return np.divide(kept.sum(-1), total, out=np.full(total.shape, np.nan), where=total > 0)


def aurocs(won: np.ndarray, generated: np.ndarray, real: np.ndarray, times: np.ndarray) -> np.ndarray:
    """AUROC of each generated source against the real sources drawn, (B + 1, G); nan where none is drawn.

    Args:
        won: (G, R) pairs won by each generated source against each real one.
        generated, real: numbers of pictures, (G,) and (R,).
        times: (B + 1, R).
    """
    pairs = (times @ real)[:, None] * generated.astype(float)
    return np.divide(times @ won.T, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)


def auroc_of_one(rows: np.ndarray, real: np.ndarray, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """AUROC (B + 1,) of one generator, its pictures resampled together with the real sources.

    Args:
        rows: (m, R) of `beaten`, of its pictures.
        real: numbers of pictures (R,).
        times: (B + 1, R).
        rng: of the pictures drawn.
    """
    own = resampled(np.zeros(len(rows)), len(times) - 1, rng)
    pairs = len(rows) * (times @ real).astype(float)
    return np.divide(((own @ rows) * times).sum(1), pairs, out=np.full(len(times), np.nan), where=pairs > 0)


def three_means(values: np.ndarray, sizes: np.ndarray, hits: np.ndarray, least: int) -> dict[str, np.ndarray]:
    """Means (B + 1,) over generated sources: over those of enough pictures, and pooled for the rest and for all.

    Args:
        values: (B + 1, G) or (G,), of each source.
        sizes: numbers of pictures (G,).
        hits: (B + 1, G).
        least: pictures that are enough.
    """
    enough = sizes >= least
    return {
        "average": average(values, hits * enough),
        "rest": average(values, hits * sizes * ~enough),
        "pooled": average(values, hits * sizes),
    }


def of_pairs(auroc: np.ndarray, pairs: np.ndarray, times: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """Mean (B + 1,) over named pairs of the AUROC between their two sources; a pair counts as often as both are drawn.

    Args:
        auroc: (G, R) of each generated source against each real one.
        pairs: (P, 2) numbers of a generated and a real source.
        times, hits: (B + 1, R) and (B + 1, G).
    """
    generated, real = pairs.T
    return average(auroc[generated, real], hits[:, generated] * times[:, real])


def share_higher(
    scores: np.ndarray,
    partners: np.ndarray,
    of: np.ndarray,
    partners_of: np.ndarray,
    times: np.ndarray,
    hits: np.ndarray,
) -> np.ndarray:
    """Share (B + 1,) of matched pairs whose generated picture has the higher score; ties are halves.

    Args:
        scores, partners: of the generated picture and of the real one in each pair, (M,).
        of, partners_of: their sources, (M,).
        times, hits: (B + 1, R) and (B + 1, G).
    """
    higher = (scores > partners) + 0.5 * (scores == partners)
    return average(higher, hits[:, of] * times[:, partners_of])


def nearest(embeddings: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most alike real picture of each generated one, and how alike they are (cosine), (M,) each.

    Args:
        embeddings, real: (M, D) and (N, D), of unit length.
    """
    alike = embeddings @ real.T
    best = alike.argmax(1)
    return best, alike[np.arange(len(best)), best]


def figure(values: np.ndarray) -> Figure:
    """What was found, and the central 95% of the draws in which it exists: of values (B + 1,)."""
    drawn = values[1:][~np.isnan(values[1:])]
    ends = np.percentile(drawn, [2.5, 97.5]).tolist() if len(drawn) else [None, None]
    return [None if np.isnan(values[0]) else float(values[0]), *ends]
