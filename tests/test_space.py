"""The Space: its configuration, ZeroGPU, what a public host allows, how it is published; and the container."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace

import gradio as gr
import numpy as np
import pytest
import yaml
import zero
from asked import client_of
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from huggingface_hub import SpaceHardware
from huggingface_hub.cli.hf import app as hf
from huggingface_hub.utils import filter_repo_objects, validate_repo_id
from PIL import Image
from tiny import make_checkpoint, picture
from tree import ROOT, arguments, instructions, requirements, tracked

import app
from benchmarks.served import START_SECONDS, free_port
from mdmf_app import context
from mdmf_app.context import EXAMPLES, ONE_HOUR
from mdmf_app.server import limits, space
from mdmf_core.detector import Detector
from mdmf_core.errors import ImageError
from mdmf_core.images.bounds import MAX_BYTES
from mdmf_core.images.origin import as_json, origin_of
from mdmf_core.method.patches import cut
from mdmf_core.show.words import quote

ZERO_TORCHES = {"2.8.0", "2.9.1", "2.10.0", "2.11.0"}
LARGEST = 10 * 10**6  # bytes that the Hub takes without LFS or Xet

# https://huggingface.co/docs/hub/spaces-config-reference, what a Gradio Space may set: name and type
REFERENCE = {
    **dict.fromkeys(("title", "emoji", "colorFrom", "colorTo", "sdk", "python_version", "sdk_version"), str),
    **dict.fromkeys(("suggested_hardware", "suggested_storage", "app_file", "base_path", "header"), str),
    **dict.fromkeys(("short_description", "thumbnail", "startup_duration_timeout", "license"), str),
    **dict.fromkeys(("models", "datasets", "tags", "preload_from_hub", "hf_oauth_scopes"), list),
    **dict.fromkeys(("fullWidth", "pinned", "hf_oauth", "disable_embedding"), bool),
    "hf_oauth_expiration_minutes": int,
    "custom_headers": dict,
}
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


# Configuration


@pytest.fixture(scope="module")
def block() -> str:
    """The YAML at the top of README.md."""
    return re.match(r"---\n(.*?)\n---\n", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[1]


@pytest.fixture(scope="module")
def settings(block) -> dict:
    return yaml.safe_load(block)


def test_the_settings_are_those_of_the_published_reference(settings):
    assert {name: type(value) for name, value in settings.items()}.items() <= REFERENCE.items()
    assert {settings["colorFrom"], settings["colorTo"]} <= COLOURS
    assert len(settings["emoji"]) == 1 and ord(settings["emoji"]) > 0x2000
    assert settings["suggested_hardware"] in {hardware.value for hardware in SpaceHardware}
    assert len(settings["short_description"]) <= 60
    assert all(isinstance(tag, str) for tag in settings["tags"])
    for name in settings["models"]:
        validate_repo_id(name)


def test_the_settings_are_those_of_this_repository(settings, block):
    assert settings["sdk"] == "gradio" and (ROOT / settings["app_file"]).samefile(app.__file__)
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert str(requirements(name)["gradio"].specifier) == f"=={settings['sdk_version']}"
    assert re.search(r'^python_version: "3\.1[02]"$', block, re.MULTILINE), "3.10 without quotes is the number 3.1"
    assert settings["license"] == "mit" and (ROOT / "LICENSE").read_text("utf-8").startswith("MIT")
    where, file = settings["thumbnail"].split("/resolve/main/")
    assert where == "https://huggingface.co/spaces/OWNER/mdmf" and (ROOT / file).is_file()


def test_requirements_allow_every_torch_of_zerogpu_and_spaces_get_one_of_them():
    wanted, held = requirements("requirements.txt"), requirements("pre-requirements.txt")
    assert all(version in wanted["torch"].specifier for version in ZERO_TORCHES)
    assert {str(one.specifier) for one in (held["torch"],)} <= {f"=={version}" for version in ZERO_TORCHES}
    assert set(held) == {"torch", "torchvision"}, "another torchvision would pull another torch"
    for name, one in held.items():
        assert str(one.specifier).removeprefix("==") in wanted[name].specifier


def test_only_the_encoder_needs_lfs_and_the_docs_say_so():
    large = [name for name in tracked() if (ROOT / name).stat().st_size > LARGEST]
    assert large == ["assets/bundled/model.safetensors"]
    assert large[0] in (ROOT / "docs" / "deploy.md").read_text("utf-8")


# ZeroGPU


@pytest.mark.stress
def test_the_page_on_zerogpu_gives_what_it_gives_elsewhere(checkpoint, detector, photo, tmp_path):
    other = make_checkpoint(tmp_path / "other", "mmd")
    command = [sys.executable, zero.__file__, str(checkpoint), str(other), str(photo)]
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "2"})
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    evidence = detector.detect(photo, zero.ALPHA)
    assert found["device"] == "cuda" and found["in another process"]
    said = as_json(origin_of(photo), evidence.verdict.decision)
    more = {"path": None, "name": photo.name, "quote": quote(evidence), "origin": said}
    assert found["evidence"] == {**evidence.to_dict(), **more}
    assert [row["score"] for row in found["batch"]] == [evidence.verdict.score] * 2
    assert found["other"] == Detector.from_pretrained(other).detect(photo, zero.ALPHA).verdict.score
    once = ["/schedule", "/release"]
    assert found["asked"] == ["/startup-report", "/schedule", "/allow", "/release", *once, *once, *once]
    for refused in (found["refused"], found["refused in a batch"]):
        assert refused.startswith("The picture could not be analysed on the GPU: ") and refused.endswith(".")
        assert "GPU limit" in refused and str(ROOT) not in refused


def test_what_crosses_to_the_worker_survives_a_pickle(detector, checkpoint, photo):
    evidence = detector.detect(photo)
    assert "locator" in evidence.maps
    np.testing.assert_equal(asdict(pickle.loads(pickle.dumps(evidence))), asdict(evidence))
    patches = cut(picture(100), detector.model.geometry)[0]
    folder, sent = pickle.loads(pickle.dumps((str(checkpoint), patches.numpy())))
    given = pickle.loads(pickle.dumps(space._embed(folder, sent)))
    assert given.dtype == np.float32 and np.array_equal(given, detector.model.backbone.embed(patches).numpy())


def test_no_gpu_for_the_visitor_is_a_sentence(monkeypatch, detector, photo):
    def refuse(*_):
        raise gr.Error("You have exceeded your free ZeroGPU quota. Try again in 1:00:00. ")

    monkeypatch.setattr(space, "embed", refuse)
    assert space.on_zero()
    monkeypatch.setattr(detector, "model", replace(detector.model, backbone=space.Lent(ROOT, detector.model.backbone)))
    with pytest.raises(ImageError, match=r"on the GPU: You have exceeded .* 1:00:00\.$"):
        detector.detect(photo)
    with pytest.raises(gr.Error) as caught:
        context.detect(detector, str(photo), None)
    assert caught.value.print_exception is False


def test_what_is_quick_on_the_cpu_asks_for_no_gpu(monkeypatch, checkpoint, photo):
    monkeypatch.setattr(space, "embed", None)
    assert space.load_own(checkpoint).detect(photo).n_patches


def test_off_zerogpu_nothing_changes(checkpoint, monkeypatch):
    assert not space.on_zero() and not isinstance(space.load_own(checkpoint).model.backbone, space.Lent)
    monkeypatch.setitem(sys.modules, "spaces", None)
    found = importlib.util.spec_from_file_location("without_spaces", space.__file__)
    without = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "without_spaces", without)
    found.loader.exec_module(without)
    assert without.spaces is None and not without.on_zero()
    assert not isinstance(without.load(checkpoint).model.backbone, without.Lent)


# A public host


@pytest.fixture(scope="module")
def public(detector):
    """The page on a Space, and a client of it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SPACE_ID", "someone/mdmf")
        demo = app.build(detector)
        url = app.launch(demo, server_port=free_port(), prevent_thread_lock=True, quiet=True)[1]
        yield demo, client_of(url)
        demo.close()


def test_a_space_allows_less(public, monkeypatch):
    demo, _ = public
    assert demo._queue.max_size == limits.limits().waiting == 20
    assert demo.max_file_size == limits.limits().upload == 50 * 2**20
    assert demo.delete_cache == limits.limits().delete_cache == (600, ONE_HOUR)
    assert not demo.show_error and not demo.allowed_paths
    monkeypatch.delenv("SPACE_ID")
    assert limits.limits() == limits.Limits(32, MAX_BYTES, (ONE_HOUR, ONE_HOUR))


def test_a_space_tells_no_paths(public, detector, photo, monkeypatch):
    def broken(*_):
        raise RuntimeError(f"{ROOT}/secret is broken")

    client = public[1]
    stolen = {"path": str(ROOT / "LICENSE"), "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError) as refused:
        client.predict(stolen, api_name="/describe")
    monkeypatch.setattr(detector, "detect", broken)
    with pytest.raises(AppError) as failed:
        client.predict(handle_file(photo), api_name="/describe")
    for caught in (refused, failed):
        assert str(ROOT) not in str(caught.value) and "secret" not in str(caught.value)


def test_an_example_is_analysed_when_it_is_first_asked_for_and_then_kept(checkpoint, photo, monkeypatch):
    seen = []

    class Counting(Detector):
        def detect(self, image, alpha):
            seen.append((image.name, alpha))
            return super().detect(image, alpha)

    counting, example = Counting.from_pretrained(checkpoint), str(EXAMPLES / "flower.jpg")
    first = context.detect(counting, example, 0.05)
    assert context.detect(counting, example, 0.05) is first
    assert context.detect(counting, example, 0.1)[1].verdict.alpha == 0.1
    for _ in range(2):
        context.detect(counting, str(photo), 0.05)
    assert seen == [("flower.jpg", 0.05), ("flower.jpg", 0.1), ("photo.png", 0.05), ("photo.png", 0.05)]
    assert context.detect(Detector.from_pretrained(checkpoint), example, 0.05) is not first


# Publishing


@pytest.fixture(scope="module")
def commands() -> list[list[str]]:
    """The four commands of docs/deploy.md, in words."""
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    return [shlex.split(line) for line in re.search(r"```bash\n(.*?)```", page, re.DOTALL)[1].splitlines()]


def test_the_commands_exist(commands, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    assert [words[0] for words in commands] == ["hf", "sed", "hf", "hf"]
    for words in (words for words in commands if words[0] == "hf"):
        path = [word for word in words[1:3] if "/" not in word]
        with pytest.raises(SystemExit) as ended:
            hf([*path, "--help"])
        told = capsys.readouterr().out
        assert not ended.value.code and all(word in told for word in words if word.startswith("--")), told
    flavor = commands[2][commands[2].index("--flavor") + 1]
    assert flavor in {hardware.value for hardware in SpaceHardware}


def test_sed_names_the_owner(commands, tmp_path):
    shutil.copy(ROOT / "README.md", tmp_path)
    subprocess.run(commands[1], cwd=tmp_path, check=True)
    changed = (tmp_path / "README.md").read_text("utf-8")
    assert "spaces/yourname/mdmf/resolve" in changed and "OWNER" not in changed


def test_what_is_uploaded_is_what_the_space_needs(commands):
    words = commands[3]
    patterns = [words[i + 1] for i, word in enumerate(words) if word == "--include"]
    sent = set(filter_repo_objects(tracked(), allow_patterns=patterns))
    assert {"README.md", "pre-requirements.txt", "requirements.txt", "app.py", "assets/screenshot.png"} <= sent
    assert {name for name in tracked() if name.startswith(("mdmf_", "examples/", "assets/bundled/"))} <= sent
    assert not any(name.startswith(("tests/", "benchmarks/", ".")) for name in sent)


# The container


@pytest.mark.stress
def test_what_the_container_gets_starts_and_answers(tmp_path):
    for *sources, target in (copied.split() for copied in arguments("COPY")):
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, tmp_path / target)
    own = dict(setting.split("=") for setting in arguments("ENV")[0].split())
    own |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(free_port()), "HF_HOME": str(tmp_path)}
    own["GRADIO_TEMP_DIR"] = str(tmp_path / "uploads")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MDMF_", "GRADIO_", "HF_"))}

    def command(words: str) -> list[str]:
        first, *rest = json.loads(words)
        assert first == "python"
        return [sys.executable, *rest]

    healthy = command(arguments("HEALTHCHECK")[0].split("CMD", 1)[1])
    program = subprocess.Popen(command(arguments("CMD")[0]), cwd=tmp_path, env=kept | own, stdout=subprocess.DEVNULL)
    try:
        assert subprocess.run(healthy, env=kept | own, capture_output=True).returncode != 0, "nothing answers yet"
        end = time.monotonic() + START_SECONDS
        while subprocess.run(healthy, env=kept | own, capture_output=True).returncode:
            assert program.poll() is None and time.monotonic() < end
            time.sleep(0.5)
        url = f"http://127.0.0.1:{own['GRADIO_SERVER_PORT']}/"
        Image.fromarray(picture(100, 256, 256)).save(tmp_path / "picture.png")
        words = client_of(url).predict(handle_file(tmp_path / "picture.png"), api_name="/describe")
        assert "Model bundled, revision local" in words
        assert any((tmp_path / "uploads").iterdir())
    finally:
        program.terminate()
        ended = program.wait(START_SECONDS)
    assert ended == 0 and not any((tmp_path / "uploads").iterdir()), "what stops a container leaves nothing behind"


def test_the_container_is_small_safe_and_offline():
    assert arguments("FROM") == ["python:3.12-slim"] and arguments("USER") == ["1000"]
    assert "whl/cpu" in arguments("RUN")[0] and "--no-cache-dir" in arguments("RUN")[0]
    assert "HF_HUB_OFFLINE=1" in arguments("ENV")[0]
    names = [name for name, _ in instructions()]
    assert names.index("USER") < names.index("CMD")


def test_docker_sees_what_it_copies_and_nothing_else():
    lines = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[0] != "#"]
    copied = {source for line in arguments("COPY") for source in line.split()[:-1]}
    assert lines[0] == "*" and {line[1:] for line in lines if line[0] == "!"} == copied
