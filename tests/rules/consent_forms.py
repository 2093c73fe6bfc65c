"""Consents as members fill them in, and a question asked of them."""

from __future__ import annotations

from typing import Any

from engine.rules.consent import decide
from engine.rules.decision import Decision

REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
LEVEL = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
AT = "2026-05-01T10:00:00Z"
PLAN = {"reference": "Organization/plan"}
HOSPITAL = {"reference": "Organization/hospital"}


def purposes(*codes: str) -> list[dict[str, str]]:
    return [{"system": REASON, "code": code} for code in codes]


def levels(*codes: str) -> list[dict[str, str]]:
    return [{"system": LEVEL, "code": code} for code in codes]


def sensitive(*codes: str) -> list[dict[str, str]]:
    return [{"system": ACT, "code": code} for code in codes]


def actor(reference: Any, code: str = "IRCP") -> dict[str, Any]:
    reference = {"reference": reference} if isinstance(reference, str) else reference
    return {"role": {"coding": [{"code": code}]}, "reference": reference}


def consent(provision: Any = None, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/1"},
        "dateTime": "2026-01-01T09:00:00Z",
        "performer": [{"reference": "Patient/1"}],
        "sourceReference": {"reference": "DocumentReference/form"},
        "policy": [{"uri": "http://example.org/policy"}],
        "provision": {"type": "permit"} if provision is None else provision,
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def other(provision: Any = None, **changes: Any) -> dict[str, Any]:
    """Return a consent of another kind, so that neither replaces the other."""
    return consent(
        provision, **{"id": "c2", "policy": [{"uri": "http://example.org/other"}], **changes}
    )


def ask(
    *consents: Any, supporting: Any = (), at: str = AT, policy: Any = None, **changes: Any
) -> Decision:
    request: dict[str, Any] = {
        "patient": {"reference": "Patient/1"},
        "sender": HOSPITAL,
        "recipient": [PLAN],
        "purpose": purposes("COC"),
    }
    request = {key: value for key, value in {**request, **changes}.items() if value is not None}
    return decide(request, consents, supporting, at=at, policy=policy)


def told(*consents: Any, **changes: Any) -> str:
    return ask(*consents, **changes).decision


def r5(provision: Any = None, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "Consent",
        "id": "r5",
        "status": "active",
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "subject": {"reference": "Patient/1"},
        "date": "2026-01-01",
        "grantor": [{"reference": "Patient/1"}],
        "sourceReference": [{"reference": "DocumentReference/form"}],
        "decision": "permit",
    }
    if provision is not None:
        made["provision"] = provision
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def person(code: str, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "RelatedPerson",
        "id": "mum",
        "patient": {"reference": "Patient/1"},
        "relationship": [{"coding": [{"code": code}]}],
        **changes,
    }


CHILD = {"resourceType": "Patient", "id": "1", "birthDate": "2010-05-02"}
