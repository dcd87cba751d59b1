"""The frames of a video, each as a picture, decoded in another process as every file is.

    clip = look("clip.mp4")
    for frame in frames("clip.mp4", clip):
        frame.seconds, frame.picture

A few frames are in memory at once. Where decoding takes longer than `LONGEST` seconds in all, the rest is left out, and
`Clip.chosen` says how many were wanted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mdmf_core.errors import ImageError
from mdmf_core.images import isolated
from mdmf_core.images.reader import Picture
from mdmf_core.images.video import DAMAGED, MOST, SLOW, Clip

__all__ = ["LONGEST", "MOST", "Clip", "Frame", "clock", "frames", "look"]

LONGEST = 90.0  # seconds by the clock that decoding one video may take in all
_OF_VIDEOS = {
    isolated.TOO_LONG: SLOW,
    isolated.DIED: DAMAGED,
    isolated.TOO_BIG: "There is not enough memory to decode the video; save it smaller.",
}


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame: its `place` in `Clip.chosen`, `seconds` from the first frame of the video, and the picture.

    The picture has the video's hash and size in bytes.
    """

    place: int
    seconds: float
    picture: Picture


def look(path: str | Path, min_side: int = 128) -> Clip:
    """What a video file holds and which frames of it to take, found in another process.

    Args:
        path: of the file.
        min_side: least width and height in pixels.

    Raises:
        ImageError: it is no video, damaged, encrypted, too small or too large, or it takes too long.
    """
    found, _ = _ask({"video": os.path.abspath(path), "min_side": min_side})
    chosen, notes = tuple(map(tuple, found.pop("chosen"))), tuple(found.pop("notes"))
    return Clip(**found, chosen=chosen, notes=notes)


def frames(path: str | Path, clip: Clip, min_side: int = 128) -> Iterator[Frame]:
    """The frames chosen, in order of time; those that can't be decoded, or not in time, are left out.

    Args:
        path: of the file.
        clip: what `look` found there.
        min_side: least width and height in pixels.

    Raises:
        ImageError: not one frame can be decoded.
    """
    left, spent, done = list(clip.chosen), 0.0, 0
    while left and spent < LONGEST:
        begun = time.monotonic()
        try:
            facts, pixels = _ask({"video": os.path.abspath(path), "min_side": min_side, "chosen": left})
        except ImageError:
            if done:
                return
            raise
        spent += time.monotonic() - begun
        for fact, frame in zip(facts, pixels.reshape(len(facts), -1, *pixels.shape[1:]), strict=True):
            seconds = (fact["stamp"] - clip.first) * clip.unit
            name = f"{clip.name} at {clock(seconds)}"
            notes = tuple(fact["notes"])
            place = done + fact["place"]
            yield Frame(place, seconds, Picture(frame, clip.sha256, clip.format, clip.n_bytes, {}, notes, name))
        done += facts[-1]["place"] + 1
        left = list(clip.chosen[done:])


def clock(seconds: float) -> str:
    """A time in a video: minutes, seconds and hundredths."""
    hundredths = round(100 * seconds)
    return f"{hundredths // 6000}:{hundredths // 100 % 60:02}.{hundredths % 100:02}"


def _ask(request: dict) -> tuple:
    try:
        return isolated.ask(request)
    except ImageError as error:
        raise ImageError(_OF_VIDEOS.get(str(error), str(error))) from error
