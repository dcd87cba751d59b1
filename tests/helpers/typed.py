"""Commands as a user types them."""

from __future__ import annotations

import sys

from mdmf_core import cli


def run(*arguments: object) -> int:
    """One command as a user would type it; its exit status."""
    before, sys.argv = sys.argv, ["mdmf_core", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0
