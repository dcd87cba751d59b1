"""Faults of the Hub's cache and of the connection to it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from hub import StandIn, environment
from tiny import make_checkpoint

from benchmarks.stress.fault_process import (
    NOWHERE,
    Ended,
    Process,
    check,
    command,
    die_at,
    fill_disk,
    move_home,
    obey_permissions,
)

REPO = "someone/tiny"


class HubUser:
    """`detect` with a model of the Hub's stand-in, under caches of every kind; `shop` is the `faults.Workshop`."""

    def __init__(self, shop: Any) -> None:
        check("huggingface_hub" not in sys.modules, "the Hub's client has read its settings already")
        self.shop = shop

    def starts(self, hub: StandIn, home: Path, *first: Callable[[], object]) -> Process:
        settings = environment(hub.url, home)
        detect = command("detect", self.shop.picture, "--model", REPO, "--json")
        return Process(partial(move_home, set(os.environ), settings), *first, detect)

    def did(self, hub: StandIn, home: Path, *first: Callable[[], object]) -> Ended:
        return self.starts(hub, home, *first).wait()

    @contextlib.contextmanager
    def hub(self) -> Iterator[tuple[StandIn, Path]]:
        """The stand-in with one model, and the place for a cache."""
        with StandIn() as hub:
            hub.publish(REPO, make_checkpoint(self.shop.new() / "tiny"))
            yield hub, self.shop.new() / "home"

    def two(self) -> str:
        with self.hub() as (hub, home):
            one, other = [process.wait() for process in [self.starts(hub, home) for _ in range(2)]]
        check(one.status == other.status == 0 and one.out == other.out != "", one.err[-400:] + other.err[-400:])
        return "both answer, and alike"

    def killed(self) -> str:
        kills = 0
        with self.hub() as (hub, home):
            wanted = self.did(hub, home).out
            for moment in self.shop.moments(8, 20):
                home = self.shop.new() / "home"
                ended = self.did(hub, home, partial(die_at, moment, home))
                again = self.did(hub, home)
                check(again.status == 0 and again.out == wanted != "", f"moment {moment}: {again.err[-800:]}")
                if ended.status == 0:
                    break
                kills += 1
        check(kills, "it was never killed")
        return f"killed at {kills} moments; loaded by a second run each time"

    def read_only(self) -> str:
        with self.hub() as (hub, home):
            home.mkdir()
            home.chmod(0o555)
            said = self.did(hub, home, obey_permissions).sentence
            home.chmod(0o755)
            wanted = self.did(hub, home)
            for path in (home, *home.rglob("*")):
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode & 0o555)
            again = self.did(hub, home, obey_permissions)
        check(again.status == 0 and again.out == wanted.out != "", f"a filled one is not read: {again.err[-800:]}")
        check("cache can't be written" in said, said)
        return said

    def full(self) -> str:
        with self.hub() as (hub, home):
            said = self.did(hub, home, fill_disk).sentence
            again = self.did(hub, home)
        check("no room" in said and again.status == 0, said + again.err[-800:])
        return said

    def no_home(self) -> str:
        with self.hub() as (hub, home):
            said = self.did(hub, home, partial(move_home, {"HF_HOME"}, {"HOME": NOWHERE})).sentence
        check("cache can't be written" in said, said)
        return said
