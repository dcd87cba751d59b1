"""Train the locator of a checkpoint on composites of its training pictures, then calibrate it on real ones.

    python -m mdmf_core locate benchmarks/configs/bundled.json runs/bundled

Both pictures of a composite may be real or generated, so that it is not the class that gives a part away but its having
another origin. The loss is pairwise within a picture: an altered patch should get a higher value than an untouched
one. The encoder stays as it is, so each composite is embedded once. What is kept is the running average of the
weights. The null is made of pictures of the calibration role, each in the condition in which it calibrates the score
(`bank.condition_of`); what `embed` stored of them is not embedded again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from mdmf_core.checkpoint.store import Model
from mdmf_core.errors import DatasetError, ImageError
from mdmf_core.images import degrade
from mdmf_core.images.reader import read
from mdmf_core.method import locator
from mdmf_core.method.calibration import outline_rates, p_value
from mdmf_core.method.locator import Locator
from mdmf_core.method.patches import Geometry, cut, merged
from mdmf_core.run import workers
from mdmf_core.training import composites, embed
from mdmf_core.training.bank import condition_of
from mdmf_core.training.crops import BORDERS, SIDES
from mdmf_core.training.dataset import Entry, Sampler, Split, counted_as
from mdmf_core.training.loop import Plan, fit
from mdmf_core.training.outlines import told
from mdmf_core.training.recipe import Locate

PAIRS = ((0, 1), (0, 1), (0, 1), (1, 0), (1, 0), (0, 0), (0, 0), (0, 0), (1, 1), (1, 1))  # labels of both pictures
FOR_WHITENING = 250  # composites


@dataclass(frozen=True)
class Composite:
    """Embeddings (N, D) of a composite's patches and what they are, (N,) as `composites.altered` says it."""

    embeddings: Tensor
    truth: Tensor
    rows: int
    cols: int

    def turned(self, rng: np.random.Generator) -> Composite:
        """Its grid turned by a quarter as often as the lot says, and mirrored or not."""
        embeddings, quarters = self.embeddings.reshape(self.rows, self.cols, -1), int(rng.integers(4))
        embeddings = torch.rot90(embeddings, quarters)
        truth = torch.rot90(self.truth.reshape(self.rows, self.cols), quarters)
        if rng.random() < 0.5:
            embeddings, truth = embeddings.flip(1), truth.flip(1)
        return Composite(embeddings.reshape(len(self.truth), -1), truth.reshape(-1), *truth.shape)


def make(job: tuple[Entry, Entry, tuple[int, ...], Geometry]) -> tuple | None:
    """What `cut` gives of a composite, and its truth; None where no patch or every one is altered, or a file is bad."""
    first, second, seed, geometry = job
    rng = np.random.default_rng(seed)
    try:
        base, part = (read(entry.path, geometry.min_side) for entry in (first, second))
    except ImageError:
        return None
    pasted = part.pixels
    if rng.random() < 0.25:
        pasted = degrade.history(pasted, rng, part.format not in ("JPEG", "MPO"), geometry.min_side)
    pixels, mask = composites.paste(base.pixels, pasted, rng, SIDES, BORDERS, ellipses=0.35)
    pixels, mask = composites.aged(pixels, mask, rng, geometry.min_side)
    if min(mask.shape) < geometry.min_side:
        return None
    patches, grid = cut(pixels, geometry)
    truth = composites.altered(grid.boxes, mask)
    if not {0.0, 1.0} <= set(truth.tolist()) or min(grid.rows, grid.cols) < locator.FEWEST:
        return None
    return patches.numpy(), grid, truth.astype(np.float32)


def make_all(entries: list[Entry], count: int, model: Model, config: Locate, seed: int) -> list[Composite]:
    """About `count` composites; those that `make` refuses are left out."""
    rng = np.random.default_rng([config.seed, seed])
    labels = sorted({entry.label for entry in entries})
    samplers = {label: Sampler(entries, label, config.cap, config.tilt, rng) for label in labels}
    pairs = [pair for pair in PAIRS if set(pair) <= set(labels)]
    jobs = []
    for index in range(count):
        first, second = (entries[samplers[label].draw(1)[0]] for label in pairs[index % len(pairs)])
        jobs.append((first, second, (config.seed, seed, index), model.geometry))
    made = []
    work = Maker(embed.Embedder(model.backbone, model.geometry, config.seed))
    for found in tqdm(workers.run(work, jobs, config.workers), total=len(jobs), desc="composites"):
        if isinstance(found, tuple):
            embeddings, truth, rows, cols = found
            made.append(Composite(torch.from_numpy(embeddings), torch.from_numpy(truth), rows, cols))
    return made


class Maker:
    """Makes composites and embeds them. A pickled copy rebuilds the encoder, as `Embedder` does."""

    def __init__(self, embedder: embed.Embedder) -> None:
        self.embedder = embedder

    def __call__(self, job: tuple) -> tuple[np.ndarray, np.ndarray, int, int] | None:
        """The fields of a `Composite`, as arrays; None where `make` makes none."""
        made = make(job)
        if made is None:
            return None
        patches, grid, truth = made
        embeddings = merged(self.embedder.encoder.embed(torch.from_numpy(patches)), grid)
        return embeddings.numpy(), truth, grid.rows, grid.cols


def loss(values: Tensor, truth: Tensor) -> Tensor:
    """Mean over pairs of an altered and an untouched patch of softplus(untouched - altered), of (N,) each."""
    return F.softplus(values[truth == 0][None] - values[truth == 1][:, None]).mean()


def whiten(net: Locator, made: list[Composite]) -> None:
    """Start the projection as the first principal components of standardised embeddings, at unit variance."""
    embeddings = torch.cat([composite.embeddings for composite in made])
    mean, variance = embeddings.mean(0), embeddings.var(0)
    net.norm.running_mean.copy_(mean)
    net.norm.running_var.copy_(variance)
    standard = (embeddings - mean) / (variance + net.norm.eps).sqrt()
    _, sizes, axes = torch.pca_lowrank(standard, net.project.out_features, center=False)
    deviations = (sizes / len(standard) ** 0.5).clamp_min(1e-3)
    net.project.weight.data.copy_((axes / deviations).T)


@torch.no_grad()
def auroc(net: Locator, made: list[Composite]) -> float:
    """Mean over composites of the AUROC within one; dropout off meanwhile."""
    net.eval()
    found = []
    for composite in made:
        known = ~composite.truth.isnan()
        values = net.values(composite.embeddings, composite.rows, composite.cols)
        found.append(roc_auc_score(composite.truth[known], values[known]))
    return float(np.mean(found))


def learn(net: Locator, made: list[Composite], config: Locate, say: Callable[[str], None]) -> Locator:
    """Train `net` on composites and return the running average of its weights."""

    def losses(step: int) -> dict[str, Tensor]:
        net.norm.eval()
        rng = np.random.default_rng([config.seed, 2, step])
        drawn = [made[row].turned(rng) for row in rng.integers(0, len(made), config.pictures)]
        return {"pairs": torch.stack([loss(net(c.embeddings, c.rows, c.cols), c.truth) for c in drawn]).mean()}

    plan = Plan(config.steps, config.rate, config.decay, config.average, warm=0.1, every=200)
    return fit(net, losses, plan, say)


def calibrating(
    entries: list[Entry], model: Model, conditions: Sequence[str], folder: Path | None = None
) -> Iterator[tuple[str, Tensor, int, int]]:
    """Source, embeddings (N, D), rows and columns of calibration pictures, each in the one condition it is used in.

    Args:
        entries, model, conditions: the pictures, the checkpoint, and what one condition is drawn from by lot.
        folder: of `embed`'s shards; where there are none, pictures are embedded, and those that can't be left out.

    Raises:
        DatasetError: the shards are another encoder's, or damaged.
    """
    drawn = {entry.key: condition_of(entry.key, conditions) for entry in entries}
    if folder is None or not (folder / "manifest.json").is_file():
        embedder = embed.Embedder(model.backbone, model.geometry, 0)
        for entry in tqdm(entries, desc="null"):
            made = embedder((entry, drawn[entry.key]))
            if "error" not in made:
                yield counted_as(entry.source), torch.from_numpy(made["embeddings"]), made["rows"], made["cols"]
        return
    for path, rows in embed.shards(folder, embed.backbone_digest(model.backbone)):
        chosen = [index for index, row in enumerate(rows) if drawn.get(row["key"]) == row["life"]]
        for picture in embed.pictures(path, chosen):
            yield counted_as(picture.source), picture.embeddings, picture.rows, picture.cols


def calibrate(
    net: Locator,
    entries: list[Entry],
    model: Model,
    conditions: Sequence[str],
    say: Callable[[str], None],
    folder: Path | None = None,
) -> None:
    """Give the network its null, `locator.NULLS` sorted values of patches of untouched pictures, and rates of outlines.

    The arguments are those of `calibrating`; `say` takes a line.

    Raises:
        DatasetError: no picture is large enough, or as `calibrating`.
    """
    pictures = list(_values(net, calibrating(entries, model, conditions, folder)))
    if not pictures:
        raise DatasetError(f"No calibration picture has {locator.FEWEST} x {locator.FEWEST} patches.")
    everything = torch.cat([values for _, values, _, _ in pictures])
    net.null.copy_(torch.quantile(everything, torch.linspace(0, 1, locator.NULLS, dtype=torch.float64)).float())
    null = net.null.double().numpy()
    judged = ((source, p_value(values.numpy(), null), rows, cols) for source, values, rows, cols in pictures)
    net.outlines = outline_rates(judged)
    say(f"null: {len(everything)} patches of {len(pictures)} real pictures; {told(net.outlines)}")


def _values(net: Locator, pictures: Iterable[tuple[str, Tensor, int, int]]) -> Iterator[tuple[str, Tensor, int, int]]:
    """What `calibrating` gives, with the values (N,) of patches instead of embeddings, of pictures large enough."""
    for source, embeddings, rows, cols in pictures:
        values = net.values(embeddings, rows, cols)
        if values is not None:
            yield source, values.double(), rows, cols


def train(
    model: Model,
    dealt: Split,
    conditions: Sequence[str],
    config: Locate,
    say: Callable[[str], None] = print,
    embeddings: Path | None = None,
) -> Locator:
    """A calibrated locator for a checkpoint.

    Args:
        model: the checkpoint; it is not changed.
        dealt: composites are made of its `train` pictures, judged on its `validation`, the null is of `calibration`.
        conditions: of calibration pictures, those that `bank` calibrates the score with.
        config: the section `locate` of a recipe.
        say: takes each line about the training.
        embeddings: folder of `embed`'s shards, for the null.

    Raises:
        DatasetError: too little to train on or to calibrate with.
    """
    torch.manual_seed(config.seed)
    net = Locator(model.backbone.dim, config.width, config.hidden, config.dropout)
    made = make_all(dealt.train, config.composites, model, config, 0)
    checks = make_all(dealt.validation, config.checks, model, config, 1) if dealt.validation else []
    if not made:
        raise DatasetError("No composite could be made of the training pictures; they are too small.")
    say(f"{len(made)} composites to train on, {len(checks)} to check with")
    whiten(net.eval(), made[:FOR_WHITENING])
    trained = learn(net, made, config, say)
    if checks:
        say(f"AUROC within a composite, {len(checks)} of the validation sources: {auroc(trained, checks):.4f}")
    calibrate(trained, dealt.calibration, model, conditions, say, embeddings)
    return trained


def run(
    folder: Path,
    model: Model,
    dealt: Split,
    conditions: Sequence[str],
    config: Locate,
    say: Callable[[str], None] = print,
    embeddings: Path | None = None,
) -> Path:
    """`train`, and write `locator.safetensors` into the checkpoint `folder`."""
    trained = train(model, dealt, conditions, config, say, embeddings)
    return locator.save(trained, folder / "locator.safetensors")
