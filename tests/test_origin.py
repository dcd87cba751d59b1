"""Origin: records in the fields where tools and laws put them, only this picture's own, and the one line of all."""

from __future__ import annotations

import gzip
import io
import json
import struct
from datetime import datetime, timezone

import numpy as np
import pytest
from bad_files import encoded, png_chunk
from PIL import Image, PngImagePlugin
from test_provenance import A1111, IPTC, NODES, jpeg, lasting, looked_at, png, scene, signed, tools

from mdmf_core.images import containers
from mdmf_core.images.origin import manifest, origin_of, summary
from mdmf_core.images.origin.xmp import AI_SOURCE_TYPES, Xmp
from mdmf_core.images.reader import read

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
LABEL = '{"Label":"1","ContentProducer":"00119144030070","ProduceID":"a1"}'
UUID = "01234567-89ab-cdef-0123-456789abcdef"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
KINDS = ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF", "HEIF"]


def whole(fields: str, inside: str = "", about: str = "") -> str:
    """A packet whose namespaces are all declared."""
    spaces = {
        "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
        "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",
        "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
        "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#",
        "photoshop": "http://ns.adobe.com/photoshop/1.0/",
        "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
        "exif": "http://ns.adobe.com/exif/1.0/",
        "dc": "http://purl.org/dc/elements/1.1/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
    }
    declared = " ".join(f'xmlns:{name}="{uri}"' for name, uri in spaces.items())
    return (
        f'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="{about}" {declared} {fields}>{inside}'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


AI_FIELD = f'Iptc4xmpExt:DigitalSourceType="{IPTC}trainedAlgorithmicMedia"'


def gif_with(xmp: bytes) -> bytes:
    """XMP as an application extension before the trailer, with its 258 bytes of magic trailer."""
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    return encoded(scene(), "GIF")[:-1] + b"\x21\xff\x0bXMP DataXMP" + xmp + trailer + b"\x3b"


def with_xmp(kind: str, xmp: str) -> bytes:
    if kind == "PNG":
        return png(**{"XML:com.adobe.xmp": xmp})
    if kind == "GIF":
        return gif_with(xmp.encode())
    if kind == "TIFF":
        return encoded(scene(), "TIFF", tiffinfo={700: xmp.encode()})
    return encoded(scene(), kind, xmp=xmp.encode())


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


def commented(body: bytes, kind: str) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = body
    return encoded(scene(), kind, exif=exif.tobytes())


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


# Hidden text


def stealthy(text: str, mode: str, zipped: bool) -> bytes:
    body = gzip.compress(text.encode()) if zipped else text.encode()
    name = {"RGBA": b"stealth_png", "RGB": b"stealth_rgb"}[mode] + (b"comp" if zipped else b"info")
    bits = np.unpackbits(np.frombuffer(name + struct.pack(">I", 8 * len(body)) + body, np.uint8))
    pixels = np.array(scene().convert(mode))
    lowest = pixels[..., 3:] if mode == "RGBA" else pixels[..., :3]
    columns = np.ascontiguousarray(lowest.transpose(1, 0, 2))
    flat = columns.reshape(-1)
    flat[: len(bits)] = flat[: len(bits)] & 254 | bits
    lowest[:] = columns.transpose(1, 0, 2)
    return encoded(Image.fromarray(pixels), "PNG")


@pytest.mark.parametrize("mode", ["RGBA", "RGB"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("text", "tool"),
    [
        (A1111, "A1111"),
        (json.dumps({"Software": "NovelAI", "Comment": "{}", "Description": "a cat"}), "NovelAI"),
        ("something else", "Stealth PNG info"),
    ],
)
def test_text_in_the_lowest_bits(mode, zipped, text, tool):
    data = stealthy(text, mode, zipped)
    picture = read(data)
    assert picture.metadata["stealth_pnginfo"] == text and picture.notes == ()
    assert tools(data) == [tool]


def test_a_signature_without_a_sound_text_is_nothing():
    data = stealthy("x", "RGBA", False)
    pixels = np.array(Image.open(io.BytesIO(data)))
    pixels[120 : 120 + 32, 0, 3] = 255  # a length of four billion
    assert len(read(encoded(Image.fromarray(pixels), "PNG")).metadata.get("stealth_pnginfo", "")) <= 2000


# C2PA


def finding(code: str, explanation: str = "", part: str = "") -> dict:
    return {"code": code, "explanation": explanation, "url": f"self#jumbf=/c2pa/urn:1/c2pa.assertions/{part}"}


def checked(failures: list[dict], passed: tuple[str, ...] = (), **more) -> dict:
    success = [{"code": code} for code in ("claimSignature.validated", *passed)]
    active = {"signature_info": {"issuer": "Maker"}, "assertions": [], **more.pop("active", {})}
    results = {"activeManifest": {"success": success, "failure": failures}}
    return {"manifests": {"a": active, **more.pop("others", {})}, "active_manifest": "a", "validation_results": results}


MATCH = ("assertion.dataHash.match",)


def test_an_identity_that_is_not_confirmed_is_a_sentence_of_its_own():
    found = manifest._judge(checked([finding("cawg.x509.credential.untrusted", "", "cawg.identity")], MATCH), True)
    assert found.state == "valid" and found.unchanged and len(found.problems) == 1
    assert "creator can't be confirmed" in found.problems[0]


def test_a_wrong_exclusion_range_is_not_an_altered_picture():
    words = "data hash exclusion does not match the manifest location in the asset"
    found = manifest._judge(checked([finding("assertion.dataHash.mismatch", words, "c2pa.hash.data")]), True)
    assert found.unchanged is None and found.state != "altered" and "can't be told" in found.problems[0]
    altered = manifest._judge(
        checked([finding("assertion.dataHash.mismatch", "hash does not match", "c2pa.hash.data")]), True
    )
    assert altered.unchanged is False and altered.state == "altered"


def test_a_rule_that_one_assertion_breaks_is_that_assertions():
    failures = [finding("assertion.action.malformed", "first action must be created or opened", "c2pa.actions.v2")]
    found = manifest._judge(checked(failures, MATCH), True)
    assert found.state == "valid" and "c2pa.actions.v2, breaks a rule" in found.problems[0]
    for code in ("claim.missing", "assertion.missing", "signingCredential.invalid", "assertion.undeclared"):
        assert manifest._judge(checked([finding(code)], MATCH), True).state == "malformed"


def acted(source: str) -> dict:
    action = {"action": "c2pa.created", "digitalSourceType": IPTC + source}
    return {"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]}


@pytest.mark.parametrize(
    ("active", "relations", "declares"),
    [
        ({}, ["parentOf"], "trainedAlgorithmicMedia"),
        ({}, ["componentOf"], "trainedAlgorithmicMedia"),
        ({}, ["componentOf", "componentOf"], None),
        (acted("digitalCapture"), ["componentOf"], "digitalCapture"),
        (acted("compositeWithTrainedAlgorithmicMedia"), [], "compositeWithTrainedAlgorithmicMedia"),
    ],
)
def test_whose_source_type_it_is(active, relations, declares):
    parts = [{"relationship": relation, "active_manifest": "b", "title": "x.png"} for relation in relations]
    others = {"b": acted("trainedAlgorithmicMedia")}
    found = manifest._judge(checked([], MATCH, active={**active, "ingredients": parts}, others=others), True)
    assert found.declares == declares and found.claims_ai == (bool(relations) or declares is not None)


def steps(*actions: tuple[str, str]) -> dict:
    listed = [{"action": name, "digitalSourceType": IPTC + source if source else None} for name, source in actions]
    return {"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": listed}}]}


@pytest.mark.parametrize(
    ("actions", "declares"),
    [
        ([("c2pa.created", "trainedAlgorithmicMedia"), ("c2pa.converted", "")], "trainedAlgorithmicMedia"),
        ([("c2pa.created", "trainedAlgorithmicMedia"), ("c2pa.edited", "humanEdits")], "trainedAlgorithmicMedia"),
        ([("c2pa.edited", "trainedAlgorithmicMedia")], "trainedAlgorithmicMedia"),
        (
            [("c2pa.created", "digitalCapture"), ("c2pa.edited", "trainedAlgorithmicMedia")],
            "compositeWithTrainedAlgorithmicMedia",
        ),
        ([("c2pa.opened", ""), ("c2pa.placed", "trainedAlgorithmicMedia")], "compositeWithTrainedAlgorithmicMedia"),
        ([("c2pa.opened", ""), ("c2pa.edited", "humanEdits")], "humanEdits"),
    ],
)
def test_a_step_with_generative_ai_edits_what_was_begun_without_it(actions, declares):
    found = manifest._judge(checked([], MATCH, active=steps(*actions)), True)
    assert found.declares == declares and found.claims_ai == ("rained" in declares)


@pytest.mark.parametrize(("relation", "claims"), [("componentOf", True), ("parentOf", True), ("inputTo", False)])
def test_a_part_made_by_ai_leads_and_an_input_is_no_part(relation, claims):
    active = {**acted("digitalCapture"), "ingredients": [{"relationship": relation, "active_manifest": "b"}]}
    others = {"b": {"ingredients": [{"relationship": "parentOf", "active_manifest": "c"}]}}
    others |= {"c": acted("trainedAlgorithmicMedia"), "d": acted("compositeSynthetic")}
    others["c"]["ingredients"] = [{"relationship": "parentOf", "active_manifest": "b"}]
    assert manifest._judge(checked([], MATCH, active=active, others=others), True).claims_ai == claims


def test_a_version_that_did_not_match_its_signature_declares_nothing():
    part = {"relationship": "parentOf", "active_manifest": "b"}
    for status, declares in (([], "digitalCapture"), ([finding("assertion.dataHash.mismatch")], None)):
        active = {"ingredients": [{**part, "validation_status": status}]}
        report = checked([], MATCH, active=active, others={"b": acted("digitalCapture")})
        assert manifest._judge(report, True).declares == declares


def test_what_was_recorded_of_an_earlier_signature():
    def said(**ingredient) -> tuple[str, ...]:
        parts = [{"title": "before.jpg", "relationship": "parentOf", **ingredient}]
        return manifest._judge(checked([], MATCH, active={"ingredients": parts}), True).problems

    good = {"activeManifest": {"success": [{"code": "claimSignature.validated"}], "failure": []}}
    assert said() == ()
    assert said(validation_results=good) == ('Of "before.jpg" it was recorded that its own signature was intact.',)
    assert (
        "was not accepted (signingCredential.untrusted)"
        in said(validation_status=[finding("signingCredential.untrusted")])[0]
    )
    assert "did not match its own" in said(validation_status=[finding("assertion.dataHash.mismatch")])[0]


def test_a_certificate_for_claims_alone_is_good_enough(tmp_path):
    """The key usage c2pa-kp-claimSigning (1.3.6.1.4.1.62558.2.1), which newer certificates have and no other."""
    certificates, key, root = lasting(86_400, usage="1.3.6.1.4.1.62558.2.1")
    data = signed_by(certificates, key)
    assert looked_at(data).c2pa.state == "untrusted_signer"
    trust = tmp_path / "trusted.pem"
    trust.write_bytes(root)
    assert looked_at(data, trust=trust).c2pa.state == "valid"


def signed_by(certificates: bytes, key: bytes) -> bytes:
    return signed(png(), "image/png", certificates, key, "trainedAlgorithmicMedia")
