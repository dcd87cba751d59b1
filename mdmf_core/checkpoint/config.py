"""`config.json` of a checkpoint, typed and strict: exactly the keys that this version knows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from mdmf_core.errors import CheckpointError
from mdmf_core.settings import Positive, Settings, Text, read, read_json

FORMAT = 1

Statistic = Literal["relative", "mmd"]
Width = Annotated[int, Field(gt=0, le=2**16)]
Widths = Annotated[tuple[Width, ...], Strict(False)]


class Encoder(Settings):
    """A backbone. `weights` are a folder, a file or a Hub repository, and `revision` a commit of the latter."""

    name: str
    weights: Text | None = None
    revision: Text | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What `backbones.build` takes besides the name."""
        return self.model_dump(mode="json", exclude=set(Encoder.model_fields))

    @property
    def told(self) -> dict[str, Any]:
        """The settings as `config.json` keeps them."""
        where = {"weights": self.weights, "revision": self.revision}
        return {"name": self.name, **self.arguments, **{key: value for key, value in where.items() if value}}


class Lite(Encoder):
    """EfficientNet-Lite at the picture's resolution: D, the side of a patch, and which of the published networks."""

    name: Literal["lite"] = "lite"
    dim: Width = 256
    patch_size: Annotated[Positive, Field(multiple_of=16)] = 32
    variant: Literal["lite0", "lite1", "lite2"] = "lite0"


class Compact(Encoder):
    """The small network on high-pass residuals: channels of its stages."""

    name: Literal["compact"] = "compact"
    channels: Annotated[Widths, Field(min_length=1)] = (32, 64, 128, 192)


class DINOv2(Encoder):
    """The paper's backbone."""

    name: Literal["dinov2"] = "dinov2"
    size: Literal["small", "base", "large", "giant"] = "large"
    crop_size: Annotated[Positive, Field(multiple_of=14)] = 98
    pooling: Literal["class", "mean"] = "class"
    positions: Literal["timm", "original"] = "timm"
    registers: Literal[0, 4] = 0


Backbone = Annotated[Lite | Compact | DINOv2, Field(discriminator="name")]


class Cut(Settings):
    """How pictures are cut: the arguments of `patches.Geometry`."""

    patch_size: Positive
    max_patches: Annotated[Positive, Field(ge=4)]
    resize: Positive | None = None
    crop_size: Positive | None = None
    window: Positive | None = None


class Signature(Settings):
    """The signature's shape: arguments of `signature.PFS`."""

    dim: Width
    hidden: Width | Widths = 96
    signature: Width = 16
    deep: bool = False
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh"] = "relu"
    norm: bool = True


class Config(Settings):
    """All of `config.json`."""

    format: Literal[1]
    name: Text
    backbone: Backbone
    geometry: Cut
    pfs: Signature
    statistic: Statistic


def read_config(path: Path) -> Config:
    """`config.json`, with exactly the keys that this version knows.

    Raises:
        CheckpointError: it can't be opened, is not JSON or of another format, or a key is missing, unknown or of the
            wrong type.
    """
    try:
        data = read_json(path, path.name)
    except ValueError as error:
        if isinstance(error.__cause__, PermissionError):
            raise CheckpointError(f"{path.name} can't be opened; let this program's user read it.") from error
        raise CheckpointError(f"{path.name} can't be read as JSON; fetch the checkpoint again.") from error
    stated = data.get("format") if isinstance(data, dict) else None
    if type(stated) is int and stated != FORMAT:
        raise CheckpointError(f"{path.name} has format {stated}; this version reads format {FORMAT}.")
    try:
        return read(Config, data, path.name)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
