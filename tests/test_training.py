"""PFS, objectives, sampling, pretraining and its going on after an interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import picture

from mdmf_core.errors import DatasetError
from mdmf_core.images import degrade
from mdmf_core.method import mmd
from mdmf_core.method.signature import PFS
from mdmf_core.method.state import KINDS
from mdmf_core.training import bank, encoder, objectives
from mdmf_core.training.dataset import Entry, Sampler
from mdmf_core.training.embed import Embedded


def batch(
    seed: int, shift: float, pictures: int = 5, patches: int = 4, dim: int = 3
) -> tuple[mmd.Points, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(2 * pictures * patches, dim, generator=generator, dtype=torch.float64)
    z[pictures * patches :] += shift
    labels = torch.arange(2).repeat_interleave(pictures).double()
    return mmd.Points(z), labels


@pytest.mark.parametrize("statistic", ["mmd", "relative"])
def test_picture_scores_are_the_statistic_up_to_one_constant(statistic: str) -> None:
    points, labels = batch(0, 1.0)
    kernel = mmd.Kernel(1.5)
    scores = objectives.picture_scores(points, kernel, labels, statistic)
    for b in range(10):
        mine = points[4 * b : 4 * b + 4]
        others = [i for i in range(10) if i != b]
        pools = [
            mmd.Points(torch.cat([points.z[4 * i : 4 * i + 4] for i in others if labels[i] == label]))
            for label in (0, 1)
        ]
        real, generated = (mmd.bank(pool, kernel) for pool in pools)
        if statistic == "mmd":
            wanted = mmd.mmd2_unbiased(mine, real, kernel) - real.self_term
        else:
            constant = real.self_term - generated.self_term
            wanted = mmd.relative_mmd2(mine, real, generated, kernel) - constant
        torch.testing.assert_close(scores[b], wanted)


@pytest.mark.parametrize("objective", objectives.OBJECTIVES)
@pytest.mark.parametrize("statistic", ["mmd", "relative"])
def test_every_objective_is_lower_for_classes_that_differ(objective: str, statistic: str) -> None:
    kernel, sharpness = mmd.Kernel(1.5), torch.tensor(10.0, dtype=torch.float64)
    near, far = (
        objectives.loss(*_with(batch(1, shift), kernel), statistic, {objective: 1.0}, sharpness) for shift in (0.0, 3.0)
    )
    assert far < near


def _with(made: tuple[mmd.Points, torch.Tensor], kernel: mmd.Kernel) -> tuple:
    return made[0], kernel, made[1]


def test_an_unknown_objective_is_named() -> None:
    points, labels = batch(0, 1.0)
    with pytest.raises(ValueError, match="magic"):
        objectives.loss(points, mmd.Kernel(1.0), labels, "mmd", {"magic": 1.0}, torch.tensor(1.0))


def test_pairwise_loss_by_hand() -> None:
    scores, labels = torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.0, 0.0, 1.0])
    wanted = np.mean([np.log1p(np.exp(-2 * 3)), np.log1p(np.exp(-2 * 2))])
    assert objectives.pairwise(scores, labels, torch.tensor(2.0)).item() == pytest.approx(wanted)


@pytest.mark.parametrize("deep", [False, True])
def test_pfs_learns_its_kernel(deep: bool) -> None:
    torch.manual_seed(0)
    pfs = PFS(6, hidden=8, signature=2, deep=deep)
    z, e = pfs(torch.randn(20, 6))
    assert z.shape == (20, 2) and (e is not None) == deep
    kernel = mmd.Kernel(*pfs.kernel_values())
    points = mmd.Points(z, e)
    mmd.power_objective(points[:10], points[10:], kernel).backward()
    learned = [pfs.log_s_z, *([pfs.log_s_e, pfs.logit_eps] if deep else [])]
    assert all(parameter.grad is not None and parameter.grad.abs() > 0 for parameter in learned)


def test_sampler_balances_sources() -> None:
    entries = [Entry(Path("x"), f"{i}", 1, "large" if i < 90 else "small") for i in range(100)]
    sampler = Sampler(entries, 1, cap=20, tilt=0.5, rng=np.random.default_rng(0))
    drawn = np.array(sampler.draw(4000))
    wanted = 20**0.5 / (20**0.5 + 10**0.5)
    assert (drawn < 90).mean() == pytest.approx(wanted, abs=0.03)
    with pytest.raises(DatasetError, match="no real picture"):
        Sampler(entries, 0, 20, 0.5, np.random.default_rng(0))


def test_a_calibration_picture_is_used_in_one_life_only() -> None:
    lives = ["as_is", "history0"]
    config = bank.complete({"calibration_lives": lives})
    kept = [(i, life) for i in range(40) for life in lives if bank.calibrates(f"{i}", life, "soft", config)]
    assert sorted(i for i, _ in kept) == list(range(40)) and {life for _, life in kept} == set(lives)
    config = bank.complete({"details": {"soft": ["blur:2"]}})
    assert [bank.calibrates("0", "as_is", detail, config) for detail in KINDS] == [True, False, True]


def test_calibration_pictures_in_the_bank_are_refused() -> None:
    pictures = [Embedded("same", 0, "camera", "as_is", 2, 2, torch.zeros(4, 2))]
    with pytest.raises(DatasetError, match="in the bank too"):
        bank.build(pictures, pictures, None, {})


def test_details_get_a_calibration_of_their_own(tmp_path: Path, detector) -> None:
    entries = []
    for seed in range(24):
        path = tmp_path / f"{seed}.png"
        Image.fromarray(picture(seed, 96, 96)).save(path)
        entries.append(Entry(path, path.stem, 0, "camera"))
    made, lines = detector.reference, []
    asked = {"details": {"soft": ["blur:2", "blur:3"], "noisy": ["noise:0.1"]}}
    found = bank.with_details(made, entries, detector.model, asked, lines.append)
    assert list(found.details) == ["soft", "noisy"] and found.nulls is made.nulls
    assert sum(found.facts["details"]["soft"].values()) == 24 and len(found.facts["details"]["soft"]) == 2
    assert found.facts["details"]["noisy"] == {"noise:0.1": 24} and len(lines) == 2
    scores = [detector.detect(degrade.blur(picture(0, 96, 96), sigma)).score for sigma in (2, 3)]
    assert np.isclose(found.null("relative", 9, "soft")[:, None], scores).any()
    assert bank.with_details(made, entries, detector.model, {}, lines.append).details == {}
    with pytest.raises(DatasetError, match="Only 0 calibration pictures become soft"):
        bank.with_details(made, entries, detector.model, {"details": {"soft": ["as_is"]}})
    with pytest.raises(ValueError, match="no kind of detail 'loud'; use soft or noisy"):
        bank.with_details(made, entries, detector.model, {"details": {"loud": ["as_is"]}})


@pytest.fixture()
def small_data(tmp_path: Path) -> Path:
    for label in ("real", "fake"):
        for index in range(6):
            folder = tmp_path / "data" / label / f"{label}{index % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(index, 128, 128)).save(folder / f"{index}.png")
    return tmp_path / "data"


def test_pretraining_goes_on_where_it_stopped(small_data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(encoder, "SAVE_EVERY", 3)
    settings = {"channels": [4, 6], "patch_size": 32, "versions": 1, "pictures": 3, "side": 96, "steps": 6}
    out = tmp_path / "run"
    calls = 0
    real_step = encoder.one_cycle

    def stop_in_step_five(*arguments):
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return real_step(*arguments)

    monkeypatch.setattr(encoder, "one_cycle", stop_in_step_five)
    with pytest.raises(KeyboardInterrupt):
        encoder.pretrain(small_data, {}, settings, out)
    assert (out / "state.safetensors").exists() and not (out / "encoder.safetensors").exists()
    assert encoder.pretrain(small_data, {}, settings, out).exists()
    assert calls == 5 + 3
    assert not list(out.glob("*.part"))


def test_lives_are_fixed_by_seed_and_name(small_data: Path) -> None:
    path = small_data / "real" / "real0" / "0.png"
    entry = Entry(path, "real/real0/0.png", 0, "real0")
    first, again, other = (encoder.make_version(entry, version, 96, 64, 0) for version in (0, 0, 1))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert max(first.shape[:2]) <= 96 and min(first.shape[:2]) >= 64


def test_an_unknown_pretrain_key_is_named(small_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="speed"):
        encoder.pretrain(small_data, {}, {"speed": 9}, tmp_path)
