"""Siblings leave under the consent of their member, each decided by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sibling_messages import Build, Tree, on_record, seated, send, teams_at
from sibling_town import CLINIC, KIN, PEOPLE, bundle_of, patient_of, sibling

from engine.gather import gather_canonical
from engine.message import Draft, Unit
from engine.road.judge import decision_for
from engine.road.sibling_drafts import sibling_drafts
from engine.road.trip import Trip
from engine.store import Transaction


def _consent(**more: Any) -> Tree:
    return {
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope",
                              "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/77"},
        "dateTime": "2020-01-01T00:00:00Z",
        "performer": [{"reference": "Patient/77"}],
        "sourceAttachment": {"title": "Signed form", "url": "http://mercy.example/forms/1"},
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                                   "code": "OPTIN"}]},
        "provision": {"type": "permit"},
        **more,
    }  # fmt: skip


def test_without_consent_no_sibling_leaves(build: Build) -> None:
    """Where teams are guarded, one refusal is that of all that the message says of the team."""
    town = build(CLINIC, guarded=True)
    refused = town.post("mercy", bundle_of(patient_of(), *PEOPLE, *KIN))
    assert refused.status_code == 403
    assert on_record(town) == []
    send(town, "mercy", patient_of(), *PEOPLE)
    batch = send(town, "mercy", *KIN, kind="batch")
    assert {one["response"]["status"] for one in batch["entry"]} == {"403 Forbidden"}
    assert on_record(town) == []
    assert teams_at(town.deliver(), "clinic") == []


def test_under_consent_all_siblings_leave_and_those_that_left_under_their_own(
    build: Build,
) -> None:
    """A permit lets every sibling go; one that left is decided by itself, also at sending."""
    town = build(CLINIC, guarded=True)
    send(town, "mercy", patient_of(), *PEOPLE, _consent())
    send(town, "mercy", *KIN)
    arrived = town.deliver()
    first = sorted(teams_at(arrived, "clinic"), key=seated)
    assert [seated(one) for one in first] == [["ann"], ["bob"]]
    assert all("carelane-sibling" not in json.dumps(one) for one in first)
    (team,) = teams_at(arrived, "hub")
    assert seated(team) == ["ann", "bob"]
    send(town, "mercy", {**KIN[1], "status": "entered-in-error"})
    told = {(seated(one)[0], one["status"]) for one in teams_at(town.deliver(), "clinic")}
    assert told == {("ann", "active"), ("bob", "entered-in-error")}
    send(town, "mercy", sibling("t_c", "cat"))
    send(town, "mercy", _consent(status="inactive"))
    assert teams_at(town.deliver(), "clinic") == []
    held = town.store.read(lambda tx: tx.deliveries.search(state="held"))
    assert {one.reason for one in held} == {"consent-withdrawn"}


def test_nothing_remembered_passes_a_narrowed_permit(build: Build) -> None:
    """Under an obligation siblings go under their ids, without what is remembered or removed."""
    town = build(CLINIC, guarded=True)
    send(town, "mercy", patient_of(), *PEOPLE, _consent())
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"}
    send(town, "mercy", *KIN, sibling("t_c", "cat"))
    town.deliver()
    (record,) = on_record(town)
    project = town.project

    def narrowed(tx: Transaction) -> tuple[list[Draft], list[Draft]]:
        facts = gather_canonical(tx, project, record, at=tx.now)
        trip = Trip(project, facts, "hub")
        unit = Unit(0, "CareTeam", "CareTeam", record, entity=record["id"], canonical=record)
        permit = decision_for(record, record["subject"]["reference"][8:], "mercy", trip)
        assert permit.permitted
        permit = replace(permit, policy=replace(permit.policy, unlabelled="pass"))
        redact = {"type": "redact", "match": {"securityLabel": [label]}}
        found = [
            sibling_drafts(unit, "mercy", replace(permit, obligations=obligations), trip)
            for obligations in ((), (redact,))
        ]
        assert isinstance(found[0], list)
        assert isinstance(found[1], list)
        return found[0], found[1]

    plain, bound = town.store.read(narrowed)
    assert [draft.link for draft in plain] == [f"CareTeam/t_{x}" for x in "abc"]
    assert [draft.link for draft in bound] == [draft.link for draft in plain]
    assert [draft.resource.get("name") for draft in plain] == ["Reading", "Health", None]
    assert [draft.resource.get("name") for draft in bound] == [None, None, None]
    assert [seated(draft.resource) for draft in bound] == [["ann"], ["bob"], ["cat"]]
    assert "carelane" not in json.dumps([draft.resource for draft in bound])
