"""Many strangers at once for a quarter of an hour: is each answer right, and does the server stay as it was?

    python benchmarks/stress/load.py --minutes 15 --clients 32

Starts `python app.py` as a process of its own, takes each picture's answer while nobody else asks, and then lets
`--clients` people, who read six languages, do what people do: photographs, pictures of 12 and 48 megapixels, finer
maps, references of pictures that they trust, bad files, batches, reports, cancelled and abandoned requests. Each answer
is compared with the one taken before. A server that is busy says so and is asked again; that is no failure. Meanwhile
its memory, open files, processes and temporary files are written down; what sessions may keep is filled to its bounds
first. A fifth of the time is for warming up; the halves of the rest are compared.
At the end 100 requests come at once, more than may wait. Writes `benchmarks/results/load.json`. Needs Linux (/proc).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import httpx
import numpy as np

from benchmarks.served import serve
from benchmarks.speed.measure import ROOT, facts
from benchmarks.stress.people import BUSY, LANGUAGES, MIX, PATIENCE, RATE, Bag, Busy, Page, Person, call, give, pack
from benchmarks.stress.watch import contents, server_of, watched
from mdmf_app.language import ENGLISH
from mdmf_core.files import write_whole

BURST = 100
SESSIONS = 500  # that come first: as many as the server keeps
FILL = 2  # pictures of 48 megapixels that are dropped first: as many decoded ones as the server keeps
STEADY = 0.05
WARM = 0.2  # the warm-up's share of the run; what follows is cut in two halves, whose medians are compared


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


def known_cards(address: str, page: Page, bag: Bag) -> None:
    """What the page says of each picture in each language, and the map of each small one, while nobody else asks.

    Raises:
        ValueError: it says nothing of a picture.
    """
    for language in LANGUAGES:
        serial = Person(address, page, bag, 0, language)
        for path in (*bag.photos, *bag.large):
            session = serial.come(path)
            bag.cards[language, path.name] = card = serial.card(session)
            if language == ENGLISH and "p-value" not in card:
                raise ValueError(f"{path.name} got the card {card}")
            if language == LANGUAGES[0] and path in bag.photos:
                bag.maps[path.name] = serial.finer(session)


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
        known_cards(address, page, bag)
        for _ in range(SESSIONS if sizes else 0):
            serial.come(bag.photos[0])
        for path in FILL * bag.huge:
            serial.drop(path)
        people = [Person(address, page, bag, seed) for seed in range(clients)]
        begun = time.monotonic()
        with watched(pid, folder, every) as looks, ThreadPoolExecutor(clients) as pool:
            until = begun + 60 * minutes
            for done in [pool.submit(person.live, until, at) for at, person in enumerate(people)]:
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
