"""Measure one consent decision over a member's ten consents against validating one Consent."""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from fhir.resources.R4B.consent import Consent

from engine.rules.consent import Policy, compile_consent, decide

AT = "2026-05-01T10:00:00Z"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
LEVEL = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ROUNDS = 400
REQUEST = {
    "patient": {"reference": "Patient/1"},
    "sender": {"reference": "Organization/hospital"},
    "recipient": [{"reference": "Organization/plan"}],
    "purpose": [{"system": REASON, "code": "COC"}],
}


def _actor(role: str, name: str) -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
    coding = {"system": system, "code": role}
    return {"role": {"coding": [coding]}, "reference": {"reference": name}}


def consent(number: int) -> dict[str, Any]:
    """Return a signed consent with nested provisions, of a policy of its own."""
    nested = [
        {"type": "deny", "securityLabel": [{"system": LEVEL, "code": "R"}]},
        {
            "type": "deny",
            "purpose": [{"system": REASON, "code": "HMARKT"}],
            "provision": [{"type": "permit", "actor": [_actor("IRCP", "Organization/press")]}],
        },
    ]
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope"}
    return {
        "resourceType": "Consent",
        "id": f"c{number}",
        "status": "active",
        "scope": {"coding": [{**scope, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/1"},
        "dateTime": "2026-01-01T09:00:00Z",
        "performer": [{"reference": "Patient/1"}],
        "sourceReference": {"reference": "DocumentReference/form"},
        "policy": [{"uri": f"http://example.org/policy/{number}"}],
        "provision": {
            "type": "permit",
            "period": {"start": "2026-01-01", "end": "2026-12-31"},
            "actor": [_actor("IRCP", f"Organization/{'plan' if number % 2 else 'other'}")],
            "purpose": [{"system": REASON, "code": "TREAT"}],
            "provision": nested,
        },
    }


def run() -> list[dict[str, Any]]:
    """Return the ratio of one decision to one `model_validate` of one of its consents."""
    resources = [consent(number) for number in range(10)]
    compiled = [compile_consent(resource) for resource in resources]
    policy = Policy()

    def ours() -> None:
        decide(REQUEST, compiled, at=AT, policy=policy)

    def theirs() -> None:
        Consent.model_validate(resources[0])

    said = decide(REQUEST, compiled, at=AT, policy=policy)
    again = decide(REQUEST, resources, at=AT, policy=policy)
    assert said.to_json() == again.to_json(), "compiled and plain consents must decide alike"
    assert said.permitted, "the consents must permit, or nothing is walked to its end"
    mine, other = _medians(ours, theirs)
    return [
        {
            "name": "consent.decide",
            "ratio": round(mine / other, 3),
            "against": "fhir.resources R4B model_validate of one of the ten consents",
            "target": 0.5,
            "better": "lower",
            "microseconds": round(mine * 1e6, 1),
            "bytes_per_cached_consent": _size(resources),
        }
    ]


def _medians(*calls: Callable[[], None]) -> list[float]:
    """Return the median of each call in seconds, taken by turns so that load hits all alike."""
    taken: list[list[float]] = [[] for _ in calls]
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for call, times in zip(calls, taken, strict=True):
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
    finally:
        gc.enable()
    return [sorted(times)[len(times) // 2] for times in taken]


def _size(resources: list[dict[str, Any]]) -> int:
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [compile_consent(resource) for resource in resources]
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) // len(kept)


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
