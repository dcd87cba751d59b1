"""Folder layouts, sources, lots and roles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mdmf_core.errors import DatasetError
from mdmf_core.training.dataset import Entry, Sampler, lot, scan, source_shares, split


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def described(root: Path) -> list[tuple[str, int, str]]:
    return [(entry.key, entry.label, entry.source) for entry in scan(root)]


def test_a_folder_per_generator_with_labels_inside(tmp_path):
    touch(tmp_path, "adm/0_real/a.png", "adm/1_fake/b.jpg", "ldm/1_fake/c.webp", "progan/car/0_real/d.png")
    assert described(tmp_path) == [
        ("adm/0_real/a.png", 0, "adm"),
        ("adm/1_fake/b.jpg", 1, "adm"),
        ("ldm/1_fake/c.webp", 1, "ldm"),
        ("progan/car/0_real/d.png", 0, "progan/car"),
    ]


def test_labels_first_with_sources_inside(tmp_path):
    touch(tmp_path, "real/coco/a.png", "fake/adm/x/b.png", "fake/c.png", "0_real/d.png")
    assert described(tmp_path) == [
        ("0_real/d.png", 0, "all"),
        ("fake/adm/x/b.png", 1, "adm/x"),
        ("fake/c.png", 1, "all"),
        ("real/coco/a.png", 0, "coco"),
    ]


def test_what_is_no_labelled_picture_is_left_out(tmp_path):
    touch(tmp_path, "real/a.png", "real/notes.txt", "real/._a.png", "other/b.png", "c.png", "realistic/d.png")
    (tmp_path / "fake" / "folder.png").mkdir(parents=True)
    assert described(tmp_path) == [("real/a.png", 0, "all")]


def test_a_label_in_the_path_above_the_root_does_not_count(tmp_path):
    root = touch(tmp_path / "real", "fake/adm/a.png")
    assert described(root) == [("fake/adm/a.png", 1, "adm")]


def test_the_order_and_the_keys_do_not_depend_on_the_place(tmp_path):
    names = ("real/b/2.png", "real/a/1.png", "fake/c/3.png")
    first, second = touch(tmp_path / "one", *names), touch(tmp_path / "two", *reversed(names))
    assert described(first) == described(second)
    assert [entry.path.relative_to(first) for entry in scan(str(first))] == [Path(key) for key, *_ in described(first)]


def test_scan_refuses_folders_without_labels(tmp_path):
    with pytest.raises(DatasetError, match="There is no folder"):
        scan(tmp_path / "gone")
    touch(tmp_path, "photos/a.png")
    with pytest.raises(DatasetError, match="No image below"):
        scan(tmp_path)


def test_lots_are_fixed_and_uniform():
    assert lot("real/coco/1.png") == 0.7842502256573093
    lots = np.array([lot(f"key {number}") for number in range(4000)])
    assert ((0 <= lots) & (lots < 1)).all()
    counts = np.histogram(lots, bins=10, range=(0, 1))[0]
    assert counts == pytest.approx(400, abs=100)


def entries(**counts: int) -> list[Entry]:
    """`real_a=3` gives three real entries of source "a"."""
    made = []
    for name, count in counts.items():
        kind, source = name.split("_")
        label = int(kind == "fake")
        made += [Entry(Path(f"/x/{name}/{i}.png"), f"{kind}/{source}/{i}.png", label, source) for i in range(count)]
    return made


def test_whole_sources_take_their_roles():
    given = entries(real_a=200, real_b=20, real_c=10, fake_x=30, fake_y=5, fake_c=7)
    dealt = split(given, test=["y", "b"], validation=["x"], calibration=["c"], calibration_share=0.25)
    assert {entry.source for entry in dealt.test} == {"y", "b"} and len(dealt.test) == 25
    assert {entry.source for entry in dealt.validation} == {"x"} and len(dealt.validation) == 30
    assert all(entry.label == 0 for entry in dealt.calibration)
    assert sum(entry.source == "c" for entry in dealt.calibration) == 10, "its generated ones go nowhere"
    drawn = [entry for entry in dealt.calibration if entry.source == "a"]
    assert drawn == [entry for entry in given if entry.source == "a" and lot(entry.key) < 0.25]
    assert 30 <= len(drawn) <= 70
    everyone = dealt.train + dealt.validation + dealt.calibration + dealt.test
    assert len(everyone) == len(set(everyone)) == len(given) - 7
    assert dealt.train == [entry for entry in given if entry.source == "a" and entry not in drawn]


def test_a_picture_keeps_its_lot_when_others_come():
    few = split(entries(real_a=50), calibration_share=0.3)
    many = split(entries(real_a=80, fake_x=9), calibration_share=0.3)
    assert set(few.calibration) <= set(many.calibration) and set(few.train) <= set(many.train)


def test_everything_is_trained_on_by_default():
    given = entries(real_a=4, fake_x=3)
    assert split(iter(given)).train == given


def test_split_refuses_unknown_and_doubly_named_sources():
    given = entries(real_a=2, fake_x=2)
    with pytest.raises(DatasetError, match="No image comes from: nope, zilch"):
        split(given, test=["nope"], validation=["zilch"])
    with pytest.raises(DatasetError, match="The source a is named for two roles"):
        split(given, test=["a"], calibration=["a"])


def test_source_shares():
    assert source_shares([10, 10], 120, 0.7).tolist() == [0.5, 0.5]
    assert source_shares([100, 1000], 100, 0.7).tolist() == [0.5, 0.5]
    assert source_shares([1, 16], 120, 0.5).tolist() == [0.2, 0.8]


def test_a_sampler_draws_one_class_source_by_source():
    given = entries(real_a=1, real_b=16, fake_x=5)
    sampler = Sampler(given, 0, 120, 0.5, np.random.default_rng(0))
    drawn = sampler.draw(5000)
    assert all(given[index].label == 0 for index in drawn)
    counts = np.bincount(drawn, minlength=len(given))
    assert counts[0] == pytest.approx(1000, abs=150) and counts[1:17] == pytest.approx(250, abs=80)
    again = Sampler(given, 0, 120, 0.5, np.random.default_rng(0)).draw(5000)
    assert drawn == again
    with pytest.raises(DatasetError, match="no generated picture"):
        Sampler(entries(real_a=3), 1, 120, 0.7, np.random.default_rng(0))


def test_sampler_balances_sources() -> None:
    entries = [Entry(Path("x"), f"{i}", 1, "large" if i < 90 else "small") for i in range(100)]
    sampler = Sampler(entries, 1, cap=20, tilt=0.5, rng=np.random.default_rng(0))
    drawn = np.array(sampler.draw(4000))
    wanted = 20**0.5 / (20**0.5 + 10**0.5)
    assert (drawn < 90).mean() == pytest.approx(wanted, abs=0.03)
    with pytest.raises(DatasetError, match="no real picture"):
        Sampler(entries, 0, 20, 0.5, np.random.default_rng(0))
