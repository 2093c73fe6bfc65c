"""AuditEvents and Provenance: valid FHIR, the shapes of IHE BALP, and nothing of the content."""

from __future__ import annotations

from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from fhir.resources.R4B.provenance import Provenance

from engine.audit_event import (
    DECISION_PROFILE,
    RECIPIENT_PROFILE,
    SOURCE_PROFILE,
    Engine,
    basis_of,
    decision_event,
    disclosure_event,
    provenance,
)
from engine.fhir.json import dumps
from engine.rules.consent.policy import DEFAULT
from engine.rules.decision import Basis, Decision
from engine.validate import validate

AT = "2026-05-01T10:00:00Z"
ENGINE = Engine({"system": "urn:ietf:rfc:3986", "value": "urn:carelane:test"}, "Test hub")
CONSENT = "Consent/c/_history/3"
PATIENT = {
    "reference": "Patient/1",
    "identifier": [{"system": "http://mrn.example", "value": "A1"}],
    "display": "Jane SECRET",
}
SENDER = {"reference": "Organization/a", "display": "SECRET"}
RECIPIENT = {"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}}
COC = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "COC"}
REQUEST = {
    "patient": PATIENT,
    "sender": SENDER,
    "recipient": [{"reference": "Practitioner/p"}, RECIPIENT],
    "purpose": [COC],
    "code": [{"text": "SECRET"}],
}


def decided(verdict: Any = "permit", code: str | None = None) -> Decision:
    basis = Basis(CONSENT, "provision", "permit" if verdict == "permit" else "deny", "SECRET why")
    basis_used = () if verdict == "no-consent" else (basis, basis)
    return Decision(verdict, code, (), basis_used, AT, DEFAULT)


def sound(resource: dict[str, Any], model: Any) -> None:
    assert validate(resource) == []
    model.model_validate(resource)
    assert b"SECRET" not in dumps(resource)


def codes(elements: list[dict[str, Any]], name: str) -> list[str]:
    found = [one[name] for one in elements]
    return [one["coding"][0]["code"] if "coding" in one else one["code"] for one in found]


@pytest.mark.parametrize("side", ["source", "recipient"])
def test_a_disclosure_is_recorded_on_both_sides(side: Any) -> None:
    """The event names source, recipient, custodian, authorizer, the member and what was sent."""
    event = disclosure_event(
        id="e1",
        at=AT,
        engine=ENGINE,
        resource={"reference": "Communication/m/_history/1"},
        patient=PATIENT,
        sender=SENDER,
        recipient=RECIPIENT,
        address="https://user:SECRET@hub.example/fhir?token=SECRET",
        own_address="10.0.0.1",
        purpose=[COC],
        consents=[CONSENT],
        authorizer=PATIENT,
        side=side,
    )
    sound(event, AuditEvent)
    sending = side == "source"
    assert event["meta"]["profile"] == [SOURCE_PROFILE if sending else RECIPIENT_PROFILE]
    assert event["type"]["code"] == ("110106" if sending else "110107")
    assert event["action"] == ("R" if sending else "C")
    assert event["subtype"][0]["code"] == "disclose"
    assert codes(event["agent"], "type") == ["110153", "110152", "159541003", "429577009"]
    ours = event["agent"][0 if sending else 1]
    theirs = event["agent"][1 if sending else 0]
    assert ours["who"] == event["source"]["observer"]
    assert ours["network"] == {"address": "10.0.0.1", "type": "2"}
    assert theirs["network"] == {"address": "https://hub.example/fhir", "type": "5"}
    assert codes(event["entity"], "type") == ["1", "2", "Consent"]
    assert event["entity"][2]["what"]["reference"] == CONSENT
    assert event["outcome"] == "0"


def test_a_failed_disclosure_says_so() -> None:
    """What did not arrive has an outcome of failure."""
    event = disclosure_event(
        id="e1",
        at=AT,
        engine=ENGINE,
        resource={"reference": "Communication/m"},
        patient=PATIENT,
        sender=SENDER,
        recipient=RECIPIENT,
        address="hub.example",
        own_address="engine.example",
        delivered=False,
    )
    sound(event, AuditEvent)
    assert event["outcome"] == "4"
    assert event["agent"][1]["network"] == {"address": "hub.example", "type": "1"}


@pytest.mark.parametrize(
    ("verdict", "code", "outcome", "said"),
    [
        ("permit", None, "0", "permit"),
        ("deny", "consent-denied", "8", "consent-denied"),
        ("no-consent", "consent-missing", "8", "consent-missing"),
    ],
)
def test_each_decision_is_recorded(verdict: str, code: str | None, outcome: str, said: str) -> None:
    """A permit, a deny and a missing consent each leave an event with outcome and code."""
    event = decision_event(
        id="e2",
        engine=ENGINE,
        decision=decided(verdict, code),
        request=REQUEST,
        resource={"reference": "Communication/m"},
        client=SENDER,
        address="mercy.example",
    )
    sound(event, AuditEvent)
    assert (event["outcome"], event["outcomeDesc"]) == (outcome, said)
    assert event["recorded"] == AT
    assert codes(event["agent"], "type") == ["110150", "IRCP", "PROV", "authserver"]
    assert event["agent"][3]["who"] == event["source"]["observer"]
    assert [one["requestor"] for one in event["agent"]] == [False, True, False, False]
    profiles = event.get("meta", {}).get("profile", [])
    assert profiles == ([] if verdict == "no-consent" else [DECISION_PROFILE])
    kinds = codes(event["entity"], "type")
    assert kinds == (["1"] if verdict == "no-consent" else ["1", "Consent"])


def test_a_decision_about_little_is_still_recorded() -> None:
    """A request without recipient, patient or purpose gives a valid event without a profile."""
    event = decision_event(id="e3", engine=ENGINE, decision=decided("deny"), request={})
    sound(event, AuditEvent)
    assert "meta" not in event


def test_what_was_sent_names_its_consent() -> None:
    """Provenance points at what was sent, who sent it for whom, and the Consent it rests on."""
    made = provenance(
        id="p1",
        at=AT,
        engine=ENGINE,
        target={"reference": "Communication/m"},
        sender=SENDER,
        consents=basis_of(decided()),
        source={"reference": "Communication/m/_history/1"},
        policies=["http://example.org/policy"],
        redacted=True,
    )
    sound(made, Provenance)
    assert [one["role"] for one in made["entity"]] == ["source", "revision"]
    assert made["entity"][0]["what"] == {"reference": CONSENT}
    assert made["agent"][0]["onBehalfOf"] == {"reference": "Organization/a"}
    sound(provenance(id="p", at=AT, engine=ENGINE, target=PATIENT, sender=SENDER), Provenance)
