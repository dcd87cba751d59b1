"""The pictures in examples/ are what examples.json and README.md say they are."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "examples"
ENTRIES = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
FIELDS = {"file", "title", "kind", "what", "licence", "source", "mask"}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_entry_is_complete_and_its_picture_decodes(entry):
    assert set(entry) == FIELDS
    assert all(entry[field].strip() for field in FIELDS - {"mask"})
    with Image.open(FOLDER / entry["file"]) as picture:
        picture.load()
        assert min(picture.size) >= 256


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_only_composites_have_a_mask_and_it_covers_a_part(entry):
    assert (entry["mask"] is not None) == (entry["kind"] == "composite")
    if entry["mask"]:
        with Image.open(FOLDER / entry["file"]) as picture, Image.open(FOLDER / entry["mask"]) as mask:
            assert mask.mode == "L" and mask.size == picture.size
            values = np.asarray(mask)
        assert 0.05 < (values == 255).mean() and 0.05 < (values == 0).mean()


def test_there_are_enough_of_every_kind():
    kinds = Counter(entry["kind"] for entry in ENTRIES)
    assert set(kinds) == {"photograph", "re-synthesised", "composite"}
    assert kinds["photograph"] >= 4 and kinds["re-synthesised"] >= 2 and kinds["composite"] >= 2


def test_folder_holds_the_listed_files_and_no_others():
    listed = {entry["file"] for entry in ENTRIES} | {entry["mask"] for entry in ENTRIES if entry["mask"]}
    assert {path.name for path in FOLDER.iterdir()} == listed | {"examples.json", "README.md"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 6e6


def test_readme_names_every_file():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for entry in ENTRIES:
        assert f"`{entry['file']}`" in readme
        assert not entry["mask"] or f"`{entry['mask']}`" in readme
