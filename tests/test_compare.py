"""The handlers of the tab for two pictures: laid over one another, with cards, maps and what differs in origin."""

from __future__ import annotations

import html

import pytest
from PIL import Image, PngImagePlugin
from tiny import picture, several

from mdmf_app.context import Choice
from mdmf_app.tabs import compare
from mdmf_core.show import report
from mdmf_core.show import words as wording


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    return several(tmp_path_factory.mktemp("files"))


def texts(**fields: str) -> PngImagePlugin.PngInfo:
    """Text chunks of a PNG."""
    written = PngImagePlugin.PngInfo()
    for name, text in fields.items():
        written.add_text(name, text)
    return written


def test_two_pictures_get_cards_and_maps_on_one_scale(context, detector, files):
    words, stage, *cards, legend = compare.compare(context, files[0], files[1], 0.05, None)
    found = [detector.detect(path) for path in files[:2]]
    assert report.compare(*found)["sentence"] in words and "Neither file declares its origin." in words
    for evidence, text, name in zip(found, cards, ("first", "second"), strict=True):
        assert wording.VERDICTS[evidence.verdict.outcome] in text and f"{evidence.verdict.p_value:.3g}" in text
        assert f'id="compare-{name}-map"' in stage
    assert stage.count("<img") == 5 and "don't show the same" in html.unescape(stage)
    assert f"{detector.reference.scale('relative')[1]:.3g}" in legend


def test_a_cut_copy_is_laid_where_it_was_cut(context, tmp_path):
    pixels = picture(5, 300, 400)
    Image.fromarray(pixels).save(tmp_path / "whole.png")
    Image.fromarray(pixels[40:240, 100:300]).save(tmp_path / "cut.png", pnginfo=texts(Software="GIMP 2.10"))
    stage = compare.compare(context, str(tmp_path / "whole.png"), str(tmp_path / "cut.png"), 0.05, None)[1]
    assert "at x 100, y 40 of the first. Nowhere do they differ." in stage
    assert "left: 25.0000%; top: 13.3333%; width: 50.0000%; height: 66.6667%;" in stage
    assert "aspect-ratio: 400 / 300" in stage
    origins = stage[stage.index("What differs in origin") :]
    assert "Software" in origins and "nothing" in origins and "GIMP 2.10" in origins


def test_a_frame_holds_a_second_picture_that_is_larger(context, tmp_path):
    pixels = picture(5, 300, 400)
    Image.fromarray(pixels).save(tmp_path / "whole.png")
    Image.fromarray(pixels[40:240, 100:300]).save(tmp_path / "cut.png")
    stage = compare.compare(context, str(tmp_path / "cut.png"), str(tmp_path / "whole.png"), 0.05, None)[1]
    assert "at x -100, y -40 of the first" in stage and "aspect-ratio: 400 / 300" in stage
    assert "Nothing: Neither file declares its origin." in stage


def test_the_rate_decides_for_both(context, files):
    cards = compare.compare(context, files[0], files[1], 0.2, None)[2:4]
    assert all("0.2:" in card for card in cards)


def test_one_picture_waits_for_the_other(context, files):
    words, stage, card, waiting, _ = compare.compare(context, files[0], None, 0.05, None)
    assert compare.WAITING in words and "p-value" in card and stage.count("<img") == 1
    assert compare.MISSING in waiting and "compare-second-map" not in stage


def test_a_bad_picture_of_two_is_a_sentence_in_its_place(context, files):
    words, stage, card, bad, _ = compare.compare(context, files[0], files[2], 0.05, None)
    assert "One of the two" in words and "compare-first-map" in stage and "looks like text" in bad
    assert "compare-second-map" not in stage and "p-value" in card


def test_a_hostile_name_is_text(context, files):
    card = compare.compare(context, files[3], None, 0.05, None)[2]
    assert "<img" not in card and "&lt;img" in card


def test_without_its_model_there_is_no_comparison(context, files, tmp_path):
    gone = Choice(str(tmp_path / "gone"), None)
    assert "There is no folder" in compare.compare(context, files[0], files[1], 0.05, gone)[0]
