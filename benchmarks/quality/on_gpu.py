"""Train the bundled encoder, and a larger one beside it, on a GPU in minutes.

    python benchmarks/quality/packed.py benchmarks/configs/encoder_third.json runs/packed      # where the data is
    python benchmarks/quality/on_gpu.py runs/packed runs/third --autoencoder ../shared/taef2 \\
        --starts runs/efficientnet-lite0-57934424.pth runs/efficientnet-lite2-9656183e.pth

The recipe is that of `mdmf_core pretrain`, with the same losses and the same lottery of histories. Two things differ.
No picture keeps a fixed number of lives: every processor core makes new ones all the time, and each is used `USES`
times. And it is the time that ends a run, not a number of steps, so that it has a loop of its own: half precision with
the running average in single, under a one-cycle schedule over the minutes. Pairs are made on the GPU first, through a
generator's autoencoder (`taef2`).
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality.packed import Crop, unpack  # noqa: E402
from benchmarks.quality.taef2 import Autoencoder, compressed_alike, varied  # noqa: E402
from mdmf_core.training import crops, encoder  # noqa: E402
from mdmf_core.training.loop import following  # noqa: E402
from mdmf_core.training.recipe import Pretrain  # noqa: E402

USES = 4  # windows that are cut from a life, on average
KEPT = 96  # lives of each kind that a process has at hand
QUARTERS = 4  # small batches that make a large one
MARKS = (0.35, 0.6, 0.8)  # shares of the time at which the first encoder's state is kept, too


@torch.inference_mode()
def made_again(photographs: list[Crop], folder: Path, device: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs: photographs and what the autoencoder makes of them."""
    autoencoder, pairs = Autoencoder(folder, device), []
    for index, crop in enumerate(photographs):
        height, width = (side // 8 * 8 for side in crop.pixels.shape[:2])
        pixels = crop.pixels[:height, :width]
        again = autoencoder.pixels(varied(autoencoder.latents(pixels), np.random.default_rng(index)))
        with Image.open(io.BytesIO(crop.file)) as original:
            pairs.append((pixels, compressed_alike(again, original)))
    return pairs


class Fresh(encoder.Batches, Dataset):
    """`Batches` whose lives, pairs and composites are made when they are needed and used some times."""

    def __init__(self, found: list[Crop], pairs: list[tuple[np.ndarray, np.ndarray]], config: Pretrain) -> None:
        self.config, self.pictures, self.pairs, self.composites = config, found, pairs, True
        self.labels = np.array([crop.label for crop in found])
        self.weights = np.array([crop.weight for crop in found])
        self.kept: dict[object, list] = defaultdict(list)

    def __len__(self) -> int:
        return 10**6

    __getitem__ = encoder.Batches.__call__

    def _used(self, kind: object, make: partial, rng: np.random.Generator) -> object:
        """One that is new, or one of those at hand."""
        kept = self.kept[kind]
        if len(kept) < KEPT // USES or rng.random() < 1 / USES:
            new = make(rng)
            if len(kept) < KEPT:
                kept.append(new)
            else:
                kept[rng.integers(KEPT)] = new
            return new
        return kept[rng.integers(len(kept))]

    def _one(self, label: int, rng: np.random.Generator) -> Crop:
        return self.pictures[crops.draw(self.labels == label, self.weights, 1, rng)[0]]

    def _life(self, label: int, rng: np.random.Generator) -> np.ndarray:
        crop = self._one(label, rng)
        return crops.degrade.history(crop.pixels, rng, crop.never_jpeg, self.config.window)

    def _lives(self, label: int, count: int, rng: np.random.Generator) -> list[np.ndarray]:
        lives = [self._used(label, partial(self._life, label), rng) for _ in range(count)]
        return [crops.coloured(crops.crop(life, self.config.window, rng), rng) for life in lives]

    def _both(self, rng: np.random.Generator) -> list[np.ndarray]:
        both, seed = self.pairs[rng.integers(len(self.pairs))], int(rng.integers(2**31))
        return [
            crops.degrade.history(pixels, np.random.default_rng(seed), False, self.config.window) for pixels in both
        ]

    def _pair(self, rng: np.random.Generator) -> list[np.ndarray]:
        return self._cut(self._used("pair", self._both, rng), rng)

    def _mixed(self, rng: np.random.Generator) -> crops.Composite:
        while True:
            if self.pairs and rng.random() < crops.ALIGNED:
                first, second = ((pixels, False) for pixels in self.pairs[rng.integers(len(self.pairs))])
                labels = None
            else:
                labels = crops.KINDS[rng.integers(len(crops.KINDS))]
                first, second = (self._one(label, rng)[:2] for label in labels)
            made = crops.composed(first, second, labels, rng, self.config.window)
            if made is not None:
                return made

    def _one_composite(self, rng: np.random.Generator) -> crops.Composite:
        return self._used("mixed", self._mixed, rng)


class Trainee:
    """A learner on a device with its running average, and what a step needs."""

    def __init__(self, start: Path, config: Pretrain, device: str, rate: float) -> None:
        self.name, self.rate = start.name.split("-")[1], rate
        variant = config.backbone.model_copy(update={"variant": self.name})
        self.config = config = config.model_copy(update={"start": str(start), "backbone": variant})
        torch.manual_seed(config.seed)
        learner = encoder.Learner(encoder.build(config), config.dropout)
        self.learner = learner.to(device, memory_format=torch.channels_last).train()
        self.average = AveragedModel(self.learner, multi_avg_fn=following(config.average), use_buffers=True)
        groups = [dict(group) for group in encoder.groups(self.learner)]
        self.shares = [group.pop("share", 1.0) for group in groups]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=config.decay, fused=device == "cuda")
        self.scaler = torch.amp.GradScaler(device, enabled=device == "cuda")
        self.sums: dict[str, Tensor] = {}

    def step(self, windows: Tensor, masks: Tensor, done: float) -> None:
        """One step, when a share `done` of the time is over."""
        for group, share in zip(self.optimizer.param_groups, self.shares, strict=True):
            group["lr"] = self.rate * share * pace(done)
        self.optimizer.zero_grad()
        with torch.autocast(windows.device.type, torch.float16, windows.is_cuda):
            logits = self.learner(windows)
        found = encoder.losses(logits.float(), masks, self.config)
        self.scaler.scale(sum(found.values())).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.learner.parameters(), 2.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.update_parameters(self.learner)
        for name, value in found.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach()

    def told(self, steps: int) -> str:
        line = ", ".join(f"{name} {float(value) / steps:.4f}" for name, value in self.sums.items())
        self.sums = {}
        return f"{self.name}: {line}"

    def save(self, folder: Path, half: bool) -> None:
        """The averaged encoder as `mdmf_core embed` takes it, in half precision where wanted."""
        made = self.average.module.encoder
        tensors = {name: value.cpu().contiguous() for name, value in made.state_dict().items()}
        if half:
            tensors = {name: v.half() if v.dtype == torch.float32 else v for name, v in tensors.items()}
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / "encoder.safetensors")
        (folder / "encoder.json").write_text(json.dumps(made.config, indent=2) + "\n")


def pace(done: float, warm: float = 0.08) -> float:
    """Share of the highest rate: up linearly, down as a cosine."""
    if done < warm:
        return 0.04 + 0.96 * done / warm
    return max(0.0, 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm))))


def together(parts: list[tuple[Tensor, Tensor]], config: Pretrain) -> tuple[Tensor, Tensor]:
    """Several batches as one, in the order that the losses expect."""
    sizes = [config.pictures, config.pictures, config.mixed, config.traceless]
    kinds = zip(*(windows.split(sizes) for windows, _ in parts), strict=True)
    return torch.cat([window for kind in kinds for window in kind]), torch.cat([masks for _, masks in parts])


def train(folder: Path, out: Path, options: argparse.Namespace) -> None:
    began, device = time.time(), "cuda" if torch.cuda.is_available() else "cpu"
    out.mkdir(parents=True, exist_ok=True)
    config = Pretrain.model_validate_json((folder / "pretrain.json").read_text())
    config = config.model_copy(update={"start": str(options.starts[0]), "seed": options.seed})
    found = unpack(folder, config.window)
    tell(out, f"{len(found)} crops, {sum(c.label for c in found)} generated, {time.time() - began:.0f} s")
    photographs = [crop for crop in found if crop.label == 0][: options.pairs]
    pairs = made_again(photographs, options.autoencoder, device)
    tell(out, f"{len(pairs)} pairs, {time.time() - began:.0f} s")
    loader = DataLoader(
        Fresh(found, pairs, config),
        batch_size=None,
        sampler=range(10**6),
        num_workers=options.workers,
        prefetch_factor=8,
        pin_memory=device == "cuda",
    )
    large = config.model_copy(update={name: getattr(config, name) * QUARTERS for name in ("pictures", "mixed")})
    trainees = [Trainee(start, large, device, options.rate) for start in options.starts]
    _run(trainees, iter(loader), config, out, began + 60 * options.minutes, options.every)


def _run(trainees: list[Trainee], batches: Iterator, config: Pretrain, out: Path, end: float, every: int) -> None:
    first, steps, told, marks = time.time(), 0, time.time(), list(MARKS)
    device = next(trainees[0].learner.parameters()).device
    while (done := (time.time() - first) / (end - first)) < 1:
        parts = [next(batches) for _ in range(QUARTERS)]
        parts = [tuple(value.to(device, non_blocking=True) for value in part) for part in parts]
        windows, masks = together(parts, config)
        for trainee in trainees:
            trainee.step(windows, masks, done)
        steps += 1
        if steps % every == 0:
            pause, told = (time.time() - told) / every, time.time()
            lines = "; ".join(trainee.told(every) for trainee in trainees)
            tell(out, f"step {steps}, {told - first:.0f} s, {pause:.3f} s a step; {lines}")
        if marks and done > marks[0]:
            trainees[0].save(out / f"{trainees[0].name}_{marks.pop(0):.2f}", True)
    tell(out, f"{steps} steps of {len(windows)} windows")
    for trainee in trainees:
        trainee.save(out / trainee.name, trainee is not trainees[0])


def tell(out: Path, line: str) -> None:
    print(line, flush=True)
    with open(out / "pretrain.log", "a") as log:
        log.write(line + "\n")


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packed", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--starts", type=Path, nargs="+", required=True, help="ImageNet weights, one an encoder")
    parser.add_argument("--autoencoder", type=Path, required=True, help="folder of TAEF2's two files")
    parser.add_argument("--minutes", type=float, default=9.0, help="all that the run may take")
    parser.add_argument("--pairs", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--workers", type=int, default=15)
    parser.add_argument("--every", type=int, default=200, help="steps between two lines of the log")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(given)
    train(options.packed, options.out, options)


if __name__ == "__main__":
    main()
