"""What decoder processes do in `test_isolated.py`: they go wrong when they are asked to. Each imports this file."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def obey(request: dict[str, Any]) -> tuple[dict[str, Any], None]:
    """Do what `request["do"]` says, then tell what kind of process this is."""
    ORDERS[request["do"]](*request["with"])
    return {"pid": os.getpid(), "modules": sorted(sys.modules)}, None


def crash(request: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def tell(folder: str, name: str) -> None:
    """Make a folder that says which process got this far, for files can't be written here."""
    os.mkdir(f"{folder}/{name}-{os.getpid()}")


def wait(folder: str, name: str) -> None:
    """Until there is an "end" in the folder."""
    tell(folder, name)
    while not os.path.exists(f"{folder}/end"):
        time.sleep(0.02)


def stick(folder: str, name: str) -> None:
    """For a minute in native code that keeps Python's lock, so that no other thread runs."""
    tell(folder, name)
    ctypes.PyDLL(None).sleep(60)


def burn(folder: str, name: str) -> None:
    """Compute without an end."""
    tell(folder, name)
    while True:
        pass


def print_in_c() -> None:
    for number in (1, 2):
        os.write(number, b"printed by a library\n")


ORDERS = {
    "nothing": lambda: None,
    "stick": stick,
    "burn": burn,
    "crash": lambda: crash({}),
    "allocate": lambda: bytearray(2**31),
    "write": lambda path: Path(path).write_bytes(b"x"),
    "print": print_in_c,
    "fail": int,
    "wait": wait,
}
