"""The commands that make a checkpoint; each works for a recipe and the folder of its run.

Torch is imported only by the commands that compute.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mdmf_core.terminal import Engine, Processes, Stop, say

Recipe = Annotated[Path, typer.Argument(help="JSON file with data, split and a section for each step.")]
Run = Annotated[Path, typer.Argument(help="Folder for everything that the recipe makes.")]


def read_recipe(path: Path) -> Any:
    """The recipe, typed; what is wrong with it is a ValueError of one sentence."""
    from mdmf_core.training.recipe import read_recipe as read

    return read(path)


def _encoder(recipe: Any, run: Path) -> tuple[Any, Any, Any]:
    """The frozen backbone, on the GPU where there is one, its settings for the checkpoint, and the geometry."""
    from mdmf_core.checkpoint import store
    from mdmf_core.method import backbones
    from mdmf_core.method.patches import Geometry

    settings = recipe.backbone
    if settings.name in backbones.TRAINED_HERE:
        settings = _trained(settings, run / "encoder.json")
        encoder = store.build_backbone(settings.model_copy(update={"weights": str(run / "encoder.safetensors")}))
    else:
        settings = store.pinned(settings)
        encoder = store.build_backbone(settings)
    return _on_device(encoder), settings, Geometry(**dict(recipe.geometry))


def _trained(settings: Any, path: Path) -> Any:
    """The backbone's settings as `pretrain` left them."""
    from mdmf_core.settings import read, read_json

    if not path.is_file():
        raise Stop(f"The encoder {settings.name!r} is not trained yet; run `pretrain` first.")
    stated = read_json(path, str(path))
    return read(type(settings), settings.told | stated if isinstance(stated, dict) else stated, str(path))


def _on_device(encoder: Any) -> Any:
    import torch

    return encoder.to("cuda" if torch.cuda.is_available() else "cpu")


def _dealt(recipe: Any) -> Any:
    """The recipe's pictures by role."""
    from mdmf_core.training.dataset import scan, split

    return split(scan(recipe.data), **dict(recipe.split))


def _role_of(dealt: Any) -> dict[str, str]:
    """The role of each picture, by its key."""
    return {e.key: role for role in ("train", "validation", "calibration", "test") for e in getattr(dealt, role)}


def _roles(dealt: Any, run: Path, encoder: Any) -> dict[str, list]:
    """Embedded pictures by role."""
    from mdmf_core.training import embed

    role_of = _role_of(dealt)
    roles: dict[str, list] = {"train": [], "validation": [], "calibration": [], "test": []}
    for picture in embed.load(run / "embeddings", embed.backbone_digest(encoder)):
        if picture.key in role_of:
            roles[role_of[picture.key]].append(picture)
    return roles


def pretrain(recipe: Recipe, run: Run) -> None:
    """Train an encoder on labelled images; goes on where it was interrupted."""
    from mdmf_core.training.encoder import pretrain as step

    loaded = read_recipe(recipe)
    written = step(loaded.data, loaded.split, loaded.encoder, run, say)
    say(f"Encoder written to {written}.")


def embed(recipe: Recipe, run: Run, processes: Processes = 0, engine: Engine = "local") -> None:
    """Precompute the embeddings of all patches; goes on where it was interrupted."""
    loaded = read_recipe(recipe)
    encoder, _, geometry = _encoder(loaded, run)
    _embed(loaded, _dealt(loaded), run, encoder, geometry, processes, engine)


def _embed(recipe: Any, dealt: Any, run: Path, encoder: Any, geometry: Any, processes: int, engine: str) -> None:
    """Embed what a recipe names: pictures in every condition, a calibration picture in the one that it is used in."""
    from mdmf_core.training import embed as step
    from mdmf_core.training.bank import condition_of

    entries = dealt.train + dealt.validation + dealt.calibration
    conditions, seed, used = recipe.embed.lives, recipe.embed.seed, recipe.bank.used
    only = {entry.key: condition_of(entry.key, used) for entry in dealt.calibration} if used else {}
    failures = step.embed(entries, run / "embeddings", encoder, geometry, conditions, seed, processes, engine, only)
    for failure in failures:
        say(f"{failure['key']} ({failure['life']}): {failure['error']}", error=True)
    wanted = len(entries) * len(conditions) - len(only) * (len(conditions) - 1)
    say(f"{len(entries)} pictures, {wanted - len(failures)} embedded, {len(failures)} failed.")


def train(recipe: Recipe, run: Run) -> None:
    """Train the Patch Forensic Signature on the stored embeddings."""
    from mdmf_core.files import write_whole
    from mdmf_core.training.signature import train as step

    loaded = read_recipe(recipe)
    encoder, settings, geometry = _encoder(loaded, run)
    roles = _roles(_dealt(loaded), run, encoder)
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        say(line)

    best = step(
        roles["train"],
        roles["validation"],
        loaded.train,
        encoder,
        settings,
        geometry,
        run / "checkpoint",
        tell,
    )
    write_whole(run / "train.log", lambda path: path.write_text("\n".join(lines) + "\n", "utf-8"))
    say(f"Best mean validation AUROC {best:.4f}; checkpoint in {run / 'checkpoint'}.")


def bank(
    recipe: Recipe,
    run: Run,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint to give a new bank; default RUN/checkpoint.")
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="In one pass, for more patches than fit in memory.")] = False,
    processes: Processes = 0,
    engine: Engine = "local",
) -> None:
    """Build reference bank and calibration; embeds the images first where RUN has no embeddings of this encoder."""
    from mdmf_core.checkpoint import store
    from mdmf_core.method import reference
    from mdmf_core.training import bank as step

    loaded = read_recipe(recipe)
    folder = checkpoint or run / "checkpoint"
    if not (folder / "config.json").is_file():
        raise Stop(f"There is no checkpoint in {folder}; run `train` first or name one with --checkpoint.")
    found = store.load(folder)
    _on_device(found.backbone)
    dealt = _dealt(loaded)
    if not (run / "embeddings" / "manifest.json").is_file():
        _embed(loaded, dealt, run, found.backbone, found.geometry, processes, engine)
    if stream or engine == "ray":
        from mdmf_core.training.stream import build

        made = build(run / "embeddings", _role_of(dealt), found, loaded.bank, say, processes, engine)
    else:
        roles = _roles(dealt, run, found.backbone)
        made = step.build(roles["train"], roles["calibration"], found, loaded.bank, say)
    others = step.unseen(dealt)
    made = step.with_strength(made, run / "embeddings", others, found, loaded.bank, say)
    if loaded.bank.details.named:
        made = step.with_details(made, dealt.calibration, found, loaded.bank, say, processes, others)
    say(f"Reference written to {reference.save(made, folder / 'reference.safetensors')}.")


def locate(recipe: Recipe, run: Run) -> None:
    """Train the locator, which finds patches unlike the rest of their picture, on composites; calibrate it."""
    from mdmf_core.checkpoint import store
    from mdmf_core.training.locator import run as step

    loaded = read_recipe(recipe)
    folder = run / "checkpoint"
    if not (folder / "config.json").is_file():
        raise Stop(f"There is no checkpoint in {folder}; run `train` first.")
    dealt, conditions = _dealt(loaded), loaded.bank.calibration_lives
    written = step(folder, store.load(folder), dealt, conditions, loaded.locate, say, run / "embeddings")
    say(f"Locator written to {written}.")


def outlines(
    recipe: Recipe,
    run: Run,
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint to calibrate; default RUN/checkpoint.")] = None,
) -> None:
    """Calibrate anew when a picture may have outlines, in both maps of a checkpoint, from stored embeddings."""
    from mdmf_core.checkpoint import hub, store
    from mdmf_core.method import locator, reference
    from mdmf_core.training import locator as locators
    from mdmf_core.training.bank import condition_of
    from mdmf_core.training.outlines import again

    loaded, folder = read_recipe(recipe), checkpoint or run / "checkpoint"
    if not (folder / "config.json").is_file():
        raise Stop(f"There is no checkpoint in {folder}; run `train` first or name one with --checkpoint.")
    found, dealt, lives = store.load(folder), _dealt(loaded), loaded.bank.calibration_lives
    path, pfs, embeddings = folder / "reference.safetensors", found.pfs, run / "embeddings"
    made = reference.load(path, pfs.signature, pfs.dim, pfs.deep, found.statistic)
    drawn = {entry.key: condition_of(entry.key, lives) for entry in dealt.calibration}
    say(f"Reference written to {reference.save(again(made, embeddings, drawn, found, say), path)}.")
    if (folder / hub.LOCATOR).is_file():
        net = locator.load(folder / hub.LOCATOR, found.backbone.dim)
        locators.calibrate(net, dealt.calibration, found, lives, say, embeddings)
        say(f"Locator written to {locator.save(net.float(), folder / hub.LOCATOR)}.")


def import_(
    file: Annotated[Path, typer.Argument(help="PyTorch file with the network's state dict and kernel parameters.")],
    out: Annotated[Path, typer.Argument(help="Folder for the checkpoint; new or empty.")],
    recipe: Annotated[
        Path | None, typer.Option(help="Recipe whose backbone and geometry the network was trained with.")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="DINOv2's weights: folder, file or Hub repository.")] = None,
    statistic: Annotated[str, typer.Option(help="mmd (the paper's) or relative.")] = "mmd",
    activation: Annotated[
        str, typer.Option(help="Between the layers: relu, leaky_relu, elu, gelu, silu, softplus or tanh.")
    ] = "relu",
    sigma_form: Annotated[
        str | None,
        typer.Option(help="How bandwidths are stored: plain, squared, gaussian, log or log-squared; default by name."),
    ] = None,
    epsilon_form: Annotated[
        str | None, typer.Option(help="How epsilon is stored: plain, sigmoid, squared or log; default by name.")
    ] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", help="A kernel parameter that the file lacks, NAME=VALUE; repeatable.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="A name or prefix in FILE to leave out; repeatable.")] = None,
) -> None:
    """Turn a research checkpoint into a checkpoint folder, to which `bank` then adds bank and calibration.

    FILE is opened with weights_only=True. Prints where each tensor went and what was assumed; what has no certain
    place is refused. The paper's released file was out of reach of the machines that this was written on: it has
    been tried with networks of the same kind only.
    """
    from mdmf_core.training.research import Read, import_file

    _check_import(out, statistic)
    loaded = read_recipe(recipe) if recipe else None
    extra = dict(_number(value) for value in values or [])
    how = Read(statistic, activation, sigma_form, epsilon_form, extra, tuple(ignore or ()))
    for line in import_file(file, out, loaded, backbone, how):
        say(line)
    say(f"Checkpoint written to {out}; next: python -m mdmf_core bank {recipe or 'RECIPE'} RUN --checkpoint {out}")


def _check_import(out: Path, statistic: str) -> None:
    """Stop before anything is read where the folder is not new, or there is no such statistic."""
    from mdmf_core.method.calibration import STATISTICS

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Stop(f"{out} is not empty; name a new folder.")
    if statistic not in STATISTICS:
        raise Stop(f"The statistic is one of {', '.join(STATISTICS)}, not {statistic!r}.")


def _number(given: str) -> tuple[str, float]:
    name, _, value = given.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise Stop(f"--set takes NAME=VALUE with a number, not {given!r}.") from error
