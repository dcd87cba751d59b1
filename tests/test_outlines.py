"""When a picture may have outlines: the rates against naive loops, their files, and what checkpoints do with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint, make_locator, picture

from mdmf_core.checkpoint import hub, store
from mdmf_core.detector import Detector
from mdmf_core.method import calibration, locator, reference
from mdmf_core.training import embed
from mdmf_core.training import locator as locators
from mdmf_core.training.commands import outlines as command
from mdmf_core.training.dataset import scan, split

SOURCES = 20


def test_the_least_rate_is_the_lowest_at_which_a_patch_is_picked():
    rng = np.random.default_rng(0)
    for _ in range(50):
        p_values = rng.uniform(0, 1, rng.integers(1, 30)) ** 2
        least = calibration.least_rate(p_values)
        assert calibration.flag(p_values, least + 1e-12).any()
        assert not calibration.flag(p_values, least * (1 - 1e-9)).any()


def test_the_rarest_value_is_that_of_a_naive_search():
    rng = np.random.default_rng(1)
    for trial in range(30):
        sources = [rng.integers(0, 9, rng.integers(1, 12)) / 9 for _ in range(19 + trial)]

        def reached(value: float, sources: list = sources) -> float:
            shares = [sum(float(v <= value) for v in own) / len(own) for own in sources]
            return (sum(shares) + 1) / (len(sources) + 1)

        allowed = [value for own in sources for value in own if reached(value) <= 0.05 + 1e-9]
        assert calibration.rarest(sources) == max(allowed, default=0.0)
    assert calibration.rarest([[0.1]] * 18) is None and calibration.rarest([]) is None


def test_a_picture_of_a_new_source_rarely_falls_below_it():
    """Sources differ more than the pictures of one do, and have unequal numbers of pictures."""
    rng, below, trials = np.random.default_rng(2), 0, 4000
    for _ in range(trials):
        sources = [rng.normal(rng.normal(0, 3), 1, rng.integers(1, 9)) for _ in range(40)]
        limit = calibration.rarest([np.exp(own) for own in sources])
        below += np.exp(rng.normal(rng.normal(0, 3), 1)) <= limit
    assert below / trials <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / trials)


def judged(seed: int, side: int) -> tuple[str, np.ndarray, int, int]:
    rng = np.random.default_rng(seed)
    return f"source {seed % 25}", rng.uniform(0, 1, side * (side + 1)), side, side + 1


def test_rates_are_those_of_central_blocks_of_each_size():
    pictures = [judged(seed, 7) for seed in range(100)]
    rates = calibration.outline_rates(pictures)
    assert list(rates) == [3, 4, 5, 6, 7]
    for k, rate in rates.items():
        found: dict[str, list[float]] = {}
        for source, p_values, rows, cols in pictures:
            top, left = (rows - k) // 2, (cols - k) // 2
            block = p_values.reshape(rows, cols)[top : top + k, left : left + k]
            found.setdefault(source, []).append(calibration.least_rate(block.ravel()))
        assert rate == min(calibration.rarest(list(found.values())), calibration.FALSE_DISCOVERIES)
    assert calibration.outline_rates(judged(seed, 7) for seed in range(18)) == {}, "too few sources"
    assert calibration.outline_rates([]) == {}


# In files


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "checkpoint")


def load(folder: Path) -> reference.Reference:
    model = store.load(folder)
    path, pfs = folder / "reference.safetensors", model.pfs
    return reference.load(path, pfs.signature, pfs.dim, pfs.deep, model.statistic)


def test_a_reference_keeps_its_rates_and_reads_them_by_number_of_patches(checkpoint):
    made = load(checkpoint)
    assert made.outlines == {} and made.outline_rate(12) == 0.1
    rates = {"usual": {3: 0.02, 5: 0.04}}
    reference.save(replace(made, outlines=rates), checkpoint / "reference.safetensors")
    again = load(checkpoint)
    assert again.outlines == rates
    found = [again.outline_rate(n, detail) for n, detail in ((4, "usual"), (24, "usual"), (25, "usual"), (600, "soft"))]
    assert found == [0.02, 0.02, 0.04, 0.04]


@pytest.mark.parametrize("rows", [[[3.5, 0.1]], [[0.0, 0.1]], [[3.0, 1.1]], [[3.0, -0.1]]])
def test_rates_that_can_not_be_are_refused_by_name(checkpoint, rows):
    path = checkpoint / "reference.safetensors"
    save_file(load_file(path) | {"outlines.usual": torch.tensor(rows, dtype=torch.float64)}, path)
    with pytest.raises(ValueError, match=r"outlines\.usual holds no block sizes and rates"):
        load(checkpoint)


def test_a_locator_keeps_its_rates_and_refuses_wrong_ones(tmp_path):
    net, path = make_locator(), tmp_path / "locator.safetensors"
    net.outlines = {3: 0.03, 9: 0.07}
    locator.save(net, path)
    again = locator.load(path, 16)
    assert again.outlines == net.outlines and again.config == net.config
    assert [again.outline_rate(n) for n in (9, 80, 81)] == [0.03, 0.03, 0.07]
    assert make_locator().outline_rate(9) == 0.1
    for wrong in ({0: 0.1}, {3: 1.5}):
        net.outlines = wrong
        locator.save(net, path)
        with pytest.raises(ValueError, match="can't be read or has settings"):
            locator.load(path, 16)


def test_no_patch_of_a_picture_that_is_not_rare_enough_is_outlined(checkpoint):
    """Both maps, each by its own rate: one below the picture's least rate takes all outlines, one at it leaves some."""
    pixels = picture(3)
    pixels[:64, :64] = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    before = Detector.from_pretrained(checkpoint, device="cpu").detect(pixels)
    usable = np.array([not reason for reason in before.reasons])
    least = {name: calibration.least_rate(before.maps[name].p_values) for name in ("evidence", "locator")}
    for factor in (0.99, 1.001):
        made, net = load(checkpoint), locator.load(checkpoint / hub.LOCATOR, 16)
        rates = {"usual": {3: factor * least["evidence"]}}
        reference.save(replace(made, outlines=rates), checkpoint / "reference.safetensors")
        net.outlines = {3: factor * least["locator"]}
        locator.save(net.float(), checkpoint / hub.LOCATOR)
        after = Detector.from_pretrained(checkpoint, device="cpu").detect(pixels)
        assert after.verdict.score == before.verdict.score
        for name, rate in least.items():
            picked = calibration.flag(before.maps[name].p_values, factor * rate)
            assert picked.any() == (factor > 1)
            assert np.array_equal(after.maps[name].p_values, before.maps[name].p_values)
            assert np.array_equal(after.maps[name].outlined, picked & usable)


# From stored embeddings


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Twenty sources of two pictures each that calibrate, and one to train on."""
    root = tmp_path_factory.mktemp("data")
    for source in ["old", *(f"held{number}" for number in range(SOURCES))]:
        (root / "real" / source).mkdir(parents=True)
        for index in range(2):
            pixels = picture(len(list(root.rglob("*.png"))), 128, 160)
            Image.fromarray(pixels).save(root / "real" / source / f"{index}.png")
    return root


def held() -> list[str]:
    return [f"held{number}" for number in range(SOURCES)]


def test_stored_embeddings_calibrate_as_new_ones_do(data, tmp_path):
    model = store.load(make_checkpoint(tmp_path / "checkpoint"))
    entries = split(scan(data), calibration=held()).calibration
    embed.embed(entries, tmp_path / "embeddings", model.backbone, model.geometry)
    said: list[str] = []
    nets = []
    for folder in (None, tmp_path / "embeddings"):
        nets.append(make_locator())
        locators.calibrate(nets[-1], entries, model, ["as_is"], said.append, folder)
    assert torch.equal(nets[0].null, nets[1].null) and nets[0].outlines == nets[1].outlines != {}
    assert said[0] == said[1] and said[0].startswith(f"null: {20 * 2 * SOURCES} patches of {2 * SOURCES} real pictures")


def test_the_command_adds_rates_to_a_checkpoint(data, tmp_path, capsys):
    run = tmp_path / "run"
    folder = make_checkpoint(run / "checkpoint")
    recipe = tmp_path / "recipe.json"
    recipe.write_text(
        f'{{"data": ["{data}"], "split": {{"calibration": {held()}}},'.replace("'", '"')
        + ' "backbone": {"name": "compact", "channels": [4, 8]}, "geometry": {"patch_size": 32, "max_patches": 24}}'
    )
    model = store.load(folder)
    embed.embed(scan(data), run / "embeddings", model.backbone, model.geometry)
    before = load(folder)
    command(recipe, run)
    after, net = load(folder), locator.load(folder / hub.LOCATOR, 16)
    assert list(after.outlines) == ["usual"] and set(after.outlines["usual"]) == set(net.outlines) == {3, 4}
    assert after.nulls["relative"].keys() == before.nulls["relative"].keys()
    assert np.array_equal(after.patch_nulls["relative"], before.patch_nulls["relative"])
    assert "outlines at a false discovery rate of" in capsys.readouterr().out
