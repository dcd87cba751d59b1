"""Turn a research checkpoint, a network and kernel parameters in a PyTorch file, into a checkpoint folder.

    python -m mdmf_core import FILE OUT

The file of arXiv 2605.09296 was out of reach, so its layout is unknown here. Each assumption is printed, and what has
no certain place stops the import (`layout`, `bandwidths`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from mdmf_core.checkpoint import store
from mdmf_core.checkpoint.config import Cut, DINOv2
from mdmf_core.method import backbones
from mdmf_core.method.backbones.dinov2 import SIZES
from mdmf_core.method.calibration import STATISTICS
from mdmf_core.method.patches import Geometry
from mdmf_core.method.signature import PFS
from mdmf_core.method.weights import read_pytorch
from mdmf_core.training.bandwidths import kernel
from mdmf_core.training.layout import Network, flatten
from mdmf_core.training.recipe import Recipe

GEOMETRY = Cut(patch_size=32, max_patches=49, resize=224, crop_size=98)  # the paper's


@dataclass(frozen=True)
class Read:
    """What the file doesn't say; forms as `bandwidths.kernel` takes them, `extra` numbers that the file lacks."""

    statistic: str = "mmd"
    activation: str = "relu"
    sigma_form: str | None = None
    epsilon_form: str | None = None
    extra: dict[str, float] = field(default_factory=dict)
    ignored: Sequence[str] = ()


def import_file(
    file: Path, out: Path, recipe: Recipe | None, weights: str | None, how: Read, say: Callable[[str], None]
) -> None:
    """Write `config.json` and `model.safetensors` of a checkpoint; bank and calibration are for `bank` to add.

    Args:
        file, out: a PyTorch file, opened with `weights_only=True`, and a folder that is not there yet, or empty.
        recipe: its `backbone` and `geometry` are those that the network was trained with; without them the paper's.
        weights: of the backbone, a folder, file or Hub repository; default those of the recipe or the published ones.
        how, say: what the file doesn't say, and what takes each line about what was found and assumed.

    Raises:
        ValueError: something has no certain place; one sentence that names it.
        CheckpointError: the backbone's weights can't be reached.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; name a new folder.")
    if how.statistic not in STATISTICS:
        raise ValueError(f"The statistic is one of {', '.join(STATISTICS)}, not {how.statistic!r}.")
    pfs, lines = _signature(file, how)
    stated = recipe.model_fields_set if recipe else frozenset()
    settings = _backbone(pfs.dim, recipe if "backbone" in stated else None, weights)
    geometry = Geometry(**dict(recipe.geometry if "geometry" in stated else GEOMETRY))
    with torch.device("meta"):
        encoder = backbones.build(settings.name, **settings.arguments)
    if encoder.dim != pfs.dim:
        raise ValueError(f"The network takes {pfs.dim} values, the recipe's backbone gives {encoder.dim}.")
    for line in lines:
        say(line)
    settings = store.pinned(settings)
    store.save(store.Model(file.stem, settings, encoder, geometry, pfs, how.statistic), out)
    for part, facts in {"backbone": settings.told, "geometry": asdict(geometry)}.items():
        given = "the recipe's" if part in stated else "the paper's, assumed"
        say(f"{part} ({given}): {', '.join(f'{key} {value}' for key, value in facts.items())}")
    say(f"statistic: {how.statistic} (--statistic)")


def _signature(file: Path, how: Read) -> tuple[PFS, list[str]]:
    """The network in the file, and what was found and assumed, in lines."""
    tensors = flatten(read_pytorch(file), how.ignored)
    if shared := tensors.keys() & how.extra.keys():
        raise ValueError(f"The file has {min(shared)} already; leave its own out with --ignore {min(shared)}.")
    found = Network(tensors | flatten(how.extra, ()))
    stored = kernel(found.scalars, how.sigma_form, how.epsilon_form, found.lines.append)
    layers = f"signature: {' -> '.join(map(str, found.widths))}, {how.activation} between layers (--activation)"
    return found.signature(stored, how.activation), [*(f"  {line}" for line in found.lines), layers]


def _backbone(dim: int, recipe: Recipe | None, weights: str | None) -> DINOv2:
    """Settings of the recipe's DINOv2, else the paper's of the size whose embeddings have `dim` values."""
    size = next((size for size, width in SIZES.items() if width == dim), None)
    if size is None:
        known = ", ".join(f"{width} ({size})" for size, width in SIZES.items())
        raise ValueError(f"The first layer takes {dim} values; DINOv2's embeddings have {known}.")
    settings = recipe.backbone if recipe else DINOv2(size=size)
    if not isinstance(settings, DINOv2):
        raise ValueError("A research checkpoint is imported for DINOv2; the recipe names another backbone.")
    return settings.model_copy(update={"weights": weights, "revision": None}) if weights else settings
