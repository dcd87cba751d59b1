"""The training loop: running average, clipping, log."""

from __future__ import annotations

import pytest
import torch

from mdmf_core.training import loop


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
