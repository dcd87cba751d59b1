"""Train the compact encoder end to end on labelled images, for the statistic that it will serve.

    python -m mdmf_core pretrain benchmarks/configs/bundled.json runs/bundled

The paper's backbone is frozen and so is this one afterwards; but a bundled encoder has to come from somewhere. Every
step draws as many real as generated pictures, source by source, and a few patches of each. Two losses are added:
cross-entropy of a linear unit's mean logit over a picture's patches, and a pairwise logistic loss on the pictures'
relative MMD against the other pictures of the step. Pictures of both classes go through the same random
`degrade.history` first. What is kept is the running average of the weights.
"""

from __future__ import annotations

import json
import math
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from mdmf_core.files import write_whole
from mdmf_core.images import degrade
from mdmf_core.images.reader import read
from mdmf_core.method import mmd
from mdmf_core.method.backbones.compact import Compact
from mdmf_core.method.signature import PFS
from mdmf_core.training import objectives
from mdmf_core.training.dataset import Entry, Sampler, scan, split

SAVE_EVERY = 500
DEFAULTS = {
    "channels": [32, 64, 128, 192],
    "patch_size": 64,
    "hidden": 96,
    "signature": 16,
    "steps": 4000,
    "pictures": 16,
    "patches": 4,
    "versions": 5,
    "side": 256,
    "rate": 3e-3,
    "decay": 0.02,
    "dropout": 0.3,
    "average": 0.998,
    "cap": 120,
    "tilt": 0.7,
    "workers": 2,
    "compile": False,
    "seed": 0,
}


def make_version(entry: Entry, version: int, side: int, smallest: int, seed: int) -> np.ndarray:
    """One random life of a picture, at most `side` pixels a side, (H, W, 3) uint8; fixed by its arguments."""
    rng = degrade.generator(seed, f"history{version}", entry.key)
    picture = read(entry.path)
    pixels = picture.pixels
    if min(pixels.shape[:2]) > side * 1.6:
        height, width = pixels.shape[:2]
        room = int(side * 1.6)
        top, left = rng.integers(0, height - room + 1), rng.integers(0, width - room + 1)
        pixels = pixels[top : top + room, left : left + room]
    pixels = degrade.history(pixels, rng, picture.format not in ("JPEG", "MPO"), smallest)
    height, width = pixels.shape[:2]
    top, left = rng.integers(0, max(1, height - side + 1)), rng.integers(0, max(1, width - side + 1))
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def _make(arguments) -> np.ndarray:
    return make_version(*arguments)


def make_versions(entries: list[Entry], config: dict) -> list[list[np.ndarray]]:
    """`config["versions"]` lives of every entry, decoded and kept in memory."""
    count, smallest = config["versions"], 2 * config["patch_size"]
    jobs = [(entry, version, config["side"], smallest, config["seed"]) for entry in entries for version in range(count)]
    with ProcessPoolExecutor(config["workers"]) as pool:
        made = list(tqdm(pool.map(_make, jobs, chunksize=32), total=len(jobs), desc="versions"))
    return [made[start : start + count] for start in range(0, len(made), count)]


def random_patches(pixels: np.ndarray, count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """`count` random patches of one picture, all turned or mirrored alike, (count, size, size, 3) uint8."""
    height, width = pixels.shape[:2]
    tops, lefts = rng.integers(0, height - size + 1, count), rng.integers(0, width - size + 1, count)
    patches = np.stack([pixels[t : t + size, x : x + size] for t, x in zip(tops, lefts, strict=True)])
    patches = np.rot90(patches, rng.integers(4), axes=(1, 2))
    return patches[:, :, ::-1] if rng.random() < 0.5 else patches


class Learner(nn.Module):
    """Encoder, signature and classifier trained together; only the encoder is kept."""

    def __init__(self, config: dict) -> None:
        super().__init__()
        self.encoder = Compact(tuple(config["channels"]))
        self.pfs = PFS(self.encoder.dim, config["hidden"], config["signature"], dropout=config["dropout"])
        self.drop = nn.Dropout(config["dropout"])
        self.logit = nn.Linear(self.encoder.dim, 1)
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, patches: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Cross-entropy and pairwise loss of B pictures with `count` patches each, (B * count, 3, W, W) uint8."""
        with torch.autocast("cpu", torch.bfloat16):
            embeddings = self.encoder(patches)
        z, e = self.pfs(embeddings)
        # norm comes first so that classifier and signature see inputs on one scale
        logits = self.logit(self.drop(self.pfs.norm(embeddings))).reshape(-1, count).mean(1)
        scores = objectives.picture_scores(mmd.Points(z, e), mmd.Kernel(*self.pfs.kernel_values()), labels, "relative")
        return (
            F.binary_cross_entropy_with_logits(logits, labels),
            objectives.pairwise(scores, labels, self.log_sharpness.exp()),
        )


def one_cycle(step: int, steps: int, rate: float, warm: float = 0.2) -> float:
    """Learning rate: a cosine up to `rate` over the first `warm` share of the steps, and down to nothing."""
    share = step / steps
    if share < warm:
        return rate * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * share / warm)))
    return rate * max(1e-4, 0.5 * (1 + math.cos(math.pi * (share - warm) / (1 - warm))))


def _state(learner: Learner, average: Learner, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"learner.{name}": value for name, value in learner.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    return {name: value.contiguous().clone() for name, value in tensors.items()}


def _restore(tensors: dict, learner: Learner, average: Learner, optimizer: torch.optim.Optimizer) -> None:
    def part(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

    learner.load_state_dict(part("learner."))
    average.load_state_dict(part("average."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in part("optimizer.").items():
        index, field = name.split(".", 1)
        state.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


@torch.no_grad()
def follow(average: nn.Module, learner: nn.Module, keep: float) -> None:
    """Move the running average of weights and statistics towards the learner's: `keep` of the old stays."""
    for slow, fast in zip(average.state_dict().values(), learner.state_dict().values(), strict=True):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, 1 - keep)
        else:
            slow.copy_(fast)


def pretrain(data: str | Path, dealt: dict, config: dict, out: Path) -> Path:
    """Train and write the encoder's weights.

    Args:
        data: root folder of labelled images.
        dealt: arguments of `dataset.split`; only its `train` entries are used.
        config: any of `DEFAULTS`; `compile` takes a C++ compiler and saves a fifth of the time on long runs.
        out: folder for `encoder.safetensors`, `encoder.json`, `pretrain.log` and, meanwhile,
            `state.safetensors`, from which an interrupted run goes on.

    Returns:
        The path of the encoder's weights.
    """
    unknown = set(config) - set(DEFAULTS)
    if unknown:
        raise ValueError(f"The pretrain section has unknown keys: {', '.join(sorted(unknown))}.")
    config = DEFAULTS | config
    out.mkdir(parents=True, exist_ok=True)
    entries = split(scan(data), **dealt).train
    torch.manual_seed(config["seed"])
    learner, average = Learner(config), Learner(config)
    average.load_state_dict(learner.state_dict())
    optimizer = torch.optim.AdamW(learner.parameters(), lr=config["rate"], weight_decay=config["decay"])
    state_file, start = out / "state.safetensors", 0
    if state_file.exists():
        tensors = load_file(state_file)
        start = int(tensors.pop("step"))
        _restore(tensors, learner, average, optimizer)
    versions = make_versions(entries, config)
    rng = np.random.default_rng([config["seed"], start])
    samplers = [Sampler(entries, label, config["cap"], config["tilt"], rng) for label in (0, 1)]
    count, labels = config["patches"], torch.arange(2).repeat_interleave(config["pictures"]).float()
    learner.train()
    if config["compile"]:
        learner.encoder.compile()
    sums, summed = np.zeros(2), 0
    with open(out / "pretrain.log", "a") as log:
        for step in tqdm(range(start, config["steps"]), initial=start, total=config["steps"], desc="pretrain"):
            rows = samplers[0].draw(config["pictures"]) + samplers[1].draw(config["pictures"])
            lives = [versions[row][rng.integers(config["versions"])] for row in rows]
            stack = np.concatenate([random_patches(life, count, config["patch_size"], rng) for life in lives])
            patches = torch.from_numpy(stack).permute(0, 3, 1, 2)  # (B * count, 3, W, W)
            for group in optimizer.param_groups:
                group["lr"] = one_cycle(step, config["steps"], config["rate"])
            losses = learner(patches, labels, count)
            optimizer.zero_grad()
            sum(losses).backward()
            nn.utils.clip_grad_norm_(learner.parameters(), 2.0)
            optimizer.step()
            follow(average, learner, min(config["average"], (step + 1) / (step + 10)))
            sums, summed = sums + [loss.item() for loss in losses], summed + 1
            if (step + 1) % 100 == 0 or step + 1 == config["steps"]:
                log.write("step {} cross-entropy {:.4f} pairwise {:.4f}\n".format(step + 1, *(sums / summed)))
                log.flush()
                sums, summed = np.zeros(2), 0
            if (step + 1) % SAVE_EVERY == 0:
                tensors = _state(learner, average, optimizer) | {"step": torch.tensor(step + 1)}
                write_whole(state_file, lambda path, tensors=tensors: save_file(tensors, path))
    weights = {name: value.contiguous() for name, value in average.encoder.state_dict().items()}
    write_whole(out / "encoder.json", lambda path: path.write_text(json.dumps(average.encoder.config, indent=2) + "\n"))
    write_whole(out / "encoder.safetensors", lambda path: save_file(weights, path))
    return out / "encoder.safetensors"
