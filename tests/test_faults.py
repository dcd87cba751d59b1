"""Kills, full disks, missing homes and too little memory: three moments of each command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.stress import fault_process, faults
from mdmf_core import cli
from mdmf_core.detector import NO_MEMORY
from mdmf_core.errors import ImageError
from mdmf_core.training import commands


@pytest.mark.stress
def test_every_fault_is_survived(tmp_path):
    command = [sys.executable, faults.ROOT / "benchmarks" / "stress" / "faults.py", "--quick", "--out", tmp_path]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    rows = json.loads((tmp_path / "faults.json").read_text())
    assert not [row for row in rows if not row["survived"]], ended.stdout
    assert ended.returncode == 0 and len(rows) == 30


def test_half_files_are_noticed(tmp_path):
    save_file({"x": torch.zeros(99)}, tmp_path / "a.safetensors")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    whole = {
        "a.safetensors": (tmp_path / "a.safetensors").read_bytes(),
        "a.png": (tmp_path / "a.png").read_bytes(),
        "a.json": b'{"x": [1, 2, 3]}\n',
        "a.csv": b"x,y\r\n1,2\r\n",
        "a.md": b"# A\n\nwords\n",
    }
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    hidden = tmp_path / ".mdmf-x.part"
    hidden.mkdir()
    (hidden / "b.json").write_text("{")
    fault_process.check_whole(tmp_path)
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
        with pytest.raises(fault_process.Wrong, match=name):
            fault_process.check_whole(tmp_path)
        (tmp_path / name).write_bytes(content)


def test_a_process_is_killed_at_the_moment_that_was_asked_for(tmp_path):
    def killed(moment: int) -> int:
        program = (
            "import sys; from pathlib import Path; sys.path[:0] = sys.argv[1:3]\n"
            "from benchmarks.stress import fault_process; place = Path(sys.argv[3])\n"
            f"fault_process.die_at({moment}, place)\n"
            "(place / 'one').write_text('1'); (place / 'one').read_text(); (place / 'two').write_text('2')"
        )
        root = faults.ROOT
        return subprocess.run([sys.executable, "-c", program, root, root / "tests" / "helpers", tmp_path]).returncode

    assert killed(2) == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert killed(3) == 0 and len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("text", ["", "Traceback (most recent):\nError: x.", "Error: a.\nError: b.", "Error: a"])
def test_what_is_no_sentence_is_noticed(text):
    with pytest.raises(fault_process.Wrong):
        _ = fault_process.Ended(1, "", text).sentence


def allocate(*_: object) -> torch.Tensor:
    return torch.empty(2**60, dtype=torch.uint8)


def gpu(*_: object) -> torch.Tensor:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("embed", [allocate, gpu])
def test_memory_that_is_not_enough_is_the_picture_s_misfortune(detector, photo, monkeypatch, embed):
    monkeypatch.setattr(detector.model.backbone, "embed", embed)
    with pytest.raises(ImageError, match=NO_MEMORY):
        detector.detect(photo)


def test_another_fault_of_the_encoder_is_not_called_memory(detector, photo, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(detector.model.backbone, "embed", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        detector.detect(photo)


@pytest.mark.parametrize(
    "error, words",
    [
        (MemoryError(), "Error: There is not enough memory"),
        (PermissionError(13, "x", "runs"), "Error: runs can't be used: its folder may not be written"),
    ],
)
def test_what_the_machine_lacks_is_one_sentence(monkeypatch, capsys, tmp_path, error, words):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(commands, "read_recipe", fail)
    monkeypatch.setattr(sys, "argv", ["mdmf_core", "embed", "recipe.json", str(tmp_path)])
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().err
    assert said.startswith(words) and said.count("\n") == 1


def test_a_fault_of_the_program_keeps_its_trace(monkeypatch, tmp_path):
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(commands, "read_recipe", fail)
    monkeypatch.setattr(sys, "argv", ["mdmf_core", "embed", "recipe.json", str(tmp_path)])
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main()
