"""The commands about trusted pictures: `reference make`, `reference list` and `reference remove`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mdmf_core.terminal import Processes, Stop, say, tell

TOLD = 10  # lines about the progress where no terminal shows a bar
reference = typer.Typer(no_args_is_help=True, help="Pictures that you trust, for `detect --reference`.")


@reference.command()
def make(
    paths: Annotated[list[Path], typer.Argument(help="Folders or files: 20 to 2,000 pictures of one camera.")],
    name: Annotated[str | None, typer.Option(help="Keep it under this name, for this user.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write it to this file.")] = None,
    model: Annotated[str | None, typer.Option(help="Checkpoint folder or Hub repository.")] = None,
    drop_outliers: Annotated[
        bool, typer.Option(help="Leave out pictures that stand out among the others; gives more false alarms.")
    ] = False,
    keep_names: Annotated[bool, typer.Option(help="Keep the names of the pictures, not only their hashes.")] = False,
    processes: Processes = 0,
) -> None:
    """A reference of pictures that you trust. Those that stand out among them are named; it holds no pixels."""
    from mdmf_core.detector import Detector
    from mdmf_core.run import trust
    from mdmf_core.trusted import check_count, collect, save, told

    place = _place(name, out)
    files = files_in(paths)
    check_count(len(files))
    detector = Detector.from_pretrained(model)
    seen = _seen(trust.look_at(detector, files, processes), len(files))
    made = collect(seen, detector, name or out.stem)
    for line in told(made):
        say(line)
    outliers = made.outliers()
    if drop_outliers and outliers:
        made = made.without(outliers)
        say(f"Left out: {len(outliers):,} that stand out among the others.")
    save(made, place, keep_names)
    say(f"{place}: {made.n:,} pictures; p can't be below {made.smallest_p:.2g}.")


def _place(name: str | None, out: Path | None) -> Path:
    from mdmf_core.run import trust

    if (name is None) == (out is None):
        raise Stop("Give either --name or --out.")
    if out is not None:
        return out
    if trust.named(name).exists():
        raise Stop(f"There is a reference {name} already; remove it first, with `reference remove`.")
    return trust.named(name)


def files_in(given: list[Path]) -> list[Path]:
    """The files named, and the pictures of the folders named, in order; what is passed over is named."""
    from mdmf_core.images.folder import pictures

    found, passed = pictures(map(str, given))
    for left in passed:
        tell(left.sentence, error=True)
    return [Path(path) for path in found]


def _seen(looked: Any, total: int) -> list[Any]:
    """What was found, with a bar, or a line for each tenth where no terminal shows one; complaints come at once."""
    from tqdm import tqdm

    found, tenth, shown = [], -(-total // TOLD), sys.stderr.isatty()
    tell(f"Looking at {total:,} pictures.", error=True)
    for done, seen in enumerate(tqdm(looked, desc="reference", total=total, disable=not shown, leave=False), 1):
        if not shown and (done % tenth == 0 or done == total):
            tell(f"{done:,} of {total:,} pictures looked at.", error=True)
        if isinstance(seen, str):
            tell(seen, error=True)
        else:
            found.append(seen)
    return found


@reference.command("list")
def list_() -> None:
    """The names of the references that are kept."""
    from mdmf_core.run import trust

    for name in trust.names():
        tell(name)


@reference.command()
def remove(name: Annotated[str, typer.Argument(help="As `reference list` has it.")]) -> None:
    """Delete a reference."""
    from mdmf_core.run import trust

    trust.remove(name)
    say(f"Removed: {name}")
