"""The variants are judged like any picture, and the sentence says what flips."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import picture

from mdmf_core.images import degrade
from mdmf_core.images.reader import read
from mdmf_core.show import stability
from mdmf_core.show.stability import Variant, sentence, short

NAMES = ["as it is", "JPEG 90", "JPEG 70", "JPEG 50", "resized to 75%", "resized to 50%", "slight blur"]


def made(*decisions: str | None) -> list[Variant]:
    """Variants with these decisions; None could not be judged."""
    return [
        Variant(name, error="Too small.") if decision is None else Variant(name, 0.1, 0.1, decision)
        for name, decision in zip(NAMES, decisions, strict=False)
    ]


def test_each_variant_is_judged_as_the_changed_picture_would_be(detector):
    pixels = picture(5, 160, 192)
    found = list(stability.variants(detector, read(pixels, 64), 0.1))
    assert [variant.name for variant in found] == NAMES and not any(variant.error for variant in found)
    changed = {
        "as it is": pixels,
        "JPEG 50": degrade.jpeg(pixels, 50),
        "resized to 75%": degrade.resize(pixels, 0.75),
        "slight blur": degrade.blur(pixels, stability.BLUR_SIGMA),
    }
    by_name = {variant.name: variant for variant in found}
    for name, worse in changed.items():
        evidence = detector.detect(worse, 0.1)
        wanted = Variant(name, evidence.verdict.score, evidence.verdict.p_value, evidence.verdict.decision)
        assert by_name[name] == wanted
    assert len({variant.score for variant in found}) == len(NAMES)


def test_it_says_the_same_twice_and_leaves_the_picture_alone(detector):
    whole = read(picture(6, 160, 192), 64)
    before = whole.pixels.copy()
    assert list(stability.variants(detector, whole, 0.05)) == list(stability.variants(detector, whole, 0.05))
    assert np.array_equal(whole.pixels, before)


def test_a_verdict_that_is_known_is_not_asked_for_again(detector, monkeypatch):
    whole = read(picture(6, 160, 192), 64)
    wanted, verdict, asked = list(stability.variants(detector, whole, 0.1)), detector.detect(whole, 0.05).verdict, []
    detect = detector.detect
    monkeypatch.setattr(detector, "detect", lambda *args, **more: asked.append(args[0]) or detect(*args, **more))
    assert list(stability.variants(detector, whole, 0.1, verdict)) == wanted, "under another rate, too"
    assert len(asked) == len(NAMES) - 1 and not any(np.array_equal(one.pixels, whole.pixels) for one in asked)
    with pytest.raises(ValueError, match="false-alarm rate"):
        next(stability.variants(detector, whole, 0.9, verdict))


def test_a_variant_that_is_too_small_is_a_sentence_and_the_others_go_on(detector):
    found = {variant.name: variant for variant in stability.variants(detector, read(picture(7), 64), 0.05)}
    small = found["resized to 50%"]
    assert small.score is small.p_value is small.decision is None and "64 x 64 are needed" in small.error
    assert found["slight blur"].error is None and found["resized to 75%"].error is None


def test_a_rate_that_is_none_is_refused(detector):
    with pytest.raises(ValueError, match="false-alarm rate"):
        next(stability.variants(detector, read(picture(7), 64), 0.9))


def test_stable():
    text = sentence(made(*["generated"] * 7))
    assert text == 'Stable: the result stays "Traces of generation" in all 6 changed copies.'


def test_what_flips_is_named():
    text = sentence(
        made("generated", "generated", "generated", "inconclusive", "no_evidence", "no_evidence", "generated")
    )
    assert text.startswith(
        'Not stable: the result is "Traces of generation" as it is, but turns into "Weak traces" (JPEG 50)'
    )
    assert '"No traces found" (resized to 75% and resized to 50%).' in text


def test_what_could_not_be_judged_is_named():
    text = sentence(made("no_evidence", "no_evidence", "no_evidence", "no_evidence", None, None, "no_evidence"))
    assert "all 4 changed copies" in text and text.endswith(
        "Too small to be judged: resized to 75% and resized to 50%."
    )
    assert "the one changed copy" in sentence(made("generated", "generated"))


@pytest.mark.parametrize("tried", [made(*[None] * 7), made("generated", None, None), made("generated")])
def test_nothing_is_claimed_without_a_changed_copy(tried):
    assert "can't be said" in sentence(tried)


def test_nothing_is_said_to_hold_where_there_is_no_answer():
    dull = [Variant(name, 0.1, 0.1, "inconclusive", judged=False) for name in NAMES]
    assert "no answer that could hold" in sentence(dull) and "can't be said" in short(dull).lower()


def test_a_few_words_say_the_same_as_the_sentence():
    assert short(made(*["generated"] * 7)) == "Holds in 6 of 6 changed copies"
    assert short(made("generated", "generated", "no_evidence", None)) == "Changes in 1 of 2 changed copies"
    assert short(made("generated", "generated", None)) == "Holds in 1 of 1 changed copy"
    assert "can't be said" in short(made("generated", None)).lower()
