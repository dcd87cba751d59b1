"""`benchmarks/quality/localise.py` on whole pictures, and its held-out pictures from a file of roles."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import make_checkpoint, picture

from benchmarks.quality import localise, localise_whole, made_again, of_maps
from mdmf_core.detector import Detector
from mdmf_core.training import composites
from mdmf_core.training.dataset import Entry

KNOWN = {
    "real/camera": {"kind": "cameras", "role": "test"},
    "real/paint": {"kind": "art", "role": "test"},
    "real/old": {"kind": "web", "role": "train"},
    "fake/gan": {"kind": "gan", "role": "test"},
    "fake/grown": {"kind": "upscalers", "role": "apart"},
}


class Knows:
    """A detector whose maps are what a function makes of the patches' mean brightness; 32-pixel patches."""

    def __init__(self, detector: Detector, of) -> None:
        self.detector, self.of = detector, of

    def detect(self, pixels: np.ndarray):
        found = self.detector.detect(pixels)
        values = self.of(np.array([pixels[y : y + h, x : x + w].mean() for x, y, w, h in found.grid.boxes]))
        located = replace(found.maps["locator"], values=np.abs(values - np.median(values)))
        shown = replace(found.maps["evidence"], values=values, outlined=values > 0.3)
        verdict = replace(found.verdict, shares=values / len(values))
        return replace(found, verdict=verdict, maps={"evidence": shown, "locator": located})

    def overlapping(self, picture, grid) -> list:
        return []


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Dark pictures for real ones, bright ones for generated ones; one real one is small."""
    root = tmp_path_factory.mktemp("data")
    for name in KNOWN:
        (root / name).mkdir(parents=True)
        level = 40 if name.startswith("real") else 210
        for index in range(3):
            pixels = np.full((300, 330, 3), level + index, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    Image.fromarray(np.full((130, 130, 3), 41, np.uint8)).save(root / "real" / "camera" / "small.png")
    return root


@pytest.fixture
def smaller(monkeypatch) -> None:
    """Bounds of pixels that small pictures keep to."""
    monkeypatch.setattr(localise_whole, "LEAST_PIXELS", 60_000)
    monkeypatch.setattr(localise_whole, "MOST_PIXELS", 110_000)
    monkeypatch.setattr(localise_whole, "SIZES", (60_000, 90_000, 110_000))


def test_regions_have_the_shares_and_sides_that_were_asked_for():
    rng = np.random.default_rng(0)
    sizes = [localise_whole.region((1000, 1500), (1200, 900), rng) for _ in range(2000)]
    assert all(sizes)
    shares = np.array([h * w / 1.5e6 for h, w in sizes])
    ratios = np.array([h / w for h, w in sizes])
    assert shares.min() >= 0.02 and shares.max() <= 0.405 and shares.min() < 0.022 and shares.max() > 0.3
    assert ratios.min() > 0.49 and ratios.max() < 2.02 and 0.3 < (ratios > 1).mean() < 0.7
    assert max(h for h, _ in sizes) <= 700 and max(w for _, w in sizes) <= 900
    assert {localise_whole.region((3000, 4000), (256, 256), rng) for _ in range(50)} == {None}


def test_a_region_of_a_given_size_lies_as_a_drawn_one_does():
    first, second = picture(0), picture(1)
    drawn = composites.paste(first, second, np.random.default_rng(3), (40, 41), (4.0,))
    rng = np.random.default_rng(3)
    rng.integers(40, 41), rng.integers(40, 41)
    given = composites.put(first, second, (40, 40), rng, (4.0,))
    for one, other in zip(drawn, given, strict=True):
        np.testing.assert_array_equal(one, other)
    untouched = given[1] == 0
    np.testing.assert_array_equal(given[0][untouched], first[untouched])


def test_held_out_pictures_are_those_of_the_role_test_without_art(data, tmp_path):
    file = tmp_path / "folds.json"
    file.write_text(json.dumps(KNOWN))
    entries = localise.held_out(file, data)
    assert {entry.key.rsplit("/", 1)[0] for entry in entries} == {"real/camera", "fake/gan"}
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"data": str(data), "split": {"test": ["old", "grown"]}}))
    assert {entry.source for entry in localise.held_out(recipe, tmp_path)} == {"old", "grown"}


def test_pictures_are_sorted_out_by_their_headers(data, smaller, tmp_path):
    large = tmp_path / "large.png"
    Image.fromarray(np.zeros((400, 400, 3), np.uint8)).save(large)
    small = data / "real" / "camera" / "small.png"
    entries = [Entry(path, path.name, 0, "a") for path in (large, small)]
    assert localise_whole.sized(entries) == [(entries[1], 130 * 130)]


def test_every_source_is_drawn_as_often():
    entries = [Entry(Path(f"{n}"), f"{n}", 1, "many" if n else "one") for n in range(40)]
    groups, rng = localise_whole.grouped([*entries, Entry(Path("x"), "x", 0, "real")], 1), np.random.default_rng(0)
    found = [localise_whole.drawn(groups, rng).source for _ in range(400)]
    assert 160 < found.count("one") < 240 and set(found) == {"one", "many"}


@pytest.mark.parametrize(("of", "right"), [(lambda b: b / 255, 1.0), (lambda b: -b / 255, 0.0)])
def test_evidence_that_knows_points_at_what_was_generated_in_the_region_or_around_it(
    checkpoint, data, smaller, tmp_path, of, right
):
    (tmp_path / "folds.json").write_text(json.dumps(KNOWN))
    entries = localise_whole.sized(localise.held_out(tmp_path / "folds.json", data))
    detector = Knows(Detector.from_pretrained(checkpoint, device="cpu"), of)
    found = localise_whole.whole_figures(detector, entries, 8, True)
    for kind in localise_whole.WHOLE_KINDS:
        assert found[f"{kind}: {of_maps.WITHIN}: evidence"][0] == right
        assert found[f"{kind}: {of_maps.WITHIN}, 0.09 to 0.11 megapixels: evidence"][0] == right
        assert found[f"{kind}: {localise_whole.STRONGEST}: evidence"][0] == right
        assert found[f"{kind}: {localise_whole.STRONGEST}: {of_maps.FINER}"][0] == right
        assert 0 < found[f"{kind}: {localise_whole.STRONGEST}: evidence, by chance"][0] < 1
        assert 0 <= found[f"{kind}: {of_maps.WITHIN}: the place alone"][0] <= 1
    chance = [
        found[f"{kind}: {localise_whole.STRONGEST}: evidence, by chance"][0] for kind in localise_whole.WHOLE_KINDS
    ]
    assert chance[0] < 0.5 < chance[1]
    assert found["untouched photographs with an outline: evidence"] == (0, 0, 0)
    assert not any("generated pictures with" in name for name in found)


def test_crops_from_a_file_of_roles_make_composites_as_before(checkpoint, data, tmp_path):
    (tmp_path / "folds.json").write_text(json.dumps(KNOWN))
    entries = [entry for entry in localise.held_out(tmp_path / "folds.json", data) if entry.path.stem != "small"]
    detector = Knows(Detector.from_pretrained(checkpoint, device="cpu"), lambda b: b / 255)
    found = localise.figures([(detector, entries)], 4, False)
    assert found["AUROC within a composite: evidence"][0] == 1
    assert found["the strongest patch is altered: evidence"][0] == 1
    assert found[f"the strongest patch is altered: {of_maps.FINER}"][0] == 1
    assert f"precision of outlines: {of_maps.FINER}" not in found
    assert found["untouched photographs with an outline: evidence"] == (0, 0, 0)


def test_composites_of_pictures_that_are_too_small_are_one_sentence(checkpoint, data):
    entries = [(Entry(data / "real" / "camera" / "0.png", "a", 0, "a"), 99_000)]
    with pytest.raises(ValueError, match="Only 0 of 3 composites"):
        localise_whole.measure_whole(Detector.from_pretrained(checkpoint, device="cpu"), entries, 0, 3, False, 0)


def test_the_command_prints_and_keeps_figures_of_whole_pictures(
    monkeypatch, capsys, checkpoint, data, smaller, tmp_path
):
    (tmp_path / "folds.json").write_text(json.dumps(KNOWN))
    words = [str(checkpoint), str(tmp_path / "folds.json"), f"--whole={data}", "--each=2", f"--out={tmp_path}/o.json"]
    monkeypatch.setattr(sys, "argv", ["localise.py", *words])
    localise.main()
    kept = json.loads((tmp_path / "o.json").read_text())
    assert set(kept["conditions"]) == {"as made", "recompressed"} and kept["whole"] and kept["count"] == 2
    name = f"{localise_whole.WHOLE_KINDS[1]}: {of_maps.WITHIN}: {of_maps.LOCATOR}"
    assert all(0 <= found[name][0] <= 1 for found in kept["conditions"].values())
    assert name in capsys.readouterr().out


class Blocks:
    """An autoencoder whose latents are the mean colours of 8 x 8 blocks."""

    def latents(self, pixels: np.ndarray) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None], 8)

    def pixels(self, latents: torch.Tensor) -> np.ndarray:
        return torch.nn.functional.interpolate(latents, scale_factor=8)[0].permute(1, 2, 0).round().byte().numpy()


def test_a_part_made_again_is_the_autoencoders_and_the_rest_is_untouched(monkeypatch):
    """Tiles of any size join without a seam."""
    monkeypatch.setattr(made_again, "TILE", 40)
    monkeypatch.setattr(made_again, "MARGIN", 12)
    pixels = np.random.default_rng(0).integers(0, 256, (131, 170, 3), dtype=np.uint8)
    for kind in made_again.AGAIN_KINDS:
        for seed in range(6):
            rng = np.random.default_rng(seed)
            found, mask = made_again.made_again(Blocks(), pixels, kind, (70, 90), rng, 0.0)
            assert found.shape == (128, 168, 3) and mask.shape == (128, 168)
            assert np.array_equal(found[mask == 0], pixels[:128, :168][mask == 0])
            again = Blocks().pixels(Blocks().latents(pixels[:128, :168]))
            assert np.array_equal(found[mask > 0], again[mask > 0]) == (kind == made_again.AGAIN_KINDS[0])


def test_parts_made_again_are_judged_where_there_is_an_autoencoder(checkpoint, data, smaller, tmp_path):
    (tmp_path / "folds.json").write_text(json.dumps(KNOWN))
    entries = localise_whole.sized(localise.held_out(tmp_path / "folds.json", data))
    found = localise_whole.whole_figures(Detector.from_pretrained(checkpoint), entries, 2, True, model=Blocks())
    for kind in made_again.AGAIN_KINDS:
        assert 0 <= found[f"{kind}: {of_maps.WITHIN}: {of_maps.LOCATOR}"][0] <= 1
