"""The command line: `python -m mdmf_core COMMAND`.

    detect PATH...          a score, a p-value and a decision for each picture
    pretrain RECIPE RUN     train the compact encoder (only for the bundled backbone)
    embed RECIPE RUN        step 1 of the paper: embeddings of all patches
    train RECIPE RUN        step 2: the Patch Forensic Signature
    bank RECIPE RUN         step 2b: reference bank and calibration
    locate RECIPE RUN       add the map of patches unlike the rest of their picture (only for the bundled backbone)
    import FILE OUT         a research checkpoint (PyTorch) into a checkpoint folder
    evaluate MODEL FOLDER...    step 3: figures on generators that were not trained on
    push FOLDER REPO        publish a checkpoint on the Hugging Face Hub

A recipe is one JSON file: `data` (folder of images), `split` (who is held out), and a section for each
step. Torch is imported only by the commands that compute.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mdmf_core.texts import printable

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

Recipe = Annotated[Path, typer.Argument(help="JSON file with data, split and a section for each step.")]
Run = Annotated[Path, typer.Argument(help="Folder for everything that the recipe makes.")]
Engine = Annotated[Literal["local", "ray"], typer.Option(help="This machine, or the machines of a Ray cluster.")]
Processes = Annotated[int, typer.Option(min=0, help="How many work at once; 0 is one a core, or a GPU, if worth it.")]
INTERRUPTED = 130
SECTIONS = {"data", "split", "backbone", "geometry", "pretrain", "embed", "train", "bank", "locate"}
SPLIT_KEYS = {"test", "validation", "calibration", "calibration_share"}


class Stop(Exception):
    """Ends a command with one sentence on standard error and exit status 1."""


def _say(line: object, error: bool = False) -> None:
    """Print text that may hold names of files: none of them may command the terminal or stop the program."""
    print(printable(line), file=sys.stderr if error else sys.stdout, flush=True)


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        recipe = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Stop(f"The recipe {path} can't be read.") from error
    except ValueError as error:
        raise Stop(f"The recipe {path} is not JSON: {error}.") from error
    unknown = set(recipe) - SECTIONS
    if unknown or "data" not in recipe:
        raise Stop(
            f"A recipe needs `data` and knows {', '.join(sorted(SECTIONS))}; unknown: {', '.join(unknown) or '-'}."
        )
    unknown = set(recipe.get("split", {})) - SPLIT_KEYS
    if unknown:
        raise Stop(f"The split section has unknown keys: {', '.join(sorted(unknown))}.")
    return recipe


def _encoder(recipe: dict[str, Any], run: Path) -> tuple[Any, dict, Any]:
    """The frozen backbone, on the GPU where there is one, its settings for the checkpoint, and the geometry."""
    from mdmf_core.checkpoint import store
    from mdmf_core.method.patches import Geometry

    settings = dict(recipe.get("backbone", {"name": "compact"}))
    if settings.get("name") == "compact":
        trained = json.loads((run / "encoder.json").read_text("utf-8")) if (run / "encoder.json").is_file() else {}
        settings = {"name": "compact", **trained}
        if not trained:
            raise Stop("The compact encoder is not trained yet; run `pretrain` first.")
        encoder = store.build_backbone({**settings, "weights": str(run / "encoder.safetensors")})
    else:
        settings = store.pinned(settings)
        encoder = store.build_backbone(settings)
    geometry = Geometry(**recipe.get("geometry", {"patch_size": 64, "max_patches": 144}))
    return _on_device(encoder), settings, geometry


def _on_device(encoder: Any) -> Any:
    import torch

    return encoder.to("cuda" if torch.cuda.is_available() else "cpu")


def _role_of(recipe: dict[str, Any]) -> dict[str, str]:
    """The role of each picture, by its key."""
    from mdmf_core.training.dataset import scan, split

    dealt = split(scan(recipe["data"]), **recipe.get("split", {}))
    return {e.key: role for role in ("train", "validation", "calibration", "test") for e in getattr(dealt, role)}


def _roles(recipe: dict[str, Any], run: Path, encoder: Any) -> dict[str, list]:
    """Embedded pictures by role."""
    from mdmf_core.training import embed

    role_of = _role_of(recipe)
    roles: dict[str, list] = {"train": [], "validation": [], "calibration": [], "test": []}
    for picture in embed.load(run / "embeddings", embed.backbone_digest(encoder)):
        if picture.key in role_of:
            roles[role_of[picture.key]].append(picture)
    return roles


@app.command()
def pretrain(recipe: Recipe, run: Run) -> None:
    """Train the compact encoder on labelled images; goes on where it was interrupted."""
    from mdmf_core.training.encoder import pretrain as step

    loaded = _read_recipe(recipe)
    written = step(loaded["data"], loaded.get("split", {}), loaded.get("pretrain", {}), run)
    _say(f"Encoder written to {written}.")


@app.command()
def embed(recipe: Recipe, run: Run, processes: Processes = 0, engine: Engine = "local") -> None:
    """Precompute the embeddings of all patches; goes on where it was interrupted."""
    from mdmf_core.training import embed as step
    from mdmf_core.training.dataset import scan, split

    loaded = _read_recipe(recipe)
    encoder, _, geometry = _encoder(loaded, run)
    settings = loaded.get("embed", {})
    dealt = split(scan(loaded["data"]), **loaded.get("split", {}))
    entries = dealt.train + dealt.validation + dealt.calibration
    lives = tuple(settings.get("lives", step.AS_IS))
    seed = settings.get("seed", 0)
    failures = step.embed(entries, run / "embeddings", encoder, geometry, lives, seed, processes, engine)
    for failure in failures:
        _say(f"{failure['key']} ({failure['life']}): {failure['error']}", error=True)
    _say(f"{len(entries)} pictures, {len(entries) * len(lives) - len(failures)} embedded, {len(failures)} failed.")


@app.command()
def train(recipe: Recipe, run: Run) -> None:
    """Train the Patch Forensic Signature on the stored embeddings."""
    from mdmf_core.files import write_whole
    from mdmf_core.training.signature import train as step

    loaded = _read_recipe(recipe)
    encoder, settings, geometry = _encoder(loaded, run)
    roles = _roles(loaded, run, encoder)
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        _say(line)

    best = step(
        roles["train"],
        roles["validation"],
        loaded.get("train", {}),
        encoder,
        settings,
        geometry,
        run / "checkpoint",
        say,
    )
    write_whole(run / "train.log", lambda path: path.write_text("\n".join(lines) + "\n", "utf-8"))
    _say(f"Best mean validation AUROC {best:.4f}; checkpoint in {run / 'checkpoint'}.")


@app.command()
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
    from mdmf_core.method import bank as banks
    from mdmf_core.training import bank as step
    from mdmf_core.training import embed as first_step
    from mdmf_core.training.dataset import scan, split

    loaded = _read_recipe(recipe)
    folder = checkpoint or run / "checkpoint"
    if not (folder / "config.json").is_file():
        raise Stop(f"There is no checkpoint in {folder}; run `train` first or name one with --checkpoint.")
    found = store.load(folder)
    _on_device(found.backbone)
    if not (run / "embeddings" / "manifest.json").is_file():
        dealt = split(scan(loaded["data"]), **loaded.get("split", {}))
        lives = tuple(loaded.get("embed", {}).get("lives", first_step.AS_IS))
        entries = dealt.train + dealt.calibration
        first_step.embed(entries, run / "embeddings", found.backbone, found.geometry, lives, 0, processes, engine)
    section = loaded.get("bank", {})
    if stream or engine == "ray":
        from mdmf_core.training.stream import build

        made = build(run / "embeddings", _role_of(loaded), found, section, _say, processes, engine)
    else:
        roles = _roles(loaded, run, found.backbone)
        made = step.build(roles["train"], roles["calibration"], found, section, _say)
    if section.get("details"):
        calibration = split(scan(loaded["data"]), **loaded.get("split", {})).calibration
        made = step.with_details(made, calibration, found, section, _say)
    _say(f"Reference written to {banks.save(made, folder / 'reference.safetensors')}.")


@app.command()
def locate(recipe: Recipe, run: Run) -> None:
    """Train the locator, which finds patches unlike the rest of their picture, on composites; calibrate it."""
    from mdmf_core.checkpoint import store
    from mdmf_core.training import bank
    from mdmf_core.training.dataset import scan, split
    from mdmf_core.training.locator import run as step

    loaded = _read_recipe(recipe)
    folder = run / "checkpoint"
    if not (folder / "config.json").is_file():
        raise Stop(f"There is no checkpoint in {folder}; run `train` first.")
    dealt = split(scan(loaded["data"]), **loaded.get("split", {}))
    lives = bank.complete(loaded.get("bank", {}))["calibration_lives"]
    written = step(folder, store.load(folder), dealt, lives, loaded.get("locate", {}), _say)
    _say(f"Locator written to {written}.")


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Checkpoint folder or Hub repository; 'bundled' for the bundled one.")],
    folders: Annotated[list[Path], typer.Argument(help="Folders of labelled images (0_real/, 1_fake/).")],
    out: Annotated[Path, typer.Option(help="Folder for the tables and histograms.")] = Path("evaluation"),
    recipe: Annotated[
        Path | None, typer.Option(help="Take only the sources that this recipe's split holds for test.")
    ] = None,
    source: Annotated[list[str] | None, typer.Option(help="Take only this source; may be repeated.")] = None,
    condition: Annotated[
        list[str] | None, typer.Option(help="as_is, alike, jpeg:Q, blur:S, noise:S, resize:F.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="False-alarm rate.")] = 0.05,
    processes: Processes = 0,
    engine: Engine = "local",
) -> None:
    """Figures on unseen generators: AUROC, AP, FPR@95TPR, rates at alpha; CSV, JSON, Markdown, histograms."""
    from mdmf_core.detector import Detector
    from mdmf_core.training.evaluate import evaluate as step

    sources = list(source or []) + (_read_recipe(recipe).get("split", {}).get("test", []) if recipe else [])
    if recipe and not sources:
        raise Stop(f"The split in {recipe} holds no source for test.")
    detector = Detector.from_pretrained(None if model == "bundled" else model)
    conditions = tuple(condition or ("as_is", "alike"))
    step(detector, folders, out, conditions, alpha, sources or None, processes=processes, engine=engine)
    _say((out / "metrics.md").read_text("utf-8"))


def _paths(given: list[Path]) -> list[Path]:
    """The files named, and the pictures of the folders named, in order."""
    from mdmf_core.images.kinds import is_image_name

    found: list[Path] = []
    for path in given:
        inside = sorted(p for p in path.rglob("*") if p.is_file() and is_image_name(p)) if path.is_dir() else [path]
        if not inside:
            _say(f"The folder {path} holds no picture.", error=True)
        found += inside
    return found


@app.command()
def detect(
    paths: Annotated[list[Path], typer.Argument(help="Pictures or folders of pictures.")],
    model: Annotated[str | None, typer.Option(help="Checkpoint folder or Hub repository.")] = None,
    alpha: Annotated[float, typer.Option(help="False-alarm rate, above 0 and at most 0.2.")] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")] = False,
    heatmap: Annotated[Path | None, typer.Option(help="Folder for an overlay PNG of each picture.")] = None,
    processes: Processes = 0,
) -> None:
    """Score pictures. Exit status 1 if one of them could not be used."""
    from tqdm import tqdm

    from mdmf_core.detector import Detector
    from mdmf_core.evidence import check_alpha
    from mdmf_core.run import workers

    check_alpha(alpha)
    detector = Detector.from_pretrained(model)
    files = _paths(paths)
    score = partial(_line, detector, alpha, as_json, heatmap)
    found = workers.run(score, files, processes or workers.sensible(len(files), detector.model.backbone))
    failed = False
    for result in tqdm(found, desc="detect", total=len(files), disable=None, leave=False):
        died = isinstance(result, workers.Died)
        line, good = (_failed(result.item, result, as_json), False) if died else result
        failed = failed or not good
        _say(line)
    if failed:
        raise typer.Exit(1)


def _line(detector: Any, alpha: float, as_json: bool, heatmap: Path | None, path: Path) -> tuple[str, bool]:
    """What `detect` prints about one picture, and whether it could be used."""
    from mdmf_core.errors import ImageError
    from mdmf_core.images.origin import as_json as origin_json
    from mdmf_core.images.origin import origin_of
    from mdmf_core.images.reader import read

    try:
        picture = read(path, detector.model.geometry.min_side)
        evidence = detector.detect(picture, alpha, locate=as_json)
    except ImageError as error:
        return _failed(path, error, as_json), False
    if heatmap is not None:
        _write_heatmap(heatmap, path, picture, evidence)
    origin = origin_of(path, picture)
    if not as_json:
        return f"{_sentence(path, evidence)}; origin: {origin.sentence}", True
    return json.dumps({**evidence.to_dict(str(path)), "origin": origin_json(origin, evidence.decision)}), True


def _failed(path: Path, error: Exception, as_json: bool) -> str:
    return json.dumps({"path": str(path), "error": str(error)}) if as_json else f"{path}: {error}"


def _write_heatmap(folder: Path, path: Path, picture: Any, evidence: Any) -> None:
    from mdmf_core.files import write_whole
    from mdmf_core.show.maps import overlay

    name = f"{path.stem}-{evidence.sha256[:8]}.png"
    write_whole(folder / name, lambda temporary: overlay(picture.pixels, evidence).save(temporary, format="PNG"))


def _sentence(path: Path, evidence: Any) -> str:
    words = {
        "generated": "likely generated",
        "inconclusive": "inconclusive",
        "no_evidence": "no evidence of generation",
    }
    return (
        f"{path}: {words[evidence.decision]}; score {evidence.score:.4f}, p {evidence.p_value:.4f} "
        f"({evidence.n_calibration} calibration pictures, alpha {evidence.alpha:g}), "
        f"{int(evidence.flagged.sum())} of {evidence.n_patches} patches flagged"
    )


@app.command("import")
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
    from mdmf_core.training.research import import_file

    loaded = _read_recipe(recipe) if recipe else None
    extra = dict(_number(value) for value in values or [])
    import_file(file, out, loaded, backbone, statistic, activation, sigma_form, epsilon_form, extra, ignore or [], _say)
    _say(f"Checkpoint written to {out}; next: python -m mdmf_core bank {recipe or 'RECIPE'} RUN --checkpoint {out}")


def _number(given: str) -> tuple[str, float]:
    name, _, value = given.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise Stop(f"--set takes NAME=VALUE with a number, not {given!r}.") from error


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    repo: Annotated[str, typer.Argument(help="Hub repository, owner/name.")],
    private: Annotated[bool, typer.Option(help="Make it private.")] = False,
) -> None:
    """Publish a checkpoint on the Hugging Face Hub; its card must name license, library_name, tags and metrics."""
    from mdmf_core.checkpoint.hub import push as step

    _say(f"Published: {step(folder, repo, private)}")


def _told(error: Exception) -> str:
    """One sentence about what the user or the machine lacks; a fault of the program is raised as it is."""
    if type(error) in (Stop, ValueError) or type(error).__module__.startswith("mdmf_core"):
        return str(error)
    if isinstance(error, OSError):
        from mdmf_core.files import reason

        return f"{error.filename or 'The output'} can't be used: {reason(error)}."
    from mdmf_core.detector import out_of_memory

    if out_of_memory(error):
        return "There is not enough memory for this; end other programs, or use fewer --processes."
    raise error


def main() -> None:
    """Run a command; what the user did wrong is one sentence on standard error, never a stack trace."""
    try:
        app()
    except (Stop, ValueError, RuntimeError, OSError, MemoryError) as error:
        _say(f"Error: {_told(error)}", error=True)
        if getattr(error, "errno", None) and not error.filename:
            sys.stdout = None  # it takes no more, and Python would try and complain at the end
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer's status for Ctrl-C, about which it says nothing
            print("Interrupted; what was finished is kept.", file=sys.stderr)
        raise
