"""Strict loading of weights from safetensors or PyTorch files, for every encoder and signature alike.

A PyTorch file is opened with `weights_only=True`: tensors and plain containers, no code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

PYTORCH = (".pth", ".pt", ".bin")


def read_pytorch(path: str | Path) -> object:
    """What `torch.save` put into a file, on the CPU, without running anything in it.

    Raises:
        ValueError: the file is missing, damaged or holds more than tensors and plain containers; one sentence.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"There is no file {Path(path).name}.") from error
    except Exception as error:  # a damaged file fails in the unpickler in as many ways as there are bytes
        raise ValueError(
            f"{Path(path).name} can't be read as a PyTorch file of tensors alone; "
            "save the state dict, not the module, or fetch the file again."
        ) from error


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file or, by its ending, of a PyTorch state dict.

    Raises:
        ValueError: the file is missing, can't be read or holds something else; one sentence.
    """
    if Path(path).suffix in PYTORCH:
        state = read_pytorch(path)
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError(f"{Path(path).name} is not a state dict, a flat dictionary of tensors.")
        return state
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{Path(path).name} is missing or can't be read as safetensors; fetch it again.") from error


def leaves(content: object, ignored: tuple[str, ...] = (), prefix: str = "") -> dict[str, object]:
    """What nested dictionaries hold, by dotted name and in their order; numbers become float64 tensors.

    Names, or what stands before their dots, in `ignored` are left out, and so are batch counts of standardisation.

    Raises:
        ValueError: `content` is no dictionary.
    """
    if not isinstance(content, dict):
        raise ValueError(f"The file holds a {type(content).__name__}, not named tensors.")
    found: dict[str, object] = {}
    for name, value in ((f"{prefix}{key}", value) for key, value in content.items()):
        if f"{name}.".startswith(tuple(f"{part}." for part in ignored)) or name.endswith("num_batches_tracked"):
            continue
        if isinstance(value, dict):
            found |= leaves(value, ignored, f"{name}.")
        else:
            found[name] = torch.tensor(value).double() if isinstance(value, (int, float)) else value
    return found


def finite(value: object) -> bool:
    """Whether it is a tensor of floating-point numbers, all of them finite."""
    return isinstance(value, Tensor) and value.is_floating_point() and bool(value.isfinite().all())


def described(value: object) -> str:
    """In a few words, what stands in a file where a tensor was wanted."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    what = "a number" if value.numel() == 1 else f"a tensor of {' x '.join(map(str, value.shape))} values"
    what += "" if value.is_floating_point() else f" of type {str(value.dtype).removeprefix('torch.')}"
    return what + ("" if value.isfinite().all() else " that are not finite")


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
        "not finite": sorted(name for name in shared if state[name].is_floating_point() and not finite(state[name])),
    }
    said = [
        f"{kind}: {', '.join(names[:5])}{' and others' if len(names) > 5 else ''}"
        for kind, names in faults.items()
        if names
    ]
    if said:
        raise ValueError(f"Tensors in {what} don't fit the configuration ({'; '.join(said)}).")


def load_strictly(
    module: nn.Module,
    path: str | Path,
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> None:
    """Load a module's weights; anything missing, left over, mis-shaped or not finite is a ValueError.

    `rename` turns the names in the file into the module's.
    """
    state = rename(read_tensors(path))
    check_state(module, state, Path(path).name)
    module.load_state_dict(state)
