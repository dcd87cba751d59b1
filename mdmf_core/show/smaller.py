"""A picture in the size in which it is shown.

Cubic with antialiasing, as `torch.nn.functional.interpolate` does it on bytes: it reads the pixels where they lie, and
is many times as fast as a copy that Pillow shrinks. What is tested is never shrunk so; this is for looking only.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import interpolate


def smaller(pixels: np.ndarray, longest: int) -> np.ndarray:
    """A picture (H, W, 3) uint8 with its longest side at most `longest`; a copy, also where it is small enough."""
    height, width = pixels.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return pixels.copy()
    size = [max(1, round(factor * side)) for side in (height, width)]
    given = torch.from_numpy(np.require(pixels, requirements=("C", "W"))).permute(2, 0, 1)[None]
    shrunk = interpolate(given, size, mode="bicubic", antialias=True)
    return np.ascontiguousarray(shrunk[0].permute(1, 2, 0).numpy())
