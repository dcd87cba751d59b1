"""What each part of the encoder's training gives: the whole recipe, and the recipe without one part, for the same time.

    python benchmarks/quality/ablation.py runs/packed ../shared/data runs/ablation --autoencoder ../shared/taef2 \\
        --start runs/efficientnet-lite0-57934424.pth --minutes 6

Each run trains the encoder for the same processor time (of this process, so that other work on the machine counts
little) on the crops that `packed` has written. It is then tried on pictures of the validation and calibration sources
of `benchmarks/configs/folds.json`, with the linear unit that it was trained with: these choose recipes, so they are no
test. As files are, recompressed alike, and resized and recompressed ("web"): AUROC over all pictures and as the mean
over generators of at least 4, against photographs; the share of generated pictures above the photographs' own 95%
point; and the share found where no trace is left. Runs that `OUT` holds already are kept: a stopped command goes on.
Written to `--results` and printed as a table. The whole recipe is trained with several seeds: their spread says how
large a difference has to be.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality import on_gpu, roles  # noqa: E402
from benchmarks.quality.packed import Crop, unpack  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.images import degrade  # noqa: E402
from mdmf_core.images.reader import read  # noqa: E402
from mdmf_core.method.patches import Geometry, cut, merged  # noqa: E402
from mdmf_core.training import crops, encoder  # noqa: E402
from mdmf_core.training.dataset import Entry, lot, scan  # noqa: E402
from mdmf_core.training.metrics import metrics  # noqa: E402
from mdmf_core.training.recipe import Pretrain  # noqa: E402

CONDITIONS = ("as_is", "alike", "web", "without_traces")
LEAST = 4  # pictures of a generator that counts in the mean over generators
Pairs = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Lead:
    """One run: what differs from the whole recipe.

    Args:
        name: as the table has it.
        changed: settings of `Pretrain` that differ.
        sources: share of the sources of each class, drawn by `lot`.
        pretrained: starts from ImageNet.
        balanced: crops are drawn so that a subject is as often real as generated.
        pairs: photographs and what an autoencoder made of them are in the step.
        lives: crops get a random history, not one JPEG.
        colours: colours are shaken.
    """

    name: str
    changed: dict = field(default_factory=dict)
    sources: float = 1.0
    pretrained: bool = True
    balanced: bool = True
    pairs: bool = True
    lives: bool = True
    colours: bool = True


LEADS = (
    Lead("the whole recipe"),
    Lead("no pretrained start", pretrained=False),
    Lead("a quarter of the sources", sources=0.25),
    Lead("half of the sources", sources=0.5),
    Lead("subjects not balanced", balanced=False),
    Lead("no pictures without traces", {"traceless": 0}),
    Lead("one JPEG as history", lives=False),
    Lead("no composites", {"mixed": 0}),
    Lead("no pairs", pairs=False),
    Lead("the whole recipe, another seed", {"seed": 1}),
    Lead("a quarter of the step in pairs", {"paired": 3}),
    Lead("colours as they are", colours=False),
    Lead("no label smoothing", {"smoothing": 0.0}),
    Lead("no average of the weights", {"average": 0.0}),
    Lead("the whole recipe, a third seed", {"seed": 2}),
)


class Batches(on_gpu.Fresh):
    """The batches of one run."""

    def __init__(self, found: list[Crop], pairs: Pairs, config: Pretrain, lead: Lead) -> None:
        super().__init__(found, pairs, config)
        self.lead = lead

    def _life(self, label: int, rng: np.random.Generator) -> np.ndarray:
        if self.lead.lives:
            return super()._life(label, rng)
        return degrade.jpeg(self._one(label, rng).pixels, int(rng.integers(70, 99)))

    def _lives(self, label: int, count: int, rng: np.random.Generator) -> list[np.ndarray]:
        if self.lead.colours:
            return super()._lives(label, count, rng)
        lives = [self._used(label, lambda rng: self._life(label, rng), rng) for _ in range(count)]
        return [crops.crop(life, self.config.window, rng) for life in lives]


def chosen(found: list[Crop], lead: Lead) -> list[Crop]:
    """The crops of a run, with their weights."""
    kept = [crop for crop in found if lot(f"{crop.label}/{crop.source}") < lead.sources]
    if lead.balanced:
        return kept
    counts: dict[tuple[int, str], int] = {}
    for crop in kept:
        counts[crop.label, crop.source] = counts.get((crop.label, crop.source), 0) + 1
    return [crop._replace(weight=1 / counts[crop.label, crop.source]) for crop in kept]


def train(lead: Lead, found: list[Crop], pairs: Pairs, config: Pretrain, start: Path, minutes: float) -> tuple:
    """The averaged learner after some minutes of processor time, and the number of its steps."""
    config = config.model_copy(update=lead.changed)
    batches = Batches(chosen(found, lead), pairs if lead.pairs else [], config, lead)
    trainee = on_gpu.Trainee(start, config, "cpu", config.rate)
    if not lead.pretrained:
        torch.manual_seed(config.seed)
        fresh = encoder.build(config.model_copy(update={"start": None}))
        for learner in (trainee.learner, trainee.average.module):
            learner.encoder.load_state_dict(fresh.state_dict())
    began, steps = time.process_time(), 0
    while (done := (time.process_time() - began) / (60 * minutes)) < 1:
        trainee.step(*batches[steps], done)
        steps += 1
    return trainee.average.module.eval(), steps


def tried_on(data: Path, most: int) -> list[Entry]:
    """Pictures that choose recipes: of validation and calibration sources, no art among them."""
    known = roles.load()
    kept: dict[tuple[int, str], list[Entry]] = {}
    for entry in sorted(scan(data), key=lambda entry: lot(entry.key)):
        role = known.get(roles.name_of(entry.label, entry.source), {})
        if role.get("role") in ("validation", "calibration") and role["kind"] != roles.ART:
            kept.setdefault((entry.label, entry.source), []).append(entry)
    return [entry for own in kept.values() for entry in own[:most]]


@cache
def cut_up(path: Path, key: str, condition: str, window: int) -> tuple[torch.Tensor, object]:
    """Windows of a picture in a condition, and their grid."""
    picture = read(path)
    never = picture.format not in ("JPEG", "MPO")
    pixels = degrade.apply(condition, picture.pixels, degrade.generator(0, condition, key), never, window)
    return cut(pixels, Geometry(32, 256, window=window))


@torch.inference_mode()
def logits(learner: nn.Module, entries: list[Entry], condition: str, window: int) -> np.ndarray:
    """Mean logit of each picture, (N,)."""
    found = []
    for entry in entries:
        windows, grid = cut_up(entry.path, entry.key, condition, window)
        patches = merged(learner.encoder.embed(windows), grid).mean(0)
        found.append(float(patches @ learner.logit.weight[0, :, 0, 0] + learner.logit.bias[0]))
    return np.array(found)


def figures(values: np.ndarray, entries: list[Entry]) -> dict[str, float]:
    """AUROC over all pictures and over generators, and the share above the photographs' own 95% point."""
    labels = np.array([entry.label for entry in entries])
    sources = np.array([entry.source for entry in entries])
    real, generated = values[labels == 0], values[labels == 1]
    own = [values[(labels == 1) & (sources == name)] for name in sorted(set(sources[labels == 1]))]
    by_generator = [metrics(real, made)["auroc"] for made in own if len(made) >= LEAST]
    found = float((generated > np.quantile(real, 0.95)).mean())
    return {"auroc": metrics(real, generated)["auroc"], "mean": float(np.mean(by_generator)), "found": found}


def measured(learner: nn.Module, entries: list[Entry], window: int) -> dict[str, dict[str, float]]:
    """Figures of each condition; found without traces is at the point of the pictures as they are."""
    values = {name: logits(learner, entries, name, window) for name in CONDITIONS}
    labels = np.array([entry.label for entry in entries])
    result = {name: figures(values[name], entries) for name in CONDITIONS}
    limit = np.quantile(values["as_is"][labels == 0], 0.95)
    result["without_traces"]["found"] = float((values["without_traces"][labels == 1] > limit).mean())
    return result


def results(given: argparse.Namespace) -> Iterator[dict]:
    """A row for each lead, new ones trained and written one by one."""
    torch.set_num_threads(given.threads)
    config = Pretrain.model_validate_json((given.packed / "pretrain.json").read_text())
    halves = {name: getattr(config, name) // 2 for name in ("pictures", "paired", "mixed", "traceless")}
    config = config.model_copy(update={**halves, "average": 0.99})
    found, pairs = unpack(given.packed, config.window), None
    entries = tried_on(given.data, given.most)
    for lead in LEADS:
        kept = given.out / (lead.name.replace(" ", "_").replace(",", "") + ".json")
        if not kept.is_file():
            if pairs is None:
                photographs = [crop for crop in found if crop.label == 0][: given.pairs]
                pairs = on_gpu.made_again(photographs, given.autoencoder, "cpu")
            learner, steps = train(lead, found, pairs, config, given.start, given.minutes)
            row = {"lead": lead.name, "minutes": given.minutes, "steps": steps, "pictures": len(entries)}
            row |= measured(learner, entries, config.window)
            text = json.dumps(row, indent=1) + "\n"
            write_whole(kept, lambda place, text=text: place.write_text(text))
        yield json.loads(kept.read_text())


def line(row: dict) -> str:
    """A row of the table."""
    three = ("as_is", "alike", "web")
    cells = [" / ".join(f"{row[name][what]:.3f}" for name in three) for what in ("auroc", "mean", "found")]
    return f"| {row['lead']} | {row['steps']} | {' | '.join(cells)} | {row['without_traces']['found']:.3f} |"


HEAD = "| run | steps | AUROC, all pictures | AUROC, mean over generators | found at the real 95% point | no traces |"


def parsed(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packed", type=Path, help="folder that `packed` has written")
    parser.add_argument("data", type=Path, help="folder with real/SOURCE and fake/SOURCE")
    parser.add_argument("out", type=Path, help="folder of the runs' figures")
    parser.add_argument("--start", type=Path, required=True, help="ImageNet weights of EfficientNet-Lite0")
    parser.add_argument("--autoencoder", type=Path, required=True, help="folder of TAEF2's two files")
    parser.add_argument("--minutes", type=float, default=6.0, help="processor time of each run")
    parser.add_argument("--most", type=int, default=6, help="pictures of a source to try it on")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results" / "ablation.json")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> None:
    options = parsed(given)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    print(f"{HEAD}\n{'|---' * 6}|", flush=True)
    for row in results(options):
        rows.append(row)
        print(line(row), flush=True)
    text = json.dumps(rows, indent=1) + "\n"
    write_whole(options.results, lambda place: place.write_text(text))


if __name__ == "__main__":
    main()
