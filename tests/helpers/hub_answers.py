"""How the stand-in for the Hub (`hub.py`) answers: each address that `huggingface_hub` asks, read and written."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

TOKEN = "hf_standin"  # the one account: owner of every repository, admitted to gated ones
STRANGER = "hf_stranger"  # a valid account that is admitted nowhere
LARGE = ".safetensors"
PIECE = 4096


def git_hash(data: bytes) -> str:
    """What git calls a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Repository:
    """Commits with their files, oldest first; `refs` are branches and tags."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose path or query has `part` in it."""

    part: str
    method: str = "GET"
    times: int = 10**6
    status: int = 0  # answer this instead
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False  # no answer at all
    cut: int | None = None  # the connection breaks off after so many bytes of the body
    stall: int | None = None  # nothing more comes after so many bytes of the body
    pause: float = 0.0  # seconds before each piece of the body
    body: bytes | None = None  # send this instead; the headers about the file stay


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]  # names in small letters


class Handler(BaseHTTPRequestHandler):
    """One request; `hub` is the `StandIn` that knows what is there and what is to go wrong."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # answers of two parts would wait 40 ms for each other
    hub: Any

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self.sent = self.rfile.read(size) if size else b""
        self.fault = self.hub.note(Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        if self.fault and self.fault.silent:
            self.hub.ended.wait(30)
            self.close_connection = True
        elif self.fault and self.fault.status:
            self.reply(self.fault.status, {"error": "as ordered"}, self.fault.headers)
        else:
            self.route()

    do_HEAD = do_POST = do_PUT = do_GET

    def route(self) -> None:
        path = unquote(urlsplit(self.path).path)
        for pattern, method in (
            (r"/api/models/([^/]+/[^/]+)", self.info),
            (r"/api/models/([^/]+/[^/]+)/revision/(.+)", self.info),
            (r"/api/models/([^/]+/[^/]+)/tree/([^/]+)/?", self.tree),
            (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.resolve),
            (r"/storage/([0-9a-f]{64})", self.stored),
            (r"/api/repos/create", self.create),
            (r"/api/validate-yaml", self.validate),
            (r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", self.preupload),
            (r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", self.batch),
            (r"/upload/([0-9a-f]{64})", self.upload),
            (r"/verify/([0-9a-f]{64})", self.verify),
            (r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", self.commit),
        ):
            if match := re.fullmatch(pattern, path):
                return method(*match.groups())
        self.reply(404, {"error": "no such address"})

    # Answers

    def reply(self, status: int, value: object = None, headers: dict[str, str] | None = None) -> None:
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def refuse(self, status: int, code: str, words: str) -> None:
        self.reply(status, {"error": words}, {"X-Error-Code": code, "X-Error-Message": words})

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        fault = self.fault or Fault("")
        body = body if fault.body is None else fault.body
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        limit = next((stop for stop in (fault.cut, fault.stall) if stop is not None), len(body))
        for start in range(0, min(limit, len(body)), PIECE):
            if fault.pause and self.hub.ended.wait(fault.pause):
                break
            self.wfile.write(body[start : min(start + PIECE, limit)])
        self.wfile.flush()
        if limit < len(body):
            if fault.stall is not None:
                self.hub.ended.wait(30)
            self.close_connection = True

    def send_file(self, data: bytes, headers: dict[str, str]) -> None:
        """The content, or from the byte on that `Range` names."""
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        headers = {"Accept-Ranges": "bytes", **headers}
        if start is None:
            self.send(200, data, headers)
        else:
            first = int(start[1])
            ranged = {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"}
            self.send(206, data[first:], {**headers, **ranged})

    # Who asks

    @property
    def token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def admitted(self, name: str) -> Repository | None:
        """The repository, if it is there and may be read; else it has been refused."""
        repository = self.hub.repositories.get(name)
        if repository is None or repository.private and self.token != TOKEN:
            self.refuse(404 if self.token else 401, "RepoNotFound", "Repository not found")
        elif repository.gated and self.token != TOKEN:
            self.refuse(403 if self.token else 401, "GatedRepo", f"Access to model {name} is restricted")
        else:
            return repository
        return None

    def allowed(self) -> bool:
        """Whether the account may write; else it has been refused."""
        if self.token != TOKEN:
            self.refuse(403 if self.token else 401, "Forbidden", "You don't have the rights to do this")
        return self.token == TOKEN

    def find(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Commit and files of a revision; else it has been refused."""
        repository = self.admitted(name)
        if repository is None:
            return None
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return commit, repository.commits[commit]

    # Reading

    def info(self, name: str, revision: str = "main") -> None:
        if self.hub.repositories.get(name, Repository()).gated:  # facts of a gated repository are public
            repository = self.hub.repositories[name]
            found = repository.refs[revision], repository.commits[repository.refs[revision]]
        else:
            found = self.find(name, revision)
        if found is None:
            return
        commit, files = found
        details = "blobs" in parse_qs(urlsplit(self.path).query)
        siblings = [{"rfilename": path, **(_blob(data, path) if details else {})} for path, data in files.items()]
        self.reply(200, {"id": name, "sha": commit, "siblings": siblings, "private": False, "tags": []})

    def tree(self, name: str, revision: str) -> None:
        if found := self.find(name, revision):
            entries = []
            for path, data in found[1].items():
                large = {"lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 134}}
                entry = {"type": "file", "oid": git_hash(data), "size": len(data), "path": path}
                entries.append({**entry, **(large if path.endswith(LARGE) else {})})
            self.reply(200, entries)

    def resolve(self, name: str, revision: str, path: str) -> None:
        found = self.find(name, revision)
        if found is None:
            return
        commit, files = found
        if path not in files:
            self.reply(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        data, headers = files[path], {"X-Repo-Commit": commit}
        if not path.endswith(LARGE):
            self.send_file(data, {**headers, "ETag": f'"{git_hash(data)}"'})
            return
        headers |= {
            "X-Linked-Etag": f'"{sha256(data)}"',
            "X-Linked-Size": str(len(data)),
            "Location": f"{self.hub.storage}/{sha256(data)}?name={quote(path)}",
        }
        self.send(302, b"", headers)

    def stored(self, digest: str) -> None:
        for repository in self.hub.repositories.values():
            for files in repository.commits.values():
                for data in files.values():
                    if sha256(data) == digest:
                        return self.send_file(data, {"ETag": f'"{digest[:32]}"'})
        self.reply(404, {"error": "no such object"})

    # Writing

    def create(self) -> None:
        if not self.allowed():
            return
        asked = json.loads(self.sent)
        name = f"{asked['organization']}/{asked['name']}"
        there = name in self.hub.repositories
        if not there:
            self.hub.repositories[name] = Repository(private=asked.get("visibility") == "private")
        self.reply(409 if there else 200, {"url": f"{self.hub.url}/{name}", "name": name})

    def validate(self) -> None:
        self.reply(200, {"errors": [], "warnings": []})

    def preupload(self, name: str, revision: str) -> None:
        if not self.allowed():
            return
        repository = self.hub.repositories[name]
        there = repository.commits.get(repository.refs.get(revision, ""), {})
        files = []
        for entry in json.loads(self.sent)["files"]:
            path = entry["path"]
            large = path.endswith(LARGE)
            oid = (sha256 if large else git_hash)(there[path]) if path in there else None
            mode = "lfs" if large else "regular"
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.reply(200, {"files": files})

    def batch(self, name: str) -> None:
        if not self.allowed():
            return
        objects = []
        for item in json.loads(self.sent)["objects"]:
            actions = {verb: {"href": f"{self.hub.url}/{verb}/{item['oid']}"} for verb in ("upload", "verify")}
            objects.append({**item, **({} if item["oid"] in self.hub.uploads else {"actions": actions})})
        self.reply(200, {"transfer": "basic", "objects": objects})

    def upload(self, digest: str) -> None:
        if sha256(self.sent) != digest:
            self.reply(400, {"error": "hash mismatch"})
            return
        self.hub.uploads[digest] = self.sent
        self.reply(200, {})

    def verify(self, digest: str) -> None:
        self.reply(200 if digest in self.hub.uploads else 404, {})

    def commit(self, name: str, revision: str) -> None:
        if not self.allowed():
            return
        files = {}
        for line in self.sent.splitlines():
            item = json.loads(line)
            if item["key"] == "file":
                files[item["value"]["path"]] = base64.b64decode(item["value"]["content"])
            elif item["key"] == "lfsFile":
                files[item["value"]["path"]] = self.hub.uploads[item["value"]["oid"]]
        commit = self.hub.publish(name, files, revision)
        self.reply(200, {"success": True, "commitOid": commit, "commitUrl": f"{self.hub.url}/{name}/commit/{commit}"})


def _blob(data: bytes, path: str) -> dict[str, object]:
    """A file in the model's facts."""
    large = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
    return {"size": len(data), "blobId": git_hash(data), **({"lfs": large} if path.endswith(LARGE) else {})}
