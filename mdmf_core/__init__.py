"""MDMF: patches, forensic signatures and Maximum Mean Discrepancy for detecting generated images.

    from mdmf_core import Detector
    evidence = Detector.from_pretrained().detect("photo.jpg")

Source: "Micro-Defects expose Macro-Fakes" (arXiv 2605.09296). The package never imports gradio, and importing it alone
imports no torch: a name is loaded when it is first asked for.

Importing it also says how long the threads of GNU's OpenMP, which torch uses on Linux, wait for each other awake
(GOMP_SPINCOUNT). By default that is so long that beside one busy program the network takes many times as long. It
counts where torch was not imported before; whoever sets GOMP_SPINCOUNT or OMP_WAIT_POLICY is left alone.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdmf_core.detector import Detector
    from mdmf_core.errors import MDMFError
    from mdmf_core.evidence import Evidence
    from mdmf_core.images.reader import read

__all__ = ["Detector", "Evidence", "MDMFError", "read"]
__version__ = "1.0.0"

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

_HOMES = {"Detector": "detector", "Evidence": "evidence", "MDMFError": "errors", "read": "images.reader"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
