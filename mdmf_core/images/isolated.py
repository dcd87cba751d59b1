"""Untrusted files are read in processes of their own, so that one which hangs, dies or eats memory costs one request.

A decoder process holds Pillow, the HEIC decoder and c2pa's native code, and neither torch nor the page. It gets a
request as a line of JSON and answers with another, then with the pixels, all through pipes: no file and no shared
memory, so nothing is left behind whoever dies when, and nothing that it sends is run here. A process that lost its way
is killed and the next request gets a new one. It ends with its parent, also a killed one.

This is for robustness and no sandbox: a decoder process may do what the page's user may, except write files. On Linux
its memory is limited; elsewhere only its time is.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, replace
from importlib import import_module
from pathlib import Path
from queue import LifoQueue
from typing import Any

import numpy as np

from mdmf_core.errors import ImageError
from mdmf_core.images import origin, reader, video
from mdmf_core.images.bounds import MAX_PIXELS
from mdmf_core.images.origin.marks import find_marks
from mdmf_core.images.origin.said import Origin, Provenance
from mdmf_core.images.reader import Picture

PROCESSES = 3
DEADLINE = 10.0  # seconds of processor time of one request; a busy machine takes nothing from it
PATIENCE = 6  # times the deadline by the clock, for a process that waits and computes nothing
START = 60.0  # seconds until a new process is ready; a busy machine
MEMORY = 1_400_000_000  # bytes of data in one process; with the libraries it stays below 1.5 GB
MAX_LINE = 2**25  # bytes of an answer without its pixels
TOO_LONG = "The picture took too long to decode and was given up; crop it, or save it again in another format."
DIED = "The picture could not be decoded: it brought the decoder down; save it again in another format."
TOO_BIG = "There is not enough memory to decode the picture; crop it."
NO_START = "The picture could not be decoded because no decoder could be started; try again in a minute."
NO_ORIGIN = "What the file says of its origin could not be read in full; only EXIF and text fields are shown."

Work = Callable[[dict[str, Any]], tuple[dict[str, Any], "np.ndarray | None"]]

_PROGRAM = "import sys; sys.path[:] = sys.argv[3:]; from mdmf_core.images.isolated import serve; serve(*sys.argv[1:3])"
_COUNTS = hasattr(signal, "setitimer")  # elsewhere the deadline is by the clock
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


# In this process


def start() -> None:
    """Start one process now, so that the first picture doesn't wait for it."""
    _pool.start()


def read(path: str | Path, min_side: int = 128) -> Picture:
    """`reader.read` of a file, in another process.

    Args:
        path: of the file.
        min_side: least width and height in pixels.

    Raises:
        ImageError: as from `reader.read`; or it takes longer than `DEADLINE`, or brings its process down.
    """
    facts, pixels = _pool.ask({"path": os.path.abspath(path), "min_side": min_side})
    return Picture(pixels, **{**facts, "notes": tuple(facts["notes"])})


def read_provenance(path: str | Path, picture: Picture) -> Provenance:
    """`origin.read_provenance` of a file, in another process; where that fails, what `picture` itself holds.

    Args:
        path: of the file that `picture` was read from.
        picture: for its metadata and format.
    """
    trust = os.environ.get("MDMF_C2PA_TRUST")
    trust = trust and os.path.abspath(trust)
    try:
        found, _ = _pool.ask({"path": os.path.abspath(path), "picture": _facts(picture), "trust": trust})
    except ImageError:
        return replace(origin.read_provenance(b"", picture), notes=(NO_ORIGIN,))
    return replace(Provenance.from_dict(found), marks=find_marks(picture.pixels))


def origin_of(path: str | Path, picture: Picture) -> Origin:
    """`origin.origin_of` of a file, in another process."""
    return origin.summary(read_provenance(path, picture))


def ask(request: dict[str, Any]) -> tuple[Any, np.ndarray | None]:
    """What `work` gives, in another process; for what a module above this one wants of a file.

    Raises:
        ImageError: as from `Pool.ask`.
    """
    return _pool.ask(request)


class Pool:
    """Decoder processes, each started when it is first needed and again after it was lost.

    Args:
        work: what they do with a request; a function of a module, which each process imports for itself.
        processes: at most so many; a request waits for a free one.
        deadline: seconds of processor time of one request, and `PATIENCE` times as many by the clock.
    """

    def __init__(self, work: Work, processes: int = PROCESSES, deadline: float = DEADLINE) -> None:
        self._work, self._deadline = f"{work.__module__}:{work.__name__}", deadline
        self._places: LifoQueue[_Decoder | None] = LifoQueue()  # the one used last is used next
        for _ in range(processes):
            self._places.put(None)

    def start(self) -> None:
        with self._decoder():
            pass

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray | None]:
        """What `work(request)` gives.

        Raises:
            ImageError: `work` raised it, took too long or lost its process; one sentence.
            RuntimeError: `work` failed in another way, which is logged.
        """
        with self._decoder() as decoder:
            answer, pixels = decoder.ask(request)
        if "error" in answer:
            raise ImageError(answer["error"])
        if "fault" in answer:
            logging.getLogger(__name__).error("A decoder process failed: %s", answer["fault"])
            raise RuntimeError("A decoder process failed.")
        return answer["found"], pixels

    @contextmanager
    def _decoder(self) -> Iterator[_Decoder]:
        """A living process for one request; whatever is raised ends it."""
        decoder = self._places.get()
        try:
            if decoder is None or not decoder.is_alive():
                decoder = _Decoder(self._work, self._deadline)
            yield decoder
        except BaseException:
            if decoder is not None:
                decoder.end()
            decoder = None
            raise
        finally:
            self._places.put(decoder)


class _Decoder:
    """One decoder process, seen from its parent."""

    def __init__(self, work: str, deadline: float) -> None:
        command = [sys.executable, "-c", _PROGRAM, work, str(deadline), *sys.path]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            self._process = subprocess.Popen(command, **pipes, pipesize=2**20, env={**os.environ, **_ONE_THREAD})  # noqa: S603  # the words are our own
        except OSError as error:
            raise ImageError(NO_START) from error
        self._patience = deadline * (PATIENCE if _COUNTS else 1)
        self._is_ready = False

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray | None]:
        """The answer and the pixels (H, W, 3) uint8, if there are any.

        Raises:
            ImageError: there is no answer, or none in time; one sentence.
        """
        if not self._is_ready:
            with self._within(START, NO_START, NO_START):
                self._line()
            self._is_ready = True
        with self._within(self._patience, TOO_LONG, DIED):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            answer = self._line()
            return answer, self._pixels(*answer["shape"]) if "shape" in answer else None

    @contextmanager
    def _within(self, seconds: float, too_long: str, died: str) -> Iterator[None]:
        """Kill the process after some seconds, which ends every wait for it."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            yield
        except (OSError, EOFError, ValueError) as error:
            raise ImageError(too_long if late.is_set() or self._used_its_time() else died) from error
        finally:
            timer.cancel()
            timer.join()
        if late.is_set():
            raise ImageError(too_long)

    def _used_its_time(self) -> bool:
        """Whether the system ended the process because its processor time was over."""
        with suppress(subprocess.TimeoutExpired):
            return _COUNTS and self._process.wait(1) == -signal.SIGPROF
        return False

    def _line(self) -> dict[str, Any]:
        line = self._process.stdout.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            raise EOFError
        return json.loads(line)

    def _pixels(self, height: int, width: int, channels: int) -> np.ndarray:
        if channels != 3 or not 0 < height * width <= MAX_PIXELS:
            raise ValueError("no picture is of this shape")
        pixels = np.empty((height, width, channels), np.uint8)
        if self._process.stdout.readinto(pixels.data) < pixels.nbytes:
            raise EOFError
        return pixels

    def end(self) -> None:
        with suppress(OSError), self._process:  # closes the pipes and waits
            self._process.kill()


# In a decoder process


def work(request: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray | None]:
    """Read a picture or a video's frames, or what its file says of its origin."""
    if "video" in request:
        return _of_video(request)
    path = request["path"]
    if "picture" in request:
        picture = Picture(np.empty((0, 0, 3), np.uint8), **request["picture"])
        return origin.read_provenance(path, picture, request["trust"]).to_dict(), None
    picture = reader.read(path, request["min_side"])
    return _facts(picture), picture.pixels


def _of_video(request: dict[str, Any]) -> tuple[Any, np.ndarray | None]:
    if "chosen" in request:
        return video.cut(request["video"], request["chosen"], request["min_side"])
    return asdict(video.look(request["video"], request["min_side"])), None


def _facts(picture: Picture) -> dict[str, Any]:
    return {field.name: getattr(picture, field.name) for field in fields(picture) if field.name != "pixels"}


_pool = Pool(work)


def serve(work: str, deadline: str) -> None:
    """Answer requests on standard output until standard input ends; `work` is "module:function"."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a C library prints goes nowhere
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    module, function = work.split(":")
    function = getattr(import_module(module), function)
    _load_decoders()
    _limit()
    answers.write(b"{}\n")
    answers.flush()
    for line in sys.stdin.buffer:
        with _alarm(float(deadline)):
            _answer(function, json.loads(line), answers)


def _answer(work: Work, request: dict[str, Any], answers: Any) -> None:
    try:
        found, pixels = work(request)
        answer = {"found": found} if pixels is None else {"found": found, "shape": pixels.shape}
    except ImageError as error:
        answer, pixels = {"error": str(error)}, None
    except MemoryError:
        answer, pixels = {"error": TOO_BIG}, None
    except Exception as error:
        answer, pixels = {"fault": _places(error)}, None
    answers.write(json.dumps(answer).encode() + b"\n")
    if pixels is not None:
        answers.write(pixels.data)
    answers.flush()


def _places(error: Exception) -> str:
    """What was raised and where, without its message, which may hold the name of a file."""
    places = (f"{Path(at.filename).name}:{at.lineno} in {at.name}" for at in traceback.extract_tb(error.__traceback__))
    return "; ".join([*places, type(error).__name__])


def _load_decoders() -> None:
    """Before the limits are set, and before the first picture waits."""
    from PIL import AvifImagePlugin, Image

    Image.init()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 4  # else one for each core, each with memory of its own
    for name in ("pillow_heif", "c2pa", "cryptography.x509"):
        with suppress(Exception):  # without one of them, reading says so
            import_module(name)


def _limit() -> None:
    """Ctrl-C is for the parent. On Linux: bounded memory, no files, no core dumps, the first to be killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "linux":
        return
    import resource

    for what, most in ((resource.RLIMIT_DATA, MEMORY), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """The system ends a process that has used its processor time, in any code, or that nobody is left to end."""
    if not _COUNTS:
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds + 2)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _end_with_parent(parent: int) -> None:
    """The pipe from a killed parent may stay open in its other children."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
