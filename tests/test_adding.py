"""What docs/architecture.md says under "Where do I add": each is at most 20 lines in at most two files.

A copy of the packages gets one of each, and a program that uses them all.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES, MOST_FILES = 20, 2


class Text(NamedTuple):
    """What is written into a file before a place there, or, without one, as a file."""

    file: str
    before: str
    text: str


BACKBONE = [
    Text(
        "mdmf_core/method/backbones/means.py",
        "",
        """from torch import nn, zeros


class Means(nn.Module):
    name, version = "means", "1"

    def __init__(self, dim):
        super().__init__()
        self.dim, self.config = dim, {"dim": dim}
        self.register_buffer("place", zeros(1), persistent=False)

    def embed(self, patches):
        return patches.float().mean((2, 3))[:, : self.dim].cpu()
""",
    ),
    Text(
        "mdmf_core/checkpoint/config.py",
        "Backbone = Annotated",
        'class Means(Encoder):\n    name: Literal["means"] = "means"\n    dim: Width = 3\n\n\n',
    ),
    Text("mdmf_core/checkpoint/config.py", " DINOv2, Field(", " Means |"),
]
MAP = [
    Text("mdmf_core/detector.py", '"mmd": evidence if', '"size": replace(evidence, values=abs(evidence.values)), '),
    Text(
        "mdmf_core/show/maps.py",
        '    "locator": Shown',
        '    "size": Shown("How large", "Size", "How much."),\n',
    ),
]
READER = [
    Text(
        "mdmf_core/images/origin/comment.py",
        "",
        'def comment_of(data):\n    return ["It has a comment."] if b"A comment" in data else []\n',
    ),
    Text(
        "mdmf_core/images/origin/__init__.py",
        "from mdmf_core.images.origin.camera",
        "from mdmf_core.images.origin.comment import comment_of\n",
    ),
    Text("mdmf_core/images/origin/__init__.py", "    camera = camera_of(", "    notes += comment_of(data)\n"),
]
DEGRADATION = [
    Text("mdmf_core/images/degrade.py", "def off_grid", "def mirror(pixels):\n    return pixels[:, ::-1]\n\n\n"),
    Text(
        "mdmf_core/images/degrade.py",
        '    if condition == "alike"',
        '    if condition == "mirror":\n        return mirror(pixels)\n',
    ),
    Text("mdmf_core/images/degrade.py", r"web|without_traces|history\d", "mirror|"),
]
ENDPOINT = [
    Text(
        "mdmf_app/api.py",
        "    def analyze",
        "    def how_likely(self, file):\n        return detect(self.context.default, file)[1].verdict.p_value\n\n",
    ),
    Text(
        "mdmf_app/api.py",
        "        (asked.analyze",
        '        (asked.how_likely, [_file("file")], [gr.Number(visible=False)]),\n',
    ),
]
TAB = [
    Text(
        "mdmf_app/tabs/about.py",
        "",
        'import gradio as gr\n\n\ndef tab(context, chosen):\n    gr.Markdown("About this page", elem_id="about")\n',
    ),
    Text("app.py", ' say("tab.model"): model}', ' "About": about,'),
    Text("app.py", "compare, many, mine, model", "about, "),
]
LANGUAGE = [
    Text(
        "mdmf_app/words/hu.json",
        "",
        """{
 "language": {"one": "1", "thousands": " ", "decimal": ",", "gap": " ", "list": ", ", "svg_letters": "path"},
 "tab": {"one": "Egy kép"}
}
""",
    ),
]
ADDED = {
    "a backbone": BACKBONE,
    "a map": MAP,
    "an origin reader": READER,
    "a degradation": DEGRADATION,
    "an endpoint": ENDPOINT,
    "a tab": TAB,
    "a language": LANGUAGE,
}
USES_THEM = """
import sys

import numpy as np

import app
from mdmf_app import language, views
from mdmf_core.checkpoint import config, store
from mdmf_core.detector import Detector
from mdmf_core.images import degrade
from mdmf_core.images.origin import read_provenance
from mdmf_core.images.reader import read
from mdmf_core.settings import read as read_settings
from mdmf_core.show import maps
from mdmf_core.training.recipe import Recipe

recipe = {"data": "pictures", "backbone": {"name": "means", "dim": 2}, "embed": {"lives": ["mirror"]}}
recipe = read_settings(Recipe, recipe, "the recipe")
encoder = store.build_backbone(recipe.backbone)
pixels = np.arange(128 * 96 * 3, dtype=np.uint8).reshape(96, 128, 3)
import torch
assert encoder.embed(torch.from_numpy(pixels[:32, :32].copy()).permute(2, 0, 1)[None]).shape == (1, 2)

changed = degrade.apply(recipe.embed.lives[0], pixels, np.random.default_rng(0), False, 32)
assert np.array_equal(changed, pixels[:, ::-1])

detector = Detector.from_pretrained(sys.argv[1])
evidence = detector.detect(pixels)
assert (evidence.maps["size"].values >= 0).all()
assert maps.layer(evidence, "size").title == "How large"

assert "It has a comment." in read_provenance(b"A comment", read(pixels, 32)).notes

page = app.build(detector)
assert "how_likely" in {function.api_name for function in page.fns.values()}
parts = {getattr(part, "elem_id", None): part for part in page.blocks.values()}
with language.spoken(language.choose("hu-HU")):
    assert [language.told(language.say(key)) for key in ("tab.one", "tab.many")] == ["Egy kép", "Many pictures"]
assert "about" in parts and ("Size", "size") in views.offered(True, detector.model.statistic)
"""


def write(folder: Path, added: Text) -> None:
    path = folder / added.file
    if not added.before:
        assert not path.exists()
        path.write_text(added.text, "utf-8")
        return
    whole = path.read_text("utf-8")
    assert whole.count(added.before) == 1, (added.file, added.before)
    path.write_text(whole.replace(added.before, added.text + added.before), "utf-8")


@pytest.mark.parametrize("what", ADDED)
def test_each_is_few_lines_where_the_page_says(what: str) -> None:
    texts = ADDED[what]
    lines = sum(max(1, len([line for line in text.text.splitlines() if line.strip()])) for text in texts)
    assert lines <= MOST_LINES and len({text.file for text in texts}) <= MOST_FILES
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    said = re.search(rf"^- \*\*{what}\*\*: (.*)$", page, re.MULTILINE)[1]
    for text in texts:
        named = Path(text.file).parent.as_posix() if not text.before else text.file
        named = named.removesuffix("/__init__.py")
        assert named in said or named.split("/", 1)[-1] in said or Path(text.file).name in said, (text.file, said)


@pytest.mark.stress
def test_one_of_each_works_together(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("mdmf_core", "mdmf_app"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "app.py", tmp_path / "app.py")
    for name in ("assets", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    for texts in ADDED.values():
        for text in texts:
            write(tmp_path, text)
    (tmp_path / "uses.py").write_text(USES_THEM)
    command = [sys.executable, "uses.py", str(checkpoint)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
