"""The pictures of a session come back with their results, and are bounded."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest
from PIL import Image
from tiny import picture

from mdmf_app import panels
from mdmf_app.context import ALPHA
from mdmf_app.tabs.one import handlers, history
from mdmf_app.tabs.one.kept import Turn
from mdmf_core.show import stability


@pytest.fixture
def seen(context, tmp_path):
    """Analyses pictures made from seeds; gives their results."""

    def see(*seeds: int):
        for seed in seeds:
            path = tmp_path / f"{seed}.png"
            Image.fromarray(picture(seed)).save(path)
            yield handlers.analyse(context, str(path), ALPHA, None, None)[0]

    return see


def event(index: object) -> gr.SelectData:
    return gr.SelectData(None, {"index": index, "value": None})


def remembered(results) -> history.Past:
    past = None
    for result in results:
        past, _ = history.remember(past, result)
    return past


def test_pictures_stand_newest_first_each_once_and_with_the_shown_one_marked(seen):
    first, second = seen(1, 2)
    past, row = history.remember(None, first)
    assert "<button" not in row, "there is nothing to go back to"
    past, row = history.remember(past, second)
    assert [entry.result for entry in past] == [second, first]
    assert row.count("<button") == 2 and row.count("aria-current") == 1
    assert row.index("2.png") < row.index("1.png")
    past, row = history.remember(past, first)
    assert [entry.result for entry in past] == [second, first], "coming back does not change the order"
    (again,) = seen(1)
    assert [entry.result for entry in history.remember(past, again)[0]] == [again, second]


def test_only_the_last_are_kept(seen, monkeypatch):
    monkeypatch.setattr(history, "MOST", 3)
    results = list(seen(*range(5)))
    assert [entry.result for entry in remembered(results)] == results[:1:-1]


def test_a_picture_comes_back_with_its_card_and_its_test(seen):
    first, second = seen(3, 4)
    held = first, [stability.Variant("as it is", 0.1, 0.1, "generated")] * 2
    past, turn = history.keep_test(remembered([first, second]), held), Turn()
    mine = turn.begin()
    path, _, result, test, card, column, mask = history.bring_back(past, ALPHA, turn, event(1))
    assert (path, result, test) == (first.path, first, held) and turn.shown is first
    assert turn.last != mine, "what was under way is overtaken"
    assert panels.name_of(first.whole.evidence) in card and column["visible"] and not mask["visible"]
    assert history.bring_back(past, ALPHA, turn, event(0))[3] is None


@pytest.mark.parametrize("index", [2, -1, "0", None, True, [0, 0]])
def test_an_index_that_is_none_is_a_sentence(seen, index):
    past = remembered(seen(5, 6))
    answer = history.bring_back(past, ALPHA, Turn(), event(index))
    assert answer[2] is None and handlers.GONE in answer[4]


def test_a_picture_whose_file_is_gone_says_so(seen, monkeypatch):
    (result,) = seen(7)
    past = remembered([result])
    Path(result.path).unlink()
    handlers.session.of_sessions.forget()
    assert handlers.GONE in history.bring_back(past, ALPHA, Turn(), event(0))[4]


def test_hostile_names_are_text(seen, context, tmp_path):
    path = tmp_path / '"><img src=x onerror=alert(1)>.png'
    Image.fromarray(picture(8)).save(path)
    hostile = handlers.analyse(context, str(path), ALPHA, None, None)[0]
    row = history.remember(remembered([hostile]), next(seen(9)))[1]
    assert "<img src=x" not in row and "&lt;img src=x" in row
