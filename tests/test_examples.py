"""The pictures in examples/ are what examples.json and README.md say they are."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality.judge_examples import told
from mdmf_core.images.origin import origin_of

FOLDER = Path(__file__).resolve().parents[1] / "examples"
ENTRIES = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
FIELDS = {"file", "title", "kind", "what", "licence", "source", "truth", "mask"}
ANSWERS = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_entry_is_complete_and_its_picture_decodes(entry):
    assert set(entry) == FIELDS
    assert all(entry[field].strip() for field in FIELDS - {"mask"})
    with Image.open(FOLDER / entry["file"]) as picture:
        picture.load()
        assert min(picture.size) >= 256


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_only_edits_have_a_mask_and_it_covers_a_part(entry):
    assert (entry["mask"] is not None) == (entry["kind"] == "edited") == (entry["truth"] == "edited")
    if entry["mask"]:
        with Image.open(FOLDER / entry["file"]) as picture, Image.open(FOLDER / entry["mask"]) as mask:
            assert mask.mode == "L" and mask.size == picture.size
            values = np.asarray(mask)
        assert 0.05 < (values == 255).mean() and 0.05 < (values == 0).mean()


def test_there_are_enough_of_every_kind():
    kinds = Counter(entry["kind"] for entry in ENTRIES)
    assert set(kinds) == {"photograph", "generated", "edited", "re-synthesised", "signed", "watermarked"}
    assert kinds["photograph"] >= 4 and kinds["re-synthesised"] >= 2 and kinds["edited"] >= 4
    assert kinds["generated"] >= 4 and len(ENTRIES) >= 12
    truths = {entry["kind"]: entry["truth"] for entry in ENTRIES}
    assert set(truths.values()) == {"photograph", "generated", "edited"} and truths["photograph"] == "photograph"


def test_one_is_signed_and_one_is_marked_and_both_say_that_they_are_generated():
    signed, marked = (
        origin_of(FOLDER / next(entry["file"] for entry in ENTRIES if entry["kind"] == kind))
        for kind in ("signed", "watermarked")
    )
    assert signed.signed and signed.unchanged and not signed.trusted and signed.generated == "yes"
    assert "invisible mark of Stable Diffusion XL" in marked.sentence and marked.generated == "yes"


def test_an_edit_in_a_png_is_its_photograph_where_the_mask_is_black():
    for edit, photograph in (("flower_edited.png", "flower.jpg"),):
        pixels, before = (np.asarray(Image.open(FOLDER / name).convert("RGB")) for name in (edit, photograph))
        mask = np.asarray(Image.open(FOLDER / edit.replace(".png", "_mask.png")))
        assert np.array_equal(pixels[mask == 0], before[mask == 0])
        assert (pixels[mask == 255] != before[mask == 255]).any(axis=1).mean() > 0.5


def test_the_answers_are_those_of_the_bundled_detector(bundled):
    """Where this fails, `python benchmarks/quality/judge_examples.py` writes them again."""
    assert ANSWERS["fingerprint"] == bundled.fingerprint
    assert [row["file"] for row in ANSWERS["answers"]] == [entry["file"] for entry in ENTRIES]
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"`{bundled.fingerprint}`" in readme and told(ANSWERS["answers"]) in readme


def test_folder_holds_the_listed_files_and_no_others():
    listed = {entry["file"] for entry in ENTRIES} | {entry["mask"] for entry in ENTRIES if entry["mask"]}
    assert {path.name for path in FOLDER.iterdir()} == listed | {"examples.json", "answers.json", "README.md"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 6e6


def test_readme_names_every_file():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for entry in ENTRIES:
        assert f"`{entry['file']}`" in readme
        assert not entry["mask"] or f"`{entry['mask']}`" in readme
