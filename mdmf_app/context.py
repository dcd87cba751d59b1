"""What the tabs share: loaded detectors, the one queue for the model, and a picture's evidence or one sentence.

No state of a user is kept here. A session holds its choice of model in a `gr.State`: None for the model that the
page started with, else what `Context.load` returned.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

import gradio as gr
import scipy.stats  # noqa: F401 (now, so that the first picture doesn't wait for it)

from mdmf_app.labels import label
from mdmf_app.language import say
from mdmf_app.server import limits, space
from mdmf_core.checkpoint import hub
from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError, ImageError
from mdmf_core.evidence import INCONCLUSIVE, Evidence
from mdmf_core.images import isolated
from mdmf_core.images.reader import Picture

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "_examples"  # where `pip install` puts what lies at the top of a checkout
EXAMPLES = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "examples"
ALPHA = 0.05
ONE_HOUR = limits.ONE_HOUR
MOST_MODELS = 3
LONGEST_WAIT = 60.0  # seconds that work of the background waits for those who are first
PLACES = 3  # at the model: one picture is judged while others are decoded, and a long batch or a bad file blocks nobody
MODEL_QUEUE = {"concurrency_id": "model", "concurrency_limit": PLACES}
BACKGROUND = {"concurrency_id": "background", "concurrency_limit": 1}  # what nobody asked for takes none of them
LOADING_QUEUE = {"concurrency_id": "loading", "concurrency_limit": 1}  # a long download holds up nobody's picture
PRIVATE = {"api_visibility": "private"}
QUICK = {**PRIVATE, "queue": False, "show_progress": "hidden"}

_of_examples: WeakKeyDictionary[Detector, dict[str, tuple[Picture, Evidence]]] = WeakKeyDictionary()


class Verdicts:
    """Pictures that are being judged now, to which work of the background gives way."""

    def __init__(self) -> None:
        self._running, self._changed = 0, threading.Condition()

    @contextmanager
    def first(self) -> Iterator[None]:
        """While a picture is judged."""
        with self._changed:
            self._running += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def wait(self, wanted: Callable[[], bool] = lambda: True, seconds: float = LONGEST_WAIT) -> bool:
        """Until none is judged, the work is not `wanted` any more, or that long; whether it may go on."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running or not wanted(), seconds)
        return wanted()


verdicts = Verdicts()


class Choice(NamedTuple):
    """A model that a user chose: what was asked for, and the revision that it led to."""

    wanted: str
    revision: str | None


class Context:
    """The detectors in memory. The page's own one stays; of others, the `MOST_MODELS` used last."""

    def __init__(self, detector: Detector, warning: str = "") -> None:
        self.default = detector
        self.warning = warning
        self._loaded: OrderedDict[Choice, Detector] = OrderedDict()
        self._loading, self._guard = threading.Lock(), threading.Lock()
        isolated.start()

    def detector(self, choice: Choice | None = None) -> Detector:
        """The detector of a session; one that had to make room is loaded again.

        Raises:
            CheckpointError: it can't be loaded any more; one sentence.
        """
        if choice is None:
            return self.default
        choice = Choice(*choice)
        with self._guard:
            if choice in self._loaded:
                self._loaded.move_to_end(choice)
                return self._loaded[choice]
        with self._loading:
            return self._keep(choice, space.load(choice.wanted, choice.revision))

    def load(self, wanted: str, revision: str | None = None) -> Choice | None:
        """Load the model that a user asks for: a folder or a Hub repository. Nobody else's model changes.

        Returns:
            What the session keeps in its `gr.State`; None for the page's own model.

        Raises:
            CheckpointError: it can't be used; one sentence. Whatever was loaded stays loaded.
        """
        with self._loading:
            detector = space.load(wanted, revision or None)
            if detector.fingerprint == self.default.fingerprint:
                return None
            from_hub = not Path(wanted).expanduser().is_dir()
            choice = Choice(wanted, detector.located.revision if from_hub else None)
            self._keep(choice, detector)
            return choice

    def _keep(self, choice: Choice, detector: Detector) -> Detector:
        with self._guard:
            self._loaded[choice] = detector
            self._loaded.move_to_end(choice)
            while len(self._loaded) > MOST_MODELS:
                self._loaded.popitem(last=False)
        return detector


def first_detector() -> tuple[Detector, str]:
    """The detector that MDMF_MODEL names, else the bundled one; and what to tell the user about it.

    Raises:
        CheckpointError: the bundled detector can't be used either.
    """
    try:
        return space.load_own(), ""
    except CheckpointError as error:
        wanted = os.environ.get("MDMF_MODEL")
        if not wanted:
            raise
        shown = Path(wanted).name if Path(wanted).expanduser().is_absolute() else wanted
        reason = str(error).replace(wanted, shown)
        warning = say("model.warning", name=shown, reason=reason)
        return space.load_own(hub.BUNDLED), warning


def rate_slider(elem_id: str) -> gr.Slider:
    """The false-alarm rate that a person accepts, under "Advanced": no headline depends on it."""
    with gr.Accordion(label(say("advanced")), open=False, elem_id=f"{elem_id}-advanced"):
        return rate_field(elem_id)


def rate_field(elem_id: str) -> gr.Slider:
    """The slider alone, for a tab that has more under "Advanced"."""
    return gr.Slider(
        0.01,
        INCONCLUSIVE,
        ALPHA,
        step=0.01,
        label=label(say("rate.label")),
        info=label(say("rate.info")),
        elem_id=elem_id,
        min_width=260,
    )


def rate(alpha: float | None) -> float:
    """The false-alarm rate that a program gave, or the usual one.

    Raises:
        gr.Error: out of range; one sentence.
    """
    alpha = ALPHA if alpha is None else alpha
    if not 0 < alpha <= INCONCLUSIVE:
        raise sentence(say("rate.error", most=INCONCLUSIVE, rate=alpha))
    return alpha


def detect(detector: Detector, path: str | None, alpha: float | None) -> tuple[Picture, Evidence]:
    """One picture and its evidence; that of an example is kept once it was asked for.

    Raises:
        gr.Error: the picture or the rate can't be used; one sentence.
    """
    if not path:
        raise sentence(say("error.no_picture"))
    alpha = rate(alpha)
    kept = _of_examples.setdefault(detector, {}) if Path(path).parent == EXAMPLES else {}
    try:
        if path not in kept or kept[path][1].verdict.alpha != alpha:
            with verdicts.first():
                picture = isolated.read(path, detector.model.geometry.min_side)
                kept[path] = picture, detector.detect(picture, alpha)
        return kept[path]
    except ImageError as error:
        raise sentence(error.args[0]) from error


def sentence(text: str) -> gr.Error:
    """An error that a user or a program gets as one sentence, without a trace in the log."""
    return gr.Error(text, print_exception=False)
