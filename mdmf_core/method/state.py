"""What was done to a picture that changes every score: is its fine detail gone, or does noise drown it?

The encoder reads the faintest structure of a picture, which blur removes and noise hides, so that such photographs
score like no others. Their scores are compared with those of photographs whose detail is as theirs
(`Reference.calibration`). It is measured on the pixels, by two rules with thresholds that were set on photographs
as they are, enlarged, blurred and with noise, and never on scores.
"""

from __future__ import annotations

import numpy as np

USUAL, SOFT, NOISY = KINDS = ("usual", "soft", "noisy")

LEAST_FINE_DB = -6.0  # power of fine detail, where 0 dB is that of noise of one grey level
LEAST_COARSE_DB = 8.0  # power of coarse detail, below which a picture has too little in it to miss the fine
LEAST_CORNER_DB = -26.0  # power of the finest diagonals over that of medium detail
MOST_NOISE = 5.0  # `noise_level` in grey levels: 98% of photographs with 5% of noise added are above it, 4% as they are

TILE = 64
CALM_TILE = 32
MOST_TILES = 256
LONGEST_SIDE = 1024  # of the middle part in which noise and JPEG steps are looked for
LEAST_POWER = 1e-3  # variance added to every frequency, far below rounding: keeps an empty picture finite
LUMA = np.array([0.299, 0.587, 0.114])


def detail_of(pixels: np.ndarray) -> str:
    """One of `KINDS`: the detail of a picture or a region (H, W, 3) uint8; usual below 64 pixels each way."""
    if min(pixels.shape[:2]) < TILE:
        return USUAL
    if noise_level(middle(pixels) @ LUMA) > MOST_NOISE:
        return NOISY
    power = spectrum(pixels)
    return SOFT if power["fine"] < LEAST_FINE_DB or _is_missing(power) else USUAL


def lacks_fine_detail(pixels: np.ndarray) -> bool:
    """Whether the highest frequencies of a picture (H, W, 3) are as empty as after enlarging or blur.

    Below 64 pixels on a side nothing can be said.
    """
    if min(pixels.shape[:2]) < TILE:
        return False
    return _is_missing(spectrum(pixels))


def _is_missing(power: dict[str, float]) -> bool:
    """Whether fine detail is gone from where coarser detail is."""
    empty = power["fine"] < LEAST_FINE_DB and power["coarse"] > LEAST_COARSE_DB
    return empty or power["corner"] - power["medium"] < LEAST_CORNER_DB


def spectrum(pixels: np.ndarray) -> dict[str, float]:
    """Mean power of the luma of a picture (H, W, 3), at least 64 pixels each way, in four bands, in dB.

    The bands are in cycles a pixel along whichever axis has more: "coarse" 0.06-0.13, "medium" 0.2-0.3, "fine"
    0.4-0.485, below the harmonic of JPEG's blocks, and "corner" what lies above 0.35 along both axes.
    """
    height, width = pixels.shape[:2]
    corners = [(y, x) for y in range(0, height - TILE + 1, TILE) for x in range(0, width - TILE + 1, TILE)]
    chosen = np.linspace(0, len(corners) - 1, min(len(corners), MOST_TILES)).round().astype(int)
    tiles = np.stack([pixels[y : y + TILE, x : x + TILE] @ LUMA for y, x in (corners[i] for i in chosen)])
    window = np.outer(np.hanning(TILE), np.hanning(TILE))
    tiles = (tiles - tiles.mean((1, 2), keepdims=True)) * window
    power = (np.abs(np.fft.fft2(tiles)) ** 2).mean(0) / (window**2).sum() + LEAST_POWER
    frequency = np.abs(np.fft.fftfreq(TILE))
    larger = np.maximum(frequency[:, None], frequency)
    smaller = np.minimum(frequency[:, None], frequency)
    bands = {
        "coarse": (larger >= 0.06) & (larger < 0.13),
        "medium": (larger >= 0.2) & (larger < 0.3),
        "fine": (larger >= 0.4) & (larger < 0.485),
        "corner": (smaller >= 0.35) & (larger < 0.485),
    }
    return {name: float(10 * np.log10(power[band].mean())) for name, band in bands.items()}


def noise_level(luma: np.ndarray) -> float:
    """Standard deviation of the noise in the calmest tenth of a picture, in grey levels.

    What is left of each 2 x 2 block without its mean and its two slopes is mostly noise where there is no texture, so
    the calmest tiles of 32 x 32 pixels are asked.

    Args:
        luma: (H, W) of 0..255, at least 32 pixels each way.
    """
    height, width = (side // CALM_TILE * CALM_TILE for side in luma.shape)
    luma = luma[:height, :width]
    left = (luma[::2, ::2] - luma[::2, 1::2] - luma[1::2, ::2] + luma[1::2, 1::2]) / 2  # (H / 2, W / 2)
    half = CALM_TILE // 2
    tiles = left.reshape(height // CALM_TILE, half, width // CALM_TILE, half)
    return float(np.quantile(tiles.std((1, 3)), 0.1))


def middle(pixels: np.ndarray) -> np.ndarray:
    """The central part, (H', W', 3), that keeps the 8 x 8 grid counted from the edges on both sides."""
    cuts = [max(0, side - LONGEST_SIDE) // 16 * 8 for side in pixels.shape[:2]]
    return pixels[cuts[0] : pixels.shape[0] - cuts[0], cuts[1] : pixels.shape[1] - cuts[1]]
