"""How fast everything is, on this machine: one command, a table, and `benchmarks/results/speed.json`.

    python benchmarks/speed/all.py                      # all, about ten minutes on two idle cores
    python benchmarks/speed/all.py --only encoder mmd   # some sections; the file keeps the others' last figures
    python benchmarks/speed/all.py --quick --out runs/speed # small sizes, to try the script

Sections: `stages` (where the time of a picture goes), `encoder` (against what the processor can do), `dinov2`, `mmd`
(against alibi-detect, hyppo, plain torch and numpy), `bank` (growth, with plots), `start`, `web`
(clients at once), `drop` (a picture in a browser) and `beside` (a picture while another program is busy).
What is compared takes turns within one run, for machines are noisy; times are milliseconds unless a name says so.
Needs requirements-dev.txt. `mmd` installs alibi-detect into runs/alibi-detect, for it needs an older numpy.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.speed import beside, drop, mmd, page, picture  # noqa: E402
from benchmarks.speed.measure import Rows, facts  # noqa: E402

SECTIONS = {**picture.SECTIONS, **mmd.SECTIONS, **page.SECTIONS, **drop.SECTIONS, **beside.SECTIONS}


def shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(rows: Rows) -> str:
    """One line a row: what, then its figures with their names."""
    wide = max(map(len, rows))
    return "\n".join(
        f"  {name:{wide}}  " + ", ".join(f"{key} {shown(value)}" for key, value in row.items())
        for name, row in rows.items()
    )


def run(names: list[str], out: Path, quick: bool) -> dict[str, Any]:
    """Measure the sections named and write `speed.json` and the plot into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "speed.json"
    results = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for name in names:
        start = time.perf_counter()
        machine = facts()
        with tempfile.TemporaryDirectory() as folder:
            rows = SECTIONS[name](Path(folder), quick)
        results[name] = {"machine": machine, "quick": quick, "seconds": time.perf_counter() - start, "rows": rows}
        print(f"{name}\n{table(rows)}\n", flush=True)
        path.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if "bank" in names:
        mmd.plot(results["bank"]["rows"], out / "mmd_time.png")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for the results")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the script")
    given = parser.parse_args()
    print(", ".join(f"{key} {value}" for key, value in facts().items()), flush=True)
    run(given.only, given.out, given.quick)


if __name__ == "__main__":
    main()
