"""Videos: the frames that are there, at their own times and upright, within bounds; else one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import films
import numpy as np
import pytest
from asserted import assert_one_sentence

from mdmf_core.errors import ImageError
from mdmf_core.images import clip as clips
from mdmf_core.images import isolated, reader, video
from mdmf_core.images.kinds import is_video

KINDS = {
    "a.mp4": ("libx264", "MP4", "h264"),
    "b.mp4": ("mpeg4", "MP4", "mpeg4"),
    "c.mov": ("libx264", "MOV", "h264"),
    "d.mkv": ("libx264", "Matroska", "h264"),
    "e.webm": ("libvpx-vp9", "WebM", "vp9"),
    "f.avi": ("mpeg4", "AVI", "mpeg4"),
    "g.avi": ("libx264", "AVI", "h264"),
}


def taken(path: Path, min_side: int = 128) -> tuple[clips.Clip, list[clips.Frame]]:
    found = clips.look(path, min_side)
    return found, list(clips.frames(path, found, min_side))


def refused(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        taken(path)
    assert_one_sentence(str(caught.value))
    assert str(path.parent) not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def here(monkeypatch) -> None:
    """Decode in this process, where limits can be changed."""
    monkeypatch.setattr(isolated, "ask", isolated.work)


# What is there


@pytest.mark.parametrize("name", KINDS)
def test_every_container_and_codec_gives_its_frames_at_their_times(name, tmp_path):
    codec, kind, called = KINDS[name]
    found, frames = taken(films.clip(tmp_path / name, codec))
    assert (found.format, found.codec, found.n_frames, found.notes) == (kind, called, 60, ())
    assert found.seconds == pytest.approx(60 / films.RATE, abs=0.01)
    places = [frame.place for frame in frames]
    if name == "g.avi":  # an AVI has no stamps of its own for H.264, so some frames are lost
        assert len(places) >= 24 and places == sorted(set(places))
    else:
        assert places == list(range(32))
    for frame in frames:
        assert abs(films.shown_at(frame.picture.pixels) - frame.seconds * films.RATE) <= 1
        assert frame.picture.pixels.shape == (films.HEIGHT, films.WIDTH, 3)
        assert frame.picture.name == f"{name} at {clips.clock(frame.seconds)}"
        assert frame.picture.sha256 == found.sha256 and frame.picture.format == kind


def test_colours_are_those_that_were_put_in(tmp_path):
    _, frames = taken(films.clip(tmp_path / "a.mp4", n=3))
    for number, frame in enumerate(frames):
        body = np.median(frame.picture.pixels[films.CORNER :], axis=(0, 1))
        assert np.abs(body - (120, films.green(number), 90)).max() <= 3
        assert frame.picture.pixels[4 : films.CORNER - 4, 4 : films.CORNER - 4].min() >= 250


def test_a_short_clip_gives_every_frame_and_one_of_one_frame_too(tmp_path):
    for n in (1, 2, 7, 32):
        _, frames = taken(films.clip(tmp_path / f"{n}.mp4", n=n))
        assert [films.shown_at(frame.picture.pixels) for frame in frames] == list(range(n))


@pytest.mark.parametrize("turned", [90, -90, 180])
def test_a_turned_clip_is_set_upright(turned, tmp_path):
    corner = {90: (-1, 0), -90: (0, -1), 180: (-1, -1)}[turned]  # counterclockwise, from the top left
    _, frames = taken(films.clip(tmp_path / "a.mp4", n=3, turned=turned))
    for frame in frames:
        pixels = frame.picture.pixels
        tall = pixels.shape[0] > pixels.shape[1]
        assert tall == (turned != 180) and pixels.flags.c_contiguous
        corners = {(row, column): pixels[row, column].min() > 240 for row in (0, -1) for column in (0, -1)}
        assert [place for place, white in corners.items() if white] == [corner]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_variable_frame_rate_keeps_its_times(name, tmp_path):
    stamps = [0, 0.1, 0.2, 0.25, 0.3, 1.5, 1.55, 4, 4.5, 7]
    found, frames = taken(films.clip(tmp_path / name, n=10, stamps=stamps))
    assert [frame.seconds for frame in frames] == pytest.approx(stamps, abs=0.002)
    assert [films.shown_at(frame.picture.pixels) for frame in frames] == list(range(10))
    assert found.seconds >= 7


def test_a_long_clip_is_sampled_evenly_in_time(tmp_path):
    found, frames = taken(films.clip(tmp_path / "a.mp4", n=600, size=(128, 128)))
    times = np.array([frame.seconds for frame in frames])
    part = found.seconds / 32
    assert found.n_frames == 600 and len(frames) == 32
    assert np.abs(times - part * (np.arange(32) + 0.5)).max() <= part / 2 + 1 / films.RATE


def naive(stamps: list[int], keys: list[int], most: int) -> list[int]:
    """`video.choose`, one part after the other."""
    if len(stamps) <= most:
        return stamps
    part, chosen = (stamps[-1] - stamps[0]) / most, set()
    for number in range(most):
        middle = stamps[0] + part * (number + 0.5)
        near = [key for key in keys if abs(key - middle) <= part / 2]
        chosen.add(min(near or stamps, key=lambda stamp: (abs(stamp - middle), stamp)))
    return sorted(chosen)


@pytest.mark.parametrize("seed", range(20))
def test_frames_are_chosen_as_a_naive_loop_chooses_them(seed):
    rng = np.random.default_rng(seed)
    stamps = np.unique(rng.integers(0, 5000, rng.integers(1, 400)))
    keys = np.sort(rng.choice(stamps, rng.integers(0, 1 + len(stamps) // 3), replace=False))
    assert video.choose(stamps, keys, 16).tolist() == naive(stamps.tolist(), keys.tolist(), 16)


def test_a_high_dynamic_range_is_a_note(tmp_path):
    _, frames = taken(films.clip(tmp_path / "a.mp4", n=2, color_trc=16))
    assert frames[0].picture.notes == (video.HDR,)


# What a file claims


LIES = {"a.mp4": (b"mdhd", 20, b"\x7f\xff\0\0"), "e.webm": (b"\x44\x89\x88", 3, b"\x40\xf3\x88\0\0\0\0\0")}


@pytest.mark.parametrize("name", LIES)
def test_a_lying_duration_changes_nothing(name, tmp_path):
    path = films.clip(tmp_path / name, KINDS[name][0])
    honest, wanted = taken(path)
    what, after, lie = LIES[name]
    data = bytearray(path.read_bytes())
    at = data.index(what) + after
    data[at : at + len(lie)] = lie
    path.write_bytes(data)
    found, frames = taken(path)
    assert found.sha256 != honest.sha256 and found.seconds == honest.seconds and found.chosen == honest.chosen
    assert [frame.seconds for frame in frames] == [frame.seconds for frame in wanted]
    if name == "e.webm":
        assert found.notes == (video.LENGTH.format(80, 2.5),)


@pytest.mark.parametrize("name", ["e.webm", "d.mkv", "f.avi"])
def test_a_cut_off_file_gives_the_frames_that_are_left(name, tmp_path):
    path = films.clip(tmp_path / name, KINDS[name][0])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found, frames = taken(path)
    assert 10 < found.n_frames < 50 and len(frames) >= min(found.n_frames, 32) - 1
    for frame in frames[:-1]:
        assert abs(films.shown_at(frame.picture.pixels) - frame.seconds * films.RATE) <= 1


def test_a_file_that_is_damaged_within_gives_the_other_frames(tmp_path):
    path = films.clip(tmp_path / "a.mkv", noise=20)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 10] = bytes(len(data) // 10)
    path.write_bytes(data)
    found, frames = taken(path)
    assert 10 <= len(frames) < 32
    assert [frame.seconds for frame in frames] == sorted({frame.seconds for frame in frames})


def test_mutations_give_frames_or_one_sentence(tmp_path):
    rng = np.random.default_rng(5)
    made = [films.clip(tmp_path / name, KINDS[name][0], n=12) for name in ("a.mp4", "e.webm", "f.avi")]
    sound = {path.name: path.read_bytes() for path in made}
    outcomes = set()
    for number in range(90):
        name = list(sound)[number % 3]
        data = np.frombuffer(sound[name], np.uint8).copy()
        places = rng.integers(16, len(data), rng.integers(1, 30))
        data[places] = rng.integers(0, 256, len(places))
        path = tmp_path / f"bad_{name}"
        path.write_bytes(data.tobytes())
        try:
            _, frames = taken(path)
            outcomes.add(len(frames) <= 32)
        except ImageError as error:
            assert_one_sentence(str(error))
            outcomes.add("sentence")
    assert outcomes == {True, "sentence"}


# What can't be used


def test_what_is_no_video_is_one_clear_sentence(tmp_path):
    letter, empty, folder = tmp_path / "letter.mp4", tmp_path / "empty.mp4", tmp_path / "folder.mp4"
    letter.write_text("Dear reader")
    empty.touch()
    folder.mkdir()
    assert refused(letter) == refused(empty) == video.NO_VIDEO
    assert "is a folder" in refused(folder) and "no file named" in refused(tmp_path / "gone.mp4")
    assert refused(films.sound(tmp_path / "sound.mp4")) == video.NO_STREAM


def test_a_file_without_its_index_is_damaged(tmp_path):
    path = films.clip(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refused(path) == video.DAMAGED


def test_an_encrypted_video_says_so(tmp_path):
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": films.KEY, "encryption_kid": films.KEY}
    assert refused(films.clip(tmp_path / "a.mp4", container=options)) == video.ENCRYPTED


def test_a_codec_that_is_not_on_the_list_is_named(tmp_path):
    assert "coded with ffv1" in refused(films.clip(tmp_path / "a.mkv", "ffv1", n=2))


def test_a_video_is_neither_too_small_nor_too_large(tmp_path, here, monkeypatch):
    path = films.clip(tmp_path / "a.mp4", n=2, size=(160, 96))
    assert refused(path) == "The video is 160 x 96 pixels, too small to judge; at least 128 x 128 are needed."
    monkeypatch.setattr("mdmf_core.images.bounds.MAX_PIXELS", 1000)
    assert "more than" in refused(path)
    monkeypatch.setattr(reader, "MAX_BYTES", 100)
    assert "larger than" in refused(path)
    heavy = tmp_path / "heavy.mp4"
    with open(heavy, "wb") as file:
        os.truncate(file.fileno(), 256 * 2**20 + 1)
    assert "larger than" in refused(heavy)


# Bounds


def test_frames_come_in_parts_of_bounded_size(tmp_path, here, monkeypatch):
    path = films.clip(tmp_path / "a.mp4")
    _, whole = taken(path)
    sizes = []
    work = isolated.work

    def counted(request):
        found = work(request)
        sizes.append(0 if found[1] is None else found[1].shape[0] // films.HEIGHT)
        return found

    monkeypatch.setattr(isolated, "ask", counted)
    monkeypatch.setattr(video, "AT_ONCE", 5 * films.WIDTH * films.HEIGHT)
    _, parts = taken(path)
    assert sizes == [0, 5, 5, 5, 5, 5, 5, 2]
    for one, other in zip(whole, parts, strict=True):
        assert one.seconds == other.seconds and np.array_equal(one.picture.pixels, other.picture.pixels)


def test_what_takes_too_long_is_left_out_or_a_sentence(tmp_path, here, monkeypatch):
    path = films.clip(tmp_path / "a.mp4")
    monkeypatch.setattr(video, "AT_ONCE", 5 * films.WIDTH * films.HEIGHT)
    monkeypatch.setattr(clips, "LONGEST", 0.0)
    assert len(taken(path)[1]) == 0
    monkeypatch.setattr(clips, "LONGEST", 1e-9)
    assert len(taken(path)[1]) == 5
    monkeypatch.setattr(video, "SECONDS", -1)
    assert refused(path) == video.SLOW


def test_far_too_many_packets_are_a_sentence(tmp_path, here, monkeypatch):
    monkeypatch.setattr(video, "MAX_PACKETS", 20)
    assert refused(films.clip(tmp_path / "a.mp4")) == video.TOO_MANY


def test_sentences_of_a_lost_decoder_speak_of_the_video(tmp_path, monkeypatch):
    path = films.clip(tmp_path / "a.mp4", n=2)
    for sentence in (isolated.TOO_LONG, isolated.DIED, isolated.TOO_BIG):

        def lose(_, sentence=sentence):
            raise ImageError(sentence)

        monkeypatch.setattr(isolated, "ask", lose)
        assert "video" in refused(path) and "picture" not in refused(path)


def test_a_video_is_decoded_in_another_process_only(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("read in this process")

    path = films.clip(tmp_path / "a.mp4", n=3)
    monkeypatch.setattr(video, "_opened", refuse)
    assert len(taken(path)[1]) == 3


def test_a_video_opens_no_other_file():
    with pytest.raises(OSError):
        video._refuse("file:///etc/passwd", 1, {})


def test_what_a_file_holds_decides_and_its_name_only_where_it_says_nothing(tmp_path, photo):
    moving = films.clip(tmp_path / "a.mp4", n=2)
    cases = {"a.jpg": (moving, True), "b.mp4": (photo, False), "c": (moving, True)}
    for name, (source, wanted) in cases.items():
        path = tmp_path / name
        path.write_bytes(source.read_bytes())
        assert is_video(path) == wanted, name
    (tmp_path / "d.mp4").write_text("a letter")
    (tmp_path / "d.png").write_text("a letter")
    assert is_video(tmp_path / "d.mp4") and not is_video(tmp_path / "d.png")
    assert not is_video(tmp_path / "gone.mp4") and not is_video("a\0.mp4")
