"""Turn a research checkpoint, a network and kernel parameters in a PyTorch file, into a checkpoint folder.

    python -m mdmf_core import FILE OUT

Sources: the kernel and the names of its parameters are those of Liu et al., "Learning Deep Kernels for Non-Parametric
Two-Sample Tests" (ICML 2020) and the code around it, which keeps `epsilonOPT` (a logit), `sigmaOPT` and `sigma0OPT`
(squared before use). The file of arXiv 2605.09296 could not be reached from the machines that this was written on, so
its layout is unknown here: every assumption is printed, and a tensor that has no certain place stops the import.
What is understood: linear layers in the order of the file, any prefix, with or without bias; before them one
BatchNorm1d without scale and shift; and scalars whose last name is `sigma0` (on signatures), `sigma` (on embeddings)
or `epsilon`, `eps`, `ep`, with `log_` before or `OPT` behind. The kernel is

    [(1 - epsilon) exp(-|z - z'|^2 / s0) + epsilon] exp(-|e - e'|^2 / s)

with s0 and s from `sigma0` and `sigma` by their form, or exp(-|z - z'|^2 / s0) where the file has one bandwidth alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from mdmf_core.checkpoint import store
from mdmf_core.method import backbones
from mdmf_core.method.backbones.dinov2 import SIZES
from mdmf_core.method.backbones.weights import read_pytorch
from mdmf_core.method.calibration import STATISTICS
from mdmf_core.method.patches import Geometry
from mdmf_core.method.signature import PFS

SIGMA_FORMS: dict[str, tuple[str, Callable[[float], float]]] = {
    "plain": ("exp(-d / sigma)", lambda v: v),
    "squared": ("exp(-d / sigma^2)", lambda v: v**2),
    "gaussian": ("exp(-d / (2 sigma^2))", lambda v: 2 * v**2),
    "log": ("exp(-d / exp(sigma))", math.exp),
    "log-squared": ("exp(-d / exp(sigma)^2)", lambda v: math.exp(2 * v)),
}
EPSILON_FORMS: dict[str, tuple[str, Callable[[float], float]]] = {
    "plain": ("epsilon", lambda v: v),
    "sigmoid": ("1 / (1 + exp(-epsilon))", lambda v: 1 / (1 + math.exp(-v))),
    "squared": ("epsilon^2", lambda v: v**2),
    "log": ("exp(epsilon)", math.exp),
}
ROLES = {"sigma0": "signatures", "s_z": "signatures", "sigma": "embeddings", "s_e": "embeddings"}
ROLES |= {name: "epsilon" for name in ("epsilon", "eps", "ep")}
SCALAR = re.compile(r"(log_|logit_)?(sigma0|sigma_0|sigma|s_z|s_e|epsilon|eps|ep)_?(opt)?", re.IGNORECASE)
ZERO_LOGIT = -100.0  # epsilon 0, whose logit is infinite, becomes 4e-44
GEOMETRY = {"patch_size": 32, "max_patches": 49, "resize": 224, "crop_size": 98}
BACKBONE = {"name": "dinov2", "crop_size": 98, "pooling": "class", "positions": "timm"}


@dataclass
class Network:
    """What was found. `layers` are (weight (out, in), bias (out,)); `norm` mean and variance (D,) each, or None."""

    layers: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    norm: tuple[Tensor, Tensor] | None = None
    scalars: dict[str, tuple[str, float]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    @property
    def widths(self) -> list[int]:
        """D, hidden widths, K."""
        return [self.layers[0][0].shape[1], *(weight.shape[0] for weight, _ in self.layers)]


def flatten(content: object, ignored: Iterable[str], prefix: str = "") -> dict[str, Tensor]:
    """All tensors and numbers of nested dictionaries, by dotted name, in the order of the file.

    Raises:
        ValueError: names what is neither, unless it or its prefix is in `ignored`.
    """
    found: dict[str, Tensor] = {}
    if not isinstance(content, dict):
        raise ValueError(f"{prefix.rstrip('.') or 'The file'} holds a {type(content).__name__}, not named tensors.")
    for key, value in content.items():
        name = f"{prefix}{key}"
        if any(name == part or name.startswith(f"{part}.") for part in ignored):
            continue
        if isinstance(value, Tensor):
            found[name] = value
        elif isinstance(value, (int, float)):
            found[name] = torch.tensor(float(value), dtype=torch.float64)
        elif isinstance(value, dict):
            found |= flatten(value, ignored, f"{name}.")
        else:
            raise _unplaced(name, f"a {type(value).__name__}")
    return found


def _unplaced(name: str, what: str) -> ValueError:
    return ValueError(
        f"There is no place for {name}, {what}; "
        f"if the network's output doesn't depend on it, leave it out with --ignore {name}."
    )


def _shape(value: Tensor) -> str:
    return "a number" if value.numel() == 1 else f"a tensor of {' x '.join(map(str, value.shape))} values"


def understand(tensors: dict[str, Tensor]) -> Network:
    """Give every tensor its place, in the order of the file.

    Raises:
        ValueError: one sentence that names a tensor which has no certain place, or layers that don't fit together.
    """
    tensors, found = dict(tensors), Network()
    for name, value in tensors.items():
        if not value.is_floating_point() and not name.endswith("num_batches_tracked"):
            raise _unplaced(name, f"{_shape(value)} of type {str(value.dtype).removeprefix('torch.')}")
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} holds values that are not finite.")
    _take_scalars(tensors, found)
    _take_norm(tensors, found)
    _take_layers(tensors, found)
    for name, value in tensors.items():
        raise _unplaced(name, _shape(value))
    return found


def _take_scalars(tensors: dict[str, Tensor], found: Network) -> None:
    for name, value in list(tensors.items()):
        match = SCALAR.fullmatch(name.rsplit(".", 1)[-1])
        if match is None or value.numel() != 1:
            continue
        role = ROLES[match[2].lower().replace("sigma_0", "sigma0")]
        if role in found.scalars:
            raise ValueError(f"Both {found.scalars[role][0]} and {name} would be the kernel's {role} parameter.")
        found.scalars[role] = name, float(tensors.pop(name))


def _take_norm(tensors: dict[str, Tensor], found: Network) -> None:
    means = [name for name in tensors if name.rsplit(".", 1)[-1] == "running_mean"]
    if not means or next(name for name, value in tensors.items() if value.numel() > 1) != means[0]:
        return
    prefix = means[0].removesuffix("running_mean")
    if f"{prefix}running_var" not in tensors:
        return
    found.norm = tensors.pop(means[0]), tensors.pop(f"{prefix}running_var")
    tensors.pop(f"{prefix}num_batches_tracked", None)
    found.lines.append(f"{prefix}running_mean, running_var ({len(found.norm[0])}) -> standardisation of embeddings")


def _take_layers(tensors: dict[str, Tensor], found: Network) -> None:
    width, before = (len(found.norm[0]), "the standardisation") if found.norm else (None, "")
    for name, weight in list(tensors.items()):
        prefix, _, last = name.rpartition(".")
        if last != "weight" or weight.ndim != 2:
            continue
        outputs, inputs = weight.shape
        if width is not None and inputs != width:
            raise ValueError(f"{name} takes {inputs} values where {before} gives {width}: these layers form no chain.")
        tensors.pop(name)
        bias = tensors.pop(f"{prefix}.bias" if prefix else "bias", None)
        if bias is not None and bias.shape != (outputs,):
            raise ValueError(f"The bias beside {name} has the shape {tuple(bias.shape)}, not ({outputs},).")
        found.layers.append((weight, torch.zeros(outputs) if bias is None else bias))
        said = f"{name} {outputs} x {inputs}" + (", no bias: zeros" if bias is None else " and its bias")
        found.lines.append(f"{said} -> layer {len(found.layers)}")
        width, before = outputs, name
    if not found.layers:
        raise ValueError("The file holds no linear layer, a tensor of two dimensions named `weight`.")


def _form(name: str, given: str | None, known: dict[str, tuple], guesses: dict[str, str]) -> str:
    """The form of a kernel parameter: as the user says, else by its name, else plain."""
    if given is None:
        last = name.rsplit(".", 1)[-1].lower()
        return next((form for part, form in guesses.items() if last.startswith(part) or last.endswith(part)), "plain")
    if given not in known:
        raise ValueError(f"The form of {name} is one of {', '.join(known)}, not {given!r}.")
    return given


def _value(name: str, value: float, form: str, known: dict[str, tuple]) -> float:
    try:
        return known[form][1](value)
    except OverflowError as error:
        raise ValueError(f"{name} is {value:g}, which can't be read in the form {form}.") from error


def kernel(found: Network, sigma_form: str | None, epsilon_form: str | None) -> dict[str, float]:
    """The kernel's parameters as `PFS` stores them; says how each was read in `found.lines`.

    Raises:
        ValueError: no bandwidth, epsilon without two bandwidths, or a value that its form can't have.
    """
    scalars = dict(found.scalars)
    if "signatures" not in scalars and "epsilon" not in scalars and "embeddings" in scalars:
        scalars["signatures"] = scalars.pop("embeddings")
    if "signatures" not in scalars:
        raise ValueError("The file names no bandwidth of signatures; give it with --set sigma0=VALUE.")
    if "epsilon" in scalars and "embeddings" not in scalars:
        raise ValueError(
            f"{scalars['epsilon'][0]} mixes two factors, and there is no bandwidth of embeddings; "
            "give it with --set sigma=VALUE, or leave epsilon out with --ignore."
        )
    stored = {}
    for role, parameter in (("signatures", "log_s_z"), ("embeddings", "log_s_e")):
        if role in scalars:
            name, value = scalars[role]
            form = _form(name, sigma_form, SIGMA_FORMS, {"log_": "log-squared", "opt": "squared"})
            squared = _value(name, value, form, SIGMA_FORMS)
            if not 0 < squared < math.inf:
                raise ValueError(f"{name} is {value:g}, no bandwidth in the form {form}; say another --sigma-form.")
            stored[parameter] = 0.5 * math.log(squared)
            found.lines.append(f"{name} = {value:g}, read as {form}: {SIGMA_FORMS[form][0]} on {role} (--sigma-form)")
    if "log_s_e" not in stored:
        found.lines.append("kernel: plain, on signatures alone")
        return stored
    name, value = scalars.get("epsilon", ("epsilon", 0.0))
    form = _form(name, epsilon_form, EPSILON_FORMS, {"log_": "log", "logit_": "sigmoid", "opt": "sigmoid"})
    epsilon = _value(name, value, form if "epsilon" in scalars else "plain", EPSILON_FORMS)
    if not 0 <= epsilon < 1:
        raise ValueError(f"{name} is {value:g}, no share in [0, 1) in the form {form}; say another --epsilon-form.")
    read = f"{name} = {value:g}, read as {form}: {EPSILON_FORMS[form][0]} = {epsilon:.3g} (--epsilon-form)"
    found.lines.append(read if "epsilon" in scalars else "no epsilon: 0, the product of both factors")
    what = "standardised embeddings" if found.norm else "embeddings as they are"
    found.lines.append(f"kernel: deep, on signatures and on {what}")
    return stored | {"logit_eps": math.log(epsilon / (1 - epsilon)) if epsilon else ZERO_LOGIT}


def build(found: Network, parameters: dict[str, float], activation: str) -> PFS:
    """The signature that computes what the network did.

    Raises:
        ValueError: an unknown activation.
    """
    dim, *hidden, signature = found.widths
    deep = "log_s_e" in parameters
    pfs = PFS(dim, hidden, signature, deep, activation=activation, norm=found.norm is not None)
    state = {name: torch.tensor(value) for name, value in parameters.items()}
    for index, (weight, bias) in enumerate(found.layers):
        state |= {f"mlp.{2 * index}.weight": weight, f"mlp.{2 * index}.bias": bias}
    if found.norm:
        state |= {"norm.running_mean": found.norm[0], "norm.running_var": found.norm[1]}
        state["norm.num_batches_tracked"] = torch.tensor(0)  # no output depends on it
    pfs.load_state_dict(state)
    return pfs.eval().requires_grad_(False)


@dataclass(frozen=True)
class Read:
    """How a research file is to be read.

    Args:
        statistic: that decides, "mmd" in the paper.
        activation: between the layers, which no state dict says.
        sigma_form, epsilon_form: a key of `SIGMA_FORMS` and of `EPSILON_FORMS`; None goes by the names.
        extra: kernel parameters that the file lacks, by name.
        ignored: names or prefixes in the file to leave out.
    """

    statistic: str = "mmd"
    activation: str = "relu"
    sigma_form: str | None = None
    epsilon_form: str | None = None
    extra: dict[str, float] = field(default_factory=dict)
    ignored: Sequence[str] = ()


def import_file(
    file: Path,
    out: Path,
    recipe: dict | None = None,
    weights: str | None = None,
    how: Read | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Write `config.json` and `model.safetensors` of a checkpoint; bank and calibration are for `bank` to add.

    Args:
        file, out: a PyTorch file, opened with `weights_only=True`, and a folder that is not there yet, or empty.
        recipe: its `backbone` and `geometry` are those that the network was trained with; without them the paper's.
        weights: of the backbone, a folder, file or Hub repository; default those of the recipe or the published ones.
        how: what the file doesn't say.
        say: takes each line about what was found and assumed.

    Raises:
        ValueError: something has no certain place; one sentence that names it.
        CheckpointError: the backbone's weights can't be reached.
    """
    recipe, how = recipe or {}, how or Read()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; name a new folder.")
    if how.statistic not in STATISTICS:
        raise ValueError(f"The statistic is one of {', '.join(STATISTICS)}, not {how.statistic!r}.")
    pfs, lines = _signature(file, how)
    settings = _backbone(pfs.config["dim"], recipe.get("backbone"), weights)
    geometry = Geometry(**recipe.get("geometry", GEOMETRY))
    for line in lines:
        say(line)
    encoder = _empty(settings, pfs.config["dim"])
    settings = store.pinned(settings)
    store.save(store.Model(file.stem, settings, encoder, geometry, pfs, how.statistic), out)
    for part, facts in {"backbone": {**settings, **encoder.config}, "geometry": asdict(geometry)}.items():
        given = "the recipe's" if part in recipe else "the paper's, assumed"
        say(f"{part} ({given}): {', '.join(f'{key} {value}' for key, value in facts.items())}")
    say(f"statistic: {how.statistic} (--statistic)")
    return out


def _signature(file: Path, how: Read) -> tuple[PFS, list[str]]:
    """The network in the file, and what was found and assumed, in lines."""
    tensors = flatten(read_pytorch(file), how.ignored)
    if shared := tensors.keys() & how.extra.keys():
        raise ValueError(f"The file has {min(shared)} already; leave its own out with --ignore {min(shared)}.")
    found = understand(tensors | flatten(how.extra, ()))
    pfs = build(found, kernel(found, how.sigma_form, how.epsilon_form), how.activation)
    layers = f"signature: {' -> '.join(map(str, found.widths))}, {how.activation} between layers (--activation)"
    return pfs, [*(f"  {line}" for line in found.lines), layers]


def _empty(settings: dict, dim: int) -> nn.Module:
    """The backbone without weights.

    Raises:
        ValueError: its embeddings don't have `dim` values.
    """
    with torch.device("meta"):
        encoder = backbones.build(**{k: v for k, v in settings.items() if k not in ("weights", "revision")})
    if encoder.dim != dim:
        raise ValueError(f"The network takes {dim} values, the recipe's backbone gives {encoder.dim}.")
    return encoder


def _backbone(dim: int, given: dict | None, weights: str | None) -> dict:
    """Settings of a DINOv2, by default the paper's of the size whose embeddings have `dim` values.

    Raises:
        ValueError: there is none, or the recipe's backbone is another kind.
    """
    size = next((size for size, width in SIZES.items() if width == dim), None)
    if size is None:
        sizes = ", ".join(f"{width} ({size})" for size, width in SIZES.items())
        raise ValueError(f"The first layer takes {dim} values; DINOv2's embeddings have {sizes}.")
    settings = dict(given or {**BACKBONE, "size": size})
    if settings.get("name") != "dinov2":
        raise ValueError("A research checkpoint is imported for DINOv2; the recipe names another backbone.")
    if weights:
        settings.pop("revision", None)
        settings["weights"] = weights
    return settings
