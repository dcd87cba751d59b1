"""Provenance: what files say about their origin, in plain words; signed manifests checked, nothing fetched."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from recorded import A1111, IPTC, NODES, jpeg, looked_at, packet, png, scene, tools
from signed import signed

from mdmf_core.images.origin import read_provenance
from mdmf_core.images.origin.said import MAX_TEXT
from mdmf_core.images.reader import read

BIDI = "\u202e\u2066\u200b\x07"


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
