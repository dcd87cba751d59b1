"""The bank in one pass: bounded in memory, close to the whole, and the same as `bank.build` where nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import picture
from typed import run

from mdmf_core.detector import Detector
from mdmf_core.errors import DatasetError
from mdmf_core.method import calibration, mmd
from mdmf_core.method.reference import Reference
from mdmf_core.training import bank, embed, stream
from mdmf_core.training.dataset import scan
from mdmf_core.training.recipe import Bank

KERNEL = mmd.Kernel(2.0)
CHUNK, SIZE = 1500, 300


def mixture(seed: int, count: int) -> torch.Tensor:
    """(count, 8) float64 around six centres of unequal shares."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(6, 8))
    shares = np.arange(1, 7) / 21
    return torch.from_numpy(centres[rng.choice(6, count, p=shares)] + 0.4 * rng.normal(size=(count, 8)))


def coreset(z: torch.Tensor, mass: torch.Tensor, start: int = 0) -> stream.Coreset:
    return stream.Coreset(mmd.Points(z), mass, np.arange(start, start + len(z)), len(z))


def test_merge_and_reduce_stays_close_to_the_whole_bank_in_little_memory() -> None:
    z = mixture(1, 15_000)
    mass = torch.from_numpy(np.random.default_rng(2).uniform(0.2, 2.0, len(z)))
    mass /= mass.sum()
    merger, held = stream.Merger(SIZE, KERNEL, CHUNK), []
    for start in range(0, len(z), 500):
        merger.add(coreset(z[start : start + 500], mass[start : start + 500], start))
        held.append(sum(len(part.mass) for waiting in merger.levels for part in waiting))
    assert max(held) < 2 * CHUNK and len(merger.levels) == 3
    made = merger.result()
    assert made.seen == len(z) and len(made.mass) <= SIZE and float(made.mass.sum()) == pytest.approx(1, abs=1e-12)
    assert torch.equal(made.points.z, z[torch.from_numpy(made.origin)])
    whole = mmd.bank(mmd.Points(z), KERNEL, mass)
    streamed = mmd.bank(made.points, KERNEL, made.mass / made.mass.sum())
    pictures = [mmd.Points(mixture(seed, 49)) for seed in range(100, 140)]
    scores = [np.array([float(mmd.mmd2_unbiased(x, b, KERNEL)) for x in pictures]) for b in (whole, streamed)]
    assert np.abs(scores[1] - scores[0]).max() <= 0.05 * scores[0].std()
    thinned = mmd.bank(mmd.Points(z[:SIZE]), KERNEL)
    chance = np.array([float(mmd.mmd2_unbiased(x, thinned, KERNEL)) for x in pictures])
    assert np.abs(chance - scores[0]).max() > 0.05 * scores[0].std()


def test_little_is_kept_whole() -> None:
    merger = stream.Merger(SIZE, KERNEL, CHUNK)
    assert merger.result() is None
    merger.add(coreset(mixture(3, 20), torch.full((20,), 0.05)))
    made = merger.result()
    assert made.points.z.equal(mixture(3, 20)) and made.mass.equal(torch.full((20,), 0.05))


@pytest.fixture(scope="module")
def embedded(detector, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """Shards of 26 pictures of three sources in two conditions, and their roles."""
    root = tmp_path_factory.mktemp("data")
    for index in range(26):
        source = ("camera", "gan", "phone")[index % 3]
        folder = root / source / ("1_fake" if source == "gan" else "0_real")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(index, 96 + 3 * index)).save(folder / f"{index}.png")
    entries, model = scan(root), detector.model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embed, "SHARD", 8)
        embed.embed(entries, root / "embeddings", model.backbone, model.geometry, ("as_is", "alike"))
    roles = {e.key: "calibration" if e.source == "phone" else "train" for e in entries}
    return root / "embeddings", roles


CONFIG = Bank(lives=["as_is", "alike"], calibration_lives=["as_is", "alike"], per_picture=1000)


def test_what_is_not_compressed_is_what_bank_builds(detector, embedded) -> None:
    folder, roles = embedded
    pictures = list(embed.load(folder))
    parts = [[p for p in pictures if roles[p.key] == role] for role in ("train", "calibration")]
    config = CONFIG.model_copy(update={"size": 10_000})
    wanted = bank.build(*parts, detector.model, config, lambda line: None)
    made = stream.build(folder, roles, detector.model, config, lambda line: None)
    for one, two in ((made.real, wanted.real), (made.generated, wanted.generated)):
        assert one.points.z.equal(two.points.z)
        assert torch.allclose(one.weights, two.weights, rtol=1e-12)
    assert made.origins == wanted.origins
    assert made.facts["compression_error"]["max"] < 1e-4
    for fact in set(wanted.facts) - {"compression_error"}:
        assert made.facts[fact] == wanted.facts[fact], fact
    for statistic, blocks in wanted.nulls.items():
        for k, scores in blocks.items():
            assert np.allclose(made.nulls[statistic][k].scores, scores.scores, atol=1e-12)


def test_the_error_it_tells_is_the_one_against_all_points(detector, embedded) -> None:
    folder, roles = embedded
    model = detector.model
    whole, small, grouped = (
        stream.build(folder, roles, model, CONFIG.model_copy(update={"size": size}), lambda line: None, chunk=chunk)
        for size, chunk in ((10_000, stream.CHUNK), (60, stream.CHUNK), (60, 100))
    )
    pictures = [p for p in embed.load(folder) if roles[p.key] == "calibration"]
    conditions = CONFIG.calibration_lives
    points = [model.points(p.embeddings) for p in pictures if p.condition == bank.condition_of(p.key, conditions)]

    def scores(made: Reference) -> np.ndarray:
        banks = made.real, made.generated
        found = [calibration.evidence_of(x, model.statistic, *banks, model.kernel)[0].sum() for x in points]
        return np.array(found, float)

    for made in (small, grouped):
        assert len(made.real.weights) <= 60 and made.facts["points_uncompressed"] == whole.facts["points_uncompressed"]
        gaps = scores(made) - scores(whole)
        off = np.abs(gaps - gaps.mean()) / scores(made).std()
        told = made.facts["compression_error"]
        assert told["max"] == pytest.approx(off.max(), rel=0.01) and told["mean"] == pytest.approx(off.mean(), rel=0.01)
    assert not small.real.points.z.equal(grouped.real.points.z)


def test_the_command_makes_a_bank_that_works(checkpoint, embedded, tmp_path, capsys) -> None:
    recipe, mine = tmp_path / "recipe.json", tmp_path / "mine"
    split, section = {"calibration": ["phone"]}, {"size": 40}
    recipe.write_text(json.dumps({"data": str(embedded[0].parent), "split": split, "bank": section}))
    shutil.copytree(checkpoint, mine)
    (mine / "reference.safetensors").unlink()
    assert run("bank", recipe, tmp_path / "run", "--checkpoint", mine, "--stream") == 0
    assert "bank: [40, 40] points for [108, 108] patches" in capsys.readouterr().out
    assert Detector.from_pretrained(mine).detect(picture(1)).verdict.n_calibration == 8


@pytest.mark.parametrize(
    ("size", "change", "words"),
    [
        (0, {}, "size above 0"),
        (9, {"train": "test"}, "no real picture"),
        (9, {"calibration": "test"}, "no calibration pictures"),
    ],
)
def test_what_is_missing_is_one_sentence(size, change, words, detector, embedded) -> None:
    folder, roles = embedded
    roles = {key: change.get(role, role) for key, role in roles.items()}
    with pytest.raises((DatasetError, ValueError), match=words):
        stream.build(folder, roles, detector.model, Bank(size=size), lambda line: None)
