"""Decoder processes: the same pictures and sentences as without them; what goes wrong costs one request."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import decoders
import films
import gradio as gr
import numpy as np
import pytest
from bad_files import encoded, scene
from PIL import Image

import app
from mdmf_app.context import Context
from mdmf_app.tabs import many
from mdmf_app.tabs.one import handlers, layout
from mdmf_core.errors import ImageError
from mdmf_core.images import clip, isolated, origin, reader
from mdmf_core.images.isolated import Pool
from mdmf_core.images.origin import said

ROOT = Path(__file__).resolve().parent.parent
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory and files")


@pytest.fixture(scope="module")
def pool() -> Pool:
    """One process that does as it is told."""
    return Pool(decoders.obey, 1, 30)


def order(pool: Pool, what: str, *more: str) -> dict:
    return pool.ask({"do": what, "with": more})[0]


def contents(found: reader.Picture | said.Provenance) -> dict:
    return {field.name: getattr(found, field.name) for field in fields(found) if field.name != "pixels"}


# The same as without


def test_every_file_gives_the_same_picture_or_sentence(bad, tmp_path):
    (tmp_path / "good_\udcff\u202e.png").write_bytes(encoded(Image.fromarray(scene()), "PNG"))
    formats, sentences = set(), set()
    for path in [*bad.values(), *tmp_path.iterdir(), tmp_path, tmp_path / "none.png", tmp_path / "null\0.png"]:
        try:
            wanted = reader.read(path)
        except ImageError as error:
            with pytest.raises(ImageError) as raised:
                isolated.read(path)
            assert str(raised.value) == str(error), path.name
            sentences.add(str(error))
        else:
            found = isolated.read(path)
            assert np.array_equal(found.pixels, wanted.pixels) and contents(found) == contents(wanted), path.name
            assert found.pixels.flags.writeable and found.pixels.flags.c_contiguous
            formats.add(found.format)
    assert formats == {"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"} and len(sentences) > 20


def test_the_least_side_is_the_callers(photo):
    assert isolated.read(photo, 96).height == 96
    with pytest.raises(ImageError, match="at least 97 x 97 are needed"):
        isolated.read(photo, 97)


def test_a_path_is_read_from_where_the_caller_stands(photo, tmp_path, monkeypatch):
    isolated.read(photo, 96)  # a process stands where it was started
    (tmp_path / "here.png").write_bytes(photo.read_bytes())
    films.clip(tmp_path / "here.mp4", n=2)
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(isolated.read("here.png", 96).pixels, reader.read(photo, 96).pixels)
    assert clip.look("here.mp4", 96).n_frames == 2
    seen = reader.read(photo, 96)
    assert isolated.read_provenance("here.png", seen) == origin.read_provenance(photo, seen)


def test_origin_is_the_same(ai_png, trust, monkeypatch, tmp_path):
    (tmp_path / "signed.png").write_bytes(ai_png)
    exif = Image.Exif()
    exif[0x010F], exif[0x0131] = "Maker", "Midjourney"
    (tmp_path / "camera.jpg").write_bytes(encoded(Image.fromarray(scene()), "JPEG", exif=exif))
    for path in tmp_path.iterdir():
        seen = reader.read(path)
        for trusted in ("", str(trust)):
            monkeypatch.setenv("MDMF_C2PA_TRUST", trusted)
            found = isolated.read_provenance(path, seen)
            assert found == origin.read_provenance(path, seen)
            assert found.c2pa.state == ("valid" if trusted else "untrusted_signer") if found.c2pa else found.generator


# What goes wrong


@pytest.mark.parametrize("how", ["burn", "wait", "stick"])
def test_a_stuck_process_is_replaced(how, tmp_path):
    pool = Pool(decoders.obey, 1, 0.5)
    first = order(pool, "nothing")["pid"]
    with pytest.raises(ImageError, match="took too long to decode"):
        order(pool, how, str(tmp_path), "stuck")
    assert order(pool, "nothing")["pid"] != first and not is_running(first)


def test_a_slow_machine_takes_nothing_from_the_deadline(tmp_path):
    """A process that waits for longer than its deadline, as it does for a busy processor, ends its work."""
    pool = Pool(decoders.obey, 1, 1)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(order, pool, "wait", str(tmp_path), "slow")
        process = waiting(tmp_path, "slow")
        time.sleep(2)
        (tmp_path / "end").touch()
        assert answer.result()["pid"] == process


def test_a_crash_costs_one_request(pool):
    first = order(pool, "nothing")["pid"]
    with pytest.raises(ImageError, match="brought the decoder down"):
        order(pool, "crash")
    assert order(pool, "nothing")["pid"] != first


def test_a_process_that_died_while_idle_costs_nothing(pool):
    first = order(pool, "nothing")["pid"]
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert order(pool, "nothing")["pid"] != first


def test_a_killed_process_takes_no_other_request_with_it(tmp_path):
    pool = Pool(decoders.obey, 2, 60)
    with ThreadPoolExecutor(2) as threads:
        good, bad = (threads.submit(order, pool, "wait", str(tmp_path), name) for name in ("good", "bad"))
        os.kill(waiting(tmp_path, "bad"), signal.SIGKILL)
        with pytest.raises(ImageError, match="brought the decoder down"):
            bad.result()
        with pytest.raises(ImageError, match="brought the decoder down"):
            order(pool, "crash")
        assert not good.done()
        (tmp_path / "end").touch()
        assert good.result()["pid"] == waiting(tmp_path, "good")


def waiting(folder: Path, name: str) -> int:
    """The process that waits there."""
    while not (found := list(folder.glob(f"{name}-*"))):
        time.sleep(0.02)
    return int(found[0].name.split("-")[1])


def test_a_fault_of_ours_is_logged_and_costs_no_process(pool, caplog):
    first = order(pool, "nothing")["pid"]
    with pytest.raises(RuntimeError, match="A decoder process failed"):
        order(pool, "fail", "secret.png")
    assert re.search(r"isolated.py:\d+ in _answer; decoders.py:\d+ in obey; ValueError$", caplog.text.strip())
    assert "secret" not in caplog.text
    assert order(pool, "nothing")["pid"] == first


def test_what_libraries_print_reaches_neither_log_nor_answer(pool, capfd):
    order(pool, "print")
    assert capfd.readouterr() == ("", "")


def test_a_process_that_does_not_start_is_a_sentence(monkeypatch):
    pool = Pool(decoders.obey, 1, 30)
    with monkeypatch.context() as patched:
        for program in ("/nowhere/python", "/bin/false"):
            patched.setattr(sys, "executable", program)
            with pytest.raises(ImageError, match="no decoder could be started; try again"):
                order(pool, "nothing")
    assert order(pool, "nothing")["pid"]


def test_origin_that_can_not_be_read_is_a_note(photo, monkeypatch):
    monkeypatch.setattr(isolated, "_pool", Pool(decoders.crash, 1, 30))
    seen = reader.Picture(np.zeros((1, 1, 3), np.uint8), "0" * 64, "PNG", 1, {"Make": "Maker"}, (), "photo.png")
    found = isolated.read_provenance(photo, seen)
    assert found.camera == {"Make": "Maker"} and found.notes == (isolated.NO_ORIGIN,)


# What a process may do


def test_a_process_is_small_and_deaf_to_ctrl_c(pool):
    first = order(pool, "nothing")
    os.kill(first["pid"], signal.SIGINT)
    assert order(pool, "nothing")["pid"] == first["pid"]
    assert not {"torch", "gradio", "scipy", "matplotlib"} & set(first["modules"])
    assert {"pillow_heif", "c2pa", "PIL.AvifImagePlugin"} <= set(first["modules"])


@LINUX
def test_memory_and_files_are_limited(pool, tmp_path):
    with pytest.raises(ImageError, match="not enough memory"):
        order(pool, "allocate")
    with pytest.raises(RuntimeError):
        order(pool, "write", str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == b""
    status = Path(f"/proc/{order(pool, 'nothing')['pid']}/limits").read_text()
    assert [line.split()[4:6] for line in status.splitlines() if "core file" in line] == [["0", "0"]]


@LINUX
def test_nothing_is_left_behind(photo, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    pool = Pool(isolated.work, 1, 30)
    request = {"path": str(photo), "min_side": 32}
    mine = [sorted(os.listdir("/proc/self/fd")) for _ in range(3) if pool.ask(request)]
    decoder = pool._places.queue[0]._process.pid
    theirs = {os.readlink(f"/proc/{decoder}/fd/{number}") for number in os.listdir(f"/proc/{decoder}/fd")}
    assert mine[0] == mine[1] == mine[2] and all(name == "/dev/null" or name.startswith("pipe:") for name in theirs)
    maps = Path(f"/proc/{decoder}/maps").read_text()
    assert "/dev/shm" not in maps and str(tmp_path) not in maps and list(tmp_path.iterdir()) == []


PARENT = """
import os, sys, threading, time
import decoders
from mdmf_core.images.isolated import Pool
folder, first, second = sys.argv[1:]
pool = Pool(decoders.obey, 3, 1)
def ask(do, *more):
    threading.Thread(target=pool.ask, args=({"do": do, "with": more},), daemon=True).start()
for name in "abc":
    ask("wait", first, name)
while len(os.listdir(first)) < 3:
    time.sleep(0.02)
os.mkdir(f"{first}/end")
while pool._places.qsize() < 3:
    time.sleep(0.02)
if os.fork():
    ask("wait", second, "waiting")
    ask("stick", second, "stuck")
time.sleep(60)
"""


@pytest.mark.stress
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to fork")
def test_processes_end_with_a_killed_parent(tmp_path):
    """One that waits, one that is stuck, one that is idle; a forked worker keeps their pipes open, as on ZeroGPU."""
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "helpers")))}
    command = [sys.executable, "-c", PARENT, str(tmp_path), str(first), str(second)]
    parent = subprocess.Popen(command, env={**os.environ, **paths}, start_new_session=True)
    try:
        waiting(second, "waiting"), waiting(second, "stuck")
        processes = [waiting(first, name) for name in "abc"]
        assert all(map(is_running, processes))
        parent.kill()
        parent.wait()
        end = time.monotonic() + 120  # a busy machine
        while any(map(is_running, processes)):
            assert time.monotonic() < end, "A decoder process is still there."
            time.sleep(0.1)
    finally:
        os.killpg(parent.pid, signal.SIGKILL)  # the worker, and on failure all of them


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


# The app


def test_the_page_decodes_no_file_in_its_own_process(detector, photo, monkeypatch, tmp_path):
    def refuse(*_):
        raise AssertionError("read in the page's own process")

    demo, context = app.build(detector), Context(detector)
    monkeypatch.setattr(reader, "_from_bytes", refuse)
    monkeypatch.setattr(origin, "_load", refuse)
    called, path = {fn.api_name: fn.fn for fn in demo.fns.values()}, str(photo)
    result = handlers.analyse(context, path, 0.05, None, None)[0]
    assert result.whole.evidence.verdict.score == called["analyze"](path)[1]["score"]
    assert "Nothing in this file" in handlers.show_origin(result)
    *_, page, data = handlers.make_report(context, tmp_path, result, None, 0.05)
    assert Path(page["value"]).exists() and Path(data["value"]).exists()
    assert called["batch"]([path])[0]["rows"][0]["error"] is None
    assert "could not" not in list(many.work(context, str(tmp_path), None, [path], 0.05, None))[-1][0]


def test_the_page_opens_no_photo_of_the_camera_either(context, tmp_path):
    (tmp_path / "photo.png").write_text("no picture")
    with gr.Blocks():
        camera = layout.sources().camera
    assert camera.preprocess(camera.data_model(path=str(tmp_path / "photo.png"))) == str(tmp_path / "photo.png")
    assert camera.preprocess(None) is None
