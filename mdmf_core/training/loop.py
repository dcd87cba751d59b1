"""The one training loop: data, step, average, resume, log. Encoder, signature and locator are trained by it.

AdamW under a one-cycle schedule, gradients clipped, a running average of the weights (torch's `OneCycleLR` and
`AveragedModel`). Data and losses belong to the caller: a function of the step's number, so that a run that was
interrupted goes on with the very batches that it had not seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel
from tqdm import trange

from mdmf_core.files import write_whole

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How long and how fast.

    Args:
        steps: of the whole run.
        rate: highest learning rate.
        decay: weight decay.
        average: share of the running average that stays at each step; 0 keeps the weights themselves.
        warm: share of the steps in which the rate rises.
        clip: greatest norm of the gradient.
        every: steps between two lines of the log, and between two calls of `checked`.
        save_every: steps between two states on disk.
        seed: of dropout.
    """

    steps: int
    rate: float
    decay: float
    average: float = 0.0
    warm: float = 0.3
    clip: float = 2.0
    every: int = 100
    save_every: int = 500
    seed: int = 0


def fit(
    module: nn.Module,
    losses: Callable[[int], dict[str, Tensor]],
    plan: Plan,
    say: Say,
    groups: Iterable[dict] | None = None,
    state: Path | None = None,
    checked: Callable[[int, dict[str, float]], object] | None = None,
) -> nn.Module:
    """Train a module in place; the running average in inference mode, or the module where none is kept.

    Args:
        module, plan: what is trained, how long and how fast.
        losses: step number, from 0 -> named losses, already weighted, whose sum is minimised.
        say: takes each line of the log, unless `checked` is given.
        groups: of parameters, as torch's optimizers take them; `share` is that of the rate. Default: all alike.
        state: a file for what an interrupted run needs to go on; it is read where it exists.
        checked: called every `plan.every` steps, with the step and the mean losses since the last call.
    """
    checked = checked or partial(_tell, say)
    groups = [dict(group) for group in groups or [{"params": list(module.parameters())}]]
    rates = [plan.rate * group.pop("share", 1.0) for group in groups]
    optimizer = torch.optim.AdamW(groups, lr=plan.rate, weight_decay=plan.decay)
    schedule = OneCycleLR(optimizer, rates, total_steps=plan.steps + 1, pct_start=plan.warm, div_factor=25)
    average = AveragedModel(module, multi_avg_fn=following(plan.average), use_buffers=True)
    start = _restore(state, module, average, optimizer, schedule) if state is not None and state.exists() else 0
    means = Means()
    module.train()
    for step in trange(start, plan.steps, initial=start, total=plan.steps, desc="train"):
        torch.manual_seed(plan.seed + step)
        means.add(_step(module, losses(step), optimizer, schedule, plan.clip))
        if plan.average:
            average.update_parameters(module)
        if (step + 1) % plan.every == 0 or step + 1 == plan.steps:
            checked(step + 1, means.taken())
        if state is not None and (step + 1) % plan.save_every == 0:
            _save(state, step + 1, module, average, optimizer)
    return (average.module if plan.average else module).eval()


def _step(
    module: nn.Module,
    found: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    schedule: OneCycleLR,
    clip: float,
) -> dict[str, float]:
    """One step against the sum of the losses, which are given back as numbers."""
    optimizer.zero_grad()
    sum(found.values()).backward()
    nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimizer.step()
    schedule.step()
    return {name: value.item() for name, value in found.items()}


class Means:
    """Mean losses since they were last taken."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, found: dict[str, float]) -> None:
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in found.items()}
        self._count += 1

    def taken(self) -> dict[str, float]:
        sums, count, self._sums, self._count = self._sums, self._count, {}, 0
        return {name: total / count for name, total in sums.items()}


def _tell(say: Say, step: int, means: dict[str, float]) -> None:
    say(f"step {step}: " + ", ".join(f"{name} {mean:.4f}" for name, mean in means.items()))


def following(keep: float) -> Callable:
    """A running average that follows faster at first, when there is little to keep."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], seen: Tensor | int) -> None:
        share = min(keep, (int(seen) + 1) / (int(seen) + 10))
        for slow, fast in zip(averaged, current, strict=True):
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, 1 - share)
            else:
                slow.copy_(fast)

    return update


def _save(path: Path, step: int, module: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    tensors = {name: value.contiguous().clone() for name, value in tensors.items()} | {"step": torch.tensor(step)}
    write_whole(path, lambda temporary: save_file(tensors, temporary))


def _restore(
    path: Path, module: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, schedule: OneCycleLR
) -> int:
    tensors = load_file(path)

    def part(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

    module.load_state_dict(part("module."))
    average.load_state_dict(part("average."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in part("optimizer.").items():
        index, field = name.split(".", 1)
        state.setdefault(int(index), {})[field] = value
    step = int(tensors["step"])
    with warnings.catch_warnings():  # the optimizer's steps before the schedule's were those of the earlier run
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(step):
            schedule.step()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return step
