"""What an encoder is trained on: pools of lives, pairs and composites in memory, and crops drawn from them.

A life is a picture after a random history (`degrade.history`), the same lottery for both classes. A pair is a
photograph and a picture of the same that was made from it by a generator, both after the same history. A composite is
put together from two pictures, or from a pair, and knows for each pixel whether it was generated.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mdmf_core.errors import DatasetError
from mdmf_core.images import degrade
from mdmf_core.images.reader import read
from mdmf_core.training import composites
from mdmf_core.training.dataset import Entry
from mdmf_core.training.recipe import Pretrain

BORDERS = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0)
KINDS = ((0, 1),) * 5 + ((1, 0),) * 2 + ((0, 0),) * 3  # labels of both pictures of a composite
SIDES = (56, 200)  # pixels of the sides of a composite's region
REGION = 576  # pixels a side of the part of a large picture that gets a history
ALIGNED = 0.29  # share of composites whose region was made again where it lay
GREY, TURNED_COLOURS = 0.12, 0.15  # shares of crops

Life = np.ndarray  # (H, W, 3) uint8
Composite = tuple[np.ndarray, np.ndarray]  # (H, W, 3) uint8, and (H, W) uint8: 255 where generated


def _generator(seed: int, what: str, key: str) -> np.random.Generator:
    return degrade.generator(seed, what, key)


def _pixels(path: Path) -> tuple[np.ndarray, bool]:
    """A picture and whether it has no JPEG in its past."""
    picture = read(path, min_side=1)
    return picture.pixels, picture.format not in ("JPEG", "MPO")


def _region(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random part of a large picture; all of a small one."""
    return pixels[corner(pixels, REGION, rng)] if max(pixels.shape[:2]) > REGION else pixels


def corner(pixels: np.ndarray, side: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """A random place of at most side x side pixels."""
    top, left = (int(rng.integers(0, max(1, length - side + 1))) for length in pixels.shape[:2])
    return slice(top, top + side), slice(left, left + side)


def lives_of(entry: Entry, versions: int, side: int, smallest: int, seed: int) -> list[Life]:
    """Lives of one picture, at most `side` pixels a side; none where it is smaller than `smallest`."""
    pixels, never_jpeg = _pixels(entry.path)
    if min(pixels.shape[:2]) < smallest + degrade.ROOM:
        return []
    found = []
    for version in range(versions):
        rng = _generator(seed, f"history{version}", entry.key)
        life = degrade.history(_region(pixels, rng), rng, never_jpeg, smallest)
        found.append(np.ascontiguousarray(life[corner(life, side, rng)]))
    return found


def pair_of(paths: tuple[Path, Path], versions: int, side: int, smallest: int, seed: int) -> list[tuple[Life, Life]]:
    """Lives of a photograph and of what was made from it, each time the same history and the same place."""
    both = [_pixels(path)[0] for path in paths]
    if both[0].shape != both[1].shape:
        raise DatasetError(f"{paths[0].name} and {paths[1].name} are a pair, but not of one size.")
    found = []
    for version in range(versions):
        made = []
        for pixels in both:
            rng = _generator(seed, f"history{version}", paths[0].name)
            life = degrade.history(pixels, rng, False, smallest)
            made.append(np.ascontiguousarray(life[corner(life, side, rng)]))
        found.append((made[0], made[1]))
    return found


def composite_of(
    job: tuple[Path, Path, tuple[int, int] | None, int], side: int, smallest: int, seed: int
) -> Composite | None:
    """A composite of two files; None where it gets too small.

    Args:
        job: both files; the labels of both, or None for a pair, real and generated; and a number.
        side: most pixels a side.
        smallest: fewest pixels a side.
        seed: of all choices, with the job's number.
    """
    first, second, labels, number = job
    rng = np.random.default_rng([seed, number])
    made = composed(_pixels(first), _pixels(second), labels, rng, smallest)
    if made is None:
        return None
    place = corner(made[0], side, rng)
    return np.ascontiguousarray(made[0][place]), np.ascontiguousarray(made[1][place])


def composed(
    first: tuple[Life, bool],
    second: tuple[Life, bool],
    labels: tuple[int, int] | None,
    rng: np.random.Generator,
    smallest: int,
) -> Composite | None:
    """A composite of two pictures, after a later life; None where it gets too small.

    Args:
        first, second: a picture and whether it has no JPEG in its past.
        labels: of both, or None for a pair, real and generated.
        rng: the source of every choice.
        smallest: fewest pixels a side.
    """
    (base, base_never), (part, part_never) = first, second
    if labels is None:
        mixed, mask = composites.remade(base, part, rng, SIDES, BORDERS, ellipses=0.35)
    else:
        base, part = _region(base, rng), _region(part, rng)
        if rng.random() < 0.5:
            part = degrade.history(part, rng, part_never, smallest)
        if rng.random() < 0.3:
            base = degrade.history(base, rng, base_never, smallest)
        mixed, mask = composites.paste(base, part, rng, SIDES, BORDERS, ellipses=0.35)
    mixed, mask = composites.aged(mixed, mask, rng, smallest)
    if min(mask.shape) < smallest:
        return None
    low, high = labels or (0, 1)
    return mixed, np.rint(255 * (low + (high - low) * mask)).astype(np.uint8)


def pool(function, jobs: list, workers: int, what: str) -> list:
    """`function(job)` of each job, in order, on several processes."""
    with ProcessPoolExecutor(workers) as processes:
        return list(tqdm(processes.map(function, jobs, chunksize=16), total=len(jobs), desc=what))


def make_lives(entries: list[Entry], settings: Pretrain, smallest: int) -> list[list[Life]]:
    """`settings.versions` lives of every entry; none for one that is too small."""
    made = partial(lives_of, **_bounds(settings, smallest), versions=settings.versions)
    return pool(made, entries, settings.workers, "lives")


def find_pairs(folder: Path | None) -> list[tuple[Path, Path]]:
    """Files `NAME_real.*` and `NAME_made.*` of one folder, side by side."""
    if folder is None:
        return []
    real = sorted(folder.glob("*_real.*"))
    pairs = [(path, path.with_name(path.name.replace("_real.", "_made."))) for path in real]
    missing = [made.name for _, made in pairs if not made.is_file()]
    if missing or not pairs:
        raise DatasetError(f"{folder} lacks {missing[0] if missing else 'pictures named NAME_real and NAME_made'}.")
    return pairs


def make_pairs(pairs: list[tuple[Path, Path]], settings: Pretrain, smallest: int) -> list[list[tuple[Life, Life]]]:
    """`settings.versions` lives of every pair."""
    made = partial(pair_of, **_bounds(settings, smallest), versions=settings.versions)
    return pool(made, pairs, settings.workers, "pairs")


def make_composites(
    entries: list[Entry], weights: np.ndarray, pairs: list[tuple[Path, Path]], settings: Pretrain, smallest: int
) -> list[Composite]:
    """About `settings.composites` composites of pictures drawn by weight, and of pairs where there are any."""
    rng = np.random.default_rng([settings.seed, 2])
    labels = np.array([entry.label for entry in entries])
    jobs = []
    for number in range(settings.composites):
        if pairs and rng.random() < ALIGNED:
            jobs.append((*pairs[rng.integers(len(pairs))], None, number))
            continue
        kind = KINDS[rng.integers(len(KINDS))]
        files = [entries[draw(labels == label, weights, 1, rng)[0]].path for label in kind]
        jobs.append((*files, kind, number))
    made = pool(partial(composite_of, **_bounds(settings, smallest)), jobs, settings.workers, "composites")
    return [composite for composite in made if composite is not None]


def _bounds(settings: Pretrain, smallest: int) -> dict[str, int]:
    return {"side": settings.side, "smallest": smallest, "seed": settings.seed}


def draw(mask: np.ndarray, weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` indices, drawn by weight among those where `mask` (N,) is true."""
    index = np.flatnonzero(mask)
    return rng.choice(index, count, p=weights[index] / weights[index].sum())


def crop(pixels: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A random part of side x side pixels, mirrored or turned at times; of a picture or of a mask."""
    part = pixels[corner(pixels, side, rng)]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    return np.rot90(part, rng.integers(4) if rng.random() < 0.3 else 0)


def coloured(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At times grey, at times with its colour channels in another order: colours tell what a picture shows."""
    lot = rng.random()
    if lot < GREY:
        return np.repeat(np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None], 3, 2)
    return pixels[..., rng.permutation(3)] if lot < GREY + TURNED_COLOURS else pixels


def without_traces(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop shrunk and grown back, and at times saved as JPEG: nothing of how it was made is left."""
    gone = degrade.without_traces(np.ascontiguousarray(pixels), rng)
    return degrade.jpeg(gone, int(rng.integers(70, 99))) if rng.random() < 0.5 else gone
