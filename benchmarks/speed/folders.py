"""What a folder of thousands of files costs: files a second with one and two processes, and whether memory grows.

    python benchmarks/speed/folders.py [--counts 500 5000] [--processes 1 2] [--out benchmarks/results/folders.json]

Cuts small JPEGs (256 x 256) from scikit-image's sample photographs into a temporary folder, then runs `detect` and
`embed` of the bundled detector over them, each in a new process with one thread for each process. The rate counts from
the first finished file (or shard) to the last, so that the start is not in it. Memory is the resident memory of all
its processes together, looked at every 50 ms. Prints a table and writes JSON; run it on a machine that does
nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SIDE = 256
SHARD = 256  # as `mdmf_core.training.embed.SHARD`, which would import torch
SAMPLES = ("astronaut", "chelsea", "coffee", "rocket")
BETWEEN = 0.05


def make_files(folder: Path, count: int) -> None:
    """`count` labelled JPEGs, each another part of a photograph at another quality."""
    import skimage.data

    photographs = [getattr(skimage.data, name)() for name in SAMPLES]
    rng = np.random.default_rng(0)
    for label in ("0_real", "1_fake"):
        (folder / label).mkdir(parents=True)
    for index in range(count):
        photograph = photographs[index % len(photographs)]
        top, left = (int(rng.integers(side - SIDE + 1)) for side in photograph.shape[:2])
        crop = Image.fromarray(photograph[top : top + SIDE, left : left + SIDE])
        crop.save(folder / ("0_real", "1_fake")[index % 2] / f"{index:05d}.jpg", quality=int(rng.integers(75, 96)))


def make_run(folder: Path, data: Path) -> Path:
    """A recipe over `data`, and beside it a run that has the bundled encoder; returns the recipe."""
    from safetensors.torch import load_file, save_file

    bundled = ROOT / "assets" / "bundled"
    config = json.loads((bundled / "config.json").read_text())
    tensors = load_file(bundled / "model.safetensors")
    run = folder / "run"
    run.mkdir(parents=True)
    encoder = {name.removeprefix("backbone."): value for name, value in tensors.items() if name.startswith("backbone.")}
    save_file(encoder, run / "encoder.safetensors")
    (run / "encoder.json").write_text(json.dumps({k: v for k, v in config["backbone"].items() if k == "channels"}))
    recipe = folder / "recipe.json"
    recipe.write_text(json.dumps({"data": str(data), "geometry": config["geometry"]}))
    return recipe


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        tasks = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    return [pid, *(found for children in tasks for child in children.split() for found in tree(int(child)))]


def resident(pid: int) -> int:
    """Bytes of a process in memory, 0 once it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def run(command: list[str], processes: int) -> tuple[list[float], float]:
    """When each line of output came, in seconds, and the peak memory in MiB."""
    process = subprocess.Popen(  # noqa: S603  # the words are our own
        [sys.executable, "-m", "mdmf_core", *command, "--processes", str(processes)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, sum(map(resident, tree(process.pid))))
            time.sleep(BETWEEN)

    watcher = threading.Thread(target=watch)
    watcher.start()
    marks = [time.time() for _ in process.stdout]
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with status {process.returncode}.")
    return marks, peak / 2**20


def detect(data: Path, count: int, processes: int) -> dict:
    marks, peak = run(["detect", str(data), "--json"], processes)
    return _row("detect", count, processes, (count - 1) / (marks[-1] - marks[0]), peak)


def embed(data: Path, count: int, processes: int) -> dict:
    """The rate is that of all shards but the first, by the times at which they were written."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = make_run(Path(folder), data)
        _, peak = run(["embed", str(recipe), str(recipe.parent / "run")], processes)
        shards = sorted((recipe.parent / "run" / "embeddings").glob("*.safetensors"))
        times = [shard.stat().st_mtime for shard in shards]
    return _row("embed", count, processes, (count - SHARD) / (times[-1] - times[0]), peak)


def _row(command: str, count: int, processes: int, rate: float, peak: float) -> dict:
    row = {"command": command, "files": count, "processes": processes, "files_per_second": rate, "peak_mib": peak}
    print(f"{command:8}{count:8}{processes:11}{rate:10.1f}{1e6 / rate / 3600:14.1f}{peak:10.0f}", flush=True)
    return row


def compare(rows: list[dict]) -> dict:
    """Rates against the fewest processes at the most files, and memory at the most files against the fewest."""
    few, many = min(row["files"] for row in rows), max(row["files"] for row in rows)
    one = min(row["processes"] for row in rows)
    found = {(row["command"], row["files"], row["processes"]): row for row in rows}
    speed, growth = {}, {}
    for (command, files, processes), row in found.items():
        if files == many:
            first = found[command, many, one]["files_per_second"]
            speed[f"{command}, {processes} / {one} processes"] = row["files_per_second"] / first
            growth[f"{command}, {processes} processes"] = row["peak_mib"] / found[command, few, processes]["peak_mib"]
    return {"speed_up": speed, f"memory_{many}_to_{few}_files": growth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 5000], help=f"numbers of files, over {SHARD}")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "folders.json")
    given = parser.parse_args()
    import torch

    rows = []
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, {SIDE} x {SIDE} JPEGs")
    print(f"{'':8}{'files':>8}{'processes':>11}{'files/s':>10}{'h / million':>14}{'peak MiB':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for count in given.counts:
            data = Path(folder) / str(count)
            make_files(data, count)
            rows += [step(data, count, n) for step in (detect, embed) for n in given.processes]
    compared = compare(rows)
    for name, values in compared.items():
        for what, value in values.items():
            print(f"{name}: {what}: {value:.2f}")
    result = {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "side": SIDE,
        "rows": rows,
        **compared,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(f"Written to {given.out}.")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
