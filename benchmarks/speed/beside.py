"""How long a picture takes alone and beside one busy program, with GNU OpenMP's waiting as we set it and as it comes.

`python benchmarks/speed/all.py --only beside` runs this. Two threads that wait for each other awake hold the core that
the other one needs, if something else is on the machine: see `mdmf_core/__init__.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.speed import picture
from benchmarks.speed.measure import Rows, child

WAITING = {"as set": "", "GNU's default": "300000"}  # the second is libgomp's own GOMP_SPINCOUNT
PROGRAM = """
import json, os, sys, time
if sys.argv[2]:
    os.environ["GOMP_SPINCOUNT"] = sys.argv[2]
from mdmf_core import Detector
from mdmf_core.checkpoint import hub
detector, taken = Detector.from_pretrained(hub.BUNDLED, device="cpu"), []
for _ in range(1 + int(sys.argv[3])):
    start = time.perf_counter()
    detector.detect(sys.argv[1])
    taken.append(1e3 * (time.perf_counter() - start))
print(json.dumps({"taken": taken[1:]}))
"""


def beside(folder: Path, quick: bool) -> Rows:
    """Milliseconds of `detect` on a photograph of 512 x 512 pixels, by what else runs and how threads wait."""
    path, taken = picture.photograph(512, 512, folder / "photograph.jpg"), {}
    for _ in range(1 if quick else 3):  # in turns, for machines are noisy
        for others in ("alone", "beside one busy program"):
            for name, spins in WAITING.items():
                taken.setdefault(f"{others}, {name}", []).extend(measured(path, spins, others != "alone"))
    return {name: {"median_ms": float(np.median(each)), "longest_ms": max(each)} for name, each in taken.items()}


def measured(path: Path, spins: str, occupied: bool) -> list[float]:
    """Milliseconds of some pictures in a new process."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"])] if occupied else []
    try:
        return child(PROGRAM, path, spins, 4)["taken"]
    finally:
        for program in busy:
            program.kill()
            program.wait()


SECTIONS = {"beside": beside}
