"""Write requirements.lock, which the container installs: every package in one version, with the hashes of its files.

    .venv/bin/python .ci/lock.py            # needs uv (requirements-dev.txt) and PyPI; --upgrade takes newer versions
    .venv/bin/python .ci/lock.py --check    # whether the lock is what requirements.txt asks for, and complete

For Python 3.12 on Linux, wheels only. PyTorch is left out, and what it needs of CUDA: its builds for CPUs are not on
PyPI, so the Dockerfile names their versions, which are the ones that this resolves with.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
HEAD = "# Written by .ci/lock.py from requirements.txt, for the Dockerfile; don't edit.\n"
LEFT_OUT = re.compile(r"torch|torchvision|triton|nvidia-.*|cuda-.*")


def torches() -> list[str]:
    """`torch==...` and `torchvision==...` of the Dockerfile."""
    return re.findall(r"torch(?:vision)?==[\d.]+", (ROOT / "Dockerfile").read_text("utf-8"))


def locked(old: str, *options: str) -> str:
    """The lock; versions of the `old` one stay where they can.

    Raises:
        SystemExit: there is no solution; with what uv says.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, pins = Path(folder) / "lock", Path(folder) / "pins"
        out.write_text(old, "utf-8")
        pins.write_text("\n".join(torches()), "utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "requirements.txt", "-c", str(pins), "-o", str(out)]
        command += ["--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_28", "--only-binary", ":all:"]
        command += ["--generate-hashes", "--no-header", "--no-annotate", "--quiet", *options]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603  # our own words
        if ended.returncode:
            raise SystemExit(f"requirements.lock can't be made:\n{ended.stderr}")
        blocks = re.split(r"^(?=[a-z0-9])", out.read_text("utf-8"), flags=re.MULTILINE)
    return HEAD + "".join(block for block in blocks if not LEFT_OUT.fullmatch(block.partition("==")[0]))


def versions(lock: str) -> list[str]:
    """`name==version` of every package."""
    return re.findall(r"^[a-z0-9][\w.-]*==\S+", lock, flags=re.MULTILINE)


def main() -> None:
    old = LOCK.read_text("utf-8") if LOCK.is_file() else ""
    new = locked(old, *sys.argv[1:]) if "--check" not in sys.argv else locked(old)
    if "--check" not in sys.argv:
        LOCK.write_text(new, "utf-8")
    elif versions(new) != versions(old):  # not the hashes: a project may add a wheel to a version
        raise SystemExit("requirements.lock is not what requirements.txt asks for; run .ci/lock.py.")


if __name__ == "__main__":
    main()
