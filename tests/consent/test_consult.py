"""Asking about consent over HTTP: $decide and the CDS Hooks service, answered from the registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from town import Town, town_after

from engine.samples.bundles import sample

NAIC = "urn:oid:2.16.840.1.113883.6.300"
NPI = "http://hl7.org/fhir/sid/us-npi"
MRN = {"system": "http://mercy.example/mrn", "value": "MC-20417"}
MEMBER = {"system": "http://prairie.example/member", "value": "W55012-03"}
PLAN = {"system": NAIC, "value": "95216"}
LAKESIDE = {"system": NPI, "value": "1888001124"}
COC = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "COC"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    """Return a town that knows the sample people and their signed consent."""
    with town_after(tmp_path, "01-who-is-who", "04-signed-consent") as built:
        yield built


def question(**changes: Any) -> dict[str, Any]:
    base = {
        "patient": {"reference": "Patient/avery"},
        "recipient": [{"reference": "Organization/org-prairie"}],
        "purpose": [COC],
    }
    return {**base, **changes}


def decide(place: Town, system: str, body: Any) -> dict[str, Any]:
    response = place.send(system, "POST", "/fhir/Consent/$decide", body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def asked_records(place: Town) -> list[dict[str, Any]]:
    records = place.store.read(lambda tx: list(tx.audit.records()))
    return [
        {**json.loads(one.body), "actor": one.actor}
        for one in records
        if one.kind == "consent.asked"
    ]


@pytest.mark.parametrize(
    "patient",
    [
        {"reference": "Patient/avery"},
        "Patient/avery",
        {"identifier": MRN},
        {"identifier": [MRN]},
        MRN,
        {"identifier": [{"system": "urn:x", "value": "?"}, MEMBER]},
        [MRN, MEMBER],
    ],
)
def test_the_member_is_found_by_reference_or_any_identifier(place: Town, patient: Any) -> None:
    """However the asker names the member, the registry's consents are found."""
    assert decide(place, "mercy", question(patient=patient))["decision"] == "permit"


@pytest.mark.parametrize("recipient", [[{"identifier": PLAN}], PLAN, "Organization/org-prairie"])
def test_the_recipient_is_found_alike(place: Town, recipient: Any) -> None:
    """A recipient may be named by its identifier alone."""
    assert decide(place, "mercy", question(recipient=recipient))["decision"] == "permit"


def test_another_recipient_gets_a_code_and_nothing_else(place: Town) -> None:
    """A non-operator learns the verdict and its code: no consent, no reason, no policy."""
    told = decide(place, "mercy", question(recipient=[{"identifier": LAKESIDE}]))
    assert told.keys() == {"decision", "code", "obligations", "at"}
    assert (told["decision"], told["code"]) == ("no-consent", "consent-recipient")
    assert told["obligations"] == []


def test_the_operator_is_told_the_reasons(place: Town) -> None:
    """The system that operates the engine sees what the decision rests on."""
    told = decide(
        place,
        "hub",
        question(
            patient={"identifier": [MEMBER]},
            sender={"identifier": {"system": NPI, "value": "1942260013"}},
            recipient=[{"identifier": PLAN}],
        ),
    )
    assert told["decision"] == "permit"
    assert told["basis"][0]["consent"].endswith("/_history/1")
    assert told["considered"]


def test_a_system_asks_about_its_own_disclosures_only(place: Town) -> None:
    """A sender that names somebody else as the sender is judged as well: no feeling around."""
    other = question(sender=[{"identifier": {"system": NPI, "value": "1888001124"}}])
    assert decide(place, "mercy", other)["decision"] != "permit"


@pytest.mark.parametrize(
    "more", [{"at": "2040-01-01T00:00:00Z"}, {"policy": {"default": "permit"}}]
)
def test_only_the_operator_chooses_time_and_policy(place: Town, more: dict[str, Any]) -> None:
    """Another instant or policy would let a sender find out what a consent says."""
    refused = place.send("mercy", "POST", "/fhir/Consent/$decide", {"request": question(), **more})
    assert refused.status_code == 403
    told = decide(place, "hub", {"request": question(patient={"identifier": [MEMBER]}), **more})
    assert "basis" in told


def test_a_revocation_is_in_the_next_answer(place: Town) -> None:
    """The registry answers with what was recorded last."""
    place.send("mercy", "POST", "/fhir", sample("08-revocation"))
    told = decide(place, "mercy", question())
    assert (told["decision"], told["code"]) == ("no-consent", "consent-revoked")


def test_an_id_that_the_asker_does_not_own_finds_nobody(place: Town) -> None:
    """A canonical id in the mouth of a sender is a name that it never gave anybody."""
    (row,) = place.store.read(lambda tx: tx.resources.of_type("Patient"))
    told = decide(place, "mercy", question(patient={"reference": f"Patient/{row.id}"}))
    assert (told["decision"], told["code"]) == ("no-consent", "consent-missing")
    operator = question(
        patient={"reference": f"Patient/{row.id}"},
        sender={"identifier": {"system": NPI, "value": "1942260013"}},
        recipient=[{"identifier": PLAN}],
    )
    assert decide(place, "hub", operator)["decision"] == "permit"


def test_consents_sent_along_are_decided_with_their_reasons(place: Town) -> None:
    """Who brings the Consents sees everything about them, and the registry stays out of it."""
    consent = {
        "resourceType": "Consent",
        "id": "mine",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "patient": {"reference": "Patient/avery"},
        "performer": [{"reference": "Patient/avery"}],
        "dateTime": "2026-01-01",
        "sourceReference": {"reference": "DocumentReference/form"},
        "provision": {"type": "deny"},
    }
    told = decide(place, "mercy", {"request": question(), "consent": [consent]})
    assert told["decision"] == "deny"
    assert told["considered"][0]["consent"] == "Consent/mine"


def test_every_answer_is_on_record_with_who_asked(place: Town) -> None:
    """Permit and deny are in the ledger before they are told, with consents and versions."""
    decide(place, "mercy", question())
    decide(place, "mercy", question(recipient=[{"identifier": LAKESIDE}]))
    permit, deny = asked_records(place)
    assert (permit["actor"], permit["decision"]) == ("mercy", "permit")
    assert permit["basis"][0].endswith("/_history/1")
    assert permit["policy"]["default"] == "deny"
    assert (deny["decision"], deny["code"]) == ("no-consent", "consent-recipient")
    assert deny["consents"][0].endswith("/_history/1")
    assert place.store.read(lambda tx: tx.audit.verify()) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 400),
        (b"{", 400),
        (b"[" * 5000, 400),
        ({}, 422),
        ({"request": {"recipient": []}}, 422),
        ({"request": {"patient": "Patient/1"}, "at": "tomorrow"}, 422),
        ({"request": {"patient": "Patient/1"}, "policy": {"defualt": "permit"}}, 422),
    ],
)
def test_a_question_that_cannot_be_read_is_refused(place: Town, body: Any, status: int) -> None:
    """Each problem is an OperationOutcome, and nothing is recorded as decided."""
    response = place.send("hub", "POST", "/fhir/Consent/$decide", body)
    assert response.status_code == status
    assert response.json()["resourceType"] == "OperationOutcome"
    assert asked_records(place) == []


@pytest.mark.parametrize(
    "request_",
    [
        {"patient": 7},
        {"patient": [None, 3, {"identifier": "x"}]},
        {"patient": {"identifier": {"value": 5}}, "recipient": {"reference": 8}},
        {"patient": "Patient/avery", "recipient": [[]], "data": [[1]], "purpose": 3},
    ],
)
def test_odd_questions_never_permit_and_never_fail(place: Town, request_: dict[str, Any]) -> None:
    """What cannot be understood is no consent, not an error of the engine."""
    response = place.send("mercy", "POST", "/fhir/Consent/$decide", {"request": request_})
    assert response.status_code == 200, response.text
    assert response.json()["decision"] != "permit"


def hook(**context: Any) -> dict[str, Any]:
    base = {"patientId": [MRN], "actor": [PLAN], "purposeOfUse": ["COC"]}
    return {
        "hook": "patient-consent-consult",
        "hookInstance": "c0ffee",
        "context": {**base, **context},
    }


def card(place: Town, system: str, body: dict[str, Any]) -> dict[str, Any]:
    response = place.send(system, "POST", "/cds-services/patient-consent-consult", body)
    assert response.status_code == 200, response.text
    (found,) = response.json()["cards"]
    return dict(found)


def test_the_service_is_discovered_by_known_systems_only(place: Town) -> None:
    """Discovery needs a token like everything else."""
    assert place.send("", "GET", "/cds-services").status_code == 401
    told = place.send("mercy", "GET", "/cds-services").json()
    assert told["services"][0]["id"] == "patient-consent-consult"


def test_a_call_is_answered_from_the_registry(place: Town) -> None:
    """A permitted disclosure gets CONSENT_PERMIT; a sender is not told which Consent it was."""
    found = card(place, "mercy", hook())
    assert found["summary"] == "CONSENT_PERMIT"
    assert "basedOn" not in found["extension"]
    operator = card(place, "hub", hook(patientId=[MEMBER]))
    assert operator["summary"] in ("CONSENT_PERMIT", "NO_CONSENT")


@pytest.mark.parametrize("context", [{"actor": [LAKESIDE]}, {"patientId": [{"value": "nobody"}]}])
def test_a_call_that_no_consent_covers_is_not_permitted(
    place: Town, context: dict[str, Any]
) -> None:
    """Another recipient, or a patient nobody knows: NO_CONSENT, and nothing of the content."""
    note = {"resourceType": "Observation", "status": "final", "code": {"text": "SECRET"}}
    content = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": note}]}
    found = card(place, "mercy", hook(**context, content=content))
    assert found["summary"] == "NO_CONSENT"
    assert "content" not in found["extension"]
    assert "SECRET" not in json.dumps(found)


def test_content_is_redacted_by_the_consent_on_record(place: Town) -> None:
    """The HRex #regular consent lets ordinary content through and keeps sensitive content back."""
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"}
    plain = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}
    entries = [
        {"resource": {"resourceType": "Observation", "id": id, "status": "final",
                      "meta": {"security": [mark]}, "code": {"text": id}}}
        for id, mark in (("ordinary", plain), ("SECRET", {**label}))
    ]  # fmt: skip
    entries[1]["resource"]["meta"]["security"].append(plain)
    content = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    found = card(place, "mercy", hook(content=content))
    kept = found["extension"]["content"]["entry"]
    assert [entry["resource"]["id"] for entry in kept] == ["ordinary"]


def test_a_consent_about_one_record_is_kept_for_the_askers_own_name_of_it(place: Town) -> None:
    """A deny of one stored record is found in content that names it as the asker does."""
    plan = {
        "resourceType": "CarePlan", "id": "quiet", "status": "active", "intent": "plan",
        "category": [{"coding": [{
            "system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category",
            "code": "assess-plan"}]}],
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">p</div>'},
        "subject": {"reference": "Patient/avery"},
    }  # fmt: skip
    sent = place.post("mercy", plan)
    assert sent.status_code == 201, sent.text
    bundle = json.loads(sample("04-signed-consent"))
    consent = bundle["entry"][0]["resource"]
    about = {"meaning": "instance", "reference": {"reference": "CarePlan/quiet"}}
    consent["provision"]["provision"] = [{"type": "deny", "data": [about]}]
    assert place.post("mercy", consent).status_code == 201
    normal = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}
    entries = [
        {"resource": {**plan, "id": id, "meta": {"security": [normal]}}} for id in ("quiet", "loud")
    ]
    content = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    found = card(place, "mercy", hook(content=content))
    assert found["summary"] == "CONSENT_PERMIT"
    kept = found["extension"]["content"]["entry"]
    assert [entry["resource"]["id"] for entry in kept] == ["loud"]


@pytest.mark.parametrize("body", [b"[]", {"hook": "other"}, hook(patientId=[]), hook(content=3)])
def test_a_bad_call_is_an_operation_outcome(place: Town, body: Any) -> None:
    """What is wrong with a call is told with its path."""
    response = place.send("mercy", "POST", "/cds-services/patient-consent-consult", body)
    assert response.status_code in (400, 422)
    assert response.json()["resourceType"] == "OperationOutcome"


def test_a_call_is_on_record(place: Town) -> None:
    """Every consult is in the ledger with who asked."""
    card(place, "mercy", hook())
    assert [one["actor"] for one in asked_records(place)] == ["mercy"]
