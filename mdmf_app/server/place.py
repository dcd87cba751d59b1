"""Where files of this process lie: a folder that nobody else can read."""

from __future__ import annotations

import os
import re
from pathlib import Path

STALE = 3600  # seconds without a look, after which a folder is that of a process that was killed
PREFIX = "mdmf-files-"
HASH = re.compile("[0-9a-f]{32,64}")


def folder() -> Path:
    """Where Gradio keeps uploads and results of this process."""
    return Path(os.environ["GRADIO_TEMP_DIR"])
