"""A repository at the stand-in for the Hub, and what is said of it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from mdmf_core.checkpoint import hub
from mdmf_core.errors import CheckpointError

REPO = "someone/something"
NEEDED = [*hub.FILES, hub.CARD]
EVERYTHING = sorted([*NEEDED, hub.LOCATOR])
GOOD_CARD = """---
license: mit
library_name: mdmf
tags: [image-forensics]
metrics: [roc_auc]
---

# A detector
"""


def same(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in EVERYTHING)


def refused(repo: str = REPO, revision: str | None = None, most: float = 8.0) -> str:
    """The sentence with which a checkpoint is refused, within `most` seconds."""
    start = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        hub.locate(repo, revision)
    assert time.monotonic() - start < most
    return one_sentence(str(caught.value))


def one_sentence(text: str) -> str:
    assert re.fullmatch(r"[^\n]{10,300}\.", text) and "Traceback" not in text and "http://" not in text, text
    return text
