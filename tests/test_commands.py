"""The three steps of the paper on a small sample, from the command line, with both backbones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import picture
from typed import run

from mdmf_core.detector import Detector
from mdmf_core.method import backbones

CONFIGS = {
    "compact": {
        "backbone": {"name": "compact", "channels": [6, 12]},
        "geometry": {"patch_size": 32, "max_patches": 24},
        "pretrain": {
            "window": 64,
            "steps": 60,
            "versions": 2,
            "pictures": 6,
            "side": 96,
            "composites": 8,
            "mixed": 1,
            "traceless": 0,
            "clusters": 0,
            "rate": 3e-3,
        },
    },
    "dinov2": {
        "backbone": {"name": "dinov2", "size": "small", "crop_size": 28, "pooling": "mean"},
        "geometry": {"patch_size": 32, "max_patches": 4, "crop_size": 28},
    },
}


ALONE = ("--processes", "1")  # no other process is started, each of which would import PyTorch again


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The paper's layout: `camera*/0_real` and `gan*/1_fake`, the latter with a checkerboard in every patch."""
    root = tmp_path_factory.mktemp("data")
    checkers = (np.indices((128, 128)).sum(0) % 2 * 16)[..., None]
    for index in range(48):
        fake = index % 2
        pixels = picture(1000 + index, 128, 128).astype(int) + fake * checkers
        folder = root / f"{('camera', 'gan')[fake]}{index % 6}" / ("0_real", "1_fake")[fake]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    (root / "camera0" / "0_real" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return root


def write_recipe(recipe: Path, kind: str, data: Path) -> None:
    """A recipe of few steps, and the weights that it needs."""
    settings = dict(CONFIGS[kind])
    if kind == "dinov2":
        weights = recipe.parent / "weights" / "model.safetensors"
        weights.parent.mkdir()
        save_file(backbones.build("dinov2", size="small").model.state_dict(), weights)
        settings["backbone"] = settings["backbone"] | {"weights": str(weights.parent)}
    split = {"test": ["camera4", "gan5"], "validation": ["camera2", "gan3"], "calibration_share": 0.6}
    train = {"steps": 60, "check": 30, "pictures": 8, "patches": 6, "bank_pictures": 20, "hidden": 16, "signature": 4}
    settings |= {
        "data": str(data),
        "split": split,
        "embed": {"lives": ["as_is"]},
        "train": train,
        "bank": {"size": 64},
    }
    recipe.write_text(json.dumps(settings))


@pytest.mark.parametrize("kind", ["compact", pytest.param("dinov2", marks=pytest.mark.stress)])
def test_chain(kind: str, data: Path, tmp_path: Path, capsys) -> None:
    recipe, made, alone = tmp_path / "recipe.json", tmp_path / "run", ALONE if kind == "dinov2" else ()
    write_recipe(recipe, kind, data)
    if kind == "compact":
        (data / "camera0" / "0_real" / "broken.png").rename(data / "broken.away")
        assert run("pretrain", recipe, made) == 0
        (data / "broken.away").rename(data / "camera0" / "0_real" / "broken.png")
    assert run("embed", recipe, made, *alone) == 0
    assert "1 failed" in capsys.readouterr().out
    shards = sorted((made / "embeddings").glob("*.safetensors"))
    before = [shard.read_bytes() for shard in shards]
    shards[0].unlink()
    assert run("embed", recipe, made, *alone) == 0
    assert [shard.read_bytes() for shard in shards] == before
    assert run("train", recipe, made) == 0
    assert "validation AUROC" in (made / "train.log").read_text()
    assert run("bank", recipe, made, *alone) == 0
    capsys.readouterr()
    told = "--out", made / "evaluation", "--recipe", recipe
    assert run("evaluate", made / "checkpoint", data, *told, *alone) == 0
    assert "gan5" in capsys.readouterr().out
    figures = json.loads((made / "evaluation" / "metrics.json").read_text())
    assert figures
    with open(made / "evaluation" / "scores.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["condition"] == "as_is"]
    real = [float(row["score"]) for row in rows if row["label"] == "0"]
    generated = [float(row["score"]) for row in rows if row["label"] == "1"]
    assert len(real) == len(generated) == 8
    if kind == "compact":
        assert np.mean([g > r for g in generated for r in real]) > 0.9
    assert not list(made.rglob("*.part"))
    detector = Detector.from_pretrained(made / "checkpoint")
    evidence = detector.detect(data / "gan5" / "1_fake" / "5.png")
    assert evidence.model.backbone == kind
    assert abs(evidence.verdict.shares.sum() - evidence.verdict.score) <= 1e-12


def test_bank_from_a_folder_needs_no_earlier_step(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"data": str(data), "split": {"calibration": ["camera2"]}, "bank": {"size": 0}}))
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("config.json", "model.safetensors"):
        (mine / name).write_bytes((checkpoint / name).read_bytes())
    assert run("bank", recipe, tmp_path / "run", "--checkpoint", mine, *ALONE) == 0
    assert Detector.from_pretrained(mine).detect(data / "gan1" / "1_fake" / "1.png").verdict.n_calibration == 8


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "not JSON"),
        ("{}", "lacks the key `data`"),
        ('{"data": "x", "odd": 1}', "odd"),
        ('{"data": "x", "split": {"odd": []}}', "odd"),
        ('{"data": "nowhere"}', "not trained yet"),
    ],
)
def test_a_bad_recipe_is_one_sentence(text: str, words: str, tmp_path: Path, capsys) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(text)
    assert run("embed", recipe, tmp_path / "run") == 1
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said and said.count("\n") == 1


def test_embeddings_of_another_encoder_are_refused(checkpoint: Path, data: Path, tmp_path: Path, capsys) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"data": str(data), "split": {"calibration": ["camera2"]}}))
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    (other / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes())
    assert run("bank", recipe, tmp_path / "run", "--checkpoint", other, *ALONE) == 0
    tensors = load_file(other / "model.safetensors")
    tensors["backbone.layers.0.weight"] += 1
    save_file(tensors, other / "model.safetensors")
    assert run("bank", recipe, tmp_path / "run", "--checkpoint", other, *ALONE) == 1
    assert "another encoder" in capsys.readouterr().err


def test_locate_wants_a_checkpoint_first(data: Path, tmp_path: Path, capsys) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"data": str(data)}))
    assert run("locate", recipe, tmp_path / "run") == 1
    assert "run `train` first" in capsys.readouterr().err
