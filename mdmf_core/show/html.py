"""HTML from templates: what they are given is escaped, and characters that can't be printed become U+FFFD."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from mdmf_core.texts import printable

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Inline:
    """A picture inside a page: its data as an address, and its size in pixels."""

    source: str
    width: int
    height: int


def environment(*folders: Path) -> Environment:
    """The templates of these folders; `page.html`, which whole pages extend, and `parts.html`, pieces of several."""
    made = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["policy"] = policy
    return made


def _shown(value: Any) -> Any:
    """What a template writes for a value, before it is escaped; pieces of HTML that it made itself stay."""
    return value if hasattr(value, "__html__") else printable(value)


def picture(image: Image.Image, kind: str = "PNG", **options: Any) -> Inline:
    """An image as PNG or JPEG; `options` are Pillow's."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Inline(_source(kind.lower(), buffer), *image.size)


def drawing(figure: Figure) -> Inline:
    """A plot as sharp lines at any size."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    width, height = np.rint(96 * figure.get_size_inches()).astype(int).tolist()
    return Inline(_source("svg+xml", buffer), width, height)


def policy(style: str) -> str:
    """The policy of a page that loads and runs nothing: only pictures inside it are shown, and one style sheet.

    Args:
        style: name of the style sheet among `TEMPLATES`.
    """
    sheet = environment().get_template(style).render()
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    return f"default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src 'sha256-{digest}'"


def day(created: str) -> str:
    """A time in ISO format, in UTC, for people."""
    moment = datetime.fromisoformat(created)
    return f"{moment.day} {moment:%B %Y, %H:%M:%S} UTC"


def _source(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
