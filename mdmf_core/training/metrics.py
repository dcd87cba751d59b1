"""AUROC, average precision and FPR at 95% true positives, with bootstrap and Wilson intervals.

scikit-learn and `scipy.stats` are imported where they are used: the processes that score pictures need neither.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

METRICS = ("auroc", "ap", "fpr95")
TRUE_POSITIVES = 0.95
STRICT = 0.01
DRAWS = 1000
VALUES_AT_ONCE = 2**21


def metrics(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """AUROC, AP and FPR@95TPR of scores of real (N,) and generated (M,) pictures; higher is more generated."""
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    labels = np.repeat([0, 1], [len(real), len(generated)])
    scores = np.concatenate([real, generated])
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    return {
        "auroc": float(roc_auc_score(labels, scores)),
        "ap": float(average_precision_score(labels, scores)),
        "fpr95": float(false[np.argmax(true >= TRUE_POSITIVES)]),
    }


def weighted_metrics(real: np.ndarray, generated: np.ndarray, times: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """`metrics` of many resamples at once, by ranks.

    Args:
        real, generated: scores (N,) and (M,).
        times, hits: how often each of them is in each resample, (B, N) and (B, M) whole numbers.

    Returns:
        (B, 3), in the order of `METRICS`.
    """
    scores = np.concatenate([real, generated])
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each run of equal scores

    def reached(counts: np.ndarray, start: int) -> np.ndarray:
        spread = np.zeros((len(counts), len(scores)), np.int64)
        spread[:, start : start + counts.shape[1]] = counts
        sums = np.cumsum(spread[:, order], axis=1)[:, last]
        return np.concatenate([np.zeros((len(counts), 1), np.int64), sums], axis=1)

    false, true = reached(times, 0), reached(hits, len(real))
    n, m = false[:, -1], true[:, -1]
    rises, steps = np.diff(true, axis=1), np.diff(false, axis=1)
    auroc = (steps * (true[:, 1:] + true[:, :-1])).sum(1) / (2 * n * m)
    precision = true[:, 1:] / np.maximum(true[:, 1:] + false[:, 1:], 1)
    at = np.argmax(true / m[:, None] >= TRUE_POSITIVES, axis=1)
    return np.stack([auroc, (rises * precision).sum(1) / m, false[np.arange(len(at)), at] / n], axis=1)


def _resample(count: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of `count` items is drawn when `count` are drawn with replacement, (draws, count)."""
    drawn = rng.integers(count, size=(draws, count)) + count * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * count).reshape(draws, count)


def bootstrap(
    real: np.ndarray,
    strata: np.ndarray,
    generated: Mapping[str, np.ndarray],
    opponents: Mapping[str, np.ndarray],
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Metrics under resampling of pictures, real and generated ones independently.

    In each draw the real pictures are resampled once, for all generators together, so that a mean over
    generators may be taken draw by draw. The same numbers of pictures under the same names are resampled
    alike: two detectors scored on the same pictures give paired draws.

    Args:
        real: scores of real pictures (N,).
        strata: (N,) names; each stratum is resampled on its own and keeps its size.
        generated: generator -> scores (M,).
        opponents: generator -> which real pictures (indices) it is compared with: whole strata.
        draws: B.
        seed: of every resample.

    Returns:
        generator -> (B, 3), in the order of `METRICS`.
    """
    groups = {name: np.flatnonzero(strata == name) for name in sorted(set(strata.tolist()))}
    real_rng = {name: np.random.default_rng([seed, 0, *name.encode()]) for name in groups}
    rng = {name: np.random.default_rng([seed, 1, *name.encode()]) for name in generated}
    at_once = max(1, VALUES_AT_ONCE // (len(real) + max(map(len, generated.values()))))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in generated}
    for start in range(0, draws, at_once):
        count = min(at_once, draws - start)
        times = np.zeros((count, len(real)), np.int64)
        for name, rows in groups.items():
            times[:, rows] = _resample(len(rows), count, real_rng[name])
        for name, scores in generated.items():
            rows, hits = opponents[name], _resample(len(scores), count, rng[name])
            parts[name].append(weighted_metrics(real[rows], scores, times[:, rows], hits))
    return {name: np.concatenate(chunks) for name, chunks in parts.items()}


def interval(values: np.ndarray) -> list[float]:
    """The central 95% of values (B,)."""
    return np.percentile(values, [2.5, 97.5]).tolist()


def share(p_values: np.ndarray, alpha: float) -> dict:
    """The share of p-values (N,) at most alpha, with its 95% Wilson interval."""
    from scipy.stats import binomtest

    hits = int((p_values <= alpha).sum())
    ends = binomtest(hits, len(p_values)).proportion_ci(method="wilson")
    return {"share": hits / len(p_values), "interval": [float(ends.low), float(ends.high)]}
