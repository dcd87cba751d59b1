"""What the parts of `speed.py` share: interleaved timing, other processes, facts about the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
Rows = dict[str, dict[str, Any]]


def clock(function: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile in ms."""
    return {"median_ms": 1e3 * float(np.median(seconds)), "p95_ms": 1e3 * float(np.quantile(seconds, 0.95))}


def race(functions: dict[str, Callable[[], Any]], runs: int) -> Rows:
    """Median and 95th percentile of each function, in ms.

    Each is called once unmeasured, then all take turns, so that whatever else the machine does meets all of them.
    """
    for function in functions.values():
        function()
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(runs):
        for name, function in functions.items():
            taken[name].append(clock(function))
    return {name: spread(seconds) for name, seconds in taken.items()}


def child(program: str, *arguments: object, python: str | Path = sys.executable) -> dict[str, Any]:
    """What a program prints as JSON in its last line, run by a new Python in the repository's root.

    Raises:
        RuntimeError: it failed; with what it printed.
    """
    command = [str(python), "-c", program, *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603  # the words are our own
    if ended.returncode:
        raise RuntimeError(f"A measuring process failed:\n{ended.stderr}")
    return json.loads(ended.stdout.splitlines()[-1])


def facts() -> dict[str, Any]:
    """Machine, versions, threads and how busy the machine is."""
    import torch

    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "load_at_start": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "gradio")},
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())
