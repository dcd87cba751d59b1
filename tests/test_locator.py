"""The locator: its maths against a naive loop, its files, its training in miniature, its composites."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from tiny import make_checkpoint, make_locator, picture

from mdmf_core.checkpoint import hub, store
from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError, DatasetError
from mdmf_core.method import calibration, locator
from mdmf_core.method.locator import Locator
from mdmf_core.training import composites
from mdmf_core.training import locator as locators
from mdmf_core.training.dataset import scan, split
from mdmf_core.training.recipe import Locate


def naive(net: Locator, embeddings: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """The definition, patch by patch and weight by weight, in float64."""
    w = {name: value.double().numpy() for name, value in net.state_dict().items()}
    z = []
    for e in embeddings.astype(np.float64):
        standard = (e - w["norm.running_mean"]) / np.sqrt(w["norm.running_var"] + net.norm.eps)
        z.append([float(row @ standard) for row in w["project.weight"]])
    z = np.array(z)
    lower_median = np.sort(z, axis=0)[(len(z) - 1) // 2]
    entered = []
    for row in z:
        off = row - lower_median
        seen = [*off, *np.abs(off), np.sqrt(np.mean(off**2) + 1e-12)]
        entered.append(np.maximum(0, w["enter.weight"] @ np.array(seen) + w["enter.bias"]))
    grid = np.array(entered).reshape(rows, cols, -1)
    values = []
    for i in range(rows):
        for j in range(cols):
            total = w["neighbours.bias"].copy()
            for di in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    there = grid[min(max(i + di, 0), rows - 1), min(max(j + dj, 0), cols - 1)]
                    total += w["neighbours.weight"][:, :, di + 1, dj + 1] @ there
            values.append(float(w["leave.weight"][0] @ (grid[i, j] + np.maximum(0, total)) + w["leave.bias"][0]))
    return np.array(values)


@pytest.mark.parametrize("shape", [(3, 4), (5, 3)])
def test_the_network_computes_its_definition(shape):
    net, embeddings = make_locator(), torch.randn(shape[0] * shape[1], 16, generator=torch.Generator().manual_seed(1))
    found = net(embeddings, *shape)
    np.testing.assert_allclose(found.numpy(), naive(net, embeddings.numpy(), *shape), atol=1e-4)


def test_a_uniform_picture_has_no_odd_patch_and_no_border():
    net = make_locator()
    values = net(torch.randn(1, 16).expand(20, 16), 4, 5)
    assert values.max() - values.min() < 1e-5


def test_turning_the_grid_with_its_kernel_turns_the_values():
    net, embeddings = make_locator(), torch.randn(12, 16)
    values = net(embeddings, 3, 4).reshape(3, 4)
    net.neighbours.weight.copy_(net.neighbours.weight.flip(3))
    mirrored = net(embeddings.reshape(3, 4, 16).flip(1).reshape(12, 16), 3, 4).reshape(3, 4)
    assert torch.allclose(mirrored.flip(1), values, atol=1e-5)


def test_too_few_patches_have_no_rest_to_compare_with():
    assert make_locator().values(torch.zeros(8, 16), 2, 4) is None
    assert make_locator().values(torch.zeros(9, 16), 3, 3).shape == (9,)


def test_it_is_saved_whole_and_loaded_strictly(tmp_path):
    net, path = make_locator(), tmp_path / "locator.safetensors"
    locator.save(net, path)
    again = locator.load(path, 16)
    embeddings = torch.randn(12, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.null.float(), net.null)
    assert torch.equal(again.values(embeddings, 3, 4), net.double().values(embeddings, 3, 4))
    with pytest.raises(ValueError, match="embeddings of 16 values, not of 64"):
        locator.load(path, 64)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("leave.bias"), "missing: leave.bias"),
        (lambda tensors: tensors.update(more=torch.zeros(1)), "unexpected: more"),
        (lambda tensors: tensors.update({"leave.bias": torch.zeros(2)}), "of the wrong shape: leave.bias"),
        (lambda tensors: tensors.update({"null": torch.full((locator.NULLS,), torch.nan)}), "not finite: null"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path, change, said):
    path = tmp_path / "locator.safetensors"
    locator.save(make_locator(), path)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"config": json.dumps(make_locator().config)})
    with pytest.raises(ValueError, match=said):
        locator.load(path, 16)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"config": "{"},
        {"config": "[]"},
        {"config": '{"dim": 16, "more": 1}'},
        {"config": '{"dim": -1}'},
        {"config": '{"dim": "many"}'},
    ],
)
def test_settings_that_are_not_known_are_refused(tmp_path, metadata):
    path = tmp_path / "locator.safetensors"
    save_file(make_locator().state_dict(), path, metadata=metadata)
    with pytest.raises(ValueError, match="can't be read or has settings"):
        locator.load(path, 16)


# In a checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    return make_checkpoint(tmp_path / "checkpoint")


def test_a_checkpoint_with_a_locator_scores_as_without_it(checkpoint, tmp_path):
    bare = make_checkpoint(tmp_path / "bare", located=False)
    with_it, without = (Detector.from_pretrained(folder, device="cpu") for folder in (checkpoint, bare))
    one, other = with_it.detect(picture(3)), without.detect(picture(3))
    assert "locator" not in other.maps and other.to_dict()["inconsistency"] is None
    assert one.verdict.score == other.verdict.score and np.array_equal(one.verdict.shares, other.verdict.shares)
    assert hub.score_fingerprint(checkpoint) == hub.score_fingerprint(bare) == without.fingerprint
    assert with_it.fingerprint != without.fingerprint


def test_what_the_evidence_says_of_it(checkpoint):
    detector = Detector.from_pretrained(checkpoint, device="cpu")
    evidence = detector.detect(picture(3))
    found, null = evidence.maps["locator"], detector.locator.null.double().numpy()
    assert found.values.shape == (evidence.n_patches,) == (12,)
    expected = [(1 + (null >= value).sum()) / (len(null) + 1) for value in found.values]
    np.testing.assert_allclose(found.p_values, expected)
    assert found.scale == tuple(np.quantile(null, calibration.SCALE_QUANTILES))
    assert evidence.to_dict()["inconsistency"]["values"] == found.values.tolist()
    assert json.loads(json.dumps(evidence.to_dict()["inconsistency"]))["flagged"] == found.outlined.tolist()


def test_no_comparison_within_a_region_or_a_small_picture(checkpoint):
    detector = Detector.from_pretrained(checkpoint, device="cpu")
    assert "locator" not in detector.detect(picture(3), region=(0, 0, 96, 96)).maps
    assert "locator" not in detector.detect(picture(3), locate=False).maps
    assert "locator" not in detector.detect(picture(3, 64, 128)).maps


def test_a_damaged_locator_is_one_sentence(checkpoint):
    (checkpoint / hub.LOCATOR).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"^The checkpoint checkpoint can't be used: locator.safetensors can't"):
        Detector.from_pretrained(checkpoint)


# Composites


def test_a_composite_is_its_parts_under_its_mask():
    rng = np.random.default_rng(0)
    first, second = np.full((90, 120, 3), 10, np.uint8), np.full((60, 200, 3), 210, np.uint8)
    pixels, mask = composites.paste(first, second, rng, (30, 50), (0.0,))
    assert set(np.unique(mask)) == {0, 1}
    assert (pixels[mask == 1] == 210).all() and (pixels[mask == 0] == 10).all()
    soft, mask = composites.paste(first, second, rng, (30, 50), (4.0,), ellipses=1.0)
    np.testing.assert_allclose(soft[..., 0], 10 + 200 * mask, atol=0.51)
    assert ((mask > 0) & (mask < 1)).any()


def test_the_place_of_a_patch_does_not_tell_whether_it_is_altered():
    rng, first = np.random.default_rng(1), np.zeros((256, 256, 3), np.uint8)
    boxes = np.array([[x, y, 64, 64] for y in range(0, 256, 64) for x in range(0, 256, 64)])
    truths = [composites.altered(boxes, composites.paste(first, first, rng, (96, 160), (4.0,))[1]) for _ in range(600)]
    central = -np.abs(boxes[:, :2] + 32 - 128).max(1)
    truth = np.array(truths)
    known = ~np.isnan(truth)
    place = np.broadcast_to(central, truth.shape)
    assert abs(roc_auc_score(truth[known], place[known]) - 0.5) < 0.05


def test_altered_patches_are_those_that_are_mostly_covered():
    mask = np.zeros((64, 128), np.float32)
    mask[:, :40] = 1
    boxes = np.array([[0, 0, 32, 64], [32, 0, 32, 64], [64, 0, 64, 64], [8, 0, 64, 64]])
    np.testing.assert_array_equal(composites.altered(boxes, mask), [1, np.nan, 0, 1])


def test_the_mask_goes_through_later_lives_with_its_picture():
    rng = np.random.default_rng(2)
    first, second = np.full((200, 240, 3), 20, np.uint8), np.full((200, 240, 3), 220, np.uint8)
    for life in (composites.alike, lambda p, m, r: composites.aged(p, m, r, 64)):
        for _ in range(12):
            pixels, mask = life(*composites.paste(first, second, rng, (60, 100), (0.0,)), rng)
            assert pixels.shape[:2] == mask.shape
            wrong = (pixels[..., 1] > 120) != (mask > 0.5)
            assert wrong.mean() < 0.03


# Training


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Smooth pictures, noisy ones, and ones for calibration."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for index in range(24):
        for name in ("real/a", "real/held", "fake/b", "fake/unseen"):
            pixels = picture(index, 160, 160).astype(float)
            if name.startswith("fake"):
                pixels += rng.normal(0, 25, pixels.shape)
            path = root / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return root


CONFIG = Locate(composites=90, checks=30, steps=120, rate=1e-2, width=8, hidden=8, workers=1)


def test_training_finds_what_was_put_in_and_calibrates(data, tmp_path):
    folder = make_checkpoint(tmp_path / "checkpoint")
    dealt = split(scan(data), validation=["unseen"], calibration=["held"])
    before = store.load(folder)
    said: list[str] = []
    (folder / hub.LOCATOR).unlink()
    path = locators.run(folder, before, dealt, ["as_is"], CONFIG, said.append)
    assert path == folder / hub.LOCATOR
    net = locator.load(path, 16)
    made = locators.make_all(dealt.train, 40, before, CONFIG, 7)
    assert locators.auroc(net, made) > 0.65
    assert any(line.startswith("AUROC within a composite") for line in said)
    assert torch.equal(net.null, torch.sort(net.null).values) and net.null[0] < net.null[-1]
    assert torch.equal(before.backbone.layers[0].weight, store.load(folder).backbone.layers[0].weight)
    evidence = Detector.from_pretrained(folder, device="cpu").detect(data / "real" / "held" / "3.png")
    assert evidence.maps["locator"].values.max() <= net.null[-1] + 1e-4


def test_a_composite_is_turned_with_its_truth():
    """Each patch keeps its truth and its neighbours."""
    rng = np.random.default_rng(0)
    numbers = torch.arange(12.0)
    made = locators.Composite(numbers[:, None], numbers % 2, 3, 4)
    before = numbers.reshape(3, 4).numpy()
    ways = [np.rot90(way, quarters) for way in (before, before[:, ::-1]) for quarters in range(4)]
    for _ in range(12):
        turned = made.turned(rng)
        after = turned.embeddings.reshape(turned.rows, turned.cols).numpy()
        assert torch.equal(turned.truth, turned.embeddings[:, 0] % 2)
        assert any(way.shape == after.shape and np.array_equal(way, after) for way in ways)


def test_pictures_that_are_cut_too_small_are_left_out(checkpoint, tmp_path):
    """As large as two patches, so that a cut off the grid leaves less than that."""
    root = tmp_path / "data"
    for index in range(6):
        path = root / ("real", "fake")[index % 2] / "a" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(index, 64, 128)).save(path)
    assert locators.make_all(scan(root), 30, store.load(checkpoint), CONFIG, 0) == []


def test_a_recipe_that_can_not_be_followed_says_why(data, tmp_path):
    made = store.load(make_checkpoint(tmp_path / "checkpoint"))
    dealt = split(scan(data), calibration=["held"])
    small = [replace(entry, path=tmp_path / "none.png") for entry in dealt.train]
    with pytest.raises(DatasetError, match="No composite could be made"):
        locators.train(made, replace(dealt, train=small), ["as_is"], CONFIG)
    with pytest.raises(DatasetError, match="has 3 x 3 patches"):
        locators.calibrate(make_locator(), [], made, ["as_is"], print)
