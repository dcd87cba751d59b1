"""The card of a picture's answer: what it says, what it never says, and the sentence to quote."""

from __future__ import annotations

from dataclasses import replace

import pytest
from markupsafe import escape
from PIL import Image
from tiny import picture

from mdmf_app import panels as shown
from mdmf_app import views
from mdmf_app.context import ALPHA
from mdmf_app.tabs.one import handlers
from mdmf_core.method.strength import Strength
from mdmf_core.show import words as wording


@pytest.fixture
def result(context, photo) -> views.Result:
    return handlers.analyse(context, str(photo), ALPHA, None, None)[0]


def test_the_card_says_what_was_found_and_escapes_names(context, detector, tmp_path):
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    Image.fromarray(picture(5)).save(path)
    result, card, panels, mask = handlers.analyse(context, str(path), 0.05, None, None)
    evidence = detector.detect(path)
    assert wording.VERDICTS[evidence.verdict.outcome] in card and f"{evidence.verdict.p_value:.3g}" in card
    assert "1 real picture in 20" in card and "What this can&#39;t tell" in card
    assert "<img" not in card and "&lt;img" in card
    assert panels["visible"] and not mask["visible"] and result.whole.evidence.picture.sha256 == evidence.picture.sha256


@pytest.mark.parametrize("p_value", [1 / 25, 0.15, 1.0])
def test_no_card_promises_certainty(result, p_value):
    evidence = replace(result.whole.evidence, verdict=replace(result.whole.evidence.verdict, p_value=p_value)).at(0.05)
    card = shown.card(evidence, result.origin, None)
    assert "100%" not in card and " 0%" not in card and "is real" not in card
    assert card.count("<h2>") == 1 and wording.VERDICTS[evidence.verdict.outcome] in card


def test_the_sentence_to_quote_stands_on_the_card_and_opens_no_second_phrasing(result):
    evidence = result.whole.evidence
    quote = wording.quote(evidence)
    card = shown.card(evidence, result.origin, None)
    assert card.count(str(escape(quote))) == 3, "to read, to copy alone, and in the summary"
    assert quote in shown.summary(evidence, result.origin)
    dull = replace(evidence, verdict=replace(evidence.verdict, reason="It has 7 colours only."))
    assert shown.summary(dull, result.origin).count("It has 7 colours only.") == 1


def test_how_strong_or_why_not_stands_open_on_the_card(result):
    found = result.whole.evidence
    seen = Strength(3.0, (1.0, 9.0), 0.05, 0.4, 400, 120)
    strong = replace(found, verdict=replace(found.verdict, strength=seen, reason=""))
    dull = replace(found, verdict=replace(found.verdict, reason="It has 7 colours only."))
    open_part = shown.card(strong, result.origin, None).partition("<details")[0]
    ratio, counts = wording.how_strong(strong).parts
    assert "3 times as common" in ratio and "Of 100 real pictures" in counts
    assert ratio in open_part and counts in open_part and "pixels; p-value" in open_part
    open_part, _, closed = shown.card(dull, result.origin, None).partition("<details")
    assert "It has 7 colours only." in open_part and "pixels; p-value" not in open_part
    figures, _, advanced = closed.partition("<details")
    assert "It has 7 colours only." not in closed.partition('class="quote"')[0], "said once, but for what to quote"
    assert "p-value" not in figures and "p-value" in advanced
    plot = shown.null_plot(dull)
    assert (
        "It has 7 colours only." in plot
        and "score" not in plot
        and "real pictures score this high" in shown.null_plot(strong)
    )


def test_where_all_patches_are_hatched_the_card_says_so_first_and_names_none_as_the_strongest(result):
    whole = result.whole
    n = whole.evidence.n_patches
    judged = replace(whole.evidence, verdict=replace(whole.evidence.verdict, reason=""))
    flat, soft = ("flat", *[""] * (n - 1)), ("flat", *["without fine detail"] * (n - 1))
    some, all_of_them = (replace(judged, reasons=reasons) for reasons in (flat, soft))
    said = f"All of its {n} patches are hatched (without fine detail): none of them can be judged alone"
    open_part = shown.card(all_of_them, result.origin, None).partition("<details")[0]
    assert wording.how_strong(all_of_them).parts[0].startswith(said) and said in open_part
    assert wording.explain(all_of_them).count("are hatched (") == 1
    summary = shown.summary(all_of_them, result.origin)
    assert summary.count(said) == 1 and "Strongest of" not in summary
    panel = shown.patch_panel(replace(result, whole=replace(whole, evidence=all_of_them)), None, None)
    assert said in panel and "<img" not in panel and "Most evidence" not in panel
    refused = replace(all_of_them, verdict=replace(judged.verdict, reason="It has 7 colours only."))
    panel = shown.patch_panel(replace(result, whole=replace(whole, evidence=refused)), None, None)
    assert "as a whole" not in panel + shown.summary(refused, result.origin), "for that is not judged either"
    assert wording.all_hatched(some) == "" and "Strongest of" in shown.summary(some, result.origin)
    panel = shown.patch_panel(replace(result, whole=replace(whole, evidence=some)), None, None)
    assert panel.count("<img") == min(shown.STRONGEST, n - 1) and "Patch 1, " not in panel
