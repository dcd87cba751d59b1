"""Turn a research checkpoint, a network and kernel parameters in a PyTorch file, into a checkpoint folder.

    python -m mdmf_core import FILE OUT

The file of arXiv 2605.09296 was out of reach: each assumption is printed, and what has no certain place stops the
import. Whatever its prefix, this has one: linear layers in the order of the file, each taking what the one before it
gives; ahead of them a BatchNorm1d without scale and shift; the kernel's numbers. Their names are those of Liu et al.,
"Learning Deep Kernels for Non-Parametric Two-Sample Tests" (ICML 2020), whose code keeps `epsilonOPT` (a logit),
`sigmaOPT` and `sigma0OPT` (squared before use). The kernel is exp(-|z - z'|^2 / s0), or with s of embeddings, too,

    [(1 - epsilon) exp(-|z - z'|^2 / s0) + epsilon] exp(-|e - e'|^2 / s)
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mdmf_core.checkpoint import store
from mdmf_core.checkpoint.config import Cut, DINOv2
from mdmf_core.method import backbones
from mdmf_core.method.backbones.dinov2 import SIZES
from mdmf_core.method.calibration import STATISTICS
from mdmf_core.method.patches import Geometry
from mdmf_core.method.signature import PFS
from mdmf_core.method.weights import check_state, read_pytorch
from mdmf_core.training.recipe import Recipe

GEOMETRY = Cut(patch_size=32, max_patches=49, resize=224, crop_size=98)  # the paper's
NAMES = {"signatures": "sigma_?0|s_z", "embeddings": "sigma|s_e", "epsilon": "epsilon|eps|ep"}
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


def import_file(
    file: Path, out: Path, recipe: Recipe | None, weights: str | None, how: Read, say: Callable[[str], None]
) -> None:
    """Write a checkpoint to a new folder; backbone and geometry are the recipe's, else the paper's.

    `weights` (folder, file or Hub repository) replace the backbone's. Raises a ValueError that names what has no
    certain place, or CheckpointError where the backbone can't be reached.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; name a new folder.")
    if how.statistic not in STATISTICS:
        raise ValueError(f"The statistic is one of {', '.join(STATISTICS)}, not {how.statistic!r}.")
    lines: list[str] = []
    pfs = signature(read_pytorch(file), how, lines)
    size = next((size for size, dim in SIZES.items() if dim == pfs.dim), None)
    stated = recipe.model_fields_set if recipe else frozenset()
    settings = recipe.backbone if "backbone" in stated else DINOv2(size=size or "large")
    if not isinstance(settings, DINOv2) or settings.size != size:
        known = ", ".join(f"{dim} ({size})" for size, dim in SIZES.items())
        raise ValueError(
            f"The first layer takes {pfs.dim} values; DINOv2's embeddings have {known}, and a recipe names that size."
        )
    settings = store.pinned(settings.model_copy(update={"weights": weights, "revision": None}) if weights else settings)
    geometry = Geometry(**dict(recipe.geometry if "geometry" in stated else GEOMETRY))
    with torch.device("meta"):
        encoder = backbones.build(settings.name, **settings.arguments)
    store.save(store.Model(file.stem, settings, encoder, geometry, pfs, how.statistic), out)
    for part, facts in {"backbone": settings.told, "geometry": asdict(geometry)}.items():
        given = "the recipe's" if part in stated else "the paper's, assumed"
        lines.append(f"{part} ({given}): {', '.join(f'{key} {value}' for key, value in facts.items())}")
    for line in [*lines, f"statistic: {how.statistic} (--statistic)"]:
        say(line)


def signature(content: object, how: Read, lines: list[str]) -> PFS:
    """The network and the kernel in a file's content; a ValueError names what has no certain place."""
    if not isinstance(content, dict):
        raise ValueError(f"The file holds a {type(content).__name__}, not named tensors.")
    left = _flat({"--set": how.extra}) | _flat(content, how.ignored)
    for name, value in left.items():
        if not (torch.is_tensor(value) and value.is_floating_point() and value.isfinite().all()):
            raise _unplaced(name, value)
    kernel = _kernel(left, how, lines)
    (dim, *hidden, last), layers = _layers(left, lines)
    for name, value in left.items():
        raise _unplaced(name, value)
    lines.append(
        f"signature: {' -> '.join(map(str, (dim, *hidden, last)))}, {how.activation} between layers (--activation)"
    )
    pfs = PFS(dim, hidden, last, "log_s_e" in kernel, activation=how.activation, norm="norm.running_var" in layers)
    check_state(pfs, kernel | layers, "the file")
    pfs.load_state_dict(kernel | layers)
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
    read = {role: _formed(role, name, left.pop(name), how, lines) for role, name in found.items()}
    lines.append(f"  kernel: {'deep, on signatures and on embeddings' if deep else 'plain, on signatures alone'}")
    kept = {"log_s_z": read["signatures"].log() / 2}
    if deep:
        share = read.get("epsilon", torch.tensor(0.0)).double().clamp(min=4e-44)  # the logit of 0 is infinite
        kept |= {"log_s_e": read["embeddings"].log() / 2, "logit_eps": share.logit()}
    return kept


def _formed(role: str, name: str, value: Tensor, how: Read, lines: list[str]) -> Tensor:
    """A number of the kernel by its form: the user's, else that of its name, else plain."""
    share, last = role == "epsilon", name.split(".")[-1].lower()
    option, form = ("--epsilon-form", how.epsilon_form) if share else ("--sigma-form", how.sigma_form)
    form = form or next((forms[share] for part, forms in NAMED.items() if part in last), "plain")
    known = {key: (formulas[share], of) for key, (*formulas, of) in FORMS.items() if formulas[share]}
    if form not in known:
        raise ValueError(f"The form of {name} is one of {', '.join(known)}, not {form!r}.")
    formula, of = known[form]
    found = of(value.double().reshape(()))
    if not (0 <= found < 1 if share else 0 < found < torch.inf):
        what = "share in [0, 1)" if share else "bandwidth"
        raise ValueError(f"{name} is {value.item():g}, no {what} in the form {form}; say another {option}.")
    lines.append(f"  {name} = {value.item():g}, read as {form}: {formula} {f'on {role} ' * (not share)}({option})")
    return found


def _layers(left: dict[str, Tensor], lines: list[str]) -> tuple[list[int], dict[str, Tensor]]:
    """D, hidden widths and K, and what `PFS` keeps of layers and standardisation; they are taken from `left`."""
    widths: list[int] = []
    kept: dict[str, Tensor] = {}
    prefix = next(iter(left), "").removesuffix("running_mean")
    if f"{prefix}running_mean" in left and f"{prefix}running_var" in left:
        kept = {f"norm.{part}": left.pop(f"{prefix}{part}") for part in ("running_mean", "running_var")}
        kept["norm.num_batches_tracked"], widths = torch.tensor(0), [kept["norm.running_mean"].numel()]
        lines.append(f"  {prefix}running_mean, running_var ({widths[0]}) -> standardisation of embeddings")
    for name in [name for name, value in left.items() if value.ndim == 2 and name.split(".")[-1] == "weight"]:
        outputs, inputs = left[name].shape
        if inputs == (widths := widths or [inputs])[-1]:
            bias, place = f"{name.removesuffix('weight')}bias", f"mlp.{2 * len(widths) - 2}"
            fits = bias in left and left[bias].shape == (outputs,)
            lines.append(
                f"  {name} {outputs} x {inputs} {'and its' if fits else 'without'} bias -> layer {len(widths)}"
            )
            kept |= {
                f"{place}.weight": left.pop(name),
                f"{place}.bias": left.pop(bias) if fits else torch.zeros(outputs),
            }
            widths.append(outputs)
    if len(widths) < 2:
        raise ValueError("The file holds no linear layer, a tensor of two dimensions named `weight`.")
    return widths, kept


def _flat(content: Mapping, ignored: tuple[str, ...] = (), prefix: str = "") -> dict[str, Tensor]:
    """The leaves of nested dictionaries, numbers as tensors, by dotted name and in the order of the file."""
    found: dict[str, Tensor] = {}
    for name, value in ((f"{prefix}{key}", value) for key, value in content.items()):
        if any(f"{name}.".startswith(f"{part}.") for part in ignored) or name.endswith("num_batches_tracked"):
            continue
        if isinstance(value, dict):
            found |= _flat(value, ignored, f"{name}.")
        else:
            found[name] = torch.tensor(value).double() if isinstance(value, (int, float)) else value
    return found


def _unplaced(name: str, value: object) -> ValueError:
    what = f"a {type(value).__name__}"
    if torch.is_tensor(value):
        what = "a number" if value.numel() == 1 else f"a tensor of {' x '.join(map(str, value.shape))} values"
        what += "" if value.is_floating_point() else f" of type {str(value.dtype).removeprefix('torch.')}"
        what += "" if value.isfinite().all() else " that are not finite"
    advice = f"if the network's output doesn't depend on it, leave it out with --ignore {name}."
    return ValueError(f"There is no place for {name}, {what}; {advice}")
