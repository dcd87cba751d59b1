"""`embed`, `evaluate` and `bank` on Ray: the same results as one process, from many machines.

    pip install -r requirements-scale.txt
    python -m mdmf_core embed recipe.json runs/mine --engine ray

Ray Data (https://docs.ray.io/en/latest/data/batch_inference.html) streams the work through stages with
back-pressure: processor tasks decode and cut pictures, one actor a GPU (or core) holds one loaded model, and
for `embed` further tasks write the shards. Blocks keep their order, so that a shard has the pictures that a
single process would put in it. A worker that is lost is replaced and its work done again; a shard appears
whole, by a rename, or not at all. Without a cluster (RAY_ADDRESS) one is started on this machine, for this
run. Every machine must see the pictures, the checkpoint and the output under the same paths.
"""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdmf_core import embed as embeddings
from mdmf_core import workers
from mdmf_core.dataset import Entry

if TYPE_CHECKING:  # heavier than all else here, and every worker of `embed` would import it
    from mdmf_core.detector import Detector
    from mdmf_core.evaluate import Row

BATCH = 8  # pictures that go from stage to stage together
MOST_BLOCKS = 100_000  # that one driver hands out
TRIES = 3  # of work whose worker was lost


class EngineError(RuntimeError):
    """Ray can't do it; the message is one sentence that says what to do."""


@contextmanager
def cluster(processes: int, gpu: bool = True) -> Iterator[tuple[int, int]]:
    """A running Ray: how many actors to start there, and how many GPUs each of them takes, 1 or 0.

    Args:
        processes: actors; 0 is one for each GPU, or for every second core where there is none. No more than GPUs.
        gpu: whether the actors have use for one.

    Raises:
        EngineError: Ray isn't installed or can't be reached, or work was lost too often.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # on every system: stay on the loopback
    try:
        import ray
    except ImportError as error:
        raise EngineError("Ray is not installed; run: pip install -r requirements-scale.txt") from error
    mine = not ray.is_initialized()
    try:
        if mine:
            _start(ray, processes or workers.cores())
        found = ray.cluster_resources()
        with warnings.catch_warnings():  # of `ray_remote_args`; until Ray 2.64 they alone bound how often work is tried
            warnings.simplefilter("ignore", DeprecationWarning)
            gpus = int(found.get("GPU", 0)) if gpu else 0
            yield (min(processes or gpus, gpus), 1) if gpus else (processes or max(1, int(found["CPU"]) // 2), 0)
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise EngineError(
            f"Ray can't be reached or lost its workers too often ({type(error).__name__}); what was written is kept, "
            "so run the command again, with fewer processes or more memory."
        ) from error
    finally:
        if mine:
            ray.shutdown()


def _start(ray: Any, actors: int) -> None:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine with a core for every actor to spare."""
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
    else:
        ray.init("local", num_cpus=workers.cores() + actors, include_dashboard=False, **quiet)


class _Actor:
    """One loaded model: turns what was prepared into results, both pickled."""

    def __init__(self, finish: Any) -> None:
        import ray
        import torch

        if not torch.cuda.is_available():
            torch.set_num_threads(1)
        self.finish = pickle.loads(ray.get(finish))  # noqa: S301  # bytes of our own processes

    def __call__(self, batch: dict[str, list]) -> dict[str, list]:
        return {"data": [pickle.dumps(self.finish(pickle.loads(data))) for data in batch["data"]]}  # noqa: S301  # bytes of our own processes


def _prepare(batch: dict[str, list], prepare: Callable[[Any], Iterable[Any]]) -> Iterator[dict[str, list]]:
    for data in batch["data"]:
        for prepared in prepare(pickle.loads(data)):  # noqa: S301  # bytes of our own processes
            yield {"data": [pickle.dumps(prepared)]}


def _pipeline(
    items: Iterable[Any],
    prepare: Callable[[Any], Iterable[Any]],
    finish: Callable[[Any], Any],
    actors: int,
    gpus: int,
    batch: int = BATCH,
) -> Any:
    """A Ray dataset of pickled `finish(prepared)`, in order, of everything that `prepare` makes of each item."""
    import ray

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # a failure is one sentence
    rows = [{"data": pickle.dumps(item)} for item in items]
    blocks = min(max(1, -(-len(rows) // batch)), MOST_BLOCKS)
    dataset = ray.data.from_items(rows, override_num_blocks=blocks)
    dataset = dataset.map_batches(
        _prepare, fn_kwargs={"prepare": prepare}, batch_size=batch, num_cpus=1, max_retries=TRIES
    )
    return dataset.map_batches(
        _Actor,
        fn_constructor_args=(ray.put(pickle.dumps(finish)),),
        batch_size=batch,
        compute=ray.data.ActorPoolStrategy(size=min(actors, blocks)),
        num_cpus=1,
        num_gpus=gpus,
        max_task_retries=TRIES,
    )


def _alone(item: Any) -> list[Any]:
    return [item]


def run(function: Callable[[Any], Any], items: Iterable[Any], processes: int) -> Iterator[Any]:
    """`function(item)` of each item, in order, as `workers.run` gives it; each actor has a copy of the function.

    Raises:
        EngineError: see `cluster`.
    """
    with cluster(processes, gpu=False) as (actors, gpus):
        for row in _pipeline(items, _alone, function, actors, gpus, batch=1).iter_rows():
            yield pickle.loads(row["data"])  # noqa: S301  # bytes of our own processes


def _on_every_machine(entry: Entry) -> Entry:
    return replace(entry, path=entry.path.resolve())


def _anywhere(model: Any) -> Any:
    """A copy that goes to the GPU where its actor has one, whatever this process has."""
    model = copy(model)
    model.device = None
    return model


def _numbered(item: tuple[int, tuple[Entry, str]], geometry: Any, seed: int) -> list[tuple[int, dict]]:
    shard, job = item
    return [(shard, embeddings.prepare(job, geometry, seed))]


class _Numbered:
    """`Embedder.finish` of what carries the number of its shard."""

    def __init__(self, embedder: embeddings.Embedder) -> None:
        self.embedder = embedder

    def __call__(self, numbered: tuple[int, dict]) -> tuple[int, dict]:
        return numbered[0], self.embedder.finish(numbered[1])


def _write(batch: dict[str, list], out: Path, sizes: dict[int, int]) -> dict[str, list]:
    """One block, one shard."""
    found = [pickle.loads(data) for data in batch["data"]]  # noqa: S301  # bytes of our own processes
    (shard,) = {number for number, _ in found}
    if len(found) != sizes[shard]:
        raise RuntimeError(f"shard {shard} came with {len(found)} pictures of {sizes[shard]}")
    embeddings.write_shard(embeddings.shard_path(out, shard), [fields for _, fields in found])
    return {"written": [len(found)]}


def embed(
    embedder: embeddings.Embedder,
    shards: dict[int, list[tuple[Entry, str]]],
    out: Path,
    processes: int,
    done: Callable[[int], object],
) -> None:
    """Write shards of jobs (entry, life) as `embed.embed` does; all but the last have `embed.SHARD` jobs.

    Raises:
        EngineError: see `cluster`.
    """
    if not shards:
        return
    sizes = {shard: len(jobs) for shard, jobs in shards.items()}
    items = ((n, (_on_every_machine(entry), life)) for n, jobs in shards.items() for entry, life in jobs)
    with cluster(processes) as (actors, gpus):
        dataset = _pipeline(
            items,
            partial(_numbered, geometry=embedder.geometry, seed=embedder.seed),
            _Numbered(_anywhere(embedder)),
            actors,
            gpus,
        )
        dataset = dataset.repartition(target_num_rows_per_block=max(sizes.values()), strict=True)
        dataset = dataset.map_batches(
            _write, fn_kwargs={"out": out.resolve(), "sizes": sizes}, batch_size=None, max_retries=TRIES
        )
        for row in dataset.iter_rows():
            done(int(row["written"]))


def score(
    detector: Detector,
    pictures: list[tuple[str, Entry]],
    conditions: list[str],
    alpha: float,
    seed: int,
    processes: int,
) -> Iterator[Row]:
    """The rows of `evaluate.score`, in its order, as they come.

    Raises:
        EngineError: see `cluster`.
    """
    from mdmf_core import evaluate

    named = ((folder, _on_every_machine(entry)) for folder, entry in pictures)
    smallest = detector.model.geometry.min_side
    with cluster(processes) as (actors, gpus):
        dataset = _pipeline(
            named,
            partial(evaluate.prepare, conditions=conditions, seed=seed, smallest=smallest),
            partial(evaluate.finish, detector=_anywhere(detector), alpha=alpha),
            actors,
            gpus,
        )
        for row in dataset.iter_rows():
            yield pickle.loads(row["data"])  # noqa: S301  # bytes of our own processes
