"""The handlers of the tab for one's own pictures."""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image
from tiny import make_checkpoint, picture

import app
from mdmf_app import views
from mdmf_app.tabs import mine
from mdmf_core import trusted
from mdmf_core.images.origin import origin_of
from mdmf_core.images.reader import read

HOSTILE = "<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    """22 pictures, one of them with a hostile name."""
    folder = tmp_path_factory.mktemp("mine")
    names = [*(f"{seed:02d}.png" for seed in range(21)), HOSTILE]
    for seed, name in enumerate(names):
        Image.fromarray(picture(400 + seed)).save(folder / name)
    return [str(folder / name) for name in names]


@pytest.fixture
def work(context, tmp_path, monkeypatch):
    """Makes a reference and gives all that is shown meanwhile; reports after each picture."""
    monkeypatch.setattr(mine, "EVERY", 0)

    def run(paths, stop=None) -> list:
        return list(mine.work(context, str(tmp_path), stop, paths, None))

    return run


@pytest.fixture
def result(detector, photo) -> views.Result:
    seen = read(photo, 64)
    return views.Result(str(photo), views.judge(seen, detector.detect(seen)), None, None, origin_of(photo))


def test_pictures_become_a_reference_that_is_saved_without_their_names(work, files, detector):
    steps = work(files)
    assert "1 of 22 done, about" in steps[0][0] and 'value="1" max="22"' in steps[0][0]
    status, made, save, drop, forget = steps[-1]
    assert made.n == 22 and "22 pictures are your reference; p can&#39;t be below 0.043." in status
    assert save["visible"] and forget["visible"] and drop["visible"] == bool(made.outliers())
    content = Path(save["value"]).read_bytes()
    assert b"07.png" not in content and "07.png" in made.pictures
    assert trusted.load(save["value"], detector).hashes == made.hashes


def test_what_can_not_be_used_is_told_and_the_others_go_on(work, files, tmp_path):
    letter = tmp_path / HOSTILE
    letter.write_text("This is a letter and not a picture.\n" * 20)
    status, made, *_ = work([*files[:21], str(letter)])[-1]
    assert made.n == 21 and "onerror=alert(1)&gt;.png: The file looks like text" in status
    assert "<img" not in status


def test_a_zip_will_do(work, files, tmp_path):
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in files[:20]:
            packed.write(path, Path(path).name)
    assert work([str(archive)])[-1][1].n == 20


def test_too_few_pictures_and_none_are_a_sentence_and_what_was_there_stays(work, files, tmp_path):
    for paths, sentence in ((None, "choose some first"), (files[:19], "at least 20 pictures")):
        steps = work(paths)
        assert len(steps) == 1 and sentence in steps[0][0] and steps[0][1] == gr.skip()
    (tmp_path / "bad.png").write_text("no picture")
    status, made, *_ = work([*files[:19], str(tmp_path / "bad.png")])[-1]
    assert "there are 19" in status and "bad.png: " in status and made == gr.skip()


def test_making_a_reference_stops_when_asked(work, files):
    stop = threading.Event()
    stop.set()
    status, made, *_ = work(files, stop)[-1]
    assert "Cancelled" in status and made == gr.skip()


def test_a_reference_that_takes_too_long_is_a_sentence(work, files, monkeypatch):
    monkeypatch.setattr(mine, "LONGEST", -1)
    assert "longer than 10 minutes" in work(files)[-1][0]


def test_a_saved_reference_is_opened(work, files, context, tmp_path):
    saved = work(files)[-1][2]["value"]
    status, made, save, *_ = mine.open_saved(context, str(tmp_path), saved, None)
    assert made.n == 22 and made.pictures == () and save["visible"] and "22 pictures are your reference" in status
    status, kept, *_ = mine.open_saved(context, str(tmp_path), files[0], None)
    assert "damaged or no reference" in status and 'role="alert"' in status and kept == gr.skip()
    assert mine.open_saved(context, str(tmp_path), None, None)[1] == gr.skip()


def test_the_line_beside_the_card_is_there_while_the_reference_is_in_use(work, files, result):
    made = work(files)[-1][1]
    line = mine.beside(made, True, result, 0.05)
    assert "Compared with your 22 pictures: " in line and "p can&#39;t be below 0.043." in line
    assert [
        mine.beside(*given, 0.05) for given in ((None, True, result), (made, False, result), (made, True, None))
    ] == [
        "",
        "",
        "",
    ]


def test_the_line_says_where_the_picture_was_judged_by_another_model(work, files, photo, tmp_path):
    from mdmf_core.detector import Detector

    made = work(files)[-1][1]
    other = Detector.from_pretrained(make_checkpoint(tmp_path / "other", statistic="mmd"))
    seen = read(photo, 64)
    judged = views.Result(str(photo), views.judge(seen, other.detect(seen)), None, None, origin_of(photo))
    assert "made with another model" in mine.beside(made, True, judged, 0.05)


def test_those_that_stand_out_are_left_out_when_asked(work, files, tmp_path, monkeypatch):
    made = work(files)[-1][1]
    monkeypatch.setattr(type(made), "outliers", lambda self: [0] if self.n == 22 else [])
    status, rest, save, drop, _ = mine.leave_out(str(tmp_path), made)
    assert rest.n == 21 and "21 pictures" in status and not drop["visible"]
    monkeypatch.setattr(type(made), "outliers", lambda self: [0, 1])
    assert "there are 19" in mine.leave_out(str(tmp_path), rest)[0]
    assert mine.NONE in mine.leave_out(str(tmp_path), None)[0]


def test_a_reference_is_kept_in_its_session_alone(detector):
    demo = app.build(detector)

    def with_output(elem_id: str) -> list:
        return [fn for fn in demo.fns.values() if elem_id in [getattr(block, "elem_id", None) for block in fn.outputs]]

    setters, readers = with_output("mine-save"), with_output("beside")
    states = {block for fn in setters for block in fn.outputs if isinstance(block, gr.State)}
    assert len(setters) == 4 and len(states) == 1 and len(readers) == 5
    (state,) = states
    assert state.value is None and state.time_to_live == 3600 and all(fn.inputs[0] is state for fn in readers)
