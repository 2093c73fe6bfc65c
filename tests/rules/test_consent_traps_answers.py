"""Traps of questions and answers: each test says what leaks or is lost if it fails."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, cast

from consent_forms import (
    PLAN,
    REASON,
    actor,
    ask,
    consent,
    levels,
    other,
    purposes,
    sensitive,
    told,
)

from engine.rules.consent import compile_consent

# what the sender learns


def test_consent_trap_sender_learns_only_a_code() -> None:
    """A refusal that names the label tells the sender what the member hides."""
    form = consent({"type": "permit", "provision": [{"securityLabel": sensitive("HIV")}]})
    text = ask(form, securityLabel=sensitive("HIV")).diagnostic().text()
    assert text.startswith("consent-denied: ")
    assert "HIV" not in text


# shapes


def test_consent_trap_shapes_of_a_request() -> None:
    """A shape that is not understood must not drop a criterion in silence: all mean the same."""
    form = consent(
        {"type": "permit", "purpose": purposes("TREAT"), "actor": [actor(PLAN)]},
        patient={"reference": "Patient/1", "identifier": {"system": "urn:mrn", "value": "A"}},
    )
    for changes in (
        {"purpose": "TREAT"},
        {"purpose": {"code": "TREAT"}},
        {"purpose": [f"{REASON}#TREAT"]},
        {"purpose": f"{REASON}|TREAT"},
        {"purpose": {"coding": purposes("TREAT")}},
        {"recipient": PLAN},
        {"recipient": "Organization/plan"},
        {"recipient": None, "actor": PLAN},
        {"patient": "Patient/1"},
        {"patient": {"identifier": {"system": "urn:mrn", "value": "A"}}},
        {"action": "disclose"},
    ):
        assert told(form, **changes) == "permit", changes
    assert told({"resourceType": "Bundle", "entry": [{"resource": form}]}) == "permit"
    assert told([form]) == "permit"


def test_consent_trap_arguments_are_not_changed() -> None:
    """A decision that alters a consent would change the next one."""
    form = consent({"type": "permit", "securityLabel": levels("N")})
    before = copy.deepcopy(form)
    ask(form)
    assert form == before


def test_consent_trap_answer_has_its_shape() -> None:
    """A caller that reads a missing key as "no obligations" would send everything."""
    answer = ask(consent()).to_json()
    assert list(answer) == [
        *["decision", "obligations", "basis", "considered", "code", "policy", "at"]
    ]
    assert answer["basis"] == [
        {
            "consent": "Consent/c1",
            "provision": "provision",
            "effect": "permit",
            "why": "it permits everything",
        }
    ]


def test_a_consent_that_cannot_be_evaluated_stops_what_another_permits() -> None:
    """Nobody knows what it would have held back: a rule that crashes denies."""
    broken = replace(compile_consent(other({"type": "deny"})), roots=(cast(Any, None),))
    assert told(consent()) == "permit"
    for consents in ([compile_consent(consent()), broken], [broken, compile_consent(consent())]):
        found = ask(*consents)
        assert (found.decision, found.code) == ("deny", "consent-unclear")
