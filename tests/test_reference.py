"""Calibration by hand, compression and storage of the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mdmf_core.method import calibration, mmd
from mdmf_core.method import reference as references
from mdmf_core.method.compress import compress

PLAIN = mmd.Kernel(1.5)
DEEP = mmd.Kernel(1.5, 3.0, 0.05)


def points(seed: int, count: int, deep: bool = False, shift: float = 0.0) -> mmd.Points:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, 3, generator=generator, dtype=torch.float64) + shift
    return mmd.Points(z, torch.randn(count, 5, generator=generator, dtype=torch.float64) if deep else None)


@pytest.mark.parametrize(("kernel", "part"), [(PLAIN, 0.2), (DEEP, 0.6)], ids=["plain", "deep"])
def test_compression_beats_a_random_subset_and_keeps_valid_weights(kernel, part):
    deep = kernel.s_e is not None
    full = mmd.bank(points(0, 600, deep), kernel, torch.full((600,), 1 / 600, dtype=torch.float64))
    small, kept = compress(full, 40, kernel)
    assert torch.equal(small.points.z, full.points.z[torch.from_numpy(kept)])
    assert small.points.count <= 40 and small.points.z.dtype == torch.float64
    assert float(small.weights.sum()) == pytest.approx(1, abs=1e-12) and (small.weights >= 0).all()

    def distance(bank: mmd.Bank) -> float:
        cross = bank.weights @ mmd.mean_kernel(bank.points, *full[:2], kernel)
        return float(bank.self_term - 2 * cross + full.self_term)

    rng = np.random.default_rng(0)
    subsets = [
        mmd.bank(full.points[torch.from_numpy(rng.permutation(600)[: small.points.count])], kernel) for _ in range(20)
    ]
    assert distance(small) < part * min(map(distance, subsets))
    x = points(5, 30, deep, shift=0.4)

    def error(bank: mmd.Bank) -> float:
        return abs(float(mmd.mmd2_unbiased(x, bank, kernel) - mmd.mmd2_unbiased(x, full, kernel)))

    assert error(small) < np.median([error(bank) for bank in subsets])


def test_compression_of_a_weighted_bank_follows_its_weights():
    both = mmd.Points(torch.cat([points(0, 200).z, points(1, 200, shift=6.0).z]))
    weights = torch.cat([torch.full((200,), 0.9 / 200), torch.full((200,), 0.1 / 200)]).double()
    small = compress(mmd.bank(both, PLAIN, weights), 30, PLAIN)[0]
    near = small.points.z.mean(1) < 3
    assert float(small.weights[near].sum()) == pytest.approx(0.9, abs=0.07)


def test_compression_is_deterministic_and_leaves_a_small_bank_alone():
    full = mmd.bank(points(0, 300), PLAIN)
    first, second = (compress(full, 25, PLAIN, candidates=100)[0] for _ in range(2))
    assert torch.equal(first.points.z, second.points.z) and torch.equal(first.weights, second.weights)
    assert compress(full, 300, PLAIN)[0] is full


def test_compression_copes_with_repeated_points():
    full = mmd.bank(mmd.Points(points(0, 10).z.repeat(20, 1)), PLAIN)
    small = compress(full, 50, PLAIN)[0]
    assert torch.isfinite(small.weights).all() and float(small.weights.sum()) == pytest.approx(1)
    x = points(3, 20)
    gap = mmd.mmd2_unbiased(x, small, PLAIN) - mmd.mmd2_unbiased(x, full, PLAIN)
    assert abs(float(gap)) < 1e-3


def signed(seed: int, rows: int, cols: int, deep: bool = False) -> calibration.Signed:
    return calibration.Signed(points(seed, rows * cols, deep), rows, cols)


def test_the_central_block():
    grid = calibration.Signed(mmd.Points(torch.arange(20.0)[:, None]), 4, 5)
    assert grid.block(2).z[:, 0].tolist() == [6, 7, 11, 12]
    assert grid.block(3).z[:, 0].tolist() == [1, 2, 3, 6, 7, 8, 11, 12, 13]
    assert grid.block(4).z[:, 0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18]


def test_calibration_by_hand():
    real, generated = mmd.bank(points(50, 40), PLAIN), mmd.bank(points(51, 30, shift=0.5), PLAIN)
    pictures = [signed(seed, 4, 5) for seed in range(9)] + [signed(9, 2, 6)]
    nulls, patch_nulls = calibration.calibrate(iter(pictures), real, generated, PLAIN)
    assert set(nulls) == set(patch_nulls) == {"mmd", "relative"}
    assert list(nulls["mmd"]) == [2, 3, 4], "nine in ten pictures reach 4 x 4"
    for k in (2, 3, 4):
        fitting = [picture for picture in pictures if picture.rows >= k]
        wanted = sorted(float(mmd.mmd2_unbiased(picture.block(k), real, PLAIN)) for picture in fitting)
        assert np.allclose(nulls["mmd"][k].scores, wanted, atol=1e-12) and len(wanted) == (10 if k == 2 else 9)
        wanted = sorted(float(mmd.relative_mmd2(picture.block(k), real, generated, PLAIN)) for picture in fitting)
        assert np.allclose(nulls["relative"][k].scores, wanted, atol=1e-12)
    values = [p.points.count * mmd.evidence(p.points, real, PLAIN) for p in pictures]
    assert np.allclose(patch_nulls["mmd"], torch.cat(values).sort().values, atol=1e-12)


def test_calibration_drops_block_sizes_that_few_pictures_have():
    bank = mmd.bank(points(50, 40), PLAIN)
    pictures = [signed(seed, 4, 4) for seed in range(8)] + [signed(8, 2, 9), signed(9, 2, 2)]
    nulls, _ = calibration.calibrate(pictures, bank, None, PLAIN)
    assert list(nulls) == ["mmd"] and list(nulls["mmd"]) == [2]


def test_patch_nulls_are_thinned_but_keep_their_ends(monkeypatch):
    bank = mmd.bank(points(50, 40), PLAIN)
    pictures = [signed(seed, 5, 5) for seed in range(10)]
    whole = calibration.calibrate(pictures, bank, None, PLAIN)[1]["mmd"]
    monkeypatch.setattr(calibration, "MOST_PATCH_NULLS", 60)
    thin = calibration.calibrate(pictures, bank, None, PLAIN)[1]["mmd"]
    assert len(whole) == 250 and len(thin) == 60
    assert thin[0] == whole[0] and thin[-1] == whole[-1] and set(thin) <= set(whole)


def test_calibration_refuses_what_it_cannot_use():
    bank = mmd.bank(points(50, 40), PLAIN)
    for pictures in ([], [signed(0, 4, 4), signed(1, 1, 9)]):
        with pytest.raises(ValueError, match="2 x 2"):
            calibration.calibrate(pictures, bank, None, PLAIN)


def test_the_relative_statistic_needs_its_second_bank():
    with pytest.raises(ValueError, match="generated"):
        calibration.evidence_of(points(0, 4), "relative", mmd.bank(points(1, 4), PLAIN), None, PLAIN)


def make(deep: bool = False, relative: bool = True) -> references.Reference:
    kernel = DEEP if deep else PLAIN

    def single(p: mmd.Points) -> mmd.Points:
        return mmd.Points(p.z.float().double(), None if p.e is None else p.e.float().double())

    weights = torch.rand(12, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    real = mmd.bank(single(points(1, 12, deep)), kernel, weights / weights.sum())
    generated = mmd.bank(single(points(2, 9, deep, 0.5)), kernel) if relative else None
    pictures = [signed(10 + seed, 3, 4, deep) for seed in range(6)]
    usual, soft = (calibration.calibrate(part, real, generated, kernel) for part in (pictures, pictures[:4]))
    soft.nulls["mmd"][2] = calibration.Null.of(soft.nulls["mmd"][2].scores, ["a", "a", "b", "a"])
    facts = {"sources": {"a": 3}, "error": 0.25}
    return references.Reference(real, generated, *usual, facts, details={"soft": soft})


def test_blocks_fit_the_picture():
    null = {k: calibration.Null.of(np.array([value])) for k, value in ((2, 1.0), (3, 2.0), (5, 3.0))}
    bank = mmd.bank(points(1, 4), PLAIN)
    made = references.Reference(bank, None, {"mmd": null}, {"mmd": np.arange(1001.0)}, {})
    for n_patches, wanted in ((1, 1.0), (4, 1.0), (8, 1.0), (9, 2.0), (24, 2.0), (25, 3.0), (900, 3.0)):
        assert made.null("mmd", n_patches).scores.tolist() == [wanted]
    low, high = calibration.SCALE_QUANTILES
    assert made.scale("mmd") == (1000 * low, 1000 * high)


@pytest.mark.parametrize(("deep", "relative"), [(False, True), (True, True), (False, False)])
def test_a_reference_survives_storage_bit_for_bit(tmp_path: Path, deep, relative):
    made = make(deep, relative)
    path = references.save(made, tmp_path / "deeper" / "reference.safetensors")
    found = references.load(path, 3, 5, deep, "relative" if relative else "mmd")
    pairs = [(made.real, found.real)] + [(made.generated, found.generated)] * relative
    for before, after in pairs:
        assert torch.equal(before.points.z, after.points.z) and torch.equal(before.weights, after.weights)
        assert torch.equal(before.self_term, after.self_term) and after.points.z.dtype == torch.float64
        assert not deep or torch.equal(before.points.e, after.points.e)
    assert (found.generated is None) == (not relative) and found.facts == made.facts
    assert list(found.details) == ["soft"]
    for kind in ("usual", "soft"):
        before, after = made.calibration(kind), found.calibration(kind)
        assert before.nulls.keys() == after.nulls.keys() == after.patch_nulls.keys()
        for statistic, blocks in before.nulls.items():
            assert blocks.keys() == after.nulls[statistic].keys()
            for k, null in blocks.items():
                assert np.array_equal(null.scores, after.nulls[statistic][k].scores)
                assert np.array_equal(null.weights, after.nulls[statistic][k].weights)
            assert np.array_equal(before.patch_nulls[statistic], after.patch_nulls[statistic])
    again = references.save(found, tmp_path / "again.safetensors")
    assert again.read_bytes() == path.read_bytes() and sorted(tmp_path.glob("**/.*")) == []


def test_pictures_meet_their_own_kind():
    made = make()
    assert [made.nearest(kind) for kind in ("usual", "soft", "noisy")] == ["usual", "soft", "usual"]
    assert len(made.null("mmd", 9, "soft")) == 4 and len(made.null("mmd", 9)) == 6
    assert made.null("mmd", 9, "noisy") is made.null("mmd", 9)


def faulty(tmp_path: Path, change) -> Path:
    path = references.save(make(), tmp_path / "reference.safetensors")
    tensors = load_file(path)
    change(tensors)
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return path


@pytest.mark.parametrize("name", ["real.z", "real.weights", "real.self_term", "generated.z", "generated.weights"])
def test_a_missing_tensor_is_named(tmp_path, name):
    path = faulty(tmp_path, lambda tensors: tensors.pop(name))
    with pytest.raises(ValueError, match=f"{name} is missing"):
        references.load(path, 3, 5, False, "relative")


def test_missing_calibration_is_named(tmp_path):
    path = faulty(tmp_path, lambda tensors: [tensors.pop(f"null.mmd.{k}") for k in (2, 3)])
    with pytest.raises(ValueError, match=r"null\.mmd"):
        references.load(path, 3, 5, False, "relative")
    path = faulty(tmp_path, lambda tensors: tensors.pop("patch_null.relative"))
    with pytest.raises(ValueError, match="patch_null.relative is missing"):
        references.load(path, 3, 5, False, "relative")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("real.z", torch.zeros(12, 4), "real.z has the shape"),
        ("real.z", torch.zeros(11, 3), "real.weights has the shape"),
        ("real.self_term", torch.zeros(1), "real.self_term has the shape"),
        ("null.mmd.2", torch.zeros(2, 2), "null.mmd.2 has the shape"),
        ("real.z", torch.full((12, 3), torch.nan), "real.z has values that are not finite"),
        ("null.relative.3", torch.tensor([0.0, torch.inf]), "null.relative.3 has values that are not finite"),
        ("spare", torch.zeros(2), "unexpected tensors: spare"),
        ("real.e", torch.zeros(12, 5), "unexpected tensors: real.e"),
        ("null.other.2", torch.zeros(2), "unexpected tensors: null.other.2"),
        ("soft.null.mmd.2.weights", torch.tensor([0.5, 0.25, 0.2, 1.0]), "does not hold shares of sources"),
        ("soft.null.mmd.2.weights", torch.tensor([1.0, 1.0]), "has the shape"),
        ("null.mmd.9.weights", torch.ones(6), "unexpected tensors: null.mmd.9.weights"),
        ("soft.null.other.2", torch.zeros(2), "unexpected tensors: soft.null.other.2"),
        ("loud.null.mmd.2", torch.zeros(2), "unexpected tensors: loud.null.mmd.2"),
        ("noisy.null.mmd.2", torch.zeros(2), "the tensor noisy.patch_null.mmd is missing"),
        ("noisy.patch_null.mmd", torch.zeros(2), r"there are no calibration scores noisy.null.mmd"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(tmp_path, name, value, words):
    path = faulty(tmp_path, lambda tensors: tensors.update({name: value}))
    with pytest.raises(ValueError, match=words):
        references.load(path, 3, 5, False, "relative")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("null.mmd.two", torch.zeros(3)),
        ("null.mmd.2", torch.zeros(0)),
        ("patch_null.mmd", torch.zeros(0)),
        ("real.weights", torch.full((12,), -1.0)),
    ],
)
def test_a_value_that_makes_no_sense_is_named(tmp_path, name, value):
    path = faulty(tmp_path, lambda tensors: tensors.update({name: value}))
    with pytest.raises(ValueError, match=name):
        references.load(path, 3, 5, False, "relative")


def test_a_deep_kernel_needs_embeddings(tmp_path):
    path = references.save(make(), tmp_path / "reference.safetensors")
    with pytest.raises(ValueError, match="real.e is missing"):
        references.load(path, 3, 5, True, "relative")


def test_the_picture_of_each_point_is_kept(tmp_path):
    made = make()
    origins = {"real": [f"camera/{i // 3}.jpg" for i in range(12)], "generated": ["gan/0.png"] * 9}
    with_origins = references.Reference(made.real, made.generated, made.nulls, made.patch_nulls, made.facts, origins)
    path = references.save(with_origins, tmp_path / "reference.safetensors")
    assert references.load(path, 3, 5, False, "relative").origins == origins
    content = path.read_bytes()
    assert references.save(with_origins, path).read_bytes() == content
