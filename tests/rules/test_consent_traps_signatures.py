"""Traps of signature, grantor and scope: each test says what leaks or is lost if it fails."""

from __future__ import annotations

from typing import Any

import pytest
from consent_forms import (
    CHILD,
    ask,
    consent,
    person,
    purposes,
    told,
)

# signature


def test_consent_trap_signed_after_the_outreach() -> None:
    """A form signed afterwards must not make good an outreach that had no consent."""
    late = consent(dateTime="2026-05-01T10:00:01Z")
    assert ask(late).code == "consent-unsigned"
    early = consent(dateTime="2026-05-01T09:00:00Z")
    assert told(early, sent="2026-05-01T08:00:00Z") == "no-consent"
    assert told(early) == "permit"


@pytest.mark.parametrize(("date", "verdict"), [("2026-05-01", "permit"), ("2026", "no-consent")])
def test_consent_trap_vague_date_of_signing(date: str, verdict: str) -> None:
    """A date of only a year does not show that the form came before the outreach."""
    assert told(consent(dateTime=date)) == verdict


def test_consent_trap_undated_and_unsigned_forms() -> None:
    """A form without date or without any evidence of signature is no consent."""
    assert told(consent(dateTime=None)) == "no-consent"
    bare = consent(sourceReference=None)
    assert ask(bare).code == "consent-unsigned"
    assert told(bare, policy={"signature": "when-stated"}) == "permit"
    titled = consent(sourceReference=None, sourceAttachment={"title": "The form"})
    assert told(titled) == "no-consent"
    seen = consent(sourceReference=None, verification=[{"verified": True}])
    assert told(seen) == "permit"


def test_consent_trap_verification_against() -> None:
    """A form that the member would not confirm must not permit, even where evidence is optional."""
    form = consent(verification=[{"verified": False}])
    assert told(form, policy={"signature": "when-stated"}) == "no-consent"


def test_consent_trap_provenance_signature() -> None:
    """A signed Provenance is evidence for the consent that it targets, for no other."""
    form = consent(sourceReference=None)
    proof = {
        "resourceType": "Provenance",
        "target": [{"reference": "Consent/c1"}],
        "signature": [{"who": {"reference": "Patient/1"}, "data": "aGk="}],
    }
    assert told(form, supporting=[proof]) == "permit"
    astray = {**proof, "target": [{"reference": "Consent/c9"}]}
    assert told(form, supporting=[astray]) == "no-consent"


def test_consent_trap_form_entered_in_error() -> None:
    """A form that was filed by mistake is no evidence."""
    form = {"resourceType": "DocumentReference", "id": "form", "status": "entered-in-error"}
    assert told(consent(), supporting=[form]) == "no-consent"


def test_consent_trap_two_undated_forms_cannot_be_ordered() -> None:
    """Of two forms of one kind without date nobody knows which replaced which."""
    policy = {"signature": "ignored"}
    first, second = consent(dateTime=None), consent(id="c3", dateTime=None)
    assert told(first, policy=policy) == "permit"
    assert told(first, second, policy=policy) == "deny"


# grantor


def test_consent_trap_signed_by_a_stranger() -> None:
    """A form signed by the doctor or a neighbour is not the member's."""
    assert ask(consent(performer=[{"reference": "Practitioner/dr"}])).code == "consent-grantor"
    assert told(consent(performer=None)) == "no-consent"
    assert told(consent(performer=None), policy={"grantor": "ignored"}) == "permit"


MUM = [{"reference": "RelatedPerson/mum"}]


@pytest.mark.parametrize(
    ("related", "verdict"),
    [
        (person("GUARD"), "permit"),
        (person("MTH"), "permit"),
        (person("HPOWATT"), "permit"),
        (person("STPPRN"), "no-consent"),
        (person("SIS"), "no-consent"),
        (person("GUARD", patient={"reference": "Patient/2"}), "no-consent"),
        (person("GUARD", period={"end": "2025-12-31"}), "no-consent"),
        (person("GUARD", active=False), "no-consent"),
    ],
)
def test_consent_trap_authority_of_the_signer(related: dict[str, Any], verdict: str) -> None:
    """Someone related without authority, or whose authority had ended, cannot consent."""
    assert told(consent(performer=MUM), supporting=[CHILD, related]) == verdict


def test_consent_trap_majority_ends_a_guardians_consent() -> None:
    """A parent's signature must stop counting on the day the child comes of age."""
    form = consent(performer=MUM)
    supporting = [CHILD, person("GUARD")]
    assert told(form, supporting=supporting, at="2028-05-01T23:59:59Z") == "permit"
    assert told(form, supporting=supporting, at="2028-05-02T00:00:00Z") == "no-consent"
    older = {"majority_age": 21}
    assert told(form, supporting=supporting, at="2028-05-02T00:00:00Z", policy=older) == "permit"


def test_consent_trap_parent_of_an_adult() -> None:
    """A mother cannot consent for a grown son; nor where nobody knows his age."""
    form = consent(performer=MUM)
    adult = {**CHILD, "birthDate": "1990-01-01"}
    assert told(form, supporting=[adult, person("MTH")]) == "no-consent"
    assert told(form, supporting=[person("MTH")]) == "no-consent"


# scope and kind


def test_consent_trap_consent_to_treatment_is_no_consent_to_tell() -> None:
    """Agreeing to an operation, or an advance directive, does not let anyone send records."""
    for code in ("treatment", "adr", "research"):
        scope = {"coding": [{"code": code}]}
        assert told(consent(scope=scope)) == "no-consent"
    scope = {"coding": [{"code": "research"}]}
    assert told(consent(scope=scope), purpose=purposes("BIORCH")) == "permit"


@pytest.mark.parametrize(
    ("signed", "at", "verdict"),
    [
        ("2025-06-01", "2025-12-31T23:59:59Z", "permit"),
        ("2025-06-01", "2026-01-01T00:00:00Z", "no-consent"),
        ("2026-03-01", "2026-06-01T00:00:00Z", "no-consent"),
        ("2026-03-01", "2027-06-01T00:00:00Z", "no-consent"),
        ("2027-01-01", "2027-06-01T00:00:00Z", "permit"),
    ],
)
def test_consent_trap_age_known_by_the_year_only(signed: str, at: str, verdict: str) -> None:
    """A guardian's signature in the year in which a child comes of age may be a child's still."""
    form = consent(performer=MUM, dateTime=signed)
    child = {**CHILD, "birthDate": "2008"}
    assert told(form, supporting=[child, person("GUARD")], at=at) == verdict
