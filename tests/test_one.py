"""The one-picture tab's handlers, and what the page shows of evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from markupsafe import escape
from PIL import Image, PngImagePlugin
from tiny import picture

import app
from mdmf_app import context as contexts
from mdmf_app import panels as shown
from mdmf_app import views
from mdmf_app.context import ALPHA, EXAMPLES
from mdmf_app.tabs.one import handlers, holding, layout
from mdmf_core.detector import Detector
from mdmf_core.images.origin import origin_of, read_provenance
from mdmf_core.images.reader import read
from mdmf_core.show import charts, maps, stability
from mdmf_core.show import words as wording

BOX = (0, 0, 96, 72)


@pytest.fixture
def result(context, photo) -> views.Result:
    return handlers.analyse(context, str(photo), ALPHA, None, None)[0]


@pytest.fixture(scope="module")
def made(detector, tmp_path_factory):
    """Makes the result of any pixels (H, W, 3)."""
    folder = tmp_path_factory.mktemp("made")

    def make(pixels: np.ndarray) -> views.Result:
        seen = read(pixels, detector.model.geometry.min_side)
        path = folder / f"{seen.sha256}.png"
        Image.fromarray(pixels).save(path)
        return views.Result(str(path), views.judge(seen, detector.detect(seen)), None, None, origin_of(path))

    return make


def test_only_the_last_analysis_of_a_session_counts(context, photo, monkeypatch):
    turn = handlers.Turn()
    assert handlers.analyse(context, str(photo), ALPHA, None, None, turn)[0] is not None

    def overtaken(*given):
        handlers.analyse(context, None, ALPHA, None, None, turn)
        return read_now(*given)

    read_now = contexts.isolated.read
    monkeypatch.setattr(contexts.isolated, "read", overtaken)
    assert handlers.analyse(context, str(photo), ALPHA, None, None, turn) == (gr.skip(),) * 4


def test_only_the_last_drawing_of_a_map_counts(result, monkeypatch):
    turn, view = handlers.Turn(), (None, "evidence", 0.5, True, None, None, None)
    assert isinstance(handlers.show_map_and_mask(turn, False, result, *view)[0], Image.Image)

    def overtaken(*given):
        turn.draw()
        return draw_now(*given)

    draw_now = handlers.show_map
    monkeypatch.setattr(handlers, "show_map", overtaken)
    assert handlers.show_map_and_mask(turn, False, result, *view) == (gr.skip(),) * 3


def test_errors_carry_no_trace(detector, bad):
    with pytest.raises(gr.Error) as caught:
        contexts.detect(detector, str(bad["bad_empty.jpg"]), None)
    assert caught.value.print_exception is False


# Card


def test_another_rate_gives_what_the_detector_would_say_at_that_rate(detector, photo, result):
    for alpha in (0.01, 0.1, 0.2):
        direct = detector.detect(photo, alpha).verdict
        asked = result.whole.evidence.at(alpha).verdict
        assert (asked.decision, asked.threshold, asked.alpha) == (direct.decision, direct.threshold, direct.alpha)


def test_a_bad_file_is_a_sentence_in_place_of_the_result(context, bad):
    result, card, panels, mask = handlers.analyse(context, str(bad["bad_text.jpg"]), 0.05, None, None)
    assert result is None and "No result" in card and "looks like text" in card
    assert not panels["visible"] and not mask["visible"]


def test_the_page_waits_without_a_picture(context):
    assert handlers.WAITING in handlers.analyse(context, None, 0.05, None, None)[1]


def test_a_composite_is_shown_with_its_mask_and_what_it_is(context):
    example = {"what": "A & B.", "licence": "CC0", "mask": "china_composite_mask.png"}
    path = str(EXAMPLES / "china_composite.jpg")
    _, card, _, mask = handlers.analyse(context, path, 0.05, example, None)
    assert mask["visible"] and "A &amp; B. CC0." in card


def test_the_model_is_named(detector):
    assert detector.fingerprint[:16] in app.footer(detector) and detector.located.model in app.footer(detector)


# Map


def test_nothing_but_a_picture_a_region_and_the_stability_test_runs_the_detector(result, monkeypatch):
    monkeypatch.setattr(Detector, "detect", None)
    for colour in maps.SHOWN:
        image, legend, _ = handlers.show_map(result, None, colour, 0.3, True, None, 2, None, *BOX)
        assert image.width >= views.SMALLEST_SHOWN and "gradient" in legend
    assert "Patch 2 " in handlers.show_patch(result, None, 2)
    panel, table = handlers.show_patches(result, None, 2)  # chosen before table and panel came
    assert "Patch 2 " in panel and table == handlers.show_table(result, None)
    assert "1 real picture in 10" in handlers.change_rate(result, None, None, 0.1)[0]
    assert len(table["data"]) == result.whole.evidence.n_patches
    assert len(handlers.pair_of(result, None, "evidence", 0.5)) == 2
    assert "svg" in handlers.show_null(result, 0.05)


def test_a_map_that_is_not_there_is_said_and_the_picture_stays(context, result, made):
    found, panel = result.whole.evidence.maps["locator"], handlers.show_patch(result, None, 2)
    assert "Unlike the rest" in panel and f"p-value {found.p_values[1]:.2g}" in panel
    small, region = made(picture(5, 64, 128)), handlers.analyse_region(context, result, ALPHA, *BOX)[0]
    for given, view in ((small, None), (result, region)):
        image, legend, _ = handlers.show_map(given, view, "locator", 0.5, True, None, None, None)
        assert np.array_equal(np.asarray(image), np.asarray(views.plain(given, view)))
        assert "This map is not there" in legend and "gradient" not in legend
        assert "Unlike the rest" not in handlers.show_patch(given, view, 1)


def test_the_map_is_the_detectors_overlay_and_opacity_0_leaves_the_colours_away(result):
    evidence = result.whole.evidence
    larger = views.SMALLEST_SHOWN // evidence.picture.width
    scaled = replace(evidence, grid=replace(evidence.grid, cells=larger * evidence.grid.cells))
    pixels = result.picture.pixels.repeat(larger, axis=0).repeat(larger, axis=1)
    doubtful = result.whole.reliability.doubtful
    expected = maps.overlay(pixels, scaled, 0.4, colorbar=False, doubtful=doubtful)
    assert np.array_equal(np.asarray(views.draw(result, None, "evidence", 0.4)), np.asarray(expected))
    assert np.array_equal(np.asarray(views.plain(result, None)), pixels)


@pytest.mark.parametrize("size", [(128, 96), (640, 480), (1920, 1280)])
def test_a_click_finds_the_patch_that_is_shown_there(made, size):
    width, height = size
    result = made(picture(3, height, width))
    place = views.frame(result.whole, True)
    assert abs(views.draw(result, None, "evidence", 0.5).width - width * place.factor) <= 1
    for patch in (0, 5, result.whole.evidence.n_patches - 1):
        left, top, right, bottom = place.to_map(result.whole.evidence.grid.cells[patch])
        middle = place.to_picture(((left + right) / 2, (top + bottom) / 2))
        assert views.patch_at(result.whole, middle) == patch


def test_a_click_beside_all_patches_finds_the_nearest(result):
    assert views.patch_at(result.whole, (10_000, 10_000)) == result.whole.evidence.n_patches - 1


def test_the_selected_patch_is_framed_where_it_lies(result):
    place = views.frame(result.whole, True)
    plain = np.asarray(views.plain(result, None)).astype(int)
    marked = np.asarray(views.mark(views.plain(result, None), result, None, 5, ()))
    changed = np.argwhere((marked != plain).any(axis=2))
    left, top, right, bottom = place.to_map(result.whole.evidence.grid.cells[5])
    assert np.allclose(changed.min(axis=0), (top, left), atol=8)
    assert np.allclose(changed.max(axis=0), (bottom, right), atol=8)


def test_doubtful_patches_are_said(made):
    pixels = picture(4)
    pixels[:, 64:] = 255
    view = made(pixels).whole
    assert view.reliability.doubtful.any()
    assert "saturated" in shown.doubts(view)
    assert shown.doubts(made(picture(4)).whole) == ""


def test_two_clicks_set_a_region_in_any_order(result):
    def at(x, y):
        factor = views.frame(result.whole, True).factor
        return gr.SelectData(None, {"index": [x * factor, y * factor], "value": None})

    corner = handlers.click(result, None, layout.CORNERS, None, at(100, 80))[1]
    assert corner == (100, 80)
    assert handlers.click(result, None, layout.CORNERS, corner, at(20, 10))[1:6] == (None, 20, 10, 80, 70)
    number = handlers.click(result, None, layout.INSPECT, None, at(100, 80))[0]
    x, y, w, h = result.whole.evidence.grid.cells[number - 1]
    assert x <= 100 < x + w and y <= 80 < y + h


def test_patch_numbers_out_of_range_select_nothing(result):
    assert [handlers.index_of(result.whole, number) for number in (None, 0, -3, 1000, 1)] == [None, None, None, None, 0]


def test_a_row_click_selects_its_patch_however_it_is_sorted():
    event = gr.SelectData(None, {"index": [0, 3], "value": "x", "row_value": ["7", "12", "0.3"]})
    assert handlers.row_click(event) == 12


def test_a_patch_is_shown_with_its_figures(result):
    evidence = result.whole.evidence
    best = maps.top_patches(evidence, 1)[0]
    panel = handlers.show_patch(result, None, best["index"] + 1)
    assert f"1 of {evidence.n_patches}" in panel and f"{best['evidence_times_n']:.3g}" in panel
    assert panel.count("<img") == 2 + 1 + 4 and panel.count("alt=") == panel.count("<img")
    below = replace(evidence, verdict=replace(evidence.verdict, score=-1.0))
    assert "not above 0" in dict(shown.patch_figures(replace(result.whole, evidence=below), 0))["Share of the score"]


def test_a_score_that_is_not_above_0_has_parts_in_place_of_shares(result):
    verdict, place = result.whole.evidence.verdict, shown.TABLE.index("share")
    above, below = (replace(result.whole.evidence, verdict=replace(verdict, score=score)) for score in (1.0, -1.0))
    tables = [
        handlers.show_table(replace(result, whole=replace(result.whole, evidence=each)), None)
        for each in (below, above)
    ]
    assert tables[0]["headers"][place] == "Adds to the score" and tables[0]["headers"] != shown.headers()
    parts = [row[place] for row in tables[0]["data"]]
    assert parts == pytest.approx(sorted(verdict.shares, reverse=True)[: len(parts)], rel=0.06)
    assert [row[place] for row in tables[1]] == pytest.approx([100 * part for part in parts], abs=0.06, rel=0.06)


def test_the_number_under_the_pointer_and_in_the_legend_says_what_it_is(result):
    found = result.whole.evidence.maps["locator"]
    read_out = json.loads(shown.cells(result, result.whole, "locator"))["cells"][0][4]
    assert read_out == f"unlikeness {found.values[0]:.3g}, p-value {found.p_values[0]:.2g}"
    assert json.loads(shown.cells(result, result.whole, "evidence"))["cells"][0][4].startswith("evidence ")
    assert "scale of the locator&#39;s own that has no unit" in shown.legend(result.whole.evidence, "locator")


# Region


def test_a_region_is_analysed_densely_and_shown_alone(context, result):
    region, card, back, patch = handlers.analyse_region(context, result, 0.05, *BOX)
    assert back["visible"] and patch is None
    assert region.evidence.n_patches > 6 and "in this region alone" in card and "96 x 64 pixels" in card
    place = views.frame(region, False)
    assert (place.x, place.y) == (0, 0) and (place.w, place.h) == (96, 64)
    assert views.draw(result, region, "evidence", 0.5).size != views.draw(result, None, "evidence", 0.5).size
    corner = gr.SelectData(None, {"index": [0, 0], "value": None})
    number = handlers.click(result, region, layout.INSPECT, None, corner)[0]
    assert number == 1


@pytest.mark.parametrize(
    ("box", "words"),
    [((0, 0, 20, 20), "at least 64 x 64"), ((0, 0, None, 20), "all four numbers"), ((900, 900, 90, 90), "at least")],
)
def test_a_region_that_cannot_be_used_is_a_sentence(context, result, box, words):
    _, card, _, _ = handlers.analyse_region(context, result, 0.05, *box)
    assert "No result" in card and words in card


@pytest.mark.parametrize(
    ("drawn", "box"),
    [([3, 4, 80, 90], (3, 4, 80, 90))]
    + [(none, (None,) * 4) for none in (None, 3, "abcd", [1, 2, 3], [1, 2.5, 3, 4], [True, 1, 2, 3], {"x": 1})],
)
def test_what_is_drawn_into_the_map_is_a_region_or_nothing(drawn, box):
    assert handlers.drawn_box(gr.SelectData(None, {"index": drawn, "value": None})) == box


def test_a_region_is_judged_at_the_rate_that_is_set(context, result):
    region = handlers.analyse_region(context, result, 0.05, *BOX)[0]
    just_above, just_below = region.evidence.verdict.p_value + 0.001, region.evidence.verdict.p_value - 0.001
    assert wording.VERDICTS["generated"] in shown.region_card(region, just_above)
    assert wording.VERDICTS["generated"] not in shown.region_card(region, just_below)
    assert "in this region alone" in handlers.change_rate(result, region, None, 0.1)[2]


def test_a_region_of_another_picture_is_not_shown(context, result, made):
    region = handlers.analyse_region(context, made(picture(9)), 0.05, *BOX)[0]
    assert result.view(region) is result.whole


def test_without_a_result_every_panel_says_so(context, tmp_path):
    assert handlers.GONE in handlers.analyse_region(context, None, 0.05, *BOX)[1]
    assert handlers.GONE in holding.show_stability(context, None, 0.05)[1]
    assert handlers.GONE in handlers.make_report(context, tmp_path, None, None, 0.05)[3]
    assert handlers.GONE in handlers.show_patch(None, None, 1)


# Stability, origin, report


def test_stability_follows_the_rate_and_belongs_to_one_result(context, result, made):
    held, panel, line = holding.show_stability(context, result, 0.05, None)
    assert stability.short(held[1]) in line
    assert all(name in panel for name in stability.CHANGES)
    assert [v.decision for v in handlers.held_at(held, result, 0.2)] == [
        v.decision for v in stability.variants(context.default, result.picture, 0.2)
    ]
    assert handlers.held_at(held, made(picture(9)), 0.05) == []


def test_the_stability_test_tells_how_far_it_is(context, result):
    class Told(list):
        """Like Gradio's `Progress`, which counts as false until it has an iterable."""

        def __call__(self, steps: tuple[int, int], desc: str) -> None:
            steps_told.append(steps)

    steps_told = []
    holding.hold(context, result, 0.05, Told())
    assert steps_told == [(done, len(stability.CHANGES)) for done in range(1, len(stability.CHANGES) + 1)]


def test_origin_shows_hostile_text_as_text(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "<script>alert(1)</script> Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1")
    text.add_text("Software", "<img src=x onerror=alert(2)>")
    Image.fromarray(picture(8)).save(tmp_path / "x.png", pnginfo=text)
    panel = shown.origin_panel(read_provenance(tmp_path / "x.png", read(tmp_path / "x.png", 64)))
    assert "&lt;script&gt;" in panel and "Steps: 20" in panel
    assert "<script" not in panel and "<img" not in panel
    assert "Marks that anybody can see" in panel and "are not read here" in panel


def test_the_report_has_the_figures_of_the_page(context, result, tmp_path):
    held, _, _, said, page, data = handlers.make_report(context, tmp_path, result, None, 0.1, None)
    html, figures = Path(page["value"]).read_text("utf-8"), json.loads(Path(data["value"]).read_text("utf-8"))
    evidence = result.whole.evidence
    assert "ready" in said and page["visible"] and data["visible"]
    for told in (evidence.picture.sha256, evidence.model.fingerprint, wording.VERDICTS[evidence.verdict.outcome]):
        assert told in html
    assert figures["result"]["score"] == evidence.verdict.score and figures["settings"]["alpha"] == 0.1
    assert held[0] is result and len(held[1]) == len(stability.CHANGES)
    assert all(tmp_path in Path(file["value"]).parents for file in (page, data)), "where Gradio deletes them"


def test_a_plot_has_a_text_alternative(result):
    evidence = result.whole.evidence
    assert f'alt="{escape(charts.describe_null(evidence))}"' in shown.null_plot(evidence)


def test_it_is_said_when_patches_stand_for_more_than_themselves(made):
    assert shown.coverage(made(picture(2)).whole.evidence) == ""
    large = made(picture(2, 640, 640)).whole.evidence
    covered = large.grid.boxes[0, 2] * large.grid.boxes[0, 3] * large.n_patches / (640 * 640)
    assert f"{covered:.0%} of the picture" in shown.coverage(large)
