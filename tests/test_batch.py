"""Many pictures: hostile archives give sentences, good pictures give rows, tables can't bite."""

from __future__ import annotations

import csv
import io
import json
import stat
import struct
import tracemalloc
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import picture

from mdmf_core.images import archive
from mdmf_core.images.archive import Item, gather
from mdmf_core.run import batch
from mdmf_core.run.batch import Row, adjust, run, to_csv, to_json


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(seed)).save(file, "PNG")
    return file.getvalue()


def pack(path: Path, members: dict | list, method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> Path:
    """A ZIP of names or ready `ZipInfo`s and their bytes; a name may come twice."""
    with zipfile.ZipFile(path, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.comment = comment
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return path


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


def test_rows_of_good_and_bad_pictures(tmp_path, folder, photo, detector):
    members = {"1.png": png(1), "bad.png": b"no picture", "x.txt": b"x", "cut.png": png()[:999]}
    archive = pack(tmp_path / "a.zip", members)
    items = gather([photo, archive, tmp_path / "gone.png"], folder)
    rows = adjust(list(run(detector, items, 0.05)))
    assert [row.name for row in rows] == [item.name for item in items]
    assert [row.error is None for row in rows] == [True, True, False, False, False, False]
    for row, path in ((rows[0], photo), (rows[1], items[1].path)):
        evidence = detector.detect(path, 0.05)
        verdict = evidence.verdict
        assert (row.decision, row.score, row.p_value) == (verdict.decision, verdict.score, verdict.p_value)
        assert row.flagged_share == evidence.maps["evidence"].outlined.sum() / evidence.n_patches
        assert (row.width, row.height, row.n_bytes) == (128, 96, path.stat().st_size)
        assert row.sha256 == evidence.picture.sha256
        assert row.thumbnail.size == (128, 96)
    for row in rows[2:]:
        assert row.error.endswith(".") and "fault in the program" not in row.error
        assert row.p_value is row.q_value is row.score is row.thumbnail is None
    assert "4 files could not be analysed." in batch.summary(rows, 0.05)


def test_large_pictures_have_small_thumbnails(tmp_path, detector):
    path = tmp_path / "large.png"
    Image.fromarray(picture(1, 500, 900)).save(path)
    (row,) = run(detector, [Item("large.png", path)], 0.05)
    assert max(row.thumbnail.size) == batch.THUMBNAIL


def test_pictures_are_analysed_one_by_one_on_demand(photo, detector, monkeypatch):
    seen = []
    whole = detector.detect
    monkeypatch.setattr(detector, "detect", lambda *args, **more: seen.append(1) or whole(*args, **more))
    rows = run(detector, 5 * [Item("a", photo)], 0.05)
    assert seen == []
    next(rows), next(rows)
    assert len(seen) == 2
    rows.close()
    assert len(seen) == 2


def test_a_fault_of_the_program_is_a_row_and_is_logged(photo, detector, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(detector, "detect", fail)
    (row,) = run(detector, [Item("a", photo)], 0.05)
    assert "fault in the program" in row.error and "secret" not in row.error
    assert "A picture of a batch failed." in caplog.text and "RuntimeError" in caplog.text


def test_a_wrong_rate_is_refused_at_once(detector):
    with pytest.raises(ValueError):
        run(detector, [], 0.5)


def test_q_values_by_hand():
    p_values = [0.01, None, 0.04, 0.03, 0.5]
    rows = adjust([Row(str(p), p_value=p, error=None if p else "bad.") for p in p_values])
    found = [row.q_value for row in rows]
    assert found[1] is None
    np.testing.assert_allclose([q for q in found if q], [0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert adjust([]) == []
    assert adjust([Row("x", error="bad.")])[0].q_value is None


def test_q_values_keep_false_alarms_rare():
    """Uniform p-values: q <= 0.1 anywhere in at most about 10% of batches."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        rows = adjust([Row("x", p_value=p) for p in rng.uniform(size=30)])
        hits += any(row.q_value <= 0.1 for row in rows)
    assert 5 <= hits <= 48


GOOD = Row("a.png", "generated", -0.5, 0.01, 0.02, 0.25, 640, 480, 1000, "ab" * 32)


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\uff1d1", '=cmd|"/c calc"!A1']
)
def test_no_formula_in_csv(name):
    for row in (replace(GOOD, name=name), Row("x", error=name)):
        cells = list(csv.reader(io.StringIO(to_csv([row]), newline="")))[1]
        cell = cells[0] if row.error is None else cells[-1]
        assert cell == f"'{name}"


def test_csv_can_be_read_back():
    awkward = replace(GOOD, name='a "b", c\nd.png')
    text = to_csv([awkward, Row("bad.png", error="It is damaged.")])
    first, second = csv.DictReader(io.StringIO(text, newline=""))
    assert list(first) == list(batch.COLUMNS)
    assert first["name"] == awkward.name
    assert float(first["score"]) == -0.5 and float(first["q_value"]) == 0.02 and int(first["width"]) == 640
    assert first["error"] == "" and second["error"] == "It is damaged." and second["score"] == ""


def test_json_has_the_same_figures(detector):
    rows = [GOOD, Row("é.png", error="It is damaged.")]
    facts = batch.facts(detector, 0.05)
    found = json.loads(to_json(rows, facts))
    assert {name: found[name] for name in facts} == facts
    assert facts["fingerprint"] == detector.fingerprint and facts["alpha"] == 0.05
    assert found["rows"] == [row.to_dict() | {"notes": []} for row in rows]
    assert found["rows"][1]["name"] == "é.png"
    with pytest.raises(ValueError):
        to_json([replace(GOOD, score=float("nan"))], facts)


def test_summary_in_words():
    text = batch.summary([GOOD, replace(GOOD, decision="no_evidence")], 0.05)
    assert text == "1 of 2 pictures has p <= 0.05; if all were real, about 0.1 would by chance."
    assert batch.summary([Row("x", error="bad.")], 0.05) == "No picture could be analysed."
