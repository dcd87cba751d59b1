"""The handlers of the tabs for many pictures, two pictures and the model."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import threading
from dataclasses import fields
from pathlib import Path

import gradio as gr
import huggingface_hub
import numpy as np
import pytest
from packed import pack
from tiny import HOSTILE, make_checkpoint, several

from mdmf_app.context import PLACES, Choice
from mdmf_app.labels import english
from mdmf_app.tabs import compare, many, model
from mdmf_app.tabs.one.layout import Shown
from mdmf_core.images import archive
from mdmf_core.images.reader import read
from mdmf_core.run import batch
from mdmf_core.show import maps
from mdmf_core.show import words as wording


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """Another checkpoint, with a card."""
    folder = make_checkpoint(tmp_path_factory.mktemp("other") / "other", statistic="mmd")
    (folder / "README.md").write_text("# A card\n\n<b>bold</b>\n")
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    return several(tmp_path_factory.mktemp("files"))


@pytest.fixture
def work(context, tmp_path, monkeypatch):
    """Runs the batch and gives all that it yields; reports after each picture."""
    monkeypatch.setattr(many, "EVERY", 0)

    def run(paths, stop=None, alpha=0.1, choice=None) -> list:
        return list(many.work(context, str(tmp_path), stop, paths, alpha, choice))

    return run


def rows_of(table: str) -> list[dict[str, str]]:
    """The rows of a list: their attributes, and their `text`."""
    rows = re.findall(r"<tr (data-.*?)>\n(.*?)</tr>", table, re.DOTALL)
    return [
        {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="(.*?)"', attributes)}
        | {"text": html.unescape(re.sub(r"<[^>]*>", "", inside))}
        for attributes, inside in rows
    ]


def p_of(detector, files, name: str) -> float:
    """The p-value of the file of a name."""
    return detector.detect(next(path for path in files if Path(path).name == name)).verdict.p_value


# Many pictures


def test_a_batch_gives_table_maps_and_files(work, detector, files):
    status, table, kept, page_file, csv_file, json_file = work(files)[-1]
    assert "could not be analysed" in status and "Cancelled" not in status
    rows = rows_of(table["value"])
    evidence = detector.detect(files[0], 0.1)
    by_p = sorted(("a.png", "b.png", HOSTILE), key=lambda name: p_of(detector, files, name))
    assert [row["data-name"] for row in rows] == [*by_p, "letter.jpg"], "without likelihood ratios the lowest p first"
    first = next(row for row in rows if row["data-name"] == "a.png")
    assert first["data-answer"] == evidence.verdict.outcome and first["data-group"] == "nothing"
    for words in (wording.VERDICTS[evidence.verdict.outcome], f"{evidence.verdict.p_value:.3g}", "128 x 96"):
        assert words in first["text"]
    assert "Not analysed. The file looks like text" in rows[3]["text"] and "data-open" not in rows[3]
    assert [first["data-open"], first["data-given"]] == ["0", "0"]
    assert [source and source.path for source in kept] == [files[0], files[1], None, files[3]]
    assert table["value"].count("data:image/jpeg") == 3 and "<img src=x" not in table["value"]
    assert "Evidence report: 4 files" in Path(page_file["value"]).read_text("utf-8")
    figures = list(csv.DictReader(io.StringIO(Path(csv_file["value"]).read_text("utf-8"))))
    data = json.loads(Path(json_file["value"]).read_text("utf-8"))
    assert float(figures[0]["score"]) == data["rows"][0]["score"] == evidence.verdict.score
    assert data["fingerprint"] == detector.fingerprint and data["alpha"] == 0.1
    assert all(update["visible"] for update in (table, page_file, csv_file, json_file))


def test_the_q_value_is_explained_beside_the_table(context):
    with gr.Blocks() as demo:
        many.layout()
    shown = [english(block.value) for block in demo.blocks.values() if isinstance(block, gr.HTML)]
    assert any(batch.ABOUT_Q in text for text in shown)


def test_a_row_is_opened_from_what_was_given_also_from_an_archive(context, work, files, tmp_path):
    packed = pack(tmp_path / "a.zip", {"x/in.png": Path(files[0]).read_bytes(), "x/bad.png": b"no picture"})
    kept = work([files[1], str(packed)])[-1][2]
    assert many.open_row(str(tmp_path), kept, 0)[0] == files[1]
    path, once = many.open_row(str(tmp_path), kept, 1)
    assert Path(path).name == "in.png" and Path(path).read_bytes() == Path(files[0]).read_bytes()
    assert once != many.open_row(str(tmp_path), kept, 1)[1], "the same row can be opened again"
    for place in (2, 3, -1, None):
        with pytest.raises(gr.Error, match="not here any more"):
            many.open_row(str(tmp_path), kept, place)
    packed.write_bytes(b"another file")
    with pytest.raises(gr.Error, match="can't be unpacked"):
        many.open_row(str(tmp_path), kept, 1)
    with pytest.raises(gr.Error, match="not here any more"):
        many.open_row(str(tmp_path), None, 0)


def test_progress_comes_with_an_estimate(work, files):
    reports = [step[0] for step in work(files)[1:-1]]
    assert len(reports) >= 3 and "1 of 4 done, about" in reports[0]
    assert 'value="1" max="4"' in reports[0] and 'role="status"' in reports[0]
    assert many.remaining(0.1) == "1 s" and many.remaining(45.4) == "45 s" and many.remaining(600) == "10 min"


def test_a_batch_stops_when_asked_and_keeps_what_is_done(context, files, tmp_path, monkeypatch):
    monkeypatch.setattr(many, "EVERY", 0)
    stop = threading.Event()
    steps = many.work(context, str(tmp_path), stop, files, 0.1, None)
    next(steps), next(steps)
    assert many.halt(stop)["interactive"] is False and stop.is_set()
    status, table, *_, json_file = list(steps)[-1]
    assert "<strong>Cancelled</strong> after 2 of 4" in status and len(rows_of(table["value"])) == 2
    assert len(json.loads(Path(json_file["value"]).read_text("utf-8"))["rows"]) == 2


def test_a_batch_cancelled_in_the_queue_does_not_begin(work, files):
    stop = threading.Event()
    stop.set()
    status, table, kept, *written = work(files, stop)[-1]
    assert "Cancelled</strong> before it began" in status and kept is None
    assert not any(update["visible"] for update in (table, *written))


def test_stop_without_a_batch_does_nothing():
    assert many.halt(None)["interactive"] is False
    assert isinstance(many.ready()[0], threading.Event) and many.ready()[0] is not many.ready()[0]
    assert "Waiting for the model" in many.ready()[3]


def test_no_files_are_a_sentence(work):
    assert "choose some first" in work(None)[-1][0]


def test_unpacked_files_are_gone_afterwards(context, files, tmp_path, monkeypatch):
    folders = []
    gather = archive.gather
    monkeypatch.setattr(archive, "gather", lambda paths, folder: folders.append(folder) or gather(paths, folder))
    list(many.work(context, str(tmp_path), None, files[:1], 0.1, None))
    assert folders and not Path(folders[0]).exists()


def test_a_batch_uses_the_model_of_its_session(work, context, other, files):
    choice = context.load(str(other))
    data = json.loads(Path(work(files[:1], choice=choice)[-1][5]["value"]).read_text("utf-8"))
    assert data["fingerprint"] == context.detector(choice).fingerprint != context.default.fingerprint


def test_a_model_that_is_gone_is_a_sentence(work, files, tmp_path):
    assert "There is no folder" in work(files, choice=Choice(str(tmp_path / "gone"), None))[-1][0]


# The model


def load(context, wanted, revision="", choice=None) -> tuple:
    return list(model.change(context, wanted, revision, choice))[-1]


def test_a_folder_is_loaded_for_this_session_alone(context, detector, other):
    choice, status, about, card = load(context, f" {other} ")
    loaded = context.detector(choice)
    assert loaded.fingerprint in about and "in use in this browser tab" in status and "MMD to real patches" in about
    assert "<h3>A card</h3>" in card and "&lt;b&gt;bold&lt;/b&gt;" in card and "<b>" not in card
    assert context.default is detector and context.detector(None) is detector
    assert model.go_back(context)[0] is None and detector.fingerprint in model.go_back(context)[2]


@pytest.mark.parametrize(
    "wanted", ["", "   ", "/nowhere/at/all", "~nobody/x", "../../etc", "a/b/c", "~no_such_user/x", 300 * "a", "a\0b"]
)
def test_a_failure_is_one_sentence_and_keeps_the_current_model(context, other, wanted):
    current = context.load(str(other))
    choice, status, about, card = load(context, wanted, choice=current)
    assert choice == current and "Not loaded" in status and "The model in use stays." in status
    assert about == card == gr.skip() and status.count("<p>") == 1


def test_a_folder_that_is_no_checkpoint_is_a_sentence(context, tmp_path):
    assert "lacks config.json" in load(context, str(tmp_path))[1]


@pytest.mark.parametrize("wanted", ["/etc", ".", "..", "~", "mdmf_core/method", "../secret", "a\\b", "x/../y", "gpt2"])
def test_on_a_space_no_folder_can_be_named(context, other, monkeypatch, wanted):
    monkeypatch.setenv("SPACE_ID", "someone/space")
    monkeypatch.chdir(Path(model.__file__).parents[2])
    monkeypatch.setattr(context, "load", lambda *_: pytest.fail("nothing may be loaded"))
    for name in (wanted, str(other)):
        assert model.ONLY_HUB in load(context, name)[1]


def test_on_a_space_a_repository_can_be_named(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "someone/space")
    assert model.check_name(" someone/some-model ") == "someone/some-model"


def test_progress_is_told_while_a_model_loads(context, other, monkeypatch):
    slow = threading.Event()
    loading = context.load
    monkeypatch.setattr(model, "EVERY", 0.01)
    monkeypatch.setattr(context, "load", lambda *wanted: slow.wait(0.1) or loading(*wanted))
    steps = list(model.change(context, str(other), "", None))
    assert len(steps) >= 4 and "Looking for" in steps[0][1] and "<progress" in steps[1][1]
    assert all(step[0] == gr.skip() for step in steps[:-1])


def test_an_unreachable_hub_is_a_sentence(context, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", unreachable)
    assert "The Hub could not be reached for someone/some-model" in load(context, "someone/some-model")[1]


def test_a_card_is_text_tables_and_links_and_nothing_else(tmp_path):
    text = (
        "---\nlicense: mit\ntags: [x]\n---\n# Title\n\n<script>alert(1)</script>\n\n<img src=http://evil.test/1.png>\n\n"
        '![pixel](http://evil.test/2.png) [bad](javascript:alert(1)) [data](data:text/html,x) [good](https://a.test/?q="x)\n\n'
        "| a | b |\n|---|---|\n| 1 | `<i>` |\n\n[ref]: http://evil.test\n"
    )
    html = model.safe_markdown(text)
    assert "license" not in html and "<h3>Title</h3>" in html and "<td>1</td>" in html and "&lt;i&gt;" in html
    assert "<script" not in html and "<img" not in html and "[picture: pixel]" in html
    assert html.count("href=") == 1 and 'rel="noopener noreferrer nofollow"' in html
    assert "javascript:alert(1)" not in html.replace("(javascript:alert(1))", "")
    long, short = (model.safe_markdown(f"# Made\n\n{'word ' * count}") for count in (500, 50))
    assert long.startswith("<details><summary><h3>Made</h3>") and "<details>" not in short


def test_a_model_without_a_card_says_so(detector, monkeypatch):
    monkeypatch.setattr(model, "CARD", "missing.md")
    assert model.NO_CARD in model.card_of(detector)


def test_what_a_model_is_made_of_is_told(detector):
    facts = {"real": {"some_source": 3, "other": 998, "other_whole": 2}, "points": [1, 2]}
    whole = "1,003: some source 3, other 998, other whole 2"
    assert model.figures(facts) == [("Real pictures in the reference", "1,003 of 2 sources", whole)]
    about = model.about_model(detector)
    assert detector.fingerprint in about and "CPU" in about and "32 x 32 pixels" in about
    kept, detector.locator = detector.locator, None
    assert "was not trained for it" in model.about_model(detector) and "was not trained" not in about
    detector.locator = kept


def test_the_model_is_used_by_one_at_a_time(context):
    with gr.Blocks() as demo:
        chosen = gr.State()
        many.tab(context, chosen, Shown(*(gr.State() for _ in fields(Shown))))
        for module in (compare, model):
            module.tab(context, chosen)
    slow, loading = ([fn for fn in demo.fns.values() if fn.concurrency_id == queue] for queue in ("model", "loading"))
    assert {fn.concurrency_limit for fn in slow} == {PLACES} and len(slow) == 6
    assert {fn.concurrency_limit for fn in loading} == {1} and len(loading) == 1
    assert not [fn for fn in demo.fns.values() if fn.api_visibility == "public"]


def test_maps_of_a_batch_are_those_of_one_picture(detector, files):
    drawn = next(batch.run(detector, [archive.Item("a.png", Path(files[0]))], 0.1)).thumbnail
    seen = read(files[0], 32)
    expected = maps.overlay(seen.pixels, detector.detect(seen, 0.1), colorbar=False)
    assert np.array_equal(np.asarray(drawn), np.asarray(expected))
