"""Origin: records in the fields where tools and laws put them, only this picture's own, and the one line of all."""

from __future__ import annotations

import json
import struct
from datetime import datetime, timezone

import numpy as np
import pytest
from bad_files import encoded, png_chunk
from PIL import Image, PngImagePlugin
from recorded import (
    A1111,
    AI_FIELD,
    IPTC,
    KINDS,
    LABEL,
    NODES,
    UUID,
    commented,
    jpeg,
    looked_at,
    png,
    scene,
    tools,
    whole,
    with_xmp,
)

from mdmf_core.images import containers
from mdmf_core.images.origin import origin_of, summary
from mdmf_core.images.origin.xmp import AI_SOURCE_TYPES, Xmp
from mdmf_core.images.reader import read

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


# Fields of tools


@pytest.mark.parametrize(
    ("texts", "tool"),
    [
        ({"parameters": '{"prompt": "a cat", "software": "RuinedFooocus"}'}, "RuinedFooocus"),
        ({"parameters": '{"prompt": "a", "metadata_scheme": "fooocus"}', "fooocus_scheme": "fooocus"}, "Fooocus"),
        ({"parameters": f"{A1111}, Version: Fooocus v2.5.5"}, "Fooocus"),
        ({"parameters": f'{A1111}, Civitai resources: [{{"type":"checkpoint"}}]'}, "Civitai"),
        ({"parameters": json.dumps({"prompt": "x" * 5000, "software": "RuinedFooocus"})}, "RuinedFooocus"),
        ({"Comment": '{"request_type": "PromptGenerateRequest", "signed_hash": "x"}'}, "NovelAI"),
        ({"Software": "NovelAI", "Title": "NovelAI generated image", "Comment": '{"prompt": "a"}'}, "NovelAI"),
        ({"invokeai_metadata": "{}", "invokeai_graph": "{}"}, "InvokeAI"),
        ({"prompt": NODES, "workflow": '{"nodes": []}'}, "ComfyUI"),
        ({"AIGC": LABEL}, "AIGC label (China)"),
        ({"Comment": f'{{"AIGC": {LABEL}}}'}, "AIGC label (China)"),
        ({"Software": "Gemini"}, "Google AI"),
        ({"Software": "Imagen 4 Ultra"}, "Google AI"),
        ({"Software": "Grok"}, "Grok (xAI)"),
        ({"Software": "Sora"}, "OpenAI"),
        ({"Software": "gpt-image-1"}, "OpenAI"),
        ({"Software": "Ideogram 3.0"}, "Ideogram"),
        ({"Software": "Leonardo.Ai"}, "Leonardo.Ai"),
        ({"Software": "Recraft"}, "Recraft"),
        ({"Author": "Midjourney"}, "Midjourney"),
    ],
)
def test_each_tool_is_named_once(texts, tool):
    assert tools(png(**texts)) == [tool]


@pytest.mark.parametrize(
    "texts",
    [
        {"Software": "Leonardo da Vinci Viewer 2", "Author": "Gemini Okafor", "Title": "Firefly at night"},
        {"Software": "Adobe Photoshop 26.0 (Windows)", "Copyright": "Sora Tanaka"},
        {"Software": "Imagenes 3", "Description": "Job ID: 7 of the potter", "Source": "scanner"},
        {"Comment": '{"Label": "fragile"}', "prompt": '{"question": "what"}'},
        {"Description": f"quoted: <x DigitalSourceType='{IPTC}trainedAlgorithmicMedia'/> made with Midjourney"},
    ],
)
def test_words_that_mean_other_things_are_no_generator(texts):
    found = looked_at(png(**texts))
    assert found.generator == () and found.digital_source_code is None


@pytest.mark.parametrize(
    ("fields", "tool"),
    [
        ({0x010F: "Black Forest Labs", 0x0110: "flux-dev"}, "FLUX (Black Forest Labs)"),
        ({0x010F: "Prompt: " + NODES, 0x0110: 'Workflow: {"nodes": []}'}, "ComfyUI"),
        ({0x010E: 'workflow:{"nodes": []}'}, "ComfyUI"),
        ({0x010F: "Ideogram AI"}, "Ideogram"),
        ({0x0131: "Google Gemini"}, "Google AI"),
        ({0x010E: "Signature: " + "Ab0+" * 20, 0x013B: UUID}, "Grok (xAI)"),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_exif_fields_of_generators_are_no_camera(kind, fields, tool):
    exif = Image.Exif()
    for tag, text in fields.items():
        exif[tag] = text
    found = looked_at(encoded(scene(), kind, exif=exif.tobytes() if kind == "AVIF" else exif))
    assert [claim.tool for claim in found.generator] == [tool] and found.camera == {}


def test_half_of_groks_pair_is_not_grok():
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "Signature: " + "Ab0+" * 20, "Ada Lovelace"
    assert tools(jpeg(exif)) == []


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize(
    ("body", "tool", "start"),
    [
        (b"UNICODE\0" + ("一只猫" * 900 + A1111).encode("utf-16-be"), "A1111", "一只猫"),
        (b"UNICODE\0" + ("一只猫" * 900 + A1111).encode("utf-16-le"), "A1111", "一只猫"),
        (b"UNICODE\0\xfe\xff" + A1111.encode("utf-16-be"), "A1111", "a cat"),
        (b"ASCII\0\0\0" + json.dumps({"prompt": {"1": {"class_type": "x"}}}).encode(), "ComfyUI", "{"),
        (b'{"AIGC": ' + LABEL.encode() + b"}", "AIGC label (China)", '{"AIGC"'),
        (b"\0" * 8 + b'{"sui_image_params": {}}', "SwarmUI", "{"),
    ],
)
def test_user_comments_in_every_container_and_byte_order(kind, body, tool, start):
    claims = looked_at(commented(body, kind)).generator
    assert [claim.tool for claim in claims] == [tool] and claims[0].text.startswith(start)


def test_raw_utf8_in_a_png_text_is_read_as_such_and_latin_1_as_before():
    def with_text(body: bytes) -> bytes:
        data = encoded(scene(), "PNG")
        return data[:33] + png_chunk(b"tEXt", b"parameters\0" + body) + data[33:]

    claim = looked_at(with_text("猫, Steps: 1, Sampler: x".encode())).generator[0]
    assert claim.text.startswith("猫") and read(with_text("猫".encode())).metadata["parameters"] == "猫"
    assert read(with_text("Zürich".encode("latin-1"))).metadata["parameters"] == "Zürich"


# Labels and XMP


@pytest.mark.parametrize("kind", KINDS)
def test_xmp_from_where_each_container_keeps_it(kind):
    found = looked_at(with_xmp(kind, whole(AI_FIELD + ' photoshop:Credit="Edited with Google AI"')))
    assert found.digital_source_code == "trainedAlgorithmicMedia"
    assert [claim.tool for claim in found.generator] == ["Google AI"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inside", [False, True])
def test_the_label_of_gb_45438_in_xmp(kind, inside):
    text = LABEL.replace('"', "&quot;")
    xmp = whole("", f"<TC260:AIGC>{text}</TC260:AIGC>") if inside else whole(f'TC260:AIGC="{text}"')
    found = looked_at(with_xmp(kind, xmp))
    assert [(claim.tool, claim.text) for claim in found.generator] == [("AIGC label (China)", LABEL)]
    assert summary(found).generated == "yes"


@pytest.mark.parametrize(("label", "generated"), [("1", "yes"), ("2", "unknown"), ("3", "unknown")])
def test_what_the_label_says(label, generated):
    found = summary(looked_at(png(AIGC=LABEL.replace('"1"', f'"{label}"'))))
    assert found.generated == generated and ("possibly" in found.declared) == (generated == "unknown")


@pytest.mark.parametrize("code", sorted(AI_SOURCE_TYPES) + ["TRAINEDALGORITHMICMEDIA"])
def test_every_source_type_of_ai(code):
    found = origin_of(jpeg(xmp=whole(f'Iptc4xmpExt:DigitalSourceType="{IPTC}{code}"')))
    assert found.generated == "yes" and not found.signed and "nothing of it is signed" in found.sentence


@pytest.mark.parametrize("code", ["digitalCapture", "humanEdits", "screenCapture", "digitalCreation"])
def test_source_types_of_people_and_cameras(code):
    assert origin_of(jpeg(xmp=whole(f'Iptc4xmpExt:DigitalSourceType="{IPTC}{code}"'))).generated == "no"


@pytest.mark.parametrize(
    "xmp",
    [
        whole("", f"<xmpMM:Pantry><rdf:Bag><rdf:li><rdf:Description {AI_FIELD}/></rdf:li></rdf:Bag></xmpMM:Pantry>"),
        whole("", f"<xmpMM:DerivedFrom rdf:parseType='Resource'><a {AI_FIELD}/></xmpMM:DerivedFrom>"),
        whole("", f"<xmpMM:Ingredients><rdf:Bag><rdf:li {AI_FIELD}/></rdf:Bag></xmpMM:Ingredients>"),
        whole(
            "",
            "<dc:description><rdf:Alt><rdf:li>"
            + AI_FIELD.replace('"', "&quot;")
            + "</rdf:li></rdf:Alt></dc:description>",
        ),
        whole("", f"<!-- <rdf:Description {AI_FIELD}/> -->"),
        whole("").replace("</rdf:RDF>", f'<rdf:Description rdf:about="other" {AI_FIELD}/></rdf:RDF>'),
        "<!DOCTYPE x [<!ENTITY a 'b'>]>" + whole(AI_FIELD),
    ],
)
def test_what_an_ingredient_a_quotation_or_another_subject_says_is_not_this_pictures(xmp):
    assert looked_at(jpeg(xmp=xmp)).digital_source_code is None


def test_several_descriptions_of_one_subject_are_one():
    xmp = whole("", about="uuid:1").replace("</rdf:RDF>", f'<rdf:Description rdf:about="uuid:1" {AI_FIELD}/></rdf:RDF>')
    assert looked_at(jpeg(xmp=xmp)).digital_source_code == "trainedAlgorithmicMedia"


def test_bytes_after_the_end_of_the_picture_say_nothing():
    other = jpeg(xmp=whole(AI_FIELD))
    for kind in ("JPEG", "PNG", "WEBP", "GIF"):
        data = encoded(scene(), kind)
        for tail in (whole(AI_FIELD).encode(), other, encoded(scene(), "PNG", pnginfo=ai_text())):
            found = looked_at(data + tail)
            assert found.digital_source_code is None and found.generator == (), kind


def ai_text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", whole(AI_FIELD))
    info.add_text("parameters", A1111)
    return info


def test_a_thumbnail_inside_exif_says_nothing():
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    body = exif.tobytes() + jpeg(xmp=whole(AI_FIELD))
    found = looked_at(encoded(scene(), "JPEG", exif=body))
    assert found.digital_source_code is None and found.camera == {"Make": "Maker"}


def test_zipped_xmp_of_a_png_is_read_whole():
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", whole(f'dc:format="{"x" * 50_000}" {AI_FIELD}'), zip=True)
    assert looked_at(encoded(scene(), "PNG", pnginfo=info)).digital_source_code == "trainedAlgorithmicMedia"


def test_extended_xmp_of_a_jpeg_is_put_together():
    digest = b"0123456789ABCDEF0123456789ABCDEF"
    main = whole(f'xmpNote:HasExtendedXMP="{digest.decode()}"')
    more = whole(AI_FIELD, f"<dc:source>{'x' * 90_000}</dc:source>").encode()
    head = b"http://ns.adobe.com/xmp/extension/\0" + digest + struct.pack(">I", len(more))
    data = jpeg(xmp=main)
    for at in range(0, len(more), 60_000)[::-1]:
        body = head + struct.pack(">I", at) + more[at : at + 60_000]
        data = data[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(body) + 2) + body + data[2:]
    assert looked_at(data).digital_source_code == "trainedAlgorithmicMedia"
    other = data.replace(digest + struct.pack(">I", len(more)), b"F" * 32 + struct.pack(">I", len(more)))
    assert looked_at(other).digital_source_code is None, "another packet's extension"


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("xmpMM:History", "<rdf:li stEvt:action='edited' stEvt:softwareAgent='Adobe Firefly'/>"),
        (
            "xmpMM:History",
            "<rdf:li rdf:parseType='Resource'><stEvt:action>produced</stEvt:action>"
            "<stEvt:parameters>Generative Fill</stEvt:parameters></rdf:li>",
        ),
        ("crs:RetouchAreas", "<rdf:li><rdf:Description crs:Method='generative'/></rdf:li>"),
    ],
)
def test_generative_steps_of_adobe(name, item):
    inside = f"<{name}><rdf:Seq>{item}</rdf:Seq></{name}>"
    assert tools(jpeg(xmp=whole("", inside))) == ["Adobe Firefly"]
    assert tools(jpeg(xmp=whole("", inside.replace("Firefly", "Photoshop 26").replace("enerative", "aussian")))) == []


def test_draw_things_and_the_system_field_of_iptc():
    comment = '{"c": "a cat", "uc": "", "seed": 1, "sampler": "Euler"}'
    inside = f"<exif:UserComment><rdf:Alt><rdf:li>{comment}</rdf:li></rdf:Alt></exif:UserComment>"
    assert tools(jpeg(xmp=whole('xmp:CreatorTool="Draw Things"', inside))) == ["Draw Things"]
    assert tools(jpeg(xmp=whole('Iptc4xmpExt:AISystemUsed="Midjourney"'))) == ["Midjourney"]


def test_the_credit_of_iptc_iim():
    text = b"Made with Google AI"
    record = b"\x1c\x02\x00\0\2\0\2" + b"\x1c\x02\x6e" + struct.pack(">H", len(text)) + text
    block = (
        b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record + b"\0" * (len(record) % 2)
    )
    data = jpeg()
    data = data[:2] + struct.pack(">BBH", 0xFF, 0xED, len(block) + 2) + block + data[2:]
    assert tools(data) == ["Google AI"]


def test_hostile_xmp_ends_soon():
    deep = "<a>" * 5_000
    many = "<a/>" * 300_000
    for body in (deep, many, "<a b='" + "x" * 10**6 + "'/>", "\0" * 1000, "<rdf:RDF>" + "&a;" * 1000):
        assert Xmp([whole("", body).encode()]).field("DigitalSourceType") is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF", "HEIC"])
def test_damaged_containers_give_nothing_and_raise_nothing(kind):
    rng = np.random.default_rng(1)
    clean = with_xmp("HEIF" if kind == "HEIC" else kind, whole(AI_FIELD))
    for _ in range(150):
        data = bytearray(clean)
        for at in rng.integers(0, min(len(data), 3000), 20):
            data[at] = rng.integers(256)
        data = bytes(data[: rng.integers(1, len(data))])
        assert isinstance(containers.xmp(data, kind), list) and isinstance(containers.comments(data, kind), list)
        assert all(isinstance(body, bytes) for body in containers.exif_texts(data, kind)[0].values())
