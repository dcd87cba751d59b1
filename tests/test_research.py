"""The import of research checkpoints: the same outputs, every assumption printed, nothing placed by guess."""

from __future__ import annotations

import json
import math
import os
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from dino import hub_folder
from PIL import Image
from published import LIU, network
from tiny import picture
from torch import nn
from typed import run

from mdmf_core.checkpoint import store
from mdmf_core.detector import Detector
from mdmf_core.method import mmd
from mdmf_core.method.signature import ACTIVATIONS, PFS
from mdmf_core.training.research import Read, signature

D = 384


def imported(content: object, activation: str = "relu", **forms) -> tuple[PFS, mmd.Kernel]:
    """The signature and the kernel that a file's content becomes."""
    how = Read(activation=activation, sigma_form=forms.get("sigma"), epsilon_form=forms.get("epsilon"))
    pfs = signature(content, how, [])
    return pfs, mmd.Kernel(*(None if value is None else float(value) for value in pfs.kernel_values()))


def embeddings(count: int = 20, dim: int = D) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", [[6, 3], [6, 8, 3], [6, 10, 9, 8, 3]])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_are_those_of_the_plain_network(activation: str, widths: list[int], bias: bool) -> None:
    plain = network(widths, activation, bias)
    pfs, _ = imported({**plain.state_dict(), "sigma0": 0.1}, activation)
    points = embeddings(dim=6)
    z, e = pfs(points)
    assert (z - plain(points)).abs().max() <= 1e-6 and e is None
    again = PFS(**pfs.config)
    again.load_state_dict(pfs.state_dict())
    assert torch.equal(again.eval()(points)[0], z), "the config alone rebuilds it"


def liu_kernel(net: nn.Module, x: torch.Tensor, y: torch.Tensor, stored: dict[str, float]) -> torch.Tensor:
    """Liu et al.'s kernel written out, in float64, from the parameters as their code keeps them."""
    net, x, y = net.double(), x.double(), y.double()
    ep = math.exp(stored["epsilonOPT"]) / (1 + math.exp(stored["epsilonOPT"]))
    sigma, sigma0 = stored["sigmaOPT"] ** 2, stored["sigma0OPT"] ** 2
    latent, original = torch.cdist(net(x), net(y)) ** 2, torch.cdist(x, y) ** 2
    return (1 - ep) * torch.exp(-latent / sigma0 - original / sigma) + ep * torch.exp(-original / sigma)


@pytest.mark.parametrize("wrap", ["flat", "nested", "parallel"])
def test_the_deep_kernel_is_that_of_the_literature(wrap: str) -> None:
    net = network([D, 16, 16, 4], "softplus")
    state = net.state_dict()
    content = {
        "flat": {**state, **{name: torch.tensor([value]) for name, value in LIU.items()}},
        "nested": {"state_dict": OrderedDict(state), "kernel": LIU},
        "parallel": {**{f"module.latent.{k}": v for k, v in state.items()}, **LIU},
    }[wrap]
    pfs, kernel = imported(content, "softplus")
    x, y = embeddings(9), embeddings(30)[9:]
    with torch.inference_mode():
        found = mmd.gram(*(mmd.Points(*(part.double() for part in pfs(side))) for side in (x, y)), kernel)
        assert (found - liu_kernel(net, x, y, LIU)).abs().max() <= 1e-6
    assert 1e-3 < found.max() < 1


@pytest.mark.parametrize(
    ("form", "stored", "squared"),
    [
        ("plain", 0.3, 0.3),
        ("squared", -0.3, 0.09),
        ("gaussian", 0.3, 0.18),
        ("log", -2.0, math.exp(-2)),
        ("log-squared", -2.0, math.exp(-4)),
    ],
)
def test_each_form_of_a_bandwidth(form: str, stored: float, squared: float) -> None:
    _, kernel = imported({**network([4, 2]).state_dict(), "sigma0": stored}, sigma=form)
    assert kernel.s_z**2 == pytest.approx(squared, rel=1e-6) and kernel.s_e is None


@pytest.mark.parametrize(
    ("form", "stored", "share"),
    [("plain", 0.2, 0.2), ("sigmoid", -1.0, 1 / (1 + math.e)), ("squared", 0.5, 0.25), ("log", -2.0, math.exp(-2))],
)
def test_each_form_of_epsilon(form: str, stored: float, share: float) -> None:
    content = {**network([4, 2]).state_dict(), "sigma0": 1.0, "sigma": 2.0, "ep": stored}
    assert imported(content, epsilon=form)[1].eps == pytest.approx(share, rel=1e-6)


@pytest.mark.parametrize(
    ("scalars", "s_z", "s_e", "eps"),
    [
        ({"sigma0OPT": 3.0}, 9.0, None, None),
        ({"log_sigma0": 1.0}, math.exp(2), None, None),
        ({"sigma": 3.0}, 3.0, None, None),
        ({"sigma0": 3.0, "sigma": 5.0}, 3.0, 5.0, 0.0),
        ({"sigma_0": 3.0, "sigma": 5.0, "epsilon": 1e-10}, 3.0, 5.0, 1e-10),
        ({"sigma0OPT": 3.0, "sigmaOPT": 5.0, "log_eps": -1.0}, 9.0, 25.0, math.exp(-1)),
    ],
)
def test_forms_go_by_the_names(scalars: dict, s_z: float, s_e: float | None, eps: float | None) -> None:
    _, kernel = imported({**network([4, 2]).state_dict(), **scalars})
    found = [kernel.s_z**2, None if kernel.s_e is None else kernel.s_e**2, kernel.eps]
    for value, wanted in zip(found, (s_z, s_e, eps), strict=True):
        assert value == (None if wanted is None else pytest.approx(wanted, rel=1e-6, abs=1e-11))


def test_a_standardisation_in_front_is_kept_and_the_kernel_sees_it() -> None:
    norm = nn.BatchNorm1d(6, affine=False)
    norm(embeddings(dim=6) * 3 + 1)
    net = nn.Sequential(norm, network([6, 5, 2])).eval()
    pfs, kernel = imported({**net.state_dict(), "sigma0": 1.0, "sigma": 1.0})
    z, e = pfs(embeddings(dim=6))
    assert (z - net(embeddings(dim=6))).abs().max() <= 1e-6
    assert torch.equal(e, norm(embeddings(dim=6))) and kernel.eps < 1e-40


@pytest.mark.parametrize("deep", [False, True])
def test_our_own_signatures_come_back_as_they_were(deep: bool) -> None:
    torch.manual_seed(2)
    pfs = PFS(6, [5, 4], 2, deep)
    pfs(embeddings(dim=6))
    found, kernel = imported(pfs.eval().requires_grad_(False).state_dict())
    assert torch.equal(found(embeddings(dim=6))[0], pfs(embeddings(dim=6))[0])
    assert found.config == pfs.config
    wanted = [None if value is None else float(value) for value in pfs.kernel_values()]
    assert [value is None for value in kernel] == [value is None for value in wanted]
    assert [v for v in kernel if v is not None] == pytest.approx([v for v in wanted if v is not None], rel=1e-6)


def test_signatures_of_earlier_checkpoints_have_the_tensors_that_they_had() -> None:
    names = ["log_s_z", "log_s_e", "logit_eps", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
    names += ["mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias"]
    earlier = {"dim": 6, "hidden": 8, "signature": 2, "deep": True}
    pfs = PFS(**earlier)
    assert list(pfs.state_dict()) == names and isinstance(pfs.mlp[1], nn.ReLU)
    assert pfs.config == {**earlier, "activation": "relu", "norm": True}


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"activation": "sine"}, "activation"), ({"hidden": [8, 0]}, "widths"), ({"hidden": "96"}, "widths")],
)
def test_a_signature_that_makes_no_sense_is_one_sentence(settings: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PFS(6, **settings)


class Runs:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A folder with a random ViT-S."""
    return hub_folder(tmp_path_factory.mktemp("weights"))


GOOD = {**network([D, 8, 4]).state_dict(), **LIU}


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ({**GOOD, "epoch": 3}, (), r"no place for epoch, a number; .* --ignore epoch\."),
        ({**GOOD, "name": "pfs"}, (), "no place for name, a str"),
        ({**GOOD, "optimizer": {"state": [1]}}, (), "no place for optimizer.state, a list"),
        ({**GOOD, "1.weight": torch.ones(8)}, (), "no place for 1.weight, a tensor of 8 values"),
        ({**GOOD, "3.running_mean": torch.ones(4)}, (), "no place for 3.running_mean"),
        ({**GOOD, "tokens": torch.ones(2, 3)}, (), "no place for tokens, a tensor of 2 x 3 values"),
        ({**GOOD, "0.steps": torch.ones(2, dtype=torch.int64)}, (), "no place for 0.steps, .* of type int64"),
        (
            {**GOOD, "2.bias": torch.full((4,), math.nan)},
            (),
            "no place for 2.bias, a tensor of 4 values that are not finite",
        ),
        ({**GOOD, "2.bias": torch.ones(5)}, (), "no place for 2.bias, a tensor of 5 values"),
        ({**GOOD, "4.weight": torch.ones(3, 9)}, (), "no place for 4.weight, a tensor of 3 x 9 values"),
        ({**GOOD, "head.sigma": 1.0}, (), "no place for head.sigma, a number"),
        (dict(LIU), (), "no linear layer"),
        (network([D, 4]).state_dict(), (), "no bandwidth of signatures; .* --set sigma0"),
        ({**network([D, 4]).state_dict(), "sigma0": 1.0, "ep": 0.1}, (), "no place for ep, a number"),
        ({**GOOD, "sigma0OPT": 0.0}, (), "sigma0OPT is 0, no bandwidth in the form squared"),
        (GOOD, ("--epsilon-form", "plain"), r"epsilonOPT is -2, no share in \[0, 1\) in the form plain"),
        (GOOD, ("--sigma-form", "cubed"), "form of sigma0OPT is one of plain, squared"),
        ({**GOOD, "sigmaOPT": 1e4}, ("--sigma-form", "log"), "sigmaOPT is 10000, no bandwidth in the form log"),
        (GOOD, ("--activation", "sine"), "activation is one of relu"),
        (GOOD, ("--statistic", "median"), "statistic is one of mmd, relative"),
        (GOOD, ("--set", "sigma0"), "--set takes NAME=VALUE"),
        (GOOD, ("--set", "sigmaOPT=2"), r"no place for sigmaOPT, a number; .* --ignore sigmaOPT\."),
        ({**network([100, 4]).state_dict(), "sigma0": 1.0}, (), "takes 100 values; DINOv2's embeddings have 384"),
        ([GOOD], (), "The file holds a list, not named tensors"),
        (network([D, 4]), (), "tensors alone"),
    ],
)
def test_what_has_no_certain_place_is_refused(content, options, words, weights, tmp_path, capsys) -> None:
    torch.save(content, tmp_path / "net.pth")
    assert run("import", tmp_path / "net.pth", tmp_path / "out", "--backbone", weights, *options) == 1
    said = capsys.readouterr().err
    assert re.search(words, said) and said.count("\n") == 1 and said.endswith(".\n"), said
    assert not (tmp_path / "out").exists()


def test_code_in_the_file_is_not_run(tmp_path: Path, capsys) -> None:
    torch.save({**GOOD, "extra": Runs(tmp_path / "ran")}, tmp_path / "net.pth")
    assert run("import", tmp_path / "net.pth", tmp_path / "out") == 1
    assert "tensors alone" in capsys.readouterr().err and not (tmp_path / "ran").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, capsys) -> None:
    torch.save(GOOD, tmp_path / "net.pth")
    assert run("import", tmp_path / "net.pth", tmp_path) == 1
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_what_was_found_and_assumed_is_printed(weights: Path, tmp_path: Path, capsys) -> None:
    content = {"epoch": 9, "optimizer": {"state": {0: [1]}}, "model": network([D, 8, 4]).state_dict()}
    torch.save(content, tmp_path / "net.pth")
    given = ("--ignore", "epoch", "--ignore", "optimizer", "--set", "sigma0=0.1", "--activation", "gelu")
    assert run("import", tmp_path / "net.pth", tmp_path / "out", "--backbone", weights, *given) == 0
    said = capsys.readouterr().out
    for words in (
        "model.0.weight 8 x 384 and its bias -> layer 1",
        "model.2.weight 4 x 8 and its bias -> layer 2",
        "sigma0 = 0.1, read as plain: exp(-d / sigma) on signatures",
        "kernel: plain, on signatures alone",
        "384 -> 8 -> 4, gelu between layers",
        "backbone (the paper's, assumed): name dinov2, size small, crop_size 98, pooling class, positions timm",
        "geometry (the paper's, assumed): patch_size 32, max_patches 49, resize 224",
        "statistic: mmd",
        f"next: python -m mdmf_core bank RECIPE RUN --checkpoint {tmp_path / 'out'}",
    ):
        assert words in said, said


def test_bank_and_detector_take_over_from_there(weights: Path, tmp_path: Path, capsys) -> None:
    for index in range(12):
        folder = tmp_path / "data" / f"camera{index % 2}" / "0_real"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(index, 64, 64)).save(folder / f"{index}.png")
    recipe = {
        "data": str(tmp_path / "data"),
        "split": {"calibration": ["camera1"]},
        "backbone": {"name": "dinov2", "size": "small", "crop_size": 28, "positions": "original"},
        "geometry": {"patch_size": 32, "max_patches": 4, "crop_size": 28},
        "bank": {"size": 8},
    }
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    torch.save(GOOD, tmp_path / "net.pth")
    options = ("--recipe", tmp_path / "recipe.json", "--backbone", weights)
    assert run("import", tmp_path / "net.pth", tmp_path / "out", *options) == 0
    said = capsys.readouterr().out
    assert "backbone (the recipe's)" in said and "positions original" in said
    assert run("bank", tmp_path / "recipe.json", tmp_path / "run", "--checkpoint", tmp_path / "out") == 0
    detector = Detector.from_pretrained(tmp_path / "out")
    evidence = detector.detect(picture(50, 64, 64))
    verdict = evidence.verdict
    assert verdict.statistic == "mmd" and verdict.n_calibration == 6 and np.isfinite(verdict.score)
    loaded = store.load(tmp_path / "out")
    assert loaded.backbone.config["positions"] == "original" and loaded.pfs.config["norm"] is False
    points = embeddings(5)
    wanted = network([D, 8, 4])(points)
    assert (loaded.points(points).z - wanted.double()).abs().max() <= 1e-6
