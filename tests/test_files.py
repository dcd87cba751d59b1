"""Whole files or none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mdmf_core import files
from mdmf_core.files import write_whole


def test_a_file_is_written_with_its_folders(tmp_path):
    path = write_whole(str(tmp_path / "a" / "b" / "c.txt"), lambda temporary: temporary.write_text("new"))
    assert path == tmp_path / "a" / "b" / "c.txt" and path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_the_temporary_file_lies_beside_and_is_hidden(tmp_path):
    seen = []
    write_whole(tmp_path / "x.bin", lambda temporary: (seen.append(temporary), temporary.write_bytes(b"1")))
    assert seen[0].parent == tmp_path and seen[0].name.startswith(".") and seen[0].name.endswith(".part")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def half(temporary: Path) -> None:
        temporary.write_text("ha")
        raise error("stop")

    with pytest.raises(error):
        write_whole(path, half)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    write_whole(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "new"


def test_a_failure_leaves_no_file_where_none_was(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_whole(tmp_path / "x.txt", lambda temporary: 1 / 0)
    assert list(tmp_path.iterdir()) == []


def test_a_process_killed_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    program = f"""
import sys, time
from mdmf_core.files import write_whole
def slowly(temporary):
    temporary.write_text("ha")
    print("half", flush=True)
    time.sleep(60)
write_whole({str(path)!r}, slowly)
"""
    root = Path(files.__file__).parent.parent
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert process.stdout.readline() == "half\n"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert path.read_text() == "old"
    write_whole(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "new"
