"""MMD against what one would use instead, and its cost as bank and picture grow. Part of `speed.py`.

The signatures are made: 49 patches a picture, 64 numbers each, clusters like those of textures. Nothing here depends
on what they mean, only on how many there are and how far apart.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.speed.measure import ROOT, Rows, child, race
from mdmf_core.detector import Detector
from mdmf_core.method import calibration, mmd
from mdmf_core.method.compress import compress

BANDWIDTH = 8.0
SIZE = 64
KERNEL = mmd.Kernel(BANDWIDTH)
ALIBI = ROOT / "runs" / "alibi-detect"  # its own environment: alibi-detect needs an older numpy
ALIBI_PROGRAM = """
import json, sys, time
import numpy, torch
from alibi_detect.cd import MMDDrift
from alibi_detect.utils.pytorch import GaussianRBF
from alibi_detect.utils.pytorch.distance import mmd2

file, threads, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
with numpy.load(file) as arrays:
    x, y, sigma = arrays["x"].astype("float32"), arrays["y"].astype("float32"), arrays["sigma"].astype("float32")
kernel = GaussianRBF(sigma=torch.from_numpy(sigma))
a, b = torch.from_numpy(x), torch.from_numpy(y)
with torch.no_grad():
    value = float(mmd2(a, b, kernel))
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        mmd2(a, b, kernel)
        taken.append(time.perf_counter() - start)
drift = MMDDrift(y, backend="pytorch", sigma=sigma, configure_kernel_from_x_ref=False, device="cpu")
start = time.perf_counter()
drift.score(x)
print(json.dumps({"value": value, "seconds": taken, "test_seconds": time.perf_counter() - start}))
"""


def signatures(count: int, seed: int) -> torch.Tensor:
    """Made signatures (count, 64) float64: points about 40 centres, themselves spread like the points."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(0, 0.7, (40, SIZE))
    return torch.from_numpy(centres[rng.integers(0, 40, count)] + rng.normal(0, 0.7, (count, SIZE)))


def picture(seed: int, patches: int = 49) -> torch.Tensor:
    """Signatures (patches, 64) of one picture: from three of the clusters only, as a picture shows few things."""
    rng = np.random.default_rng(10_000 + seed)
    centres = np.random.default_rng(0).normal(0, 0.7, (40, SIZE))[rng.integers(0, 40, 3)]
    return torch.from_numpy(centres[rng.integers(0, 3, patches)] + rng.normal(0, 0.7, (patches, SIZE)))


def stored(points: torch.Tensor) -> mmd.Bank:
    """A bank whose own term is taken as 0: it is stored with the checkpoint, and the time of a picture has no part."""
    return mmd.Bank(mmd.Points(points), mmd.uniform(len(points), points), torch.zeros((), dtype=points.dtype))


def plain_torch(x: torch.Tensor, y: torch.Tensor) -> float:
    """MMD2_u as one writes it down: three whole kernel matrices, both diagonals left out."""
    xx, yy, xy = (torch.exp(-torch.cdist(a, b).square() / BANDWIDTH**2) for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    return float((xx.sum() - n) / (n * (n - 1)) + (yy.sum() - m) / (m * (m - 1)) - 2 * xy.mean())


def plain_numpy(x: np.ndarray, y: np.ndarray) -> float:
    """The same in numpy."""

    def gram(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        return np.exp(-squares / BANDWIDTH**2)

    n, m = len(x), len(y)
    inner = (gram(x, x).sum() - n) / (n * (n - 1)) + (gram(y, y).sum() - m) / (m * (m - 1))
    return float(inner - 2 * gram(x, y).mean())


def against_others(folder: Path, quick: bool) -> Rows:
    """49 x 64 against 5,000 x 64 with each library; then ours against the paper's bank of 147,000."""
    from hyppo.ksample import MMD

    x, y = picture(0), signatures(500 if quick else 5000, 1)
    bank = mmd.bank(mmd.Points(y), KERNEL)
    xs, ys, count = x.numpy(), y.numpy(), f"49 against {len(y):,}"
    hyppo = MMD("gaussian", gamma=1 / BANDWIDTH**2)
    ours = f"ours: {count}, every patch's evidence"
    rows = race(
        {
            ours: lambda: mmd.evidence(mmd.Points(x), bank, KERNEL),
            f"plain torch: {count}": lambda: plain_torch(x, y),
            f"plain numpy: {count}": lambda: plain_numpy(xs, ys),
            f"hyppo: {count}, statistic": lambda: hyppo.statistic(xs, ys),
        },
        3 if quick else 7,
    )
    of_bank = float(bank.self_term)
    unbiased = bank._replace(self_term=torch.tensor((len(y) * of_bank - 1) / (len(y) - 1), dtype=torch.float64))
    value = float(mmd.mmd2_unbiased(mmd.Points(x), unbiased, KERNEL))
    rows[f"plain torch: {count}"]["differs_by"] = abs(plain_torch(x, y) - value)
    rows[f"plain numpy: {count}"]["differs_by"] = abs(plain_numpy(xs, ys) - value)
    rows |= alibi(folder, xs, ys, value, count, quick)
    for row in rows.values():
        if "median_ms" in row:
            row["times_ours"] = row["median_ms"] / rows[ours]["median_ms"]
    large = stored(signatures(5_000 if quick else 147_000, 2))
    for patches in (49, 1024):
        z = mmd.Points(picture(1, patches))
        name = f"ours: {patches:,} against {large.points.count:,}"
        rows |= race({name: lambda z=z: mmd.evidence(z, large, KERNEL)}, 3)
    total = large.points.count + 49
    rows["others: 49 against the same"] = {"whole_matrix_gb": total**2 * 4 / 1e9}
    return rows


def alibi(folder: Path, x: np.ndarray, y: np.ndarray, value: float, count: str, quick: bool) -> Rows:
    """alibi-detect's statistic and its test with 100 permutations, in an environment of its own."""
    python, name = ALIBI / "bin" / "python", f"alibi-detect: {count}, statistic"
    if not python.exists():
        wanted = str(ROOT / "benchmarks" / "speed" / "requirements-alibi.txt")
        try:
            subprocess.run([sys.executable, "-m", "venv", str(ALIBI)], check=True)  # noqa: S603  # the words are our own
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", wanted], check=True)  # noqa: S603  # the words are our own
        except subprocess.CalledProcessError:
            shutil.rmtree(ALIBI, ignore_errors=True)
            return {name: {"not_measured": "it could not be installed; pip says above why"}}
    file = folder / "sets.npz"
    np.savez(file, x=x, y=y, sigma=np.array([BANDWIDTH / math.sqrt(2)]))
    found = child(ALIBI_PROGRAM, file, torch.get_num_threads(), 3 if quick else 5, python=python)
    return {
        name: {
            "median_ms": 1e3 * float(np.median(found["seconds"])),
            "p95_ms": 1e3 * float(np.quantile(found["seconds"], 0.95)),
            "differs_by": abs(found["value"] - value),
        },
        f"alibi-detect: {count}, its test": {"median_ms": 1e3 * found["test_seconds"]},
    }


def growth(folder: Path, quick: bool) -> Rows:
    """Time over bank size, whole and compressed, with the error that compressing makes; then over patches."""
    sizes = (300, 1000) if quick else (1_000, 5_000, 20_000, 147_000, 500_000)
    size, pictures = (100, 20) if quick else (2000, 60)
    everything = signatures(sizes[-1], 3)
    x = mmd.Points(picture(2))
    rows: Rows = {"the bundled detector's banks": bundled()}
    for count in sizes:
        whole = stored(everything[:count])
        small, seconds = compressed(whole, size)
        name = f"49 patches, bank of {count:,}"
        taken = race(
            {
                "whole": lambda whole=whole: mmd.evidence(x, whole, KERNEL),
                "compressed": lambda small=small: mmd.evidence(x, small, KERNEL),
            },
            5 if count > 100_000 else 25,
        )
        rows[name] = {
            "whole_ms": taken["whole"]["median_ms"],
            "compressed_ms": taken["compressed"]["median_ms"],
            "compressed_p95_ms": taken["compressed"]["p95_ms"],
            "points_kept": small.points.count,
            "error_over_null_sd": error(whole, small, pictures),
            "compress_s": seconds,
        }
    for patches in (4, 16, 64) if quick else (4, 16, 49, 144, 256, 576, 1024, 2304, 4096):
        z = mmd.Points(picture(3, patches))
        taken = race({"compressed": lambda z=z: mmd.evidence(z, small, KERNEL)}, 9)["compressed"]
        rows[f"{patches:,} patches, compressed bank of {sizes[-1]:,}"] = taken
    return rows


def bundled() -> dict[str, Any]:
    """The banks that are shipped: points before and after, error when they were built, time for 49 patches."""
    detector = Detector.from_pretrained()
    bank, kernel = detector.reference, detector.model.kernel
    x = mmd.Points(bank.real.points.z[torch.arange(49) % bank.real.points.count])

    def everything() -> None:
        for statistic in bank.nulls:
            calibration.evidence_of(x, statistic, bank.real, bank.generated, kernel)

    return {
        "points": sum(bank.facts["points_uncompressed"]),
        "points_kept": sum(bank.facts["points"]),
        "error_over_null_sd": bank.facts["compression_error"]["max"],
        **race({"evidence and witness, both statistics": everything}, 25)["evidence and witness, both statistics"],
    }


def compressed(whole: mmd.Bank, size: int) -> tuple[mmd.Bank, float]:
    """The bank in at most `size` points, and the seconds that this took."""
    start = time.perf_counter()
    small, _ = compress(whole, size, KERNEL)
    return small._replace(self_term=torch.zeros_like(small.self_term)), time.perf_counter() - start


def error(whole: mmd.Bank, small: mmd.Bank, pictures: int) -> float:
    """Largest |s - s_full| among made pictures over the standard deviation of s_full among them.

    The banks' own terms are the same for every picture and are left out of both.
    """
    scores = [
        [float(mmd.mmd2_unbiased(mmd.Points(picture(100 + k)), bank, KERNEL)) for bank in (whole, small)]
        for k in range(pictures)
    ]
    full, short = np.array(scores).T
    return float(np.abs(short - full).max() / full.std())


def plot(rows: Rows, path: Path) -> None:
    """Time over bank size and over number of patches."""
    figure = Figure((9, 3.6), dpi=110, facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2)
    banks = {_number(name.split("bank of ")[1]): row for name, row in rows.items() if name.startswith("49 patches, b")}
    left.plot(list(banks), [row["whole_ms"] for row in banks.values()], "o-", color="#9a5b00", label="whole bank")
    kept = max(row["points_kept"] for row in banks.values())
    label = f"compressed to at most {kept:,} points"
    left.plot(list(banks), [row["compressed_ms"] for row in banks.values()], "s-", color="#6a1f8a", label=label)
    left.set_xlabel("points in the bank")
    patches = {_number(name.split(" ")[0]): row for name, row in rows.items() if "compressed bank" in name}
    right.plot(list(patches), [row["median_ms"] for row in patches.values()], "s-", color="#6a1f8a", label=label)
    right.set_xlabel("patches in the picture")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", ylabel="ms for every patch's evidence")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=9)
    figure.savefig(path)


def _number(words: str) -> int:
    return int(words.replace(",", ""))


SECTIONS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {"mmd": against_others, "bank": growth}
