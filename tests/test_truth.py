"""An answer is right, wrong or undecided by what is known about the picture, never by how it looks."""

from __future__ import annotations

import numpy as np
import pytest
from evidence import located, made, of_verdict

from mdmf_core.evidence import Evidence
from mdmf_core.show import truth

LEFT = np.zeros((96, 128), np.uint8)
LEFT[:, :64] = 255  # the first two of four columns of patches
FIRST, LAST = (0, 1, 4), (2, 3, 7)  # patches in and outside of it


def answered(decision: str, outlined: tuple[int, ...] = (), **changes) -> Evidence:
    return made(np.full(12, 0.2), outlined, decision=decision, **changes)


@pytest.mark.parametrize(
    ("known", "decision", "word", "start"),
    [
        ("photograph", "no_evidence", "right", "Right: this is a photograph."),
        ("photograph", "generated", "wrong", "Wrong, a false alarm: this is a photograph."),
        ("photograph", "inconclusive", "undecided", "Undecided: this is a photograph."),
        ("generated", "generated", "right", "Right: this picture is generated."),
        ("generated", "no_evidence", "wrong", "Wrong, a miss: this picture is generated."),
        ("generated", "inconclusive", "undecided", "Undecided: this picture is generated."),
    ],
)
def test_the_headline_decides_of_a_photograph_and_of_a_generated_picture(known, decision, word, start):
    found = truth.against(known, answered(decision))
    assert found.word == word and found.sentence.startswith(start)


def test_a_picture_that_can_t_be_judged_is_undecided():
    evidence = of_verdict(answered("generated"), reason="It is too small.")
    assert truth.against("photograph", evidence).word == truth.against("generated", evidence).word == "undecided"


@pytest.mark.parametrize(
    ("decision", "outlined", "word", "stand"),
    [
        ("generated", FIRST, "right", "3 of 3 patches that stand out lie in that part."),
        ("generated", (*FIRST, *LAST), "right", "3 of 6 patches that stand out lie in that part."),
        ("generated", (0, *LAST), "undecided", "1 of 4 patches that stand out lie in that part."),
        ("generated", (), "undecided", "no patch stands out."),
        ("no_evidence", LAST, "wrong", "0 of 3 patches that stand out lie in that part."),
        ("no_evidence", (), "wrong", "no patch stands out."),
        ("no_evidence", FIRST, "undecided", "3 of 3 patches that stand out lie in that part."),
        ("inconclusive", FIRST, "undecided", "3 of 3 patches that stand out lie in that part."),
    ],
)
def test_of_an_edit_the_place_counts_too(decision, outlined, word, stand):
    found = truth.against("edited", answered(decision, outlined), LEFT)
    assert found.word == word and found.sentence.endswith(stand)


def test_patches_that_stand_out_on_either_map_count_once():
    evidence = located(answered("generated", (0,)), np.zeros(12), (0, 1, 2))
    assert "2 of 3 patches" in truth.against("edited", evidence, LEFT).sentence


def test_a_patch_lies_in_the_part_with_more_than_half_of_its_pixels():
    mask = np.zeros((96, 128), np.uint8)
    mask[:, :49] = 200
    found = truth.in_part(answered("generated"), mask).reshape(3, 4)
    assert np.array_equal(found, [[True, True, False, False]] * 3)
    mask[:, 48] = 0
    assert not truth.in_part(answered("generated"), mask).reshape(3, 4)[:, 1].any()
