"""Which tensor of a research checkpoint is what; one that has no certain place is an error that names it.

What has one: linear layers in the order of the file; before them a BatchNorm1d without scale and shift; and the
kernel's numbers (`bandwidths`). Prefixes don't matter.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mdmf_core.method.signature import PFS
from mdmf_core.training.bandwidths import role_of


def flatten(content: object, ignored: Iterable[str], prefix: str = "") -> dict[str, Tensor]:
    """Tensors and numbers of nested dictionaries, by dotted name, in the order of the file; ValueError for others."""
    if not isinstance(content, dict):
        raise ValueError(f"The file holds a {type(content).__name__}, not named tensors.")
    found: dict[str, Tensor] = {}
    for name, value in ((f"{prefix}{key}", value) for key, value in content.items()):
        if any(name == part or name.startswith(f"{part}.") for part in ignored):
            continue
        if isinstance(value, dict):
            found |= flatten(value, ignored, f"{name}.")
        elif isinstance(value, (Tensor, int, float)):
            found[name] = value if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64)
        else:
            raise _unplaced(name, f"a {type(value).__name__}")
    return found


def _unplaced(name: str, what: str | Tensor) -> ValueError:
    if isinstance(what, Tensor):
        kind = "" if what.is_floating_point() else f" of type {str(what.dtype).removeprefix('torch.')}"
        what = ("a number" if what.numel() == 1 else f"a tensor of {' x '.join(map(str, what.shape))} values") + kind
    advice = f"if the network's output doesn't depend on it, leave it out with --ignore {name}."
    return ValueError(f"There is no place for {name}, {what}; {advice}")


class Network:
    """Tensors of a file by their place; `lines` say which.

    Args:
        tensors: by dotted name, in the order of the file.

    Attributes:
        layers: (weight (out, in), bias (out,)) each; `widths` are D, hidden widths and K.
        norm: mean and variance (D,) of embeddings, or None.
        scalars: name and value of each number of the kernel, by its role.

    Raises:
        ValueError: names a tensor that has no certain place, or layers that don't fit together.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.lines: list[str] = []
        for name, value in tensors.items():
            if not value.is_floating_point() and not name.endswith("num_batches_tracked"):
                raise _unplaced(name, value)
            if not torch.isfinite(value).all():
                raise ValueError(f"{name} holds values that are not finite.")
        left = dict(tensors)
        self.scalars = self._scalars(left)
        self.norm = self._norm(left)
        self.layers = self._layers(left)
        self.widths = [self.layers[0][0].shape[1], *(len(bias) for _, bias in self.layers)]
        for name, value in left.items():
            raise _unplaced(name, value)

    def _scalars(self, left: dict[str, Tensor]) -> dict[str, tuple[str, float]]:
        found: dict[str, tuple[str, float]] = {}
        for name in [name for name, value in left.items() if value.numel() == 1 and role_of(name)]:
            role = role_of(name)
            if role in found:
                raise ValueError(f"Both {found[role][0]} and {name} would be the kernel's {role} parameter.")
            found[role] = name, float(left.pop(name))
        return found

    def _norm(self, left: dict[str, Tensor]) -> tuple[Tensor, Tensor] | None:
        first = next((name for name, value in left.items() if value.numel() > 1), "")
        prefix = first.removesuffix("running_mean")
        if prefix == first or f"{prefix}running_var" not in left:
            return None
        left.pop(f"{prefix}num_batches_tracked", None)
        self.lines.append(f"{first}, running_var ({len(left[first])}) -> standardisation of embeddings")
        return left.pop(first), left.pop(f"{prefix}running_var")

    def _layers(self, left: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        found: list[tuple[Tensor, Tensor]] = []
        width, before = (len(self.norm[0]), "the standardisation") if self.norm else (None, "")
        for name in [name for name, value in left.items() if value.ndim == 2 and name.split(".")[-1] == "weight"]:
            weight, bias = left.pop(name), left.pop(f"{name.removesuffix('weight')}bias", None)
            outputs, inputs = weight.shape
            if width not in (None, inputs):
                raise ValueError(f"{name} takes {inputs} values where {before} gives {width}: they form no chain.")
            if bias is not None and bias.shape != (outputs,):
                raise ValueError(f"The bias beside {name} has the shape {tuple(bias.shape)}, not ({outputs},).")
            found.append((weight, torch.zeros(outputs) if bias is None else bias))
            said = ", no bias: zeros" if bias is None else " and its bias"
            self.lines.append(f"{name} {outputs} x {inputs}{said} -> layer {len(found)}")
            width, before = outputs, name
        if not found:
            raise ValueError("The file holds no linear layer, a tensor of two dimensions named `weight`.")
        return found

    def signature(self, parameters: dict[str, float], activation: str) -> PFS:
        """The signature that computes what the network did, with the kernel's parameters as it stores them."""
        dim, *hidden, last = self.widths
        pfs = PFS(dim, hidden, last, "log_s_e" in parameters, activation=activation, norm=self.norm is not None)
        state = {name: torch.tensor(value) for name, value in parameters.items()}
        for index, (weight, bias) in enumerate(self.layers):
            state |= {f"mlp.{2 * index}.weight": weight, f"mlp.{2 * index}.bias": bias}
        if self.norm:
            state |= {"norm.running_mean": self.norm[0], "norm.running_var": self.norm[1]}
            state["norm.num_batches_tracked"] = torch.tensor(0)  # no output depends on it
        pfs.load_state_dict(state)
        return pfs.eval().requires_grad_(False)
