"""Attacks: what each of them does to pixels, the figures by hand, and all of it on a small run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import make_checkpoint, picture

from benchmarks.quality import attack, roles
from mdmf_core.detector import Detector
from mdmf_core.images.reader import read

ROOT = Path(__file__).resolve().parent.parent
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A detector of random weights, pictures and their roles; one generator's pictures are too small for a crop."""
    root = tmp_path_factory.mktemp("root")
    make_checkpoint(root / "checkpoint")
    sources = {"real/one": 96, "real/two": 96, "fake/gan": 96, "fake/small": 80, "real/known": 96}
    for seed, (source, height) in enumerate(sources.items()):
        (root / "data" / source).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(picture(10 * seed + index, height)).save(root / "data" / source / f"{index}.png")
    told = {source: {"kind": "web", "role": "train" if "known" in source else "test"} for source in sources}
    (root / "folds.json").write_text(json.dumps(told))
    return root


def test_every_attack_changes_the_picture_and_is_the_same_each_time():
    pixels, photograph = picture(1), picture(2)
    known = attack.attacks(photograph)
    assert len(known) >= 25
    for name, change in known.items():
        first, second = (change(pixels, np.random.default_rng(3)) for _ in range(2))
        assert first.dtype == np.uint8 and np.array_equal(first, second), name
        assert np.array_equal(first, pixels) == (name == attack.AS_IS), name


def test_the_sizes_and_what_stays():
    pixels, photograph = picture(1), picture(2)
    half = attack.crop(pixels)
    assert half.shape == (68, 90, 3) and np.array_equal(half, pixels[14:82, 19:109])
    framed = attack.border(pixels, photograph)
    assert framed.shape == (136, 181, 3) and np.array_equal(framed[20:116, 26:154], pixels)
    assert not np.array_equal(framed[:20], np.zeros_like(framed[:20]))
    assert attack.screenshot(pixels).shape == (1080, 1440, 3)
    assert attack.mixed(pixels, RNG).shape == (72, 96, 3)
    spots = np.full((9, 9, 3), 7, np.uint8)
    spots[4, 4] = 255
    assert (attack.median(spots, 3) == 7).all()


def test_the_figures_by_hand():
    of = attack.Answer
    rows = [
        (1, {attack.AS_IS: of(0.01, True), "a": of(0.01, True)}),
        (1, {attack.AS_IS: of(0.05, True), "a": of(0.5, False, True)}),
        (1, {attack.AS_IS: of(0.06), "a": of(0.01, True)}),
        (1, {attack.AS_IS: of(0.01), "a": None}),
        (0, {attack.AS_IS: of(0.5), "a": of(0.05, True)}),
        (0, {attack.AS_IS: of(0.5), "a": of(0.06)}),
    ]
    found = attack.summary(rows)
    wanted = {"generated": 2 / 3, "n_generated": 3, "kept": 0.5, "real": 0.5, "n_real": 2, "too_small": 1}
    wanted |= {"traces_generated": 2 / 3, "traces_real": 0.5, "worth": 4 / 3}
    assert found["a"] == pytest.approx(wanted | {"refused_generated": 1 / 3, "refused_real": 0.0})
    assert found[attack.AS_IS]["generated"] == 0.75 and found[attack.AS_IS]["kept"] == 1
    assert found[attack.AS_IS]["worth"] is None, "no real picture has traces"
    assert "| a | 0.667 | 0.500 | 0.500 | 0.667 | 0.500 | 1.3 | 0.333 / 0.000 | 3 / 2 |" in attack.markdown(found)


def test_the_border_is_real_and_from_another_source(root):
    pairs = attack.borders(roles.held_out(root / "data", roles.load(root / "folds.json")))
    assert len(pairs) == 12 and {entry.source for entry, _ in pairs} == {"one", "two", "gan", "small"}
    assert all(other.label == 0 and other.source != entry.source for entry, other in pairs)


def test_the_whole_command(root, tmp_path, monkeypatch, capsys):
    folds = ["--folds", str(root / "folds.json")]
    argv = ["attack.py", str(root / "checkpoint"), str(root / "data"), "--each", "1", *folds, "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", argv)
    detector = Detector.from_pretrained(root / "checkpoint", device="cpu")
    attack.main()
    result = json.loads((tmp_path / "attack.json").read_text())
    table, printed = result["attacks"], capsys.readouterr().out
    assert result["fingerprint"] == detector.fingerprint
    assert {(row["n_generated"] + row["n_real"] + row["too_small"]) for row in table.values()} == {4}
    assert table["cropped to half"]["too_small"] == 1 and table[attack.AS_IS]["n_generated"] == 2
    assert all(f"| {name} |" in printed for name in table)
    real = [e for e in roles.held_out(root / "data", roles.load(root / "folds.json"), 1) if e.label == 0]
    alarms = [detector.detect(read(entry.path, 64)).verdict.p_value <= attack.ALPHA for entry in real]
    assert table[attack.AS_IS]["real"] == pytest.approx(np.mean(alarms))
