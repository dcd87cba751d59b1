"""A process that a fault happens to, and whether what it leaves is whole."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import io
import json
import os
import re
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from PIL import Image
from safetensors import safe_open

from mdmf_core import cli
from mdmf_core.files import PREFIX

FULL = 600  # bytes that a file may have on the full disk
NOWHERE = "/dev/null/nowhere"  # no folder can be made there, not even by root
CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod"}


class Wrong(AssertionError):
    """A fault was not survived; the message says how."""


def check(good: Any, words: str) -> None:
    if not good:
        raise Wrong(words)


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit status, or the negative number of the signal, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one error of a command that failed, for people: no trace, no second one.

        Raises:
            Wrong: it is anything else.
        """
        errors = re.findall(r"(?<!\w)Error: .*", self.err)
        clean = "Traceback" not in self.err and "Exception" not in self.err
        check(self.status == 1 and clean and len(errors) == 1, f"status {self.status}, no sentence: {self.err[-800:]}")
        check(errors[0].endswith("."), f"no whole sentence: {errors[0]}")
        return errors[0]


class Process:
    """A forked process that does one thing after another. Its output goes through pipes, which no disk limits."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        pipes = [os.pipe() for _ in range(2)]
        self.pid = os.fork()
        if self.pid == 0:
            _be(steps, [writing for _, writing in pipes])
        for _, writing in pipes:
            os.close(writing)
        self.reading = [open(reading, errors="replace") for reading, _ in pipes]

    def wait(self) -> Ended:
        with ThreadPoolExecutor(2) as pool:
            out, err = pool.map(lambda file: file.read(), self.reading)
        for file in self.reading:
            file.close()
        return Ended(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), out, err)


def _be(steps: tuple[Callable[[], object], ...], outputs: list[int]) -> NoReturn:
    status = 70
    try:
        for number, output in enumerate(outputs, 1):
            os.dup2(output, number)
            os.close(output)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
        for step in steps:
            step()
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError):
                stream.flush()
        os._exit(status)


def did(*steps: Callable[[], object]) -> Ended:
    """Do one thing after another in a process of its own, to its end."""
    return Process(*steps).wait()


def command(*arguments: object) -> Callable[[], None]:
    """A command as a user types it."""

    def run() -> None:
        sys.argv = ["mdmf_core", *map(str, arguments)]
        cli.main()

    return run


def die_at(moment: int, folder: Path) -> None:
    """Kill this process just before it changes something below a folder for the n-th time."""
    left = moment

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        if event not in CHANGES or not str(arguments[0]).startswith(f"{folder}/"):
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def fill_disk() -> None:
    """No file that this process writes grows beyond `FULL` bytes, which is as near to a full disk as can be had."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def empty_disk() -> None:
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def obey_permissions() -> None:
    """Root writes wherever it likes; without CAP_DAC_OVERRIDE it is held to a file's mode like anybody."""
    libc = ctypes.CDLL(None)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    check(libc.capget(header, sets) == 0, "capget failed")
    sets[0] &= ~(1 << 1)
    check(libc.capset(header, sets) == 0, "capset failed")


def visible(folder: Path) -> dict[str, bytes]:
    """The files below a folder that a program would read, by their place."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(place): path.read_bytes()
        for place, path in paths.items()
        if not any(part.startswith(PREFIX) for part in place.parts)
    }


def check_whole(folder: Path) -> None:
    """Every file can be read to its end.

    Raises:
        Wrong: one can't.
    """
    for name, content in visible(folder).items():
        try:
            read_whole(folder / name, content)
        except Exception as error:
            raise Wrong(f"{name} is not whole: {error}") from error


def read_whole(path: Path, content: bytes) -> None:
    if path.suffix == ".json":
        json.loads(content)
    elif path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            for key in file.keys():
                file.get_tensor(key)
    elif path.suffix == ".png":
        Image.open(io.BytesIO(content)).load()
    elif path.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
        check(content.endswith(b"\r\n") and len({len(row) for row in rows}) == 1, "cut")
    elif path.name != "pretrain.log":  # grows line by line
        check(content.endswith(b"\n"), "cut")


def move_home(gone: set[str], settings: dict[str, str]) -> None:
    for name in gone:
        os.environ.pop(name, None)
    os.environ.update(settings)
