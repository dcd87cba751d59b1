"""DINOv2 on a GPU: pictures a second, memory, the CPU's decisions, and what a training run will take.

    python benchmarks/speed/gpu.py                      # ViT-S and ViT-L on the GPU, decisions against the CPU's
    python benchmarks/speed/gpu.py --cpu                # no GPU: the CPU's rates
    python benchmarks/speed/gpu.py --cpu --assume 30    # and what a GPU that sustains 30 TFLOP/s would give

The recipe (benchmarks/configs/dinov2.json) gives the geometry. Weights are random, which changes neither speed nor
memory, with layer scales of 1, so that every block counts. On a GPU, for each size a whole checkpoint is written to a
temporary folder and loaded as a user's would be; a bank and a calibration of random crops of the example photographs
make it decide, there and on the CPU. That needs disk and memory for the weights: 1.2 GB for ViT-L, twice in memory.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.speed.stages import clocked, stages_of  # noqa: E402
from mdmf_core.checkpoint import store  # noqa: E402
from mdmf_core.checkpoint.config import DINOv2  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.images.reader import read  # noqa: E402
from mdmf_core.method import backbones, calibration, mmd, reference  # noqa: E402
from mdmf_core.method.backbones.dinov2 import SIZES  # noqa: E402
from mdmf_core.method.patches import Geometry, cut  # noqa: E402
from mdmf_core.method.signature import PFS  # noqa: E402
from mdmf_core.training.embed import Embedded  # noqa: E402
from mdmf_core.training.recipe import Recipe, Train, read_recipe  # noqa: E402
from mdmf_core.training.signature import train  # noqa: E402

RECIPE = ROOT / "benchmarks" / "configs" / "dinov2.json"
PHOTOGRAPHS = ("china.jpg", "coffee.png", "flower.jpg", "grace_hopper.jpg", "rocket.jpg")
SIDE = 256
AGREES = (
    "{same} of {count} decisions as on the CPU; largest differences: p-value {p_value:.2g}, score {score:.2g} null "
    "deviations, embeddings {embedding:.1e} of their length"
)
NO_GPU = "This machine has no CUDA device; run this where there is one, or with --cpu for the CPU's rates."


def pictures(count: int, seed: int = 0) -> list[bytes]:
    """`count` JPEG files of SIDE x SIDE pixels, random crops of the example photographs."""
    rng, found = np.random.default_rng(seed), []
    photographs = [Image.open(ROOT / "examples" / name).convert("RGB") for name in PHOTOGRAPHS]
    for index in range(count):
        photograph = photographs[index % len(photographs)]
        left, top = (int(rng.integers(0, side - SIDE + 1)) for side in photograph.size)
        buffer = io.BytesIO()
        photograph.crop((left, top, left + SIDE, top + SIDE)).save(buffer, "JPEG", quality=90)
        found.append(buffer.getvalue())
    return found


def make_checkpoint(folder: Path, settings: DINOv2, geometry: Geometry, files: list[bytes], device: str) -> Path:
    """A checkpoint whose backbone is a random DINOv2: a third of `files` each for banks and calibration.

    Args:
        folder: gets the checkpoint, and the backbone's weights in a folder of their own.
        settings: of the backbone; its `weights` are replaced.
        geometry: how pictures are cut.
        files: pictures, at least 3.
        device: that embeds them.
    """
    torch.manual_seed(0)
    source = settings.model_copy(update={"weights": str(folder / "weights")})
    encoder = backbones.build(settings.name, **settings.arguments)
    for name, value in encoder.named_parameters():
        if name.endswith(".gamma"):
            value.fill_(1)
    (folder / "weights").mkdir(parents=True)
    save_file(encoder.model.state_dict(), folder / "weights" / "model.safetensors")
    made = store.Model("random", source, encoder.to(device), geometry, PFS(encoder.dim).eval(), "relative")
    signed = []
    for file in files:
        patches, grid = cut(read(file).pixels, geometry)
        signed.append(calibration.Signed(made.points(encoder.embed(patches)), grid.rows, grid.cols))
    third = len(files) // 3
    real, generated = (
        mmd.bank(mmd.Points(torch.cat([s.points.z for s in part])), made.kernel)
        for part in (signed[:third], signed[third : 2 * third])
    )
    nulls = calibration.calibrate(signed[2 * third :], real, generated, made.kernel)
    store.save(made, folder)
    reference.save(reference.Reference(real, generated, *nulls, {}), folder / "reference.safetensors")
    (folder / "README.md").write_text("# Random weights, for measuring\n", "utf-8")
    return folder


@dataclass(frozen=True)
class Rate:
    """Pictures a second through the whole `detector` and through its `encoder` alone; the GPU's memory in GiB."""

    detector: float
    encoder: float
    memory: float


def rate(detector: Detector, files: list[bytes]) -> Rate:
    """Median rates over `files`, after one picture to warm up."""
    on_gpu = detector.device.startswith("cuda")
    detector.detect(files[0])
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    whole, encoder = [], []
    for file in files:
        whole.append(clocked(detector.detect, file)[1])
        encoder.append(stages_of(detector, file)[1]["backbone"])
    memory = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0
    return Rate(1 / float(np.median(whole)), 1 / float(np.median(encoder)), memory)


def cpu_time() -> float:
    """Processor seconds of this process, per thread of PyTorch: other programs on the machine don't count."""
    return time.process_time() / torch.get_num_threads()


def cpu_rate(encoder: torch.nn.Module, patch_size: int, count: int = 8) -> float:
    """Patches a second through the backbone, by processor time, over `count` patches after one to warm up."""
    patches = torch.randint(0, 256, (count, 3, patch_size, patch_size), dtype=torch.uint8)
    encoder.embed(patches[:1])
    start = cpu_time()
    encoder.embed(patches)
    return count / (cpu_time() - start)


@dataclass(frozen=True)
class Agreement:
    """Of `count` pictures `same` get the same decision; the largest difference of p-values and of scores.

    Scores are in standard deviations of the calibration scores, embeddings relative to their length.
    """

    count: int
    same: int
    p_value: float
    score: float
    embedding: float


def agreement(first: Detector, second: Detector, files: list[bytes]) -> Agreement:
    """How far two devices say the same."""
    pairs = [(first.detect(file), second.detect(file)) for file in files]
    lengths = []
    for file in files[:3]:
        patches, _ = cut(read(file).pixels, first.model.geometry)
        one, other = first.model.backbone.embed(patches), second.model.backbone.embed(patches)
        lengths.append(float(((one - other).norm(dim=1) / one.norm(dim=1)).max()))
    return Agreement(
        len(pairs),
        sum(one.verdict.decision == other.verdict.decision for one, other in pairs),
        max(abs(one.verdict.p_value - other.verdict.p_value) for one, other in pairs),
        max(
            abs(one.verdict.score - other.verdict.score) / float(one.verdict.null.scores.std()) for one, other in pairs
        ),
        max(lengths),
    )


def work(settings: DINOv2, patches: int) -> tuple[float, float]:
    """Weights in millions, and TFLOP for a picture of `patches` patches, counted by PyTorch (nothing is computed)."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        encoder = backbones.build(settings.name, **settings.arguments)
        with FlopCounterMode(display=False) as counter:
            encoder.tokens(torch.empty(1, 3, settings.crop_size, settings.crop_size))
    return sum(p.numel() for p in encoder.parameters()) / 1e6, counter.get_total_flops() * patches / 1e12


def training_rate(settings: DINOv2, geometry: Geometry, section: Train, steps: int = 10) -> float:
    """Steps a second of `train`, by processor time, on random embeddings; the last of `steps` is validated."""
    with torch.device("meta"):
        encoder = backbones.build(settings.name, **settings.arguments)
    side = int(geometry.max_patches**0.5)
    generator = torch.Generator().manual_seed(0)

    def random_pictures(count: int) -> list[Embedded]:
        values = torch.randn(count, side * side, encoder.dim, generator=generator)
        return [Embedded(f"{i}", i % 2, f"{i % 4}", "as_is", side, side, value) for i, value in enumerate(values)]

    with tempfile.TemporaryDirectory() as folder:
        start = cpu_time()
        config = section.model_copy(update={"steps": steps, "check": steps})
        train(random_pictures(200), random_pictures(40), config, encoder, settings, geometry, Path(folder), lambda _: 0)
        return steps / (cpu_time() - start)


def plan(count: int, lives: int, patches: int, dim: int, per_second: float, price: float) -> str:
    """Disk, time and cost of the embeddings of `count` pictures in `lives` lives each."""
    size = count * lives * patches * dim * 4 / 1e9
    hours = count * lives / per_second / 3600
    return f"{count:,} pictures, {lives} lives: {size:.2f} GB, {hours:.2f} h, {hours * price:.2f} at {price:g} an hour"


def on_gpu(settings: DINOv2, geometry: Geometry, options: argparse.Namespace) -> float:
    """Measure, print and return pictures a second on the GPU; compare decisions with the CPU's."""
    with tempfile.TemporaryDirectory() as folder:
        made = make_checkpoint(Path(folder), settings, geometry, pictures(options.bank), "cuda")
        detectors = {device: Detector.from_pretrained(made, device=device) for device in ("cpu", "cuda")}
        found = rate(detectors["cuda"], pictures(options.runs, seed=1))
        print(
            f"  GPU: {found.detector:.3g} pictures a second ({found.encoder:.3g} through the backbone alone), "
            f"{found.memory:.2f} GiB at most"
        )
        print("  " + AGREES.format(**asdict(agreement(*detectors.values(), pictures(options.compare, seed=2)))))
    return found.detector


def on_cpu(settings: DINOv2, geometry: Geometry) -> float:
    """Measure, print and return pictures a second through the backbone on the CPU."""
    patches = cpu_rate(backbones.build(settings.name, **settings.arguments), geometry.patch_size)
    pictures_a_second = patches / geometry.max_patches
    print(f"  CPU: {patches:.3g} patches a second through the backbone, by processor time")
    return pictures_a_second


def measure(size: str, recipe: Recipe, options: argparse.Namespace) -> None:
    """Everything about one size, printed."""
    settings, geometry = recipe.backbone.model_copy(update={"size": size}), Geometry(**dict(recipe.geometry))
    millions, tflop = work(settings, geometry.max_patches)
    print(f"ViT-{size[0].upper()}: {millions:.1f} M weights, {tflop:.3f} TFLOP a picture")
    rates = {"measured": on_cpu(settings, geometry) if options.cpu else on_gpu(settings, geometry, options)}
    if options.assume:
        rates[f"ASSUMED {options.assume:g} TFLOP/s"] = options.assume / tflop
    for name, per_second in rates.items():
        print(f"  embed at {per_second:.3g} pictures a second ({name}):")
        for count in options.pictures:
            planned = plan(count, len(recipe.embed.lives), geometry.max_patches, SIZES[size], per_second, options.price)
            print(f"    {planned}")
    per_second, steps = training_rate(settings, geometry, recipe.train), recipe.train.steps
    print(f"  train at {per_second:.3g} steps a second (CPU): {steps} steps, {steps / per_second / 60:.1f} min")


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true", help="the CPU's rates, without a GPU")
    parser.add_argument("--sizes", nargs="+", default=["small", "large"], choices=list(SIZES))
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="geometry, crop and lives")
    parser.add_argument("--runs", type=int, default=20, help="pictures that the GPU's rate is measured on")
    parser.add_argument("--bank", type=int, default=60, help="pictures for banks and calibration, 3 or more")
    parser.add_argument("--compare", type=int, default=30, help="pictures that GPU and CPU both decide")
    parser.add_argument("--pictures", type=int, nargs="+", default=[10_000, 100_000], help="to plan for")
    parser.add_argument("--price", type=float, default=1.0, help="of an hour of this machine, in any currency")
    parser.add_argument("--assume", type=float, help="TFLOP a second that some GPU sustains: an assumption")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    options = arguments(given)
    if not options.cpu and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 1
    name = "CPU" if options.cpu else torch.cuda.get_device_name()
    print(f"torch {torch.__version__}, {name}, {torch.get_num_threads()} threads")
    for size in options.sizes:
        measure(size, read_recipe(options.recipe), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
