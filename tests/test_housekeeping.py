"""Memory, messages and files that nobody needs any more go."""

from __future__ import annotations

import os
import time
from pathlib import Path

from asked import join, numbers, wait_for

from mdmf_app.server import housekeeping, start
from mdmf_app.server import place as place_of_files


def test_freed_memory_goes_back():
    def mebibytes() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

    blocks = [bytearray(b"x" * 60_000) for _ in range(4_000)]
    pins = blocks[::500]
    del blocks
    before = mebibytes()
    housekeeping.give_back()
    assert before - mebibytes() > 100 and len(pins) == 8


def test_answers_that_nobody_reads_go(web, demo):
    assert join(web, numbers(demo, "describe")[0], [None, 0.05], "unread").status_code == 200
    assert wait_for(lambda: len(demo._queue.pending_messages_per_session["unread"]._queue) >= 2)
    seen = housekeeping.forget_unread(demo, {})
    assert "unread" in housekeeping.forget_unread(demo, {}) and "unread" in housekeeping.forget_unread(demo, seen)
    assert "unread" not in demo._queue.pending_messages_per_session
    assert "unread" not in demo._queue.pending_event_ids_session


def test_forgotten_files_go(tmp_path):
    names = ("tmpold", f"{'a' * 64}/old.png", f"{'b' * 64}/kept.png", "mdmf-files-other/old.png")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ("c" * 32)).mkdir()
    kept = {str(tmp_path / names[2])}
    housekeeping.sweep(tmp_path, kept, time.time() - 100)
    assert all((tmp_path / name).exists() for name in (*names, "c" * 32))
    housekeeping.sweep(tmp_path, kept, time.time() + 100)
    assert {path.name for path in tmp_path.iterdir()} == {"b" * 64, "mdmf-files-other"}


def test_files_lie_in_a_folder_of_this_process_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {"GRADIO_TEMP_DIR": str(tmp_path)})
    monkeypatch.setattr(start.atexit, "register", lambda *_, **__: None)
    killed, alive = tmp_path / f"{place_of_files.PREFIX}killed", tmp_path / f"{place_of_files.PREFIX}alive"
    for folder, age in ((killed, 2 * place_of_files.STALE), (alive, 0)):
        folder.mkdir()
        os.utime(folder, (time.time() - age,) * 2)
    start.prepare()
    assert place_of_files.folder().parent == tmp_path and place_of_files.folder().stat().st_mode & 0o077 == 0
    assert not killed.exists() and alive.exists()
