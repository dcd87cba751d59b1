"""The load test, a few seconds of it: twelve people, each answer right, a burst that is turned away in part."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.stress import load, people, watch

pytestmark = pytest.mark.stress


@pytest.fixture(scope="module")
def found(checkpoint, tmp_path_factory) -> dict:
    """What a short run with small pictures found."""
    return load.run(tmp_path_factory.mktemp("load"), 0.1, 12, sizes=False, every=0.5, MDMF_MODEL=str(checkpoint))


def test_nothing_is_lost_and_nothing_is_wrong(found):
    assert not found["faults"] and found["failed"] == 0 and found["wrong"] == 0
    assert found["compared"] >= found["good_requests"] > 8
    assert all(found["done"][kind] for kind in people.MIX if kind not in ("large", "huge"))
    assert found["burst"]["faults"] == []


def test_a_burst_is_turned_away_in_part_and_the_page_recovers(found):
    burst = found["burst"]
    assert burst["answered"] + burst["busy"] == burst["requests"] == load.BURST
    assert burst["answered"] and burst["busy"] and burst["answered_afterwards"]
    assert all(people.BUSY.fullmatch(words) for words in burst["busy_words"])


def test_the_server_is_watched(found):
    assert len(found["looks"]) > 3
    end = found["looks"][-1]
    assert end["memory_mib"] > 100 and end["open_files"] > 5 and end["cache_files"] > 8
    assert found["left_in_tmp"] <= found["clients"]


def test_the_table_and_the_verdict(found):
    steady = copy.deepcopy(found)
    steady["memory_growth"] = 0.0
    steady["second_half"] = steady["first_half"]
    assert load.verdict(steady) == []
    assert f"{found['good_requests']:,}, 0 failed" in load.table(found)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"failed": 2}, "2 good requests failed"),
        ({"wrong": 1}, "1 answers were wrong"),
        ({"memory_growth": 0.06}, "memory grew by 6.0%"),
        ({"busy_words": ["Queue is full. Max size is 32."]}, "busy is not said in one clear sentence"),
    ],
)
def test_what_is_not_well_is_said(found, change, words):
    ill = copy.deepcopy(found) | {"memory_growth": 0.0, "second_half": found["first_half"]} | change
    assert load.verdict(ill) == [words]


def test_a_wrong_answer_is_counted():
    person = people.Person("http://127.0.0.1", None, people.Bag([], [], [], [], {"a": (1.0, 0.5)}), 0)
    person.compare("a", {"score": 1.0, "p_value": 0.5})
    person.compare("a", {"score": 1.0 + 1e-12, "p_value": 0.5})
    assert person.counts["wrong"] == 1 and person.counts["compared"] == 2 and "a: 1.000000000001" in person.faults[0]


def test_a_family_is_a_process_and_its_children():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert watch.family(os.getpid())[0] == os.getpid() and child.pid in watch.family(os.getpid())
        assert watch.resident(child.pid) > 1
    finally:
        child.communicate()


def test_a_folder_that_is_deleted_while_files_are_counted_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "going").mkdir()
    (tmp_path / "staying").mkdir()
    (tmp_path / "staying" / "kept").write_bytes(bytes(2**20))
    scan = os.scandir

    def deleting(place):
        if Path(place).name == "going":
            Path(place).rmdir()
        return scan(place)

    monkeypatch.setattr(os, "scandir", deleting)
    assert watch.contents(tmp_path) == {"files": 1, "mib": 1.0}
    assert not (tmp_path / "going").exists()
