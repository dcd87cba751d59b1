"""No way to be faster changes a result; what the benchmarks of speed count is right; the page says whose turn it is."""

from __future__ import annotations

import threading

import httpx
import numpy as np
import pytest
import torch
from torch import nn

import app
from benchmarks import served
from benchmarks.speed import all as speed_all
from benchmarks.speed import measure, picture
from benchmarks.speed import mmd as speed_mmd
from benchmarks.speed import page as speed_page
from mdmf_app import api
from mdmf_app.context import PLACES
from mdmf_core.checkpoint import hub
from mdmf_core.detector import Detector
from mdmf_core.images.reader import read
from mdmf_core.method import calibration, mmd
from mdmf_core.method.backbones.compact import CLIP, Compact, high_pass_filters
from mdmf_core.method.patches import cut, merged
from mdmf_core.method.reference import Reference

LARGEST_CHANGE = 1e-4  # of the null's standard deviation


def plain_score(points: mmd.Points, statistic: str, reference: Reference, kernel: mmd.Kernel) -> float:
    """The statistic from whole kernel matrices, by its formula."""

    def mean(other: mmd.Bank) -> float:
        return float((mmd.gram(points, other.points, kernel) @ other.weights).mean())

    if statistic == "relative":
        gap = mean(reference.generated) - mean(reference.real)
        return 2 * gap + float(reference.real.self_term - reference.generated.self_term)
    inner, n = mmd.gram(points, points, kernel), points.count
    own = float(inner.sum() - inner.diagonal().sum()) / (n * (n - 1))
    return own - 2 * mean(reference.real) + float(reference.real.self_term)


@pytest.fixture(scope="module")
def on_cpu() -> Detector:
    """The bundled detector, whatever else the machine has."""
    return Detector.from_pretrained(hub.BUNDLED, device="cpu")


@pytest.mark.parametrize("name", ["grace_hopper.jpg", "coffee_resynthesised.png"])
def test_no_speed_up_changes_a_score(on_cpu, name):
    """Norms folded, few patches at once, kernel block by block: all of it against the plain way, and bfloat16 too."""
    patches, grid = cut(read(served.ROOT / "examples" / name).pixels, on_cpu.model.geometry)
    encoder, reference, kernel = on_cpu.model.backbone, on_cpu.reference, on_cpu.model.kernel
    plain = on_cpu.model.points(merged(picture.as_trained(encoder, patches), grid))
    fast = on_cpu.model.points(merged(encoder.embed(patches), grid))
    half = on_cpu.model.points(merged(picture.in_bfloat16(encoder, patches), grid))
    for statistic in reference.nulls:
        spread = reference.null(statistic, grid.independent).scores.std()
        wanted = plain_score(plain, statistic, reference, kernel)
        found = float(calibration.evidence_of(fast, statistic, reference.real, reference.generated, kernel)[0].sum())
        assert abs(found - wanted) <= LARGEST_CHANGE * spread
        coarse = plain_score(half, statistic, reference, kernel)
        assert abs(coarse - wanted) > LARGEST_CHANGE * spread, "bfloat16 would do: use it"


def random_encoder() -> Compact:
    """Random weights and, unlike a new network's, random running statistics."""
    torch.manual_seed(3)
    encoder = Compact((4, 8, 12)).eval().requires_grad_(False)
    for layer in encoder.layers:
        if isinstance(layer, nn.BatchNorm2d):
            for value in (layer.running_mean, layer.bias):
                value.uniform_(-1, 1)
            for value in (layer.running_var, layer.weight):
                value.uniform_(0.3, 2)
    return encoder


def some_patches(count: int) -> torch.Tensor:
    rng = np.random.default_rng(5)
    return torch.from_numpy(rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))


@pytest.mark.parametrize("at_once", [None, 1, 5])
def test_folded_norms_give_the_trained_network_s_numbers(at_once):
    encoder, patches = random_encoder(), some_patches(13)
    wanted = picture.as_trained(encoder, patches)
    torch.testing.assert_close(encoder.embed(patches, at_once), wanted, atol=1e-5, rtol=1e-4)
    assert wanted.std() > 0.1


def test_embedding_follows_weights_that_change_and_changes_none():
    encoder, patches = random_encoder(), some_patches(3)
    before, state = encoder.embed(patches), {name: value.clone() for name, value in encoder.state_dict().items()}
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    encoder.layers[1].running_var.mul_(4)
    after = encoder.embed(patches)
    torch.testing.assert_close(after, picture.as_trained(encoder, patches), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(before, after)


def test_residuals_are_those_of_the_filters():
    """To the last bits of float32, against numpy in float64; brightness alone gives nought exactly."""
    patches, encoder = some_patches(2), Compact((4, 8))
    windows = np.lib.stride_tricks.sliding_window_view(patches.numpy().astype(float), (5, 5), axis=(2, 3))
    filters = high_pass_filters()[:, 0].double().numpy()
    wanted = np.einsum("nchwij,fij->ncfhw", windows, filters).reshape(2, 18, 28, 28).clip(-CLIP, CLIP) / 4
    np.testing.assert_allclose(encoder.residual(patches).numpy(), wanted, atol=1e-5)
    assert not encoder.residual(torch.full((1, 3, 32, 32), 251, dtype=torch.uint8)).any()
    assert torch.equal(encoder.filters, encoder.filters.bfloat16().float()), "whole numbers: no format rounds them"


@pytest.mark.parametrize("n, m", [(1000, 2000), (3, 400_000)])
def test_kernel_values_are_held_block_by_block(monkeypatch, n, m):
    held, whole = [], mmd.gram

    def counted(x, y, kernel):
        held.append(x.count * y.count)
        return whole(x, y, kernel)

    monkeypatch.setattr(mmd, "gram", counted)
    x, y = (mmd.Points(torch.randn(count, 2, generator=torch.Generator().manual_seed(count))) for count in (n, m))
    found = mmd.mean_kernel(x, y, mmd.uniform(m, y.z), mmd.Kernel(2.0))
    assert found.shape == (n,) and max(held) <= mmd.CHUNK_VALUES and sum(held) == n * m


def test_operations_are_those_of_the_layers():
    """Two for each weight at each place, counted by hand: filters, then stages of two convolutions at 60, 30, 15, 7."""
    filters = 60**2 * 18 * 25
    stages = zip((60, 30, 15, 7), ((18, 32), (32, 64), (64, 128), (128, 192)), strict=True)
    layers = sum(side**2 * 9 * (inputs * outputs + outputs**2) for side, (inputs, outputs) in stages)
    assert picture.operations(Compact()) == 2 * (filters + layers)


def test_the_others_measure_the_same_thing():
    x, y = speed_mmd.picture(0, 9), speed_mmd.signatures(40, 1)
    bank = mmd.bank(mmd.Points(y), speed_mmd.KERNEL)
    unbiased = bank._replace(self_term=(40 * bank.self_term - 1) / 39)
    wanted = float(mmd.mmd2_unbiased(mmd.Points(x), unbiased, speed_mmd.KERNEL))
    assert speed_mmd.plain_torch(x, y) == pytest.approx(wanted, abs=1e-12)
    assert speed_mmd.plain_numpy(x.numpy(), y.numpy()) == pytest.approx(wanted, abs=1e-12)


def test_error_of_a_bank_is_nought_against_itself_and_shrinks_with_its_size():
    whole = speed_mmd.stored(speed_mmd.signatures(400, 1))
    few, more = (speed_mmd.compressed(whole, size)[0] for size in (20, 150))
    assert speed_mmd.error(whole, whole, 8) == 0
    assert 0 < speed_mmd.error(whole, more, 8) < speed_mmd.error(whole, few, 8)


def test_a_run_writes_table_and_file(tmp_path, monkeypatch, capsys):
    rows = {"a thing": {"median_ms": 1.23456, "points": 12345, "seconds": 4321.5}}
    monkeypatch.setitem(speed_all.SECTIONS, "web", lambda folder, quick: rows)
    speed_all.run(["web"], tmp_path, True)
    results = speed_all.run(["web"], tmp_path, True)
    assert "a thing  median_ms 1.23, points 12,345, seconds 4,322" in capsys.readouterr().out
    assert results["web"]["rows"] == rows and results["web"]["machine"]["cores"] >= 1
    assert (tmp_path / "speed.json").read_text().count('"a thing"') == 1


def test_race_takes_turns():
    calls = []
    found = measure.race({name: lambda name=name: calls.append(name) for name in "ab"}, 2)
    assert calls == list("ab" * 3) and found.keys() == {"a", "b"} and found["a"]["median_ms"] >= 0


def test_a_measuring_process_that_fails_says_why():
    assert measure.child("import json; print('noise'); print(json.dumps({'x': 1}))") == {"x": 1}
    with pytest.raises(RuntimeError, match="no such luck"):
        measure.child("raise SystemExit('no such luck')")


def test_the_page_says_the_place_in_the_queue(detector, photo, chromium, monkeypatch):
    """All places are taken and one person waits; pictures take as long as this test wants."""
    entered, turn = threading.Semaphore(0), threading.Semaphore(0)

    def slow(*given):
        entered.release()
        turn.acquire(timeout=600)
        return detect(*given)

    detect = api.detect
    monkeypatch.setattr(api, "detect", slow)
    demo = app.build(detector)
    url = app.launch(demo, server_port=served.free_port(), prevent_thread_lock=True, quiet=True)[1]
    try:
        page = served.open_page(chromium, url)
        with httpx.Client(base_url=url, timeout=60) as client:
            number = speed_page.endpoint(client)
            for _ in range(PLACES + 1):
                speed_page.join(client, number, speed_page.upload(client, photo))
            assert all(entered.acquire(timeout=60) for _ in range(PLACES))
            page.locator("#picture input[type=file]").set_input_files(photo)
            status = page.locator("#coming [role=status]")
            status.filter(has_text="queue: 2/2").wait_for()
            turn.release()
            status.filter(has_text="queue: 1/1").wait_for()
            turn.release()
            page.locator("#verdict h2").wait_for()
    finally:
        turn.release(9)
        demo.close()
