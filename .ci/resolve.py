"""Can requirements.txt be met on every Python, with each torch that ZeroGPU knows and the newest, at both its ends?

    .venv/bin/python .ci/resolve.py        # needs uv (requirements-dev.txt) and PyPI

A lock of uv answers for all at once, from metadata alone: each torch is an extra that conflicts with the others, and
each Python an environment. The second lock takes the oldest versions that are allowed. Nothing is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12")
TORCHES = ("2.8.0", "2.9.1", "2.10.0", "2.11.0")


def requirements(name: str) -> list[str]:
    """The lines of a requirements file that name a package."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text("utf-8").splitlines())
    return [line for line in lines if line]


def project() -> str:
    """A project whose lock answers the question."""
    extras = {f"torch-{version}": [f"torch=={version}"] for version in TORCHES}
    extras |= {"newest": [f"torch>{TORCHES[-1]}"], "space": requirements("pre-requirements.txt")}
    where = [
        f"sys_platform == 'linux' and platform_machine == 'x86_64' and python_version == '{version}'"
        for version in PYTHONS
    ]
    conflicts = ", ".join(f'{{ extra = "{name}" }}' for name in extras)
    return "\n".join(
        [
            "[project]",
            'name = "mdmf"',
            'version = "0"',
            'requires-python = ">=3.10,<3.13"',
            f"dependencies = {json.dumps(requirements('requirements.txt'))}",
            "[project.optional-dependencies]",
            *(f'"{name}" = {json.dumps(needs)}' for name, needs in extras.items()),
            "[tool.uv]",
            "no-build = true",
            f"environments = {json.dumps(where)}",
            f"conflicts = [[{conflicts}]]",
        ]
    )


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pyproject.toml").write_text(project(), "utf-8")
        for end in ("highest", "lowest-direct"):
            command = [sys.executable, "-m", "uv", "lock", "--quiet", "--project", folder, "--resolution", end]
            locked = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  # the words are our own
            if locked.returncode:
                print(f"requirements.txt can't be met on {PYTHONS} with {TORCHES}, {end}:", file=sys.stderr)
                print(locked.stderr, file=sys.stderr)
                return locked.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
