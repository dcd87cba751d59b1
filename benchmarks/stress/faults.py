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
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.path.insert(1, str(Path(sys.path[0]) / "tests" / "helpers"))

import torch
from PIL import Image
from tiny import picture

from benchmarks.speed.measure import ROOT
from benchmarks.stress.fault_process import (
    NOWHERE,
    Ended,
    Process,
    Wrong,
    check,
    check_whole,
    command,
    did,
    die_at,
    fill_disk,
    move_home,
    obey_permissions,
    visible,
)
from benchmarks.stress.faults_hub import HubUser
from mdmf_core import cli  # noqa: F401 (no forked process need import scikit-learn again)
from mdmf_core.files import write_whole
from mdmf_core.training import (
    embed,  # noqa: F401 (no forked process need import scikit-learn again)
    encoder,  # noqa: F401 (no forked process need import scikit-learn again)
)
from mdmf_core.training import signature as signatures  # noqa: F401 (no forked process need import scikit-learn again)

COMMANDS = ("pretrain", "embed", "train", "bank", "evaluate", "detect")

Fault = tuple[str, Callable[[], str]]


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
    from benchmarks.stress.watch import family

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
        ended = did(partial(move_home, {"HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"}, home), detect)
        check(ended.status == 0 and "Traceback" not in ended.err and list(maps.glob("*.png")), ended.err[-800:])
    return "works"


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
        place = Path(folder).resolve()
        rows = run_all(place, options.quick, options.only)
    text = json.dumps(rows, indent=1).replace(str(place), "FOLDER") + "\n"
    write_whole(options.out / "faults.json", lambda path: path.write_text(text, "utf-8"))
    lost = sum(not row["survived"] for row in rows)
    print(f"{len(rows)} faults, {lost} not survived")
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
