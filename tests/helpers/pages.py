"""What stands in README.md and docs/: blocks of code, and commands as a reader copies them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.name for page in PAGES]
PROGRAMS = ("python", ".venv/bin/python", "pip", "hf", "docker", "sed", "apt-get")


def text(page: Path) -> str:
    return page.read_text("utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text(page), re.DOTALL)


def lines(page: Path) -> list[str]:
    """The lines of the blocks for a shell."""
    return [line for block in blocks(page, "bash") for line in block.splitlines()]


def said(page: Path) -> list[str]:
    """The commands in the text."""
    found = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text(page), flags=re.DOTALL))
    return [line for line in found if line.startswith(tuple(f"{program} " for program in PROGRAMS))]


def in_words(line: str) -> list[list[str]]:
    """The commands of a line that are joined by &&, without their settings, and where their output goes."""
    found: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word == "&&":
            found.append([])
        elif found[-1] or not re.match(r"[A-Z_]+=", word):
            found[-1].append(word)
    return found
