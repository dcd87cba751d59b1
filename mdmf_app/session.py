"""The decoded pictures that sessions look at, within one bound for all of them.

A session keeps the path of its file, which lies on the disk for an hour, and this the pixels of those that were used
last. Whoever comes back to a picture that had to make room waits for it to be decoded again, and notices nothing else.
Nobody reaches another's picture here: only a result that a session holds leads to a path.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from mdmf_core.images import isolated
from mdmf_core.images.reader import Picture

MOST_BYTES = 2**28


class Pictures:
    """Pictures by the path of their file, those used last, up to `most` bytes together."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most = most
        self._kept: OrderedDict[str, Picture] = OrderedDict()
        self._guard = threading.Lock()

    @property
    def n_bytes(self) -> int:
        with self._guard:
            return self._sum()

    def keep(self, path: str, picture: Picture) -> None:
        """Keep one that was just read; others make room for it, and none is kept that is too large alone."""
        with self._guard:
            self._kept[path] = picture
            self._kept.move_to_end(path)
            while self._sum() > self.most:
                self._kept.popitem(last=False)

    def read(self, path: str) -> Picture:
        """The picture of a file that was analysed before.

        Raises:
            ImageError: it is not kept, and its file is gone or can't be read now.
        """
        with self._guard:
            if path in self._kept:
                self._kept.move_to_end(path)
                return self._kept[path]
        picture = isolated.read(path, min_side=1)  # it was large enough for the model that analysed it
        self.keep(path, picture)
        return picture

    def forget(self) -> None:
        """Drop the pictures whose files are gone, so that none is kept for longer than its file."""
        with self._guard:
            for path in [path for path in self._kept if not Path(path).exists()]:
                del self._kept[path]

    def _sum(self) -> int:
        return sum(picture.pixels.nbytes for picture in self._kept.values())


of_sessions = Pictures()
