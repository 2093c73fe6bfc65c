"""What is kept between messages is never outdated: a decision with it equals one without it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from town import town

from engine.project import Project, load
from engine.road.facts import Facts
from engine.road.judge import decision_for, told_of
from engine.road.trip import Trip
from engine.rules.consent.decide import decide
from engine.rules.request import request_for
from engine.samples.bundles import sample

AT = "2026-05-01T10:00:00Z"
SECRETS = {"MERCY_TOKEN_SHA256": "0" * 64, "HUB_TOKEN_SHA256": "1" * 64}
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
Resource = dict[str, Any]


@pytest.fixture(scope="module")
def project() -> Project:
    """Return the sample project, whose memory all decisions of this file share."""
    return load(Path(__file__).resolve().parents[2] / "config.yaml", SECRETS)


def consent(status: str, effect: str, version: str, actor: str) -> Resource:
    reference = {"reference": f"Organization/{actor}"}
    role = {"coding": [{"code": "IRCP"}]}
    return {
        "resourceType": "Consent",
        "id": "c",
        "meta": {"versionId": version},
        "status": status,
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "category": [{"coding": [{"code": "59284-0", "system": "http://loinc.org"}]}],
        "patient": {"reference": "Patient/m"},
        "dateTime": "2026-01-01",
        "performer": [{"reference": "Patient/m"}],
        "sourceAttachment": {"url": "https://mercy.example/form"},
        "provision": {"type": effect, "actor": [{"role": role, "reference": reference}]},
    }


def message(code: str) -> Resource:
    return {
        "resourceType": "Communication",
        "id": "x",
        "status": "completed",
        "subject": {"reference": "Patient/m"},
        "recipient": [{"reference": "PractitionerRole/r"}],
        "payload": [{"contentString": "words"}],
        "reasonCode": [{"coding": [{"system": ICD, "code": code}]}],
    }


def role(active: bool, organization: str) -> Resource:
    return {
        "resourceType": "PractitionerRole",
        "id": "r",
        "active": active,
        "organization": {"reference": f"Organization/{organization}"},
    }


ORGANIZATIONS = st.sampled_from(["a", "b"])
WORLDS = st.builds(
    lambda found, actor, born: (found, actor, born),
    st.builds(
        consent,
        st.sampled_from(["active", "inactive", "rejected", "entered-in-error"]),
        st.sampled_from(["permit", "deny"]),
        st.sampled_from(["1", "2"]),
        ORGANIZATIONS,
    ),
    st.builds(role, st.booleans(), ORGANIZATIONS),
    st.sampled_from(["1980-01-01", "2015-01-01"]),
)


def facts_of(world: tuple[Resource, Resource, str]) -> Facts:
    found, actor, born = world
    patient = {"resourceType": "Patient", "id": "m", "birthDate": born}
    return Facts(
        AT,
        consents={"m": [found]},
        supporting={"Patient/m": patient, "PractitionerRole/r": actor},
    )


@given(st.lists(WORLDS, min_size=1, max_size=6))
def test_no_decision_rests_on_an_older_version(
    project: Project, worlds: list[tuple[Resource, Resource, str]]
) -> None:
    """Versions may come in any order, revoked or not, even under one version id."""
    leg = project.leg("mercy", "Communication", "hub")
    policy = replace(leg.policy, partial_recipients="reject")
    for world in worlds:
        facts = facts_of(world)
        trip = Trip(project, facts, "mercy")
        kept = decision_for(message("Z00"), "m", "hub", trip)
        told = told_of(message("Z00"), "m", policy, trip)
        request = request_for(
            told.resource,
            sender_system=project.organization("mercy", facts.links),
            recipient_systems=[project.organization("hub", facts.links)],
            purpose=leg.purpose,
            supporting=list(facts.supporting.values()),
            table=project.labels,
            minor=world[2] == "2015-01-01",
        )
        actors = list(facts.supporting.values())
        afresh = decide(request, [world[0]], actors, at=AT, policy=leg.policy)
        assert kept.to_json() == afresh.to_json()
        if world[0]["status"] != "active":
            assert kept.decision != "permit"


def test_a_revoked_version_is_not_taken_for_the_active_one(project: Project) -> None:
    """A permit that was just given is gone with the next version, whatever number that bears."""
    for version in ("1", "2"):
        before = (consent("active", "permit", "1", "a"), role(True, "a"), "1980-01-01")
        after = (consent("inactive", "permit", version, "a"), role(True, "a"), "1980-01-01")
        assert _codes(project, before) != _codes(project, after) == "consent-revoked"


def _codes(project: Project, world: tuple[Resource, Resource, str]) -> str | None:
    trip = Trip(project, facts_of(world), "mercy")
    return decision_for(message("Z00"), "m", "hub", trip).code


@given(st.lists(st.sampled_from(["Z00", "B20", "F11.20"]), min_size=1, max_size=4))
def test_what_one_resource_tells_is_not_taken_for_another(
    project: Project, codes: list[str]
) -> None:
    """One trip carries many resources; labels are those of the resource asked about."""
    world = (consent("active", "permit", "1", "a"), role(True, "a"), "1980-01-01")
    trip = Trip(project, facts_of(world), "mercy")
    policy = project.leg("mercy", "Communication", "hub").policy
    for code in codes:
        told = told_of(message(code), "m", policy, trip)
        found = {label for part in told.parts for label in part.codes}
        assert (ICD, code) in found
        assert not {(ICD, other) for other in {"Z00", "B20", "F11.20"} - {code}} & found


def test_nobody_changes_what_is_remembered(tmp_path: Path) -> None:
    """Actors and consents on record are shared between decisions, which rely on that by identity.

    Whatever is sent, delivered, asked for or reviewed in between, they stay as they were read.
    """
    with town(tmp_path) as place:
        for name in ("01-who-is-who", "02-team-and-plan", "04-signed-consent"):
            assert place.send("mercy", "POST", "/fhir", sample(name)).status_code == 200
        place.post("mercy", json.loads(sample("05-outreach")))
        place.deliver()
        before = _remembered(place.project)
        assert len(before) > 3
        for number in range(3):
            outreach = {**json.loads(sample("05-outreach")), "id": f"more-{number}"}
            outreach["identifier"][0]["value"] = f"more-{number}"
            assert place.post("mercy", outreach).status_code == 201
        place.deliver()
        for _, resource, was in before:
            assert resource == was
        after = {name: resource for name, resource, _ in _remembered(place.project)}
        assert all(after[name] is resource for name, resource, _ in before)


def _remembered(project: Project) -> list[tuple[Any, Resource, Resource]]:
    """Return what a project has read of the record, each beside a copy of it."""
    read: list[tuple[Any, Any]] = [*project._compiled.items(), *project._entries.items()]
    return [(name, one.resource, copy.deepcopy(one.resource)) for name, one in read]
