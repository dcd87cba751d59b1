"""Trusted pictures without files: signatures drawn at random."""

from __future__ import annotations

import numpy as np

from mdmf_core import trusted
from mdmf_core.detector import Detector


def drawn(rng: np.random.Generator, index: int, patches: int = 64, dim: int = 4, shift: float = 0.0) -> trusted.Kept:
    """A picture with random signatures around a middle of its own."""
    middle = rng.normal(shift, 0.5, dim)
    signatures = (middle + rng.normal(0, 0.5, (patches, dim))).astype(np.float32)
    score = float(middle[0] + rng.normal(0, 0.3))
    return trusted.Kept(f"{index}.jpg", f"{index:064x}", score, float(rng.uniform(0.06, 1)), 100, "usual", signatures)


def made(kept: list[trusted.Kept], detector: Detector) -> trusted.Trusted:
    return trusted.collect(kept, detector, "mine")
