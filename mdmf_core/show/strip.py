"""A video's frames side by side, each under its map, and their p-values over time: a piece of HTML, or a page of it.

    Path("clip.html").write_text(page(film), encoding="utf-8")

There is no answer for the video, here or anywhere: `ABOUT` says why, and stands above every strip. The page needs
nothing else; its policy forbids every request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from mdmf_core.images.clip import clock
from mdmf_core.sentence import said
from mdmf_core.show import charts
from mdmf_core.show.html import drawing, environment, picture

ABOUT = said(
    "batch.about_video",
    "There is no answer for the video. Its compression removes the traces that this test looks for, and no real videos "
    "have been used for calibration yet: each frame is compared with photographs, so its p-value is not calibrated for "
    "video and gives no false-alarm rate.",
)
SMALL, QUALITY = 200, 85  # longest side of a frame in the strip, in pixels, and of its JPEG
_TEMPLATES = environment()


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame of the strip: `seconds` from the first one of the video, and the frame under its map."""

    seconds: float
    p_value: float
    image: Image.Image


@dataclass(frozen=True)
class Film:
    """A video's name, what it is in a line (`told`), `notes` of one sentence each, and its frames in order of time."""

    name: str
    told: str
    notes: Sequence[str]
    shots: Sequence[Shot]


def fragment(films: Sequence[Film]) -> str:
    """Strip and line of each video, to put into a page; "" where there is no video."""
    return _TEMPLATES.get_template("strips.html").render(films=[_told(film) for film in films]) if films else ""


def page(film: Film) -> str:
    """One HTML file of a video."""
    return _TEMPLATES.get_template("film.html").render(film=_told(film))


def _told(film: Film) -> dict[str, Any]:
    """What the templates take of a video."""
    seconds, p_values = [shot.seconds for shot in film.shots], [shot.p_value for shot in film.shots]
    return {
        "name": film.name,
        "about": ABOUT,
        "told": film.told,
        "notes": film.notes,
        "frames": [(clock(shot.seconds), f"{shot.p_value:.2g}", _small(shot.image)) for shot in film.shots],
        "chart": drawing(charts.time_plot(seconds, p_values)),
        "charted": charts.describe_time(seconds, p_values),
    }


def _small(image: Image.Image) -> Any:
    small = image.convert("RGB")
    small.thumbnail((SMALL, SMALL), Image.Resampling.LANCZOS)
    return picture(small, "JPEG", quality=QUALITY)
