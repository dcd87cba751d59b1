"""Step 1 of 3: precompute the embeddings of all patches of all images, in safetensors shards.

    python -m mdmf_core embed recipe.json runs/mine

Source: arXiv 2605.09296, released code. The backbone is frozen, so that each image needs embedding only
once, in each of its lives (`degrade.apply`). The folder `embeddings/` gets `manifest.json` and shards
`00000.safetensors`, each with the patches of `SHARD` pictures and, in its metadata, whose they are. An
interrupted run goes on with the first shard that isn't there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from mdmf_core import degrade
from mdmf_core.dataset import DatasetError, Entry
from mdmf_core.files import write_whole
from mdmf_core.images import ImageError, read
from mdmf_core.patches import Geometry, cut

SHARD = 256
AS_IS = ("as_is",)


@dataclass(frozen=True)
class Embedded:
    """One life of one picture: `embeddings` (N, D) float32 of a grid of rows x cols patches."""

    key: str
    label: int
    source: str
    life: str
    rows: int
    cols: int
    embeddings: Tensor


def backbone_digest(encoder: nn.Module) -> str:
    """SHA-256 over an encoder's weights: embeddings of another encoder must not be mixed in."""
    digest = hashlib.sha256(repr(sorted(encoder.config.items())).encode())
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def embed_one(entry: Entry, life: str, encoder: nn.Module, geometry: Geometry, seed: int) -> Embedded:
    """Embed one life of one picture.

    Raises:
        ImageError: the file can't be used.
    """
    picture = read(entry.path, geometry.min_side)
    rng = degrade.generator(seed, life, entry.key)
    never_jpeg = picture.format not in ("JPEG", "MPO")
    pixels = degrade.apply(life, picture.pixels, rng, never_jpeg, geometry.min_side)
    try:
        patches, grid = cut(pixels, geometry)
    except ValueError as error:
        raise ImageError(str(error)) from error
    embeddings = encoder.embed(patches)
    return Embedded(entry.key, entry.label, entry.source, life, grid.rows, grid.cols, embeddings)


def _write_shard(path: Path, pictures: list[Embedded], failures: list[dict]) -> None:
    rows = [{k: v for k, v in vars(picture).items() if k != "embeddings"} for picture in pictures]
    flat = torch.cat([picture.embeddings for picture in pictures]) if pictures else torch.zeros(0, 1)
    # one key only: safetensors writes several in random order, and a shard must be the same bytes each time
    metadata = {"content": json.dumps({"pictures": rows, "failures": failures})}
    write_whole(path, lambda temporary: save_file({"embeddings": flat}, temporary, metadata=metadata))


def embed(
    entries: list[Entry],
    out: str | Path,
    encoder: nn.Module,
    geometry: Geometry,
    lives: tuple[str, ...] = AS_IS,
    seed: int = 0,
) -> list[dict]:
    """Embed every life of every entry into shards below `out`.

    Returns:
        One {"key", "life", "error"} for each picture that could not be used, from earlier runs too.

    Raises:
        DatasetError: `out` holds embeddings made with other images, lives, geometry or weights.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    jobs = [(entry, life) for entry in entries for life in lives]
    manifest = {
        "backbone": {"name": encoder.name, "version": encoder.version, **encoder.config},
        "weights": backbone_digest(encoder),
        "geometry": asdict(geometry),
        "lives": list(lives),
        "seed": seed,
        "shard": SHARD,
        "pictures": hashlib.sha256("\n".join(f"{e.key} {e.label}" for e in entries).encode()).hexdigest(),
        "shards": -(-len(jobs) // SHARD),
    }
    path = out / "manifest.json"
    if path.exists() and json.loads(path.read_text("utf-8")) != manifest:
        raise DatasetError(f"{out.name} holds embeddings of other images or settings; name another folder.")
    write_whole(path, lambda temporary: temporary.write_text(json.dumps(manifest, indent=2) + "\n", "utf-8"))
    failures: list[dict] = []
    progress = tqdm(total=len(jobs), desc="embed", unit="picture")
    for shard in range(manifest["shards"]):
        target = out / f"{shard:05d}.safetensors"
        mine = jobs[shard * SHARD : (shard + 1) * SHARD]
        if target.exists():
            progress.update(len(mine))
        else:
            pictures, failed = [], []
            for entry, life in mine:
                try:
                    pictures.append(embed_one(entry, life, encoder, geometry, seed))
                except ImageError as error:
                    failed.append({"key": entry.key, "life": life, "error": str(error)})
                progress.update()
            _write_shard(target, pictures, failed)
        with safe_open(target, framework="pt") as file:
            failures += json.loads(file.metadata()["content"])["failures"]
    progress.close()
    return failures


def load(folder: str | Path, weights: str | None = None) -> Iterator[Embedded]:
    """All embedded pictures of a folder, shard by shard.

    Args:
        folder: written by `embed`.
        weights: digest that the embeddings must have been made with, or None to take any.

    Raises:
        DatasetError: no manifest, another encoder's embeddings, or a shard that is missing.
    """
    folder = Path(folder)
    path = folder / "manifest.json"
    if not path.is_file():
        raise DatasetError(f"{folder.name} holds no embeddings; run `embed` first.")
    manifest = json.loads(path.read_text("utf-8"))
    if weights is not None and manifest["weights"] != weights:
        raise DatasetError(f"The embeddings in {folder.name} were made with another encoder; run `embed` again.")
    for shard in range(manifest["shards"]):
        target = folder / f"{shard:05d}.safetensors"
        if not target.is_file():
            raise DatasetError(f"{folder.name} lacks the shard {target.name}; run `embed` again, it will go on.")
        with safe_open(target, framework="pt") as file:
            flat, start = file.get_tensor("embeddings"), 0
            for row in json.loads(file.metadata()["content"])["pictures"]:
                stop = start + row["rows"] * row["cols"]
                yield Embedded(**row, embeddings=flat[start:stop])
                start = stop
