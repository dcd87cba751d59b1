"""What has no setting in Gradio is replaced inside it. Checked with gradio 6.31."""

from __future__ import annotations

import logging
import time
from functools import cache
from types import SimpleNamespace
from typing import Any

from starlette.datastructures import Headers

from mdmf_app.server.log import log_nameless, nameless_record
from mdmf_app.server.middleware import BUSY

LOOKS = 20  # of up to three seconds at a server that has just started
FILES = 250  # of one upload; some more than a batch takes, whose sentence says what was left out


@cache
def patch_gradio() -> None:
    """Once: the limits of uploads, which can't be set, exceptions that are logged without their messages, patience."""
    from gradio import http_server, networking, queueing, route_utils, routes

    original = route_utils.GradioMultiPartParser

    def parser(headers: Headers, stream: Any, **settings: Any) -> Any:
        return original(headers, stream, **{**settings, "max_files": FILES, "max_fields": 0})

    run, look = http_server.Server.run_in_thread, networking.url_ok

    def patient_run(server: Any) -> None:
        """Gradio gives a server five seconds; on a busy machine it listens later."""
        try:
            run(server)
        except http_server.ServerFailedToStartError:
            while not server.started:
                if not server.thread.is_alive():
                    raise
                time.sleep(0.01)

    push = queueing.Queue.push

    async def clear_push(*given: Any, **named: Any) -> tuple[bool, Any, str]:
        success, words, state = await push(*given, **named)
        return success, BUSY if state == "queue_full" else words, state

    http_server.Server.run_in_thread = patient_run
    networking.url_ok = lambda url: any(look(url) for _ in range(LOOKS))
    queueing.Queue.push = clear_push
    route_utils.GradioMultiPartParser = parser
    queueing.traceback = routes.traceback = SimpleNamespace(print_exc=log_nameless)
    logging.setLogRecordFactory(nameless_record)
