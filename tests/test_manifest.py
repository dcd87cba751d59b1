"""Signed manifests (C2PA): whose they are, what was altered, and nothing is fetched."""

from __future__ import annotations

import builtins
import io
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import c2pa
import pytest
from recorded import jpeg, looked_at, packet, png, scene
from signed import lasting, signed

from mdmf_core.images.origin import read_provenance
from mdmf_core.images.reader import read


def test_a_signer_on_no_list(ai_png):
    found = looked_at(ai_png).c2pa
    assert (found.state, found.unchanged, found.claims_ai) == ("untrusted_signer", True, True)
    assert found.explanation == "Who signed can't be confirmed: this app has no list to check."
    assert found.problems == ("The picture is unchanged since it was signed.",)
    assert found.signer == "Example <b>Pictures</b> (Example <b>Pictures</b> unit)"
    assert found.actions == ("created with Model 3: made by generative AI",)
    assert found.source_types == ("made by generative AI",)
    assert found.program == "mdmf tests"
    assert found.when is None


def test_a_trusted_signer(ai_png, trust, monkeypatch):
    assert looked_at(ai_png, trust=trust).c2pa.state == "valid"
    monkeypatch.setenv("MDMF_C2PA_TRUST", str(trust))
    found = looked_at(ai_png).c2pa
    assert found.state == "valid" and found.problems == () and found.unchanged
    assert found.explanation.startswith("The signature is intact, its signer is trusted")


def test_a_signer_who_is_not_on_the_list(ai_png, tmp_path):
    other = tmp_path / "other.pem"
    other.write_bytes(lasting(86400)[2])
    found = looked_at(ai_png, trust=other).c2pa
    assert found.state == "untrusted_signer" and "not on the list" in found.explanation


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", b"\xff"])
def test_an_unusable_list_is_a_note(ai_png, tmp_path, content):
    path = tmp_path / "list.pem"
    if content is not None:
        path.write_bytes(content)
    found = looked_at(ai_png, trust=path)
    assert found.c2pa.state == "untrusted_signer" and "no list to check" in found.c2pa.explanation
    assert any("trusted C2PA authorities" in note for note in found.notes)


@pytest.mark.parametrize("with_list", [True, False])
def test_an_altered_picture(ai_png, trust, with_list):
    at = ai_png.rindex(b"IEND") - 2000
    altered = ai_png[:at] + bytes([ai_png[at] ^ 1]) + ai_png[at + 1 :]
    found = read_provenance(altered, read(ai_png), trust=trust if with_list else None).c2pa
    assert (found.state, found.unchanged) == ("altered", False)
    assert found.explanation == "The picture was altered after it was signed."
    assert len(found.problems) == (0 if with_list else 1)


def test_an_altered_manifest(ai_png, trust):
    altered = ai_png.replace(b"Model 3", b"Model 4")
    assert altered != ai_png
    found = read_provenance(altered, read(ai_png), trust=trust).c2pa
    assert (found.state, found.unchanged) == ("altered", None)
    assert found.explanation == "The manifest itself was altered after it was signed."


def test_a_recompressed_copy_with_the_old_manifest(signer, trust):
    """The manifest's segments moved into another JPEG: the pixels are not the ones that were signed."""
    data = signed(jpeg(), "image/jpeg", *signer[:2], "digitalCapture")
    start = data.index(b"\xff\xeb")
    end = start
    while data[end : end + 2] == b"\xff\xeb":
        end += 2 + int.from_bytes(data[end + 2 : end + 4], "big")
    other = io.BytesIO()
    scene().rotate(180).save(other, "JPEG", quality=60)
    moved = other.getvalue()[:start] + data[start:end] + other.getvalue()[start:]
    assert looked_at(data, trust=trust).c2pa.state == "valid"
    found = looked_at(moved, trust=trust).c2pa
    assert found.state == "altered" and not found.claims_ai
    assert found.source_types == ("captured with a digital camera",)


def test_a_damaged_manifest(ai_png):
    at = ai_png.index(b"caBX") + 60
    damaged = ai_png[:at] + bytes(100) + ai_png[at + 100 :]
    found = read_provenance(damaged, read(ai_png)).c2pa
    assert found.state == "malformed" and found.signer is None
    assert found.explanation == "There is a C2PA manifest, but it is damaged and can't be read."


def test_an_expired_certificate(trust):
    certificates, key, _ = lasting(2.5)
    data = signed(png(), "image/png", certificates, key, "trainedAlgorithmicMedia")
    time.sleep(3.6)
    found = looked_at(data, trust=trust).c2pa
    assert found.state == "expired" and "expired" in found.explanation
    assert found.claims_ai and found.unchanged
    assert any("can't be confirmed" in sentence for sentence in found.problems)


def test_nothing_is_fetched(signer):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *values):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/manifest.c2pa"
        found = looked_at(signed(png(), "image/png", *signer[:2], "digitalCapture", elsewhere=url))
        plain_xmp = looked_at(jpeg(xmp=packet(f'dcterms:provenance="{url}">')))
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []
    for case in (found, plain_xmp):
        assert case.c2pa is None
        assert any("was not fetched" in note for note in case.notes)


def test_without_c2pa_python_there_is_a_note(ai_png, monkeypatch):
    whole = builtins.__import__

    def refuse(name, *rest):
        if name == "c2pa":
            raise ImportError(name)
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    found = looked_at(ai_png)
    assert found.c2pa is None
    assert any("c2pa-python is not installed" in note for note in found.notes)


def test_a_library_that_fails_is_no_exception(ai_png, monkeypatch):
    for report in ("{}", "[]", '{"manifests": 3, "active_manifest": 4}', "no JSON", "[" * 10**6):
        monkeypatch.setattr(c2pa.Reader, "json", lambda self, report=report: report)
        assert looked_at(ai_png).c2pa.state == "malformed"


def test_manifest_in_a_format_that_is_not_supported():
    file = io.BytesIO()
    scene().save(file, "BMP")
    found = looked_at(file.getvalue() + b"c2pa")
    assert found.c2pa is None and any("BMP" in note for note in found.notes)
