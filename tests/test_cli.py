"""The contract of `detect` on which other programs rely, and its manners with bad files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typed import run

ROOT = Path(__file__).resolve().parent.parent
KEYS = {
    "path", "sha256", "width", "height", "score", "statistic", "mmd2", "p_value", "decision", "alpha",
    "n_calibration", "model", "n_patches", "patches",
}  # fmt: skip


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "mdmf_core", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )


def test_json_is_the_contract_and_nothing_else(checkpoint: Path, photo: Path, tmp_path: Path, capsys) -> None:
    ended = command("detect", photo, "--model", checkpoint, "--json", "--heatmap", tmp_path / "maps")
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stdout.splitlines()
    found = json.loads(line)
    assert found.keys() >= KEYS
    assert found["decision"] in ("generated", "inconclusive", "no_evidence")
    assert found["patches"][0].keys() == {"x", "y", "w", "h", "evidence", "witness", "p_value", "flagged"}
    assert abs(sum(p["evidence"] for p in found["patches"]) - found["score"]) <= 1e-5 * max(1, abs(found["score"]))
    assert [path.suffix for path in (tmp_path / "maps").iterdir()] == [".png"]
    assert run("detect", photo, "--model", checkpoint, "--json") == 0 and capsys.readouterr().out == ended.stdout


def test_bad_files_are_sentences_and_the_others_go_on(checkpoint: Path, photo: Path, bad: dict, capsys) -> None:
    files = [*bad.values()]
    assert len(files) >= 40
    assert run("detect", *files, photo, "--model", checkpoint, "--json", "--processes", "1") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in lines] == [str(path) for path in [*files, photo]]
    for line in lines:
        assert line.keys() == {"path", "error"} or line.keys() >= KEYS
        if "error" in line:
            assert line["error"].endswith(".") and "Traceback" not in line["error"]
            assert str(files[0].parent) not in line["error"]
    assert "score" in lines[-1]


def test_a_folder_is_searched_for_pictures(checkpoint: Path, photo: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.png").write_bytes(photo.read_bytes())
    (tmp_path / "notes.txt").write_text("not a picture")
    assert run("detect", tmp_path, "--model", checkpoint, "--json") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("alpha", ["0", "0.5", "-1", "nan"])
def test_an_impossible_alpha_is_refused(alpha: str, checkpoint: Path, photo: Path, capsys) -> None:
    assert run("detect", photo, "--model", checkpoint, "--alpha", alpha) == 1
    assert "false-alarm rate" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_one_sentence(photo: Path, tmp_path: Path, capsys) -> None:
    assert run("detect", photo, "--model", tmp_path / "nothing") == 1
    said = capsys.readouterr()
    assert said.out == "" and "There is no folder" in said.err and said.err.count("\n") == 1


def test_help_imports_no_torch() -> None:
    code = "import sys, mdmf_core.cli; sys.exit('torch' in sys.modules or 'gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_ctrl_c_leaves_whole_files(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time; from mdmf_core.files import write_whole\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background starts with it ignored
        "def slow(path):\n"
        "    path.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
        "write_whole(sys.argv[1], slow)"
    )
    target = tmp_path / "result.json"
    target.write_text("old and whole")
    process = subprocess.Popen([sys.executable, "-c", code, target], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGINT)
    process.wait(timeout=120)
    assert target.read_text() == "old and whole"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
