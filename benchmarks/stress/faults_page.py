"""What goes wrong while the page runs: memory, the disk, the clock, the model's files. Part of `faults.py`."""

from __future__ import annotations

import datetime
import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import httpx
import torch
from gradio import route_utils, state_holder
from PIL import Image
from tiny import picture

import app
from benchmarks.served import free_port
from benchmarks.speed.page import upload
from benchmarks.stress import people
from benchmarks.stress.fault_process import check, empty_disk, fill_disk
from mdmf_core.detector import NO_MEMORY, Detector

RATE = 0.05
YEAR = 365 * 24 * 3600
PATIENCE = 60  # seconds until a session that is over is gone


def fail(error: Exception) -> None:
    raise error


def faults(shop: Any) -> Iterator[tuple[str, Callable[[], str]]]:
    """All happen to one page, one after the other; `shop` is the `faults.Workshop`."""
    page = Page(shop)
    for name, allocate in {
        "no memory for one request": partial(fail, MemoryError()),
        "no memory for one request's tensors": partial(torch.empty, 2**60, dtype=torch.uint8),
        "no memory on the GPU (simulated)": partial(fail, torch.cuda.OutOfMemoryError("CUDA out of memory")),
    }.items():
        yield name, partial(page.lacks_memory, allocate)
    yield "the disk fills while the page runs", page.fills
    yield "the clock jumps by a year while the page runs", page.jumps
    yield "the model's files are removed while the page runs", page.loses_model


class Page:
    """The page with the small detector, in this process, and someone who uses it."""

    def __init__(self, shop: Any) -> None:
        os.environ["GRADIO_TEMP_DIR"] = str(shop.new())
        self.model = shop.copy(shop.finished / "checkpoint")
        self.detector = Detector.from_pretrained(self.model)
        url = app.launch(app.build(self.detector), server_port=free_port(), prevent_thread_lock=True, quiet=True)[1]
        self.client = httpx.Client(base_url=url, timeout=people.PATIENCE)
        self.functions = people.Page(self.client)
        self.file = shop.new() / "page.png"
        Image.fromarray(picture(3, 256, 256)).save(self.file)
        self.good = self.score()

    def call(self, number: int, data: list, session: str | None = None) -> list:
        return people.call(self.client, number, data, session)

    def upload(self) -> dict[str, Any]:
        return upload(self.client, self.file)

    def score(self) -> float:
        return self.call(self.functions.analyze, [self.upload(), RATE])[1]["score"]

    def drop(self, session: str) -> str:
        """Someone drops a picture on the page; the card."""
        self.call(self.functions.take, [self.upload()], session)
        return self.call(self.functions.analyse, [None, RATE, None, None, None], session)[1]

    def make_report(self, session: str) -> tuple[str, bool]:
        """What the page says, and whether there is a file."""
        _, _, _, said, page, _ = self.call(self.functions.report, [None, None, RATE], session)
        return said, bool(page.get("value"))

    def works(self, session: str) -> None:
        check(self.score() == self.good, "another score")
        check("No result" not in self.drop(session), "no card")
        check(self.make_report(session)[1], "no report")

    def lacks_memory(self, allocate: Callable[[], object]) -> str:
        """Whoever asks meanwhile gets a sentence in every place, and afterwards all is as before."""
        with patch.object(self.detector.model.backbone, "embed", lambda patches: allocate()):
            try:
                said = f"the score {self.score()}"
            except people.Refused as refused:
                said = str(refused)
            card, rows = self.drop("a"), self.call(self.functions.batch, [[self.upload()], RATE])[0]["rows"]
        check(said == NO_MEMORY == rows[0]["error"] and NO_MEMORY in card, f"{said} {card} {rows}")
        self.works("a")
        return said

    def fills(self) -> str:
        """A report and an upload have no room; then they have."""
        self.drop("a")
        fill_disk()
        try:
            said, made = self.make_report("a")
            with httpx.Client(base_url=self.client.base_url, timeout=people.PATIENCE) as another:
                taken = bool(upload(another, self.file))
        except httpx.HTTPError:
            taken = False
        finally:
            empty_disk()
        check(not made and "no room on the disk" in said, said)
        check(not taken, "an upload was taken that has no room")
        self.works("a")
        return "a report says so in one sentence, an upload is refused, and both work afterwards"

    def jumps(self) -> str:
        """Forward, back and to the right time, each with a whole visit; then forward within one."""
        real, offset = time.time, 0.0

        class Now(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
                return super().now(tz) + datetime.timedelta(seconds=offset)

        with (
            patch.object(time, "time", lambda: real() + offset),
            patch.object(route_utils, "datetime", Now),
            patch.object(state_holder, "datetime", SimpleNamespace(datetime=Now)),
        ):
            for number, jump in enumerate((YEAR, -YEAR, 0.0)):
                offset = jump
                self.works(f"visit {number}")
            self.drop("interrupted")
            offset, end = YEAR, time.monotonic() + PATIENCE
            while "hour is over" not in (said := self.make_report("interrupted")[0]):
                check(time.monotonic() < end, said)
                time.sleep(1)
            self.works("interrupted")
        return "the same scores; a visit that it interrupts is told that its hour is over, and can begin again"

    def loses_model(self) -> str:
        shutil.rmtree(self.model)
        self.works("a")
        return "everything goes on"
