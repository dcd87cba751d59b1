"""The command line: `python -m mdmf_core COMMAND`.

    detect PATH...          a score, a p-value and a decision for each picture; - reads one from standard input;
                            of a video its frames, without an answer
    reference make PATH...  pictures that you trust, for `detect --reference`; also `list` and `remove`
    pretrain RECIPE RUN     train an encoder (backbones `lite` and `compact`)
    embed RECIPE RUN        step 1 of the paper: embeddings of all patches
    train RECIPE RUN        step 2: the Patch Forensic Signature
    bank RECIPE RUN         step 2b: reference bank and calibration
    locate RECIPE RUN       add the map of patches unlike the rest of their picture
    outlines RECIPE RUN     calibrate anew when a picture may have outlines
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
from typing import Annotated, Any, NamedTuple

import typer

from mdmf_core.run.commands import reference
from mdmf_core.terminal import Engine, Processes, Stop, say, tell
from mdmf_core.training import commands

INTERRUPTED = 130
HELP = "How much the patches of pictures look generated, and the steps that make a detector. COMMAND --help says more."
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=HELP)
for step in (commands.pretrain, commands.embed, commands.train, commands.bank, commands.locate, commands.outlines):
    app.command()(step)
app.add_typer(reference, name="reference")


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

    sources = [*(source or ()), *(commands.read_recipe(recipe).split.test if recipe else ())]
    if recipe and not sources:
        raise Stop(f"The split in {recipe} holds no source for test.")
    detector = Detector.from_pretrained(None if model == "bundled" else model)
    conditions = tuple(condition or ("as_is", "alike"))
    step(detector, folders, out, conditions, alpha, sources or None, processes=processes, engine=engine)
    say((out / "metrics.md").read_text("utf-8"))


@app.command()
def detect(
    paths: Annotated[list[str], typer.Argument(help="Pictures, videos, folders of pictures, or - for standard input.")],
    model: Annotated[str | None, typer.Option(help="Checkpoint folder or Hub repository.")] = None,
    alpha: Annotated[float, typer.Option(help="False-alarm rate, above 0 and at most 0.2.")] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")] = False,
    heatmap: Annotated[Path | None, typer.Option(help="Folder for an overlay PNG of each picture or frame.")] = None,
    trusted: Annotated[
        str | None, typer.Option("--reference", help="Compare with pictures you trust: a name or a file.")
    ] = None,
    processes: Processes = 0,
) -> None:
    """Score pictures. What is passed over is named on standard error; exit status 1 if something could not be used."""
    from tqdm import tqdm

    from mdmf_core.detector import Detector
    from mdmf_core.evidence import check_alpha
    from mdmf_core.images.folder import pictures
    from mdmf_core.run import workers

    check_alpha(alpha)
    detector = Detector.from_pretrained(model)
    mine = _reference(trusted, detector)
    names, passed = pictures(paths)
    items = _items(names)
    for left in passed:
        tell(left.sentence, error=True)
    failed = any(left.unread for left in passed)
    score = partial(_judge, detector, alpha, as_json, heatmap, mine)
    found = workers.run(score, items, processes or workers.sensible(len(items), detector.model.backbone))
    for result in tqdm(found, desc="detect", total=len(items), disable=None, leave=False):
        died = isinstance(result, workers.Died)
        told = _failed(result.item, result, as_json) if died else result
        for line in told.lines:
            tell(line)
        if told.complaint:
            tell(told.complaint, error=True)
        failed = failed or not told.good
    if failed:
        raise typer.Exit(1)


class _Item(NamedTuple):
    """A picture to judge: what it is called, and its path or its bytes."""

    name: str
    source: Path | bytes


class _Answer(NamedTuple):
    """What `detect` says of one file on standard output and on standard error, and whether all went well."""

    lines: list[str]
    good: bool = True
    complaint: str = ""


def _items(names: list[str]) -> list[_Item]:
    """The pictures to judge; the one from standard input as its bytes."""
    from mdmf_core.images.bounds import MAX_BYTES
    from mdmf_core.images.folder import STANDARD_INPUT

    if names.count(STANDARD_INPUT) > 1:
        raise Stop("Standard input holds one picture; give - once.")
    return [
        _Item(name, sys.stdin.buffer.read(MAX_BYTES + 1) if name == STANDARD_INPUT else Path(name)) for name in names
    ]


def _reference(wanted: str | None, detector: Any) -> Any:
    """The trusted pictures of a name or a file, for this detector."""
    if wanted is None:
        return None
    from mdmf_core.run.trust import place_of
    from mdmf_core.trusted import load

    return load(place_of(wanted), detector)


def _judge(detector: Any, alpha: float, as_json: bool, heatmap: Path | None, mine: Any, item: _Item) -> _Answer:
    """What `detect` says of one picture, compared with trusted ones if there are any."""
    from mdmf_core.errors import ImageError, WriteError
    from mdmf_core.images.kinds import is_video
    from mdmf_core.images.origin import as_json as origin_json
    from mdmf_core.images.origin import opening, origin_of
    from mdmf_core.images.reader import read
    from mdmf_core.show.words import quote

    try:
        if isinstance(item.source, Path) and is_video(item.source):
            return _film(detector, alpha, as_json, heatmap, mine is not None, item)
        picture = read(item.source, detector.model.geometry.min_side)
        evidence = detector.detect(picture, alpha, locate=as_json)
    except ImageError as error:
        return _failed(item, error, as_json)
    complaint = ""
    if heatmap is not None:
        try:
            _write_heatmap(heatmap, item, picture, evidence)
        except WriteError as error:
            complaint = f"The map of {item.name} is missing: {error}"
    origin, outcome = origin_of(item.source, picture), evidence.verdict.outcome
    compared = None if mine is None else mine.judge(evidence)
    line = f"{_sentence(item.name, evidence)}; origin: {opening(origin, outcome)}"
    line += f" {compared.sentence}" if compared and evidence.verdict.judged else ""
    if as_json:
        found = evidence.to_dict(item.name) | {"quote": quote(evidence), "origin": origin_json(origin, outcome)}
        line = json.dumps(found | ({"reference": compared.to_dict()} if compared else {}))
    return _Answer([line], not complaint, complaint)


def _failed(item: _Item, error: Exception, as_json: bool) -> _Answer:
    line = json.dumps({"path": item.name, "error": str(error)}) if as_json else f"{item.name}: {error}"
    return _Answer([line], False)


def _film(detector: Any, alpha: float, as_json: bool, heatmap: Path | None, trusted: bool, item: _Item) -> _Answer:
    """What `detect` says of a video: its frames, and no answer for the whole."""
    from mdmf_core.errors import WriteError
    from mdmf_core.run import frames

    complaints = [frames.NOT_COMPARED] if trusted else []

    def written(write: Any, *what: Any) -> None:
        try:
            write(heatmap, item, *what)
        except WriteError as error:
            complaints.append(f"A map is missing: {error}")

    seen = frames.look_at(detector, item.source, alpha, partial(written, _write_frame) if heatmap else None)
    if heatmap is not None:
        written(_write_film, seen)
    lines = [json.dumps(seen.to_dict(item.name))] if as_json else seen.lines(item.name)
    good = complaints in ([], [frames.NOT_COMPARED])
    return _Answer(lines, good, f"{item.name}: {' '.join(dict.fromkeys(complaints))}" if complaints else "")


def _write_frame(folder: Path, item: _Item, frame: Any, evidence: Any) -> None:
    from mdmf_core.files import short_name, write_whole
    from mdmf_core.show.maps import overlay

    name = f"{short_name(item.source.stem)}-{frame.picture.sha256[:8]}-{frame.place:02}.png"
    write_whole(folder / name, lambda temporary: overlay(frame.picture.pixels, evidence).save(temporary, format="PNG"))


def _write_film(folder: Path, item: _Item, seen: Any) -> None:
    from mdmf_core.files import short_name, write_whole
    from mdmf_core.show.strip import page

    name = f"{short_name(item.source.stem)}-{seen.clip.sha256[:8]}.html"
    write_whole(folder / name, lambda temporary: temporary.write_text(page(seen.film), encoding="utf-8"))


def _write_heatmap(folder: Path, item: _Item, picture: Any, evidence: Any) -> None:
    from mdmf_core.files import short_name, write_whole
    from mdmf_core.show.maps import overlay

    stem = item.source.stem if isinstance(item.source, Path) else "standard input"
    name = f"{short_name(stem)}-{evidence.picture.sha256[:8]}.png"
    write_whole(folder / name, lambda temporary: overlay(picture.pixels, evidence).save(temporary, format="PNG"))


def _sentence(name: str, evidence: Any) -> str:
    from mdmf_core.show import words

    verdict = evidence.verdict
    found = verdict.strength
    told = verdict.reason or (f"{found.support} (likelihood ratio {found.told})" if found else words.NO_RATIO)
    if verdict.judged and found and found.side:
        told = f"{told}. {words.DOUBTS[found.side]}"
    return (
        f"{name}: {words.headline(evidence).lower()}; {told.rstrip('.')}; score {verdict.score:.4f}, "
        f"p {verdict.p_value:.4f} ({words.real_pictures(verdict)}, alpha {verdict.alpha:g}), "
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
        tell(f"Error: {_told(error)}", error=True)
        if getattr(error, "errno", None) and not error.filename:
            sys.stdout = None  # it takes no more, and Python would try and complain at the end
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer's status for Ctrl-C, about which it says nothing
            print("Interrupted; what was finished is kept.", file=sys.stderr)
        raise
