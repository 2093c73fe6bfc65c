"""Messages to redact, the obligations on them, and what is kept."""

from __future__ import annotations

from typing import Any

from engine.rules.consent.policy import Policy
from engine.rules.redact import Redaction
from engine.rules.security_label import ACT_CODE, CONFIDENTIALITY
from engine.rules.sensitivity import SensitivityTable, read_table
from engine.validate import validate

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
TYPES = "http://hl7.org/fhir/resource-types"
PASS = Policy(unlabelled="pass")


def _shipped() -> SensitivityTable:
    table, _ = read_table()
    assert table is not None
    return table


TABLE = _shipped()


def labelled(code: str) -> dict[str, Any]:
    system = CONFIDENTIALITY if code in "ULMNRV" else ACT_CODE
    return {"security": [{"system": system, "code": code}]}


def coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": ICD, "code": code}]}


def condition(name: str, code: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": name,
        "code": coded(code),
        "subject": {"reference": "Patient/1"},
        **more,
    }


def message(*contained: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Communication",
        "id": "m",
        "status": "completed",
        "subject": {"reference": "Patient/1"},
        "sender": {"reference": "Organization/a"},
        "recipient": [{"reference": "Organization/b"}],
        **({"contained": list(contained)} if contained else {}),
        "payload": [{"contentReference": {"reference": f"#{one['id']}"}} for one in contained],
        **more,
    }


def redact(**match: Any) -> dict[str, Any]:
    return {"type": "redact", "match": match}


def permit_only(**match: Any) -> dict[str, Any]:
    return {"type": "permit-only", "match": match}


def label_match(*codes: str) -> list[dict[str, str]]:
    return [labelled(code)["security"][0] for code in codes]


def kept(result: Redaction) -> dict[str, Any]:
    assert result.resource is not None, result
    assert validate(result.resource) == []
    return result.resource


def contained_ids(resource: dict[str, Any]) -> list[str]:
    return [one["id"] for one in resource.get("contained", [])]


def instance(reference: str) -> dict[str, Any]:
    return {"meaning": "instance", "reference": {"reference": reference}}
