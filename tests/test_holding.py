"""The stability test that runs by itself: it comes after the map, gives way, and ends with its picture."""

from __future__ import annotations

import re
import threading
from dataclasses import replace

import gradio as gr
import pytest

import app
from mdmf_app import context as contexts
from mdmf_app import panels
from mdmf_app.context import ALPHA, PLACES, Verdicts
from mdmf_app.tabs.one import background, handlers, holding
from mdmf_app.tabs.one.kept import Turn
from mdmf_core.detector import Detector
from mdmf_core.show import stability
from mdmf_core.show.stability import Variant


@pytest.fixture
def shown(context, photo):
    """A turn with a result on the screen."""
    turn = Turn()
    result = handlers.analyse(context, str(photo), ALPHA, None, None, turn)[0]
    assert turn.shown is result
    return turn, result


def test_it_tells_how_far_it_is_and_ends_with_what_the_button_gives(context, shown):
    turn, result = shown
    *steps, last = background.hold_by_itself(context, result, None, ALPHA, turn)
    assert len(steps) == len(stability.CHANGES)
    assert ["0 of 6" in steps[0][1], "6 of 6" in steps[-1][2]] == [True, True]
    assert all(held == gr.skip() for held, _, _ in steps), "nothing half done is kept"
    assert last[0] == holding.show_stability(context, result, ALPHA, None)[0]
    assert stability.short(last[0][1]) in last[2] and panels.name_of(result.whole.evidence) in last[2]
    assert panels.name_of(result.whole.evidence) in handlers.show_card(result, ALPHA)


def test_a_new_picture_ends_it_between_two_copies(context, shown):
    turn, result = shown
    running = background.hold_by_itself(context, result, None, ALPHA, turn)
    next(running)
    handlers.clear("/somewhere/next.png", turn)
    assert list(running) == []


def test_what_is_no_longer_shown_or_cannot_be_judged_is_not_tested(context, shown, monkeypatch):
    turn, result = shown
    monkeypatch.setattr(Detector, "detect", None)
    strange = replace(result.whole.evidence, verdict=replace(result.whole.evidence.verdict, reason="Too dark."))
    unjudged = replace(result, whole=replace(result.whole, evidence=strange))
    turn.show(unjudged)
    for given in (None, result):
        assert list(background.hold_by_itself(context, given, None, ALPHA, turn)) == [background.UNCHANGED]
    ((kept, panel, line),) = background.hold_by_itself(context, unjudged, None, ALPHA, turn)
    assert (kept, line) == (None, "") and "no answer that could hold" in panel and "Too dark." in panel
    assert holding.show_stability(context, unjudged, ALPHA, None) == (kept, panel, line)


def test_each_copy_has_its_likelihood_ratio_and_one_that_cannot_be_judged_has_none():
    dull = Variant("JPEG 50", 0.1, 0.2, "inconclusive", None, 40.0, judged=False)
    tried = [Variant("as it is", 0.3, 0.01, "generated", ratio=1234.0), dull, Variant("small", error="Too small.")]
    panel = holding.stability_panel(tried, ALPHA)
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in panel.split("<tr>")[1:]]
    assert rows[0] == ["Change", "Score", "p-value", "Likelihood ratio", "Answer"]
    assert rows[1][3] == "1,200" and rows[2][3:] == ["none", "Can&#39;t be judged"] and len(rows[3]) == len(rows[0])
    without = holding.stability_panel([Variant("as it is", 0.3, 0.01, "generated")], ALPHA)
    assert "Likelihood" not in without.partition("<table")[2]


def test_what_was_tested_is_not_tested_again(context, shown, monkeypatch):
    turn, result = shown
    held = holding.show_stability(context, result, ALPHA, None)[0]
    monkeypatch.setattr(Detector, "detect", None)
    ((kept, panel, line),) = background.hold_by_itself(context, result, held, ALPHA, turn)
    assert kept == held and stability.short(held[1]) in line and "<table" in panel


def test_the_background_waits_for_those_who_are_first():
    verdicts, done = Verdicts(), []
    with verdicts.first():
        waiting = threading.Thread(target=lambda: done.append(verdicts.wait(seconds=60)))
        waiting.start()
        with verdicts.first():
            pass
        assert not done
    waiting.join(60)
    assert done == [True]


def test_the_background_waits_no_longer_for_what_nobody_wants():
    verdicts, wanted, done = Verdicts(), [True], []
    with verdicts.first():
        waiting = threading.Thread(target=lambda: done.append(verdicts.wait(lambda: wanted[0], 60)))
        waiting.start()
        wanted[0] = False
        with verdicts.first():
            waiting.join(60)
            assert done == [False]


def test_a_picture_is_first_while_it_is_judged(context, photo, monkeypatch):
    seen = []
    read = contexts.isolated.read

    def watched(*given):
        seen.append(contexts.verdicts._running)
        return read(*given)

    monkeypatch.setattr(contexts.isolated, "read", watched)
    handlers.analyse(context, str(photo), ALPHA, None, None)
    assert seen == [1] and contexts.verdicts._running == 0


def test_the_background_takes_no_place_of_the_model(detector):
    functions = app.build(detector).fns.values()
    limits = {fn.concurrency_id: fn.concurrency_limit for fn in functions if fn.concurrency_id}
    assert limits["background"] == 1 and limits["model"] == PLACES
