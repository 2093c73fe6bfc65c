"""R5 consents decided in canonical: who permits in R5 permits, who denies denies, never wider."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shipped_adapters import shipped_adapters

from engine.rules.consent import decide
from engine.transform.adapter import Adapter

Tree = dict[str, Any]
MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
RECIPIENT = {"coding": [{"system": f"{TERMINOLOGY}v3-ParticipationType", "code": "IRCP"}]}
REQUEST = {
    "patient": {"reference": "Patient/1"},
    "sender": {"reference": "Organization/4"},
    "recipient": [{"reference": "Organization/5"}],
    "purpose": [{"system": f"{TERMINOLOGY}v3-ActReason", "code": "COC"}],
    "action": "disclose",
}
CONSENT = {
    "resourceType": "Consent",
    "id": "c",
    "status": "active",
    "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
    "subject": {"reference": "Patient/1"},
    "date": "2026-01-01",
    "grantor": [{"reference": "Patient/1"}],
}
READER = {"language": "text/cql", "expression": "x"}


def _adapter() -> Adapter:
    return shipped_adapters().mapped["r5", "Consent"]


def _to(organization: int, **more: Any) -> Tree:
    reference = {"reference": f"Organization/{organization}"}
    return {"actor": [{"role": RECIPIENT, "reference": reference}], **more}


CASES = [
    ("permit for the recipient", "permit", {"provision": [_to(5)]}, "permit"),
    ("permit for another", "permit", {"provision": [_to(6)]}, "no-consent"),
    ("deny for the recipient", "deny", {"provision": [_to(5)]}, "deny"),
    ("permit for two, one is the recipient", "permit", {"provision": [_to(6), _to(5)]}, "permit"),
    ("permit for two others", "permit", {"provision": [_to(6), _to(7)]}, "deny"),
    ("deny for two, one is the recipient", "deny", {"provision": [_to(5), _to(7)]}, "deny"),
    ("permit but for the recipient", "permit", {"provision": [{"provision": [_to(5)]}]}, "deny"),
    ("permit but for another", "permit", {"provision": [{"provision": [_to(6)]}]}, "permit"),
    ("deny but for the recipient", "deny", {"provision": [{"provision": [_to(5)]}]}, "permit"),
    ("a criterion R4 lacks, permit", "permit", {"provision": [_to(5, expression=READER)]}, "deny"),
    ("a criterion R4 lacks, deny", "deny", {"provision": [_to(5, expression=READER)]}, "deny"),
    ("status unknown", "permit", {"status": "unknown", "provision": [_to(5)]}, "no-consent"),
    ("recorded refusal", "permit", {"status": "not-done", "provision": [_to(5)]}, "deny"),
    ("scope not told", "permit", {"category": [{"text": "x"}], "provision": [_to(5)]}, "deny"),
]


@pytest.mark.parametrize(
    ("decision", "more", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_an_r5_consent_decides_as_it_says(decision: str, more: Tree, expected: str) -> None:
    """The decision on an R5 consent is what R5 says, or stricter where R4 cannot say it."""
    canonical = _adapter().to_canonical({**CONSENT, "decision": decision, **more}).resource
    assert canonical is not None
    found = decide(REQUEST, [canonical], at="2026-05-01T10:00:00Z", policy={"signature": "ignored"})
    assert found.decision == expected
