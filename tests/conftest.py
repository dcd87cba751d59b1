"""Fixtures that several test files share."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time
from pathlib import Path

import httpx
import pytest
import torch
from at_hub import GOOD_CARD
from bad_files import write_bad_files
from hub import StandIn, connect
from PIL import Image
from playwright.sync_api import expect
from tiny import make_checkpoint, picture

from benchmarks import served
from mdmf_core.checkpoint import client as clients
from mdmf_core.checkpoint import hub
from mdmf_core.detector import Detector

HELPERS = str(Path(__file__).parent / "helpers")  # worker processes of Ray import the test modules, too
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (HELPERS, os.environ.get("PYTHONPATH"))))
torch.set_num_threads(1)  # small tensors; two threads only wait for each other
os.environ["OMP_NUM_THREADS"] = "1"  # of the programs that tests start: other tests and a browser use the other cores
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it, each of those programs would compile our modules again
sys.dont_write_bytecode = False  # and pytest all tests
LONGEST = (  # files by the time that they take, for `pytest_collection_modifyitems`
    "test_browser_sheet.py",
    "test_tabs_in_browser.py",
    "test_browser_tools.py",
    "test_one_in_browser.py",
    "test_bundled.py",
    "test_browser_view.py",
    "test_space.py",
    "test_language_in_browser.py",
    "test_browser_mine.py",
    "test_browser_origin.py",
    "test_texts.py",
    "test_docs_train.py",
    "test_limits.py",
    "test_dinov2.py",
    "test_hub.py",
    "test_workers.py",
    "test_isolated.py",
    "test_adding.py",
    "test_commands.py",
    "test_reader_layouts.py",
    "test_reliability.py",
    "test_locator.py",
    "test_hub_publishing.py",
    "test_speed.py",
    "test_api.py",
    "test_outlines.py",
    "test_peers.py",
    "test_doubt.py",
    "test_cli.py",
    "test_hub_in_page.py",
    "test_frames.py",
    "test_company.py",
    "test_video.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Several processes take the files in our order; xdist would begin with those of many tests, not of long ones."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that no process is left alone with one at the end."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A complete checkpoint folder with random weights."""
    return make_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> Path:
    """A PNG of 128 x 96 pixels."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(picture(100)).save(path)
    return path


@pytest.fixture(scope="session")
def detector(checkpoint) -> Detector:
    """A detector with random weights."""
    return Detector.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def context(detector):
    """What the page's tabs share, around the detector with random weights."""
    from mdmf_app.context import Context

    return Context(detector)


@pytest.fixture(scope="session")
def bundled() -> Detector:
    """The bundled detector."""
    return Detector.from_pretrained(hub.BUNDLED)


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """`python app.py` with the bundled detector, running."""
    with served.serve(tmp_path_factory.mktemp("served")) as url:
        yield url


@pytest.fixture(scope="session")
def parts(tmp_path_factory) -> Path:
    """Parts of some examples, 384 x 256 pixels each, by their names: what the page makes of one takes it less time."""
    folder = tmp_path_factory.mktemp("parts")
    for name in ("china.jpg", "china_composite.jpg", "flower.jpg", "rocket.jpg", "coffee.png"):
        with Image.open(served.ROOT / "examples" / name) as image:
            image.crop((128, 57, 512, 313)).save((folder / name).with_suffix(".png"))
    return folder


@pytest.fixture(scope="session")
def bad(tmp_path_factory) -> dict[str, Path]:
    """Broken, odd and oversized files, by name."""
    return {path.name: path for path in write_bad_files(tmp_path_factory.mktemp("bad"))}


@pytest.fixture(scope="session")
def signer() -> tuple[bytes, bytes, bytes]:
    """A signer's certificates, its key, and the certificate of the authority, all PEM; good for a day."""
    from signed import lasting

    return lasting(86400)


@pytest.fixture(scope="session")
def ai_png(signer) -> bytes:
    """A PNG whose signed manifest says that AI made it."""
    from recorded import png
    from signed import signed

    return signed(png(), "image/png", *signer[:2], "trainedAlgorithmicMedia")


@pytest.fixture(scope="session")
def trust(signer, tmp_path_factory) -> Path:
    """A list of trusted authorities with that one on it."""
    path = tmp_path_factory.mktemp("trust") / "trusted.pem"
    path.write_bytes(signer[2])
    return path


@pytest.fixture(scope="session")
def chromium():
    """A headless browser. Its driver keeps this thread's event loop: what is asynchronous runs by `asked.waited`."""
    if not served.CHROMIUM.exists():
        pytest.fail(f"There is no {served.CHROMIUM}; install it with: apt-get install chromium", pytrace=False)
    expect.set_options(timeout=served.SLOW)
    with served.browser() as started:
        yield started


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None:
        pytest.fail("axe-core is missing; install it with: pip install -r requirements-dev.txt", pytrace=False)
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture()
def small_data(tmp_path: Path) -> Path:
    for label in ("real", "fake"):
        for index in range(6):
            folder = tmp_path / "data" / label / f"{label}{index % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(index, 128, 128)).save(folder / f"{index}.png")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def demo(detector):
    """The page with small limits."""
    from asked import LIMITS

    import app
    from mdmf_app.server import limits

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(limits, "limits", lambda: LIMITS)
        built = app.build(detector, mcp=True)
        app.launch(built, server_port=served.free_port(), prevent_thread_lock=True, quiet=True, mcp_server=True)
        yield built
        built.close()


@pytest.fixture(scope="module")
def web(demo):
    """A program that speaks HTTP with the server."""
    with httpx.Client(base_url=demo.local_url.rstrip("/"), timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def client(demo):
    """Gradio's client of that page."""
    from asked import client_of

    return client_of(demo.local_url)


@pytest.fixture
def standin():
    """A Hub without repositories."""
    with StandIn() as server:
        yield server


@pytest.fixture
def home(standin, tmp_path, monkeypatch) -> Path:
    """An empty cache; this process talks to the stand-in, and its time runs ten times as fast."""
    sleep = time.sleep

    def nap(seconds: float) -> None:
        assert seconds <= 2, f"{seconds} seconds are too long a pause"
        sleep(seconds / 10)

    connect(monkeypatch, standin.url, tmp_path / "home")
    monkeypatch.setattr(time, "sleep", nap)
    monkeypatch.setattr(clients, "TIMEOUT", clients.TIMEOUT / 10)
    monkeypatch.setattr(clients, "UPLOAD_TIMEOUT", clients.UPLOAD_TIMEOUT / 10)
    return tmp_path / "home"


@pytest.fixture
def folder(checkpoint, tmp_path) -> Path:
    """A checkpoint with a card that can be published."""
    copy = Path(shutil.copytree(checkpoint, tmp_path / "folder"))
    (copy / hub.CARD).write_text(GOOD_CARD)
    return copy
