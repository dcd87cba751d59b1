"""What goes wrong on machines, done on purpose: kills, full disks, missing homes, memory that is not enough.

    python benchmarks/stress/faults.py            # every moment at which a command can be killed
    python benchmarks/stress/faults.py --quick    # two moments of each; in the test suite

Each fault happens to a process of its own, on a small detector with random weights and 24 small pictures. A command is
killed (SIGKILL) just before the n-th time that it opens, renames, removes or makes something in its folder, for each
n; what lies there then must be whole, and after a second run it must be what an undisturbed run makes, byte for byte.
Faults of the page are in `faults_page.py`. Prints a line for each and writes `benchmarks/results/faults.json`. Needs
Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import ctypes
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.path.insert(1, str(Path(sys.path[0]) / "tests" / "helpers"))

import torch
from hub import StandIn, environment
from PIL import Image
from safetensors import safe_open
from tiny import make_checkpoint, picture

from benchmarks.speed.measure import ROOT
from mdmf_core import cli  # noqa: F401 (no forked process need import scikit-learn again)
from mdmf_core.files import PREFIX, write_whole
from mdmf_core.training import (
    embed,  # noqa: F401 (no forked process need import scikit-learn again)
    encoder,  # noqa: F401 (no forked process need import scikit-learn again)
)
from mdmf_core.training import signature as signatures  # noqa: F401 (no forked process need import scikit-learn again)

FULL = 600  # bytes that a file may have on the full disk
NOWHERE = "/dev/null/nowhere"  # no folder can be made there, not even by root
CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod"}
COMMANDS = ("pretrain", "embed", "train", "bank", "evaluate", "detect")
REPO = "someone/tiny"

Fault = tuple[str, Callable[[], str]]


class Wrong(AssertionError):
    """A fault was not survived; the message says how."""


def check(good: Any, words: str) -> None:
    if not good:
        raise Wrong(words)


# A fault's own process


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit status, or the negative number of the signal, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one error of a command that failed, for people: no trace, no second one.

        Raises:
            Wrong: it is anything else.
        """
        errors = re.findall(r"(?<!\w)Error: .*", self.err)
        clean = "Traceback" not in self.err and "Exception" not in self.err
        check(self.status == 1 and clean and len(errors) == 1, f"status {self.status}, no sentence: {self.err[-800:]}")
        check(errors[0].endswith("."), f"no whole sentence: {errors[0]}")
        return errors[0]


class Process:
    """A forked process that does one thing after another. Its output goes through pipes, which no disk limits."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        pipes = [os.pipe() for _ in range(2)]
        self.pid = os.fork()
        if self.pid == 0:
            _be(steps, [writing for _, writing in pipes])
        for _, writing in pipes:
            os.close(writing)
        self.reading = [open(reading, errors="replace") for reading, _ in pipes]

    def wait(self) -> Ended:
        with ThreadPoolExecutor(2) as pool:
            out, err = pool.map(lambda file: file.read(), self.reading)
        for file in self.reading:
            file.close()
        return Ended(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), out, err)


def _be(steps: tuple[Callable[[], object], ...], outputs: list[int]) -> NoReturn:
    status = 70
    try:
        for number, output in enumerate(outputs, 1):
            os.dup2(output, number)
            os.close(output)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
        for step in steps:
            step()
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError):
                stream.flush()
        os._exit(status)


def did(*steps: Callable[[], object]) -> Ended:
    """Do one thing after another in a process of its own, to its end."""
    return Process(*steps).wait()


def command(*arguments: object) -> Callable[[], None]:
    """A command as a user types it."""

    def run() -> None:
        sys.argv = ["mdmf_core", *map(str, arguments)]
        cli.main()

    return run


def die_at(moment: int, folder: Path) -> None:
    """Kill this process just before it changes something below a folder for the n-th time."""
    left = moment

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        if event not in CHANGES or not str(arguments[0]).startswith(f"{folder}/"):
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def fill_disk() -> None:
    """No file that this process writes grows beyond `FULL` bytes, which is as near to a full disk as can be had."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def empty_disk() -> None:
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def obey_permissions() -> None:
    """Root writes wherever it likes; without CAP_DAC_OVERRIDE it is held to a file's mode like anybody."""
    libc = ctypes.CDLL(None)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    check(libc.capget(header, sets) == 0, "capget failed")
    sets[0] &= ~(1 << 1)
    check(libc.capset(header, sets) == 0, "capset failed")


# Whole or absent


def visible(folder: Path) -> dict[str, bytes]:
    """The files below a folder that a program would read, by their place."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(place): path.read_bytes()
        for place, path in paths.items()
        if not any(part.startswith(PREFIX) for part in place.parts)
    }


def check_whole(folder: Path) -> None:
    """Every file can be read to its end.

    Raises:
        Wrong: one can't.
    """
    for name, content in visible(folder).items():
        try:
            read_whole(folder / name, content)
        except Exception as error:
            raise Wrong(f"{name} is not whole: {error}") from error


def read_whole(path: Path, content: bytes) -> None:
    if path.suffix == ".json":
        json.loads(content)
    elif path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            for key in file.keys():
                file.get_tensor(key)
    elif path.suffix == ".png":
        Image.open(io.BytesIO(content)).load()
    elif path.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
        check(content.endswith(b"\r\n") and len({len(row) for row in rows}) == 1, "cut")
    elif path.name != "pretrain.log":  # grows line by line
        check(content.endswith(b"\n"), "cut")


# The commands


class Workshop:
    """Pictures, a recipe, and the run folder before and after each command, undisturbed."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.folder, self.quick = folder, quick
        self.pictures = 24
        self.data, self.recipe = folder / "data", folder / "recipe.json"
        for index in range(self.pictures):
            label = index % 2
            place = self.data / f"{('camera', 'gan')[label]}{index % 6}" / ("0_real", "1_fake")[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(index, 128, 128)).save(place / f"{index}.png")
        self.picture = place / "23.png"
        pools = {"versions": 1, "side": 128, "window": 64, "workers": 1, "composites": 4, "clusters": 0}
        encoder = {"steps": 6, "pictures": 2, "mixed": 1, "traceless": 0}
        signature = {"steps": 4, "check": 2, "bank_pictures": 4, "hidden": 4, "signature": 3}
        self.settings = {
            "data": str(self.data),
            "split": {"test": ["gan5"], "validation": ["camera2", "gan3"], "calibration": ["camera4"]},
            "backbone": {"name": "compact", "channels": [4, 6]},
            "geometry": {"patch_size": 32, "max_patches": 9},
            "pretrain": pools | encoder,
            "train": {"pictures": 2, "patches": 2} | signature,
            "bank": {"size": 8},
        }
        self.recipe.write_text(json.dumps(self.settings))
        made = folder / "nothing"
        made.mkdir()
        self.before, self.after = {}, {}
        for name in COMMANDS:
            self.before[name] = made
            self.after[name] = self.copy(made)
            ended = did(self.doing(name, self.after[name]))
            check(ended.status == 0, f"{name} does not run undisturbed: {ended.err[-800:]}")
            if name not in ("evaluate", "detect"):
                made = self.after[name]
        self.finished = made

    def new(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    def copy(self, made: Path) -> Path:
        return Path(shutil.copytree(made, self.new() / "run"))

    def moments(self, *quick: int) -> Iterator[int]:
        """1, 2, 3 and so on; in a quick run, those given."""
        return iter(quick) if self.quick else count(1)

    def doing(self, name: str, made: Path) -> Callable[[], None]:
        """One command in the run folder `made`, in one process."""
        alone = ("--processes", 1)
        if name == "detect":
            options = (self.data, "--model", made / "checkpoint", "--heatmap", made / "maps", "--json", *alone)
        elif name == "evaluate":
            options = (made / "checkpoint", self.data, "--out", made / "tables", "--condition", "as_is", *alone)
        else:
            options = (self.recipe, made, *(alone if name == "embed" else ()))
        return command(name, *options)

    def check_same(self, name: str, made: Path) -> None:
        """The folder is what an undisturbed run makes; `pretrain` goes on with other random numbers."""
        found, wanted = visible(made), visible(self.after[name])
        check(found.keys() == wanted.keys(), f"files differ: {sorted(found.keys() ^ wanted.keys())}")
        if name != "pretrain":
            differ = [file for file in wanted if found[file] != wanted[file]]
            check(not differ, f"another content than undisturbed: {differ}")

    def check_goes_on(self, name: str, made: Path) -> None:
        """The command does its work now."""
        again = did(self.doing(name, made))
        check(again.status == 0, f"the second run: {again.err[-800:]}")
        self.check_same(name, made)


def killed(shop: Workshop, name: str) -> str:
    """A command is killed at each moment, and run again."""
    kills = 0
    for moment in shop.moments(*((5,) if name == "pretrain" else (3, 7))):  # it is slow
        made = shop.copy(shop.before[name])
        ended = did(partial(die_at, moment, made), shop.doing(name, made))
        if ended.status == 0:
            break
        check(ended.status == -signal.SIGKILL, f"moment {moment}: {ended.err[-800:]}")
        kills += 1
        check_whole(made)
        if name == "detect":
            for line in ended.out.split("\n")[:-1]:
                json.loads(line)
        shop.check_goes_on(name, made)
        shutil.rmtree(made.parent)
    check(kills, "it was never killed")
    return f"killed at {kills} moments; whole each time, and finished by a second run"


def full_disk(shop: Workshop, name: str) -> str:
    """A command meets a full disk, says so, and goes on once there is room."""
    made = shop.copy(shop.before[name])
    ended = did(fill_disk, shop.doing(name, made))
    said = maps_missing(ended, shop.pictures) if name == "detect" else ended.sentence
    check("no room on the disk" in said, said)
    check_whole(made)
    shop.check_goes_on(name, made)
    return said


def maps_missing(ended: Ended, pictures: int) -> str:
    """What `detect` says where no map can be written: a sentence for each picture, whose answer is there."""
    lines = [line for line in re.split(r"[\r\n]+", ended.err) if line and not line.startswith("detect:")]
    whole = [re.fullmatch(r"The map of \S+ is missing: .*no room on the disk.*\.", line) for line in lines]
    check(ended.status == 1 and lines and all(whole), f"status {ended.status}, no sentences: {ended.err[-800:]}")
    answers = [json.loads(line) for line in ended.out.splitlines()]
    check(len(lines) == len(answers) == pictures, f"{len(lines)} sentences, {len(answers)} answers")
    check(all("score" in answer for answer in answers), "a picture without its answer")
    return lines[-1]


def full_output(shop: Workshop) -> str:
    """`detect --json > results.jsonl` on a full disk."""
    given = (shop.picture, "--model", shop.finished / "checkpoint", "--json")
    said = did(lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), 1), command("detect", *given)).sentence
    check("no room on the disk" in said, said)
    return said


def killed_with_workers(shop: Workshop) -> str:
    """`embed` with two processes is killed; they end with it, and a second run goes on."""
    from benchmarks.stress.load import family

    made, end = shop.copy(shop.before["embed"]), time.monotonic() + 300
    process = Process(command("embed", shop.recipe, made, "--processes", 2))
    while len(family(process.pid)) < 4 and time.monotonic() < end:  # itself, the two, and what counts their resources
        time.sleep(0.02)
    others = family(process.pid)[1:]
    os.kill(process.pid, signal.SIGKILL)
    while left := [pid for pid in others if Path(f"/proc/{pid}").exists()]:
        check(time.monotonic() < end, f"{len(left)} processes live on")
        time.sleep(0.1)
    check(process.wait().status == -signal.SIGKILL and len(others) == 3, "it was not killed in the middle")
    check_whole(made)
    shop.check_goes_on("embed", made)
    return f"{len(others)} processes ended with it, and a second run finished the work"


def read_only_run(shop: Workshop) -> str:
    """`embed` into a folder that may not be written."""
    made = shop.copy(shop.before["embed"])
    made.chmod(0o555)
    said = did(obey_permissions, shop.doing("embed", made)).sentence
    check("may not be written" in said, said)
    return said


def damaged_shard(shop: Workshop) -> str:
    """A shard that another program cut short is named, and made again after it was deleted."""
    made = shop.copy(shop.after["embed"])
    shard = made / "embeddings" / "00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    said = did(shop.doing("train", made)).sentence
    check(shard.name in said, said)
    shard.unlink()
    shop.check_goes_on("embed", made)
    return said


def stale_bank(shop: Workshop) -> str:
    """`train` over an older checkpoint, killed or not: no bank of the older signature beside the new one."""
    other = shop.folder / "other.json"
    other.write_text(json.dumps(shop.settings | {"train": shop.settings["train"] | {"seed": 1}}))
    old = visible(shop.finished)["checkpoint/model.safetensors"]
    for moment in shop.moments(7, 1000):
        made = shop.copy(shop.finished)
        ended = did(partial(die_at, moment, made), command("train", other, made))
        found = visible(made)
        new = found.get("checkpoint/model.safetensors") != old
        check(not new or "checkpoint/reference.safetensors" not in found, "new weights beside the old bank")
        if ended.status == 0:
            break
    check(new, "nothing was trained")
    return "the old bank goes before the new weights come"


def two_embed(shop: Workshop) -> str:
    """Two processes embed into one folder at once."""
    made = shop.copy(shop.before["embed"])
    ends = [process.wait() for process in [Process(shop.doing("embed", made)) for _ in range(2)]]
    check([end.status for end in ends] == [0, 0], "".join(end.err[-400:] for end in ends))
    shop.check_same("embed", made)
    return "both end well, and the shards are those of one"


def without_home(shop: Workshop) -> str:
    """`detect` with a map, which needs fonts, without HOME and with one that can't be."""
    for home in ({}, {"HOME": NOWHERE}):
        maps = shop.new()
        detect = command("detect", shop.picture, "--model", shop.finished / "checkpoint", "--heatmap", maps)
        ended = did(partial(_move, {"HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"}, home), detect)
        check(ended.status == 0 and "Traceback" not in ended.err and list(maps.glob("*.png")), ended.err[-800:])
    return "works"


def _move(gone: set[str], settings: dict[str, str]) -> None:
    for name in gone:
        os.environ.pop(name, None)
    os.environ.update(settings)


# The Hub's cache


class HubUser:
    """`detect` with a model of the Hub's stand-in, under caches of every kind."""

    def __init__(self, shop: Workshop) -> None:
        check("huggingface_hub" not in sys.modules, "the Hub's client has read its settings already")
        self.shop = shop

    def starts(self, hub: StandIn, home: Path, *first: Callable[[], object]) -> Process:
        settings = environment(hub.url, home)
        detect = command("detect", self.shop.picture, "--model", REPO, "--json")
        return Process(partial(_move, set(os.environ), settings), *first, detect)

    def did(self, hub: StandIn, home: Path, *first: Callable[[], object]) -> Ended:
        return self.starts(hub, home, *first).wait()

    @contextlib.contextmanager
    def hub(self) -> Iterator[tuple[StandIn, Path]]:
        """The stand-in with one model, and the place for a cache."""
        with StandIn() as hub:
            hub.publish(REPO, make_checkpoint(self.shop.new() / "tiny"))
            yield hub, self.shop.new() / "home"

    def two(self) -> str:
        with self.hub() as (hub, home):
            one, other = [process.wait() for process in [self.starts(hub, home) for _ in range(2)]]
        check(one.status == other.status == 0 and one.out == other.out != "", one.err[-400:] + other.err[-400:])
        return "both answer, and alike"

    def killed(self) -> str:
        kills = 0
        with self.hub() as (hub, home):
            wanted = self.did(hub, home).out
            for moment in self.shop.moments(8, 20):
                home = self.shop.new() / "home"
                ended = self.did(hub, home, partial(die_at, moment, home))
                again = self.did(hub, home)
                check(again.status == 0 and again.out == wanted != "", f"moment {moment}: {again.err[-800:]}")
                if ended.status == 0:
                    break
                kills += 1
        check(kills, "it was never killed")
        return f"killed at {kills} moments; loaded by a second run each time"

    def read_only(self) -> str:
        with self.hub() as (hub, home):
            home.mkdir()
            home.chmod(0o555)
            said = self.did(hub, home, obey_permissions).sentence
            home.chmod(0o755)
            wanted = self.did(hub, home)
            for path in (home, *home.rglob("*")):
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode & 0o555)
            again = self.did(hub, home, obey_permissions)
        check(again.status == 0 and again.out == wanted.out != "", f"a filled one is not read: {again.err[-800:]}")
        check("cache can't be written" in said, said)
        return said

    def full(self) -> str:
        with self.hub() as (hub, home):
            said = self.did(hub, home, fill_disk).sentence
            again = self.did(hub, home)
        check("no room" in said and again.status == 0, said + again.err[-800:])
        return said

    def no_home(self) -> str:
        with self.hub() as (hub, home):
            said = self.did(hub, home, partial(_move, {"HF_HOME"}, {"HOME": NOWHERE})).sentence
        check("cache can't be written" in said, said)
        return said


# All of them


def faults(shop: Workshop) -> Iterator[Fault]:
    """Every fault by its name."""
    for name in COMMANDS:
        yield f"kill -9 in {name}", partial(killed, shop, name)
    yield "kill -9 in embed with two processes", partial(killed_with_workers, shop)
    for name in COMMANDS:
        yield f"full disk in {name}", partial(full_disk, shop, name)
    yield "full disk under the output of detect", partial(full_output, shop)
    yield "a run folder that may not be written", partial(read_only_run, shop)
    yield "a damaged shard", partial(damaged_shard, shop)
    yield "train over an older checkpoint", partial(stale_bank, shop)
    yield "two processes, one folder of embeddings", partial(two_embed, shop)
    yield "no HOME", partial(without_home, shop)
    user = HubUser(shop)
    yield "two processes, one Hub cache", user.two
    yield "kill -9 in a download", user.killed
    yield "read-only Hub cache", user.read_only
    yield "full disk under the Hub cache", user.full
    yield "no HOME for the Hub cache", user.no_home
    from benchmarks.stress.faults_page import faults as of_page  # with the Hub's client, whose settings are read then

    yield from of_page(shop)


def run_all(folder: Path, quick: bool, only: str = "") -> list[dict[str, Any]]:
    """Each fault with what came of it."""
    torch.set_num_threads(1)
    embed.SHARD, encoder.Plan = 4, partial(encoder.Plan, save_every=2)
    shop, rows = Workshop(folder, quick), []
    for name, do in faults(shop):
        if only not in name:
            continue
        begun, survived = time.monotonic(), True
        try:
            what = do()
        except Exception as error:
            survived, what = False, str(error) if isinstance(error, Wrong) else traceback.format_exc()
        rows.append({"fault": name, "survived": survived, "what": what})
        print(f"{'ok' if survived else 'LOST'}  {name}: {what} ({time.monotonic() - begun:.1f} s)", flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two moments of each command")
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for faults.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = run_all(Path(folder).resolve(), options.quick, options.only)
    text = json.dumps(rows, indent=1) + "\n"
    write_whole(options.out / "faults.json", lambda path: path.write_text(text, "utf-8"))
    lost = sum(not row["survived"] for row in rows)
    print(f"{len(rows)} faults, {lost} not survived")
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
