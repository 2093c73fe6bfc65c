"""Traps of actors, patients and relatives: each test says what leaks or is lost if it fails."""

from __future__ import annotations

from typing import Any

import pytest
from consent_forms import (
    CHILD,
    HOSPITAL,
    PLAN,
    actor,
    ask,
    consent,
    other,
    person,
    sensitive,
    told,
)

# actors

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


# action and recipients


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


@pytest.mark.parametrize("role", ["PRIMAUTH", "PROV", "dependents"])
def test_consent_trap_actor_in_a_role_that_is_not_known(role: str) -> None:
    """Whoever wrote the content, or plays a part unknown here, must not be told it for that."""
    permit = {"type": "permit", "actor": [actor(PLAN, role)]}
    assert told(consent(permit)) == "deny"
    assert told(consent(), other({**permit, "type": "deny"})) == "deny"
    beside = {"type": "deny", "actor": [actor("Organization/x"), actor(PLAN, role)]}
    assert told(consent(), other(beside)) == "deny"


@pytest.mark.parametrize("above", [3, 12])
def test_consent_trap_deny_far_up_the_hierarchy(above: int) -> None:
    """A ward of a ward of a denied group of hospitals is denied however many levels are between."""
    wards = [
        {
            "resourceType": "Organization",
            "id": f"level{level}",
            "partOf": {"reference": f"Organization/level{level + 1}"},
        }
        for level in range(above)
    ]
    deny = other({"type": "deny", "actor": [actor(f"Organization/level{above}")]})
    asked = {"recipient": [{"reference": "Organization/level0"}]}
    assert told(consent(), deny, supporting=wards, **asked) == "deny"


def test_consent_trap_groups_that_contain_each_other() -> None:
    """Groups in a circle are each looked at once: twenty of them kept a decision for good."""
    names = [f"Group/g{index}" for index in range(20)]
    groups = [
        {
            "resourceType": "Group",
            "id": name.removeprefix("Group/"),
            "member": [{"entity": {"reference": one}} for one in [*names, "Organization/plan"]],
        }
        for name in names
    ]
    form = consent({"type": "permit", "actor": [actor("Group/g7")]})
    assert told(form, supporting=groups) == "permit"
    assert told(form, supporting=groups, recipient=[HOSPITAL]) == "no-consent"


def test_consent_trap_groups_of_groups_that_share_members() -> None:
    """Groups that are reached on many ways are looked at once: twelve layers kept it for good."""
    groups = [
        {
            "resourceType": "Group",
            "id": f"g{layer}-{index}",
            "member": [
                {"entity": {"reference": f"Group/g{layer + 1}-{other}"}} for other in range(4)
            ],
        }
        for layer in range(12)
        for index in range(4)
    ]
    last = {"resourceType": "Group", "id": "g12-3", "member": [{"entity": PLAN}]}
    form = consent({"type": "permit", "actor": [actor("Group/g0-0")]})
    assert told(form, supporting=[*groups, last]) == "permit"
    assert told(form, supporting=[*groups, last], recipient=[HOSPITAL]) != "permit"
