"""Where the time of one picture goes, and what the encoders reach of what the processor can do. Part of `speed.py`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.measure import ROOT, Rows, child, race, spread
from benchmarks.speed.stages import clocked, stages_of
from mdmf_core.detector import Detector
from mdmf_core.images.reader import read
from mdmf_core.method import mmd
from mdmf_core.method.backbones.compact import Compact
from mdmf_core.method.backbones.lite import Lite
from mdmf_core.method.patches import cut
from mdmf_core.show import maps as heatmaps

SIZES = {"512 x 512": (512, 512), "12 MP": (4000, 3000), "48 MP": (8000, 6000)}
CONVOLUTION = "float32 convolution, 192 channels"
COLD = """
import json, sys, time
start = time.perf_counter()
from mdmf_core.detector import Detector
from mdmf_core.images.reader import read
from mdmf_core.show import maps
spent = {"import": time.perf_counter() - start}
from benchmarks.speed.stages import clocked, stages_of
detector, spent["load"] = clocked(Detector.from_pretrained)
picture, spent["decode"] = clocked(read, sys.argv[1])
evidence, stages = stages_of(detector, picture)
_, spent["drawing"] = clocked(maps.overlay, picture.pixels, evidence)
print(json.dumps({**stages, **spent}))
"""
COMPILED = """
import json, sys, time
import torch
from mdmf_core.detector import Detector
threads, windows = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
model = Detector.from_pretrained(device="cpu").model
encoder, side = model.backbone, model.geometry.window
chunk = torch.randint(0, 256, (8, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
network = encoder._folded()
plain = lambda part: encoder.patches(network.cells(part))
compiled = torch.compile(plain)
def run(function):
    start = time.perf_counter()
    for _ in range(windows // 8):
        function(chunk)
    return time.perf_counter() - start
with torch.inference_mode():
    start = time.perf_counter()
    compiled(chunk)
    first = time.perf_counter() - start
    plain(chunk)
    pairs = [(run(plain), run(compiled)) for _ in range(9)]
print(json.dumps({"first": first, "pairs": pairs}))
"""
DINO = """
import json, sys, time
import numpy, torch
from mdmf_core.method import backbones
def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))
size, way, file, threads, count = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
torch.set_num_threads(threads)
torch.manual_seed(0)
encoder = backbones.build("dinov2", size=size, crop_size=224 if way == "crops of 224" else 98)
patches = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
encoder.embed(patches[:1])
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # from here on VmHWM is the peak of what follows
resident = memory("VmRSS")
start = time.perf_counter()
if way == "one patch at a time":
    found = torch.cat([encoder.embed(patch[None]) for patch in patches])
else:
    found = encoder.embed(patches)
seconds = time.perf_counter() - start
numpy.save(file, found.numpy())
print(json.dumps({"seconds": seconds, "resident": resident, "peak": memory("VmHWM")}))
"""


def photograph(width: int, height: int, path: Path) -> Path:
    """A JPEG of that size at quality 90: an example photograph, mirrored side by side as often as it takes."""
    with Image.open(ROOT / "examples" / "china.jpg") as image:
        tile = np.asarray(image.convert("RGB"))
    tile = np.concatenate([tile, tile[:, ::-1]], axis=1)
    tile = np.concatenate([tile, tile[::-1]], axis=0)
    times = (-(-height // tile.shape[0]), -(-width // tile.shape[1]), 1)
    Image.fromarray(np.tile(tile, times)[:height, :width]).save(path, "JPEG", quality=90)
    return path


def stages(folder: Path, quick: bool) -> Rows:
    """Each stage of `read`, `detect` and `overlay`: warm (median, p95) and in the first picture of a new process."""
    detector, rows = Detector.from_pretrained(), {}
    for name, (width, height) in list(SIZES.items())[: 1 if quick else None]:
        path = photograph(width, height, folder / "picture.jpg")
        one_picture(detector, path)
        runs = 3 if quick else 40 if width < 1000 else 10
        warm = [one_picture(detector, path) for _ in range(runs)]
        cold = [child(COLD, path) for _ in range(1 if quick else 3)]
        whole = [sum(run.values()) for run in warm]
        for stage in cold[0]:
            first = {"cold_ms": 1e3 * float(np.median([run[stage] for run in cold]))}
            if stage in warm[0]:
                share = float(np.median([run[stage] / total for run, total in zip(warm, whole, strict=True)]))
                rows[f"{name}: {stage}"] = {**spread([run[stage] for run in warm]), "share": share, **first}
            else:
                rows[f"{name}: {stage}"] = first
        total = {**spread(whole), "cold_ms": 1e3 * float(np.median([sum(run.values()) for run in cold]))}
        rows[f"{name}: all"] = {**total, "patches": detector.detect(path).n_patches}
    return rows


def one_picture(detector: Detector, path: Path) -> dict[str, float]:
    """Seconds of each stage of one picture."""
    picture, decoding = clocked(read, path, detector.model.geometry.min_side)
    evidence, stages = stages_of(detector, picture)
    _, drawing = clocked(heatmaps.overlay, picture.pixels, evidence)
    return {**stages, "decode": decoding, "drawing": drawing}


def operations(encoder: Compact) -> float:
    """Floating-point operations, two for each multiplication with its addition, of one patch of 64 x 64."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        encoder(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    return float(counter.get_total_flops())


def as_trained(encoder: Compact | Lite, patches: torch.Tensor) -> torch.Tensor:
    """Embeddings by the network as it is trained: norms apart, 64 patches or 16 windows at once."""
    with torch.inference_mode():
        if isinstance(encoder, Lite):
            return torch.cat([encoder.patches(encoder.cells(chunk)) for chunk in patches.split(16)])
        return torch.cat([encoder(chunk) for chunk in patches.split(64)])


def in_bfloat16(encoder: Compact | Lite, patches: torch.Tensor) -> torch.Tensor:
    """Embeddings with the convolutions in bfloat16; high-pass filters stay in float32."""
    with torch.autocast("cpu", torch.bfloat16):
        return encoder.embed(patches)


def processor_work() -> dict[str, tuple[float, Callable[[], Any]]]:
    """Operations and calls that show what the processor does in float32: matrix products, and a fast convolution."""
    maps = torch.randn(8, 192, 16, 16).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(192, 192, 3, 3).contiguous(memory_format=torch.channels_last)
    work: dict[str, tuple[float, Callable[[], Any]]] = {}
    for side in (512, 1024, 2048):
        square = torch.randn(side, side)
        work[f"float32 matrix product, {side:,} x {side:,}"] = (2.0 * side**3, lambda square=square: square @ square)
    work[CONVOLUTION] = (2.0 * 8 * 256 * 192 * 192 * 9, lambda: F.conv2d(maps, weight, padding=1))
    return work


def encoder_rates(folder: Path, quick: bool) -> Rows:
    """The bundled encoder: operations, rate, share of the processor's, and what each way to be faster does."""
    detector = Detector.from_pretrained(device="cpu")
    encoder, runs = detector.model.backbone, 3 if quick else 15
    patches, _ = cut(read(photograph(512, 512, folder / "picture.jpg")).pixels, detector.model.geometry)
    patch, count = operations(encoder), len(patches)
    rows: Rows = {
        "operations": {"MFLOP_a_patch": patch / 1e6, "patches": count, "GFLOP_for_512_x_512": patch * count / 1e9},
    }
    work = processor_work()
    ways: dict[str, Callable[[], Any]] = {
        "as trained: norms apart, 64 at once": lambda: as_trained(encoder, patches),
        "embed": lambda: encoder.embed(patches),
        "bfloat16 (not used)": lambda: in_bfloat16(encoder, patches),
    }
    ways |= {f"embed, {at_once} at once": lambda n=at_once: encoder.embed(patches, n) for at_once in (1, 4, 16, 64)}
    taken = race({**{name: function for name, (_, function) in work.items()}, **ways}, runs)
    rates = {name: total / taken[name]["median_ms"] * 1e3 for name, (total, _) in work.items()}
    product = max(rate for name, rate in rates.items() if name != CONVOLUTION)
    for name, rate in rates.items():
        rows[name] = {**taken[name], "GFLOP_a_s": rate / 1e9}
    for name in ways:
        rate = patch * count / taken[name]["median_ms"] * 1e3
        share = {"share_of_product": rate / product, "share_of_convolution": rate / rates[CONVOLUTION]}
        rows[name] = {**taken[name], "GFLOP_a_s": rate / 1e9, **share}
    for name in ways:
        rows[name]["times_faster"] = rows["as trained: norms apart, 64 at once"]["median_ms"] / rows[name]["median_ms"]
    files = sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in (".jpg", ".png"))
    changes = [score_changes(detector, path) for path in files[: 2 if quick else None]]
    for name, change in zip(("embed", "bfloat16 (not used)"), np.max(changes, axis=0), strict=True):
        rows[name]["largest_score_change_over_null_sd"] = float(change)
    if not quick:
        rows |= compiled()
    return rows


def compiled() -> Rows:
    """torch.compile on 64 windows: what it gains, and what it takes before the first picture."""
    name = "torch.compile (not used)"
    if shutil.which("g++") is None:
        return {name: {"not_measured": "it needs the compiler g++, which is not installed"}}
    found = child(COMPILED, torch.get_num_threads(), 64)
    plain, fast = (float(np.median(side)) for side in zip(*found["pairs"], strict=True))
    return {name: {"first_s": found["first"], "64_windows_ms": 1e3 * fast, "gain": plain / fast}}


def score_changes(detector: Detector, path: Path) -> tuple[float, float]:
    """|score - score as trained| over the null's standard deviation, by `embed` and in bfloat16."""
    patches, grid = cut(read(path).pixels, detector.model.geometry)
    encoder, reference, kernel = detector.model.backbone, detector.reference, detector.model.kernel

    def score(embeddings: torch.Tensor) -> float:
        points = detector.model.points(embeddings)
        if detector.model.statistic == "mmd":
            return float(mmd.mmd2_unbiased(points, reference.real, kernel))
        return float(mmd.relative_mmd2(points, reference.real, reference.generated, kernel))

    spread_of_null = reference.null(detector.model.statistic, grid.independent).scores.std()
    trained, *others = (score(way(encoder, patches)) for way in (as_trained, type(encoder).embed, in_bfloat16))
    return tuple(abs(other - trained) / spread_of_null for other in others)


def dinov2(folder: Path, quick: bool) -> Rows:
    """Random weights: patches of 98 batched, one at a time, and crops of 224; time, memory and agreement.

    A picture counts as 49 patches, the paper's 7 x 7.
    """
    rows: Rows = {}
    for size, count in (("small", 4),) if quick else (("small", 49), ("large", 8)):
        found = {}
        for way in ("batched", "one patch at a time", "crops of 224"):
            file = folder / f"{way}.npy"
            row = child(DINO, size, way, file, torch.get_num_threads(), count)
            found[way] = np.load(file)
            rows[f"ViT-{size[0].upper()}, {way}"] = {
                "pictures_a_s": count / row["seconds"] / 49,
                "peak_gb": row["peak"] / 1e9,
                "peak_above_model_gb": (row["peak"] - row["resident"]) / 1e9,
            }
        batched = rows[f"ViT-{size[0].upper()}, batched"]
        for way in ("one patch at a time", "crops of 224"):
            row = rows[f"ViT-{size[0].upper()}, {way}"]
            row["times_slower"] = batched["pictures_a_s"] / row["pictures_a_s"]
        difference = float(np.abs(found["batched"] - found["one patch at a time"]).max())
        batched["differs_from_one_at_a_time_by"] = difference
    return rows


SECTIONS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {
    "stages": stages,
    "encoder": encoder_rates,
    "dinov2": dinov2,
}
