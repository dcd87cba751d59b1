"""Every command of docs/train.md about DINOv2, on a small sample, with random weights from a stand-in for the Hub."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
import zlib
from pathlib import Path

import hub as standin
import pytest
import torch
from asked import client_of
from dino import WIDTH, hub_folder, publish
from gradio_client import handle_file
from hub_answers import TOKEN
from PIL import Image
from published import LIU, network
from tiny import picture
from typed import run

from benchmarks.served import START_SECONDS, answers, free_port
from benchmarks.speed import gpu
from mdmf_core.checkpoint import hub
from mdmf_core.training.recipe import read_recipe

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "train.md"
PART = "## A DINOv2 detector\n"
RECIPE = ROOT / "benchmarks" / "configs" / "dinov2.json"
SMALL = {
    "backbone": {"size": "small", "crop_size": 28, "weights": "timm/vit_small_patch14_dinov2.lvd142m"},
    "geometry": {"resize": 64, "max_patches": 4, "crop_size": 28},
    "train": {"steps": 10, "check": 5, "pictures": 4, "patches": 4, "bank_pictures": 8},
    "bank": {"size": 16},
}


def commands() -> list[str]:
    """The commands of that part in order, as a reader would copy them."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8").split(PART)[1], re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def small_recipe() -> dict:
    """The page's recipe at a scale for tests; names, split and lives are its own."""
    recipe = json.loads(RECIPE.read_text())
    return recipe | {part: {**recipe[part], **changed} for part, changed in SMALL.items()}


def sample(folder: Path, recipe: dict) -> None:
    """The page's folders, with a few random pictures each."""
    split = recipe["split"]
    counts = dict.fromkeys(split["test"], 1) | dict.fromkeys([*split["validation"], "progan/car", "progan/cat"], 3)
    wanted = [(source, label, count) for source, count in counts.items() for label in ("0_real", "1_fake")]
    for source, label, count in [*wanted, *((source, "0_real", 4) for source in split["calibration"])]:
        (folder / source / label).mkdir(parents=True)
        for index in range(count):
            pixels = picture(zlib.crc32(f"{source} {label} {index}".encode()), 80, 80)
            Image.fromarray(pixels).save(folder / source / label / f"{index}.png")


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A clone with the small recipe, the sample and a network to import."""
    folder, recipe = tmp_path_factory.mktemp("clone"), small_recipe()
    for name in ("app.py", "mdmf_core", "mdmf_app", "assets", "examples"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("speed/gpu.py", "quality/card-template.md"):
        (folder / "benchmarks" / name).parent.mkdir(parents=True)
        (folder / "benchmarks" / name).symlink_to(ROOT / "benchmarks" / name)
    (folder / "benchmarks" / "configs").mkdir()
    (folder / "benchmarks" / "configs" / "dinov2.json").write_text(json.dumps(recipe))
    sample(folder / recipe["data"], recipe)
    torch.save({**network([WIDTH, 8, 4]).state_dict(), **LIU}, folder / "signature.pth")
    return folder


def asked_of_app(line: str, clone: Path, environment: dict[str, str]) -> dict:
    """What `/analyze` answers about a picture where the command `line` serves the page."""
    port = free_port()
    environment = {**environment, "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    log = clone / "app.log"
    shown = line.replace("python ", f"exec {shlex.quote(sys.executable)} ")
    with log.open("w") as out:
        app = subprocess.Popen(["bash", "-c", shown], cwd=clone, env=environment, stdout=out, stderr=out)
    try:
        end = time.monotonic() + START_SECONDS
        while not answers(f"http://127.0.0.1:{port}/"):
            assert app.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.3)
        photo = clone / "data" / "adm" / "1_fake" / "0.png"
        return client_of(f"http://127.0.0.1:{port}/").predict(handle_file(photo), 0.05, api_name="/analyze")[1]
    finally:
        app.terminate()
        app.wait(START_SECONDS)


@pytest.mark.stress
def test_every_command_of_the_page_does_what_it_says(clone: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(clone)
    said = {}
    with standin.StandIn() as server:
        commit = publish(monkeypatch, server, SMALL["backbone"]["weights"], hub_folder(tmp_path / "weights"))
        standin.connect(monkeypatch, server.url, tmp_path / "home", TOKEN)
        one_process = dict.fromkeys(("embed", "bank", "evaluate"), ["--processes", "1"])
        for line in commands():
            words = shlex.split(line)
            if words[:3] == ["python", "-m", "mdmf_core"]:
                assert run(*words[3:], *one_process.get(words[3], [])) == 0, (line, capsys.readouterr())
                said[words[3]] = capsys.readouterr().out
            elif words[-1] == "app.py":
                environment = standin.environment(server.url, tmp_path / "home", PYTHONDONTWRITEBYTECODE="1")
                said["app"] = asked_of_app(line, clone, environment)
            elif words[1] == "benchmarks/speed/gpu.py":
                small = ["--recipe", "benchmarks/configs/dinov2.json", "--sizes", "small", "--runs", "1", "--bank", "3"]
                possible = "--cpu" in words or torch.cuda.is_available()
                assert gpu.main(words[2:] + small) == (0 if possible else 1)
                said[line] = capsys.readouterr().out
            else:
                subprocess.run(["bash", "-c", line], check=True, timeout=60)
        published = server.repositories["owner/name"]
        (files,) = published.commits.values()
    assert {"embed", "train", "bank", "evaluate", "push", "import", "app"} < said.keys()
    for name in (*hub.FILES, hub.CARD):
        assert files[name] == Path("runs/dinov2/checkpoint", name).read_bytes()
    config = json.loads(files["config.json"])
    assert config["backbone"]["revision"] == commit and config["backbone"]["positions"] == "timm"
    assert "Published:" in said["push"] and "stylegan-xl" in said["evaluate"]
    assert said["app"]["model"] == "owner/name" and said["app"]["n_patches"] == 4
    assert said["app"]["revision"] == published.refs["main"]
    assert "kernel: deep" in said["import"] and Path("runs/research/reference.safetensors").is_file()


def test_the_page_quotes_what_the_command_prints() -> None:
    """The figures are a machine's, but not the counts: those are computed again."""
    page = PAGE.read_text(encoding="utf-8")
    recipe = read_recipe(RECIPE)
    for size, letter in (("small", "S"), ("large", "L")):
        millions, tflop = gpu.work(recipe.backbone.model_copy(update={"size": size}), recipe.geometry.max_patches)
        assert f"ViT-{letter}: {millions:.1f} M weights, {tflop:.3f} TFLOP a picture" in page
    for count in (10_000, 100_000):
        assert gpu.plan(count, len(recipe.embed.lives), 49, 1024, 1.0, 1.0).split(" GB")[0] in page


def test_the_page_has_the_six_commands_in_their_order() -> None:
    done = [line.split()[3] for line in commands() if line.startswith("python -m mdmf_core")]
    assert done == ["embed", "train", "bank", "evaluate", "push", "import", "bank"]
    assert "MDMF_MODEL=owner/name python app.py" in commands()
