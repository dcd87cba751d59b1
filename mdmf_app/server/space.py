"""The page on a public host: the GPU that ZeroGPU lends.

ZeroGPU runs a function that `spaces.GPU` decorates in a forked process, which has a GPU for some seconds and is used
again for later calls; arguments and results go there and back as pickles, and the main process never has a GPU. So
only the encoder works there: patches in, embeddings out, both as arrays. What the worker keeps in memory is a
convenience and nothing that the page counts on. `spaces` wants to be imported before anything starts CUDA, so the page
imports this module first. Off ZeroGPU nothing changes. Source: `spaces` 0.51 and the Hub's page "Spaces ZeroGPU".
"""

from __future__ import annotations

try:
    import spaces
except ImportError:  # it is there on every Gradio Space, and needed nowhere else
    spaces = None

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import gradio as gr
import numpy as np
import torch
from torch import Tensor, nn

from mdmf_core.checkpoint import store
from mdmf_core.detector import Detector
from mdmf_core.errors import ImageError

SECONDS = 15  # of GPU that one picture asks for; what it doesn't use is not charged
ENCODERS = 4
QUICK_ON_CPU = ("compact", "lite")  # a tenth of a second there; visitors keep their GPU time


@lru_cache(ENCODERS)
def encoder(folder: str) -> nn.Module:
    """The encoder of a checkpoint folder, on the GPU where there is one.

    The main process calls it for the page's own model before the page starts, on what ZeroGPU shows it as `cuda`, and
    workers are born with that. For a model that was chosen later a worker loads it, and keeps it while it lives.
    """
    return store.load(Path(folder)).backbone.to("cuda" if torch.cuda.is_available() else "cpu")


def _embed(folder: str, patches: np.ndarray) -> np.ndarray:
    """Embeddings (N, D) float32 of patches (N, 3, W, W) uint8, by the encoder of a checkpoint folder."""
    torch.set_num_threads(1)  # OpenMP's threads don't survive a fork
    return encoder(folder).embed(torch.from_numpy(patches)).numpy()


embed = _embed if spaces is None else spaces.GPU(duration=SECONDS)(_embed)


def on_zero() -> bool:
    """Whether the page runs on ZeroGPU; elsewhere `spaces.GPU` gives the function back as it is."""
    return embed is not _embed


class Lent:
    """An encoder that works on the lent GPU (`mdmf_core.method.backbones.Backbone`)."""

    def __init__(self, folder: Path, own: nn.Module) -> None:
        self.folder = str(folder)
        self.name, self.version, self.dim, self.config = own.name, own.version, own.dim, own.config

    def embed(self, patches: Tensor) -> Tensor:
        """Embeddings (N, D) float32 of patches (N, 3, W, W) uint8, both on the CPU.

        Raises:
            ImageError: there is no GPU for this visitor now; one sentence.
        """
        try:
            return torch.from_numpy(embed(self.folder, patches.numpy()))
        except gr.Error as error:
            reason = str(error.message).strip().rstrip(".")
            raise ImageError(f"The picture could not be analysed on the GPU: {reason}.") from error


def load(folder_or_repo_id: str | None = None, revision: str | None = None) -> Detector:
    """`Detector.from_pretrained`; on ZeroGPU its encoder works on the lent GPU, unless the CPU is as quick.

    Raises:
        CheckpointError: it can't be reached or doesn't fit; one sentence.
    """
    if not on_zero():
        return Detector.from_pretrained(folder_or_repo_id, revision)
    detector = Detector.from_pretrained(folder_or_repo_id, revision, device="cpu")
    own = detector.model.backbone
    if own.name not in QUICK_ON_CPU:
        detector.model = replace(detector.model, backbone=Lent(detector.located.folder, own))
        detector.device = "cuda"
    return detector


def load_own(folder_or_repo_id: str | None = None) -> Detector:
    """`load` for the page's own model, before the page starts: ZeroGPU wants it on `cuda` by then.

    Raises:
        CheckpointError: it can't be reached or doesn't fit; one sentence.
    """
    detector = load(folder_or_repo_id)
    if isinstance(detector.model.backbone, Lent):
        encoder(detector.model.backbone.folder)
    return detector
