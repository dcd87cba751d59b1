"""What a session keeps is its own, and makes room."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from asked import analyse, client_of, numbers, png, run
from gradio_client import handle_file
from tiny import picture

from mdmf_app import session as sessions
from mdmf_app.server import place as place_of_files
from mdmf_app.server import start
from mdmf_app.tabs.one import handlers
from mdmf_core.errors import ImageError
from mdmf_core.images.reader import read

SHOW_MAP = [None, None, "evidence", 0.5, True, None, None, None, None, None, None, None]


def test_nobody_gets_what_is_another_ones(web, demo, detector):
    folder = place_of_files.folder()
    mine, yours = analyse(web, demo, 11, "mine"), analyse(web, demo, 12, "yours")
    assert mine != yours and Path(mine).parent.parent == folder
    patch = numbers(demo, "show_patch")[0]
    shown = [run(web, patch, [None, None, 1], session).json()["data"][0] for session in ("mine", "yours", "guessed")]
    assert shown[0] != shown[1] and "<h3>" in shown[0] and handlers.GONE in shown[2]
    forged = run(web, patch, [{"picture": 1}, "x", 1], "forged").json()["data"][0]
    assert handlers.GONE in forged, "a state that is sent is not believed"


def test_parallel_clients_get_their_own(demo, detector, tmp_path):
    paths = [tmp_path / f"{seed}.png" for seed in range(4)]
    for seed, path in enumerate(paths):
        path.write_bytes(png(seed + 20))

    def ask(path: Path) -> list[str]:
        own = client_of(demo.local_url)
        return [own.predict([handle_file(path)], api_name="/batch")[0]["rows"][0] for _ in range(2)]

    with ThreadPoolExecutor(2) as people:
        for path, rows in zip(paths, people.map(ask, paths), strict=True):
            assert {(row["name"], row["score"]) for row in rows} == {(path.name, detector.detect(path).verdict.score)}


def test_pictures_make_room_and_come_back(web, demo, monkeypatch):
    kept = sessions.Pictures(picture(14).nbytes)
    monkeypatch.setattr(sessions, "of_sessions", kept)
    patch, paths = numbers(demo, "show_patch")[0], {}

    def pixels(session: str) -> str:
        panel = run(web, patch, [None, None, 1], session).json()["data"][0]
        return panel.split("data:image/png;base64,")[1].split('"')[0]

    for seed, session in ((13, "older"), (14, "newer")):
        paths[session] = analyse(web, demo, seed, session)
    shown = {session: pixels(session) for session in paths}
    assert kept.n_bytes == kept.most
    assert pixels("older") == shown["older"] != shown["newer"]
    Path(paths["older"]).unlink()
    kept.forget()
    assert kept.n_bytes == 0
    assert handlers.GONE in run(web, patch, [None, None, 1], "older").json()["data"][0]
    told = run(web, numbers(demo, "show_map_and_mask")[0], [None, False, *SHOW_MAP], "older").json()["data"][2]
    assert told.strip() == f"<p>{handlers.GONE}</p>"
    assert pixels("newer") == shown["newer"]


def test_sessions_are_counted(demo):
    assert demo.state_holder.capacity == start.SESSIONS and demo.limiter.total_tokens == start.THREADS


def test_pictures_used_last_are_kept(tmp_path):
    for seed in range(3):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    size, (first, second, third) = picture(0).nbytes, map(str, sorted(tmp_path.iterdir()))
    kept = sessions.Pictures(2 * size)
    for path in (first, second, first, third):
        assert np.array_equal(kept.read(path).pixels, read(path, 1).pixels)
    assert kept.n_bytes == 2 * size
    Path(second).unlink()
    assert kept.read(first) is kept.read(first), "it was used after the second"
    with pytest.raises(ImageError):
        kept.read(second)
    small = sessions.Pictures(size - 1)
    assert small.read(first) is not small.read(first) and small.n_bytes == 0
