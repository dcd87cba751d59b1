"""Turn a research checkpoint, a network and kernel parameters in a PyTorch file, into a checkpoint folder.

    python -m mdmf_core import FILE OUT

The file of arXiv 2605.09296 was out of reach: what is assumed is printed, and what has no certain place is refused.
Linear layers have one, in the order of the file, ahead of them a BatchNorm1d without scale and shift, and the kernel's
numbers as the code of Liu et al., "Learning Deep Kernels for Non-Parametric Two-Sample Tests" (ICML 2020), names them.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mdmf_core.checkpoint import store
from mdmf_core.checkpoint.config import Cut, DINOv2
from mdmf_core.method import backbones
from mdmf_core.method.backbones.dinov2 import SIZES
from mdmf_core.method.patches import Geometry
from mdmf_core.method.signature import PFS
from mdmf_core.method.weights import check_state, described, finite, leaves, read_pytorch
from mdmf_core.training.recipe import Recipe

GEOMETRY = Cut(patch_size=32, max_patches=49, resize=224, crop_size=98)  # the paper's
NAMES = {"signatures": "sigma_?0|s_z", "embeddings": "sigma|s_e", "epsilon": "epsilon|eps|ep"}
LEAST = 4e-44  # of epsilon: the logit of 0 is infinite
KEPT = {"signatures": "log_s_z", "embeddings": "log_s_e", "epsilon": "logit_eps"}
FORMS = {  # by name: the formula of bandwidth and share, and the value
    "plain": ("exp(-d / sigma)", "epsilon", lambda v: v),
    "squared": ("exp(-d / sigma^2)", "epsilon^2", torch.square),
    "gaussian": ("exp(-d / (2 sigma^2))", None, lambda v: 2 * v**2),
    "log": ("exp(-d / exp(sigma))", "exp(epsilon)", torch.exp),
    "log-squared": ("exp(-d / exp(sigma)^2)", None, lambda v: torch.exp(2 * v)),
    "sigmoid": (None, "1 / (1 + exp(-epsilon))", torch.sigmoid),
}
NAMED = {"log_": ("log-squared", "log"), "logit_": ("plain", "sigmoid"), "opt": ("squared", "sigmoid")}


class Read(NamedTuple):
    """What the file doesn't say: forms other than those that go by the names, and `extra` numbers that it lacks."""

    statistic: str = "mmd"
    activation: str = "relu"
    sigma_form: str | None = None
    epsilon_form: str | None = None
    extra: Mapping[str, float] = {}
    ignored: tuple[str, ...] = ()


def import_file(file: Path, out: Path, recipe: Recipe | None, weights: str | None, how: Read) -> list[str]:
    """Write a checkpoint to a new folder; the lines say where each tensor went and what was assumed.

    `weights` (folder, file or Hub repository) replace the backbone's. A ValueError names what has no certain place.
    """
    lines: list[str] = []
    pfs = signature(read_pytorch(file), how, lines)
    stated = recipe.model_fields_set if recipe else ()
    sizes = {dim: size for size, dim in SIZES.items()}
    settings = recipe.backbone if "backbone" in stated else DINOv2(size=sizes.get(pfs.dim, "large"))
    if not isinstance(settings, DINOv2) or SIZES[settings.size] != pfs.dim:
        known = f"DINOv2's embeddings have {', '.join(f'{dim} ({size})' for dim, size in sizes.items())}"
        raise ValueError(f"The first layer takes {pfs.dim} values; {known}, and a recipe names that size.")
    settings = store.pinned(settings.model_copy(update={"weights": weights, "revision": None}) if weights else settings)
    geometry = Geometry(**dict(recipe.geometry if "geometry" in stated else GEOMETRY))
    with torch.device("meta"):
        encoder = backbones.build(settings.name, **settings.arguments)
    store.save(store.Model(file.stem, settings, encoder, geometry, pfs, how.statistic), out)
    for part, facts in {"backbone": settings.told, "geometry": asdict(geometry)}.items():
        given = "the recipe's" if part in stated else "the paper's, assumed"
        lines.append(f"{part} ({given}): {', '.join(f'{key} {value}' for key, value in facts.items())}")
    return [*lines, f"statistic: {how.statistic} (--statistic)"]


def signature(content: object, how: Read, lines: list[str]) -> PFS:
    """The network and the kernel in a file's content; a ValueError names what has no certain place."""
    given = leaves({"--set": how.extra}) | leaves(content, how.ignored)
    left = {name: value for name, value in given.items() if finite(value)}
    state = _kernel(left, how, lines)
    dim, *hidden, last = widths = _layers(left, state, lines)
    for name in [name for name, value in given.items() if name in left or not finite(value)]:
        advice = f"if the network's output doesn't depend on it, leave it out with --ignore {name}."
        raise ValueError(f"There is no place for {name}, {described(given[name])}; {advice}")
    lines.append(f"signature: {' -> '.join(map(str, widths))}, {how.activation} between layers (--activation)")
    pfs = PFS(dim, hidden, last, "log_s_e" in state, activation=how.activation, norm="norm.running_var" in state)
    check_state(pfs, state, "the file")
    pfs.load_state_dict(state)
    return pfs.eval().requires_grad_(False)


def _kernel(left: dict[str, Tensor], how: Read, lines: list[str]) -> dict[str, Tensor]:
    """What `PFS` keeps of the kernel's numbers, which are taken from `left`."""
    found: dict[str, str] = {}
    for role, names in NAMES.items():
        form = re.compile(rf"(.*\.)?(log_|logit_)?({names})_?(opt)?", re.IGNORECASE)
        if named := [name for name, value in left.items() if value.numel() == 1 and form.fullmatch(name)]:
            found[role] = named[0]
    if [*found] == ["embeddings"]:
        found = {"signatures": found["embeddings"]}
    if "signatures" not in found:
        raise ValueError("The file names no bandwidth of signatures; give it with --set sigma0=VALUE.")
    if not (deep := "embeddings" in found):
        found.pop("epsilon", None)  # it joins both factors, and has no place where there is one
    state = {KEPT[role]: _formed(role, name, left.pop(name), how, lines) for role, name in found.items()}
    lines.append(f"  kernel: {'deep, on signatures and on embeddings' if deep else 'plain, on signatures alone'}")
    return {"logit_eps": torch.tensor(LEAST).double().logit()} | state if deep else state


def _formed(role: str, name: str, value: Tensor, how: Read, lines: list[str]) -> Tensor:
    """A number of the kernel as `PFS` keeps it; its form is the user's, else that of its name, else plain."""
    share, last = role == "epsilon", name.split(".")[-1].lower()
    option, form = ("--epsilon-form", how.epsilon_form) if share else ("--sigma-form", how.sigma_form)
    form = form or next((forms[share] for part, forms in NAMED.items() if part in last), "plain")
    known = [key for key, formulas in FORMS.items() if formulas[share]]
    if form not in known:
        raise ValueError(f"The form of {name} is one of {', '.join(known)}, not {form!r}.")
    found = FORMS[form][-1](value.double().reshape(()))
    if not (0 <= found < 1 if share else 0 < found < torch.inf):
        what = "share in [0, 1)" if share else "bandwidth"
        raise ValueError(f"{name} is {value.item():g}, no {what} in the form {form}; say another {option}.")
    formula = FORMS[form][share] + ("" if share else f" on {role}")
    lines.append(f"  {name} = {value.item():g}, read as {form}: {formula} ({option})")
    return found.clamp(min=LEAST).logit() if share else found.log() / 2


def _layers(left: dict[str, Tensor], state: dict[str, Tensor], lines: list[str]) -> list[int]:
    """D, hidden widths and K; layers and standardisation go from `left` to `state`, named as in `PFS`."""
    widths: list[int] = []
    prefix = next(iter(left), "").removesuffix("running_mean")
    if left.keys() >= {f"{prefix}running_mean", f"{prefix}running_var"}:
        state |= {f"norm.{part}": left.pop(f"{prefix}{part}") for part in ("running_mean", "running_var")}
        state["norm.num_batches_tracked"], widths = torch.tensor(0), [state["norm.running_mean"].numel()]
        lines.append(f"  {prefix}running_mean, running_var ({widths[0]}) -> standardisation of embeddings")
    for name in [name for name, value in left.items() if value.ndim == 2 and name.split(".")[-1] == "weight"]:
        outputs, inputs = left[name].shape
        if inputs == (widths := widths or [inputs])[-1]:
            bias, place = f"{name.removesuffix('weight')}bias", f"mlp.{2 * len(widths) - 2}"
            fits = bias in left and left[bias].shape == (outputs,)
            told = f"{outputs} x {inputs} {'and its' if fits else 'without'} bias"
            lines.append(f"  {name} {told} -> layer {len(widths)}")
            state[f"{place}.weight"] = left.pop(name)
            state[f"{place}.bias"] = left.pop(bias) if fits else torch.zeros(outputs)
            widths.append(outputs)
    if len(widths) < 2:
        raise ValueError("The file holds no linear layer, a tensor of two dimensions named `weight`.")
    return widths
