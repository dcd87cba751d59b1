"""The result in sentences."""

from __future__ import annotations

import re

import numpy as np
import pytest
from evidence import located, made, of_verdict

from mdmf_core.evidence import decide
from mdmf_core.method.strength import Strength
from mdmf_core.show import words as wording
from mdmf_core.show.words import VERDICTS, explain, score_line


@pytest.mark.parametrize(
    ("outlined", "said"), [((), None), ((3,), "1 patch is unlike"), ((3, 4), "2 patches are unlike")]
)
def test_what_the_locator_finds_is_told_apart_from_the_score(outlined, said):
    evidence = made(np.zeros(12))
    told = wording.explain(located(evidence, np.zeros(12), outlined))
    if said is None:
        assert told == wording.explain(evidence)
    else:
        assert told.startswith(wording.explain(evidence)) and said in told and "Apart from the score" in told


@pytest.mark.parametrize("p_value", [0.01, 0.03, 0.05, 0.051, 0.1, 0.2, 0.21, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("outlined", [(), (3,), (1, 2, 3)])
def test_the_sentences_never_promise(p_value, outlined):
    score = 9.0 if p_value == 0.01 else 0.0
    evidence = made(np.zeros(12), outlined, p_value=p_value, decision=decide(p_value, 0.05), score=score)
    text = explain(evidence)
    assert text.endswith(".") and "%" not in text and not re.search(r"\bis real\b|\bauthentic\b|1 in 1\b", text)
    assert f"{evidence.verdict.n_calibration}" in text and "real and of generated" in text
    assert text.endswith("99 other real pictures.")
    assert wording.explain(of_verdict(evidence, detail="soft")).endswith("pictures that have as little fine detail.")
    assert wording.explain(of_verdict(evidence, detail="noisy")).endswith("pictures that have as much noise.")
    assert ("outlined" in text) == bool(outlined)
    assert VERDICTS[evidence.verdict.outcome]


@pytest.mark.parametrize(
    ("ratio", "wanted"),
    [
        (30.0, "moderate support for generated; a score like this is 30 times as common among generated pictures as"),
        (500.0, "is at least 500 times as common among generated pictures as among real ones, and of 100 real"),
        (0.2, "weak support for real; a score like this is 5 times as common among real pictures as among generated"),
        (1.5, "no support either way; a score like this is about as common among real pictures"),
    ],
)
def test_the_sentence_to_quote_names_picture_strength_false_alarms_and_model(ratio, wanted):
    found = Strength(ratio, (0.001, 500.0), 0.03, 0.4, 400, 120)
    evidence = of_verdict(made(np.zeros(12)), strength=found)
    told = wording.quote(evidence)
    who = f"“{evidence.picture.name}”", evidence.model.name, evidence.model.fingerprint[:16], found.support
    assert wanted in told and all(name in told for name in who)
    assert re.sub(r"\d\.\d|“[^”]*”", "", told).count(".") == 1, "it is one sentence"
    assert (not found.side) or "of 100 real pictures of its calibration 3 give an answer as strong" in told
    assert ("a generator that it does not know could look the same" in told) == (found.side == "real")
    assert ("a genuine painting, render or glossy studio picture could look the same" in told) == (
        found.side == "generated"
    )


def test_what_has_no_ratio_or_no_verdict_can_be_quoted_too():
    evidence = made(np.zeros(12))
    assert "a p-value of 0.04 among 99 real pictures" in wording.quote(evidence)
    refused = wording.quote(of_verdict(evidence, reason="It has 7 colours only."))
    assert "can't judge" in refused and refused.endswith("generated: It has 7 colours only.")


def test_rarity_counts_real_pictures():
    assert "About 1 in 25 real pictures scores this high." in explain(made(np.zeros(12)))
    assert "None of 99 real pictures scores this high" in explain(made(np.zeros(12), p_value=0.01, score=0.5))
    assert "Most real pictures" in explain(made(np.zeros(12), p_value=0.9, decision="no_evidence"))
    assert "generated" not in explain(made(np.zeros(12), statistic="mmd", decision="no_evidence"))


def test_a_threshold_that_no_score_can_reach_is_said():
    assert "above 0.08" in score_line(made(np.zeros(12)))
    assert "too few" in score_line(made(np.zeros(12), threshold=float("inf")))
