"""Settings: every key of a recipe and of config.json, misspelt, missing or of a wrong type, is one sentence."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from typed import run

from mdmf_core.checkpoint import config, hub, store
from mdmf_core.errors import CheckpointError
from mdmf_core.method import backbones
from mdmf_core.method.calibration import STATISTICS
from mdmf_core.method.patches import Geometry
from mdmf_core.method.signature import ACTIVATIONS, PFS
from mdmf_core.method.state import KINDS
from mdmf_core.training.recipe import Bank, Details, Pretrain, Recipe, read_recipe

ROOT = Path(__file__).resolve().parent.parent
ENCODERS = (config.Lite, config.Compact, config.DINOv2)
LIVES = ["as_is", "history0", "blur:1.5"]
FULL = {
    "data": ["one", "two"],
    "split": {"test": ["a"], "validation": ["b"], "calibration": ["c"], "calibration_share": 0.5},
    "geometry": {"patch_size": 32, "max_patches": 64, "resize": 224, "crop_size": 98, "window": 128},
    "pretrain": {
        **json.loads(Pretrain().model_dump_json()),
        **{"start": "weights.pth", "go_on_from": "one", "pairs": "pairs", "faces": ["d"], "raised": ["e"]},
    },
    "embed": {"lives": LIVES, "seed": 3},
    "train": {
        **{"name": "mine", "statistic": "mmd", "objective": {"pairwise": 1.0, "ratio": 0.5, "power": 0.5}},
        **{"hidden": [32, 16], "signature": 8, "deep": True, "dropout": 0.1, "steps": 9, "pictures": 4, "patches": 4},
        **{"rate": 1e-3, "decay": 0, "check": 3, "bank_pictures": 9, "cap": 9, "tilt": 1, "seed": 1},
    },
    "bank": {
        **{
            "size": 0,
            "per_picture": 3,
            "lives": LIVES,
            "calibration_lives": ["as_is"],
            "cap": 9,
            "tilt": 0.5,
            "seed": 0,
        },
        "details_most": 30,
        "details": {"soft": ["blur:2"], "noisy": ["noise:0.1"]},
    },
    "locate": {
        **{"composites": 9, "checks": 0, "steps": 9, "pictures": 4, "rate": 1e-3, "decay": 0.1, "dropout": 0.1},
        **{"average": 0.9, "width": 8, "hidden": 8, "cap": 9, "tilt": 0.7, "workers": 1, "seed": 0},
    },
}
BACKBONES = [json.loads(kind().model_dump_json()) | {"weights": "owner/name", "revision": "main"} for kind in ENCODERS]
RECIPES = [FULL | {"backbone": backbone} for backbone in BACKBONES]
CONFIGS = [
    {
        **{"format": 1, "name": "mine", "backbone": backbone, "statistic": "mmd"},
        "geometry": FULL["geometry"],
        "pfs": {"dim": 8, "hidden": 4, "signature": 2, "deep": False, "activation": "gelu", "norm": True},
    }
    for backbone in BACKBONES
]
WRONG = {"text": "?", "empty": "", "number": 3.7, "negative": -3, "list": [None], "null": None, "object": {"?": 1}}
PLACES = {"start", "go_on_from", "pairs", "weights", "revision"}  # may be null
OPTIONAL = {"resize", "crop_size", "window"}  # of a geometry, may be null
COMMON = {"name", "patch_size", "max_patches"}
REQUIRED = {"recipe": COMMON | {"data"}, "config": COMMON | set(CONFIGS[0]) | {"dim"}}


def keys(data: dict, path: tuple = ()) -> Iterator[tuple]:
    """The path of every key."""
    for key, value in data.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from keys(value, (*path, key))


def changed(data: dict, path: tuple, change: Any) -> dict:
    """A copy in which `change` is done to the object that holds the last key of a path."""
    made = copy.deepcopy(data)
    inside = made
    for key in path[:-1]:
        inside = inside[key]
    change(inside, path[-1])
    return made


def misspelt(inside: dict, key: str) -> None:
    inside[f"{key}{key[-1]}"] = inside.pop(key)


def fits(path: tuple, name: str) -> bool:
    """Whether a value of `WRONG` is right there, after all."""
    key, section = path[-1], path[-2] if len(path) > 1 else ""
    if name == "null":
        return key in PLACES or (section == "geometry" and key in OPTIONAL)
    if name == "text":
        return key in (*PLACES, "data") or path in (("train", "name"), ("name",))
    if name == "number":
        weights = ("cell_weight", "traceless_weight", "pairwise", "ratio", "power")
        return key in (*weights, "rate", "raised_times", "decay", "tilt")
    return False


def assert_one_sentence(said: str, *words: str) -> None:
    assert re.fullmatch(r"[^\n]{10,600}\.", said), said
    assert "Traceback" not in said and "pydantic" not in said and "something else" not in said, said
    assert all(word in said for word in words), (said, words)


def read_as(data: dict, like: dict, folder: Path) -> str | None:
    """`said_of` as a file of the kind of `like`."""
    path = folder / "config.json"
    path.write_text(json.dumps(data))
    reader, kind = (read_recipe, ValueError) if "data" in like else (config.read_config, CheckpointError)
    try:
        reader(path)
    except kind as error:
        assert type(error) is kind
        return str(error)
    return None


WHOLE = {f"recipe {one['backbone']['name']}": one for one in RECIPES}
WHOLE |= {f"config {one['backbone']['name']}": one for one in CONFIGS}
each = pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE)


@each
def test_a_full_file_is_taken_as_it_is(whole: dict, tmp_path: Path) -> None:
    assert read_as(whole, whole, tmp_path) is None
    kind = Recipe if "data" in whole else config.Config
    assert {path[0] for path in keys(whole)} == set(kind.model_fields)
    assert json.loads(kind.model_validate(whole).model_dump_json()) == whole


@each
def test_a_misspelt_key_is_named_with_its_section_and_the_right_one(whole: dict, tmp_path: Path) -> None:
    for path in keys(whole):
        said = read_as(changed(whole, path, misspelt), whole, tmp_path)
        section = [f"`{'.'.join(path[:-1])}`"] if len(path) > 1 else []
        assert_one_sentence(said, f"`{path[-1]}{path[-1][-1]}`", f"`{path[-1]}`.", *section)


@each
def test_a_missing_key_is_named_where_it_is_needed(whole: dict, tmp_path: Path) -> None:
    missed = set()
    for path in keys(whole):
        said = read_as(changed(whole, path, lambda inside, key: inside.pop(key)), whole, tmp_path)
        if said is not None:
            missed.add(path[-1])
            assert_one_sentence(said, f"lacks the key `{path[-1]}`")
    assert missed == REQUIRED["recipe" if "data" in whole else "config"]


@each
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_type_is_named_with_its_key(whole: dict, name: str, tmp_path: Path) -> None:
    for path in keys(whole):
        said = read_as(changed(whole, path, lambda inside, key: inside.update({key: WRONG[name]})), whole, tmp_path)
        if fits(path, name):
            assert said is None, (path, said)
        else:
            assert said is not None, path
            assert_one_sentence(said, path[-1])


@pytest.mark.parametrize("data", [None, 3, "text", [], [1], True, 10**400])
def test_a_file_that_holds_something_else_is_one_sentence(data: Any, tmp_path: Path) -> None:
    for like in (RECIPES[0], CONFIGS[0]):
        assert_one_sentence(read_as(data, like, tmp_path), "must be a JSON object")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\ud83d", '{"a": NaN'])
def test_a_file_that_is_not_json_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match="not JSON"):
        read_recipe(path)
    with pytest.raises(CheckpointError, match="can't be read as JSON"):
        config.read_config(path)


def test_pictures_calibrate_only_in_a_life_that_they_are_embedded_in(tmp_path: Path) -> None:
    data = {"data": "x", "embed": {"lives": ["as_is"]}, "bank": {"calibration_lives": ["as_is", "web"]}}
    assert_one_sentence(read_as(data, FULL, tmp_path), "'web'", "`calibration_lives`", "`embed`")
    assert read_as(data | {"embed": {"lives": ["web", "as_is"]}}, FULL, tmp_path) is None


def test_a_long_value_is_cut_and_commands_nothing(tmp_path: Path) -> None:
    data = {"data": "x", "split": {"test": "\x1b[31m" + 500 * "x"}}
    said = read_as(data, FULL, tmp_path)
    assert_one_sentence(said, '"\\u001b[31m')
    assert len(said) < 200
    assert len(read_as({"data": "x", 999 * "y": 1}, FULL, tmp_path)) < 250


# The rest of the program agrees


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "configs").glob("*.json")), ids=lambda path: path.stem)
def test_our_own_recipes_are_read(path: Path) -> None:
    if path.stem not in ("folds", "pairs", "first_look"):  # lists of sources, no recipes
        assert read_recipe(path).data


def test_settings_and_what_they_are_for_know_the_same() -> None:
    assert set(get_args(config.Statistic)) == set(STATISTICS)
    assert tuple(Details.model_fields) == KINDS[1:]
    signature = config.Signature(dim=8)
    assert PFS(**dict(signature)).config == signature.model_dump()
    assert set(get_args(config.Signature.model_fields["activation"].annotation)) == set(ACTIVATIONS)
    assert set(config.Cut.model_fields) == set(Geometry.__dataclass_fields__)
    for kind in (config.Lite, config.Compact):
        assert backbones.build(kind().name, **kind().arguments).config == kind().arguments
    assert store.read_config(hub.BUNDLED / "config.json").backbone.name in backbones.TRAINED_HERE


def test_settings_do_not_change_and_say_what_was_given() -> None:
    section = Bank(calibration_lives=LIVES)
    with pytest.raises(ValidationError):
        section.size = 3
    assert section.used == tuple(LIVES) and Bank().used == ()
    recipe = Recipe(data="x", backbone=config.Compact(channels=[4]))
    assert recipe.data == ("x",) and recipe.encoder.backbone.channels == (4,)
    assert Recipe(data="x", pretrain=Pretrain(backbone=config.Compact())).encoder.backbone.name == "compact"


# The command line


@pytest.mark.parametrize("command", ["pretrain", "embed", "train", "bank", "locate"])
@pytest.mark.parametrize("wrong", [{"sede": 1}, {"seed": "1"}, {"seed": -1}, [], None])
def test_a_command_says_what_is_wrong_with_its_section(command: str, wrong: Any, tmp_path: Path, capsys) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"data": str(tmp_path), command: wrong}))
    assert run(command, recipe, tmp_path / "run") == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and said.err.startswith("Error: ")
    assert_one_sentence(said.err.removeprefix("Error: ").rstrip("\n"), f"`{command}`")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stated", ["{", "[]", '{"chanels": [4]}', '{"channels": [4, "x"]}', '{"channels": -1}'])
def test_a_damaged_encoder_of_a_run_is_one_sentence(stated: str, tmp_path: Path, capsys) -> None:
    recipe, made = tmp_path / "recipe.json", tmp_path / "run"
    recipe.write_text(json.dumps({"data": str(tmp_path), "backbone": {"name": "compact"}}))
    made.mkdir()
    (made / "encoder.json").write_text(stated)
    assert run("embed", recipe, made) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said and said.count("\n") == 1 and "encoder.json" in said


def test_a_geometry_that_holds_no_patches_is_one_sentence(checkpoint: Path, tmp_path: Path) -> None:
    stated = json.loads((checkpoint / "config.json").read_text())
    for name in hub.FILES:
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    for change in ({"window": 40}, {"resize": 40}, {"window": 32}, {"window": 128, "resize": 128}):
        (tmp_path / "config.json").write_text(json.dumps(stated | {"geometry": stated["geometry"] | change}))
        with pytest.raises(CheckpointError) as caught:
            store.load(tmp_path)
        assert_one_sentence(str(caught.value), "geometry")
