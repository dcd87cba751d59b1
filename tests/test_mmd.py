"""Every function of mmd.py against double loops in float64, and against hyppo."""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mdmf_core.method import mmd

PLAIN = mmd.Kernel(1.7)
DEEP = mmd.Kernel(1.7, 2.9, 0.05)


def points(seed: int, count: int, kernel: mmd.Kernel, dtype=torch.float64, shift: float = 0.0) -> mmd.Points:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, 3, generator=generator, dtype=torch.float64) + shift
    e = torch.randn(count, 5, generator=generator, dtype=torch.float64) if kernel.s_e is not None else None
    return mmd.Points(z.to(dtype), None if e is None else e.to(dtype))


def weights(seed: int, count: int, dtype=torch.float64) -> torch.Tensor:
    values = torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (values / values.sum()).to(dtype)


def loop_distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return math.fsum((u - v) ** 2 for u, v in zip(a.tolist(), b.tolist(), strict=True))


def loop_k(a: mmd.Points, i: int, b: mmd.Points, j: int, kernel: mmd.Kernel) -> float:
    """One kernel value, from the formula, number by number."""
    value = math.exp(-loop_distance(a.z[i], b.z[j]) / kernel.s_z**2)
    if kernel.s_e is None:
        return value
    outer = math.exp(-loop_distance(a.e[i], b.e[j]) / kernel.s_e**2)
    return ((1 - kernel.eps) * value + kernel.eps) * outer


def loop_gram(a: mmd.Points, b: mmd.Points, kernel: mmd.Kernel) -> list[list[float]]:
    return [[loop_k(a, i, b, j, kernel) for j in range(b.count)] for i in range(a.count)]


def loop_self(values: list[list[float]], w: list[float]) -> float:
    return math.fsum(w[i] * w[j] * values[i][j] for i in range(len(w)) for j in range(len(w)))


@pytest.fixture(params=[PLAIN, DEEP], ids=["plain", "deep"])
def kernel(request) -> mmd.Kernel:
    return request.param


@pytest.fixture(params=[False, True], ids=["uniform", "weighted"])
def case(request, kernel):
    """Patches (7), a bank of 11 real and one of 4 generated points, and the loops' numbers about them."""
    x, y, g = points(1, 7, kernel), points(2, 11, kernel, shift=0.3), points(3, 4, kernel, shift=-0.5)
    wy, wg = (weights(4, 11), weights(5, 4)) if request.param else (mmd.uniform(11, y.z), mmd.uniform(4, g.z))
    return x, mmd.bank(y, kernel, wy), mmd.bank(g, kernel, wg)


def loop_mean(x: mmd.Points, bank: mmd.Bank, kernel: mmd.Kernel) -> list[float]:
    w = bank.weights.tolist()
    return [math.fsum(v * u for v, u in zip(row, w, strict=True)) for row in loop_gram(x, bank.points, kernel)]


def loop_unbiased(x: mmd.Points, bank: mmd.Bank, kernel: mmd.Kernel) -> float:
    inner, n = loop_gram(x, x, kernel), x.count
    own = math.fsum(inner[i][j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    c = loop_self(loop_gram(bank.points, bank.points, kernel), bank.weights.tolist())
    return own - 2 / n * math.fsum(loop_mean(x, bank, kernel)) + c


def close(found, wanted, tolerance=1e-12) -> None:
    assert np.allclose(np.asarray(found, float), np.asarray(wanted, float), rtol=0, atol=tolerance)


def test_gram_and_distances(kernel):
    x, y = points(1, 5, kernel), points(2, 8, kernel)
    close(mmd.gram(x, y, kernel), loop_gram(x, y, kernel))
    close(mmd.squared_distances(x.z, y.z), [[loop_distance(a, b) for b in y.z] for a in x.z])
    far = x.z + 1e6
    assert (mmd.squared_distances(far, far) >= 0).all(), "cancellation never gives a negative distance"


def test_points_are_sliced_together():
    x = points(1, 6, DEEP)
    part = x[2:4]
    assert part.count == 2 and torch.equal(part.z, x.z[2:4]) and torch.equal(part.e, x.e[2:4])
    assert x[torch.tensor([5, 0])].count == 2 and points(1, 6, PLAIN)[1:].e is None


def test_bank_stores_its_own_term(case, kernel):
    for bank in case[1:]:
        close(bank.self_term, loop_self(loop_gram(bank.points, bank.points, kernel), bank.weights.tolist()))
        close(bank.weights.sum(), 1)


def test_biased_unbiased_and_relative(case, kernel):
    x, real, generated = case
    inner, n = loop_gram(x, x, kernel), x.count
    everything = math.fsum(map(math.fsum, inner)) / n**2
    biased = everything - 2 / n * math.fsum(loop_mean(x, real, kernel)) + float(real.self_term)
    close(mmd.mmd2_biased(x, real, kernel), biased)
    close(mmd.mmd2_unbiased(x, real, kernel), loop_unbiased(x, real, kernel))
    gap = loop_unbiased(x, real, kernel) - loop_unbiased(x, generated, kernel)
    close(mmd.relative_mmd2(x, real, generated, kernel), gap)
    assert mmd.mmd2_biased(x, real, kernel) > 0 and abs(gap) > 1e-3


def test_biased_vanishes_against_itself(kernel):
    x = points(1, 9, kernel)
    close(mmd.mmd2_biased(x, mmd.bank(x, kernel), kernel), 0, 1e-14)


def test_witness_by_loops_and_its_identity(case, kernel):
    x, real, generated = case
    own = [math.fsum(row) / x.count for row in loop_gram(x, x, kernel)]
    r, g = loop_mean(x, real, kernel), loop_mean(x, generated, kernel)
    close(mmd.witness(x, real, kernel), np.subtract(own, r))
    close(mmd.relative_witness(x, real, generated, kernel), np.subtract(g, r))
    y, w = real.points, real.weights
    at_bank = np.mean(loop_gram(y, x, kernel), axis=1) - loop_mean(y, real, kernel)
    mean_gap = mmd.witness(x, real, kernel).mean() - float(at_bank @ w.numpy())
    close(mmd.mmd2_biased(x, real, kernel), mean_gap)


def test_evidence_by_loops(case, kernel):
    x, real, generated = case
    inner, n = loop_gram(x, x, kernel), x.count
    others = [math.fsum(v for j, v in enumerate(row) if j != i) / (n - 1) for i, row in enumerate(inner)]
    r, g = np.array(loop_mean(x, real, kernel)), np.array(loop_mean(x, generated, kernel))
    close(mmd.evidence(x, real, kernel), (np.array(others) - 2 * r + float(real.self_term)) / n)
    constant = float(real.self_term - generated.self_term)
    close(mmd.relative_evidence(x, real, generated, kernel), (2 * g - 2 * r + constant) / n)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_evidence_adds_up_to_both_statistics(kernel, dtype, tolerance):
    exact = points(1, 200, kernel), points(2, 900, kernel, shift=0.4), points(3, 700, kernel, shift=-0.4)
    true_real, true_generated = mmd.bank(exact[1], kernel), mmd.bank(exact[2], kernel)
    x, y, g = (mmd.Points(p.z.to(dtype), None if p.e is None else p.e.to(dtype)) for p in exact)
    real, generated = mmd.bank(y, kernel), mmd.bank(g, kernel)
    for parts, score, truth in (
        (
            mmd.evidence(x, real, kernel),
            mmd.mmd2_unbiased(x, real, kernel),
            mmd.mmd2_unbiased(exact[0], true_real, kernel),
        ),
        (
            mmd.relative_evidence(x, real, generated, kernel),
            mmd.relative_mmd2(x, real, generated, kernel),
            mmd.relative_mmd2(exact[0], true_real, true_generated, kernel),
        ),
    ):
        assert parts.dtype == dtype and parts.shape == (200,)
        for whole in (score, truth):
            assert abs(float(parts.sum()) - float(whole)) <= tolerance * max(1, abs(float(whole)))


def test_chunking_changes_nothing(case, kernel, monkeypatch):
    x, real, generated = case

    def everything():
        return [
            mmd.bank(real.points, kernel, real.weights).self_term,
            mmd.mmd2_unbiased(x, real, kernel),
            mmd.mmd2_biased(x, real, kernel),
            *mmd.evidence(x, real, kernel),
            *mmd.witness(x, real, kernel),
            *mmd.relative_evidence(x, real, generated, kernel),
        ]

    whole = everything()
    for values in (1, 13, 24):
        monkeypatch.setattr(mmd, "CHUNK_VALUES", values)
        close(everything(), whole, 1e-14)


def test_memory_of_a_thousand_patches_against_the_paper_s_bank():
    program = """
import resource, sys, torch
from pathlib import Path
from mdmf_core.method import mmd
torch.manual_seed(0)
x = mmd.Points(torch.randn(1000, 64))
bank = mmd.Bank(mmd.Points(torch.randn(147_000, 64)), torch.full((147_000,), 1 / 147_000), torch.tensor(0.3))
parts = mmd.evidence(x, bank, mmd.Kernel(8.0))
assert parts.shape == (1000,) and torch.isfinite(parts).all()
status = Path("/proc/self/status")  # Linux hands ru_maxrss on to children, so there it may be pytest's
if status.exists():
    peak = 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak)
"""
    root = Path(mmd.__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True)
    assert int(result.stdout) < 2e9


@pytest.fixture(scope="module")
def hyppo_mmd():
    """hyppo's MMD; without numba's compiler, which takes longer than the test."""
    before = os.environ.get("NUMBA_DISABLE_JIT")
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    try:
        return importlib.import_module("hyppo.ksample").MMD
    finally:
        os.environ.pop("NUMBA_DISABLE_JIT") if before is None else os.environ.update(NUMBA_DISABLE_JIT=before)


def hyppo_parts(x: np.ndarray, y: np.ndarray, s: float, bias: bool, MMD):
    """hyppo's correlation of kernel distances with labels, and the two centred matrices it is normalised by.

    hyppo reports HSIC of (points, labels) as a correlation times a factor; both are undone here. Its
    Gaussian kernel is exp(-gamma |a - b|^2), for labels 0 and 1 too.
    """
    n, m, gamma = len(x), len(y), 1 / s**2
    total = n + m
    correlation = MMD("gaussian", bias=bias, gamma=gamma).statistic(x, y) * total**4 / (2 * n**2 * m**2)
    correlation = correlation**2 if bias else correlation
    both = np.vstack([x, y])
    distances = 1 - np.exp(-gamma * ((both[:, None] - both[None]) ** 2).sum(2))
    step = 1 - math.exp(-gamma)
    labels = step * (np.repeat([0, 1], [n, m])[:, None] != np.repeat([0, 1], [n, m])[None])
    return correlation, distances, labels, step


def u_centred(d: np.ndarray) -> np.ndarray:
    n = len(d)
    rows = d.sum(1) / (n - 2)
    centred = d - rows[:, None] - rows[None] + d.sum() / ((n - 1) * (n - 2))
    return centred - np.diag(np.diag(centred))


@pytest.mark.parametrize(("n", "m"), [(30, 30), (18, 41)])
def test_biased_agrees_with_hyppo(hyppo_mmd, n, m):
    rng, s = np.random.default_rng(n), 2.3
    x, y = rng.normal(size=(n, 5)), rng.normal(0.4, 1.2, size=(m, 5))
    correlation, distances, labels, step = hyppo_parts(x, y, s, True, hyppo_mmd)
    centre = np.eye(n + m) - 1 / (n + m)
    norms = [np.linalg.norm(centre @ d @ centre) for d in (distances, labels)]
    wanted = correlation * norms[0] * norms[1] * (n + m) ** 2 / (2 * n**2 * m**2 * step)
    kernel = mmd.Kernel(s)
    found = mmd.mmd2_biased(mmd.Points(torch.from_numpy(x)), mmd.bank(mmd.Points(torch.from_numpy(y)), kernel), kernel)
    assert float(found) == pytest.approx(wanted, rel=1e-9) and wanted > 0.05


def test_unbiased_agrees_with_hyppo(hyppo_mmd):
    """For sets of equal size n hyppo's unbiased statistic is proportional to MMD2_u without both diagonals."""
    n, s, rng = 30, 2.3, np.random.default_rng(0)
    x, y = rng.normal(size=(n, 5)), rng.normal(0.4, 1.2, size=(n, 5))
    correlation, distances, labels, step = hyppo_parts(x, y, s, False, hyppo_mmd)
    norms = [np.linalg.norm(u_centred(d)) for d in (distances, labels)]
    wanted = correlation * norms[0] * norms[1] * (2 * n - 1) / (n**2 * (n - 1) * step)
    kernel = mmd.Kernel(s)
    bank = mmd.bank(mmd.Points(torch.from_numpy(y)), kernel)
    bank = bank._replace(self_term=(n * bank.self_term - 1) / (n - 1))
    found = mmd.mmd2_unbiased(mmd.Points(torch.from_numpy(x)), bank, kernel)
    assert float(found) == pytest.approx(wanted, rel=1e-9) and wanted > 0.02


def loop_h(x: mmd.Points, y: mmd.Points, kernel: mmd.Kernel) -> list[list[float]]:
    def one(i: int, j: int) -> float:
        inner = loop_k(x, i, x, j, kernel) + loop_k(y, i, y, j, kernel)
        return inner - loop_k(x, i, y, j, kernel) - loop_k(y, i, x, j, kernel)

    return [[one(i, j) for j in range(x.count)] for i in range(x.count)]


def test_variance_and_power_objective_by_loops(kernel):
    x, y = points(1, 8, kernel), points(2, 8, kernel, shift=0.5)
    h, n = loop_h(x, y, kernel), 8
    rows = [math.fsum(row) for row in h]
    variance = 4 / n**3 * math.fsum(row**2 for row in rows) - 4 / n**4 * math.fsum(rows) ** 2
    close(mmd.variance_h1(x, y, kernel), variance)
    mmd2 = math.fsum(h[i][j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    for ridge in (1e-8, 0.1):
        close(mmd.power_objective(x, y, kernel, ridge), mmd2 / math.sqrt(variance + ridge), 1e-10)


def test_power_objective_has_the_right_gradient():
    x, y = points(1, 6, DEEP), points(2, 6, DEEP, shift=0.5)
    inputs = [t.clone().requires_grad_() for t in (x.z, x.e, y.z, y.e)]
    inputs += [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.7, 2.9, 0.05)]

    def objective(xz, xe, yz, ye, *values):
        return mmd.power_objective(mmd.Points(xz, xe), mmd.Points(yz, ye), mmd.Kernel(*values))

    assert torch.autograd.gradcheck(objective, inputs)
    objective(*inputs).backward()
    for value in inputs:
        assert torch.isfinite(value.grad).all() and value.grad.abs().max() > 1e-6


def test_power_objective_stays_finite_without_variance():
    same = mmd.Points(torch.zeros(5, 3, dtype=torch.float64, requires_grad=True))
    value = mmd.power_objective(same, same, PLAIN)
    value.backward()
    assert value.item() == 0 and torch.isfinite(same.z.grad).all()


def test_what_is_refused():
    with pytest.raises(ValueError, match="two patches"):
        mmd.mmd2_unbiased(points(1, 1, PLAIN), mmd.bank(points(2, 3, PLAIN), PLAIN), PLAIN)
    with pytest.raises(ValueError, match="two patches"):
        mmd.evidence(points(1, 1, PLAIN), mmd.bank(points(2, 3, PLAIN), PLAIN), PLAIN)
    with pytest.raises(ValueError, match="same size"):
        mmd.power_objective(points(1, 4, PLAIN), points(2, 5, PLAIN), PLAIN)
    with pytest.raises(ValueError, match="embeddings"):
        mmd.gram(points(1, 4, PLAIN), points(2, 5, DEEP), DEEP)
