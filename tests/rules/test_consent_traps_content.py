"""Traps of purposes and labels: each test says what leaks or is lost if it fails."""

from __future__ import annotations

import pytest
from consent_forms import (
    ask,
    consent,
    levels,
    purposes,
    sensitive,
    told,
)

# purposes


def test_consent_trap_purpose_children_follow() -> None:
    """Without the tree, care coordination under a treatment consent would be refused."""
    assert told(consent({"type": "permit", "purpose": purposes("TREAT")})) == "permit"
    assert told(consent({"type": "permit", "purpose": purposes("HOPERAT")})) == "no-consent"


@pytest.mark.parametrize("code", ["BTG", "ETREAT", "ERTREAT"])
def test_consent_trap_emergency_never_follows_from_treatment(code: str) -> None:
    """Break-glass under an ordinary treatment permit opens every record to whoever says it."""
    form = consent({"type": "permit", "purpose": purposes("TREAT", "PurposeOfUse")})
    assert told(form, purpose=purposes(code)) == "no-consent"


def test_consent_trap_parent_does_not_follow_from_child() -> None:
    """A permit for one kind of research must not permit all research."""
    form = consent({"type": "permit", "purpose": purposes("BIORCH")})
    assert told(form, purpose=purposes("HRESCH")) == "no-consent"


def test_consent_trap_several_purposes_all_or_none() -> None:
    """Adding a permitted purpose to a forbidden one must not carry it through."""
    form = consent({"type": "permit", "purpose": purposes("TREAT")})
    both = purposes("TREAT", "HMARKT")
    assert told(form, purpose=both) == "no-consent"
    assert told(form, purpose=both, policy={"several_purposes": "any"}) == "permit"
    never = consent({"type": "permit", "provision": [{"purpose": purposes("HMARKT")}]})
    assert told(never, purpose=both, policy={"several_purposes": "any"}) == "deny"


def test_consent_trap_no_purpose_asked() -> None:
    """A sender that says no purpose would get round every limit on purposes."""
    form = consent({"type": "permit", "purpose": purposes("TREAT")})
    assert told(form, purpose=None) == "no-consent"
    assert told(form, purpose=None, policy={"absent_purpose": "match"}) == "permit"
    never = consent({"type": "permit", "provision": [{"purpose": purposes("HMARKT")}]})
    assert told(never, purpose=None) == "deny"


def test_consent_trap_purpose_of_another_system() -> None:
    """A local code TREAT that means something else must not count as treatment."""
    form = consent({"type": "permit", "purpose": [{"system": "urn:local", "code": "COC"}]})
    assert told(form) == "no-consent"


# labels


def test_consent_trap_permit_reaches_down_deny_reaches_up() -> None:
    """A deny at R that stops at R discloses the very restricted, V."""
    permit = consent({"type": "permit", "securityLabel": levels("R")})
    deny = consent({"type": "permit", "provision": [{"securityLabel": levels("R")}]})
    assert [told(permit, securityLabel=levels(one)) for one in "VRNL"] == [
        *["no-consent"],
        *["permit"] * 3,
    ]
    assert [told(deny, securityLabel=levels(one)) for one in "VRNL"] == [
        *["deny"] * 2,
        *["permit"] * 2,
    ]


def test_consent_trap_highest_label_of_content_counts() -> None:
    """Content labelled both N and R must not pass as N."""
    form = consent({"type": "permit", "securityLabel": levels("N")})
    assert told(form, securityLabel=levels("N", "R")) == "no-consent"


@pytest.mark.parametrize("code", ["ETHUD", "OPIOIDUD", "SUD"])
def test_consent_trap_sensitivity_hierarchy(code: str) -> None:
    """A deny of substance use that misses opioid use disorder discloses it."""
    form = consent({"type": "permit", "provision": [{"securityLabel": sensitive("SUD")}]})
    assert told(form, securityLabel=sensitive(code)) == "deny"


def test_consent_trap_sensitivity_without_level_under_a_level_rule() -> None:
    """Content that has only a sensitivity has no level: under a rule about levels it stays."""
    form = consent({"type": "permit", "securityLabel": levels("N")})
    assert told(form, securityLabel=sensitive("HIV")) == "no-consent"
    assert told(form, securityLabel=sensitive("HIV"), policy={"unlabelled": "pass"}) == "permit"


def test_consent_trap_labels_left_to_the_content() -> None:
    """Where the request names no content, the rule must travel along, not be forgotten."""
    form = consent(
        {
            "type": "permit",
            "securityLabel": levels("N"),
            "provision": [{"type": "deny", "securityLabel": sensitive("HIV")}],
        }
    )
    assert ask(form).obligations == (
        {"type": "permit-only", "match": {"securityLabel": levels("N")}},
        {"type": "redact", "match": {"securityLabel": sensitive("HIV")}},
    )


def test_consent_trap_hrex_regular_is_not_sensitive() -> None:
    """A member who chose "regular" discloses no sensitive information."""
    uri = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html"
    regular, everything = (
        consent(policy=[{"uri": f"{uri}#{one}"}]) for one in ("regular", "sensitive")
    )
    assert told(regular, securityLabel=sensitive("ETHUD")) == "no-consent"
    assert told(regular, securityLabel=levels("R")) == "no-consent"
    assert told(regular, securityLabel=levels("N")) == "permit"
    assert told(everything, securityLabel=sensitive("ETHUD")) == "permit"
    assert [one["type"] for one in ask(regular).obligations] == ["redact"]


def test_consent_trap_part_2_notice_travels() -> None:
    """Substance use records that leave without the notice may be passed on by who gets them."""
    form = consent({"type": "permit", "securityLabel": sensitive("SUD")})
    kinds = [one["type"] for one in ask(form, securityLabel=sensitive("OPIOIDUD")).obligations]
    assert kinds == ["notice", "no-redisclosure"]
