"""The parallel map on Ray: the same results as one process, from many machines.

    pip install -r requirements-scale.txt
    python -m mdmf_core embed recipe.json runs/mine --engine ray

Ray Data (https://docs.ray.io/en/latest/data/batch_inference.html) streams the work through stages with back-pressure:
processor tasks decode and cut pictures, one actor a GPU (or core) holds one loaded model, and for `embed` further tasks
write the shards. Blocks keep their order, so that a shard has the pictures that a single process would put in it. A
worker that is lost is replaced and its work done again; a shard appears whole, by a rename, or not at all. Without a
cluster (RAY_ADDRESS) one is started on this machine, for this run. Every machine must see the pictures, the checkpoint
and the output under the same paths.
"""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

from mdmf_core.errors import EngineError
from mdmf_core.run import workers

BATCH = 8  # pictures that go from stage to stage together
MOST_BLOCKS = 100_000  # that one driver hands out
TRIES = 3  # of work whose worker was lost


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


def pipeline(
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
        yield from results(pipeline(items, _alone, function, actors, gpus, batch=1))


def results(dataset: Any) -> Iterator[Any]:
    """What a dataset of `pipeline` holds, in order, as it comes."""
    for row in dataset.iter_rows():
        yield unpickled(row["data"])


def unpickled(data: bytes) -> Any:
    """One thing of what `pipeline` made."""
    return pickle.loads(data)  # noqa: S301  # bytes of our own processes


def anywhere(model: Any) -> Any:
    """A copy that goes to the GPU where its actor has one, whatever this process has."""
    model = copy(model)
    model.device = None
    return model
