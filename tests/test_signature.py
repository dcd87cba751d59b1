"""The signature learns its kernel."""

from __future__ import annotations

import pytest
import torch

from mdmf_core.method import mmd
from mdmf_core.method.signature import PFS


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
