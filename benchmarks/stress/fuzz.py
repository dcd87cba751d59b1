"""Coverage-guided fuzzing of the loader: whatever is neither a picture nor one sentence is a finding.

    pip install atheris                                       # development only; libFuzzer for Python, Linux and macOS
    python benchmarks/stress/fuzz.py [--minutes 30] [--out benchmarks/results/fuzz.json]

Python's side of the loader (mdmf_core.images, PIL) is instrumented; the decoders in C are run as
they are. It begins with the clean files of `mutations.py` and a dictionary of format markers, and is begun again
after every finding until the time is over. A finding (an exception, a crash, more than 10 s, more than 1.5 GB) is kept
in runs/fuzz/, to be tried again with `python benchmarks/stress/fuzz.py --again FILE`. Prints a summary, writes JSON,
and returns 1 where there is a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

RUNS = ROOT / "runs" / "fuzz"
SECONDS, MEMORY = 10, 1_500  # MB
MARKERS = (
    *(b"\xff\xd8\xff", b"\xff\xc0", b"\xff\xc2", b"\xff\xda", b"\xff\xe1", b"\xff\xe2", b"Exif\0\0", b"ICC_PROFILE\0"),
    *(b"MPF\0", b"8BIM", b"\x89PNG\r\n\x1a\n", b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"),
    *(b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"gAMA", b"cICP", b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X"),
    *(b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"XMP ", b"GIF89a", b"!\xf9\x04", b"!\xfe", b"!\xff\x0b", b"NETSCAPE2.0"),
    *(b"BM", b"II*\0", b"MM\0*", b"II+\0", b"\x69\x87\x04\0", b"ftyp", b"avif", b"avis", b"heic", b"mif1", b"meta"),
    *(b"iloc", b"iinf", b"infe", b"iprp", b"ipco", b"ipma", b"ispe", b"pixi", b"av1C", b"hvcC", b"grid", b"irot"),
    *(b"imir", b"colr", b"prof", b"nclx", b"auxC", b"iref", b"mdat", b"jumb", b"c2pa", b"<x:xmpmeta", b"acsp", b"RGB "),
)


def try_one(data: bytes) -> None:
    """Read a file and what it says of its origin; anything but a picture or one sentence is raised."""
    from benchmarks.stress.hostile import is_sentence
    from mdmf_core import errors
    from mdmf_core.images import origin, reader

    try:
        picture = reader.read(data, 8)
    except errors.ImageError as error:
        texts = [str(error)]
    else:
        texts = list(picture.notes)
        origin.read_provenance(data, picture)
    wrong = [text for text in texts if not is_sentence(text)]
    if wrong:
        raise AssertionError(f"no sentence: {wrong}")


def fuzz(arguments: list[str]) -> None:
    """In the child: does not return."""
    import atheris

    with atheris.instrument_imports(include=["mdmf_core.images", "PIL"]):
        import pillow_heif  # noqa: F401
        from PIL import Image

        from mdmf_core import errors  # noqa: F401
        from mdmf_core.images import (
            origin,  # noqa: F401
            reader,  # noqa: F401
        )

        Image.init()
    atheris.Setup([sys.argv[0], *arguments], try_one)
    atheris.Fuzz()


def prepare() -> Path:
    """Seeds and dictionary below runs/fuzz; returns the dictionary's path."""
    from benchmarks.stress import mutations

    (RUNS / "seeds").mkdir(parents=True, exist_ok=True)
    (RUNS / "corpus").mkdir(exist_ok=True)
    for name, data in mutations.clean().items():
        (RUNS / "seeds" / name).write_bytes(data)
    words = ("".join(f"\\x{byte:02x}" for byte in marker) for marker in MARKERS)
    dictionary = RUNS / "markers.dict"
    dictionary.write_text("".join(f'"{word}"\n' for word in words))
    return dictionary


def once(seconds: int, dictionary: Path, seed: int) -> str:
    """One run of libFuzzer, until the time is over or something is found; returns what it printed."""
    options = [
        *(f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEMORY}", f"-seed={seed}"),
        *(f"-artifact_prefix={RUNS}{os.sep}", f"-dict={dictionary}", "-max_len=100000", "-print_final_stats=1"),
        *(f"-report_slow_units={SECONDS}", str(RUNS / "corpus"), str(RUNS / "seeds")),
    ]
    command = [sys.executable, __file__, "--child", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    printed = subprocess.run(command, capture_output=True, env=environment).stderr.decode(errors="replace")  # noqa: S603  # the words are our own
    (RUNS / "last.log").write_text(printed)
    return printed


def kept() -> set[str]:
    """Names of the findings in runs/fuzz."""
    return {path.name for path in RUNS.iterdir() if re.match("(crash|oom|timeout|slow-unit|leak)-", path.name)}


def run(minutes: float) -> dict:
    """Fuzz for some minutes; the figures of all runs together."""
    dictionary, found = prepare(), {}
    before, start, runs = kept(), time.monotonic(), 0
    while (left := start + 60 * minutes - time.monotonic()) > 5:
        printed, runs = once(int(left), dictionary, runs + 1), runs + 1
        for name, value in re.findall(r"stat::(\w+):\s+(\d+)", printed):
            found.setdefault(name, []).append(int(value))
        if "number_of_executed_units" not in found:
            raise SystemExit(f"The fuzzer did not start; it printed:\n{printed[-2000:]}")
        coverage = [int(value) for value in re.findall(r" cov: (\d+)", printed)]
        found.setdefault("coverage", []).append(max(coverage, default=0))
    new = sorted(kept() - before)
    return {
        "minutes": round((time.monotonic() - start) / 60, 1),
        "runs": runs,
        "executions": sum(found["number_of_executed_units"]),
        "coverage": max(found["coverage"]),
        "new_inputs": sum(found["new_units_added"]),
        "slowest_seconds": max(found["slowest_unit_time_sec"]),
        "peak_mb": max(found["peak_rss_mb"]),
        "crashes": sum(name.startswith("crash-") for name in new),
        "slow": sum(name.startswith(("timeout-", "slow-unit-")) for name in new),
        "over_memory": sum(name.startswith(("oom-", "leak-")) for name in new),
        "findings": new,
    }


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        fuzz(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "fuzz.json")
    parser.add_argument("--again", type=Path, help="only read this file, as the fuzzer does")
    options = parser.parse_args()
    if options.again:
        try_one(options.again.read_bytes())
        return 0
    found = run(options.minutes)
    for name, value in found.items():
        print(f"{name}: {value}")
    command = " ".join(["python benchmarks/stress/fuzz.py", *sys.argv[1:]])
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    options.out.write_text(json.dumps({"command": command, "date": date, **found}, indent=1) + "\n", encoding="utf-8")
    return int(bool(found["findings"]))


if __name__ == "__main__":
    sys.exit(main())
