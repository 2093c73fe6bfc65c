"""CDS Hooks patient-consent-consult: clients of other consent services are understood."""

from __future__ import annotations

from typing import Any

import pytest

from engine.rules.consent import decide
from engine.rules.consent_consult import HOOK, Call, answer, discovery, read_call
from engine.rules.sensitivity import read_table

AT = "2026-05-01T10:00:00Z"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
MRN = {"system": "http://mrn.example", "value": "A1"}
NPI = {"system": "http://hl7.org/fhir/sid/us-npi", "value": "2"}
SERVICE = {"label": "Carelane", "url": "https://hub.example/fhir"}


def call(**context: Any) -> dict[str, Any]:
    return {
        "hook": HOOK,
        "hookInstance": "1",
        "context": {"patientId": [MRN], "actor": [NPI], "purposeOfUse": ["TREAT"], **context},
    }


def understood(body: dict[str, Any]) -> Call:
    found = read_call(body)
    assert isinstance(found, Call), found
    return found


def consent(**provision: Any) -> dict[str, Any]:
    scope = "http://terminology.hl7.org/CodeSystem/consentscope"
    return {
        "resourceType": "Consent",
        "id": "k",
        "status": "active",
        "scope": {"coding": [{"system": scope, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"identifier": MRN},
        "dateTime": "2026-01-01",
        "performer": [{"identifier": MRN, "type": "Patient"}],
        "sourceReference": {"reference": "DocumentReference/form"},
        "provision": {"type": "permit", **provision},
    }


def card(body: dict[str, Any], *consents: dict[str, Any]) -> dict[str, Any]:
    asked = understood(body)
    decision = decide(
        asked.request, consents, at=AT, policy={"signature": "ignored", "grantor": "ignored"}
    )
    table, _ = read_table()
    found = answer(decision, asked, table=table, **SERVICE)
    assert len(found["cards"]) == 1
    return found["cards"][0]


def test_the_service_is_discovered() -> None:
    """The discovery document names the hook, an id and a description."""
    (service,) = discovery()["services"]
    assert service["id"] == service["hook"] == "patient-consent-consult"
    assert service["title"]
    assert service["description"]


@pytest.mark.parametrize(
    "context",
    [
        {"patientId": MRN, "actor": NPI, "purposeOfUse": "TREAT", "scope": "patient-privacy"},
        {"patientId": [MRN], "actor": [NPI], "purposeOfUse": ["TREAT"]},
    ],
)
def test_old_and_new_clients_ask_the_same(context: dict[str, Any]) -> None:
    """Identifiers and purposes are read alone or in a list."""
    request = understood(call(**context)).request
    assert request["patient"] == {"identifier": [MRN]}
    assert request["recipient"] == [{"identifier": [NPI]}]
    assert [one["code"] for one in request["purpose"]] == ["TREAT"]
    assert request["action"] == "disclose"


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ([], [None]),
        ({}, ["hook", "hookInstance", "context"]),
        ({"hook": HOOK, "hookInstance": "1", "context": {}}, ["context.patientId"]),
        (call(patientId=[{"system": "s", "code": "c"}]), ["context.patientId"]),
        (call(actor=[{}]), ["context.actor"]),
        (call(purposeOfUse=[1]), ["context.purposeOfUse"]),
        (call(scope=["x"]), ["context.scope"]),
        (call(category=["x"], **{"class": [{}]}), ["context.category", "context.class"]),
        (call(content={"resourceType": "Bundle", "entry": [{}]}), ["context.content"]),
        (call(content={"resourceType": "Patient"}), ["context.content"]),
    ],
)
def test_a_call_that_is_not_understood_is_refused(body: Any, paths: list[str | None]) -> None:
    """Every part that is missing or has another form is named by its path."""
    found = read_call(body)
    assert isinstance(found, list)
    assert [problem.path for problem in found] == paths


def test_a_permit_is_an_info_card() -> None:
    """A permit says CONSENT_PERMIT and what it is based on."""
    found = card(call(), consent())
    assert found["summary"] == "CONSENT_PERMIT"
    assert found["indicator"] == "info"
    assert found["source"] == SERVICE
    assert found["extension"] == {
        "decision": "CONSENT_PERMIT",
        "obligations": [],
        "basedOn": "https://hub.example/fhir/Consent/k",
    }


def test_no_consent_and_deny_are_told_apart() -> None:
    """Without consent the card warns, with a deny it is critical."""
    assert (card(call())["summary"], card(call())["indicator"]) == ("NO_CONSENT", "warning")
    denied = card(call(), consent(type="deny"))
    assert (denied["summary"], denied["indicator"]) == ("CONSENT_DENY", "critical")


def test_obligations_are_said_in_codes_that_need_no_hierarchy() -> None:
    """A denied label becomes REDACT with every code that it reaches."""
    deny = {"type": "deny", "securityLabel": [{"system": ACT_CODE, "code": "SUD"}]}
    (found,) = card(call(), consent(provision=[deny]))["extension"]["obligations"]
    assert found["id"] == {"system": ACT_CODE, "code": "REDACT"}
    assert {one["code"] for one in found["parameters"]["codes"]} == {"SUD", "ETHUD", "OPIOIDUD"}
    only = consent(securityLabel=[{"system": CONFIDENTIALITY, "code": "N"}])
    (found,) = card(call(), only)["extension"]["obligations"]
    codes = [one["code"] for one in found["parameters"]["exceptAnyOfCodes"]]
    assert codes == ["N", "M", "L", "U"]


def test_an_obligation_that_codes_cannot_say_denies() -> None:
    """A caller who could not keep to an obligation is not permitted, unless we redact for them."""
    old = consent(dataPeriod={"start": "2020", "end": "2020"})
    assert card(call(), old)["summary"] == "CONSENT_DENY"
    entry = {
        "resource": {
            "resourceType": "Condition",
            "id": "c",
            "subject": {"identifier": MRN},
            "recordedDate": "2020-05-01",
        }
    }
    later = {"resource": {**entry["resource"], "id": "d", "recordedDate": "2021-05-01"}}
    bundle = {"resourceType": "Bundle", "type": "collection", "total": 2, "entry": [entry, later]}
    found = card(call(content=bundle), old)
    assert found["summary"] == "CONSENT_PERMIT"
    assert found["extension"]["content"]["entry"] == [entry]
    assert found["extension"]["content"]["total"] == 1


def test_content_is_returned_redacted() -> None:
    """Of the content that is sent along, only what the consent permits comes back."""
    deny = {"type": "deny", "securityLabel": [{"system": ACT_CODE, "code": "HIV"}]}
    icd = "http://hl7.org/fhir/sid/icd-10-cm"
    entries = [
        {
            "resource": {
                "resourceType": "Condition",
                "id": code,
                "code": {"coding": [{"system": icd, "code": code}]},
            }
        }
        for code in ("B20", "E11.9")
    ]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    found = card(call(content=bundle), consent(provision=[deny]))
    assert [one["resource"]["id"] for one in found["extension"]["content"]["entry"]] == ["E11.9"]
