"""`config.json` of a checkpoint, with exactly the keys that this version knows."""

from __future__ import annotations

import json
from pathlib import Path

from mdmf_core.errors import CheckpointError
from mdmf_core.method.calibration import STATISTICS

FORMAT = 1
KEYS = {"format", "name", "backbone", "geometry", "pfs", "statistic"}


def read_config(path: Path) -> dict:
    """`config.json`, with exactly the keys that this version knows.

    Raises:
        CheckpointError: not JSON, another format, or keys missing or left over.
    """
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path.name} can't be read as JSON; fetch the checkpoint again.") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path.name} does not hold a JSON object.")
    missing, unknown = sorted(KEYS - config.keys()), sorted(config.keys() - KEYS)
    if missing or unknown:
        parts = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"unknown: {', '.join(unknown)}"] * bool(unknown)
        raise CheckpointError(f"{path.name} doesn't have the keys that are expected ({'; '.join(parts)}).")
    if config["format"] != FORMAT:
        raise CheckpointError(f"{path.name} has format {config['format']}; this version reads format {FORMAT}.")
    if config["statistic"] not in STATISTICS:
        raise CheckpointError(f"{path.name} names the statistic {config['statistic']!r}; known are {STATISTICS}.")
    return config
