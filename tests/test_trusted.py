"""References of trusted pictures: judging, the file, the command line."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint, picture
from trusted_ones import drawn, made
from typed import run

from mdmf_core import trusted
from mdmf_core.detector import Detector
from mdmf_core.errors import TrustedError
from mdmf_core.run import trust
from mdmf_core.trusted.files import NUMBERS


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """24 pictures of one kind."""
    place = tmp_path_factory.mktemp("trusted")
    for seed in range(24):
        Image.fromarray(picture(200 + seed)).save(place / f"{seed:02d}.png")
    return place


@pytest.fixture(scope="module")
def reference(folder, detector) -> trusted.Trusted:
    """What the random detector keeps of them."""
    return made(list(trust.look_at(detector, sorted(folder.iterdir()))), detector)


# Judging


def test_a_picture_is_compared_with_the_trusted_ones(reference, detector, photo):
    evidence = detector.detect(photo)
    found = reference.judge(evidence)
    above = sum(score >= evidence.verdict.score for score in reference.scores)
    assert (found.n, found.above, found.p_value) == (24, above, (1 + above) / 25) and found.smallest_p == 1 / 25
    assert found.general_p_value == evidence.verdict.p_value and not found.mixed
    told = found.to_dict()
    assert told["n"] == 24 and told["name"] == "mine" and told["smallest_p"] == 0.04
    assert told["changed"]["general_p_value"] == evidence.verdict.p_value
    assert told["changed"]["decision"] == (found.decision != evidence.verdict.decision)


def test_a_trusted_picture_is_compared_with_the_others(reference, detector, folder):
    found = reference.judge(detector.detect(folder / "03.png"))
    assert found.n == 23 and any("one of your pictures" in note for note in found.notes)


def test_a_picture_of_another_size_or_detail_gets_a_note(reference, detector):
    evidence = detector.detect(picture(300))
    assert not reference.judge(evidence).notes
    large, soft = (
        replace(reference, **{key: value})
        for key, value in (
            ("n_patches", np.full(24, 5)),
            ("details", np.full(24, 1)),
        )
    )
    assert ["far larger" in note for note in large.judge(evidence).notes] == [True]
    assert ["fine detail" in note for note in soft.judge(evidence).notes] == [True]
    small = replace(reference, n_patches=np.full(24, 100))
    assert ["far smaller" in note for note in small.judge(evidence).notes] == [True]


def test_another_models_evidence_is_refused(reference, photo, tmp_path):
    other = Detector.from_pretrained(make_checkpoint(tmp_path / "other", statistic="mmd"))
    with pytest.raises(TrustedError, match="made with another model"):
        reference.judge(other.detect(photo))


def test_with_a_kernel_on_embeddings_a_reference_is_a_null_alone(tmp_path):
    deep = Detector.from_pretrained(make_checkpoint(tmp_path / "deep", deep=True))
    rng = np.random.default_rng(8)
    reference = made([drawn(rng, index) for index in range(60)], deep)
    assert reference.share == 0 and not reference.judge(deep.detect(picture(5))).mixed


# The file


def test_a_reference_is_saved_and_loaded(reference, detector, photo, tmp_path):
    path = trusted.save(reference, tmp_path / "mine.safetensors")
    loaded = trusted.load(path, detector)
    assert loaded.judge(detector.detect(photo)) == reference.judge(detector.detect(photo))
    assert loaded.hashes == reference.hashes and loaded.pictures == () and b"03.png" not in path.read_bytes()
    assert all((getattr(loaded, name) == getattr(reference, name)).all() for name in NUMBERS)
    assert torch.equal(loaded.signatures, reference.signatures)
    named = trusted.load(trusted.save(reference, tmp_path / "named.safetensors", keep_names=True), detector)
    assert named.pictures == reference.pictures and "03.png" in named.pictures


def test_a_reference_of_another_checkpoint_is_refused(reference, tmp_path):
    path = trusted.save(reference, tmp_path / "mine.safetensors")
    other = Detector.from_pretrained(make_checkpoint(tmp_path / "other", statistic="mmd"))
    with pytest.raises(TrustedError, match="^The reference mine was made with another model; make it again"):
        trusted.load(path, other)


def altered(path: Path, tensors: dict | None = None, **told) -> Path:
    """The file with other tensors, or telling something else."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()["content"])
    place = path.with_name("altered.safetensors")
    save_file(load_file(path) | (tensors or {}), place, metadata={"content": json.dumps(content | told)})
    return place


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"scores": torch.zeros(3, dtype=torch.float64)}, {}),
        ({"scores": torch.full((24,), float("nan"), dtype=torch.float64)}, {}),
        ({"p_values": torch.full((24,), 2.0, dtype=torch.float64)}, {}),
        ({"details": torch.full((24,), 7.0, dtype=torch.float64)}, {}),
        ({"n_patches": torch.full((24,), 1.5, dtype=torch.float64)}, {}),
        ({"signatures": torch.zeros(24, 64, 5)}, {}),
        ({"signatures": torch.zeros(24, 65, 4)}, {}),
        ({"pixels": torch.zeros(3)}, {}),
        ({}, {"format": "something"}),
        ({}, {"hashes": ["a"] * 24}),
        ({}, {"hashes": 7}),
        ({}, {"pictures": ["one"]}),
        ({}, {"name": 3}),
    ],
)
def test_a_file_with_wrong_content_is_one_sentence(reference, detector, tmp_path, tensors, told):
    path = altered(trusted.save(reference, tmp_path / "mine.safetensors"), tensors, **told)
    with pytest.raises(TrustedError, match=r"^The file altered.safetensors is no reference that can be used: [^.]+\.$"):
        trusted.load(path, detector)


def test_a_damaged_file_is_one_sentence(reference, detector, tmp_path):
    path = trusted.save(reference, tmp_path / "mine.safetensors")
    for content in (b"", b"a letter", path.read_bytes()[:-20], b"\xff" * 300):
        path.write_bytes(content)
        with pytest.raises(TrustedError, match="damaged or no reference"):
            trusted.load(path, detector)
    with pytest.raises(TrustedError, match="can't be read: No such file"):
        trusted.load(tmp_path / "nothing.safetensors", detector)
    path.write_bytes(b"")
    with path.open("r+b") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(TrustedError, match="larger than 64 MiB"):
        trusted.load(path, detector)


def test_a_hostile_name_in_a_file_commands_nothing(reference, detector, tmp_path):
    path = altered(trusted.save(reference, tmp_path / "mine.safetensors"), name="\x1b[31mred\n" + "x" * 999)
    name = trusted.load(path, detector).name
    assert name.startswith("[31mred x") and len(name) == 200


# The command line


@pytest.fixture
def mdmf(checkpoint, tmp_path, monkeypatch, capsys):
    """Runs a command for a user whose data folder is empty."""
    monkeypatch.setenv("MDMF_MODEL", str(checkpoint))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def ended(*arguments: object) -> subprocess.CompletedProcess:
        status = run(*arguments)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)

    return ended


def test_a_reference_is_made_used_listed_and_removed(mdmf, folder, photo, tmp_path, detector):
    done = mdmf("reference", "make", folder, "--name", "my phone")
    place = tmp_path / "data" / "mdmf" / "references" / "my phone.safetensors"
    assert done.returncode == 0 and place.is_file(), done.stderr
    assert done.stdout.splitlines()[-1] == f"{place}: 24 pictures; p can't be below 0.04."
    assert mdmf("reference", "list").stdout == "my phone\n"
    again = mdmf("reference", "make", folder, "--name", "my phone")
    assert again.returncode == 1 and "already" in again.stderr
    alone, compared = mdmf("detect", photo), mdmf("detect", photo, "--reference", "my phone")
    assert compared.stdout.startswith(alone.stdout.strip() + " Compared with your 24 pictures: ")
    assert "p can't be below 0.04." in compared.stdout
    data = json.loads(mdmf("detect", photo, "--json", "--reference", place).stdout)
    wanted = trusted.load(place, detector).judge(detector.detect(photo)).to_dict()
    assert data["reference"] == wanted and wanted["name"] == "my phone"
    assert "reference" not in json.loads(mdmf("detect", photo, "--json").stdout)
    assert mdmf("reference", "remove", "my phone").returncode == 0 and not place.exists()
    assert "There is no reference my phone" in mdmf("reference", "remove", "my phone").stderr
    assert "There is no reference my phone" in mdmf("detect", photo, "--reference", "my phone").stderr


def test_making_a_reference_tells_how_far_it_is_without_a_terminal(mdmf, folder, tmp_path):
    told = mdmf("reference", "make", folder, "--out", tmp_path / "mine.safetensors").stderr.splitlines()
    wanted = [f"{done} of 24 pictures looked at." for done in (3, 6, 9, 12, 15, 18, 21, 24)]
    assert told[0] == "Looking at 24 pictures." and [line for line in told if line in wanted] == wanted


def test_what_can_not_be_used_is_said_and_the_others_go_on(mdmf, folder, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("This is a letter and no picture.\n" * 20)
    out = tmp_path / "mine.safetensors"
    done = mdmf("reference", "make", folder, bad, "--out", out, "--keep-names")
    assert done.returncode == 0 and "bad.jpg: The file looks like text" in done.stderr and out.is_file()
    assert b"07.png" in out.read_bytes()
    few = mdmf("reference", "make", bad, "--out", tmp_path / "few.safetensors")
    assert few.returncode == 1 and few.stderr.count("\n") == 1 and "at least 20 pictures" in few.stderr


def test_a_reference_needs_one_place_and_a_name_that_is_one(mdmf, folder, tmp_path):
    assert "either --name or --out" in mdmf("reference", "make", folder).stderr
    assert "up to 64 letters" in mdmf("reference", "make", folder, "--name", "../mine").stderr
    with pytest.raises(TrustedError, match="There is no reference ../mine"):
        trust.place_of("../mine")
