"""A stand-in for the Hugging Face Hub: a small server on 127.0.0.1 that speaks what `huggingface_hub` asks for.

    with StandIn() as hub:
        commit = hub.publish("someone/something", folder)      # a folder, or {name: bytes}
        hub.fail("model.safetensors", cut=1000)                # the next body breaks off after 1000 bytes

Another program talks to it with `HF_ENDPOINT=hub.url` and an `HF_HOME` of its own; a test in this process calls
`connect`. Files in `.safetensors` are stored as the Hub stores large ones: `resolve` redirects to another host name,
the ETag is the SHA-256. Others are answered directly, the ETag is the hash of git. Written after the requests of
huggingface_hub 2.4 and the documented headers (https://huggingface.co/docs/huggingface_hub/package_reference/file_download).
"""

from __future__ import annotations

import hashlib
import os
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from hub_answers import Fault, Handler, Repository, Request


class StandIn:
    """The server. `seen` are all requests, `bodies` the names of files of which bytes were asked for."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.seen: list[Request] = []
        self.uploads: dict[str, bytes] = {}
        self._faults: list[Fault] = []
        self._guard = threading.Lock()
        self.ended = threading.Event()

    def __enter__(self) -> StandIn:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.storage = f"http://localhost:{self._server.server_port}/storage"
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def publish(self, name: str, files: Path | dict[str, bytes], revision: str = "main") -> str:
        """A new commit with these files and those of the branch that it replaces; returns its name."""
        if isinstance(files, Path):
            files = {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()}
        repository = self.repositories.setdefault(name, Repository())
        files = {**repository.commits.get(repository.refs.get(revision, ""), {}), **files}
        commit = hashlib.sha1(f"{name} {len(repository.commits)}".encode()).hexdigest()
        repository.commits[commit] = files
        repository.refs[revision] = commit
        return commit

    def fail(self, part: str, **what: object) -> None:
        """From now on, `Fault(part, **what)`."""
        self._faults.insert(0, Fault(part, **what))

    def heal(self) -> None:
        """Nothing goes wrong any more, and nothing was seen yet."""
        self._faults.clear()
        self.seen.clear()

    @property
    def bodies(self) -> list[str]:
        return [name for request in self.seen if (name := _file_of(request))]

    def note(self, request: Request) -> Fault | None:
        """Remember a request; what is to go wrong with it."""
        with self._guard:
            self.seen.append(request)
            for fault in self._faults:
                if fault.times and fault.part in request.path and fault.method in (request.method, "*"):
                    fault.times -= 1
                    return fault
        return None


def _file_of(request: Request) -> str | None:
    """The file whose content a request asks for."""
    if request.method != "GET":
        return None
    address = urlsplit(request.path)
    if address.path.startswith("/storage/"):
        return parse_qs(address.query)["name"][0]
    return address.path.rsplit("/", 1)[1] if "/resolve/" in address.path else None


def environment(url: str, home: Path, **settings: str) -> dict[str, str]:
    """Settings for another program whose Hub is `url`: no token, no proxy and no model but those given."""
    ours = ("HF_", "HUGGING", "MDMF_", "GRADIO_", "SPACE_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "XDG_CACHE")
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(ours)}
    return {**kept, "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **settings}


def connect(monkeypatch, url: str, home: Path, token: str = "") -> None:
    """Let `huggingface_hub` in this process use the Hub at `url` and a cache under `home`, until the test ends.

    The library reads HF_ENDPOINT and HF_HOME once, when it is imported, into the constants that are replaced here.
    """
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    for name, value in {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        "HF_HUB_OFFLINE": False,
    }.items():
        monkeypatch.setattr(constants, name, value)
