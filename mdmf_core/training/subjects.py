"""What training pictures show, so that a subject can be drawn as often real as generated.

A detector learns whatever tells the classes apart, and what a picture shows does so when portraits are mostly generated
and streets mostly real. Pictures are put into clusters of like subject (k-means on embeddings of the ImageNet network
that training starts from, of pictures shrunk until no trace of their making is left), and the weights with which
pictures are drawn are set so that each cluster has as much of either class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.cluster import KMeans

from mdmf_core.images.degrade import resize
from mdmf_core.images.reader import read
from mdmf_core.method.backbones.lite import Lite
from mdmf_core.training.dataset import Entry
from mdmf_core.training.imagenet import load

SIDE = 128  # pixels that pictures are shrunk to
MOST = 4.0  # times that a picture's weight is raised to balance its cluster


@torch.inference_mode()
def embeddings(entries: list[Entry], start: Path) -> np.ndarray:
    """Embeddings (N, 1280) of unit length of what pictures show, by the ImageNet network in the file `start`."""
    network = load(Lite.base(), start)
    network.reset_classifier(0)
    found = [network.eval()(_small(_shown(entry.path)))[0].numpy() for entry in entries]
    return np.stack([value / np.linalg.norm(value) for value in found])


def _shown(path: Path) -> np.ndarray:
    """A picture (H, W, 3) uint8; a large JPEG at the smallest size that its decoder gives at once."""
    with Image.open(path) as image:
        if image.format == "JPEG":
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            return np.asarray(image.convert("RGB"))
    return read(path).pixels


def _small(pixels: np.ndarray) -> torch.Tensor:
    """The middle of a picture whose shorter side is shrunk to `SIDE`, (1, 3, SIDE, SIDE)."""
    small = resize(pixels, SIDE / min(pixels.shape[:2]))
    top, left = ((side - SIDE) // 2 for side in small.shape[:2])
    return torch.from_numpy(small[top : top + SIDE, left : left + SIDE].copy()).permute(2, 0, 1)[None] / 127.5 - 1


def by_source(entries: list[Entry], cap: int, tilt: float) -> np.ndarray:
    """Weights (N,), sum 1 in each class: a source weighs (its number of pictures, capped)^tilt."""
    counts = Counter((entry.label, entry.source) for entry in entries)
    sizes = np.array([counts[entry.label, entry.source] for entry in entries])
    return _normal(np.minimum(sizes, cap) ** tilt / sizes, np.array([entry.label for entry in entries]))


def raised(weights: np.ndarray, entries: list[Entry], sources: Collection[str], times: float) -> np.ndarray:
    """Weights (N,) under which the pictures of some sources are drawn so many times as often."""
    labels = np.array([entry.label for entry in entries])
    return _normal(weights * np.array([times if entry.source in sources else 1.0 for entry in entries]), labels)


def balanced(weights: np.ndarray, labels: np.ndarray, found: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Weights (N,) under which each cluster of subjects has as much of either class.

    Args:
        weights: (N,), of sum 1 in each class.
        labels: (N,) 0 real, 1 generated.
        found: (N, 1280) from `embeddings`.
        clusters: how many; 0 leaves the weights as they are.
        seed: of the clusters.
    """
    if not clusters:
        return weights
    cluster = KMeans(clusters, n_init=3, random_state=seed).fit_predict(found)
    mass = np.zeros((clusters, 2))
    np.add.at(mass, (cluster, labels), weights)
    wanted = np.sqrt(mass.prod(1))
    wanted /= wanted.sum()
    raised = np.minimum(wanted[:, None] / np.maximum(mass, 1e-9), MOST)
    return _normal(weights * raised[cluster, labels], labels)


def capped(weights: np.ndarray, labels: np.ndarray, chosen: np.ndarray, share: float) -> np.ndarray:
    """Weights (N,) under which the pictures `chosen` (N,) are at most `share` of either class."""
    weights = weights.copy()
    for label in (0, 1):
        mine = labels == label
        inside, outside = weights[mine & chosen].sum(), weights[mine & ~chosen].sum()
        if outside and inside / (inside + outside) > share:
            weights[mine & chosen] *= share / (1 - share) * outside / inside
    return _normal(weights, labels)


def _normal(weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    totals = np.array([weights[labels == label].sum() or 1.0 for label in (0, 1)])
    return weights / totals[labels]


def told(weights: np.ndarray, labels: np.ndarray, say: Callable[[str], None]) -> None:
    """Say how many pictures the weights are worth: 1 / sum of squares."""
    for label, name in enumerate(("real", "generated")):
        mine = weights[labels == label]
        say(f"{name}: {len(mine)} pictures, worth {1 / (mine**2).sum():.0f} equally weighted ones")
