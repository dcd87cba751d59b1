"""Train an encoder end to end on labelled pictures, pairs and composites.

    python -m mdmf_core pretrain benchmarks/configs/bundled.json runs/bundled

The paper's backbone is frozen and so is this one afterwards; but a bundled encoder has to come from somewhere. It
starts from ImageNet weights (`imagenet`). A linear unit gives each cell of the encoder's map a logit, and a picture the
mean of its cells', so that what is learned about pictures is learned about their parts. Each step holds

    crops of real and of generated pictures, as many of each, drawn so that a subject is as often real as generated
    (`subjects`): cross-entropy of the picture's logit;
    among them pairs, a photograph and what a generator made from it, at the same place after the same history;
    composites: cross-entropy of each cell with the share of it that was generated;
    crops of both classes without traces, whose answer is `nothing`: there what they show must not decide.

What is kept is the running average of the weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from mdmf_core.errors import DatasetError
from mdmf_core.files import write_whole
from mdmf_core.method import backbones
from mdmf_core.method.weights import read_tensors
from mdmf_core.training import crops, subjects
from mdmf_core.training.dataset import Entry, scan, split
from mdmf_core.training.imagenet import load as load_start
from mdmf_core.training.loop import Plan, fit
from mdmf_core.training.recipe import Pretrain, Roles

HEAD = ("conv_head", "bn2", "logit")  # layers that start at random and learn twice as fast
EMPTY = 0.04  # a composite's crop is drawn again, a few times, where less or all but this share of it is generated


class Learner(nn.Module):
    """An encoder with a linear unit on each cell of its map; only the encoder is kept."""

    def __init__(self, encoder: nn.Module, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.drop = nn.Dropout2d(dropout)
        self.logit = nn.Conv2d(encoder.dim, 1, 1)
        nn.init.normal_(self.logit.weight, std=0.02)
        nn.init.zeros_(self.logit.bias)

    def forward(self, windows: Tensor) -> Tensor:
        """Logits (B, h, w) of the cells of windows (B, 3, V, V) uint8."""
        return self.logit(self.drop(self.encoder.cells(windows)))[:, 0]


class Batches:
    """Draws the windows of each step, and what they should answer."""

    def __init__(self, entries: list[Entry], config: Pretrain, say) -> None:
        self.config = config
        window = config.window
        pairs = crops.find_pairs(Path(config.pairs) if config.pairs else None)
        lives = crops.make_lives(entries, config, window)
        kept = [index for index, found in enumerate(lives) if found]
        self.lives, entries = [lives[index] for index in kept], [entries[index] for index in kept]
        self.labels = np.array([entry.label for entry in entries])
        if set(self.labels) != {0, 1}:
            raise DatasetError("Both real and generated pictures are needed to train an encoder.")
        self.weights = weights_of(entries, self.labels, config)
        subjects.told(self.weights, self.labels, say)
        self.pairs = crops.make_pairs(pairs, config, window)
        self.composites = crops.make_composites(entries, self.weights, pairs, config, window)
        say(f"{len(self.pairs)} pairs, {len(self.composites)} composites")

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Windows (B, 3, V, V) uint8, and the share of each pixel of the composites that was generated, (C, V, V).

        The order is real, generated, composites, without traces.
        """
        config, rng = self.config, np.random.default_rng([self.config.seed, 1, step])
        paired = config.paired if self.pairs else 0
        pairs = [self._pair(rng) for _ in range(paired)]
        whole = []
        for label in (0, 1):
            whole += [pair[label] for pair in pairs] + self._lives(label, config.pictures - paired, rng)
        mixed = [self._composite(rng) for _ in range(config.mixed if self.composites else 0)]
        plain = [self._lives(index % 2, 1, rng)[0] for index in range(config.traceless)]
        traceless = [crops.without_traces(pixels, rng) for pixels in plain]
        stack = np.stack(whole + [pixels for pixels, _ in mixed] + traceless)
        masks = np.stack([mask for _, mask in mixed]) if mixed else np.zeros((0, *stack.shape[1:3]), np.uint8)
        return torch.from_numpy(stack).permute(0, 3, 1, 2), torch.from_numpy(masks) / 255

    def _lives(self, label: int, count: int, rng: np.random.Generator) -> list[np.ndarray]:
        rows = crops.draw(self.labels == label, self.weights, count, rng)
        lives = [self.lives[row][rng.integers(len(self.lives[row]))] for row in rows]
        return [crops.coloured(crops.crop(life, self.config.window, rng), rng) for life in lives]

    def _pair(self, rng: np.random.Generator) -> list[np.ndarray]:
        versions = self.pairs[rng.integers(len(self.pairs))]
        return self._cut(versions[rng.integers(len(versions))], rng)

    def _cut(self, both: Iterable[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
        """The same place of both pictures of a pair, coloured alike."""
        seed = int(rng.integers(2**31))
        alike = [np.random.default_rng(seed) for _ in both]
        return [
            crops.coloured(crops.crop(life, self.config.window, same), same)
            for life, same in zip(both, alike, strict=True)
        ]

    def _one_composite(self, rng: np.random.Generator) -> crops.Composite:
        return self.composites[rng.integers(len(self.composites))]

    def _composite(self, rng: np.random.Generator) -> crops.Composite:
        for _ in range(6):
            pixels, mask = self._one_composite(rng)
            seed = int(rng.integers(2**31))
            part = crops.crop(mask, self.config.window, np.random.default_rng(seed))
            if EMPTY < part.mean() / 255 < 1 - EMPTY:
                break
        return crops.coloured(crops.crop(pixels, self.config.window, np.random.default_rng(seed)), rng), part


def weights_of(entries: list[Entry], labels: np.ndarray, config: Pretrain) -> np.ndarray:
    """How often each picture is drawn: by source, evenly over subjects, faces seldom."""
    weights = subjects.by_source(entries, config.cap, config.tilt)
    weights = subjects.raised(weights, entries, config.raised, config.raised_times)
    if config.clusters and config.start:
        found = subjects.embeddings(entries, Path(config.start))
        weights = subjects.balanced(weights, labels, found, config.clusters, config.seed)
    faces = np.array([entry.source in config.faces for entry in entries])
    return subjects.capped(weights, labels, faces, config.faces_share) if faces.any() else weights


def losses(logits: Tensor, masks: Tensor, config: Pretrain) -> dict[str, Tensor]:
    """Weighted losses of one step, of logits (B, h, w) and the composites' masks (C, V, V), in `Batches`' order."""
    half, count = config.pictures, len(masks)
    pictures = logits.mean((1, 2))
    smooth = config.smoothing
    labels = torch.arange(2, device=logits.device).repeat_interleave(half) * (1 - 2 * smooth) + smooth
    found = {"whole": F.binary_cross_entropy_with_logits(pictures[: 2 * half], labels)}
    if count:
        shares = F.adaptive_avg_pool2d(masks[:, None], logits.shape[1:])[:, 0] * (1 - 2 * smooth) + smooth
        cells = F.binary_cross_entropy_with_logits(logits[2 * half : 2 * half + count], shares)
        found["cells"] = config.cell_weight * cells
    rest = pictures[2 * half + count :]
    if len(rest):
        wanted = torch.full_like(rest, config.nothing)
        found["traceless"] = config.traceless_weight * F.binary_cross_entropy_with_logits(rest, wanted)
    return found


def build(config: Pretrain) -> nn.Module:
    """The encoder to train: its ImageNet start, or random weights where the recipe names none."""
    encoder = backbones.build(config.backbone.name, **config.backbone.arguments).requires_grad_(True)
    if config.start:
        if encoder.name != "lite":
            raise ValueError(f"Only the backbone 'lite' can start from ImageNet weights, not {encoder.name!r}.")
        encoder.start(load_start(encoder.base(config.backbone.variant), Path(config.start)))
    if config.go_on_from:
        encoder.load_state_dict(earlier(encoder, Path(config.go_on_from)))
    return encoder


def earlier(encoder: nn.Module, path: Path) -> dict[str, Tensor]:
    """The weights of an encoder like this one that an earlier run has written.

    Raises:
        DatasetError: they can't be read, or are another encoder's.
    """
    try:
        found = read_tensors(path)
    except ValueError as error:
        raise DatasetError(f"The encoder to go on from can't be read: {error}") from error
    own = encoder.state_dict()
    if {name: value.shape for name, value in found.items()} != {name: value.shape for name, value in own.items()}:
        raise DatasetError(f"The weights in {path} are not those of a {encoder.name} encoder with these settings.")
    return found


def mean(new: dict[str, Tensor], old: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights between new ones and old ones, of which the old have this share; counters are the new ones'."""
    return {
        name: torch.lerp(value, old[name], share) if value.is_floating_point() else value for name, value in new.items()
    }


def pretrain(data: str | Path | Iterable[str], roles: Roles, config: Pretrain, out: Path, say=print) -> Path:
    """Train and write the encoder's weights.

    Args:
        data: root folder of labelled images, or several.
        roles: who is held out; only the `train` entries are used.
        config: the section `pretrain` of a recipe.
        out: folder for `encoder.safetensors`, `encoder.json`, `pretrain.log` and, meanwhile,
            `state.safetensors`, from which an interrupted run goes on.
        say: takes each line of the log, too.

    Returns:
        The path of the encoder's weights.

    Raises:
        DatasetError: a class is missing, the section names a source that there is not, or weights or pairs can't be
            used.
        ValueError: a backbone that can't start from ImageNet weights.
    """
    out.mkdir(parents=True, exist_ok=True)
    found = scan(data)
    _check_sources(found, config)
    entries = [entry for entry in split(found, **dict(roles)).train if entry.source not in config.leave_out]
    torch.manual_seed(config.seed)
    learner = Learner(build(config), config.dropout).to(memory_format=torch.channels_last)
    with open(out / "pretrain.log", "a") as log:

        def tell(line: str) -> None:
            say(line)
            log.write(line + "\n")
            log.flush()

        encoder = _learn(learner, Batches(entries, config, tell), config, out, tell).encoder
    weights = encoder.state_dict()
    if config.go_on_from and config.stay:
        weights = mean(weights, earlier(encoder, Path(config.go_on_from)), config.stay)
    weights = {name: value.contiguous() for name, value in weights.items()}
    write_whole(out / "encoder.json", lambda path: path.write_text(json.dumps(encoder.config, indent=2) + "\n"))
    write_whole(out / "encoder.safetensors", lambda path: save_file(weights, path))
    return out / "encoder.safetensors"


def _check_sources(entries: list[Entry], config: Pretrain) -> None:
    """Refuse a source that the section names and that no picture comes from: it may be misspelt."""
    known = {entry.source for entry in entries}
    for key in ("faces", "raised", "leave_out"):
        for source in getattr(config, key):
            if source not in known:
                near = get_close_matches(source, known, 1)
                advice = f"; the nearest right one is {near[0]}" if near else ""
                raise DatasetError(f"The recipe's `{key}` names {source}, but no picture comes from it{advice}.")


def _learn(learner: nn.Module, batches: Batches, config: Pretrain, out: Path, tell: Callable[[str], None]) -> nn.Module:
    """The running average of the learner's weights."""
    forward = torch.compile(learner) if config.compile else learner

    def step_losses(step: int) -> dict[str, Tensor]:
        windows, masks = batches(step)
        return losses(forward(windows), masks, config)

    plan = Plan(config.steps, config.rate, config.decay, config.average, warm=0.08)
    return fit(learner, step_losses, plan, tell, groups(learner), out / "state.safetensors")


def groups(learner: nn.Module) -> list[dict]:
    """Parameters with their share of the rate: those that start at random learn twice as fast."""
    new = [value for name, value in learner.named_parameters() if name.removeprefix("encoder.").startswith(HEAD)]
    old = [value for value in learner.parameters() if not any(value is other for other in new)]
    return [{"params": old}, {"params": new, "share": 2.0}]
