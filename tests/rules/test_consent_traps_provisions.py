"""Traps of provisions, nested or unclear: each test says what leaks or is lost if it fails."""

from __future__ import annotations

from typing import Any

import pytest
from consent_forms import (
    ACT,
    PLAN,
    actor,
    ask,
    consent,
    levels,
    other,
    purposes,
    r5,
    sensitive,
    told,
)

from engine.rules.decision import Decision


def test_consent_trap_ordinary_permit() -> None:
    """Without this every other trap would pass by denying: a plain signed consent permits."""
    assert told(consent()) == "permit"


# the root's type


def test_consent_trap_root_type_counts() -> None:
    """A member's root deny that is ignored, since R4's text forbids a root type, leaks all."""
    assert told(consent({"type": "deny"})) == "deny"


@pytest.mark.parametrize(
    ("code", "verdict"), [("OPTIN", "permit"), ("OPTOUT", "deny"), ("cric", "deny")]
)
def test_consent_trap_root_type_from_policy_rule(code: str, verdict: str) -> None:
    """A form without type and with OPTOUT, or with no base policy at all, must not disclose."""
    rule = {"coding": [{"system": ACT, "code": code}]}
    assert told(consent({"purpose": purposes("TREAT")}, policyRule=rule)) == verdict


def test_consent_trap_root_type_beats_policy_rule() -> None:
    """A deny form on an opt-in policy discloses what the member refused if the rule wins."""
    rule = {"coding": [{"system": ACT, "code": "OPTIN"}]}
    assert told(consent({"type": "deny"}, policyRule=rule)) == "deny"


# and, or, nesting


def test_consent_trap_criteria_are_and() -> None:
    """One matching criterion of two is not enough: the right purpose to the wrong plan leaks."""
    provision = {"type": "permit", "purpose": purposes("TREAT"), "actor": [actor("Organization/x")]}
    assert told(consent(provision)) == "no-consent"


def test_consent_trap_values_are_or() -> None:
    """Read as AND, a form that lists three purposes would never permit one of them."""
    assert told(consent({"type": "permit", "purpose": purposes("HPAYMT", "TREAT")})) == "permit"


def test_consent_trap_sibling_permit_does_not_save_from_deny() -> None:
    """If the last sibling won, the order on paper would disclose what a sibling denies."""
    nested = [
        {"type": "deny", "securityLabel": levels("R")},
        {"type": "permit", "purpose": purposes("COC")},
    ]
    for children in (nested, nested[::-1]):
        provision = {"type": "permit", "provision": children}
        assert told(consent(provision), securityLabel=levels("R")) == "deny"


def test_consent_trap_root_that_does_not_match_is_no_deny() -> None:
    """A consent about research that does not match must not block care: it does not apply."""
    research = other({"type": "permit", "purpose": purposes("HRESCH")})
    assert told(research) == "no-consent"
    assert told(research, consent()) == "permit"


def test_consent_trap_nested_deny_needs_its_root_to_match() -> None:
    """A nested deny for another recipient's consent must not be torn out of its root."""
    inner = {"type": "deny", "purpose": purposes("COC")}
    root = {"type": "permit", "actor": [actor("Organization/x")], "provision": [inner]}
    assert told(other(root), consent()) == "permit"


def test_consent_trap_exception_to_an_exception() -> None:
    """Stopping at the second level loses the third: claims for payment would be refused."""
    claims = {"class": [{"code": "Claim"}]}
    payment = {"purpose": purposes("HPAYMT"), "provision": [claims]}
    form = consent({"type": "permit", "provision": [payment]})
    assert told(form, purpose=purposes("HPAYMT"), **{"class": "Claim"}) == "permit"
    assert told(form, purpose=purposes("HPAYMT"), **{"class": "Observation"}) == "deny"


# nested types


def test_consent_trap_explicit_nested_permit_widens() -> None:
    """Read as a deny, the member's own doctor would be the one person who gets nothing."""
    inner = {"type": "permit", "securityLabel": levels("R"), "actor": [actor("Organization/plan")]}
    form = consent({"type": "permit", "securityLabel": levels("N"), "provision": [inner]})
    assert told(form, securityLabel=levels("R")) == "permit"
    assert told(form, securityLabel=levels("R"), policy={"nested_type": "invert"}) != "permit"


def test_consent_trap_untyped_nested_inverts() -> None:
    """Read as a permit, an untyped exception to a permit discloses what it takes out."""
    form = consent({"type": "permit", "provision": [{"securityLabel": sensitive("HIV")}]})
    assert told(form, securityLabel=sensitive("HIV")) == "deny"


def test_consent_trap_exception_stays_inside_its_parent() -> None:
    """An untyped exception to a nested deny must not disclose more than the root permits."""
    inner = {"securityLabel": sensitive("PSY"), "provision": [{"actor": [actor(PLAN)]}]}
    form = consent({"type": "permit", "class": [{"code": "CarePlan"}], "provision": [inner]})
    asked = {"class": "Condition", "securityLabel": sensitive("PSY")}
    assert told(form, **asked) != "permit"


# nested purpose


def test_consent_trap_nested_purpose_of_its_own() -> None:
    """Filtered by the root first, break-glass would fail the patient in an emergency."""
    inner = {"type": "permit", "purpose": purposes("BTG")}
    root = {"type": "permit", "purpose": purposes("TREAT"), "provision": [inner]}
    assert told(consent(root), purpose=purposes("BTG")) == "permit"
    within = {"nested_purpose": "within_root"}
    assert told(consent(root), purpose=purposes("BTG"), policy=within) == "no-consent"


def test_consent_trap_nested_without_purpose_needs_the_roots() -> None:
    """A nested permit without purpose would open research to what only treatment may see."""
    inner = {"type": "permit", "securityLabel": levels("R")}
    root = {"type": "permit", "purpose": purposes("TREAT"), "provision": [inner]}
    assert told(consent(root), purpose=purposes("HRESCH")) == "no-consent"


# what is not understood


@pytest.mark.parametrize(
    "place", [{"modifierExtension": [{"url": "urn:x"}]}, {"implicitRules": "urn:rules"}]
)
def test_consent_trap_what_changes_meaning_is_not_ignored(place: dict[str, Any]) -> None:
    """A modifier that means "not" read past turns a refusal into a permit; its denies hold."""
    assert ask(consent(**place)).code == "consent-unclear"
    assert told(consent({"type": "deny"}, **place), other()) == "deny"


def test_consent_trap_modifier_inside_a_provision() -> None:
    """A modifier extension deep in a provision changes it as much as one at the top."""
    inner = {"type": "permit", "modifierExtension": [{"url": "urn:x"}]}
    assert told(consent({"type": "permit", "provision": [inner]})) == "deny"


def test_consent_trap_unknown_criterion() -> None:
    """A condition that is not understood (an R5 expression, say) must not count as met."""
    form = consent({"type": "permit", "expression": {"expression": "false"}})
    assert ask(form).code == "consent-unclear"


def test_consent_trap_unclear_denies_under_opt_out() -> None:
    """Where no consent means permit, one that nobody understands must not mean permit."""
    policy = {"default": "permit"}
    assert told(policy=policy) == "permit"
    assert told(consent(implicitRules="urn:rules"), policy=policy) == "deny"
    assert told(consent({"type": "deny"}), policy=policy) == "deny"


def test_consent_trap_opt_out_keeps_a_consents_limits() -> None:
    """Under opt-out a member's "normal only" must not be read as "no consent, so all"."""
    form = consent({"type": "permit", "securityLabel": levels("N")})
    policy = {"default": "permit"}
    assert told(form, securityLabel=levels("R"), policy=policy) == "no-consent"


# R5


def test_consent_trap_r5_keeps_its_decision() -> None:
    """Converters that lose Consent.decision turn an R5 deny into nothing."""
    assert told(r5()) == "permit"
    assert told(r5(decision="deny"), consent()) == "deny"
    assert told(r5(decision=None)) == "deny"
    assert told(r5(status="not-done"), consent()) == "deny"
    assert told(r5(status="unknown")) != "permit"


def test_consent_trap_r5_many_roots_and_inversion() -> None:
    """R5 has several root provisions, and nested ones without type are exceptions."""
    roots = [
        {"purpose": purposes("HPAYMT")},
        {"purpose": purposes("TREAT"), "provision": [{"resourceType": [{"code": "Condition"}]}]},
    ]
    form = r5(roots)
    assert told(form, purpose=purposes("HPAYMT")) == "permit"
    assert told(form, **{"class": "CarePlan"}) == "permit"
    assert told(form, **{"class": "Condition"}) == "deny"
    assert told(form, purpose=purposes("HMARKT")) == "no-consent"


UNSURE: list[dict[str, Any]] = [
    {"actor": [actor("Group/unknown")]},
    {"actor": [actor({"display": "Dr X"})]},
    {"actor": [actor("Organization/plan", "AUT")]},
    {"period": {"start": "2026-13"}},
    {"jurisdiction": "unknown element"},
]
"""Criteria of which nobody can tell whether they hold."""


@pytest.mark.parametrize("unsure", UNSURE)
def test_consent_trap_deny_inside_what_perhaps_applies(unsure: dict[str, Any]) -> None:
    """A dangling actor at the root must not undo what the member denied inside it."""
    hidden = {"type": "deny", "securityLabel": sensitive("HIV")}
    form = other({"type": "permit", **unsure, "provision": [hidden]})
    redacted = [one["match"] for one in ask(consent(), form).obligations if one["type"] == "redact"]
    assert redacted == [{"securityLabel": sensitive("HIV")}]


@pytest.mark.parametrize("unsure", UNSURE)
@pytest.mark.parametrize("nested", [{"type": "permit"}, {}])
def test_consent_trap_permit_inside_what_perhaps_applies(
    unsure: dict[str, Any], nested: dict[str, Any]
) -> None:
    """An exception to a deny counts only where the deny surely applies."""
    assert told(consent({"type": "deny", **unsure, "provision": [nested]})) == "deny"
    deeper = {"type": "deny", "provision": [nested]}
    assert told(consent({"type": "permit", **unsure, "provision": [deeper]})) == "deny"


@pytest.mark.parametrize("unsure", UNSURE)
@pytest.mark.parametrize("effect", ["permit", "deny"])
def test_consent_trap_own_purpose_inside_what_perhaps_applies(
    effect: str, unsure: dict[str, Any]
) -> None:
    """A nested permit with a purpose of its own stays inside what nobody can tell of."""
    nested = {"type": "permit", "purpose": purposes("TREAT")}
    outer = {"type": effect, "purpose": purposes("HPAYMT"), "provision": [nested]}
    assert told(consent(outer)) == "permit"
    assert told(consent({**outer, **unsure})) != "permit"


@pytest.mark.parametrize("asked", [purposes("TREAT", "HPAYMT"), None])
@pytest.mark.parametrize("nested_purpose", ["own", "within_root"])
def test_consent_trap_deny_inside_a_permit_for_some_of_the_purposes(
    asked: Any, nested_purpose: str
) -> None:
    """Asked for payment as well, or for no purpose, treatment must not get what it may not have."""
    hidden = {"type": "deny", "securityLabel": sensitive("HIV")}
    form = other({"type": "permit", "purpose": purposes("TREAT"), "provision": [hidden]})
    policy = {"nested_purpose": nested_purpose}
    found = redacted(ask(consent(), form, purpose=asked, policy=policy))
    assert found == [str({"securityLabel": sensitive("HIV")})]
    assert not redacted(ask(consent(), form, purpose=purposes("HPAYMT"), policy=policy))


@pytest.mark.parametrize(
    ("provision", "denied"),
    [
        (
            {"type": "deny", "securityLabel": levels("R"), "provision": [{"type": "deny"}]},
            {"securityLabel": levels("R")},
        ),
        (
            {"type": "permit", "dataPeriod": {"end": "2020"}, "provision": [{"type": "deny"}]},
            {"dataPeriod": {"end": "2020"}},
        ),
    ],
)
def test_consent_trap_deny_inherits_what_it_is_nested_in(
    provision: dict[str, Any], denied: dict[str, Any]
) -> None:
    """Read without what it is in, it removes everything, until another refusal brings it back."""
    form = consent({"type": "permit", "provision": [provision]})
    assert set(redacted(ask(form))) == {str(denied)}
    hidden = {"securityLabel": sensitive("HIV")}
    refusal = other({"type": "deny", **hidden})
    assert set(redacted(ask(form, refusal))) == {str(denied), str(hidden)}


def redacted(decision: Decision) -> list[str]:
    return [str(one["match"]) for one in decision.obligations if one["type"] == "redact"]


def test_consent_trap_action_that_is_not_known() -> None:
    """A deny of "releasing" in a local code may well mean disclosing."""
    action = [{"coding": [{"system": "urn:local", "code": "release"}]}]
    assert told(consent(), other({"type": "deny", "action": action})) == "deny"
    assert told(consent({"type": "permit", "action": action})) == "no-consent"
