"""Traps of the consent decision: each test says what leaks, or what is lost, if it fails."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, cast

import pytest

from engine.rules.consent import compile_consent, decide
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


def test_consent_trap_ordinary_permit() -> None:
    """Without this every other trap would pass by denying: a plain signed consent permits."""
    assert told(consent()) == "permit"


# 1. the root's type


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


# 2. and, or, nesting


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


# 3. nested types


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


# 4. nested purpose


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


# 5. time


@pytest.mark.parametrize(
    ("at", "zone", "verdict"),
    [
        ("2026-05-31T23:59:59Z", "UTC", "permit"),
        ("2026-06-01T00:00:00Z", "UTC", "no-consent"),
        ("2026-06-01T03:59:59Z", "America/New_York", "permit"),
        ("2026-06-01T04:00:00Z", "America/New_York", "no-consent"),
    ],
)
def test_consent_trap_end_date_is_the_whole_day(at: str, zone: str, verdict: str) -> None:
    """Ended at midnight's start the last day is lost; in the wrong zone hours leak after it."""
    form = consent({"type": "permit", "period": {"end": "2026-05-31"}})
    assert told(form, at=at, policy={"zone": zone}) == verdict


def test_consent_trap_partial_dates_cover_their_interval() -> None:
    """An end of "2026" read as 1 January ends a consent a year early, or a start too late."""
    form = consent({"type": "permit", "period": {"start": "2026", "end": "2026"}})
    assert told(form, at="2026-12-31T23:59:59Z") == "permit"
    assert told(form, at="2027-01-01T00:00:00Z") == "no-consent"


def test_consent_trap_period_not_begun() -> None:
    """A consent for next month that counts today discloses before the member agreed to."""
    assert (
        ask(consent({"type": "permit", "period": {"start": "2026-06"}})).code == "consent-expired"
    )


def test_consent_trap_data_period_is_not_period() -> None:
    """The age of content mistaken for the time of the rule discloses old records today."""
    form = consent({"type": "permit", "dataPeriod": {"start": "2020", "end": "2021"}})
    decision = ask(form)
    assert decision.decision == "permit"
    assert decision.obligations == (
        {"type": "permit-only", "match": {"dataPeriod": {"start": "2020", "end": "2021"}}},
    )
    assert told(form, dataPeriod={"start": "2019-06", "end": "2020-06"}) == "no-consent"


def test_consent_trap_unreadable_period_denies() -> None:
    """A period that cannot be read must not read as open; on a deny it must not read as over."""
    broken = {"end": "31.12.2026"}
    assert told(consent({"type": "permit", "period": broken})) == "no-consent"
    assert told(consent({"type": "deny", "period": broken}), other()) == "deny"


def test_consent_trap_backwards_period_never_permits() -> None:
    """A period that ends before it starts must not count as any time at all."""
    form = consent({"type": "permit", "period": {"start": "2026-12-31", "end": "2026-01-01"}})
    assert told(form) == "no-consent"


def test_consent_trap_r5_period_of_the_consent() -> None:
    """R5's Consent.period ignored keeps an ended consent alive."""
    form = r5(period={"end": "2026-04-30"})
    assert ask(form).code == "consent-expired"


# 6. status


@pytest.mark.parametrize(
    "status", ["draft", "proposed", "entered-in-error", "inactive", "odd", None]
)
def test_consent_trap_only_active_permits(status: str | None) -> None:
    """A draft, a mistake or an ended form that permits discloses without consent."""
    assert told(consent(status=status)) != "permit"


def test_consent_trap_rejected_is_a_refusal() -> None:
    """A recorded "no" read as "no consent here" lets another form disclose what was refused."""
    assert told(consent(status="rejected"), other()) == "deny"


@pytest.mark.parametrize("status", ["draft", "entered-in-error"])
def test_consent_trap_a_drafted_deny_counts_for_nothing(status: str) -> None:
    """A deny entered in error that still blocks would stop care the member wants."""
    assert told(consent({"type": "deny"}, status=status), other()) == "permit"


# 7. several consents


def test_consent_trap_deny_overrides_across_policies() -> None:
    """If the newer permit of another kind won, a standing deny would be overruled by accident."""
    newer = other(dateTime="2026-04-01T00:00:00Z")
    assert told(consent({"type": "deny"}), newer) == "deny"
    assert told(consent({"type": "deny"}), newer, policy={"combine": "newest"}) == "permit"
    assert told(consent({"type": "deny"}), newer, policy={"combine": "any-permit"}) == "permit"


def test_consent_trap_later_replaces_earlier_by_date_not_arrival() -> None:
    """An old form that arrives late and revives discloses what the newer one narrowed."""
    older = consent(id="old", dateTime="2025-01-01")
    newer = consent({"type": "permit", "purpose": purposes("HPAYMT")}, id="new")
    assert told(older, newer) == told(newer, older) == "no-consent"


def test_consent_trap_revoked_replacement_does_not_revive() -> None:
    """When the newer form is revoked, the one that it replaced must not rise again."""
    older = consent(id="old", dateTime="2025-01-01")
    newer = consent(id="new", status="inactive")
    assert ask(older, newer).code == "consent-revoked"


def test_consent_trap_expired_replacement_does_not_revive() -> None:
    """When the newer form expires, the older, wider one must not come back."""
    older = consent(id="old", dateTime="2025-01-01")
    newer = consent({"type": "permit", "period": {"end": "2026-02"}}, id="new")
    assert told(older, newer) == "no-consent"


def test_consent_trap_unsigned_form_replaces_no_deny() -> None:
    """A newer form that nobody signed must not lift a deny for a third consent to pass."""
    unsigned = consent(id="new", dateTime="2026-02-01T00:00:00Z", sourceReference=None)
    assert told(consent({"type": "deny"}), unsigned, other()) == "deny"


def test_consent_trap_older_version_of_the_same_consent() -> None:
    """The version before a revocation, still in a cache, must not permit beside the revocation."""
    first = consent(meta={"versionId": "1"})
    second = consent(meta={"versionId": "2"}, status="inactive")
    assert told(first, second) == told(second, first) == "no-consent"


def test_consent_trap_two_halves_are_no_whole() -> None:
    """One form for the recipient and one for the purpose must not add up to a permit."""
    who = consent({"type": "permit", "actor": [actor(PLAN)], "purpose": purposes("HPAYMT")})
    why = other({"type": "permit", "actor": [actor("Organization/x")], "purpose": purposes("COC")})
    assert told(who, why) == "no-consent"


def test_consent_trap_two_halves_of_purposes() -> None:
    """Two forms that each cover one of two purposes must not cover both together."""
    one = consent({"type": "permit", "purpose": purposes("TREAT")})
    two = other({"type": "permit", "purpose": purposes("HPAYMT")})
    assert told(one, two, purpose=purposes("TREAT", "HPAYMT")) == "no-consent"


def test_consent_trap_two_halves_of_sensitivities() -> None:
    """Content both about HIV and substance use is not covered by one form for each."""
    one = consent({"type": "permit", "securityLabel": sensitive("HIV")})
    two = other({"type": "permit", "securityLabel": sensitive("ETH")})
    assert told(one, two, securityLabel=sensitive("HIV", "ETH")) == "no-consent"
    due = ask(one, two).obligations
    assert [entry["match"].keys() for entry in due if "match" in entry] == [{"any"}]


# 8. purposes


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


# 9. labels


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


# 10. actors

ROLE = {
    "resourceType": "PractitionerRole",
    "id": "7",
    "active": True,
    "practitioner": {"reference": "Practitioner/dr"},
    "organization": {"reference": "Organization/clinic"},
}
CLINIC = {
    "resourceType": "Organization",
    "id": "clinic",
    "partOf": {"reference": "Organization/net"},
}


@pytest.mark.parametrize("named", ["Practitioner/dr", "Organization/clinic", "Organization/net"])
def test_consent_trap_actor_through_role_and_parents(named: str) -> None:
    """Unless roles and parents are followed, the permitted clinic's own doctor is refused."""
    form = consent({"type": "permit", "actor": [actor(named)]})
    asked = {"recipient": [{"reference": "PractitionerRole/7"}]}
    assert told(form, supporting=[ROLE, CLINIC], **asked) == "permit"
    ended = {**ROLE, "period": {"end": "2025-12-31"}}
    assert told(form, supporting=[ended, CLINIC], **asked) == "no-consent"


def test_consent_trap_a_part_is_not_its_whole() -> None:
    """A permit for one clinic must not reach the whole network that it belongs to."""
    form = consent({"type": "permit", "actor": [actor("Organization/clinic")]})
    asked = {"recipient": [{"reference": "Organization/net"}]}
    assert told(form, supporting=[CLINIC], **asked) == "no-consent"


def test_consent_trap_group_and_team_members() -> None:
    """A former member of a group or team must not receive what its members may."""
    group = {
        "resourceType": "Group",
        "id": "g",
        "member": [
            {"entity": {"reference": "Practitioner/dr"}},
            {"entity": {"reference": "Practitioner/gone"}, "inactive": True},
            {"entity": {"reference": "Practitioner/past"}, "period": {"end": "2026-01"}},
        ],
    }
    form = consent({"type": "permit", "actor": [actor("Group/g")]})
    for name, verdict in (("dr", "permit"), ("gone", "no-consent"), ("past", "no-consent")):
        asked = {"recipient": [{"reference": f"Practitioner/{name}"}]}
        assert told(form, supporting=[group], **asked) == verdict


def test_consent_trap_swapped_roles() -> None:
    """HRex performer and IRCP swapped lets the recipient of records disclose them instead."""
    form = consent(
        {
            "type": "permit",
            "actor": [actor("Organization/plan", "performer"), actor("Organization/hospital")],
        }
    )
    assert told(form) == "no-consent"
    assert told(form, sender=PLAN, recipient=[HOSPITAL]) == "permit"


def test_consent_trap_sender_not_named() -> None:
    """A consent for one hospital's records must not let another hospital disclose its own."""
    form = consent({"type": "permit", "actor": [actor("Organization/other", "performer")]})
    assert ask(form).code == "consent-sender"
    assert told(form, sender=None) == "no-consent"


def test_consent_trap_both_senders_must_be_covered() -> None:
    """A permitted author must not carry content out of a system that the member did not name."""
    form = consent({"type": "permit", "actor": [actor("Organization/hospital", "performer")]})
    assert told(form, sender=[HOSPITAL, {"reference": "Organization/x"}]) == "no-consent"


def test_consent_trap_unresolved_actor_denies_and_never_permits() -> None:
    """A denied group that cannot be looked into may contain the recipient."""
    permit = consent({"type": "permit", "actor": [actor("Group/unknown")]})
    deny = consent({"type": "permit", "provision": [{"actor": [actor("Group/unknown")]}]})
    assert told(permit) == "no-consent"
    assert told(deny) == "deny"


def test_consent_trap_unresolved_actor_voids_nothing_else() -> None:
    """One dangling actor must not void the permit for the plan that is named beside it."""
    form = consent({"type": "permit", "actor": [actor({"display": "Dr X"}), actor(PLAN)]})
    assert told(form) == "permit"


def test_consent_trap_identifier_of_another_system() -> None:
    """Equal values under two identifier systems are two organizations."""
    named = {"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1"}}
    form = consent({"type": "permit", "actor": [actor(named)]})
    assert told(form, recipient=[{"identifier": [{"system": "urn:tax", "value": "1"}]}]) != "permit"
    assert told(form, recipient=[named]) == "permit"


def test_consent_trap_same_id_on_another_server() -> None:
    """Organization/plan of another server is another organization."""
    form = consent({"type": "permit", "actor": [actor("http://a.example/fhir/Organization/plan")]})
    asked = {"recipient": [{"reference": "http://b.example/fhir/Organization/plan"}]}
    assert told(form, **asked) == "no-consent"


# 11. action and recipients


def test_consent_trap_access_is_not_disclosure() -> None:
    """A member who lets someone look has not let anyone send."""

    def form(code: str) -> dict[str, Any]:
        return consent({"type": "permit", "action": [{"coding": [{"code": code}]}]})

    assert ask(form("access")).code == "consent-action"
    assert told(form("disclose")) == "permit"
    assert told(form("access"), action="access") == "permit"


def test_consent_trap_every_recipient_must_pass() -> None:
    """One permitted recipient must not take the others along."""
    form = consent({"type": "permit", "actor": [actor(PLAN)]})
    both = [PLAN, {"reference": "Organization/x"}]
    assert told(form, recipient=both) == "no-consent"
    dropped = ask(form, recipient=both, policy={"partial_recipients": "drop"})
    assert dropped.decision == "permit"
    assert dropped.obligations == ({"type": "drop-recipient", "recipient": both[1]},)
    assert [one.decision for one in dropped.recipients] == ["permit", "no-consent"]


def test_consent_trap_obligations_of_every_recipient_hold() -> None:
    """What may not go to one recipient must be taken out for all of them."""
    inner = {"type": "deny", "securityLabel": sensitive("HIV"), "actor": [actor("Organization/x")]}
    form = consent({"type": "permit", "provision": [inner]})
    decision = ask(form, recipient=[PLAN, {"reference": "Organization/x"}])
    assert [one["type"] for one in decision.obligations] == ["redact"]


# 12. what is not understood


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


# 13. what the sender learns


def test_consent_trap_sender_learns_only_a_code() -> None:
    """A refusal that names the label tells the sender what the member hides."""
    form = consent({"type": "permit", "provision": [{"securityLabel": sensitive("HIV")}]})
    text = ask(form, securityLabel=sensitive("HIV")).diagnostic().text()
    assert text.startswith("consent-denied: ")
    assert "HIV" not in text


# patient


def test_consent_trap_another_patients_consent() -> None:
    """A consent of somebody else must neither permit nor deny."""
    assert told(consent(patient={"reference": "Patient/2"})) == "no-consent"
    deny = other({"type": "deny"}, patient={"reference": "Patient/2"})
    assert told(consent(), deny) == "permit"


def test_consent_trap_relative_with_a_shared_subscriber_number() -> None:
    """A family's subscriber number must not make a father's consent his daughter's."""
    shared = {
        "type": {"coding": [{"code": "SN"}]},
        "system": "http://plan.example/subscriber",
        "value": "F1",
    }
    asked = {"patient": {"reference": "Patient/1", "identifier": [shared]}}
    form = consent(patient={"reference": "Patient/2", "identifier": shared})
    assert told(form, **asked) == "no-consent"


def test_consent_trap_merged_and_historic_identifiers() -> None:
    """A deny recorded under the member's old number must hold after a merge."""
    merged = {
        "resourceType": "Patient",
        "id": "1",
        "identifier": [{"use": "old", "system": "urn:mrn", "value": "A"}],
        "link": [{"type": "replaces", "other": {"reference": "Patient/0"}}],
    }
    for named in ({"reference": "Patient/0"}, {"identifier": {"system": "urn:mrn", "value": "A"}}):
        deny = other({"type": "deny"}, patient=named)
        assert told(consent(), deny, supporting=[merged]) == "deny"


def test_consent_trap_link_to_a_relative() -> None:
    """A RelatedPerson that a Patient record links to is another person."""
    linked = {
        "resourceType": "Patient",
        "id": "1",
        "link": [{"type": "seealso", "other": {"reference": "RelatedPerson/2"}}],
    }
    form = consent(patient={"reference": "RelatedPerson/2"})
    assert told(form, supporting=[linked]) != "permit"


# the member and the guardian


def test_consent_trap_member_hears_about_their_own_care() -> None:
    """The member need not be named, but without any consent nothing goes to them either."""
    form = consent({"type": "permit", "actor": [actor(PLAN)]})
    member = {"recipient": [{"reference": "Patient/1"}]}
    assert told(form, **member) == "permit"
    assert told(**member) == "no-consent"
    assert told(form, recipient=[{"reference": "Patient/2"}]) == "no-consent"


def person(code: str, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "RelatedPerson",
        "id": "mum",
        "patient": {"reference": "Patient/1"},
        "relationship": [{"coding": [{"code": code}]}],
        **changes,
    }


CHILD = {"resourceType": "Patient", "id": "1", "birthDate": "2010-05-02"}


def test_consent_trap_guardian_hears_stranger_does_not() -> None:
    """A relative without authority, or one of somebody else, must not hear."""
    form = consent({"type": "permit", "actor": [actor(PLAN)]})
    asked = {"recipient": [{"reference": "RelatedPerson/mum"}]}
    assert told(form, supporting=[CHILD, person("GUARD")], **asked) == "permit"
    assert told(form, supporting=[CHILD, person("SIS")], **asked) == "no-consent"
    gone = person("GUARD", active=False)
    assert told(form, supporting=[CHILD, gone], **asked) == "no-consent"
    stranger = person("GUARD", patient={"reference": "Patient/2"})
    assert told(form, supporting=[CHILD, stranger], **asked) == "no-consent"


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


# R5


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
