"""Where the time of `Detector.detect` goes, seen from outside by Python's profiler."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from cProfile import Profile
from typing import Any

from mdmf_core import detector as steps
from mdmf_core.detector import Detector
from mdmf_core.evidence import Evidence


def clocked(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What a call gives, and its seconds."""
    start = time.perf_counter()
    given = function(*arguments)
    return given, time.perf_counter() - start


def stages_of(detector: Detector, image: Any) -> tuple[Evidence, dict[str, float]]:
    """The evidence of an image, and the seconds of each stage that follows its decoding."""
    stages = {
        "patches": (steps.cut,),
        "backbone": (detector.model.backbone.embed,),
        "signature": (detector.model.points,),
        "mmd": (steps.compare,),
        "evidence": (steps.detail_of, steps.judge, steps.maps_of),
        "locator": (steps.locate_in,),
    }
    profile = Profile()
    evidence = profile.runcall(detector.detect, image)
    spent = {entry.code: entry.totaltime for entry in profile.getstats()}
    return evidence, {
        name: sum(spent.get(inspect.unwrap(function).__code__, 0.0) for function in functions)
        for name, functions in stages.items()
    }
