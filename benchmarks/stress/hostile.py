"""Feeds more than 5,000 hostile files to the loader and says what became of each.

    python benchmarks/stress/hostile.py [--isolated] [--rounds 120] [--seed 0] [--only WORD] [--out FILE]

The files (`hostile_files.py`) are made in a temporary folder and read in child processes, 100 in each, so that a crash
or a hang is put down to its file. ZIP archives go through `archive.gather`, then each of their pictures through the
loader. A file is good when it gives a picture, or one sentence; takes at most 10 s; and its process at most 1.5 GB.
Seconds are of the processor (with --isolated of the clock), so that a busy machine changes little; a file that gives
no answer within `PATIENCE` seconds by the clock is a hang. With --isolated the decoder's own limits hold, and memory is
of the process that asks. Prints a table, writes JSON, and returns 1 where something is not good.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.stress import hostile_files  # noqa: E402

GROUP = 100
PATIENCE = 120.0  # seconds by the clock
MOST_SECONDS = 10.0
MOST_MEMORY = 1.5e9  # bytes
LEAK = re.compile(r"/(tmp|home|root|usr|var|work|proc|etc)\b|site-packages|Traceback|Error\b|\b0x[0-9a-f]{6}")


@dataclass
class Tally:
    """What became of the files of one kind."""

    kind: str
    files: int = 0
    read: int = 0
    refused: int = 0
    crashes: int = 0
    hangs: int = 0
    over_time: int = 0
    over_memory: int = 0
    bad_sentences: int = 0
    leaked_paths: int = 0
    files_left: int = 0
    slowest_seconds: float = 0.0
    peak_mb: int = 0

    @property
    def faults(self) -> int:
        wrong = (self.crashes, self.hangs, self.over_time, self.over_memory)
        return sum(wrong) + self.bad_sentences + self.leaked_paths + self.files_left


def is_sentence(text: str) -> bool:
    """One printable sentence of at most 300 characters."""
    plain = re.sub(r'"[^"]*"|\([^)]*\)', "", text)  # names and profiles may hold full stops
    return text.isprintable() and len(text) <= 300 and text.endswith(".") and not re.search(r"[.!?] ", plain)


def try_one(path: Path, is_isolated: bool) -> dict:
    """Read a file, or the pictures of an archive; says how that ended. Anything unforeseen is raised."""
    from mdmf_core import errors
    from mdmf_core.images import isolated, reader

    read = isolated.read if is_isolated else reader.read
    texts, count, paths = [], 0, [path]
    with tempfile.TemporaryDirectory() as folder:
        if path.suffix == ".zip":
            from mdmf_core.images import archive

            items = archive.gather([path], folder)
            texts = [item.error for item in items if item.error]
            paths = [item.path for item in items if item.path]
            if outside := [item for item in paths if item.parent != Path(folder)]:
                raise AssertionError(f"{len(outside)} files were unpacked elsewhere")
        for each in paths:
            try:
                picture = read(each)
            except errors.ImageError as error:
                texts.append(str(error))
                continue
            count += 1
            texts += picture.notes
            if picture.pixels.dtype.name != "uint8" or picture.pixels.ndim != 3 or picture.pixels.shape[2] != 3:
                raise AssertionError("the pixels are of another kind")
            if not all(text.isprintable() and len(text) <= 2_000 for pair in picture.metadata.items() for text in pair):
                raise AssertionError("the metadata are not printable")
    return {"read": count > 0, "texts": texts}


def serve(is_isolated: bool) -> None:
    """In the child: a path comes in as a line, what became of it goes out as a line of JSON."""
    import pillow_heif  # noqa: F401
    from PIL import Image

    from mdmf_core.images import isolated

    Image.init()
    if is_isolated:
        isolated.start()
    clock = time.perf_counter if is_isolated else time.process_time
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
        start = clock()
        try:
            found = try_one(Path(line[:-1]), is_isolated)
        except BaseException as error:
            found = {"crash": repr(error)[:300]}
        status = Path("/proc/self/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024
        print(json.dumps({**found, "seconds": clock() - start, "peak": peak}), file=answers, flush=True)


class Child:
    """A process that reads files; `ask` gives what became of one, {"crash": ...} or {"hang": True}."""

    def __init__(self, folder: Path, is_isolated: bool) -> None:
        command = [sys.executable, __file__, "--child", *(["--isolated"] if is_isolated else [])]
        environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes)  # noqa: S603  # the words are our own

    def ask(self, path: Path) -> dict:
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(PATIENCE):
                return {"hang": True}
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"crash": f"the process ended with {self._process.wait()}"}

    def end(self) -> None:
        self._process.kill()
        with self._process:
            pass


def written(cases: Iterable[tuple[str, str, bytes]], folder: Path, only: str = "") -> Iterator[tuple[str, Path]]:
    """Kind and path of one case after another; each file is removed when the next is asked for."""
    for kind, name, data in cases:
        if only in f"{kind} {name}":
            path = folder / name
            path.write_bytes(data)
            yield kind, path
            path.unlink()


def run(files: Iterable[tuple[str, Path]], is_isolated: bool = False) -> tuple[list[Tally], list[dict]]:
    """A tally of each kind, and every finding: file, kind and what was wrong with it."""
    tallies: dict[str, Tally] = {}
    findings: list[dict] = []
    with tempfile.TemporaryDirectory() as clean:
        child = None
        for index, (kind, path) in enumerate(files):
            if child is None or index % GROUP == 0:
                if child:
                    child.end()
                child = Child(Path(clean), is_isolated)
            found = child.ask(path)
            if "read" not in found:
                child.end()
                child = None
            left = list(Path(clean).iterdir())
            tally = tallies.setdefault(kind, Tally(kind))
            before = tally.faults
            count(tally, found, left, str(path.parent))
            if tally.faults > before:
                findings.append({"file": path.name, "kind": kind, **found, "left": [item.name for item in left]})
                print("finding:", json.dumps(findings[-1])[:500], file=sys.stderr, flush=True)
            for item in left:
                shutil.rmtree(item) if item.is_dir() else item.unlink()
        if child:
            child.end()
    return list(tallies.values()), findings


def count(tally: Tally, found: dict, left: list[Path], folder: str) -> None:
    """Put one file's result into the tally of its kind."""
    texts = found.get("texts", [])
    tally.files += 1
    tally.read += found.get("read") is True
    tally.refused += found.get("read") is False
    tally.crashes += "crash" in found
    tally.hangs += "hang" in found
    tally.over_time += found.get("seconds", 0) > MOST_SECONDS
    tally.over_memory += found.get("peak", 0) > MOST_MEMORY
    tally.bad_sentences += not all(map(is_sentence, texts)) or (found.get("read") is False and not texts)
    tally.leaked_paths += any(folder in text or LEAK.search(text) for text in texts)
    tally.files_left += len(left) if "read" in found else 0
    tally.slowest_seconds = round(max(tally.slowest_seconds, found.get("seconds", 0)), 2)
    tally.peak_mb = max(tally.peak_mb, round(found.get("peak", 0) / 1e6))


def total(tallies: list[Tally]) -> Tally:
    """All kinds together."""
    whole = Tally("all")
    for tally in tallies:
        for name, value in asdict(tally).items():
            if name in ("slowest_seconds", "peak_mb"):
                setattr(whole, name, max(getattr(whole, name), value))
            elif name != "kind":
                setattr(whole, name, getattr(whole, name) + value)
    return whole


def table(tallies: list[Tally]) -> str:
    """A table in Markdown."""
    names = list(asdict(tallies[0]))
    lines = [[name.replace("_", " ") for name in names], ["---"] * len(names)]
    lines += [[f"{value:,}" if name != "kind" else value for name, value in asdict(tally).items()] for tally in tallies]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--isolated", action="store_true", help="read in the page's decoder processes")
    parser.add_argument("--rounds", type=int, default=120, help="mutations of each clean file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only files whose kind or name has this in it")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "hostile.json")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        serve(options.isolated)
        return 0
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        files = written(hostile_files.corpus(options.seed, options.rounds), Path(folder), options.only)
        if options.only in "link, pipe or folder":
            files = itertools.chain(files, hostile_files.special(Path(folder)))
        tallies, findings = run(files, options.isolated)
    tallies.append(total(tallies))
    print(table(tallies))
    content = {
        "command": " ".join(["python benchmarks/stress/hostile.py", *sys.argv[1:]]),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "minutes": round((time.perf_counter() - start) / 60, 1),
        "rows": [asdict(tally) for tally in tallies],
        "findings": findings,
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())
