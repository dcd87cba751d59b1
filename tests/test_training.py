"""PFS, objectives, sampling, what an encoder is trained on, and training that goes on after an interruption."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny import picture

from mdmf_core.errors import DatasetError
from mdmf_core.images import degrade
from mdmf_core.method import known, mmd
from mdmf_core.method.signature import PFS
from mdmf_core.method.state import KINDS
from mdmf_core.training import bank, crops, embed, encoder, loop, objectives, strength, subjects
from mdmf_core.training.dataset import Entry, Sampler, Split, scan
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
    conditions = ["as_is", "history0"]
    config = bank.complete({"calibration_lives": conditions})
    kept = [(i, named) for i in range(40) for named in conditions if bank.calibrates(f"{i}", named, "soft", config)]
    assert sorted(i for i, _ in kept) == list(range(40)) and {named for _, named in kept} == set(conditions)
    config = bank.complete({"details": {"soft": ["blur:2"]}})
    assert [bank.calibrates("0", "as_is", detail, config) for detail in KINDS] == [True, False, True]


def test_calibration_pictures_in_the_bank_are_refused() -> None:
    pictures = [Embedded("same", 0, "camera", "as_is", 2, 2, torch.zeros(4, 2))]
    with pytest.raises(DatasetError, match="in the bank too"):
        bank.build(pictures, pictures, None, {})


def test_likelihood_ratios_come_from_pictures_that_training_did_not_see(tmp_path, detector, monkeypatch) -> None:
    monkeypatch.setattr(strength, "FEWEST", 5)
    monkeypatch.setattr(known, "FEWEST", 10)
    monkeypatch.setattr(bank, "FEWEST", 5)
    dealt = Split([], [], [], [])
    for seed in range(24):
        label, source = seed % 2, ("camera", "gan", "seen", "gan")[seed % 4]
        path = tmp_path / f"{seed}.png"
        Image.fromarray(picture(seed, 96, 96)).save(path)
        (dealt.validation if label else dealt.calibration).append(Entry(path, path.stem, label, source))
    dealt.train.append(Entry(tmp_path / "t.png", "t", 0, "seen"))
    others = bank.unseen(dealt)
    assert {(entry.label, entry.source) for entry in others} == {(0, "camera"), (1, "gan")} and len(others) == 18
    model, lines = detector.model, []
    entries = dealt.calibration + dealt.validation
    conditions = ("as_is", "web")
    embed.embed(entries, tmp_path / "embeddings", model.backbone, model.geometry, conditions)
    asked = {"calibration_lives": list(conditions), "details": {"noisy": ["noise:0.1"]}}
    found = bank.with_strength(detector.reference, tmp_path / "embeddings", others, model, asked, lines.append)
    found = bank.with_details(found, dealt.calibration, model, asked, lines.append, others=others)
    assert list(found.strength) == ["usual", "noisy"] and list(found.known.nulls) == ["usual", "noisy"]
    assert len(found.strength["noisy"][3].real) == 6 and len(found.strength["noisy"][3].generated) == 12
    assert len(found.known.nulls["noisy"][3]) == 18 and "of sources not trained on" in lines[0]
    none = bank.with_strength(detector.reference, tmp_path / "embeddings", others[:3], model, asked, lines.append)
    assert none.strength == {} and none.known is None and lines[-1].startswith("likelihood ratios: none")


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
    scores = [detector.detect(degrade.blur(picture(0, 96, 96), sigma)).verdict.score for sigma in (2, 3)]
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


SETTINGS = {
    "backbone": {"name": "compact", "channels": [4, 6]},
    "window": 64,
    "side": 96,
    "versions": 2,
    "composites": 12,
    "pictures": 3,
    "mixed": 2,
    "traceless": 2,
    "clusters": 0,
    "steps": 6,
    "workers": 1,
}


def test_pretraining_goes_on_where_it_stopped_and_ends_the_same(small_data: Path, tmp_path: Path, monkeypatch) -> None:
    plan = partial(loop.Plan, save_every=2)
    monkeypatch.setattr(encoder, "Plan", plan)
    whole = encoder.pretrain(small_data, {}, SETTINGS, tmp_path / "whole")
    draw = encoder.Batches.__call__
    calls = []

    def stop_in_step_five(batches, step):
        calls.append(step)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return draw(batches, step)

    monkeypatch.setattr(encoder.Batches, "__call__", stop_in_step_five)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        encoder.pretrain(small_data, {}, SETTINGS, out)
    assert (out / "state.safetensors").exists() and not (out / "encoder.safetensors").exists()
    again = encoder.pretrain(small_data, {}, SETTINGS, out)
    assert calls == [0, 1, 2, 3, 4, 4, 5]
    first, second = load_file(whole), load_file(again)
    assert all(torch.allclose(first[name].float(), second[name].float(), atol=1e-5) for name in first)
    assert not list(out.glob("*.part"))


@pytest.fixture()
def batches(small_data: Path) -> encoder.Batches:
    return encoder.Batches(scan(small_data), encoder.DEFAULTS | SETTINGS, print)


def test_a_step_holds_both_classes_composites_and_pictures_without_traces(batches: encoder.Batches) -> None:
    windows, masks = batches(3)
    assert windows.shape == (2 * 3 + 2 + 2, 3, 64, 64) and windows.dtype == torch.uint8
    assert masks.shape == (2, 64, 64) and 0 <= masks.min() and masks.max() <= 1
    again, _ = batches(3)
    other, _ = batches(4)
    assert torch.equal(windows, again) and not torch.equal(windows, other)


def test_losses_are_their_definition() -> None:
    rng = np.random.default_rng(0)
    config = encoder.DEFAULTS | {"pictures": 2, "smoothing": 0.1, "cell_weight": 0.5, "traceless_weight": 2.0}
    logits, masks = rng.normal(size=(7, 4, 4)), rng.random((2, 8, 8))

    def entropy(logit: float, wanted: float) -> float:
        return np.logaddexp(0, logit) - wanted * logit

    found = encoder.losses(torch.from_numpy(logits), torch.from_numpy(masks), config)
    pictures = logits.mean((1, 2))
    whole = np.mean([entropy(pictures[i], (0.1, 0.1, 0.9, 0.9)[i]) for i in range(4)])
    cells = []
    for index in range(2):
        for row in range(4):
            for col in range(4):
                share = masks[index, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].mean()
                cells.append(entropy(logits[4 + index, row, col], 0.8 * share + 0.1))
    assert found["whole"].item() == pytest.approx(whole)
    assert found["cells"].item() == pytest.approx(0.5 * np.mean(cells))
    assert found["traceless"].item() == pytest.approx(2 * entropy(pictures[6], 0.3))


def test_lives_are_fixed_by_seed_and_name(small_data: Path) -> None:
    path = small_data / "real" / "real0" / "0.png"
    entry = Entry(path, "real/real0/0.png", 0, "real0")
    first, again, other = (crops.lives_of(entry, 2, 96, 64, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert first[0].shape != other[0].shape or not np.array_equal(first[0], other[0])
    assert max(first[0].shape[:2]) <= 96 and min(first[0].shape[:2]) >= 64
    assert crops.lives_of(entry, 2, 96, 128, 0) == []


def test_both_of_a_pair_get_the_same_history_and_place(tmp_path: Path) -> None:
    pixels = picture(0, 120, 120)
    for kind in ("real", "made"):
        Image.fromarray(pixels).save(tmp_path / f"a_{kind}.png")
    (pair,) = crops.find_pairs(tmp_path)
    for real, made in crops.pair_of(pair, 6, 96, 64, 0):
        assert np.array_equal(real, made)
    (tmp_path / "b_real.png").write_bytes((tmp_path / "a_real.png").read_bytes())
    with pytest.raises(DatasetError, match="lacks b_made.png"):
        crops.find_pairs(tmp_path)


@pytest.mark.parametrize("labels", [(0, 1), (1, 0), (0, 0), None])
def test_a_composite_knows_what_was_generated(labels, tmp_path: Path) -> None:
    for name, grey in (("first", 20), ("second", 220)):
        Image.fromarray(np.full((200, 240, 3), grey, np.uint8)).save(tmp_path / f"{name}.png")
    for number in range(8):
        job = (tmp_path / "first.png", tmp_path / "second.png", labels, number)
        pixels, generated = crops.composite_of(job, 160, 64, 0)
        assert pixels.shape[:2] == generated.shape and max(generated.shape) <= 160
        if labels == (0, 0):
            assert not generated.any()
            continue
        second = pixels[..., 1] > 120
        wrong = second != ((generated > 127) == (labels != (1, 0)))
        assert wrong.mean() < 0.03


def test_subjects_are_drawn_as_often_real_as_generated() -> None:
    rng = np.random.default_rng(0)
    labels, shown = np.repeat([0, 1], 300), np.r_[np.repeat([0, 1], [240, 60]), np.repeat([0, 1], [60, 240])]
    found = np.eye(2)[shown] + rng.normal(0, 0.01, (600, 2))
    even = np.full(600, 1 / 300)
    weights = subjects.balanced(even, labels, found, 2, 0)
    for label in (0, 1):
        assert weights[labels == label].sum() == pytest.approx(1)
        assert weights[(labels == label) & (shown == 0)].sum() == pytest.approx(0.5, abs=0.01)
    assert np.array_equal(subjects.balanced(even, labels, found, 0, 0), even)


def test_chosen_pictures_get_no_more_than_their_share() -> None:
    labels, chosen = np.repeat([0, 1], 10), np.tile(np.arange(10) < 5, 2)
    weights = subjects.capped(np.full(20, 0.1), labels, chosen, 0.2)
    for label in (0, 1):
        assert weights[(labels == label) & chosen].sum() == pytest.approx(0.2)
        assert weights[labels == label].sum() == pytest.approx(1)


def test_only_the_lite_backbone_starts_from_imagenet(small_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Only the backbone 'lite'"):
        encoder.build(encoder.DEFAULTS | SETTINGS | {"start": "weights.pth"})
    (tmp_path / "weights.pth").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"training starts from can't be read: weights\.pth"):
        encoder.build(encoder.DEFAULTS | {"start": str(tmp_path / "weights.pth")})


def test_the_loop_keeps_a_running_average_and_clips() -> None:
    net = torch.nn.Linear(1, 1, bias=False)
    net.weight.data.zero_()
    seen = []

    def losses(step: int) -> dict[str, torch.Tensor]:
        seen.append(net.weight.item())
        return {"far": 1e6 * (net.weight - 1).square().sum()}

    plan = loop.Plan(steps=40, rate=0.1, decay=0.0, average=0.9, every=20)
    said: list[str] = []
    kept = loop.fit(net, losses, plan, said.append)
    average, values = None, [*seen[1:], net.weight.item()]
    for index, value in enumerate(values):
        share = min(0.9, (index + 1) / (index + 10))
        average = value if average is None else average * share + value * (1 - share)
    assert kept.weight.item() == pytest.approx(average, rel=1e-4)
    assert [line.split(":")[0] for line in said] == ["step 20", "step 40"]


def test_an_unknown_pretrain_key_is_named(small_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="speed"):
        encoder.pretrain(small_data, {}, {"speed": 9}, tmp_path)
