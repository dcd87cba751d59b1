"""Many items through worker processes: results in the order of the items, in bounded memory.

Each process takes its own copy of the function, on one thread, so that decoding and computing of different
pictures overlap and all cores are used. A process that dies (out of memory, a crash in a decoder) breaks
Python's pool; what was under way is then done again, one item at a time, and an item that kills a process
twice when it is alone is given back as `Died`. Processes are spawned: a program that calls this with two or more
needs the usual `if __name__ == "__main__":`.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from typing import Any

AHEAD = 8  # items under way or done and waiting for their turn, for each process
ENOUGH = 24  # items that are worth the start of another process
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
DIED = "The process that worked on this picture was killed twice; there may be too little memory for it."


class Died(RuntimeError):
    """In place of a result: `item` killed its process."""

    def __init__(self, item: Any) -> None:
        super().__init__(DIED)
        self.item = item


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sensible(count: int, encoder: Any) -> int:
    """How many processes `count` pictures are worth: one a core, fewer for few; one where a GPU does the work."""
    on_cpu = next(encoder.buffers()).device.type == "cpu"
    return max(1, min(cores(), count // ENOUGH)) if on_cpu else 1


_pickled: bytes
_function: Callable[[Any], Any] | None = None


def _begin(pickled: bytes) -> None:
    global _pickled
    _pickled = pickled
    _keep_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _keep_memory() -> None:
    """Memory that is freed is used again and not given back after every layer, where the C library is glibc.

    To fetch it anew, cleared page by page, cost two processes a tenth of their pictures
    (`benchmarks/speed/folders.py`).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**25)
        mallopt(_M_TRIM_THRESHOLD, 2**28)


def _end_with_parent() -> None:
    """A killed parent can't tell its children to stop, and they would wait for work for ever."""
    connection.wait([parent_process().sentinel])
    os._exit(1)


def _call(item: Any) -> Any:
    global _function
    if _function is None:
        import torch

        torch.set_num_threads(1)
        _function = pickle.loads(_pickled)  # noqa: S301  # bytes of our own processes
    return _function(item)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Processes started here never see Ctrl-C, which a terminal sends to all of them: the parent ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Pool:
    """A process pool that is replaced when it breaks."""

    def __init__(self, function: Callable[[Any], Any], processes: int) -> None:
        self.pickled, self.processes = pickle.dumps(function), processes
        self._open()

    def _open(self) -> None:
        self.pool = ProcessPoolExecutor(self.processes, get_context("spawn"), _begin, (self.pickled,))

    def submit(self, item: Any) -> Future:
        with _no_interrupt():
            try:
                return self.pool.submit(_call, item)
            except BrokenProcessPool as broken:
                failed: Future = Future()
                failed.set_exception(broken)
                return failed

    def again(self, items: Iterable[Any]) -> Iterator[Any]:
        """Results of `items`, each alone in a pool, so that the one which kills it is known."""
        self.close()
        self._open()
        for item in items:
            yield self._alone(item)

    def _alone(self, item: Any) -> Any:
        """Two attempts: what killed the crowd need not have been this item."""
        for _ in range(2):
            try:
                return self.submit(item).result()
            except BrokenProcessPool:
                self.close()
                self._open()
        return Died(item)

    def close(self) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)


def run(function: Callable[[Any], Any], items: Iterable[Any], processes: int = 1) -> Iterator[Any]:
    """`function(item)` of each item, in order; `Died` for one that killed its process.

    Args:
        function: is pickled for each process; its exceptions end the run.
        items: taken as they are needed, `AHEAD` a process in advance.
        processes: 1 computes in this process.
    """
    if processes < 1:
        raise ValueError(f"The number of processes must be at least 1, not {processes}.")
    if processes == 1:
        yield from map(function, items)
        return
    pool = _Pool(function, processes)
    under_way: deque[tuple[Any, Future]] = deque()
    try:
        for item in items:
            under_way.append((item, pool.submit(item)))
            if len(under_way) >= AHEAD * processes:
                yield from _next(pool, under_way)
        while under_way:
            yield from _next(pool, under_way)
    finally:
        pool.close()


def _next(pool: _Pool, under_way: deque[tuple[Any, Future]]) -> Iterator[Any]:
    """The result of the first item; of all that are under way, where the pool broke."""
    try:
        first = under_way[0][1].result()
    except BrokenProcessPool:
        results = pool.again([item for item, _ in under_way])
        under_way.clear()
        yield from results
    else:
        under_way.popleft()
        yield first
