"""The page: which patches of a picture say that it is generated, and the endpoints for programs.

    python app.py
    python app.py --mcp        # also serves its endpoints as tools for assistants

Opens on http://127.0.0.1:7860 and needs no network. GRADIO_SERVER_NAME and GRADIO_SERVER_PORT move it, MDMF_MODEL
names another checkpoint (a folder or a Hub repository). The tabs are in `mdmf_app`, what is computed in `mdmf_core`.
"""

from __future__ import annotations

import logging
import signal
import sys
from typing import Any

from mdmf_app.server import start

start.prepare()

from mdmf_app.server import space  # noqa: E402, F401, I001 (first: `spaces` goes before all that may start CUDA)

import gradio as gr  # noqa: E402

from mdmf_app import api, style  # noqa: E402
from mdmf_app.context import ONE_HOUR, Context, first_detector  # noqa: E402
from mdmf_app.labels import label, spoken_by, still  # noqa: E402
from mdmf_app.language import say  # noqa: E402
from mdmf_app.server import limits  # noqa: E402
from mdmf_app.tabs import compare, many, mine, model, one  # noqa: E402
from mdmf_core.detector import Detector  # noqa: E402
from mdmf_core.errors import CheckpointError  # noqa: E402

TABS = {say("tab.compare"): compare, say("tab.model"): model}


def build(detector: Detector, warning: str = "", mcp: bool = False) -> gr.Blocks:
    """The whole page around a loaded detector; with `mcp` its endpoints are described as tools, too."""
    context, most = Context(detector, warning), limits.limits()
    with gr.Blocks(title=say("page.name"), analytics_enabled=False, delete_cache=most.delete_cache) as demo:
        gr.Markdown(still(lambda: style.render("intro.md")), elem_id="intro")
        if warning:
            gr.HTML(still(lambda: style.error_card(warning, title="")), padding=False)
        chosen = gr.State(time_to_live=ONE_HOUR)
        with gr.Tabs():
            with gr.Tab(label(say("tab.one"))):
                shown = one.tab(context, chosen)
            with gr.Tab(label(say("tab.many"))):
                many.tab(context, chosen, shown)
            for name, module in TABS.items():
                with gr.Tab(label(name)):
                    module.tab(context, chosen)
            with gr.Tab(label(say("tab.mine"))):
                mine.tab(context, chosen, shown)
        gr.HTML(still(lambda: footer(detector)), padding=False)
        api.add(context, mcp)
    demo.i18n_instance = spoken_by()
    demo.queue(max_size=most.waiting, default_concurrency_limit=1, api_open=False)
    return demo


def footer(detector: Detector) -> str:
    return style.render("footer.html", model=detector.facts)


def launch(demo: gr.Blocks, **options: Any) -> tuple[Any, str, str]:
    """Serve the page with this project's settings; `options` go to Gradio."""
    return demo.launch(
        theme=style.theme(),
        css=style.CSS,
        js=style.SCRIPT,
        footer_links=["api", "settings"],
        i18n=spoken_by(),
        **start.options(demo, limits.limits()),
        **options,
    )


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: a container that stops leaves no uploads
    try:
        detector, warning = first_detector()
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    if warning:
        logging.warning(warning)
    mcp = api.mcp_server(sys.argv[1:])
    launch(build(detector, warning, mcp), mcp_server=mcp)
    return 0


if __name__ == "__main__":
    sys.exit(main())
