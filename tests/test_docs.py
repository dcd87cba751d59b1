"""README.md and docs/ hold together: links and anchors, commands and their options, code, lengths."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

import pytest
import typer.main
from pages import NAMES, PAGES, ROOT, blocks, text

from mdmf_core.cli import app

ELSEWHERE = ("http://", "https://")
PROGRAMS = ("benchmarks/", "app.py", "tests/", ".ci/")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the Hub make them."""
    prose = re.sub(r"```.*?```", "", text(page), flags=re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", line).replace(" ", "-").lower() for line in re.findall(r"^#+ (.*)$", prose, re.M)}


def commands(page: Path) -> list[list[str]]:
    """Python commands in blocks and in the text, in words."""
    written = [line for block in blocks(page, "bash") for line in block.splitlines()]
    written += re.findall(r"`((?:\.venv/bin/)?python [^`]+)`", text(page))
    words = [shlex.split(line, comments=True) for line in written]
    return [line[line.index(name) :] for line in words for name in ("python", ".venv/bin/python") if name in line]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if not link.startswith(ELSEWHERE):
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists() and target.is_relative_to(ROOT), link
            assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_is_there(page):
    known = typer.main.get_command(app).commands
    for words in commands(page):
        if words[1:3] == ["-m", "mdmf_core"]:
            if words[3:4] == ["--help"]:
                continue
            command = known[words[3]]
            command = command.commands[words[4]] if hasattr(command, "commands") else command
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words[4:] if word.startswith("--")} <= options, words
        else:
            for name in (word for word in words[1:] if word.startswith(PROGRAMS)):
                path = ROOT / name
                assert path.exists(), words
                given = [word for word in words[2:] if word.startswith("--")] if words[1] == name else []
                assert all(option in text(path) or option == "--mcp" for option in given), words


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_code_can_be_read(page):
    for block in blocks(page, "python"):
        ast.parse(block)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_places_that_are_named_exist(page):
    for name in re.findall(r"`((?:mdmf_core|mdmf_app|benchmarks|tests|docs|assets|\.ci)/[\w./-]*)`", text(page)):
        assert (ROOT / name).exists(), name


def test_the_pages_are_as_short_as_they_should_be():
    assert len(text(ROOT / "README.md").splitlines()) <= 150
    names = text(ROOT / "docs" / "architecture.md").split("## Names\n")[1].split("## ")[0]
    assert len([line for line in names.splitlines() if line.startswith("|")]) - 2 <= 25


def test_the_settings_for_assistants_name_the_address_of_the_text():
    page = ROOT / "docs" / "api.md"
    (block,) = blocks(page, "json")
    address = json.loads(block)["mcpServers"]["mdmf"]["url"]
    assert address == "http://127.0.0.1:7860/gradio_api/mcp/" and f"`{address}`" in text(page)
