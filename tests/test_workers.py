"""Worker processes: results in order and the same as without them; deaths and Ctrl-C end well."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny import picture
from typed import run

from mdmf_core.run import workers
from mdmf_core.training import embed as step
from mdmf_core.training.dataset import scan

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for index in range(16):
        folder = root / ("0_real", "1_fake")[index % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture(index, 96 + 5 * index)).save(folder / f"{index}.png")
    (root / "0_real" / "8.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return root


def doubled(folder: Path, item: int) -> int:
    """Twice the item; 5 kills its process always, 11 the first time."""
    once = folder / "once"
    if item == 5 or (item == 11 and not once.exists()):
        once.touch() if item == 11 else None
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * item


def pages_fetched(rounds: int) -> int:
    """Page faults of making five blocks of 10 MB and freeing them, `rounds` times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        blocks = [torch.ones(2_500_000) for _ in range(5)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.stress
def test_a_process_keeps_the_memory_that_it_freed():
    first, second = workers.run(pages_fetched, [20, 20], 2)
    assert min(first, second) < 60_000, "all pages anew would be 240,000"


@pytest.mark.stress
def test_a_death_costs_one_result_at_most_and_nothing_runs_far_ahead(tmp_path: Path) -> None:
    taken: list[int] = []
    items = (taken.append(number) or number for number in range(40))
    results = workers.run(partial(doubled, tmp_path), items, 2)
    assert next(results) == 0 and len(taken) == 2 * workers.AHEAD
    found = [0, *results]
    assert [result for number, result in enumerate(found) if number != 5] == [2 * n for n in range(40) if n != 5]
    assert isinstance(found[5], workers.Died) and found[5].item == 5 and str(found[5]).endswith("memory for it.")


def test_no_process_is_no_choice() -> None:
    with pytest.raises(ValueError, match="at least 1, not -1"):
        next(workers.run(abs, [1], -1))


@pytest.mark.stress
def test_two_processes_write_the_same_bytes(detector, data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(step, "SHARD", 12)
    model, made = detector.model, []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        failures = step.embed(scan(data), out, model.backbone, model.geometry, ("as_is", "alike"), 0, processes)
        assert [failure["key"] for failure in failures] == 2 * ["0_real/8.png"]
        made.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert len(made[0]) == 4 and made[0] == made[1]


@pytest.mark.stress
def test_ctrl_c_ends_all_processes_at_once(checkpoint: Path, data: Path, capsys) -> None:
    assert run("detect", data, "--model", checkpoint, "--json") == 1
    wanted = capsys.readouterr().out.splitlines()
    assert sum("error" in json.loads(line) for line in wanted) == 1
    command = [sys.executable, "-m", "mdmf_core", "detect", *[data] * 500, "--model", checkpoint, "--json"]
    process = subprocess.Popen(
        [*map(str, command), "--processes", "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        start_new_session=True,
    )
    assert [process.stdout.readline().rstrip("\n") for _ in wanted] == wanted
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.endswith("Interrupted; what was finished is kept.\n") and "Traceback" not in said
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("A worker process is still there.")
