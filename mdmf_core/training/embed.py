"""Step 1 of 3: precompute the embeddings of all patches of all images, in safetensors shards.

    python -m mdmf_core embed recipe.json runs/mine

Source: arXiv 2605.09296, released code. The backbone is frozen, so that each image needs embedding only
once, in each of its conditions (`degrade.apply`). The folder `embeddings/` gets `manifest.json` and shards
`00000.safetensors`, each with the patches of `SHARD` pictures and, in its metadata, whose they are. An
interrupted run goes on with the shards that aren't there. A shard is the same bytes whoever made it: this
process, several of this machine (`workers`) or those of a cluster (`engine`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from mdmf_core.errors import DatasetError, ImageError
from mdmf_core.files import write_whole
from mdmf_core.images import degrade
from mdmf_core.images.reader import read
from mdmf_core.method import backbones
from mdmf_core.method.patches import Geometry, Grid, cut, merged
from mdmf_core.method.state import USUAL, detail_of
from mdmf_core.run import workers
from mdmf_core.run.engine import TRIES, anywhere, cluster, pipeline, unpickled
from mdmf_core.training.dataset import Entry, on_every_machine

SHARD = 256
VERSION = 2  # of a shard's content
AS_IS = ("as_is",)


@dataclass(frozen=True)
class Embedded:
    """One picture in one condition: `embeddings` (N, D) float32 of a grid of rows x cols patches.

    `detail` is that of its pixels (`detail_of`); shards of the first version don't tell it.
    """

    key: str
    label: int
    source: str
    condition: str
    rows: int
    cols: int
    embeddings: Tensor
    detail: str = USUAL


def backbone_digest(encoder: nn.Module) -> str:
    """SHA-256 over an encoder's weights: embeddings of another encoder must not be mixed in."""
    digest = hashlib.sha256(repr(sorted(encoder.config.items())).encode())
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def prepare(job: tuple[Entry, str], geometry: Geometry, seed: int) -> dict:
    """One picture in one condition, ready for the encoder.

    Returns:
        The fields of `Embedded` with what `cut` gives, "patches" and "grid", instead of embeddings; or "key", "life"
        and "error", one sentence, where the file can't be used.
    """
    entry, condition = job
    try:
        picture = read(entry.path, geometry.min_side)
        rng = degrade.generator(seed, condition, entry.key)
        never_jpeg = picture.format not in ("JPEG", "MPO")
        pixels = degrade.apply(condition, picture.pixels, rng, never_jpeg, geometry.min_side)
        patches, grid = _cut(pixels, geometry)
    except ImageError as error:
        return _failure(job, error)
    fields = {"key": entry.key, "label": entry.label, "source": entry.source, "life": condition}
    fields |= {"rows": grid.rows, "cols": grid.cols, "detail": detail_of(pixels)}
    return {**fields, "patches": patches.numpy(), "grid": grid}


def _cut(pixels: np.ndarray, geometry: Geometry) -> tuple[Tensor, Grid]:
    try:
        return cut(pixels, geometry)
    except ValueError as error:
        raise ImageError(str(error)) from error


def _failure(job: tuple[Entry, str], error: Exception) -> dict:
    return {"key": job[0].key, "life": job[1], "error": str(error)}


class Embedder:
    """Embeds jobs (entry, condition). A pickled copy rebuilds the encoder from settings and weights, on `device`."""

    def __init__(self, encoder: nn.Module, geometry: Geometry, seed: int) -> None:
        self.encoder, self.geometry, self.seed = encoder, geometry, seed
        self.device: str | None = next(encoder.buffers()).device.type

    def __reduce__(self) -> tuple:
        weights = save_tensors({name: value.contiguous() for name, value in self.encoder.state_dict().items()})
        settings = self.encoder.name, self.encoder.config
        return _embedder, (*settings, weights, self.device, self.geometry, self.seed)

    def finish(self, prepared: dict) -> dict:
        """What `prepare` gives, with "embeddings" (N, D) float32 in place of the patches."""
        if "error" in prepared:
            return prepared
        fields = dict(prepared)
        patches, grid = torch.from_numpy(fields.pop("patches")), fields.pop("grid")
        return {**fields, "embeddings": merged(self.encoder.embed(patches), grid).numpy()}

    def __call__(self, job: tuple[Entry, str]) -> dict:
        return self.finish(prepare(job, self.geometry, self.seed))


def _embedder(name: str, config: dict, weights: bytes, device: str | None, geometry: Geometry, seed: int) -> Embedder:
    encoder = backbones.build(name, **config)
    encoder.load_state_dict(load_tensors(weights))
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Embedder(encoder.to(device), geometry, seed)


def shard_path(out: Path, shard: int) -> Path:
    """Where a shard lies in the folder `out`."""
    return out / f"{shard:05d}.safetensors"


def write_shard(path: Path, found: list[dict]) -> None:
    """A shard of what `Embedder` gave, in this order."""
    pictures = [fields for fields in found if "error" not in fields]
    failures = [fields for fields in found if "error" in fields]
    rows = [{name: value for name, value in fields.items() if name != "embeddings"} for fields in pictures]
    flat = np.concatenate([fields["embeddings"] for fields in pictures]) if pictures else np.zeros((0, 1), np.float32)
    # one key only: safetensors writes several in random order, and a shard must be the same bytes each time
    metadata = {"content": json.dumps({"pictures": rows, "failures": failures})}
    tensors = {"embeddings": torch.from_numpy(flat)}
    write_whole(path, lambda temporary: save_file(tensors, temporary, metadata=metadata))


def embed(
    entries: list[Entry],
    out: str | Path,
    encoder: nn.Module,
    geometry: Geometry,
    conditions: tuple[str, ...] = AS_IS,
    seed: int = 0,
    processes: int = 1,
    engine: str = "local",
    only: dict[str, str] | None = None,
) -> list[dict]:
    """Embed every condition of every entry into shards below `out`.

    Args:
        entries, out: the pictures, and the folder of the shards.
        encoder, geometry: the frozen backbone, and how pictures are cut for it.
        conditions, seed: as `degrade.apply` names them, and what is drawn for them.
        processes, engine: that embed at the same time, 0 for as many as are worth their start, and where.
        only: key -> the one condition of an entry that needs no other, such as a calibration picture.

    Returns:
        One {"key", "life", "error"} for each picture that could not be used, from earlier runs too.

    Raises:
        DatasetError: `out` holds embeddings made with other images, conditions, geometry or weights.
        EngineError: Ray isn't there, or can't go on.
    """
    out, only = Path(out), only or {}
    jobs = [(e, condition) for e in entries for condition in ([only[e.key]] if e.key in only else conditions)]
    told = [f"{entry.key} {entry.label} {only.get(entry.key, '')}".rstrip() for entry in entries]
    _claim(out, _manifest(encoder, geometry, conditions, seed, told, len(jobs)))
    shards = {n: jobs[n * SHARD : (n + 1) * SHARD] for n in range(-(-len(jobs) // SHARD))}
    missing = {n: mine for n, mine in shards.items() if not shard_path(out, n).exists()}
    embedder = Embedder(encoder, geometry, seed)
    with tqdm(total=len(jobs), desc="embed", unit="picture") as progress:
        progress.update(len(jobs) - sum(map(len, missing.values())))
        count = processes if engine == "ray" else processes or workers.sensible(len(jobs), encoder)
        work = _embed_on_ray if engine == "ray" else _embed_here
        work(embedder, missing, out, count, progress.update)
    return [failure for n in shards for failure in _content(shard_path(out, n))["failures"]]


def _manifest(
    encoder: nn.Module, geometry: Geometry, conditions: tuple[str, ...], seed: int, told: list[str], jobs: int
) -> dict:
    """What the embeddings of a folder are made of; `told` is a line about each picture."""
    return {
        "backbone": {"name": encoder.name, "version": encoder.version, **encoder.config},
        "weights": backbone_digest(encoder),
        "geometry": asdict(geometry),
        "lives": list(conditions),
        "seed": seed,
        "shard": SHARD,
        "version": VERSION,
        "pictures": hashlib.sha256("\n".join(told).encode()).hexdigest(),
        "shards": -(-jobs // SHARD),
    }


def _claim(out: Path, manifest: dict) -> None:
    """Take a folder for embeddings.

    Raises:
        DatasetError: it holds those of another manifest.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "manifest.json"
    if path.exists() and json.loads(path.read_text("utf-8")) != manifest:
        raise DatasetError(f"{out.name} holds embeddings of other images or settings; name another folder.")
    write_whole(path, lambda temporary: temporary.write_text(json.dumps(manifest, indent=2) + "\n", "utf-8"))


def _embed_here(
    embedder: Embedder,
    shards: dict[int, list[tuple[Entry, str]]],
    out: Path,
    processes: int,
    done: Callable[[int], object],
) -> None:
    results = workers.run(embedder, (job for jobs in shards.values() for job in jobs), processes)
    with closing(results):
        for shard, jobs in shards.items():
            found = []
            for result in islice(results, len(jobs)):
                found.append(_failure(result.item, result) if isinstance(result, workers.Died) else result)
                done(1)
            write_shard(shard_path(out, shard), found)


def _numbered(item: tuple[int, tuple[Entry, str]], geometry: Any, seed: int) -> list[tuple[int, dict]]:
    shard, job = item
    return [(shard, prepare(job, geometry, seed))]


class _Numbered:
    """`Embedder.finish` of what carries the number of its shard."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def __call__(self, numbered: tuple[int, dict]) -> tuple[int, dict]:
        return numbered[0], self.embedder.finish(numbered[1])


def _write(batch: dict[str, list], out: Path, sizes: dict[int, int]) -> dict[str, list]:
    """One block, one shard."""
    found = [unpickled(data) for data in batch["data"]]
    (shard,) = {number for number, _ in found}
    if len(found) != sizes[shard]:
        raise RuntimeError(f"shard {shard} came with {len(found)} pictures of {sizes[shard]}")
    write_shard(shard_path(out, shard), [fields for _, fields in found])
    return {"written": [len(found)]}


def _embed_on_ray(
    embedder: Embedder,
    shards: dict[int, list[tuple[Entry, str]]],
    out: Path,
    processes: int,
    done: Callable[[int], object],
) -> None:
    if not shards:
        return
    sizes = {shard: len(jobs) for shard, jobs in shards.items()}
    items = ((n, (on_every_machine(entry), condition)) for n, jobs in shards.items() for entry, condition in jobs)
    with cluster(processes) as (actors, gpus):
        dataset = pipeline(
            items,
            partial(_numbered, geometry=embedder.geometry, seed=embedder.seed),
            _Numbered(anywhere(embedder)),
            actors,
            gpus,
        )
        dataset = dataset.repartition(target_num_rows_per_block=max(sizes.values()), strict=True)
        dataset = dataset.map_batches(
            _write, fn_kwargs={"out": out.resolve(), "sizes": sizes}, batch_size=None, max_retries=TRIES
        )
        for row in dataset.iter_rows():
            done(int(row["written"]))


def _content(path: Path) -> dict:
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads(file.metadata()["content"])
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise DatasetError(f"The shard {path.name} is damaged; delete it and run `embed` again.") from error


def pictures(path: Path, chosen: Iterable[int] | None = None) -> Iterator[Embedded]:
    """The embedded pictures of one shard, or those of the given indices; no others are read."""
    with safe_open(path, framework="pt") as file:
        rows = json.loads(file.metadata()["content"])["pictures"]
        starts = np.cumsum([0] + [row["rows"] * row["cols"] for row in rows])
        flat = file.get_slice("embeddings")
        for index in range(len(rows)) if chosen is None else chosen:
            fields = {"condition" if name == "life" else name: value for name, value in rows[index].items()}
            yield Embedded(**fields, embeddings=flat[int(starts[index]) : int(starts[index + 1])])


def shards(folder: str | Path, weights: str | None = None) -> Iterator[tuple[Path, list[dict]]]:
    """Each shard of a folder with the fields of its pictures, without their embeddings.

    Args:
        folder: written by `embed`.
        weights: digest that the embeddings must have been made with, or None to take any.

    Raises:
        DatasetError: no manifest, another encoder's embeddings, or a shard that is missing or damaged.
    """
    folder = Path(folder)
    path = folder / "manifest.json"
    if not path.is_file():
        raise DatasetError(f"{folder.name} holds no embeddings; run `embed` first.")
    manifest = json.loads(path.read_text("utf-8"))
    if weights is not None and manifest["weights"] != weights:
        raise DatasetError(f"The embeddings in {folder.name} were made with another encoder; run `embed` again.")
    for shard in range(manifest["shards"]):
        target = shard_path(folder, shard)
        if not target.is_file():
            raise DatasetError(f"{folder.name} lacks the shard {target.name}; run `embed` again, it will go on.")
        yield target, _content(target)["pictures"]


def load(folder: str | Path, weights: str | None = None) -> Iterator[Embedded]:
    """All embedded pictures of a folder, shard by shard; arguments and errors as `shards`."""
    for path, _ in shards(folder, weights):
        yield from pictures(path)
