"""What the server starts with: `app.py` calls `prepare` before anything imports Gradio, and launches with `options`.

Gradio's server has more routes than this page uses, fetches addresses that a request names, and keeps sessions for
long. What stands before and around it: a small `middleware`, limits of uploads, `housekeeping` that bounds what
sessions leave in memory and on disk, and a `log` without names.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from contextlib import suppress
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware

from mdmf_app.server.housekeeping import few_heaps, keep_house
from mdmf_app.server.middleware import Guard
from mdmf_app.server.patched.inside_gradio import patch_gradio
from mdmf_app.server.place import PREFIX, STALE
from mdmf_app.server.spoken import Spoken

if TYPE_CHECKING:
    import gradio as gr

    from mdmf_app.server.limits import Limits

SESSIONS = 500  # a quarter of a megabyte each, without their pictures
THREADS = 8  # handlers at once, which may each draw a large picture


def prepare() -> None:
    """Nothing is reported to anybody, and files of this process lie in a folder that nobody else can read.

    Raises:
        OSError: there is no folder for temporary files that can be written to.
    """
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        # statistics in memory, which nobody asks for: few, and never summed up, which pandas did for every request
        "GRADIO_ANALYTICS_MAX_EVENTS": "100",
        "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9),
    }
    if parent_process() is not None:
        return  # a worker, which is born with the settings of its parent
    few_heaps()
    place = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()).resolve()
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > STALE:
                shutil.rmtree(old, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = own = tempfile.mkdtemp(prefix=PREFIX, dir=place)
    atexit.register(shutil.rmtree, own, ignore_errors=True)


def options(demo: gr.Blocks, limits: Limits) -> dict[str, Any]:
    """What `demo.launch` is given so that the guards stand, of its own settings and ours."""
    patch_gradio()
    public = {fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"}
    return {
        "app_kwargs": {
            "middleware": [Middleware(Guard, public=public, limits=limits), Middleware(Spoken)],
            "lifespan": partial(keep_house, demo, limits.delete_cache[1]),
        },
        "max_file_size": limits.upload,
        "state_session_capacity": SESSIONS,
        "max_threads": THREADS,
        "show_error": False,  # what is not one of our sentences may hold a path of the server
        "allowed_paths": [],
        "enable_monitoring": False,
        "ssr_mode": False,
        "run_history": False,
    }
