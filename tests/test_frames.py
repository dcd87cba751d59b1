"""Videos among pictures: one row a frame, a strip and a line, and no answer for the video anywhere."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import films
import numpy as np
import pytest
from PIL import Image
from signed import signed
from typed import run

from mdmf_app.tabs import many
from mdmf_core.evidence import NOT_JUDGED
from mdmf_core.images import clip as clips
from mdmf_core.images.archive import Item
from mdmf_core.run import batch, frames
from mdmf_core.show import charts, strip
from mdmf_core.show.words import VERDICTS

VERDICT_WORDS = re.compile("|".join(words for name, words in VERDICTS.items() if name != NOT_JUDGED), re.IGNORECASE)


@pytest.fixture(scope="module")
def moving(tmp_path_factory) -> Path:
    """A second of an MP4: 24 frames."""
    return films.clip(tmp_path_factory.mktemp("moving") / "clip.mp4", n=24, noise=8)


@pytest.fixture(scope="module")
def mixed(moving, photo, tmp_path_factory) -> list[Item]:
    """A picture, a video, a broken video, another picture."""
    broken = tmp_path_factory.mktemp("broken") / "broken.mp4"
    broken.write_bytes(moving.read_bytes()[:2000])
    given = [("photo.png", photo), ("clip.mp4", moving), ("broken.mp4", broken), ("again.png", photo)]
    return frames.expanded([Item(name, path) for name, path in given], 32)


@pytest.fixture(scope="module")
def rows(mixed, detector) -> list[batch.Row]:
    return batch.adjust(list(frames.run(detector, mixed, 0.05)))


# Rows


def test_a_video_becomes_a_row_for_each_frame_in_its_place(rows, mixed):
    assert [row.name for row in rows] == [item.name for item in mixed]
    assert [row.name for row in rows[::25]] == ["photo.png", "broken.mp4"] and len(rows) == 27
    times = [row.seconds for row in rows[1:25]]
    assert times == pytest.approx(np.arange(24) / films.RATE)
    assert rows[1].name == "clip.mp4 at 0:00.00" and rows[13].name == "clip.mp4 at 0:00.50"
    assert "damaged or cut off" in rows[25].error and rows[26].error is None


def test_a_frame_is_scored_as_a_picture_of_its_pixels(rows, moving, detector):
    found = clips.look(moving, 32)
    for row, frame in zip(rows[1:25], clips.frames(moving, found, 32), strict=True):
        verdict = detector.detect(frame.picture.pixels).verdict
        assert (row.score, row.p_value) == (verdict.score, verdict.p_value)
        assert row.sha256 == found.sha256 and (row.width, row.height) == (films.WIDTH, films.HEIGHT)


def test_a_frame_has_no_verdict_and_no_q_value(rows):
    for row in rows[1:25]:
        assert (row.outcome, row.judged, row.decision, row.q_value) == (NOT_JUDGED, False, None, None)
        assert row.likelihood_ratio is row.support is None and row.reason
        told = row.to_dict()
        assert told["about"] == strip.ABOUT and told["video"] == "clip.mp4" and told["seconds"] == row.seconds
        assert not VERDICT_WORDS.search(json.dumps(told))


def test_pictures_beside_a_video_are_judged_as_without_it(rows, photo, detector):
    items = [Item("photo.png", photo), Item("again.png", photo)]
    alone = batch.adjust(list(batch.run(detector, items, 0.05)))
    for row, wanted in zip((rows[0], rows[26]), alone, strict=True):
        assert replace(row, thumbnail=None).to_dict() == replace(wanted, thumbnail=None).to_dict()
        assert row.q_value is not None


def test_the_summary_says_that_there_is_no_answer_for_the_video(rows):
    told = batch.summary(rows, 0.05)
    assert "24 frames of video analysed. There is no answer for the video." in told
    assert told.startswith(batch.summary([rows[0], rows[25], rows[26]], 0.05))
    assert batch.summary(rows[1:25], 0.05).startswith("24 frames of video")


def test_a_frame_that_gets_lost_is_a_sentence_and_the_others_go_on(moving, detector, monkeypatch):
    items = frames.expanded([Item("clip.mp4", moving)], 32)
    whole = clips.frames

    def some(*given):
        return (frame for frame in whole(*given) if frame.place not in (3, 23))

    monkeypatch.setattr(clips, "frames", some)
    found = list(frames.run(detector, items, 0.05))
    assert [place for place, row in enumerate(found) if row.error == frames.LOST] == [3, 23]
    assert len(frames.films(found, items)[0].shots) == 22


def test_a_batch_takes_only_some_videos(moving):
    items = frames.expanded([Item(f"{number}.mp4", moving) for number in range(frames.MOST_VIDEOS + 2)], 32)
    assert [item.error for item in items if item.error] == [frames.TOO_MANY] * 2
    assert len(items) == 24 * frames.MOST_VIDEOS + 2


def test_the_same_video_twice_gives_its_frames_twice(moving, detector):
    items = frames.expanded([Item("a.mp4", moving), Item("a.mp4 (2)", moving)], 32)
    first, second = np.array([row.score for row in frames.run(detector, items, 0.05)]).reshape(2, 24)
    assert np.array_equal(first, second)


# Strip and line


def test_the_line_over_time_has_one_scale_for_all_videos():
    scales = {charts.time_plot([0, 1, 2], p_values).axes[0].get_ylim() for p_values in ([0.9] * 3, [0.5, 0.02, 0.3])}
    assert len(scales) == 1
    low, high = scales.pop()
    assert low > 1 > 0.001 > high > 0
    (line,) = charts.time_plot([0, 1.5], [0.9, 1e-5]).axes[0].lines
    assert line.get_xydata().tolist() == [[0, 0.9], [1.5, 1e-5]]
    assert line.axes.get_ylim()[1] < 1e-5
    said = charts.describe_time([0, 1.5, 3], [0.9, 0.01, 0.2])
    assert "3 frames over 3 seconds" in said and "0.01 to 0.9" in said and "not among" in said


def test_the_strip_shows_every_frame_with_its_time_and_says_why_there_is_no_answer():
    image = Image.new("RGB", (300, 200), "red")
    film = strip.Film("<b>a.mp4", "told <i>.", ["note <u>."], [strip.Shot(0.5 * n, 0.25, image) for n in range(5)])
    for page in (strip.page(film), strip.fragment([film])):
        assert (
            '<section class="film" lang="en">' in page
            and page.count("<figure>") == 5
            and "0:02.00<br>p 0.25" in page
            and strip.ABOUT in page
        )
        assert "&lt;b&gt;a.mp4" in page and "<b>" not in page and "<i>" not in page and "<u>" not in page
        assert not re.search(r"""(src|href)=["'](?!data:)|<script|url\(""", page) and not VERDICT_WORDS.search(page)
    assert "default-src 'none'" in html.unescape(strip.page(film)) and strip.fragment([]) == ""


# The command


def test_the_command_gives_one_json_object_with_frames_and_times(moving, photo, checkpoint, capsys):
    assert run("detect", moving, photo, "--model", checkpoint, "--json") == 0
    found, other = map(json.loads, capsys.readouterr().out.splitlines())
    assert found["path"] == str(moving) and found["about"] == strip.ABOUT and other["path"] == str(photo)
    usual = {"sha256", "width", "height", "statistic", "alpha", "model", "revision", "fingerprint", "notes", "origin"}
    assert usual <= found.keys() and not {"outcome", "decision", "p_value", "score"} & found.keys()
    assert found["video"] == {"format": "MP4", "codec": "h264", "seconds": 1.0, "n_frames": 24, "n_chosen": 24}
    assert [frame["time"] for frame in found["frames"]] == pytest.approx(np.arange(24) / films.RATE)
    for frame in found["frames"]:
        assert {"score", "p_value", "n_calibration", "n_patches", "n_flagged", "reason"} <= frame.keys()
        assert (frame["outcome"], frame["judged"], frame["decision"]) == (NOT_JUDGED, False, None)
    assert not VERDICT_WORDS.search(json.dumps(found))


def test_the_command_gives_one_line_a_frame(moving, checkpoint, capsys):
    assert run("detect", moving, "--model", checkpoint) == 0
    about, *lines = capsys.readouterr().out.splitlines()
    assert about.startswith(f"{moving}: 24 of 24 frames, MP4 (h264), 1.0 s. {strip.ABOUT}")
    assert len(lines) == 24 and lines[12].startswith(f"{moving} at 0:00.50: score ")
    assert not VERDICT_WORDS.search(" ".join([about, *lines]))


def test_the_command_writes_a_map_a_frame_and_a_page(moving, checkpoint, tmp_path, capsys):
    folder = tmp_path / "maps"
    assert run("detect", moving, "--model", checkpoint, "--heatmap", folder) == 0
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 25
    (page,) = folder.glob("clip-*.html")
    assert page.read_text("utf-8").count("<figure>") == 24
    assert Image.open(sorted(folder.glob("clip-*-23.png"))[0]).width >= films.WIDTH


def test_a_bad_video_is_one_sentence_and_the_others_go_on(moving, photo, checkpoint, tmp_path, capsys):
    sound = films.sound(tmp_path / "sound.mp4")
    assert run("detect", sound, photo, "--model", checkpoint, "--json") == 1
    bad, good = map(json.loads, capsys.readouterr().out.splitlines())
    assert bad == {"path": str(sound), "error": "The file has no video in it, only sound or text."}
    assert good["path"] == str(photo)


def test_maps_that_can_not_be_written_cost_no_result(moving, checkpoint, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run("detect", moving, "--model", checkpoint, "--json", "--heatmap", tmp_path / "file" / "maps") == 1
    said = capsys.readouterr()
    assert len(json.loads(said.out)["frames"]) == 24 and "A map is missing" in said.err


@pytest.mark.parametrize(("name", "mime"), [("a.mp4", "video/mp4"), ("a.mov", "video/quicktime")])
def test_a_signed_video_says_what_it_declares(name, mime, signer, checkpoint, tmp_path, capsys):  # noqa: F811
    path = films.clip(tmp_path / name, n=2)
    path.write_bytes(signed(path.read_bytes(), mime, *signer[:2], "trainedAlgorithmicMedia"))
    assert run("detect", path, "--model", checkpoint, "--json") == 0
    origin = json.loads(capsys.readouterr().out)["origin"]
    assert origin["generated"] == "yes" and origin["signed"] and origin["unchanged"] and origin["contradiction"] == ""


# The page


def test_a_video_dropped_among_many_pictures_gives_rows_a_strip_and_no_answer(context, moving, photo, tmp_path):
    steps = list(many.work(context, str(tmp_path), None, [str(photo), str(moving)], 0.05, None))
    status, *_, data = steps[-1]
    assert status.count("<figure>") == 24 and strip.ABOUT in status
    told = json.loads(Path(data["value"]).read_text("utf-8"))["rows"]
    assert [row["name"] for row in told[:2]] == ["photo.png", "clip.mp4 at 0:00.00"] and len(told) == 25
    assert not VERDICT_WORDS.search(status.split("</p>")[-1]) and not VERDICT_WORDS.search(json.dumps(told[1:]))
