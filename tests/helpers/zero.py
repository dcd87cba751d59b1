"""A stand-in for ZeroGPU: the page through the real `spaces` package, which asks a server here for its GPU.

    python tests/helpers/zero.py CHECKPOINT OTHER_CHECKPOINT PICTURE        # prints what happened, as JSON

Everything is as on ZeroGPU (PyTorch shows a GPU that isn't there, the decorated function runs in a forked process,
arguments and results are pickled, a GPU is asked for and given back) but for the GPU itself: what would move weights
to it leaves them where they are. It is a program of its own because `spaces` changes PyTorch for good.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).resolve().parents[2]
ALPHA = 0.2


class Lender(BaseHTTPRequestHandler):
    """The server that lends GPUs; `quota_left` is for all visitors."""

    asked: list[str] = []
    workers: set[str] = set()
    quota_left = True

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        self.asked.append(url.path)
        self.workers.update(parse_qs(url.query).get("pid", ()))
        refused = url.path == "/schedule" and not self.quota_left
        grant = {"idle": True, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": "token"}
        body = json.dumps({"left": 3, "wait": "PT1H"} if refused else grant).encode()
        self.send_response(429 if refused else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing but the JSON is printed."""


def pretend(folder: Path) -> None:
    """The environment of a ZeroGPU Space, before anything is imported."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lender)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (folder / "cgroup").write_text("0::/space\n")
    os.environ |= {
        "SPACE_ID": "someone/mdmf",
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": f"http://127.0.0.1:{server.server_port}",
        "ZEROGPU_PROC_SELF_CGROUP_PATH": str(folder / "cgroup"),
    }


def without_gpu() -> None:
    """Weights stay where they are when a worker would move them to its GPU."""
    from spaces.zero import torch as device
    from spaces.zero.torch.patching import cuda_aliases

    def move(callback: object) -> None:
        for shown, weights in cuda_aliases.items():
            shown.data = weights

    device.init, device.pack, device.move = (lambda uuid: None), (lambda: 0), move


def main(checkpoint: str, other: str, picture: str) -> dict:
    """Start the page on a checkpoint, use it, and tell what happened."""
    import app
    from benchmarks.served import free_port
    from mdmf_app.context import Context
    from mdmf_app.server import space

    without_gpu()
    space.QUICK_ON_CPU = ()
    os.environ["MDMF_MODEL"] = checkpoint
    detector, warning = app.first_detector()
    demo = app.build(detector, warning)
    address = app.launch(demo, server_port=free_port(), prevent_thread_lock=True, quiet=True)[1]

    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    more = {"download_files": os.environ["TMPDIR"], "httpx_kwargs": {"timeout": None}}
    client, file = Client(address, verbose=False, ssl_verify=False, **more), handle_file(picture)
    found = {"device": detector.device, "evidence": client.predict(file, ALPHA, api_name="/analyze")[1]}
    found["batch"] = client.predict([file, file], ALPHA, api_name="/batch")[0]["rows"]

    def choose() -> float:
        context = Context(detector)
        return context.detector(context.load(other)).detect(picture, ALPHA).verdict.score

    with ThreadPoolExecutor(1) as handler:
        found["other"] = handler.submit(choose).result()
    found |= {"asked": list(Lender.asked), "in another process": str(os.getpid()) not in Lender.workers}
    Lender.quota_left = False
    try:
        client.predict(file, ALPHA, api_name="/analyze")
    except AppError as error:
        found["refused"] = str(error)
    found["refused in a batch"] = client.predict([file], ALPHA, api_name="/batch")[0]["rows"][0]["error"]
    demo.close(verbose=False)
    return found


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT)]
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["TMPDIR"] = temporary
        pretend(Path(temporary))
        print("\n" + json.dumps(main(*sys.argv[1:])))
