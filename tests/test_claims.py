"""What a signed manifest's codes and actions mean for this picture."""

from __future__ import annotations

import pytest
from recorded import IPTC, looked_at, png
from signed import lasting, signed

from mdmf_core.images.origin import manifest


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
