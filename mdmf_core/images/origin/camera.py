"""What EXIF says of the camera."""

from __future__ import annotations

from mdmf_core.images.origin.generators import written_by
from mdmf_core.texts import plain

_CAMERA = {
    "Make": "Make",
    "Model": "Model",
    "LensModel": "Lens",
    "DateTimeOriginal": "Taken",
    "ExposureTime": "Exposure (s)",
    "FNumber": "Aperture (f/)",
    "ISOSpeedRatings": "ISO",
    "PhotographicSensitivity": "ISO",
    "FocalLength": "Focal length (mm)",
}
_MAKER = ("Make", "Model")


def camera_of(texts: dict[str, str]) -> dict[str, str]:
    """Fields about the capture; where a generator has written to the maker's, they are no camera's."""
    if any(written_by(name, texts.get(name, ""), texts) for name in _MAKER):
        texts = {name: text for name, text in texts.items() if name not in _MAKER}
    found: dict[str, str] = {}
    for name, label in _CAMERA.items():
        if text := plain(texts.get(name, "")):
            found.setdefault(label, _fraction(text) if name == "ExposureTime" else text)
    return found


def _fraction(seconds: str) -> str:
    """0.0125 as 1/80, the way cameras show it."""
    try:
        value = float(seconds)
    except ValueError:
        return seconds
    return f"1/{round(1 / value)}" if 0.00001 < value < 0.3 else seconds
