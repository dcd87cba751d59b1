"""The command line: `python -m mdmf_core COMMAND`.

    detect PATH...          a score, a p-value and a decision for each picture
    pretrain RECIPE RUN     train an encoder (backbones `lite` and `compact`)
    embed RECIPE RUN        step 1 of the paper: embeddings of all patches
    train RECIPE RUN        step 2: the Patch Forensic Signature
    bank RECIPE RUN         step 2b: reference bank and calibration
    locate RECIPE RUN       add the map of patches unlike the rest of their picture
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
from typing import Annotated, Any

import typer

from mdmf_core.terminal import Engine, Processes, Stop, say
from mdmf_core.training import commands

INTERRUPTED = 130

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
for step in (commands.pretrain, commands.embed, commands.train, commands.bank, commands.locate):
    app.command()(step)


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
        list[str] | None, typer.Option(help="as_is, alike, web, without_traces, jpeg:Q, blur:S, noise:S, resize:F.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="False-alarm rate.")] = 0.05,
    processes: Processes = 0,
    engine: Engine = "local",
) -> None:
    """Figures on unseen generators: AUROC, AP, FPR@95TPR, rates at alpha; CSV, JSON, Markdown, histograms."""
    from mdmf_core.detector import Detector
    from mdmf_core.training.evaluate import evaluate as step

    sources = list(source or []) + (commands.read_recipe(recipe).get("split", {}).get("test", []) if recipe else [])
    if recipe and not sources:
        raise Stop(f"The split in {recipe} holds no source for test.")
    detector = Detector.from_pretrained(None if model == "bundled" else model)
    conditions = tuple(condition or ("as_is", "alike"))
    step(detector, folders, out, conditions, alpha, sources or None, processes=processes, engine=engine)
    say((out / "metrics.md").read_text("utf-8"))


def _paths(given: list[Path]) -> list[Path]:
    """The files named, and the pictures of the folders named, in order."""
    from mdmf_core.images.kinds import is_image_name

    found: list[Path] = []
    for path in given:
        inside = sorted(p for p in path.rglob("*") if p.is_file() and is_image_name(p)) if path.is_dir() else [path]
        if not inside:
            say(f"The folder {path} holds no picture.", error=True)
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
        say(line)
    if failed:
        raise typer.Exit(1)


def _line(detector: Any, alpha: float, as_json: bool, heatmap: Path | None, path: Path) -> tuple[str, bool]:
    """What `detect` prints about one picture, and whether it could be used."""
    from mdmf_core.errors import ImageError
    from mdmf_core.images.reader import read

    try:
        picture = read(path, detector.model.geometry.min_side)
        evidence = detector.detect(picture, alpha, locate=as_json)
    except ImageError as error:
        return _failed(path, error, as_json), False
    if heatmap is not None:
        _write_heatmap(heatmap, path, picture, evidence)
    return json.dumps(evidence.to_dict(str(path))) if as_json else _sentence(path, evidence), True


def _failed(path: Path, error: Exception, as_json: bool) -> str:
    return json.dumps({"path": str(path), "error": str(error)}) if as_json else f"{path}: {error}"


def _write_heatmap(folder: Path, path: Path, picture: Any, evidence: Any) -> None:
    from mdmf_core.files import write_whole
    from mdmf_core.show.maps import overlay

    name = f"{path.stem}-{evidence.picture.sha256[:8]}.png"
    write_whole(folder / name, lambda temporary: overlay(picture.pixels, evidence).save(temporary, format="PNG"))


def _sentence(path: Path, evidence: Any) -> str:
    from mdmf_core.show import words

    verdict = evidence.verdict
    found = verdict.strength
    told = verdict.reason or (f"{found.support} (likelihood ratio {found.ratio:.3g})" if found else words.NO_RATIO)
    return (
        f"{path}: {words.headline(evidence).lower()}; {told.rstrip('.')}; score {verdict.score:.4f}, "
        f"p {verdict.p_value:.4f} ({verdict.n_calibration} calibration pictures, alpha {verdict.alpha:g}), "
        f"{evidence.n_outlined} of {evidence.n_patches} patches flagged"
    )


app.command("import")(commands.import_)


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    repo: Annotated[str, typer.Argument(help="Hub repository, owner/name.")],
    private: Annotated[bool, typer.Option(help="Make it private.")] = False,
) -> None:
    """Publish a checkpoint on the Hugging Face Hub; its card must name license, library_name, tags and metrics."""
    from mdmf_core.checkpoint.hub import push as step

    say(f"Published: {step(folder, repo, private)}")


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
        say(f"Error: {_told(error)}", error=True)
        if getattr(error, "errno", None) and not error.filename:
            sys.stdout = None  # it takes no more, and Python would try and complain at the end
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer's status for Ctrl-C, about which it says nothing
            print("Interrupted; what was finished is kept.", file=sys.stderr)
        raise
