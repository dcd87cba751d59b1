"""From a command to its first answer, and many people at once. Part of `speed.py`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np

from benchmarks.served import serve
from benchmarks.speed.measure import ROOT, Rows, clock, spread
from benchmarks.speed.picture import photograph

API = "gradio_api"
WAITS = ("upload", "queue", "analysis", "answer")


def start(folder: Path, quick: bool) -> Rows:
    """`--help`, one picture on the command line, and `python app.py` to its first answer and first result."""
    picture = photograph(512, 512, folder / "picture.jpg")
    runs = 1 if quick else 3

    def command(*arguments: object) -> None:
        whole = [sys.executable, "-m", "mdmf_core", *map(str, arguments)]
        subprocess.run(whole, cwd=ROOT, check=True, capture_output=True)  # noqa: S603  # the words are our own

    command("--help")
    rows: Rows = {
        "python -m mdmf_core --help": spread([clock(lambda: command("--help")) for _ in range(5 * runs)]),
        "python -m mdmf_core detect, 512 x 512": spread(
            [clock(lambda: command("detect", picture)) for _ in range(runs)]
        ),
    }
    answered, resulted = [], []
    for _ in range(runs):
        begun = time.perf_counter()
        with serve(folder) as address:
            answered.append(time.perf_counter() - begun)
            with httpx.Client(base_url=address, timeout=60) as client:
                ask(client, endpoint(client), picture)
            resulted.append(time.perf_counter() - begun)
    rows["python app.py to the first answered request"] = spread(answered)
    rows["python app.py to the first result"] = spread(resulted)
    return rows


def endpoint(client: httpx.Client) -> int:
    """The number of the endpoint `/analyze`."""
    config = client.get("config").raise_for_status().json()
    return next(each["id"] for each in config["dependencies"] if each["api_name"] == "analyze")


def upload(client: httpx.Client, picture: Path) -> dict[str, Any]:
    """The picture as the page's functions take it."""
    with picture.open("rb") as file:
        (path,) = client.post(f"{API}/upload", files={"files": file}).raise_for_status().json()
    return {"path": path, "orig_name": picture.name, "meta": {"_type": "gradio.FileData"}}


def join(client: httpx.Client, number: int, given: dict[str, Any]) -> str:
    """Enter the queue with an uploaded picture; the name under which the answer can be heard."""
    session = uuid4().hex
    job = {"data": [given, 0.05], "fn_index": number, "session_hash": session}
    client.post(f"{API}/queue/join", json=job).raise_for_status()
    return session


def ask(client: httpx.Client, number: int, picture: Path) -> dict[str, float]:
    """Seconds that one picture waits: upload, queue, analysis on the server, and the rest of the answer's way.

    Raises:
        RuntimeError: the page did not analyse it.
    """
    marks = [time.perf_counter()]
    given = upload(client, picture)
    marks.append(time.perf_counter())
    session = join(client, number, given)
    with client.stream("GET", f"{API}/queue/data", params={"session_hash": session}) as answer:
        for line in answer.iter_lines():
            message = json.loads(line.removeprefix("data: ")) if line else {}
            if message.get("msg") == "process_starts":
                marks.append(time.perf_counter())
            if message.get("msg") == "process_completed":
                if not message["success"]:
                    raise RuntimeError(f"The page could not analyse the picture: {message['output']}")
                took = message["output"]["duration"]
                waited = time.perf_counter() - marks[2]
                return dict(zip(WAITS, (*np.diff(marks).tolist(), took, waited - took), strict=True))
    raise RuntimeError("The page ended the conversation without an answer.")


def web(folder: Path, quick: bool) -> Rows:
    """1, 8 and 32 clients at once, each with one picture after another: throughput, latency, what they wait for."""
    picture = photograph(512, 512, folder / "picture.jpg")
    rows: Rows = {}
    with serve(folder) as address:
        with httpx.Client(base_url=address, timeout=60) as client:
            number = endpoint(client)
            ask(client, number, picture)
        for clients in (1, 4) if quick else (1, 8, 32):
            each = 2 if quick else 20 if clients == 1 else 4
            rows[f"{clients} at once"] = crowd(address, number, picture, clients, each)
    return rows


def crowd(address: str, number: int, picture: Path, clients: int, each: int) -> dict[str, float]:
    """`clients` people who ask `each` times, one question after another, all beginning together."""
    together = threading.Barrier(clients + 1)

    def person() -> list[dict[str, float]]:
        with httpx.Client(base_url=address, timeout=600) as client:
            together.wait()
            return [ask(client, number, picture) for _ in range(each)]

    with ThreadPoolExecutor(clients) as pool:
        people = [pool.submit(person) for _ in range(clients)]
        together.wait()
        begun = time.perf_counter()
        waits = [wait for one in people for wait in one.result()]
        seconds = time.perf_counter() - begun
    latency = [sum(wait.values()) for wait in waits]
    parts = {f"{part}_ms": 1e3 * float(np.median([wait[part] for wait in waits])) for part in WAITS}
    return {"pictures_a_s": len(waits) / seconds, **spread(latency), **parts}


SECTIONS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {"start": start, "web": web}
