"""Many strangers at once for a quarter of an hour: is each answer right, and does the server stay as it was?

    python benchmarks/stress/load.py --minutes 15 --clients 32

Starts `python app.py` as a process of its own, takes each picture's answer while nobody else asks, and then lets
`--clients` people do what people do: photographs, pictures of 12 and 48 megapixels, bad files, batches, reports,
cancelled and abandoned requests. Each answer is compared with the one taken before. A server that is busy says so and
is asked again; that is no failure. Meanwhile its memory, open files, processes and temporary files are written down;
what sessions may keep is filled to its bounds first. A fifth of the time is for warming up; the halves of the rest are
compared.
At the end 100 requests come at once, more than may wait. Writes `benchmarks/results/load.json`. Needs Linux (/proc).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import httpx
import numpy as np
from PIL import Image

from benchmarks.served import serve
from benchmarks.speed.measure import ROOT, facts
from benchmarks.speed.page import API, upload
from mdmf_core.files import write_whole

RATE = 0.05
PATIENCE = 300  # seconds for one answer; longer is a failure
AGAIN = 1.0  # seconds before a busy server is asked again
BURST = 100
SESSIONS = 500  # that come first: as many as the server keeps
FILL = 2  # pictures of 48 megapixels that are dropped first: as many decoded ones as the server keeps
STEADY = 0.05
WARM = 0.2  # the warm-up's share of the run; what follows is cut in two halves, whose medians are compared
MIX = {
    **{"photo": 50, "large": 5, "huge": 1, "visit": 12, "report": 4, "batch": 6},
    **{"bad": 12, "cancel": 5, "abandon": 5},
}
SENTENCE = re.compile(r"[^\n/\\]{10,300}[.]")
BUSY = re.compile(r"[^\n.]*\bbusy\b[^\n.]*[.]")


class Busy(Exception):
    """The server takes no more requests now; its words."""


class Refused(Exception):
    """The server's sentence about what it was given."""


# Talking to the page


class Page:
    """The page's functions by what they do, as its own script finds them."""

    def __init__(self, client: httpx.Client) -> None:
        config = client.get("config").raise_for_status().json()
        self.functions = config["dependencies"]
        self.ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
        self.analyze, self.batch = self.named("analyze"), self.named("batch")
        self.take, self.report = self.of("picture", "upload"), self.of("make", "click")
        self.analyse = self.after(self.after(self.take))  # what is shown of the last picture goes first

    def named(self, name: str) -> int:
        return next(one["id"] for one in self.functions if one["api_name"] == name)

    def after(self, number: int) -> int:
        """The function that begins when another has ended."""
        return next(one["id"] for one in self.functions if one["trigger_after"] == number)

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


# What people bring


@dataclass(frozen=True)
class Bag:
    """Files by kind, and the answer (score, p-value) to each good one, by its name."""

    photos: list[Path]
    large: list[Path]
    huge: list[Path]
    bad: list[Path]
    answers: dict[str, tuple[float, float]] = field(default_factory=dict)


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
    return Bag(photos, large, huge, [folder / name for name in bad])


class Person:
    """Someone who does one thing after another, chosen by lot, and writes down what came of it."""

    def __init__(self, address: str, page: Page, bag: Bag, seed: int) -> None:
        self.page, self.bag, self.random = page, bag, random.Random(seed)  # noqa: S311  # only a load, no secret
        self.client = httpx.Client(base_url=address, timeout=PATIENCE)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.busy: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {}

    def live(self, until: float) -> None:
        while time.monotonic() < until:
            (kind,) = self.random.choices(list(MIX), MIX.values())
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
        card = call(self.client, self.page.analyse, [None, RATE, None, None, None], session)[1]
        if "p-value" not in card:
            self.note("wrong", f"{path.name} got the card {card}")
        return session

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
        return self.client.get(f"{API}/file={file['path']}").raise_for_status().text

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


# Watching the server


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def server_of(pid: int) -> int:
    """The process of `app.py` among those that this one started."""
    return next(one for one in family(pid) if "app.py" in Path(f"/proc/{one}/cmdline").read_text())


def resident(pid: int) -> float:
    """MiB of memory that are this process's own, or its share of what it shares; 0 for one that has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) / 1024


def contents(folder: Path) -> dict[str, float]:
    """Number and MiB of the files below a folder."""
    sizes = []
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                sizes.append(path.stat().st_size)
        except OSError:  # it has just been deleted
            continue
    return {"files": len(sizes), "mib": sum(sizes) / 2**20}


def look(pid: int, folder: Path) -> dict[str, float]:
    """The server now: memory, open files, processes, temporary files, and what its hourly cache keeps."""
    processes = family(pid)
    cache, temporary = contents(folder / "cache"), contents(folder / "tmp")
    return {
        "memory_mib": resident(pid),
        "children_mib": sum(map(resident, processes[1:])),
        "children": len(processes) - 1,
        "open_files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "temporary_files": temporary["files"],
        "temporary_mib": temporary["mib"],
        "cache_files": cache["files"],
        "cache_mib": cache["mib"],
    }


@contextmanager
def watched(pid: int, folder: Path, every: float) -> Iterator[list[dict[str, float]]]:
    """The looks that were taken, with the seconds at which they were."""
    looks: list[dict[str, float]] = []
    over, begun = threading.Event(), time.monotonic()

    def watch() -> None:
        while True:
            looks.append({"seconds": time.monotonic() - begun, **look(pid, folder)})
            if over.wait(every):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield looks
    finally:
        over.set()
        watcher.join()


# The run


def burst(address: str, page: Page, bag: Bag, count: int = BURST) -> dict[str, Any]:
    """More at once than may wait: some are told that the server is busy, and afterwards all is as before."""
    together = threading.Barrier(count)
    path = bag.photos[0]

    def ask(seed: int) -> Person:
        person = Person(address, page, bag, seed)
        together.wait(PATIENCE)
        try:
            given = give(person.client, path)
            person.compare(path.name, call(person.client, page.analyze, [given, RATE])[1])
        except Busy as busy:
            person.busy[str(busy)] += 1
        except Exception as error:
            person.note("failed", f"burst: {type(error).__name__}: {error}")
        return person

    with ThreadPoolExecutor(count) as pool:
        people = list(pool.map(ask, range(count)))
    after = Person(address, page, bag, 0)
    after.photo()
    told = sum((person.busy for person in people), Counter())
    return {
        "requests": count,
        "answered": sum(person.counts["compared"] for person in people),
        "busy": sum(told.values()),
        "busy_words": sorted(told),
        "answered_afterwards": after.counts["compared"],
        "faults": [fault for person in (*people, after) for fault in person.faults],
    }


def summary(people: list[Person], seconds: float, looks: list[dict[str, float]]) -> dict[str, Any]:
    """Counts, waits and what became of the server."""
    counts = sum((person.counts for person in people), Counter())
    good = [kind for kind in MIX if kind not in ("bad", "cancel", "abandon")]
    waits = {kind: [w for person in people for w in person.seconds.get(kind, ())] for kind in MIX}
    answered = [wait for kind in good for wait in waits[kind]]
    busy = sum((person.busy for person in people), Counter())
    end = looks[-1]["seconds"]
    middle = (1 + WARM) / 2
    first = [one for one in looks if WARM <= one["seconds"] / end < middle] or looks[:1]
    last = [one for one in looks if one["seconds"] / end >= middle]
    before, after = ({key: float(np.median([one[key] for one in part])) for key in looks[0]} for part in (first, last))
    return {
        "done": {kind: counts[kind] for kind in MIX},
        "good_requests": sum(counts[kind] for kind in good) + counts["failed"],
        "failed": counts["failed"],
        "compared": counts["compared"],
        "wrong": counts["wrong"],
        "busy": sum(busy.values()),
        "busy_words": sorted(busy),
        "requests_a_s": sum(counts[kind] for kind in MIX) / seconds,
        "p50_s": float(np.median(answered)),
        "p95_s": float(np.quantile(answered, 0.95)),
        "waits_s": {kind: [float(np.quantile(w, q)) for q in (0.5, 0.95)] for kind, w in waits.items() if w},
        "first_half": before,
        "second_half": after,
        "memory_growth": after["memory_mib"] / before["memory_mib"] - 1,
        "faults": [fault for person in people for fault in person.faults][:50],
        "looks": looks,
    }


def run(
    folder: Path, minutes: float, clients: int, sizes: bool = True, every: float = 5.0, **settings: str
) -> dict[str, Any]:
    """Start the server, load it, and give `summary` with `burst` and the rest of the server's state."""
    bag = pack(folder / "files", sizes)
    for name in ("cache", "tmp"):
        (folder / name).mkdir()
    places = {"GRADIO_TEMP_DIR": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}
    with serve(folder, **places, **settings) as address:
        pid = server_of(os.getpid())
        with httpx.Client(base_url=address, timeout=PATIENCE) as client:
            page = Page(client)
        serial = Person(address, page, bag, 0)
        for path in (*bag.photos, *bag.large, *bag.huge):
            found = serial.ask(path)
            bag.answers[path.name] = found["score"], found["p_value"]
        for _ in range(SESSIONS if sizes else 0):
            serial.come(bag.photos[0])
        for path in FILL * bag.huge:
            serial.drop(path)
        people = [Person(address, page, bag, seed) for seed in range(clients)]
        begun = time.monotonic()
        with watched(pid, folder, every) as looks, ThreadPoolExecutor(clients) as pool:
            until = begun + 60 * minutes
            for done in [pool.submit(person.live, until) for person in people]:
                done.result()
        found = summary(people, time.monotonic() - begun, looks)
        found["burst"] = burst(address, page, bag)
        found["log"] = (folder / "app.log").read_text().splitlines()[-20:]
    found["left_in_tmp"] = contents(folder / "tmp")["files"]
    return {"clients": clients, "minutes": minutes, "machine": facts(), **found}


def verdict(found: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    burst, before, after = found["burst"], found["first_half"], found["second_half"]
    checks = {
        f"{found['failed']} good requests failed": found["failed"],
        f"{found['wrong']} answers were wrong": found["wrong"],
        f"memory grew by {found['memory_growth']:.1%}": abs(found["memory_growth"]) > STEADY,
        f"open files went from {before['open_files']:.0f} to {after['open_files']:.0f}": after["open_files"]
        > before["open_files"] + found["clients"],
        f"{after['temporary_files']:.0f} temporary files at the end": after["temporary_files"]
        > before["temporary_files"] + found["clients"],
        "the burst met no busy answer": not burst["busy"],
        "the burst lost requests": burst["answered"] + burst["busy"] != burst["requests"] or burst["faults"],
        "no answer after the burst": not burst["answered_afterwards"],
        "busy is not said in one clear sentence": not all(
            BUSY.fullmatch(words) for words in found["busy_words"] + burst["busy_words"]
        ),
    }
    return [words for words, wrong in checks.items() if wrong]


def table(found: dict[str, Any]) -> str:
    """The figures for people."""
    burst, before, after = found["burst"], found["first_half"], found["second_half"]
    rows = {
        "good requests": f"{found['good_requests']:,}, {found['failed']} failed",
        "answers compared with the serial ones": f"{found['compared']:,}, {found['wrong']} wrong",
        "busy answers, asked again": f"{found['busy']:,} {found['busy_words']}",
        "requests a second": f"{found['requests_a_s']:.1f}",
        "seconds for an answer": f"p50 {found['p50_s']:.1f}, p95 {found['p95_s']:.1f}",
        f"burst of {burst['requests']}": f"{burst['answered']} answered, {burst['busy']} busy {burst['busy_words']}, "
        f"{burst['answered_afterwards']} answered afterwards",
    }
    for name in before:
        if name != "seconds":
            rows[name.replace("_", " ")] = f"{before[name]:,.0f} in the first half, {after[name]:,.0f} in the second"
    width = max(map(len, rows))
    done = ", ".join(f"{kind} {count:,}" for kind, count in found["done"].items())
    return "\n".join([done, *(f"{name:<{width}}  {text}" for name, text in rows.items())])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for load.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), options.minutes, options.clients)
    text = json.dumps(found, indent=1) + "\n"
    write_whole(options.out / "load.json", lambda path: path.write_text(text, "utf-8"))
    print(table(found))
    wrong = verdict(found)
    print(*found["faults"][:20], *(f"NOT WELL: {words}." for words in wrong), sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
