"""Imports run one way, and what is installed is all there is."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_imports_run_one_way():
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_has_more_than_350_lines_and_no_function_more_than_40():
    folders = ("mdmf_core", "mdmf_app", "benchmarks", "tests", ".ci")
    files = [ROOT / "app.py", *(path for name in folders for path in (ROOT / name).rglob("*.py"))]
    texts = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in files}
    assert len(texts) > 300
    long = [name for name, text in texts.items() if len(text.splitlines()) > 350]
    for name, text in texts.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 40:
                long.append(f"{name}: {node.name}")
    assert long == []


def test_every_package_is_installed():
    written = re.search(
        r"^packages = (\[.*?\])", (ROOT / "pyproject.toml").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    listed = set(ast.literal_eval(written[1]))
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for name in ("mdmf_core", "mdmf_app")
        for path in (ROOT / name).rglob("__init__.py")
    }
    assert listed == found | {"mdmf_core._assets.bundled", "mdmf_app._examples"}


def test_importing_the_core_takes_no_time_and_its_names_are_there():
    program = (
        "import sys, time; start = time.process_time(); import mdmf_core; took = time.process_time() - start\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "from mdmf_core import Detector, Evidence, MDMFError, read\n"
        "assert 'gradio' not in sys.modules and all((Detector, Evidence, MDMFError, read))\n"
        "print(took)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.1


@pytest.mark.parametrize("asked", [{}, {"GOMP_SPINCOUNT": "7000"}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_threads_wait_as_is_best_beside_other_programs_unless_somebody_chose_another_way(asked):
    free = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    program = [sys.executable, "-c", "from mdmf_core import Detector; Detector"]
    told = free | {"OMP_DISPLAY_ENV": "VERBOSE"} | asked
    done = subprocess.run(program, cwd=ROOT, env=told, capture_output=True, text=True, check=True)
    expected = asked or {"GOMP_SPINCOUNT": "5000"}
    assert all(f"{name} = '{value}'" in done.stderr for name, value in expected.items()), done.stderr
    assert ("GOMP_SPINCOUNT = '5000'" in done.stderr) == (not asked)
