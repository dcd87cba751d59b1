"""Step 2 of 3: train the Patch Forensic Signature on stored embeddings; the backbone stays frozen.

    python -m mdmf_core train recipe.json runs/mine

Source: arXiv 2605.09296; objectives: `objectives.py`. Each step draws as many real as generated pictures,
source by source, in a random condition, and a few patches of each. Every so often the validation pictures,
whose sources were held out, are scored against banks of training pictures; the signature with the best
mean AUROC over their generators, conditions averaged, is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from mdmf_core.checkpoint import store
from mdmf_core.errors import DatasetError
from mdmf_core.method import mmd
from mdmf_core.method.calibration import evidence_of
from mdmf_core.method.patches import Geometry
from mdmf_core.method.signature import PFS
from mdmf_core.training import objectives
from mdmf_core.training.dataset import Sampler
from mdmf_core.training.embed import Embedded
from mdmf_core.training.loop import Plan, fit

DEFAULTS = {
    "name": "mdmf",
    "statistic": "relative",
    "objective": {"pairwise": 1.0},
    "hidden": 96,
    "signature": 16,
    "deep": False,
    "dropout": 0.2,
    "steps": 1500,
    "pictures": 32,
    "patches": 16,
    "rate": 1e-3,
    "decay": 0.01,
    "check": 150,
    "bank_pictures": 300,
    "cap": 120,
    "tilt": 0.7,
    "seed": 0,
}


def batch(pictures: list[Embedded], rows: list[int], count: int, rng: np.random.Generator) -> torch.Tensor:
    """`count` random patches' embeddings of each picture, (B * count, D)."""
    parts = []
    for row in rows:
        embeddings = pictures[row].embeddings
        n = len(embeddings)
        chosen = rng.choice(n, count, replace=n < count)
        parts.append(embeddings[torch.from_numpy(chosen)])
    return torch.cat(parts)


class Validator:
    """Scores held-out pictures against banks of training pictures, and says how well generators separate."""

    def __init__(self, train: list[Embedded], held_out: list[Embedded], config: dict) -> None:
        rng = np.random.default_rng([config["seed"], 1])
        self.statistic, self.held_out = config["statistic"], held_out
        samplers = [Sampler(train, label, config["cap"], config["tilt"], rng) for label in (0, 1)]
        self.banks = [batch(train, sampler.draw(config["bank_pictures"]), 8, rng) for sampler in samplers]

    def __call__(self, pfs: PFS) -> dict[str, float]:
        """AUROC of each held-out generator against the held-out real pictures, a mean over conditions."""
        pfs.eval()
        with torch.inference_mode():
            kernel = mmd.Kernel(*pfs.kernel_values())
            real, generated = (mmd.bank(mmd.Points(*pfs(bank)), kernel) for bank in self.banks)
            scores = [
                evidence_of(mmd.Points(*pfs(p.embeddings)), self.statistic, real, generated, kernel)[0].sum().item()
                for p in self.held_out
            ]
        pfs.train()
        by_source: dict[str, list[float]] = {}
        for condition in sorted({p.condition for p in self.held_out}):
            here = [(p, s) for p, s in zip(self.held_out, scores, strict=True) if p.condition == condition]
            real_scores = [s for p, s in here if p.label == 0]
            for source in sorted({p.source for p, _ in here if p.label == 1}):
                fake_scores = [s for p, s in here if p.label == 1 and p.source == source]
                labels = [0] * len(real_scores) + [1] * len(fake_scores)
                by_source.setdefault(source, []).append(float(roc_auc_score(labels, real_scores + fake_scores)))
        return {source: float(np.mean(values)) for source, values in by_source.items()}


def train(
    train_pictures: list[Embedded],
    validation: list[Embedded],
    config: dict,
    encoder: nn.Module,
    source: dict,
    geometry: Geometry,
    out: Path,
    say: Callable[[str], None] = print,
) -> float:
    """Train a signature and write `config.json` and `model.safetensors` of the best one; its mean validation AUROC.

    What lay in `out` before goes with the first of them: a bank and calibration of other weights would mislead.

    Args:
        train_pictures, validation: of both classes, the latter of held-out sources: they decide what is kept.
        config: any of `DEFAULTS`.
        encoder, source, geometry: the frozen backbone, its settings and the grid, for the checkpoint.
        out, say: the checkpoint folder, and what takes each line of the log.

    Raises:
        DatasetError: a class is missing in training or validation.
        ValueError: an unknown key in `config`.
    """
    config = _complete(config)
    _both_classes(training=train_pictures, validation=validation)
    torch.manual_seed(config["seed"])
    pfs = PFS(encoder.dim, config["hidden"], config["signature"], config["deep"], config["dropout"])
    keeper = Keeper(Validator(train_pictures, validation, config), say)

    def check(step: int, means: dict[str, float]) -> None:
        if keeper(pfs, step, means["loss"]):
            for name in ("reference.safetensors", "config.json") if keeper.first else ():  # of an earlier signature
                (out / name).unlink(missing_ok=True)
            store.save(store.Model(config["name"], source, encoder, geometry, pfs, config["statistic"]), out)

    plan = Plan(config["steps"], config["rate"], config["decay"], every=config["check"])
    objective = Objective(pfs, train_pictures, config)
    fit(objective.net, objective, plan, say, checked=check)
    return keeper.best


def _both_classes(**given: list[Embedded]) -> None:
    for what, pictures in given.items():
        if {picture.label for picture in pictures} != {0, 1}:
            raise DatasetError(f"Both real and generated pictures are needed for {what}.")


def _complete(config: dict) -> dict:
    """The train section with what it leaves out from `DEFAULTS`.

    Raises:
        ValueError: an unknown key.
    """
    unknown = set(config) - set(DEFAULTS)
    if unknown:
        raise ValueError(f"The train section has unknown keys: {', '.join(sorted(unknown))}.")
    return DEFAULTS | config


class Objective:
    """The loss of a signature on pictures drawn for a step; `net` is what is trained."""

    def __init__(self, pfs: PFS, pictures: list[Embedded], config: dict) -> None:
        self.pfs, self.pictures, self.config = pfs, pictures, config
        self.net = nn.ModuleDict({"pfs": pfs})
        self.net.log_sharpness = nn.Parameter(torch.tensor(math.log(10.0)))
        self.labels = torch.arange(2).repeat_interleave(config["pictures"]).float()

    def __call__(self, step: int) -> dict[str, torch.Tensor]:
        config, rng = self.config, np.random.default_rng([self.config["seed"], 2, step])
        samplers = [Sampler(self.pictures, label, config["cap"], config["tilt"], rng) for label in (0, 1)]
        rows = [row for sampler in samplers for row in sampler.draw(config["pictures"])]
        points = mmd.Points(*self.pfs(batch(self.pictures, rows, config["patches"], rng)))
        kernel, sharpness = mmd.Kernel(*self.pfs.kernel_values()), self.net.log_sharpness.exp()
        kind = config["statistic"], config["objective"]
        return {"loss": objectives.loss(points, kernel, self.labels, *kind, sharpness)}


class Keeper:
    """Says how each signature does on validation, and whether it is the best yet."""

    def __init__(self, validate: Validator, say: Callable[[str], None]) -> None:
        self.validate, self.say = validate, say
        self.best, self.first = -1.0, True

    def __call__(self, pfs: PFS, step: int, value: float) -> bool:
        aurocs = self.validate(pfs)
        mean = float(np.mean(list(aurocs.values())))
        each = ", ".join(f"{name} {auroc:.3f}" for name, auroc in aurocs.items())
        self.say(f"step {step}: loss {value:.4f}, validation AUROC {mean:.4f} ({each})")
        if mean <= self.best:
            return False
        self.first, self.best = self.best < 0, mean
        return True
