"""What can go wrong and be said in one sentence: every message says why, and what to do."""

from __future__ import annotations


class MDMFError(Exception):
    """The root of all that is raised here for a person to read; the message is one sentence."""


class ImageError(MDMFError, ValueError):
    """The picture cannot be analysed."""


class CheckpointError(MDMFError, RuntimeError):
    """A checkpoint can't be used."""


class DatasetError(MDMFError, ValueError):
    """The folder does not hold what was asked of it."""


class EngineError(MDMFError, RuntimeError):
    """Ray can't do it."""


class WriteError(MDMFError, OSError):
    """A file can't be written."""


class TrustedError(MDMFError, ValueError):
    """A reference of trusted pictures can't be made or used."""
