"""Small clips, made with PyAV, whose frames tell what time it is: each is one colour, with a white corner top left."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

WIDTH, HEIGHT, CORNER = 192, 144, 48
RATE, STEP = 24, 3
FAST = {"libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"}, "libx264": {"g": "12", "preset": "veryfast"}}
KEY = "00112233445566778899aabbccddeeff"


def green(number: int) -> int:
    """The green of frame `number`, which tells it from its neighbours."""
    return 20 + STEP * (number % 70)


def frame(number: int, size: tuple[int, int] = (WIDTH, HEIGHT), noise: float = 0) -> np.ndarray:
    """(H, W, 3) uint8."""
    pixels = np.empty((size[1], size[0], 3), float)
    pixels[:] = (120, green(number), 90)
    pixels[:CORNER, :CORNER] = 255
    return np.clip(pixels + np.random.default_rng(number).normal(0, noise, pixels.shape), 0, 255).astype(np.uint8)


def clip(
    path: Path,
    codec: str = "libx264",
    n: int = 60,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    stamps: Sequence[float] | None = None,
    turned: int = 0,
    noise: float = 0,
    container: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    **context: Any,
) -> Path:
    """Write a clip of `n` frames, at `stamps` seconds or evenly; `context` is set on the encoder."""
    assert codec in av.codecs_available, f"this build of PyAV has no {codec}"
    with av.open(str(path), "w", container_options=container or {}) as file:
        stream = file.add_stream(codec, rate=RATE, options=options or FAST.get(codec, {}))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *size, "yuv420p", 4_000_000
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if turned:
            stream.set_display_rotation(turned)
        for number in range(n):
            shown = av.VideoFrame.from_ndarray(frame(number, size, noise), format="rgb24")
            if stamps is not None:
                shown.pts, shown.time_base = round(1000 * stamps[number]), Fraction(1, 1000)
            file.mux(stream.encode(shown))
        file.mux(stream.encode())
    return path


def sound(path: Path) -> Path:
    """An MP4 of half a second of silence."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=16000)
        for _ in range(8):
            part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            part.sample_rate = 16000
            file.mux(stream.encode(part))
        file.mux(stream.encode())
    return path


def shown_at(pixels: np.ndarray) -> int:
    """Which frame it is, of the first 70: by its green away from the corner."""
    return round((float(np.median(pixels[..., 1])) - 20) / STEP)
