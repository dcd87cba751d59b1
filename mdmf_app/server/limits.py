"""What visitors may take of this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mdmf_core.images.bounds import MAX_BYTES

ONE_HOUR = 3600


@dataclass(frozen=True)
class Limits:
    """What visitors may take.

    Attributes:
        waiting: requests in the queue.
        upload: bytes of one file.
        delete_cache: seconds between two looks for old files, and when a file is old.
        request: bytes of one upload with all its files.
    """

    waiting: int
    upload: int
    delete_cache: tuple[int, int]
    request: int = 2**30


def limits() -> Limits:
    """What visitors may take of this machine: less on a Space (SPACE_ID is set), where strangers come."""
    if os.environ.get("SPACE_ID"):
        return Limits(waiting=20, upload=50 * 2**20, delete_cache=(600, ONE_HOUR), request=2**28)
    return Limits(waiting=32, upload=MAX_BYTES, delete_cache=(ONE_HOUR, ONE_HOUR))
