"""What the engine writes for the acting system's own people: by which codes it is known again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.rules.consent.codings import mappings

OUTREACH = "https://carelane.example/fhir/CodeSystem/outreach"
"""The code system of calls and meetings."""

DESK = "https://carelane.example/fhir/CodeSystem/task"
"""The code system of Tasks about findings."""

FOLLOW_UP = "https://carelane.example/fhir/CodeSystem/records-request-status"
"""The code system of Tasks about records that are overdue, and of a request's own states."""

FINDING = "https://carelane.example/fhir/CodeSystem/finding"
"""The code system of findings."""

TYPES: Mapping[str, frozenset[str]] = {
    "Task": frozenset({OUTREACH, DESK, FOLLOW_UP}),
    "DetectedIssue": frozenset({FINDING}),
}
"""By type, the code systems that mark what the engine wrote."""


def is_own_work(resource: Mapping[str, Any]) -> bool:
    """Tell whether a resource is coded as work that the engine writes for people."""
    systems = TYPES.get(str(resource.get("resourceType")), frozenset())
    code = resource.get("code")
    codings = mappings(code.get("coding")) if isinstance(code, Mapping) else ()
    return any(coding.get("system") in systems for coding in codings)
