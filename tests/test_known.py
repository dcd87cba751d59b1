"""The test whether a picture is of a kind that the detector knows: its statistic, its null, its storage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_reference import PLAIN, make, points, signed
from tiny import make_checkpoint, picture

from mdmf_core.detector import Detector
from mdmf_core.method import known, mmd
from mdmf_core.method import reference as references
from mdmf_core.method.calibration import Null
from mdmf_core.training import strength


def test_the_statistic_is_that_of_a_loop():
    x, real, generated = points(1, 7), mmd.bank(points(2, 5), PLAIN), mmd.bank(points(3, 4, shift=0.5), PLAIN)
    banks, wide = known.union(real, generated), 0.8

    def kernel(a, b):
        return float(np.exp(-(((a - b) ** 2).sum() / wide**2)))

    z = x.z.numpy()
    own = np.mean([kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j])
    halves = [np.mean([[kernel(a, b) for b in bank.points.z.numpy()] for a in z]) for bank in (real, generated)]
    assert known.statistic(x, banks, wide) == pytest.approx(own - sum(halves), abs=1e-10)
    assert float(known.union(real, None)[1].sum()) == pytest.approx(1)


def test_the_width_is_a_part_of_the_median_distance():
    real, generated = mmd.bank(points(2, 40), PLAIN), mmd.bank(points(3, 50), PLAIN)
    z = torch.cat([real.points.z, generated.points.z])
    assert known.width(real, generated) == pytest.approx(known.NARROW * float(torch.pdist(z).median()))


def test_one_source_in_fifty_is_a_stranger():
    null = Null.of(np.arange(99.0))
    assert [known.is_stranger(value, null) for value in (97.0, 97.5, 300.0)] == [False, True, True]
    assert not known.is_stranger(300.0, Null.of(np.arange(48.0))), "48 sources can't show it"
    many = Null.of(np.arange(990.0), [f"{index // 10}" for index in range(990)])
    assert [known.is_stranger(value, many) for value in (979.0, 979.5, 989.5)] == [False, True, True]


def test_nulls_are_made_of_both_kinds_where_enough_are_there(monkeypatch):
    monkeypatch.setattr(known, "FEWEST", 5)
    banks = known.union(mmd.bank(points(2, 9), PLAIN), None)
    pictures = [signed(seed, 3, 4) for seed in range(5)] + [signed(9, 2, 2)]
    found = strength.known_nulls(pictures, banks, 0.8)
    assert {k: len(null) for k, null in found.items()} == {2: 6, 3: 5}
    assert found[3].scores[0] == min(known.statistic(each.block(3), banks, 0.8) for each in pictures[:5])
    alike = [replace(each, source="one camera") for each in pictures[:2]] + pictures[2:]
    found = strength.known_nulls(alike, banks, 0.8)
    assert {k: (len(null), null.sources) for k, null in found.items()} == {2: (6, 5)}, "3 x 3 have 4 sources"


def test_it_survives_storage_and_is_refused_where_it_makes_no_sense(tmp_path):
    twice = Null.of(np.arange(4.0), ["a", "b", "b", "c"])
    nulls = {"usual": {2: Null.of(np.arange(3.0)), 10: twice}, "soft": {2: Null.of(np.arange(5.0))}}
    path = references.save(replace(make(), known=known.Known(0.5, nulls)), tmp_path / "reference.safetensors")
    found = references.load(path, 3, 5, False, "relative")
    assert found.known.width == 0.5 and list(found.known.nulls) == ["usual", "soft"]
    assert [len(found.known_null(*asked)) for asked in ((4,), (99,), (100,), (4, "soft"), (4, "noisy"))] == [
        3,
        3,
        4,
        5,
        3,
    ]
    assert found.known_null(100).weights.tolist() == [1, 0.5, 0.5, 1] and found.known_null(100).sources == 3
    assert make().known_null(9) is None
    tensors = load_file(path)
    save_file(tensors | {"known.width": torch.zeros((), dtype=torch.float64)}, path)
    with pytest.raises(ValueError, match=r"known\.width"):
        references.load(path, 3, 5, False, "relative")


@pytest.mark.parametrize(("null", "judged"), [(np.full(200, 99.0), True), (np.full(200, -99.0), False)])
def test_a_stranger_cannot_be_judged_but_a_region_of_it_is_not_tested(tmp_path, null, judged):
    folder = make_checkpoint(tmp_path / "tiny")
    made = replace(Detector.from_pretrained(folder).reference, known=known.Known(0.5, {"usual": {2: Null.of(null)}}))
    references.save(made, folder / "reference.safetensors")
    detector = Detector.from_pretrained(folder)
    verdict = detector.detect(picture(3, 160, 192)).verdict
    assert verdict.judged == judged and verdict.reason == ("" if judged else known.STRANGER)
    assert detector.detect(picture(3, 160, 192), region=(0, 0, 96, 96)).verdict.judged
