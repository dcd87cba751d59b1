"""What a million pictures cost in processor time here, and what that makes of 100 million on 1, 8 and 64 GPUs.

    python benchmarks/speed/scale.py [--pictures 100e6] [--rates 100 1000] [--cores 12] [--storage 2000]

Measured, in processor seconds of one thread: reading and cutting a 512 x 512 JPEG, embedding its patches with the
bundled encoder, compressing patches into a bank (`stream.reduce`), and bytes a picture. Everything about GPUs and
their surroundings is an assumption and an option: pictures a second that one GPU embeds, processor cores beside each
GPU, MB/s that the storage reads. Then

    pictures a second = min(GPUs x rate, GPUs x cores / seconds to read one, storage / bytes of one)

which is what stages with back-pressure reach: as much as the slowest of them.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.method import mmd  # noqa: E402
from mdmf_core.training import embed, stream  # noqa: E402
from mdmf_core.training.dataset import Entry  # noqa: E402
from mdmf_core.training.recipe import Bank  # noqa: E402

SIDE, PICTURES, GPUS = 512, 24, (1, 8, 64)


def make_jobs(folder: Path) -> list[tuple[Entry, str]]:
    """512 x 512 JPEGs of quality 90 from the example photographs."""
    rng, jobs = np.random.default_rng(0), []
    names = ("china.jpg", "coffee.png", "flower.jpg", "grace_hopper.jpg")
    photographs = [Image.open(ROOT / "examples" / name).convert("RGB") for name in names]
    photographs = [picture for picture in photographs if min(picture.size) >= SIDE] or photographs
    for index in range(PICTURES):
        photograph = photographs[index % len(photographs)]
        wide, high = photograph.size
        left, top = int(rng.integers(0, max(1, wide - SIDE + 1))), int(rng.integers(0, max(1, high - SIDE + 1)))
        path = folder / f"{index}.jpg"
        photograph.crop((left, top, left + SIDE, top + SIDE)).save(path, quality=90)
        jobs.append((Entry(path, f"source/1_fake/{path.name}", 1, "source"), "as_is"))
    return jobs


def measure() -> dict[str, float]:
    """Processor seconds and bytes a picture, and processor seconds to compress a patch."""
    torch.set_num_threads(1)
    detector = Detector.from_pretrained()
    embedder = embed.Embedder(detector.model.backbone, detector.model.geometry, 0)
    with tempfile.TemporaryDirectory() as folder:
        jobs = make_jobs(Path(folder))
        embedder(jobs[0])
        start = time.process_time()
        prepared = [embed.prepare(job, embedder.geometry, 0) for job in jobs]
        middle = time.process_time()
        found = [embedder.finish(fields) for fields in prepared]
        end = time.process_time()
        size = sum(entry.path.stat().st_size for entry, _ in jobs) / len(jobs)
    return {
        "read": (middle - start) / len(jobs),
        "embed": (end - middle) / len(jobs),
        "file_bytes": size,
        "patch_bytes": float(np.mean([fields["patches"].nbytes for fields in prepared])),
        "embedding_bytes": float(np.mean([fields["embeddings"].nbytes for fields in found])),
        "job_bytes": float(np.mean([len(pickle.dumps((0, job))) for job in jobs])),
        "compress_patch": compress(detector),
    }


def compress(detector: Detector) -> float:
    """Processor seconds a patch of `stream.reduce` on one group, scattered around the bundled bank."""
    held, kernel = detector.reference.real.points, detector.model.kernel
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(held.count, (stream.CHUNK,), generator=draw)
    points = held[rows]
    scatter = 0.1 * held.z.std(0) * torch.randn(points.z.shape, generator=draw, dtype=torch.float64)
    mass = mmd.uniform(len(rows), points.z)
    group = stream.Coreset(mmd.Points(points.z + scatter, points.e), mass, rows.numpy(), len(rows))
    start = time.process_time()
    stream.reduce(group, Bank().size, kernel)
    return (time.process_time() - start) / len(rows)


def rate(measured: dict[str, float], gpus: int, each: float, cores: int, storage: float) -> tuple[float, str]:
    """Pictures a second, and the stage that sets them."""
    stages = {
        "GPUs": gpus * each,
        "decoding": gpus * cores / measured["read"],
        "storage": storage * 1e6 / measured["file_bytes"],
    }
    slowest = min(stages, key=stages.__getitem__)
    return stages[slowest], slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=float, default=100e6)
    parser.add_argument("--rates", type=float, nargs="+", default=[100, 1000], help="assumed pictures/s of one GPU")
    parser.add_argument("--cores", type=int, default=12, help="assumed processor cores beside each GPU")
    parser.add_argument("--storage", type=float, default=2000, help="assumed MB/s that the storage reads")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "scale.json")
    given = parser.parse_args()
    found = measure()
    print(f"measured on one thread, torch {torch.__version__}, {SIDE} x {SIDE} JPEGs:")
    for name, seconds, what in (
        ("read and cut", found["read"], "picture"),
        ("embed", found["embed"], "picture"),
        ("compress", found["compress_patch"], "patch"),
    ):
        print(f"  {name:13}{1e3 * seconds:9.3f} ms a {what:8}{seconds * 1e6 / 3600:8.2f} core hours a million")
    for name in ("file", "patch", "embedding", "job"):
        print(f"  {name:13}{found[name + '_bytes']:9,.0f} bytes a picture")
    print(f"assumed: {given.cores} cores beside each GPU, storage of {given.storage:g} MB/s")
    rows = []
    for each in given.rates:
        for gpus in GPUS:
            per_second, slowest = rate(found, gpus, each, given.cores, given.storage)
            row = {"gpus": gpus, "assumed_rate": each, "pictures_per_second": per_second, "limit": slowest}
            rows.append(row | {"hours": given.pictures / per_second / 3600})
            print(f"  {gpus:3} GPUs of {each:g} pictures/s (assumed): {per_second:8,.0f} pictures/s, "
                  f"{rows[-1]['hours']:7.1f} h for {given.pictures:,.0f}; limit: {slowest}")  # fmt: skip
    told = {"date": datetime.now(timezone.utc).date().isoformat(), "torch": torch.__version__, "measured": found}
    assumed = {"pictures": given.pictures, "cores": given.cores, "storage_mb_per_second": given.storage}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(told | {"assumed": assumed, "rows": rows}, indent=2) + "\n", "utf-8")
    print(f"Written to {given.out}.")


if __name__ == "__main__":
    main()
