"""What people do with the page: they bring pictures, ask, cancel, leave, and compare each answer with the one known."""

from __future__ import annotations

import json
import random
import re
import tempfile
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from PIL import Image

from benchmarks.speed.measure import ROOT
from benchmarks.speed.page import API, upload
from mdmf_app.language import WORDS

RATE = 0.05
PATIENCE = 300  # seconds for one answer; longer is a failure
AGAIN = 1.0  # seconds before a busy server is asked again
MIX = {
    **{"photo": 44, "large": 5, "huge": 1, "visit": 12, "map": 6, "mine": 2, "report": 4, "batch": 6},
    **{"bad": 12, "cancel": 5, "abandon": 5},
}
LANGUAGES = tuple(sorted(WORDS))
FEWEST, MOST = 20, 24  # pictures that somebody trusts
SENTENCE = re.compile(r"[^\n/\\]{10,300}[.]")
BUSY = re.compile(r"[^\n.]*\bbusy\b[^\n.]*[.]")


class Busy(Exception):
    """The server takes no more requests now; its words."""


class Refused(Exception):
    """The server's sentence about what it was given."""


class Page:
    """The page's functions by what they do, as its own script finds them."""

    def __init__(self, client: httpx.Client) -> None:
        config = client.get("config").raise_for_status().json()
        self.functions = config["dependencies"]
        self.ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
        self.types = {part["id"]: part["type"] for part in config["components"]}
        self.untouched = {part["id"]: part["props"].get("value") for part in config["components"]}
        self.analyze, self.batch = self.named("analyze"), self.named("batch")
        self.take, self.report = self.of("picture", "upload"), self.of("make", "click")
        self.analyse = self.after(self.after(self.take))  # what is shown of the last picture goes first
        self.drawn = self.after(self.analyse)
        self.patches = self.after(self.after(self.drawn))  # once the map is seen
        self.refine = self.after(self.patches, "state")
        self.finer = self.after(self.refine)
        self.keep = self.after(self.of("mine-begin", "click"))
        self.beside = next(one["id"] for one in self.functions if one["outputs"] == [self.ids["beside"]])

    def named(self, name: str) -> int:
        return next(one["id"] for one in self.functions if one["api_name"] == name)

    def after(self, number: int, gives: str = "") -> int:
        """The first function that begins when another has ended; the first that gives one thing of a type."""
        follow = [one for one in self.functions if one["trigger_after"] == number]
        return next(one["id"] for one in follow if not gives or [self.types[out] for out in one["outputs"]] == [gives])

    def values(self, number: int) -> list:
        """What a function takes from a page that nobody has touched; states are the session's own."""
        inputs = next(one["inputs"] for one in self.functions if one["id"] == number)
        return [self.untouched[part] for part in inputs]

    def of(self, element: str, event: str) -> int:
        target = [self.ids[element], event]
        return next(one["id"] for one in self.functions if target in [list(pair) for pair in one["targets"]])


def give(client: httpx.Client, path: Path) -> dict[str, Any]:
    """Upload a file.

    Raises:
        Busy: too many are on their way.
    """
    try:
        return upload(client, path)
    except httpx.HTTPStatusError as error:
        if error.response.status_code == 503:
            raise Busy(error.response.text) from error
        raise


def join(client: httpx.Client, number: int, data: list, session: str) -> str:
    """Enter the queue; the event's name.

    Raises:
        Busy: no more may wait.
    """
    job = {"data": data, "fn_index": number, "session_hash": session}
    answer = client.post(f"{API}/queue/join", json=job)
    if answer.status_code == 503:
        raise Busy(answer.json()["detail"])
    return answer.raise_for_status().json()["event_id"]


def call(client: httpx.Client, number: int, data: list, session: str | None = None) -> list:
    """What a function of the page gives.

    Raises:
        Busy: no more may wait.
        Refused: what was given can't be used.
    """
    session = session or uuid4().hex
    join(client, number, data, session)
    with client.stream("GET", f"{API}/queue/data", params={"session_hash": session}) as answer:
        for line in answer.iter_lines():
            message = json.loads(line.removeprefix("data: ")) if line else {}
            if message.get("msg") == "process_completed":
                if not message["success"]:
                    raise Refused(message["output"].get("error") or "no sentence")
                return message["output"]["data"]
    raise ConnectionError("The page ended the conversation without an answer.")


@dataclass(frozen=True)
class Bag:
    """Files by kind; of each good one, by name, its answer (score, p-value) and map; cards by language and name."""

    photos: list[Path]
    large: list[Path]
    huge: list[Path]
    bad: list[Path]
    answers: dict[str, tuple[float, float]] = field(default_factory=dict)
    cards: dict[tuple[str, str], str] = field(default_factory=dict)
    maps: dict[str, bytes] = field(default_factory=dict)
    trusted: list[Path] = field(default_factory=list)


def pack(folder: Path, sizes: bool = True) -> Bag:
    """The examples in several formats, large ones unless `sizes` is false, and files that are no pictures."""
    folder.mkdir(parents=True)
    photos, large, huge = [], [], []
    for index, name in enumerate(("china.jpg", "flower.jpg", "grace_hopper.jpg", "rocket.jpg")):
        image = Image.open(ROOT / "examples" / name).convert("RGB")
        for side, ending in ((256, ".png"), (384, ".webp"), (512, ".jpg")):
            photos.append(folder / f"{index}-{side}{ending}")
            image.resize((side, side - 64)).save(photos[-1])
        if sizes:
            large.append(folder / f"{index}-large.jpg")
            image.resize((4000, 3000)).save(large[-1], quality=85)
    if sizes:
        huge.append(folder / "huge.jpg")
        Image.open(large[0]).resize((8000, 6000)).save(huge[0], quality=85)
    trusted = [folder / f"trusted-{index}.png" for index in range(MOST)]
    for index, path in enumerate(trusted):
        with Image.open(photos[2 + 3 * (index % 4)]) as image:
            image.crop((8 * index, 4 * index, 8 * index + 192, 4 * index + 192)).save(path)
    whole = photos[2].read_bytes()
    bad = {
        "cut.jpg": whole[: len(whole) // 3],
        "words.jpg": b"This is no picture.\n" * 50,
        "empty.png": b"",
        "page.png": b"<html><script>alert(1)</script></html>",
        "small.png": (folder / "0-256.png").read_bytes()[:60],
    }
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    return Bag(photos, large, huge, [folder / name for name in bad], trusted=trusted)


class Person:
    """Someone who does one thing after another, chosen by lot, and writes down what came of it."""

    def __init__(self, address: str, page: Page, bag: Bag, seed: int, language: str = "") -> None:
        self.page, self.bag, self.random = page, bag, random.Random(seed)  # noqa: S311  # only a load, no secret
        self.language = language or self.random.choice(LANGUAGES)
        spoken = {"accept-language": self.language}
        self.client = httpx.Client(base_url=address, timeout=PATIENCE, headers=spoken)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.busy: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {}

    def live(self, until: float, first: int = 0) -> None:
        """Whatever the lot says; the `first` of the kinds before that, so that among many people there is each."""
        kinds = [list(MIX)[first % len(MIX)]]
        while kinds or time.monotonic() < until:
            kind = kinds.pop() if kinds else self.random.choices(list(MIX), MIX.values())[0]
            if getattr(self.bag, kind, True):
                self.do(kind)

    def do(self, kind: str) -> None:
        """One thing, again while the server is busy."""
        begun = time.monotonic()
        while True:
            try:
                getattr(self, kind)()
                break
            except Busy as busy:
                self.busy[str(busy)] += 1
                time.sleep(AGAIN)
            except Exception as error:  # whatever it was, a good request got no answer
                self.note("failed", f"{kind}: {type(error).__name__}: {error}")
                return
        self.counts[kind] += 1
        self.seconds.setdefault(kind, []).append(time.monotonic() - begun)

    def note(self, what: str, words: str) -> None:
        self.counts[what] += 1
        self.faults.append(f"{what}: {words}")

    def compare(self, name: str, found: dict[str, Any]) -> None:
        self.counts["compared"] += 1
        if (found["score"], found["p_value"]) != self.bag.answers[name]:
            self.note("wrong", f"{name}: {found['score']}, {found['p_value']} and not {self.bag.answers[name]}")

    def ask(self, path: Path) -> dict[str, Any]:
        return call(self.client, self.page.analyze, [give(self.client, path), RATE])[1]

    def photo(self) -> None:
        self._ask_one(self.bag.photos)

    def large(self) -> None:
        self._ask_one(self.bag.large)

    def huge(self) -> None:
        self._ask_one(self.bag.huge)

    def _ask_one(self, paths: list[Path]) -> None:
        path = self.random.choice(paths)
        self.compare(path.name, self.ask(path))

    def bad(self) -> None:
        path = self.random.choice(self.bag.bad)
        try:
            self.ask(path)
            self.note("wrong", f"{path.name} got a result")
        except Refused as words:
            if not SENTENCE.fullmatch(str(words)):
                self.note("wrong", f"{path.name} got no clear sentence: {words}")

    def batch(self) -> None:
        """Three pictures, a bad file and a ZIP of two more."""
        loose, packed = self.random.sample(self.bag.photos, 3), self.random.sample(self.bag.photos, 2)
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "two.zip"
            with zipfile.ZipFile(archive, "w") as file:
                for path in packed:
                    file.write(path, f"inside/{path.name}")
            files = [give(self.client, path) for path in (*loose, self.bag.bad[0], archive)]
        result, table = call(self.client, self.page.batch, [files, RATE])
        rows = result["rows"]
        names = [*(path.name for path in loose), self.bag.bad[0].name, *(f"two.zip/inside/{p.name}" for p in packed)]
        if [row["name"] for row in rows] != names:
            self.note("wrong", f"a batch had the rows {[row['name'] for row in rows]}")
        for row in rows:
            if row["error"] is None:
                self.compare(row["name"].rsplit("/")[-1], row)
        if len(self.fetch(table).splitlines()) != 1 + len(rows):
            self.note("wrong", "a batch's table is not whole")

    def visit(self) -> str:
        """Drop a picture on the page, which keeps it for an hour; the session."""
        return self.drop(self.random.choice(self.bag.photos + self.bag.large))

    def come(self, path: Path) -> str:
        """A new session, to which a picture is given."""
        session = uuid4().hex
        call(self.client, self.page.take, [give(self.client, path)], session)
        return session

    def drop(self, path: Path) -> str:
        session = self.come(path)
        card = self.card(session)
        if card != self.bag.cards.get((self.language, path.name), card):
            self.note("wrong", f"{path.name} got another card in {self.language}: {card}")
        return session

    def card(self, session: str) -> str:
        return call(self.client, self.page.analyse, [None, RATE, None, None, None], session)[1]

    def map(self) -> None:
        """Drop a picture and wait for its finer map."""
        path = self.random.choice(self.bag.photos)
        found = self.finer(self.drop(path))
        self.counts["compared"] += 1
        if not found or found != self.bag.maps.get(path.name, found):
            self.note("wrong", f"{path.name} got another map")

    def finer(self, session: str) -> bytes:
        """The picture that the finer map of a session's result is drawn as."""
        for number in (self.page.drawn, self.page.patches, self.page.refine):
            call(self.client, number, self.page.values(number), session)
        image = call(self.client, self.page.finer, self.page.values(self.page.finer), session)[0]
        return self.content(image)

    def mine(self) -> None:
        """Trust some pictures and drop another: the line beside it tells of just so many, and to nobody else."""
        count = self.random.randint(FEWEST, MOST)
        files = [give(self.client, path) for path in self.random.sample(self.bag.trusted, count)]
        session, stranger = self.drop(self.bag.photos[2]), self.drop(self.bag.photos[2])
        call(self.client, self.page.keep, [None, files, None], session)
        own, others = (
            call(self.client, self.page.beside, [None, True, None, RATE], of)[0] for of in (session, stranger)
        )
        self.counts["compared"] += 1
        if not re.search(rf"(?<![\d.,]){count}(?![\d.,]*\d)", own) or others:
            self.note("wrong", f"{count} trusted pictures gave {own!r}, and a stranger {others!r}")

    def report(self) -> None:
        """Drop a picture on the page, make its report and download it."""
        path = self.random.choice(self.bag.photos)
        session = self.drop(path)
        *_, page, data = call(self.client, self.page.report, [None, None, RATE], session)
        found = json.loads(self.fetch(data["value"]))
        self.compare(path.name, found["result"])
        if "</html>" not in self.fetch(page["value"]):
            self.note("wrong", f"the report of {path.name} is not whole")

    def fetch(self, file: dict[str, Any]) -> str:
        return self.content(file).decode()

    def content(self, file: dict[str, Any]) -> bytes:
        return self.client.get(f"{API}/file={file['path']}").raise_for_status().content

    def cancel(self) -> None:
        """Begin a batch and take it back."""
        files, session = [give(self.client, path) for path in self.bag.photos[:6]], uuid4().hex
        event = join(self.client, self.page.batch, [files, RATE], session)
        time.sleep(self.random.random())
        body = {"session_hash": session, "fn_index": self.page.batch, "event_id": event}
        self.client.post(f"{API}/cancel", json=body).raise_for_status()

    def abandon(self) -> None:
        """Ask and go away, before the answer or in the middle of it."""
        with httpx.Client(base_url=self.client.base_url, timeout=PATIENCE) as client:
            session = uuid4().hex
            join(client, self.page.analyze, [give(client, self.random.choice(self.bag.photos)), RATE], session)
            if self.random.random() < 0.5:
                with client.stream("GET", f"{API}/queue/data", params={"session_hash": session}) as answer:
                    next(answer.iter_lines())
