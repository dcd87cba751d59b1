"""How long one picture takes with the bundled detector: warm, and in a new process.

    python benchmarks/speed.py

A 512 x 512 JPEG, cut from an example photograph, is analysed 30 times in this process (median and 95th percentile,
and by stage), and once in each of three new processes through the command line, start-up included.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
RUNS, COLD_RUNS = 30, 3


def picture() -> bytes:
    """A 512 x 512 JPEG."""
    with Image.open(ROOT / "examples" / "grace_hopper.jpg") as image:
        crop = image.convert("RGB").crop((0, 0, 512, 512))
    buffer = io.BytesIO()
    crop.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def main() -> None:
    from mdmf_core.detector import Detector


    data, detector = picture(), Detector.from_pretrained()
    detector.detect(data)
    times, stages = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        evidence = detector.detect(data)
        times.append(time.perf_counter() - start)
        stages.append(evidence.timings)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {evidence.n_patches} patches")
    print(f"warm, {RUNS} runs: median {np.median(times):.3f} s, 95th percentile {np.quantile(times, 0.95):.3f} s")
    for stage in stages[0]:
        print(f"  {stage}: median {np.median([s[stage] for s in stages]):.3f} s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.jpg"
        path.write_bytes(data)
        cold = []
        for _ in range(COLD_RUNS):
            start = time.perf_counter()
            command = [sys.executable, "-m", "mdmf_core", "detect", path]
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            cold.append(time.perf_counter() - start)
    print(f"new process, {COLD_RUNS} runs: median {np.median(cold):.1f} s, longest {max(cold):.1f} s")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
