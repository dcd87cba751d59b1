"""Ray: the same bytes and rows as one process, also when a worker is killed in mid-run.

Its processes take as long to start as a hundred other tests, so those that need them are stress checks.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file
from tiny import picture

from mdmf_core import errors
from mdmf_core.method import reference
from mdmf_core.run import engine
from mdmf_core.training import embed as step
from mdmf_core.training import evaluate, stream
from mdmf_core.training.dataset import lot, scan
from mdmf_core.training.recipe import Bank

TESTS = Path(__file__).resolve().parent
LIVES = ("as_is", "alike")
Embedder = step.Embedder


class Fatal(Embedder):
    """Kills the process that embeds the picture 7.png, the first time."""

    marker: Path

    def __reduce__(self) -> tuple:
        return _fatal, (Embedder(self.encoder, self.geometry, self.seed), self.marker)

    def finish(self, prepared: dict) -> dict:
        if prepared["key"].endswith("/7.png") and not self.marker.exists():
            self.marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().finish(prepared)


def _fatal(embedder: Embedder, marker: Path) -> Fatal:
    made = Fatal(embedder.encoder, embedder.geometry, embedder.seed)
    made.marker = marker
    return made


@pytest.fixture(scope="module")
def two_actors():
    """Ray on this machine, started once for all tests here; its workers can import them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS.parent), str(TESTS), str(TESTS / "helpers")]))
        patch.setenv("RAY_worker_niceness", "0")  # by itself 15: beside the other tests they would hardly run
        with engine.cluster(2):
            yield 2


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for index in range(20):
        folder = root / ("camera/0_real", "gan/1_fake")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(index, 96 + index)).save(folder / f"{index}.png")
    (root / "camera" / "0_real" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.stress
def test_a_killed_worker_changes_no_byte(detector, two_actors, data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(step, "SHARD", 10)
    entries, model = scan(data), detector.model
    wanted = step.embed(entries, tmp_path / "one", model.backbone, model.geometry, LIVES)
    assert len(wanted) == 2 and len(contents(tmp_path / "one")) == 6
    killed = tmp_path / "killed"
    monkeypatch.setattr(step, "Embedder", lambda *settings: _fatal(Embedder(*settings), killed))
    assert step.embed(entries, tmp_path / "two", model.backbone, model.geometry, LIVES, 0, two_actors, "ray") == wanted
    assert not Path("/proc", killed.read_text()).exists()
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    for shard in (1, 4):
        step.shard_path(tmp_path / "two", shard).unlink()
    untouched = step.shard_path(tmp_path / "two", 0).stat().st_mtime_ns
    step.embed(entries, tmp_path / "two", model.backbone, model.geometry, LIVES, 0, two_actors, "ray")
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert step.shard_path(tmp_path / "two", 0).stat().st_mtime_ns == untouched


@pytest.mark.stress
def test_rows_of_an_evaluation_are_the_same(detector, two_actors, data) -> None:
    pictures = evaluate.gather([data])
    wanted = evaluate.score(detector, pictures, LIVES)
    assert sum(row.error is not None for row in wanted) == len(LIVES)
    assert evaluate.score(detector, pictures, LIVES, processes=two_actors, engine="ray") == wanted


@pytest.mark.stress
def test_a_bank_in_one_pass_is_the_same(detector, two_actors, data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(step, "SHARD", 8)
    entries, model = scan(data), detector.model
    step.embed(entries, tmp_path, model.backbone, model.geometry)
    roles = {e.key: "calibration" if e.label == 0 and lot(e.key) < 0.5 else "train" for e in entries}
    config, paths = Bank(size=20), []
    for processes, engine_name in ((1, "local"), (two_actors, "ray")):
        made = stream.build(tmp_path, roles, model, config, lambda line: None, processes, engine_name, 50)
        paths.append(reference.save(made, tmp_path / f"{engine_name}.safetensors"))
    assert sum(made.facts["points_uncompressed"]) > 2 * 50 and max(made.facts["points"]) <= 20
    one, two = map(load_file, paths)
    assert one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)


def test_without_ray_one_sentence_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(errors.EngineError, match="pip install -r requirements-scale.txt"), engine.cluster(1):
        pass
