"""DINOv2: numbers against an independent implementation, positions, the original layout, and use as a backbone."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from dino import WIDTH, chunked, original_state, publish, transformers_state
from hub import StandIn, connect
from safetensors.torch import save_file
from typed import run

from benchmarks.speed import gpu
from mdmf_app.context import first_detector
from mdmf_core.checkpoint import store
from mdmf_core.checkpoint.config import DINOv2 as Settings
from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError, DatasetError
from mdmf_core.images.reader import read
from mdmf_core.method import backbones
from mdmf_core.method.backbones import dinov2
from mdmf_core.method.backbones.dinov2 import GRID, DINOv2, timm_names
from mdmf_core.method.patches import Geometry, cut
from mdmf_core.method.weights import read_tensors
from mdmf_core.training import embed
from mdmf_core.training.dataset import scan

WITH_TRANSFORMERS = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="no transformers for Python 3.10 fits beside this huggingface-hub"
)


def loaded(state: dict[str, torch.Tensor], folder: Path, depth: int, **settings) -> DINOv2:
    """A ViT-S cut to `depth` blocks, with weights from a `.pth` file in the original layout."""
    torch.save(state, folder / "dinov2_vits14_pretrain.pth")
    encoder = backbones.build("dinov2", size="small", **settings)
    encoder.model.blocks = encoder.model.blocks[:depth]
    encoder.load_weights(folder / "dinov2_vits14_pretrain.pth")
    return encoder


def independent(state: dict[str, torch.Tensor], depth: int, registers: int, side: int) -> torch.nn.Module:
    """Hugging Face's implementation with the same weights."""
    from transformers import Dinov2Config, Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    settings = {"hidden_size": WIDTH, "num_hidden_layers": depth, "num_attention_heads": 6, "image_size": side}
    if registers:
        theirs = Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**settings, patch_size=14))
    else:
        theirs = Dinov2Model(Dinov2Config(**settings, patch_size=14))
    theirs.load_state_dict(transformers_state(state))
    return theirs.eval()


@WITH_TRANSFORMERS
@pytest.mark.parametrize("registers", [0, 4])
def test_all_tokens_agree_with_an_independent_implementation_at_518_pixels(registers: int, tmp_path: Path) -> None:
    state = original_state(2, registers)
    encoder = loaded(state, tmp_path, 2, crop_size=518, registers=registers)
    crops = torch.randn(1, 3, 518, 518, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = encoder.tokens(crops)
        wanted = independent(state, 2, registers, 518)(crops).last_hidden_state
    assert found.shape == (1, 1 + registers + GRID**2, WIDTH) and found.std() > 0.5
    assert (found - wanted).abs().max() <= 1e-4


@WITH_TRANSFORMERS
@pytest.mark.parametrize("positions", ["timm", "original"])
def test_whole_depth_agrees_where_positions_are_resized(positions: str, tmp_path: Path) -> None:
    state = original_state()
    encoder = loaded(state, tmp_path, 12, crop_size=56, positions=positions)
    resized = torch.cat([state["pos_embed"][:, :1], encoder.positions()], 1)
    crops = torch.randn(3, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = independent(state | {"pos_embed": resized}, 12, 0, 56)(crops).last_hidden_state
        assert (encoder.tokens(crops) - wanted).abs().max() <= 1e-4
        if positions == "timm":
            torch.testing.assert_close(encoder.tokens(crops), encoder.model.forward_features(crops))


def cubic(distance: float) -> float:
    """The cubic convolution kernel of PyTorch's bicubic interpolation, a = -0.75."""
    x, a = abs(distance), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_original_positions_are_sampled_with_the_offset_and_without_antialiasing(tmp_path: Path) -> None:
    state, cells = original_state(0), 7
    found = loaded(state, tmp_path, 0, crop_size=98, positions="original").positions()
    weights = np.zeros((cells, GRID))
    for cell in range(cells):
        place = (cell + 0.5) * GRID / (cells + 0.1) - 0.5
        for column in range(math.floor(place) - 1, math.floor(place) + 3):
            weights[cell, min(max(column, 0), GRID - 1)] += cubic(place - column)
    grid = state["pos_embed"][0, 1:].reshape(GRID, GRID, WIDTH).numpy().astype(np.float64)
    wanted = np.einsum("ai,bj,ijd->abd", weights, weights, grid).reshape(1, cells**2, WIDTH)
    assert np.abs(found.numpy() - wanted).max() < 1e-4
    timm = loaded(state, tmp_path, 0, crop_size=98).positions()
    assert (timm - found).abs().max() > 0.1, "the two ways are not the same, so that the config must say which"


def test_both_ways_are_one_at_518_pixels_and_with_registers(tmp_path: Path) -> None:
    for registers, side in ((0, 518), (4, 98)):
        ways = [
            loaded(original_state(0, registers), tmp_path, 0, crop_size=side, positions=way, registers=registers)
            for way in ("timm", "original")
        ]
        assert torch.equal(ways[0].positions(), ways[1].positions())


@pytest.mark.parametrize("pooling", ["class", "mean"])
@pytest.mark.parametrize("registers", [0, 4])
def test_pooling_takes_the_tokens_that_it_names(pooling: str, registers: int, tmp_path: Path) -> None:
    state = original_state(2, registers)
    encoder = loaded(state, tmp_path, 2, crop_size=42, pooling=pooling, registers=registers)
    patches = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    crops = torch.nn.functional.interpolate(patches.float(), (42, 42), mode="bicubic", antialias=True)
    inputs = (crops.clamp(0, 255) / 255 - encoder.mean) / encoder.std
    with torch.inference_mode():
        maps, prefix = encoder.model.forward_intermediates(
            inputs, indices=1, norm=True, intermediates_only=True, return_prefix_tokens=True
        )[0]
    wanted = prefix[:, 0] if pooling == "class" else maps.mean((2, 3))
    torch.testing.assert_close(encoder.embed(patches), wanted, atol=1e-4, rtol=1e-4)


def test_the_original_layouts_load_as_the_same_weights_as_timms(tmp_path: Path) -> None:
    state = original_state()
    encoder = backbones.build("dinov2", size="small", crop_size=28)
    files = {"timm.safetensors": None, "plain.pth": state, "chunked.pth": chunked(state)}
    save_file(timm_names(state), tmp_path / "timm.safetensors")
    found = []
    for name, content in files.items():
        if content is not None:
            torch.save(content, tmp_path / name)
        with torch.no_grad():
            encoder.model.norm.weight.add_(1)
        encoder.load_weights(tmp_path / name)
        found.append({key: value.clone() for key, value in encoder.model.state_dict().items()})
    for other in found[1:]:
        assert all(torch.equal(found[0][key], value) for key, value in other.items())


@pytest.mark.parametrize("registers", [0, 4])
def test_the_giant_models_gated_layers_have_their_place(registers: int) -> None:
    with torch.device("meta"):
        wanted = backbones.build("dinov2", size="giant", registers=registers).model.state_dict()
    original = {"mask_token": torch.empty(1, 1536, device="meta")}
    for name, value in wanted.items():
        if name == "pos_embed":
            value = torch.empty(1, 1 + GRID**2, 1536, device="meta")
        name = name.replace("reg_token", "register_tokens")
        original[name.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3")] = value
    found = timm_names(chunked(original, 10))
    assert {name: value.shape for name, value in found.items()} == {k: v.shape for k, v in wanted.items()}


class Runs:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda state, path: torch.save(state | {"odd": torch.zeros(1)}, path), "unexpected: odd"),
        (lambda state, path: torch.save({k: v for k, v in state.items() if k != "norm.bias"}, path), "missing: norm.b"),
        (lambda state, path: torch.save(state | {"cls_token": torch.zeros(1, 1, 768)}, path), "wrong shape: cls_token"),
        (lambda state, path: torch.save(state | {"norm.bias": torch.full((WIDTH,), math.nan)}, path), "not finite"),
        (lambda state, path: torch.save(original_state(0, 4), path), "unexpected: reg_token"),
        (lambda state, path: torch.save({"model": state}, path), "flat dictionary of tensors"),
        (lambda state, path: torch.save([1], path), "flat dictionary of tensors"),
        (lambda state, path: torch.save(torch.nn.Linear(2, 2), path), "tensors alone"),
        (lambda state, path: torch.save({"a": Runs(path.parent / "ran")}, path), "tensors alone"),
        (lambda state, path: path.write_bytes(b"<html>"), "tensors alone"),
        (lambda state, path: path.write_bytes(b""), "tensors alone"),
        (lambda state, path: None, "There is no file"),
    ],
    ids=["odd", "lacks", "wide", "nan", "registers", "nested", "list", "module", "code", "html", "empty", "absent"],
)
def test_a_file_that_is_no_such_state_dict_is_one_sentence(spoil, words: str, tmp_path: Path) -> None:
    path = tmp_path / "dinov2_vits14_pretrain.pth"
    spoil(original_state(0), path)
    encoder = backbones.build("dinov2", size="small", crop_size=28)
    encoder.model.blocks = encoder.model.blocks[:0]
    with pytest.raises(ValueError, match=words) as caught:
        encoder.load_weights(path)
    said = str(caught.value)
    assert said.endswith(".") and "\n" not in said and str(tmp_path) not in said
    assert not (tmp_path / "ran").exists()


def test_a_cut_off_file_is_one_sentence(tmp_path: Path) -> None:
    torch.save(original_state(0), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:9000])
    with pytest.raises(ValueError, match=r"cut\.pth can't be read as a PyTorch file"):
        read_tensors(tmp_path / "cut.pth")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": "tiny"}, "sizes"),
        ({"crop_size": 100}, "multiple of 14"),
        ({"crop_size": "98"}, "multiple of 14"),
        ({"pooling": "max"}, "Pooling"),
        ({"positions": "nearest"}, "Positions"),
        ({"registers": 2}, "registers"),
    ],
)
def test_wrong_settings_are_one_sentence(settings: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        backbones.build("dinov2", **{"size": "small", **settings})


def test_each_size_and_variant_has_its_published_repository(monkeypatch) -> None:
    asked = []

    def download(repo, files, *rest, **options):
        asked.append(repo)
        raise CheckpointError("not here.")

    monkeypatch.setattr(store.hub, "download", download)
    for size, registers in product(("small", "base", "large", "giant"), (0, 4)):
        with pytest.raises(CheckpointError), torch.device("meta"):
            store.build_backbone(Settings(size=size, registers=registers))
    assert asked[:2] == ["timm/vit_small_patch14_dinov2.lvd142m", "timm/vit_small_patch14_reg4_dinov2.lvd142m"]
    assert len(set(asked)) == 8


GEOMETRY = Geometry(32, 4, 64, 28)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A checkpoint folder whose backbone is a random ViT-S in a local folder."""
    settings = Settings(size="small", crop_size=28)
    folder = tmp_path_factory.mktemp("made") / "checkpoint"
    return gpu.make_checkpoint(folder, settings, GEOMETRY, gpu.pictures(12), "cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two photographs as files."""
    folder = tmp_path_factory.mktemp("photos") / "0_real"
    folder.mkdir()
    for index, data in enumerate(gpu.pictures(2, seed=5)):
        (folder / f"{index}.jpg").write_bytes(data)
    return folder


def test_a_user_names_the_checkpoint_by_option_or_by_setting(whole: Path, photos: Path, monkeypatch, capsys) -> None:
    assert run("detect", photos, "--model", whole, "--json") == 0
    by_option = capsys.readouterr().out
    monkeypatch.setenv("MDMF_MODEL", str(whole))
    assert run("detect", photos, "--json") == 0
    assert capsys.readouterr().out == by_option
    found = [json.loads(line) for line in by_option.splitlines()]
    assert [row["n_patches"] for row in found] == [4, 4] and found[0]["score"] != found[1]["score"]
    page, warning = first_detector()
    assert warning == "" and page.model.backbone.name == "dinov2"
    assert page.detect(photos / "0.jpg").verdict.score == found[0]["score"]


def test_the_weights_come_from_the_hub_at_the_commit_that_the_checkpoint_names(whole, tmp_path, monkeypatch) -> None:
    mine = Path(shutil.copytree(whole, tmp_path / "mine"))
    (mine / "weights" / "config.json").write_text("{}")
    config = json.loads((mine / "config.json").read_text())
    name = "timm/vit_small_patch14_dinov2.lvd142m"
    with StandIn() as server:
        commit = publish(monkeypatch, server, name, mine / "weights")
        server.publish(name, {"model.safetensors": b"moved on"})
        config["backbone"] |= {"weights": name, "revision": commit}
        (mine / "config.json").write_text(json.dumps(config))
        connect(monkeypatch, server.url, tmp_path / "home")
        found = Detector.from_pretrained(mine).detect(gpu.pictures(1)[0])
        assert server.bodies == ["model.safetensors"]
    assert found.verdict.score == Detector.from_pretrained(whole).detect(gpu.pictures(1)[0]).verdict.score


def test_training_and_inference_resize_positions_in_one_way(whole: Path, photos: Path, tmp_path: Path) -> None:
    trained = store.load(whole)
    assert json.loads((whole / "config.json").read_text())["backbone"]["positions"] == "timm"
    embed.embed(scan(photos.parent), tmp_path / "embeddings", trained.backbone, trained.geometry)
    for stored in embed.load(tmp_path / "embeddings", embed.backbone_digest(trained.backbone)):
        patches, _ = cut(read(photos.parent / stored.key).pixels, trained.geometry)
        assert torch.equal(Detector.from_pretrained(whole).model.backbone.embed(patches), stored.embeddings)
    other = store.build_backbone(trained.source.model_copy(update={"positions": "original"}))
    with pytest.raises(DatasetError, match="another encoder"):
        next(embed.load(tmp_path / "embeddings", embed.backbone_digest(other)))


def test_memory_is_bounded_by_the_batch(whole: Path, monkeypatch) -> None:
    encoder, sizes = store.load(whole).backbone, []
    patches = torch.randint(0, 256, (11, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    wanted = encoder.embed(patches)
    forward = encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda chunk: sizes.append(len(chunk)) or forward(chunk))
    monkeypatch.setattr(dinov2, "TOKENS_AT_ONCE", 20)
    torch.testing.assert_close(encoder.embed(patches), wanted, atol=1e-4, rtol=1e-4)
    assert sizes == [4, 4, 3]


def test_the_benchmark_says_that_there_is_no_gpu(monkeypatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 1
    told = capsys.readouterr()
    assert told.err == gpu.NO_GPU + "\n" and told.out == ""


def test_the_benchmark_measures_and_plans(whole: Path) -> None:
    detector = Detector.from_pretrained(whole, device="cpu")
    found = gpu.rate(detector, gpu.pictures(2))
    assert found.detector > 0 and found.encoder > 0 and found.memory == 0
    planned = gpu.plan(1_000_000, 2, 49, 1024, 100.0, 3.0)
    assert planned == "1,000,000 pictures, 2 lives: 401.41 GB, 5.56 h, 16.67 at 3 an hour"
    settings = Settings(size="small", crop_size=28)
    millions, tflop = gpu.work(settings, 49)
    multiplied = 12 * (12 * WIDTH**2 * 5 + 2 * WIDTH * 25) + 4 * 3 * 14**2 * WIDTH
    assert millions == pytest.approx(22.06, abs=0.01) and tflop == pytest.approx(2 * multiplied * 49 / 1e12, rel=1e-6)


def test_the_benchmark_sees_whether_two_devices_agree(whole: Path) -> None:
    first, second = (Detector.from_pretrained(whole, device="cpu") for _ in range(2))
    files = gpu.pictures(3, seed=2)
    assert gpu.agreement(first, second, files) == gpu.Agreement(3, 3, 0.0, 0.0, 0.0)
    with torch.no_grad():
        second.model.backbone.model.norm.bias.add_(0.3)
    apart = gpu.agreement(first, second, files)
    assert apart.embedding > 0.01 and apart.score > 0
