"""Strict loading of checkpoints, fingerprints, and what is said when one can't be found."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hub import connect
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint

from mdmf_core.checkpoint import client as clients
from mdmf_core.checkpoint import hub, store
from mdmf_core.checkpoint.config import DINOv2
from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError

ROOT = Path(hub.__file__).parents[2]


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may spoil."""
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def assert_one_sentence(text: str) -> None:
    assert re.fullmatch(r"[^\n]{10,300}\.", text) and "Traceback" not in text, text


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        Detector.from_pretrained(folder)
    assert_one_sentence(str(caught.value))
    return str(caught.value)


def change_tensors(folder: Path, change, name: str = "model.safetensors") -> None:
    tensors = load_file(folder / name)
    change(tensors)
    save_file(tensors, folder / name)


def change_config(folder: Path, change) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("deep", [False, True])
def test_a_model_survives_storage(tmp_path, deep):
    folder = make_checkpoint(tmp_path / "made", deep=deep)
    loaded = store.load(folder)
    store.save(loaded, tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    assert not loaded.pfs.training and not loaded.backbone.training
    assert not any(p.requires_grad for p in [*loaded.pfs.parameters(), *loaded.backbone.parameters()])
    found = loaded.points(torch.randn(5, loaded.pfs.config["dim"], generator=torch.Generator().manual_seed(0)))
    assert found.z.dtype == torch.float64 and found.z.shape == (5, 4) and (found.e is not None) == deep
    assert all(isinstance(value, float) for value in loaded.kernel if value is not None)
    assert (loaded.kernel.s_e is not None) == (loaded.kernel.eps is not None) == deep


def test_a_missing_tensor_is_named(copy):
    change_tensors(copy, lambda tensors: tensors.pop("pfs.mlp.0.weight"))
    assert "missing: pfs.mlp.0.weight" in refused(copy)


def test_an_unexpected_tensor_is_named(copy):
    change_tensors(copy, lambda tensors: tensors.update(spare=torch.zeros(2)))
    assert "unexpected: spare" in refused(copy)


def test_a_mis_shaped_tensor_is_named(copy):
    change_tensors(copy, lambda tensors: tensors.update({"pfs.mlp.2.bias": torch.zeros(5)}))
    assert "wrong shape: pfs.mlp.2.bias" in refused(copy)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_named(copy, bad):
    change_tensors(copy, lambda tensors: tensors["pfs.mlp.2.bias"].__setitem__(1, bad))
    assert "not finite: pfs.mlp.2.bias" in refused(copy)


def test_several_faults_are_named_at_once(copy):
    def change(tensors):
        tensors.pop("pfs.log_s_z")
        tensors["pfs.mlp.0.bias"] = torch.zeros(1)

    change_tensors(copy, change)
    message = refused(copy)
    assert "pfs.log_s_z" in message and "pfs.mlp.0.bias" in message


def test_the_reference_is_loaded_as_strictly(copy):
    change_tensors(copy, lambda tensors: tensors.pop("real.weights"), "reference.safetensors")
    assert "reference.safetensors can't be used: the tensor real.weights is missing" in refused(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "reference.safetensors"])
@pytest.mark.parametrize("spoil", ["empty", "cut", "text", "header"])
def test_a_corrupted_file_is_named(copy, name, spoil):
    data = (copy / name).read_bytes()
    spoilt = {"empty": b"", "cut": data[: len(data) // 2], "text": b"<html>not found</html>", "header": b"\xff" * 64}
    (copy / name).write_bytes(spoilt[spoil])
    assert name in refused(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("statistic"), "lacks the key `statistic`"),
        (lambda c: c.update(extra=1), "no key `extra`"),
        (lambda c: c.update(format=2), "has format 2; this version reads format 1"),
        (lambda c: c.update(statistic="median"), '"median"'),
        (lambda c: c["pfs"].update(depth=3), "depth"),
        (lambda c: c["pfs"].pop("dim"), "dim"),
        (lambda c: c["pfs"].update(dim=99), "expects embeddings of 99 values"),
        (lambda c: c["pfs"].update(signature=5), "wrong shape: pfs.mlp.2.bias"),
        (lambda c: c["geometry"].update(overlap=3), "overlap"),
        (lambda c: c["geometry"].pop("patch_size"), "patch_size"),
        (lambda c: c["backbone"].update(name="resnet"), '"resnet"'),
        (lambda c: c["backbone"].pop("name"), "backbone"),
        (lambda c: c["backbone"].update(depth=3), "depth"),
        (lambda c: c["pfs"].update(deep=True), "missing: pfs.log"),
    ],
)
def test_config_keys_and_values_are_checked(copy, change, words):
    change_config(copy, change)
    assert words in refused(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["geometry"].update(patch_size=0),
        lambda c: c["geometry"].update(patch_size="32"),
        lambda c: c["geometry"].update(max_patches=1),
        lambda c: c["geometry"].update(resize=16),
        lambda c: c.update(pfs=None),
        lambda c: c.update(backbone=[]),
        lambda c: c["backbone"].update(channels="4"),
        lambda c: c.update(statistic=["mmd"]),
    ],
    ids=["no-patch", "text-patch", "one-patch", "resize-below-two-patches", "no-pfs", "list", "text", "list-statistic"],
)
def test_config_values_that_make_no_sense_are_one_sentence(copy, change):
    change_config(copy, change)
    refused(copy)


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"null", b"\xff\xfe\x00", b'{"format": 1}'])
def test_a_config_that_is_no_config_is_named(copy, data):
    (copy / "config.json").write_bytes(data)
    assert "config.json" in refused(copy)


def test_the_fingerprint_changes_with_any_byte(copy):
    before = hub.fingerprint(copy)
    assert re.fullmatch("[0-9a-f]{64}", before) and before == hub.fingerprint(copy)
    (copy / "README.md").write_text("another card")
    assert hub.fingerprint(copy) == before, "the card changes no score"
    assert before != hub.score_fingerprint(copy)
    for name in (*hub.FILES, hub.LOCATOR):
        data = (copy / name).read_bytes()
        for place in (0, len(data) // 2, len(data) - 1):
            (copy / name).write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            assert hub.fingerprint(copy) != before, (name, place)
        (copy / name).write_bytes(data)
    assert hub.fingerprint(copy) == before


def test_bytes_moved_from_one_file_to_the_next_change_the_fingerprint(tmp_path):
    found = set()
    for parts in ((b"ab", b"c", b""), (b"a", b"bc", b""), (b"", b"ab", b"c")):
        for name, data in zip(hub.FILES, parts, strict=True):
            (tmp_path / name).write_bytes(data)
        found.add(hub.fingerprint(tmp_path))
    assert len(found) == 3


def test_a_local_folder_is_located(copy, monkeypatch):
    assert hub.locate(copy) == hub.Located(copy, "copy", "local")
    monkeypatch.setenv("MDMF_MODEL", str(copy))
    assert hub.locate().folder == copy and hub.locate(None).model == "copy"
    monkeypatch.chdir(copy.parent)
    assert hub.locate("copy").folder.resolve() == copy


@pytest.mark.parametrize("name", hub.FILES)
def test_a_folder_that_lacks_a_file_is_refused(copy, name):
    (copy / name).unlink()
    assert f"The checkpoint copy lacks {name}" in refused(copy)


@pytest.mark.parametrize("ask", ["is_dir", "is_file"])
def test_a_folder_that_may_not_be_opened_is_one_sentence(copy, ask, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, ask, denied)
    said = refused(copy)
    assert "can't be opened (Permission denied); let this program's user read it." in said and str(copy) in said
    assert_one_sentence(said)


def test_a_configuration_that_may_not_be_opened_is_told_from_one_that_is_broken(copy, monkeypatch):
    (copy / "config.json").write_text("{")
    assert "can't be read as JSON" in refused(copy)
    monkeypatch.setattr(Path, "read_text", lambda path, *_: (_ for _ in ()).throw(PermissionError(13, "denied")))
    assert refused(copy) == "config.json can't be opened; let this program's user read it."


@pytest.mark.parametrize("wanted", ["./gone", "../gone", "~/gone-for-sure", "/gone/for/sure"])
def test_a_folder_that_is_not_there_is_refused_without_the_hub(wanted):
    with pytest.raises(CheckpointError, match="There is no folder") as caught:
        hub.locate(wanted)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("wanted", ["a/b/c", "not a name", "https://huggingface.co/a/b", "x" * 120, "a--b/c", "-a/b"])
def test_a_malformed_repository_is_refused_without_the_hub(wanted):
    with pytest.raises(CheckpointError, match="neither a folder on this machine nor a Hub repository id") as caught:
        hub.locate(wanted)
    assert_one_sentence(str(caught.value))


@pytest.fixture
def locating(tmp_path, monkeypatch):
    """What `locate("someone/something")` says of a Hub at some address, with an empty cache."""

    def said(endpoint: str) -> str:
        connect(monkeypatch, endpoint, tmp_path)
        with pytest.raises(CheckpointError) as caught:
            hub.locate("someone/something")
        return str(caught.value)

    return said


@contextmanager
def raw_server(answer: bytes | None):
    """An endpoint that sends `answer` to every request and closes; None accepts and stays silent."""
    listener = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            if answer is not None:
                connection.recv(65536)
                connection.sendall(answer)
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        for connection in held:
            connection.close()


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_an_unreachable_hub_is_one_sentence_soon(locating):
    start = time.monotonic()
    said = locating("http://127.0.0.1:9")
    assert said.startswith("The Hub could not be reached for someone/something") and time.monotonic() - start < 10
    assert_one_sentence(said)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "could not be reached"),
        (b"hello\r\n\r\n", "could not be reached"),
        (http("200 OK", b"<html>log in</html>", "Content-Type: text/html"), "could not be reached"),
        (http("503 Busy"), "is in trouble"),
        (http("404 Not Found", b"", "X-Error-Code: RepoNotFound"), "There is no repository someone/something"),
        (http("404 Not Found", b"", "X-Error-Code: RevisionNotFound"), "no such revision"),
        (http("403 Forbidden", b"", "X-Error-Code: GatedRepo"), "is gated"),
    ],
    ids=["hangs-up", "no-http", "web-page", "busy", "no-repository", "no-revision", "gated"],
)
def test_what_the_hub_answers_becomes_one_sentence(locating, answer, words):
    with raw_server(answer) as endpoint:
        said = locating(endpoint)
    assert words in said
    assert_one_sentence(said)


def test_a_silent_hub_is_given_up_on(locating, monkeypatch):
    assert clients.TRIES * clients.TIMEOUT <= 10, "seconds that a person waits"
    monkeypatch.setattr(clients, "TIMEOUT", clients.TIMEOUT / 10)
    with raw_server(None) as endpoint:
        start = time.monotonic()
        said = locating(endpoint)
        taken = time.monotonic() - start
    assert "could not be reached" in said and clients.TIMEOUT <= taken < 14
    assert_one_sentence(said)


def test_hub_weights_are_pinned_to_a_commit_and_local_ones_left_alone(tmp_path, monkeypatch):
    asked = []

    def download(repo, files, revision=None):
        asked.append((repo, revision))
        return hub.Located(tmp_path, repo, "c0ffee")

    monkeypatch.setattr(hub, "download", download)
    settings = DINOv2(size="small", weights="timm/some-model", revision="main")
    assert store.pinned(settings) == settings.model_copy(update={"revision": "c0ffee"})
    assert asked == [("timm/some-model", "main")]
    local = settings.model_copy(update={"weights": str(tmp_path)})
    assert store.pinned(local) == local
    published = "timm/vit_small_patch14_dinov2.lvd142m"
    assert store.pinned(DINOv2(size="small")).weights == published


def test_dinov2_never_runs_on_random_weights_unasked(monkeypatch):
    def unreachable(repo, files, revision=None):
        raise CheckpointError(f"The Hub could not be reached for {repo}.")

    monkeypatch.setattr(hub, "download", unreachable)
    with pytest.raises(CheckpointError, match="vit_small_patch14_dinov2"):
        store.build_backbone(DINOv2(size="small"))
