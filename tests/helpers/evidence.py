"""Evidence put together by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mdmf_core.detector import witness_map
from mdmf_core.evidence import Evidence, ModelFacts, PatchMap, PictureFacts, Verdict
from mdmf_core.method.calibration import Null
from mdmf_core.method.patches import Grid

SCALE = (0.1, 0.4)
ROWS, COLS, SIDE = 3, 4, 32
N = ROWS * COLS


def made(
    values: np.ndarray,
    outlined: tuple[int, ...] = (),
    scale=SCALE,
    size=(128, 96),
    witness: np.ndarray | None = None,
    p_values: np.ndarray | None = None,
    **changes,
) -> Evidence:
    """Evidence with N * share = `values` on a grid of 3 x 4 cells of 32 pixels; `changes` are of the verdict."""
    boxes = np.array([(SIDE * col, SIDE * row, SIDE, SIDE) for row in range(ROWS) for col in range(COLS)])
    verdict = Verdict(
        score=float(np.mean(values)),
        statistic="relative",
        mmd2=0.0,
        relative=float(np.mean(values)),
        shares=np.broadcast_to(np.asarray(values, float), N) / N,
        p_value=0.04,
        null=Null.of(np.linspace(-0.1, 0.1, 99)),
        detail="usual",
        alpha=0.05,
        threshold=0.08,
        decision="generated",
    )
    verdict, null = replace(verdict, **changes), np.linspace(-0.2, 0.45, 999)
    rare = np.ones(N) if p_values is None else p_values
    shown = PatchMap(N * verdict.shares, rare, np.isin(np.arange(N), outlined), scale, null)
    other = PatchMap(np.linspace(0, 1, N), np.ones(N), np.isin(np.arange(N), [N - 1]), (0.2, 0.9), null)
    return Evidence(
        picture=PictureFacts("a.png", "0" * 64, *size, ()),
        verdict=verdict,
        grid=Grid(ROWS, COLS, boxes, boxes, N),
        maps={
            "evidence": shown,
            "witness": witness_map(shown, np.zeros(N) if witness is None else witness, verdict.statistic),
            "mmd": shown if verdict.statistic == "mmd" else other,
        },
        model=ModelFacts("tiny", "local", "f" * 64, "compact"),
        signatures=np.arange(N, dtype=float)[:, None] ** 2,
    )


def of_verdict(evidence: Evidence, **changes) -> Evidence:
    """The same evidence with another verdict."""
    return replace(evidence, verdict=replace(evidence.verdict, **changes))


def located(evidence: Evidence, values: np.ndarray, outlined: tuple[int, ...] = ()) -> Evidence:
    """The same evidence with a map of the locator."""
    found = PatchMap(values, np.ones(12), np.isin(np.arange(12), outlined), (0.6, 0.998), np.linspace(-1, 1, 1001))
    return replace(evidence, maps=evidence.maps | {"locator": found})
