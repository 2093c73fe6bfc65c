"""What validating a resource costs, against decoding the same bytes (budget: at most 3x)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from engine.fhir.json import dumps, loads
from engine.validate import validate

Row = dict[str, Any]

REPETITIONS = 4
ROUNDS = 41
VARIANTS = 40


def run() -> list[Row]:
    """Return one row per type: the median ratio of validating to decoding with orjson.

    Each round takes both sides in turn over documents that differ in their ids, dates and texts.
    Codes, systems and days were seen before, as in a running engine. The time is that of the
    thread, so that other work on the machine does not count.
    """
    return [_row(name, make) for name, make in TYPES.items()]


def _row(name: str, make: Callable[[int], Row]) -> Row:
    bodies = [dumps(make(number)) for number in range(VARIANTS)]
    trees = [loads(body) for body in bodies]
    for body, tree in zip(bodies, trees, strict=True):
        assert dumps(tree) == body
        assert validate(tree) == []
        assert validate({**tree, "status": "bogus"}) != []
    ratios = list(_ratios(bodies, trees))
    return {
        "name": f"validate.{name}",
        "ratio": round(statistics.median(ratios), 2),
        "against": f"orjson.loads of the same {len(bodies[0])} bytes",
        "target": 3.0,
        "better": "lower",
    }


def _ratios(bodies: list[bytes], trees: list[Row]) -> Iterator[float]:
    for _ in range(ROUNDS):
        decoding = _seconds(orjson.loads, bodies)
        validating = _seconds(validate, trees)
        yield validating / decoding


def _seconds(work: Callable[[Any], Any], items: list[Any]) -> float:
    start = time.thread_time()
    for _ in range(REPETITIONS):
        for item in items:
            work(item)
    return time.thread_time() - start


def _concept(code: str, display: str, system: str = "http://snomed.info/sct") -> Row:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def _reference(kind: str, number: int) -> Row:
    return {"reference": f"{kind}/{number}", "display": f"{kind} number {number}"}


def _moment(number: int) -> str:
    return f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:15:00+02:00"


def _head(kind: str, number: int) -> Row:
    return {
        "resourceType": kind,
        "id": f"{kind.lower()}-{number}",
        "meta": {"versionId": str(number), "lastUpdated": _moment(number)},
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{kind} {number}</p></div>',
        },
        "identifier": [{"system": "http://mercy.example/ids", "value": f"{kind}-{number}"}],
    }


def care_team(number: int) -> Row:
    """Return a CareTeam of four participants."""
    members = ("Practitioner", "PractitionerRole", "RelatedPerson", "Patient")
    return {
        **_head("CareTeam", number),
        "status": "active",
        "name": f"Team of member {number}",
        "category": [_concept("LA27976-2", "Longitudinal", "http://loinc.org")],
        "subject": _reference("Patient", number),
        "period": {"start": _moment(number)},
        "participant": [
            {
                "role": [_concept("446050000", "Primary care physician")],
                "member": _reference(member, number + index),
                "period": {"start": _moment(number + index)},
            }
            for index, member in enumerate(members)
        ],
        "managingOrganization": [_reference("Organization", number)],
    }


def care_plan(number: int) -> Row:
    """Return a CarePlan of twenty activities."""
    return {
        **_head("CarePlan", number),
        "status": "active",
        "intent": "plan",
        "category": [_concept("assess-plan", "Assessment and plan")],
        "title": f"Plan {number}",
        "subject": _reference("Patient", number),
        "period": {"start": "2026-01-01", "end": "2026-12-31"},
        "careTeam": [_reference("CareTeam", number)],
        "activity": [_activity(number, index) for index in range(20)],
    }


def _activity(number: int, index: int) -> Row:
    return {
        "detail": {
            "kind": "ServiceRequest",
            "code": _concept("228557008", f"Cognitive and behavioral therapy {index}"),
            "status": "in-progress",
            "doNotPerform": False,
            "scheduledPeriod": {"start": _moment(number + index)},
            "performer": [_reference("Practitioner", number + index)],
            "quantity": {
                "value": index,
                "unit": "session",
                "system": "http://unitsofmeasure.org",
                "code": "{session}",
            },
            "description": f"Session {index} of member {number}, weekly, in the school",
        }
    }


def consent(number: int) -> Row:
    """Return a Consent with one nested provision."""
    reason = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
    return {
        **_head("Consent", number),
        "status": "active",
        "scope": _concept("patient-privacy", "Privacy Consent"),
        "category": [_concept("IDSCL", "Information disclosure")],
        "patient": _reference("Patient", number),
        "dateTime": _moment(number),
        "performer": [_reference("Patient", number)],
        "organization": [_reference("Organization", number)],
        "policyRule": _concept("OPTIN", "Opt in"),
        "provision": {
            "type": "permit",
            "period": {"start": "2026-01-01", "end": "2026-12-31"},
            "actor": [
                {"role": _concept("PRCP", "Recipient"), "reference": _reference("Organization", 2)}
            ],
            "purpose": [{"system": reason, "code": "COC"}, {"system": reason, "code": "TREAT"}],
            "provision": [{"type": "deny", "securityLabel": [{"system": reason, "code": "PSY"}]}],
        },
    }


def communication(number: int) -> Row:
    """Return a small Communication."""
    return {
        **_head("Communication", number),
        "status": "completed",
        "category": [_concept("notification", "Notification")],
        "subject": _reference("Patient", number),
        "sent": _moment(number),
        "sender": _reference("Organization", number),
        "recipient": [_reference("PractitionerRole", number)],
        "payload": [{"contentString": f"The plan of member {number} has changed."}],
    }


TYPES: dict[str, Callable[[int], Row]] = {
    "careteam": care_team,
    "careplan": care_plan,
    "consent": consent,
    "communication": communication,
}

if __name__ == "__main__":
    for row in run():
        print(row)
