"""The recipe: one JSON file that says what is trained on what, a section for each step.

Every key, its type and its default stand here; `settings` says in one sentence what is wrong with a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, Strict, model_validator

from mdmf_core.checkpoint.config import Backbone, Cut, Lite, Statistic, Width, Widths
from mdmf_core.images.degrade import LIFE, LIVES
from mdmf_core.settings import (
    Natural,
    Positive,
    Seed,
    Settings,
    Share,
    Text,
    Texts,
    Weight,
    other_than,
    read,
    read_json,
    wrong,
)

AS_IS = ("as_is",)


def _is_life(given: str) -> str:
    if not LIFE.fullmatch(given):
        raise other_than(LIVES)
    return given


Life = Annotated[str, AfterValidator(_is_life)]
Lives = Annotated[tuple[Life, ...], Strict(False)]
SomeLives = Annotated[Lives, Field(min_length=1)]
Rate = Annotated[float, Field(gt=0)]
Rest = Annotated[float, Field(ge=0, lt=1)]  # a share that leaves something
Folders = Annotated[
    tuple[Text, ...],
    Strict(False),
    Field(min_length=1),
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else given),
]


class Roles(Settings):
    """Who is held out: `dataset.split`. Whole sources, and a share of the others' real pictures for calibration."""

    test: Texts = ()
    validation: Texts = ()
    calibration: Texts = ()
    calibration_share: Share = 0.0


class Pretrain(Settings):
    """How an encoder is trained (`encoder`).

    `start` is a file of ImageNet weights, `go_on_from` one of an encoder that an earlier run has written; its weights
    have the share `stay` in what is written (Wortsman et al. 2022, WiSE-FT). `pairs` is a folder of pairs, `faces` are
    sources that together get at most `faces_share` of either class, `raised` those drawn `raised_times` as often,
    `leave_out` sources not to train on. A step holds `pictures` of each class, `paired` of them in pairs, `mixed`
    composites and `traceless` crops without traces, whose answer is `nothing`. `compile` takes a C++ compiler and
    makes a long run faster.
    """

    backbone: Backbone = Lite()
    start: Text | None = None
    go_on_from: Text | None = None
    stay: Share = 0.0
    pairs: Text | None = None
    window: Positive = 128
    steps: Positive = 3000
    pictures: Positive = 11
    paired: Natural = 1
    mixed: Natural = 7
    traceless: Natural = 3
    nothing: Share = 0.3
    smoothing: Annotated[float, Field(ge=0, le=0.5)] = 0.03
    cell_weight: Weight = 0.7
    traceless_weight: Weight = 0.25
    versions: Positive = 5
    side: Positive = 256
    composites: Natural = 2100
    clusters: Natural = 24
    faces: Texts = ()
    faces_share: Rest = 0.12
    raised: Texts = ()
    raised_times: Rate = 2.0
    leave_out: Texts = ()
    rate: Rate = 1e-3
    decay: Weight = 0.02
    dropout: Share = 0.1
    average: Rest = 0.998
    cap: Positive = 60
    tilt: Weight = 0.7
    workers: Positive = 2
    compile: bool = False
    seed: Seed = 0

    @model_validator(mode="after")
    def _fits(self) -> Pretrain:
        if self.paired > self.pictures:
            raise wrong(f"has {self.paired} `paired` pictures of {self.pictures} `pictures` in a step.")
        if self.stay and not self.go_on_from:
            raise wrong("has `stay`, but no `go_on_from` whose weights could.")
        return self


class Embed(Settings):
    """In which lives pictures are embedded (`embed`)."""

    lives: SomeLives = AS_IS
    seed: Seed = 0


class Objective(Settings):
    """The weight of each objective (`objectives`)."""

    pairwise: Weight = 0.0
    ratio: Weight = 0.0
    power: Weight = 0.0

    @model_validator(mode="after")
    def _something(self) -> Objective:
        if not (self.pairwise or self.ratio or self.power):
            raise wrong("gives no objective a weight above 0.")
        return self


class Train(Settings):
    """How a signature is trained (`signature`)."""

    name: Text = "mdmf"
    statistic: Statistic = "relative"
    objective: Objective = Objective(pairwise=1.0)
    hidden: Width | Widths = 96
    signature: Width = 16
    deep: bool = False
    dropout: Share = 0.2
    steps: Positive = 1500
    pictures: Annotated[Positive, Field(ge=2)] = 32
    patches: Annotated[Positive, Field(ge=2)] = 16
    rate: Rate = 1e-3
    decay: Weight = 0.01
    check: Positive = 150
    bank_pictures: Positive = 300
    cap: Positive = 120
    tilt: Weight = 0.7
    seed: Seed = 0


class Details(Settings):
    """Lives that make calibration pictures soft, or noisy; none of a kind, no calibration of its own."""

    soft: Lives = ()
    noisy: Lives = ()

    @property
    def named(self) -> dict[str, tuple[str, ...]]:
        """Kind of detail -> lives, for the kinds that have some."""
        return {name: lives for name, lives in self if lives}


class Bank(Settings):
    """How bank and calibration are built (`bank`); `size` is the number of points a bank is compressed to, 0 all."""

    size: Natural = 1024
    per_picture: Positive = 12
    lives: SomeLives = AS_IS
    calibration_lives: SomeLives = AS_IS
    details: Details = Details()
    details_most: Positive = 600
    cap: Positive = 120
    tilt: Weight = 0.7
    seed: Seed = 0

    @property
    def used(self) -> tuple[str, ...]:
        """The lives that calibration pictures are used in, where the recipe names them."""
        return self.calibration_lives if "calibration_lives" in self.model_fields_set else ()


class Locate(Settings):
    """How a locator is trained (`locator`); `checks` composites of validation sources are judged in the end."""

    composites: Positive = 3000
    checks: Natural = 400
    steps: Positive = 1600
    pictures: Positive = 16
    rate: Rate = 2e-3
    decay: Weight = 0.05
    dropout: Share = 0.3
    average: Rest = 0.995
    width: Width = 40
    hidden: Width = 32
    cap: Positive = 120
    tilt: Weight = 0.7
    workers: Positive = 2
    seed: Seed = 0


class Recipe(Settings):
    """All of a recipe. `data` is a folder of labelled pictures, or several."""

    data: Folders
    split: Roles = Roles()
    backbone: Backbone = Lite()
    geometry: Cut = Cut(patch_size=32, max_patches=1600, window=128)
    pretrain: Pretrain = Pretrain()
    embed: Embed = Embed()
    train: Train = Train()
    bank: Bank = Bank()
    locate: Locate = Locate()

    @model_validator(mode="after")
    def _calibrates_on_what_is_embedded(self) -> Recipe:
        if missing := [life for life in self.bank.used if life not in self.embed.lives]:
            raise wrong(f"has {missing[0]!r} in `bank`'s `calibration_lives`, but not in `embed`'s `lives`.")
        return self

    @property
    def encoder(self) -> Pretrain:
        """The section `pretrain`, with the recipe's backbone where it names none of its own."""
        if "backbone" in self.pretrain.model_fields_set:
            return self.pretrain
        return self.pretrain.model_copy(update={"backbone": self.backbone})


def read_recipe(path: Path) -> Recipe:
    """A recipe of a file.

    Raises:
        ValueError: it can't be read, is not JSON, or has a key that is unknown, missing or of the wrong type.
    """
    data: Any = read_json(path, f"The recipe {path}")
    return read(Recipe, data, "the recipe")
