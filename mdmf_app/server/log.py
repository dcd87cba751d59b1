"""A log without names: exceptions lose their messages, which may hold the name of a file."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any


def log_nameless() -> None:
    """Log the exception that is being handled."""
    logging.getLogger(__name__).error("A request failed.", exc_info=True)


def nameless_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """A log record whose exception has its type and places, and no message: that may hold the name of a file."""
    record = logging.LogRecord(*args, **kwargs)
    if record.exc_info and record.exc_info[1]:
        kind, error, trace = record.exc_info
        places = [f"  {Path(at.filename).name}:{at.lineno} in {at.name}" for at in traceback.extract_tb(trace)]
        record.exc_text = "\n".join([*places, f"{kind.__name__} (its message is not kept)"])
    return record
