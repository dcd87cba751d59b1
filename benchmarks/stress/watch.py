"""A server from outside: its processes, memory, open files and temporary files. Needs Linux (/proc)."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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
    """Number and MiB of the files below a folder; what is deleted meanwhile is passed over, folders, too."""
    sizes = []
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                sizes.append(os.stat(os.path.join(place, name)).st_size)
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
