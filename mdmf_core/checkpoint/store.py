"""The learned part of a checkpoint: backbone, signature, geometry and the statistic that decides.

`config.json` holds the keyword arguments of each part; loading is strict: a key or tensor that is missing,
left over, of the wrong shape or not finite is an error that names it. Weights are safetensors, never pickle.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mdmf_core.checkpoint import hub
from mdmf_core.checkpoint.config import FORMAT, read_config
from mdmf_core.errors import CheckpointError
from mdmf_core.files import write_whole
from mdmf_core.method import backbones, mmd
from mdmf_core.method.backbones import dinov2
from mdmf_core.method.backbones.weights import load_strictly
from mdmf_core.method.patches import Geometry
from mdmf_core.method.signature import PFS

WEIGHTS = ("model.safetensors",)


@dataclass(frozen=True)
class Model:
    """From patches to points. `source` are the backbone's settings in `config.json`, `name` included."""

    name: str
    source: dict
    backbone: nn.Module
    geometry: Geometry
    pfs: PFS
    statistic: str

    def points(self, embeddings: Tensor) -> mmd.Points:
        """Signatures (N, K), and for the full kernel embeddings (N, D), float64, of embeddings (N, D)."""
        with torch.inference_mode():
            z, e = self.pfs(embeddings)
            return mmd.Points(z.double(), None if e is None else e.double())

    @property
    def kernel(self) -> mmd.Kernel:
        """Kernel parameters as float64 numbers."""
        return mmd.Kernel(*(None if value is None else float(value.detach()) for value in self.pfs.kernel_values()))


def build_backbone(settings: dict) -> nn.Module:
    """An encoder from its settings, on the CPU.

    Its weights come from `weights`, a folder, a file or a Hub repository; DINOv2 without that setting has the
    published ones. The compact encoder without it is empty, to be filled from a checkpoint.

    Raises:
        CheckpointError: unknown settings, or weights that can't be reached or don't fit.
    """
    settings = _with_weights(dict(settings))
    weights, revision = settings.pop("weights", None), settings.pop("revision", None)
    try:
        encoder = backbones.build(settings.pop("name", "?"), **settings)
        if weights:
            encoder.load_weights(_weights_file(weights, revision))
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    return encoder


def _with_weights(settings: dict) -> dict:
    """A copy of the settings in which DINOv2 names its weights: random ones are never meant."""
    if settings.get("name") == "dinov2" and not settings.get("weights"):
        return {
            **settings,
            "weights": dinov2.hub_name(settings.get("size", "large"), settings.get("registers", 0)),
        }
    return dict(settings)


def _weights_file(weights: str, revision: str | None) -> Path:
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    folder = path if path.is_dir() else hub.download(weights, WEIGHTS, revision).folder
    return folder / "model.safetensors"


def pinned(settings: dict) -> dict:
    """The backbone's settings with the commit that its Hub weights are at now, so that they never change."""
    settings = _with_weights(settings)
    weights = settings.get("weights")
    if not weights or Path(weights).expanduser().exists():
        return settings
    return {**settings, "revision": hub.download(weights, WEIGHTS, settings.get("revision")).revision}


def load(folder: Path) -> Model:
    """The model of a checkpoint folder.

    Raises:
        CheckpointError: configuration or weights don't fit.
    """
    config = read_config(folder / "config.json")
    encoder = build_backbone(config["backbone"])
    try:
        pfs = PFS(**config["pfs"]).eval().requires_grad_(False)
        geometry = Geometry(**config["geometry"])
    except TypeError as error:
        raise CheckpointError(f"config.json has settings that this version doesn't know: {error}.") from error
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    if pfs.config["dim"] != encoder.dim:
        raise CheckpointError(f"The signature expects embeddings of {pfs.config['dim']} values, not {encoder.dim}.")
    try:
        load_strictly(_stored(pfs, encoder), folder / "model.safetensors")
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    return Model(config["name"], config["backbone"], encoder, geometry, pfs, config["statistic"])


def _stored(pfs: PFS, encoder: nn.Module) -> nn.ModuleDict:
    """What `model.safetensors` holds: the signature, and the encoder where no other place has its weights."""
    return nn.ModuleDict({"pfs": pfs, **({"backbone": encoder} if encoder.name in backbones.TRAINED_HERE else {})})


def save(model: Model, folder: Path) -> None:
    """Write `config.json` and `model.safetensors`."""
    config = {
        "format": FORMAT,
        "name": model.name,
        "backbone": {**model.source, **model.backbone.config},
        "geometry": asdict(model.geometry),
        "pfs": model.pfs.config,
        "statistic": model.statistic,
    }
    tensors = {name: value.contiguous() for name, value in _stored(model.pfs, model.backbone).state_dict().items()}
    write_whole(folder / "model.safetensors", lambda path: save_file(tensors, path))
    write_whole(folder / "config.json", lambda path: path.write_text(json.dumps(config, indent=2) + "\n", "utf-8"))
