"""Train the locator of a checkpoint on composites of its training pictures, then calibrate it on real ones.

    python -m mdmf_core locate benchmarks/configs/bundled.json runs/bundled

Both pictures of a composite may be real or generated, so that it is not the class that gives a part away but its having
another origin. The loss is pairwise within a picture: each altered patch should get a higher value than each untouched
one. The encoder starts as the checkpoint's; its norms keep their statistics. What is kept is the running average of the
weights. The null is made of pictures of the calibration role, each in the life in which it calibrates the score
(`bank.life_of`). A run that is interrupted begins again: it takes a quarter of an hour on two cores.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from mdmf_core.checkpoint.store import Model
from mdmf_core.errors import DatasetError, ImageError
from mdmf_core.images import degrade
from mdmf_core.images.reader import read
from mdmf_core.method import locator
from mdmf_core.method.locator import Locator
from mdmf_core.method.patches import Geometry, cut
from mdmf_core.run import workers
from mdmf_core.training import composites, embed
from mdmf_core.training.bank import life_of
from mdmf_core.training.dataset import Entry, Sampler, Split
from mdmf_core.training.encoder import follow

DEFAULTS = {
    "composites": 16_000,
    "checks": 400,
    "steps": 1600,
    "pictures": 8,
    "rate": 2e-3,
    "encoder_rate": 3e-4,
    "decay": 0.05,
    "dropout": 0.3,
    "average": 0.995,
    "width": 40,
    "hidden": 32,
    "cap": 120,
    "tilt": 0.7,
    "workers": 2,
    "compile": False,
    "seed": 0,
}
PAIRS = ((0, 1), (0, 1), (0, 1), (1, 0), (1, 0), (0, 0), (0, 0), (0, 0), (1, 1), (1, 1))  # labels of both pictures
BORDERS = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0)
WARM = 100  # steps
FOR_WHITENING = 250  # composites
EVERY = 100  # steps between two lines of the log


@dataclass(frozen=True)
class Composite:
    """Patches (N, 3, W, W) uint8 of a composite and what they are, (N,) as `composites.altered` says it."""

    patches: Tensor
    truth: Tensor
    rows: int
    cols: int

    def turned(self, rng: np.random.Generator) -> Composite:
        """Turned by a quarter as often as the lot says, and mirrored or not."""
        size = self.patches.shape[-1]
        patches = self.patches.reshape(self.rows, self.cols, 3, size, size)
        truth, quarters = self.truth.reshape(self.rows, self.cols), int(rng.integers(4))
        patches = torch.rot90(torch.rot90(patches, quarters, (0, 1)), quarters, (3, 4))
        truth = torch.rot90(truth, quarters, (0, 1))
        if rng.random() < 0.5:
            patches, truth = patches.flip(1).flip(4), truth.flip(1)
        return Composite(patches.reshape(-1, 3, size, size), truth.reshape(-1), *truth.shape)


def aged(
    pixels: np.ndarray, mask: np.ndarray, rng: np.random.Generator, smallest: int
) -> tuple[np.ndarray, np.ndarray]:
    """A later life of a composite: maybe resized, in most cases cut off its grid and saved as JPEG."""
    low = max(0.6, (smallest + 8) / min(mask.shape))  # 8: an off-grid cut may follow
    if rng.random() < 0.35 and low < 1:
        resampler = degrade.RESAMPLERS[rng.integers(len(degrade.RESAMPLERS))]
        pixels, mask = composites.resized(pixels, mask, rng.uniform(low, 1.1), resampler)
    if rng.random() < 0.75:
        top, left = rng.integers(1, 8, 2)
        pixels, mask = pixels[top:, left:], mask[top:, left:]
        pixels = degrade.jpeg(pixels, int(rng.integers(70, 99)), int(rng.choice([0, 2])))
    return pixels, mask


def make(job: tuple[Entry, Entry, tuple[int, ...], Geometry]) -> tuple[np.ndarray, np.ndarray, int, int] | None:
    """The fields of a composite, as arrays; None where no patch or every one is altered, or a picture can't be used."""
    first, second, seed, geometry = job
    rng, size = np.random.default_rng(seed), geometry.patch_size
    try:
        base, part = (read(entry.path, geometry.min_side) for entry in (first, second))
    except ImageError:
        return None
    pasted = part.pixels
    if rng.random() < 0.25:
        pasted = degrade.history(pasted, rng, part.format not in ("JPEG", "MPO"), geometry.min_side)
    pixels, mask = composites.paste(base.pixels, pasted, rng, (size, 7 * size // 2), BORDERS, ellipses=0.35)
    pixels, mask = aged(pixels, mask, rng, geometry.min_side)
    if min(mask.shape) < locator.FEWEST * size:
        return None
    patches, grid = cut(pixels, geometry)
    truth = composites.altered(grid.boxes, mask)
    if not {0.0, 1.0} <= set(truth.tolist()) or min(grid.rows, grid.cols) < locator.FEWEST:
        return None
    return patches.numpy(), truth.astype(np.float32), grid.rows, grid.cols


def make_all(entries: list[Entry], count: int, geometry: Geometry, config: dict, seed: int) -> list[Composite]:
    """About `count` composites; those that `make` refuses are left out."""
    rng = np.random.default_rng([config["seed"], seed])
    labels = sorted({entry.label for entry in entries})
    samplers = {label: Sampler(entries, label, config["cap"], config["tilt"], rng) for label in labels}
    pairs = [pair for pair in PAIRS if set(pair) <= set(labels)]
    jobs = []
    for index in range(count):
        first, second = (entries[samplers[label].draw(1)[0]] for label in pairs[index % len(pairs)])
        jobs.append((first, second, (config["seed"], seed, index), geometry))
    made = []
    for found in tqdm(workers.run(make, jobs, config["workers"]), total=len(jobs), desc="composites"):
        if isinstance(found, tuple):
            patches, truth, rows, cols = found
            made.append(Composite(torch.from_numpy(patches), torch.from_numpy(truth), rows, cols))
    return made


def loss(values: Tensor, truth: Tensor) -> Tensor:
    """Mean over pairs of an altered and an untouched patch of softplus(untouched - altered), of (N,) each."""
    return F.softplus(values[truth == 0][None] - values[truth == 1][:, None]).mean()


def whiten(net: Locator, made: list[Composite]) -> None:
    """Start the projection as the first principal components of standardised embeddings, at unit variance."""
    embeddings = torch.cat([net.encoder.embed(composite.patches) for composite in made]).clone()
    mean, variance = embeddings.mean(0), embeddings.var(0)
    net.norm.running_mean.copy_(mean)
    net.norm.running_var.copy_(variance)
    width = net.config["width"]
    standard = (embeddings - mean) / (variance + net.norm.eps).sqrt()
    _, sizes, axes = torch.pca_lowrank(standard, width, center=False)
    deviations = (sizes / len(standard) ** 0.5).clamp_min(1e-3)
    net.project.weight.data.copy_((axes / deviations).T)


@torch.no_grad()
def auroc(net: Locator, made: list[Composite]) -> float:
    """Mean over composites of the AUROC within one; dropout off meanwhile."""
    net.eval()
    found = []
    for composite in made:
        known = ~composite.truth.isnan()
        values = net.values(composite.patches, composite.rows, composite.cols)
        found.append(roc_auc_score(composite.truth[known], values[known]))
    return float(np.mean(found))


def fit(net: Locator, made: list[Composite], checks: list[Composite], config: dict, say: Callable) -> Locator:
    """Train `net` on composites and return the running average of its weights."""
    rng = np.random.default_rng([config["seed"], 2])
    average = copy.deepcopy(net)
    head = [value for name, value in net.named_parameters() if not name.startswith("encoder.")]
    groups = [
        {"params": head, "top": config["rate"]},
        {"params": list(net.encoder.parameters()), "top": config["encoder_rate"]},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config["rate"], weight_decay=config["decay"])
    net.train()
    net.encoder.eval()
    net.norm.eval()
    if config["compile"]:
        net.encoder.compile()
    losses: list[float] = []
    for step in tqdm(range(config["steps"]), desc="locate"):
        for group in optimizer.param_groups:
            group["lr"] = group["top"] * min(1, (step + 1) / WARM) * (1 - step / config["steps"])
        drawn = [made[row].turned(rng) for row in rng.integers(0, len(made), config["pictures"])]
        with torch.autocast("cpu", torch.bfloat16):
            embeddings = net.encoder(torch.cat([composite.patches for composite in drawn])).float()
        parts = embeddings.split([len(composite.patches) for composite in drawn])
        found = torch.stack([loss(net(e, c.rows, c.cols), c.truth) for e, c in zip(parts, drawn, strict=True)]).mean()
        optimizer.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimizer.step()
        follow(average, net, min(config["average"], (step + 1) / (step + 10)))
        losses.append(found.item())
        if (step + 1) % EVERY == 0 or step + 1 == config["steps"]:
            say(f"step {step + 1}: loss {np.mean(losses[-EVERY:]):.4f}")
    if checks:
        say(f"AUROC within a composite, {len(checks)} of the validation sources: {auroc(average, checks):.4f}")
    return average.eval()


def null(net: Locator, entries: list[Entry], geometry: Geometry, lives: list[str], say: Callable) -> Tensor:
    """What patches of untouched real pictures reach, sorted, `locator.NULLS` values.

    Raises:
        DatasetError: no picture is large enough.
    """
    found = []
    for entry in tqdm(entries, desc="null"):
        prepared = embed.prepare((entry, life_of(entry.key, lives)), geometry, 0)
        if "error" not in prepared:
            values = net.values(torch.from_numpy(prepared["patches"]), prepared["rows"], prepared["cols"])
            found += [] if values is None else [values]
    if not found:
        raise DatasetError(f"No calibration picture has {locator.FEWEST} x {locator.FEWEST} patches.")
    everything = torch.cat(found).double()
    say(f"null: {len(everything)} patches of {len(found)} real pictures")
    return torch.quantile(everything, torch.linspace(0, 1, locator.NULLS, dtype=torch.float64)).float()


def train(model: Model, dealt: Split, lives: list[str], config: dict, say: Callable[[str], None] = print) -> Locator:
    """A calibrated locator for a checkpoint.

    Args:
        model: the checkpoint; it is not changed.
        dealt: composites are made of its `train` pictures, judged on its `validation`, the null is of `calibration`.
        lives: of calibration pictures, those that `bank` calibrates the score with.
        config: any of `DEFAULTS`; `checks` composites of validation sources, 0 for none, are judged in the end.
        say: takes each line about the training.

    Raises:
        ValueError: an unknown key in `config`, or a checkpoint whose encoder is not the compact one.
        DatasetError: too little to train on or to calibrate with.
    """
    unknown = set(config) - set(DEFAULTS)
    if unknown:
        raise ValueError(f"The locate section has unknown keys: {', '.join(sorted(unknown))}.")
    if model.backbone.name != "compact" or model.geometry.resize is not None:
        raise ValueError("A locator is trained for checkpoints with the compact encoder at native resolution only.")
    config = DEFAULTS | config
    torch.manual_seed(config["seed"])
    geometry = model.geometry
    net = Locator(
        geometry.patch_size, model.backbone.config["channels"], config["width"], config["hidden"], config["dropout"]
    )
    net.encoder.load_state_dict(model.backbone.state_dict())
    made = make_all(dealt.train, config["composites"], geometry, config, 0)
    checks = make_all(dealt.validation, config["checks"], geometry, config, 1) if dealt.validation else []
    if not made:
        raise DatasetError("No composite could be made of the training pictures; they are too small.")
    say(f"{len(made)} composites to train on, {len(checks)} to check with")
    whiten(net.eval(), made[:FOR_WHITENING])
    trained = fit(net, made, checks, config, say)
    trained.null.copy_(null(trained, dealt.calibration, geometry, lives, say))
    return trained


def run(
    folder: Path, model: Model, dealt: Split, lives: list[str], config: dict, say: Callable[[str], None] = print
) -> Path:
    """`train`, and write `locator.safetensors` into the checkpoint `folder`."""
    return locator.save(train(model, dealt, lives, config, say), folder / "locator.safetensors")
