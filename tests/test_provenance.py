"""Provenance: what files say about their origin, in plain words; signed manifests checked, nothing fetched."""

from __future__ import annotations

import builtins
import datetime
import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from PIL import Image, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from mdmf_core.images.origin import read_provenance
from mdmf_core.images.origin.said import MAX_TEXT
from mdmf_core.images.reader import read

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
A1111 = "a cat, best quality Negative prompt: dog Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Model: sd15"
NODES = '{"3": {"inputs": {"seed": 1}, "class_type": "KSampler"}}'
BIDI = "\u202e\u2066\u200b\x07"


def scene() -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (160, 160, 3), dtype=np.uint8))


def png(**texts: str) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        chunks.add_itxt(key, text)
    file = io.BytesIO()
    scene().save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


def jpeg(exif: Image.Exif | None = None, xmp: str = "") -> bytes:
    file = io.BytesIO()
    scene().save(file, "JPEG", exif=exif or Image.Exif(), **({"xmp": xmp.encode()} if xmp else {}))
    return file.getvalue()


def packet(fields: str) -> str:
    filler = "<!-- " + "x" * 2 * MAX_TEXT + " -->"  # the decoder's copy is cut short before the fields
    head = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{filler}<rdf:RDF><rdf:Description rdf:about="" '
    return head + fields + "</rdf:Description></rdf:RDF></x:xmpmeta>"


def looked_at(data: bytes, **options):
    return read_provenance(data, read(data), **options)


def tools(data: bytes) -> list[str]:
    return [claim.tool for claim in looked_at(data).generator]


def authority(
    start: datetime.datetime, end: datetime.datetime, usage: str = "1.3.6.1.5.5.7.3.4"
) -> tuple[bytes, bytes, bytes]:
    """A signer's certificates, its key, and the certificate of the authority behind it, all PEM."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def certificate(subject: str, issuer: str, public, is_authority: bool, *extensions) -> x509.Certificate:
        def named(text):
            organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, text)
            return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, f"{text} unit")])

        usage = [not is_authority] + 4 * [False] + 2 * [is_authority] + 2 * [False]
        number = x509.random_serial_number()
        builder = x509.CertificateBuilder(named(issuer), named(subject), public, number, start, end)
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        builder = builder.add_extension(x509.KeyUsage(*usage), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(root_key, hashes.SHA256())

    root = certificate("Test authority", "Test authority", root_key.public_key(), True)
    leaf = certificate(
        "Example <b>Pictures</b>",
        "Test authority",
        key.public_key(),
        False,
        x509.ExtendedKeyUsage([x509.ObjectIdentifier(usage)]),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
    )
    root_pem, leaf_pem = (item.public_bytes(serialization.Encoding.PEM) for item in (root, leaf))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return leaf_pem + root_pem, private, root_pem


def signed(
    data: bytes,
    mime: str,
    certificates: bytes,
    key: bytes,
    source_type: str,
    elsewhere: str = "",
    agent: str = "Model 3",
) -> bytes:
    action = {"action": "c2pa.created", "softwareAgent": {"name": agent}, "digitalSourceType": IPTC + source_type}
    manifest = {
        "claim_generator_info": [{"name": "mdmf tests"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
    }
    settings = {"verify": {"verify_after_sign": False, "verify_trust": False}}
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo("es256", certificates, key, None))
    file = io.BytesIO()
    with c2pa.Builder(json.dumps(manifest), context=c2pa.Context.from_dict(settings)) as builder:
        if elsewhere:
            builder.set_no_embed()
            builder.set_remote_url(elsewhere)
        builder.sign(signer, mime, io.BytesIO(data), file)
    return file.getvalue()


def lasting(seconds: float, **options) -> tuple[bytes, bytes, bytes]:
    now = datetime.datetime.now(datetime.timezone.utc)
    return authority(now - datetime.timedelta(days=1), now + datetime.timedelta(seconds=seconds), **options)


@pytest.fixture(scope="module")
def signer() -> tuple[bytes, bytes, bytes]:
    return lasting(86400)


@pytest.fixture(scope="module")
def ai_png(signer) -> bytes:
    return signed(png(), "image/png", *signer[:2], "trainedAlgorithmicMedia")


@pytest.fixture(scope="module")
def trust(signer, tmp_path_factory):
    path = tmp_path_factory.mktemp("trust") / "trusted.pem"
    path.write_bytes(signer[2])
    return path


def test_camera_fields_and_software():
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131] = "Nikon", "Z 9", "Firmware 1.0"
    details = {0x829A: IFDRational(10, 800), 0x829D: 4.0, 0x8827: 100, 0xA434: "50 mm", 0xA431: "serial 7"}
    exif.get_ifd(0x8769).update(details)
    found = looked_at(jpeg(exif))
    assert found.camera == {
        "Make": "Nikon",
        "Model": "Z 9",
        "Lens": "50 mm",
        "Exposure (s)": "1/80",
        "Aperture (f/)": "4",
        "ISO": "100",
    }
    assert found.software == "Firmware 1.0"
    assert found.generator == () and found.c2pa is None
    assert any("not signed" in note for note in found.notes)


def test_a_file_without_records_says_so_and_no_more():
    found = looked_at(png())
    assert found.to_dict() == {
        "camera": {},
        "software": None,
        "generator": [],
        "digital_source_type": None,
        "digital_source_code": None,
        "c2pa": None,
        "marks": [],
        "notes": list(found.notes),
    }
    assert len(found.notes) == 1 and "means nothing" in found.notes[0]


@pytest.mark.parametrize(
    ("texts", "tool"),
    [
        ({"parameters": A1111}, "A1111"),
        ({"parameters": '{"sui_image_params": {"prompt": "a cat"}}'}, "SwarmUI"),
        ({"prompt": NODES}, "ComfyUI"),
        ({"workflow": '{"last_node_id": 9, "nodes": []}'}, "ComfyUI"),
        ({"invokeai_metadata": '{"positive_prompt": "a cat"}'}, "InvokeAI"),
        ({"sd-metadata": '{"model": "stable diffusion"}'}, "InvokeAI"),
        ({"Dream": '"a cat" -s 50'}, "InvokeAI"),
        ({"Software": "NovelAI", "Comment": '{"prompt": "a cat"}'}, "NovelAI"),
        ({"Description": "a cat --v 6 Job ID: 01234567-89ab-cdef-0123-456789abcdef"}, "Midjourney"),
        ({"AIGC": '{"Label": "1"}'}, "AIGC label (China)"),
    ],
)
def test_generators_in_png_text(texts, tool):
    found = looked_at(png(**texts)).generator
    assert found[0].tool == tool
    assert found[0].text in texts.values()


@pytest.mark.parametrize(
    "texts",
    [
        {"Comment": "Created with GIMP", "Software": "GIMP 2.10", "Description": "a prompt reply"},
        {"prompt": "asked nicely", "Title": "parameters", "Description": "The workflow of a potter"},
    ],
)
def test_ordinary_text_is_no_generator(texts):
    assert tools(png(**texts)) == []


@pytest.mark.parametrize("byte_order", ["utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("prompt", ["", "a very long prompt, " * 200])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a1111_in_exif(byte_order, prompt, kind):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + (prompt + A1111).encode(byte_order)
    file = io.BytesIO()
    scene().save(file, kind, exif=exif)
    assert tools(file.getvalue()) == ["A1111"]


def test_a_long_comment_of_a_camera_is_no_generator():
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + b"a long day " * 400
    assert tools(jpeg(exif)) == []


def test_comfyui_in_camera_fields_is_not_shown_as_a_camera():
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = 'workflow:{"nodes": []}', "prompt:" + NODES
    found = looked_at(jpeg(exif))
    assert found.camera == {}
    assert {claim.tool for claim in found.generator} == {"ComfyUI"}


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        (f'Iptc4xmpExt:DigitalSourceType="{IPTC}trainedAlgorithmicMedia">', "trainedAlgorithmicMedia", "generative AI"),
        (
            f"><iptcExt:DigitalSourceType>\n{IPTC}compositeWithTrainedAlgorithmicMedia</iptcExt:DigitalSourceType>",
            "compositeWithTrainedAlgorithmicMedia",
            "edited with generative AI",
        ),
        (f'><a:DigitalSourceType rdf:resource="{IPTC}digitalCapture"/>\n <b/>', "digitalCapture", "digital camera"),
        ('x:DigitalSourceType="digsrctype:screenCapture">', "screenCapture", "screenshot"),
        (f'x:DigitalSourceType="{IPTC}somethingNew">', "somethingNew", "does not list (somethingNew)"),
    ],
)
@pytest.mark.parametrize("write", [lambda text: jpeg(xmp=text), lambda text: png(**{"XML:com.adobe.xmp": text})])
def test_iptc_source_type_in_plain_words(fields, code, words, write):
    found = looked_at(write(packet(fields)))
    assert found.digital_source_code == code
    assert words in found.digital_source_type


def test_credit_and_program_in_xmp():
    data = jpeg(xmp=packet('xmp:CreatorTool="Adobe Firefly" photoshop:Credit="Made with Google AI">'))
    assert looked_at(data).software == "Adobe Firefly"
    assert tools(data) == ["Adobe Firefly", "Google AI"]


def test_hostile_text_is_capped_and_printable():
    data = png(
        parameters=f"<script>alert(1)</script>{BIDI}\n{A1111}" + "x" * 50_000, Software=f"=cmd{BIDI}" + "y" * 5_000
    )
    found = looked_at(data)
    claim = found.generator[0]
    assert claim.text.startswith("<script>alert(1)</script>") and len(claim.text) <= MAX_TEXT
    assert len(found.software) <= 200
    everything = json.dumps(found.to_dict(), ensure_ascii=False)
    assert everything.isprintable()


def test_hostile_xmp_and_manifest_are_printable(signer):
    fields = f'xmp:CreatorTool="{BIDI}{"z" * 3000}" x:DigitalSourceType="a/{BIDI}b">'
    data = signed(png(), "image/png", *signer[:2], f"x{BIDI}", agent=f"<i>{BIDI}" + "w" * 5_000)
    for found in (looked_at(jpeg(xmp=packet(fields))), looked_at(data)):
        assert json.dumps(found.to_dict(), ensure_ascii=False).isprintable()
        assert max(len(text) for text in (found.software or "", *(found.c2pa.actions if found.c2pa else ()))) <= 300
    assert found.c2pa.actions[0].startswith("created with <i>")


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


def test_damage_anywhere_is_no_exception(ai_png):
    rng = np.random.default_rng(7)
    picture = read(ai_png)
    first = ai_png.index(b"caBX")
    for _ in range(60):
        data = bytearray(ai_png)
        for place in first + rng.integers(0, 6000, 4):
            data[place] = rng.integers(256)
        found = read_provenance(bytes(data[: rng.integers(first, len(data))]), picture)
        assert found.c2pa is None or found.c2pa.state in ("malformed", "altered")


def test_a_path_works_and_a_missing_one_is_a_note(ai_png, tmp_path):
    path = tmp_path / "signed.png"
    path.write_bytes(ai_png)
    picture = read(path)
    assert read_provenance(path, picture).c2pa.claims_ai
    path.unlink()
    found = read_provenance(path, picture)
    assert found.c2pa is None and "can't be read any more" in found.notes[0]


def test_manifest_in_a_format_that_is_not_supported():
    file = io.BytesIO()
    scene().save(file, "BMP")
    found = looked_at(file.getvalue() + b"c2pa")
    assert found.c2pa is None and any("BMP" in note for note in found.notes)
