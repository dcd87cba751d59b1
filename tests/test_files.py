"""Whole files or none."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import SafetensorError

from mdmf_core import files
from mdmf_core.errors import WriteError
from mdmf_core.files import write_whole


def test_a_file_is_written_with_its_folders(tmp_path):
    path = write_whole(str(tmp_path / "a" / "b" / "c.txt"), lambda temporary: temporary.write_text("new"))
    assert path == tmp_path / "a" / "b" / "c.txt" and path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_the_temporary_file_lies_beside_and_is_hidden(tmp_path):
    seen = []
    write_whole(tmp_path / "x.bin", lambda temporary: (seen.append(temporary), temporary.write_bytes(b"1")))
    hidden = seen[0].parent
    assert hidden.parent == tmp_path and hidden.name.startswith(".mdmf-") and hidden.name.endswith(".part")
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def half(temporary: Path) -> None:
        temporary.write_text("ha")
        raise error("stop")

    with pytest.raises(error, match="stop"):
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


def test_what_a_killed_process_left_goes_when_it_is_an_hour_old(tmp_path):
    old, new, other = (tmp_path / name for name in (".mdmf-a.part", ".mdmf-b.part", ".other.part"))
    for folder in (old, new, other):
        folder.mkdir()
        (folder / "x.bin").write_bytes(b"half")
    for folder in (old, other):
        os.utime(folder, (time.time() - 4000,) * 2)
    write_whole(tmp_path / "x.bin", lambda temporary: temporary.write_bytes(b"1"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mdmf-b.part", ".other.part", "x.bin"]


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError(errno.ENOSPC, "x"), "there is no room on the disk; make some and try again"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "there is no room on the disk"),
        (OSError(errno.EROFS, "x"), "its folder may not be written; name another or change its permissions"),
        (OSError(errno.EIO, "x"), "Input/output error"),
    ],
)
def test_what_can_not_be_written_is_one_sentence(tmp_path, error, words):
    def fail(temporary: Path) -> None:
        raise error

    with pytest.raises(WriteError) as caught:
        write_whole(tmp_path / "x.txt", fail)
    assert str(caught.value).startswith(f"x.txt can't be written: {words}") and str(caught.value).endswith(".")
    assert str(tmp_path) not in str(caught.value) and not list(tmp_path.iterdir())


def test_two_threads_write_one_file_and_one_of_them_is_kept_whole(tmp_path):
    """The temporary files of the same process are as different as those of two."""
    path = tmp_path / "x.txt"

    def outer(temporary: Path) -> None:
        temporary.write_text("outer")
        write_whole(path, lambda other: other.write_text("inner"))
        assert path.read_text() == "inner"

    write_whole(path, outer)
    assert path.read_text() == "outer" and [one.name for one in tmp_path.iterdir()] == ["x.txt"]
