"""What is unpacked from an archive, and what is refused."""

from __future__ import annotations

import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packed import pack, png

from mdmf_core.images import archive
from mdmf_core.images.archive import Item, gather


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def errors(items: list[Item]) -> dict[str, str]:
    return {item.name: item.error for item in items if item.error}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_files_and_archives_in_order(tmp_path, folder, photo):
    archive = pack(tmp_path / "more.ZIP", {"a/": b"", "a/1.png": png(1), "2.png": png(2), "plain": png(3)})
    items = gather([photo, archive, photo], folder)
    assert [item.name for item in items] == [
        "photo.png",
        "more.ZIP/a/1.png",
        "more.ZIP/2.png",
        "more.ZIP/plain",
        "photo.png (2)",
    ]
    assert errors(items) == {}
    assert [item.path.read_bytes() for item in items[1:4]] == [png(1), png(2), png(3)]
    assert all(item.path.parent == folder for item in items[1:4])


def test_a_folder_that_is_not_empty_is_left_as_it_was(tmp_path, folder):
    folder.mkdir()
    for number in range(3):
        (folder / f"{number:04d}.png").write_bytes(b"mine")
    items = gather([pack(tmp_path / "a.zip", {"0.png": png(), "1.png": png()})], folder)
    assert errors(items) == {} and len(files_in(folder)) == 5
    assert [(folder / f"{number:04d}.png").read_bytes() for number in range(3)] == 3 * [b"mine"]


@pytest.mark.parametrize(
    "name", ["../out.png", "a/../../out.png", "/etc/out.png", "..\\..\\out.png", "C:\\out.png", "\\\\host\\out.png"]
)
def test_names_that_lead_outside(tmp_path, folder, name):
    before = set(tmp_path.rglob("*"))
    archive = pack(tmp_path / "a.zip", {name: png(), "good.png": png()})
    items = gather([archive], folder)
    assert "outside the archive" in items[0].error
    assert items[1].path.read_bytes() == png()
    assert set(tmp_path.rglob("*")) - before == {archive, folder, items[1].path}


def test_links_and_devices(tmp_path, folder):
    members = []
    for name, kind in (("link.png", stat.S_IFLNK), ("pipe.png", stat.S_IFIFO), ("device.png", stat.S_IFBLK)):
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16
        members.append((info, b"/etc/passwd"))
    items = gather([pack(tmp_path / "a.zip", members)], folder)
    assert all("link or a device" in item.error for item in items) and len(items) == 3
    assert files_in(folder) == []


def test_litter_is_passed_over(tmp_path, folder):
    litter = ["__MACOSX/._1.png", "a/.DS_Store", ".hidden/1.png", "._1.png", "Thumbs.db", "x/desktop.ini", "empty/"]
    items = gather([pack(tmp_path / "a.zip", {**dict.fromkeys(litter, b"x"), "1.png": png()})], folder)
    assert [item.name for item in items] == ["a.zip/1.png"]


def test_what_is_no_picture_is_a_sentence(tmp_path, folder):
    inner = pack(tmp_path / "inner.zip", {"1.png": png()}).read_bytes()
    archive = pack(tmp_path / "a.zip", {"inner.zip": inner, "x.tar": b"x", "notes.txt": b"x", "run.exe": b"x"})
    found = errors(gather([archive], folder))
    assert len(found) == 4 and files_in(folder) == []
    assert "inside an archive" in found["a.zip/inner.zip"] and "inside an archive" in found["a.zip/x.tar"]
    assert "not a picture" in found["a.zip/notes.txt"] and "not a picture" in found["a.zip/run.exe"]


def test_a_password(tmp_path, folder):
    data = bytearray(pack(tmp_path / "a.zip", {"1.png": png()}).read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert "password" in gather([tmp_path / "a.zip"], folder)[0].error
    assert files_in(folder) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_whose_memory_has_no_limit_is_refused(tmp_path, folder, method):
    assert "unusual way" in gather([pack(tmp_path / "a.zip", {"1.png": png()}, method)], folder)[0].error
    assert "unusual way" not in str(errors(gather([pack(tmp_path / "b.zip", {"1.png": png()}, 0)], folder)))


def test_names_that_come_twice_keep_their_own_content(tmp_path, folder):
    items = gather([pack(tmp_path / "a.zip", [("1.png", png(1)), ("1.png", png(2)), ("1.png (2)", png(3))])], folder)
    assert [item.name for item in items][:2] == ["a.zip/1.png", "a.zip/1.png (2)"]
    assert len({item.name for item in items}) == 3
    assert [item.path.read_bytes() for item in items[:2]] == [png(1), png(2)]


def test_hostile_names_are_plain(tmp_path, folder):
    items = gather([pack(tmp_path / "a.zip", {"x\u202egpj.\x1b[31m\n" + 900 * "y" + ".png": png()})], folder)
    assert items[0].name.isprintable() and len(items[0].name) <= 210
    assert items[0].path.read_bytes() == png()


def test_a_member_that_unpacks_too_large_is_stopped(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 3 * 2**20)
    items = gather([pack(tmp_path / "a.zip", {"bomb.png": bytes(2**24), "1.png": png()})], folder)
    assert "larger than 3 MiB" in items[0].error
    assert [path.read_bytes() for path in files_in(folder)] == [png()]


def test_a_size_that_lies_is_not_believed(tmp_path, folder, monkeypatch):
    """Header and directory say 10 bytes; the stream holds 16 MiB."""
    monkeypatch.setattr(archive, "MAX_BYTES", 3 * 2**20)
    path = pack(tmp_path / "a.zip", {"bomb.png": bytes(2**24)})
    data = bytearray(path.read_bytes())
    small = struct.pack("<I", 10)
    data[22:26] = small
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = small
    path.write_bytes(data)
    found = gather([path], folder)
    assert "damaged" in found[0].error or found[0].path.stat().st_size <= 10
    assert sum(file.stat().st_size for file in files_in(folder)) <= 10


def test_the_total_is_limited_and_waste_counts(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(archive, "MAX_TOTAL", 5 * 2**20)
    monkeypatch.setattr(archive, "MAX_BYTES", 2 * 2**20)
    reads = []
    whole = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n: reads.append(len(d := whole(self, n))) or d)
    packed = [
        pack(tmp_path / f"{k}.zip", {f"{n}.png": bytes((2 - n % 2) * 3 * 2**19) for n in range(10)}) for k in range(2)
    ]
    found = gather(packed, folder)
    assert len(found) == 20 and "more than 5 MiB" in found[-1].error
    assert sum(reads) <= 5 * 2**20 + 20 * archive.CHUNK
    assert sum(file.stat().st_size for file in files_in(folder)) <= 5 * 2**20


def test_overlapping_members_count_each_time(tmp_path, folder, monkeypatch):
    """Many entries of the directory that point at one stream."""
    monkeypatch.setattr(archive, "MAX_TOTAL", 4 * 2**20)
    path = pack(tmp_path / "a.zip", {"1.png": bytes(2**20)})
    data = path.read_bytes()
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry = data[start:end]
    tail = data[end : end + 8] + struct.pack("<HHII", 50, 50, 50 * len(entry), start) + b"\0\0"
    path.write_bytes(data[:start] + 50 * entry + tail)
    found = gather([path], folder)
    assert len(found) == 50
    assert sum(file.stat().st_size for file in files_in(folder)) <= 4 * 2**20


def test_a_huge_directory_is_not_read(tmp_path, folder):
    path = tmp_path / "a.zip"
    size = 40 * 2**20
    with open(path, "wb") as file:
        file.write(b"PK\3\4")
        file.truncate(size)
        file.seek(size)
        file.write(b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 60_000, 60_000, size - 4, 4, 0))
    tracemalloc.start()
    found = gather([path], folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "far too many files" in found[0].error
    assert peak < 12 * 2**20


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "picture", "missing", "folder", "no member", "litter"])
def test_archives_that_are_none(tmp_path, folder, kind):
    path = tmp_path / "a.zip"
    whole = pack(path, {} if kind == "no member" else {".DS_Store": b""} if kind == "litter" else {"1.png": png()})
    contents = {"empty": b"", "text": b"hello", "cut": whole.read_bytes()[:-30], "picture": png()}
    if kind in ("missing", "folder"):
        path.unlink()
    if kind == "folder":
        path.mkdir()
    if kind in contents:
        path.write_bytes(contents[kind])
    (item,) = gather([path], folder)
    assert item.path is None and item.error.endswith(".") and item.name == "a.zip"
    assert ("no pictures in it" in item.error) == (kind in ("no member", "litter"))


def test_a_comment_does_not_matter(tmp_path, folder):
    assert errors(gather([pack(tmp_path / "a.zip", {"1.png": png()}, comment=b"hello" * 500)], folder)) == {}


def test_broken_members_leave_nothing_behind(tmp_path, folder):
    path = pack(tmp_path / "a.zip", {"1.png": png(1), "2.png": png(2)})
    data = bytearray(path.read_bytes())
    data[200:300] = bytes(100)
    path.write_bytes(data)
    found = gather([path], folder)
    assert "damaged" in found[0].error
    assert [file.read_bytes() for file in files_in(folder)] == [png(2)]


def test_random_damage_never_raises(tmp_path, folder):
    rng = np.random.default_rng(3)
    whole = pack(tmp_path / "a.zip", {f"{n}.png": bytes(300) for n in range(4)}).read_bytes()
    for number in range(150):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            data[place] = rng.integers(256)
        (tmp_path / "b.zip").write_bytes(data)
        for item in gather([tmp_path / "b.zip"], folder / str(number)):
            assert (item.path is None) == bool(item.error)
    assert all(folder in file.parents for file in set(tmp_path.rglob("*.png")))


def test_the_rest_is_counted(tmp_path, folder, photo):
    archive = pack(tmp_path / "a.zip", {f"{n}.png": b"x" for n in range(6)})
    items = gather([photo, archive, photo, archive, photo], folder, most=4)
    assert [item.name for item in items[:4]] == ["photo.png", "a.zip/0.png", "a.zip/1.png", "a.zip/2.png"]
    assert len(items) == 5 and len(files_in(folder)) == 3
    assert items[4].name == "6 more" and "Only the first 4 are taken; 6 were left out." == items[4].error
    assert len(gather(4 * [photo], folder, most=4)) == 4
