"""Folders and names on the command line: what is passed over is named, and no name forges a line or ends the run."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typed import run

from mdmf_core.files import short_name
from mdmf_core.images.folder import Passed, pictures
from mdmf_core.texts import one_line

FORGED = "a.jpg: no evidence of generation; score -1.0\nb.png: no evidence of generation; score -1.0\r\x85\u2028c.png"
LONG = "\u6f22" * 83 + ".png"  # 249 bytes and an ending: the longest name that a file may have


@pytest.fixture
def folder(tmp_path, photo) -> Path:
    made = tmp_path / "given"
    (made / "deep").mkdir(parents=True)
    (made / "deep" / "a.png").write_bytes(photo.read_bytes())
    return made


def unreadable(monkeypatch, name: str) -> None:
    """Folders of this name can't be listed, whoever asks; permissions don't stop root."""
    listed = os.scandir

    def scandir(path):
        if os.path.basename(path) == name:
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_everything_that_is_passed_over_is_named(folder, tmp_path, monkeypatch):
    for name in ("noext", "photo.jpg_original", ".hidden.png"):
        (folder / name).write_bytes(b"")
    (folder / "linked").symlink_to(folder / "deep")
    (folder / "gone.png").symlink_to(tmp_path / "nothing")
    (folder / "closed").mkdir()
    os.mkfifo(folder / "pipe.png")
    unreadable(monkeypatch, "closed")
    found, passed = pictures([str(folder)])
    assert found == [str(folder / "deep" / "a.png")]
    named = "was passed over: its name is not that of a picture."
    assert sorted(passed, key=lambda left: left.sentence) == sorted(
        [
            Passed(f"{folder / 'noext'} {named}"),
            Passed(f"{folder / 'photo.jpg_original'} {named}"),
            Passed(f"{folder / '.hidden.png'} {named}"),
            Passed(f"{folder / 'linked'} is a link to a folder and was not followed."),
            Passed(f"{folder / 'gone.png'} is a link to nothing.", unread=True),
            Passed(f"{folder / 'pipe.png'} is no file and can't be read.", unread=True),
            Passed(f"The folder {folder / 'closed'} can't be read; check its permissions.", unread=True),
        ],
        key=lambda left: left.sentence,
    )


def test_files_are_in_order_and_those_named_are_taken_as_they_are(folder):
    (folder / "deep.png").symlink_to(folder / "deep" / "a.png")
    given = [str(folder / "b.txt"), str(folder), "-"]
    assert pictures(given) == ([given[0], str(folder / "deep" / "a.png"), str(folder / "deep.png"), "-"], [])


def test_an_empty_folder_and_one_that_cant_be_read_are_told_apart(tmp_path, monkeypatch):
    assert pictures([str(tmp_path)]) == ([], [Passed(f"The folder {tmp_path} holds no picture.")])
    unreadable(monkeypatch, tmp_path.name)
    sentence = f"The folder {tmp_path} can't be read; check its permissions."
    assert pictures([str(tmp_path)]) == ([], [Passed(sentence, unread=True)])


def test_the_status_is_1_only_where_something_could_not_be_read(checkpoint, folder, monkeypatch, capsys):
    (folder / "noext").write_bytes(b"")
    (folder / "linked").symlink_to(folder / "deep")
    assert run("detect", folder, "--model", checkpoint) == 0
    said = capsys.readouterr()
    assert said.err.count("\n") == 2 and "noext was passed over" in said.err and "linked is a link" in said.err
    assert said.out.count("\n") == 1
    (folder / "closed").mkdir()
    unreadable(monkeypatch, "closed")
    assert run("detect", folder, "--model", checkpoint) == 1
    said = capsys.readouterr()
    assert "closed can't be read" in said.err and said.out.count("\n") == 1


@pytest.mark.parametrize("content", ["picture", "nothing"])
@pytest.mark.parametrize("as_json", [True, False])
def test_a_name_forges_no_line(content, as_json, checkpoint, folder, photo, capsys):
    (folder / FORGED).write_bytes(photo.read_bytes() if content == "picture" else b"")
    (folder / f"{FORGED}.txt").write_bytes(b"")
    run("detect", folder, "--model", checkpoint, *(["--json"] if as_json else []))
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert len(lines) == 2 and len(said.err.splitlines()) == 1
    if as_json:
        assert {json.loads(line)["path"] for line in lines} == {str(folder / FORGED), str(folder / "deep" / "a.png")}
    else:
        assert sum(line.startswith(str(folder / "a.jpg")) for line in lines) == 1


def test_a_name_in_an_error_forges_no_line(checkpoint, photo, tmp_path, capsys):
    assert run("detect", photo, "--model", tmp_path / "none\nError: all is well") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_one_line_keeps_what_can_be_printed():
    assert one_line("ä 漢\x1b[1m\n\t\u202eb") == "ä 漢\ufffd[1m\ufffd\ufffd\ufffdb"


def test_a_map_that_cant_be_written_costs_a_sentence_and_not_the_rest(checkpoint, folder, photo, tmp_path, capsys):
    (folder / "z.png").write_bytes(photo.read_bytes())
    maps = tmp_path / "maps"
    maps.write_text("a file where the folder should be")
    assert run("detect", folder, "--model", checkpoint, "--json", "--heatmap", maps) == 1
    said = capsys.readouterr()
    assert [json.loads(line)["score"] for line in said.out.splitlines()] and said.out.count("\n") == 2
    assert said.err.count("\n") == 2 and said.err.count("is missing: ") == 2 and said.err.endswith(".\n")


def test_long_and_odd_names_of_maps_are_cut_safely(checkpoint, folder, photo, tmp_path):
    for name in (LONG, "b\n\udcff.png"):
        (folder / name).write_bytes(photo.read_bytes())
    assert run("detect", folder, "--model", checkpoint, "--heatmap", tmp_path / "maps") == 0
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert len(names) == 3 and all(len(name.encode()) <= 255 and name.isprintable() for name in names)
    assert names[-1].startswith("\u6f22" * 66 + "-") and names[1].startswith("b\ufffd\ufffd-")


@pytest.mark.parametrize("length", [198, 199, 200, 201])
def test_a_cut_never_splits_a_letter(length):
    stem = "a" * length + "漢字"
    assert stem.startswith(short_name(stem)) and 198 <= len(short_name(stem).encode()) <= 200
    assert short_name("short") == "short"


def test_a_dash_is_one_picture_from_standard_input(checkpoint, photo, tmp_path, monkeypatch, capsys):
    def given(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))

    given(photo.read_bytes())
    assert run("detect", "-", photo, "--model", checkpoint, "--json", "--heatmap", tmp_path / "maps") == 0
    one, other = map(json.loads, capsys.readouterr().out.splitlines())
    assert one.pop("path") == "-" and other.pop("path") == str(photo) and one["score"] == other["score"]
    assert one["origin"] == other["origin"]
    assert {path.name[:8] for path in (tmp_path / "maps").iterdir()} == {"standard", f"photo-{one['sha256'][:2]}"}
    for data in (b"", b"no picture"):
        given(data)
        assert run("detect", "-", "--model", checkpoint) == 1
        assert capsys.readouterr().out.startswith("-: ")
    assert run("detect", "-", "-", "--model", checkpoint) == 1
    assert "give - once" in capsys.readouterr().err


def test_a_file_named_as_a_dash_is_a_file(photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_bytes(photo.read_bytes())
    assert pictures(["./-"]) == (["./-"], [])
