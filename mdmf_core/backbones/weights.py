"""Strict loading of weights from safetensors, for every encoder and signature alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        ValueError: the file is missing or can't be read; one sentence.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{Path(path).name} is missing or can't be read as safetensors; fetch it again.") from error


def check_state(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Compare names, shapes and values with what the module expects.

    Raises:
        ValueError: names every tensor that doesn't fit, up to five of a kind.
    """
    wanted = module.state_dict()
    shared = wanted.keys() & state.keys()
    faults = {
        "missing": sorted(wanted.keys() - state.keys()),
        "unexpected": sorted(state.keys() - wanted.keys()),
        "of the wrong shape": sorted(name for name in shared if wanted[name].shape != state[name].shape),
        "not finite": sorted(
            name for name in shared if state[name].is_floating_point() and not torch.isfinite(state[name]).all()
        ),
    }
    said = [
        f"{kind}: {', '.join(names[:5])}{' and others' if len(names) > 5 else ''}"
        for kind, names in faults.items()
        if names
    ]
    if said:
        raise ValueError(f"Tensors in {what} don't fit the configuration ({'; '.join(said)}).")


def load_strictly(module: nn.Module, path: str | Path) -> None:
    """Load a module's weights; anything missing, left over, mis-shaped or not finite is a ValueError."""
    state = read_tensors(path)
    check_state(module, state, Path(path).name)
    module.load_state_dict(state)
