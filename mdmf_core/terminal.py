"""What the commands share: one line to say, one sentence to stop with, options that several take."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from mdmf_core.texts import one_line, printable

Engine = Annotated[Literal["local", "ray"], typer.Option(help="This machine, or the machines of a Ray cluster.")]
Processes = Annotated[int, typer.Option(min=0, help="How many work at once; 0 is one a core, or a GPU, if worth it.")]


class Stop(Exception):
    """Ends a command with one sentence on standard error and exit status 1."""


def say(line: object, error: bool = False) -> None:
    """Print text that may hold names of files: none of them may command the terminal or stop the program."""
    print(printable(line), file=sys.stderr if error else sys.stdout, flush=True)


def tell(sentence: object, error: bool = False) -> None:
    """Print one line, whatever names are in it: no name can end the line and begin another one."""
    say(one_line(sentence), error)
