"""The main job, end to end: Bundles in over HTTP, decided under consent, delivered in dialect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from town import Arrived, Town, town

from engine.samples.bundles import sample


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    """Return a fresh town."""
    with town(tmp_path) as built:
        yield built


def sent(place: Town, name: str, system: str = "mercy") -> httpx.Response:
    """Send one sample as it stands."""
    body = sample(name)
    kind = json.loads(body)["resourceType"]
    path = "/fhir" if kind == "Bundle" else f"/fhir/{kind}"
    return place.send(system, "POST", path, body)


def codes(response: httpx.Response) -> list[str]:
    """Return our codes of an OperationOutcome."""
    return [
        coding["code"]
        for issue in response.json()["issue"]
        for coding in issue.get("details", {}).get("coding", ())
    ]


def types(arrived: list[Arrived]) -> list[str]:
    return [one.resource["resourceType"] for one in arrived]


@pytest.fixture
def known(place: Town) -> Town:
    """Return a town in which the hospital has said who is who, and the hub has got it."""
    response = sent(place, "01-who-is-who")
    assert response.status_code == 200, response.text
    place.deliver()
    place.arrived.clear()
    return place


def test_who_is_who_arrives_under_canonical_ids(place: Town) -> None:
    """Identity resources pass through, and every reference among them is one the hub can follow."""
    response = sent(place, "01-who-is-who")
    assert response.status_code == 200, response.text
    assert {entry["response"]["status"][:3] for entry in response.json()["entry"]} == {"201"}
    arrived = place.deliver()
    ids = {f"{one.resource['resourceType']}/{one.resource['id']}" for one in arrived}
    referred = set(_references([one.resource for one in arrived]))
    assert ids
    assert {r for r in referred if not r.startswith("#")} <= ids


def _references(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(tree.get("reference"), str):
            yield tree["reference"]
        for value in tree.values():
            yield from _references(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from _references(item)


def test_team_and_plan_arrive_in_the_hubs_dialect(known: Town) -> None:
    """CareTeam and CarePlan arrive transformed, valid, about the same member."""
    response = sent(known, "02-team-and-plan")
    assert response.status_code == 200, response.text
    arrived = known.deliver()
    assert {"CareTeam", "CarePlan"} <= set(types(arrived))
    for one in arrived:
        assert known.project.check_dialect(one.resource, "hrex") == []


def test_a_communication_without_consent_is_rejected(known: Town) -> None:
    """Without any consent the sender gets 403 consent-missing, and nothing leaves."""
    response = sent(known, "03-outreach-before-consent")
    assert response.status_code == 403
    assert response.json()["issue"][0]["code"] == "forbidden"
    assert codes(response) == ["consent-missing"]
    assert known.deliver() == []


def test_a_communication_under_a_signed_consent_arrives(known: Town) -> None:
    """After the guardian's signed release, the same outreach is accepted and delivered."""
    assert sent(known, "04-signed-consent").status_code == 200
    response = sent(known, "05-outreach")
    assert response.status_code == 201, response.text
    assert types(known.deliver()) == ["Consent", "Communication"]


def test_a_recipient_that_the_consent_does_not_name_is_refused(known: Town) -> None:
    """A consent for one recipient is none for another."""
    sent(known, "04-signed-consent")
    response = sent(known, "06-outreach-to-lakeside")
    assert response.status_code == 403
    assert codes(response) == ["consent-recipient"]


def test_a_consent_revoked_while_a_delivery_waits_holds_it(known: Town) -> None:
    """The decision is taken again at sending: after the revocation nothing leaves."""
    sent(known, "04-signed-consent")
    known.deliver()
    assert sent(known, "05-outreach").status_code == 201
    assert sent(known, "08-revocation").status_code == 200
    assert "Communication" not in types(known.deliver())
    held = known.store.read(lambda tx: tx.deliveries.search(state="held"))
    assert [row.reason for row in held] == ["consent-withdrawn"]


def test_the_way_back_reaches_the_hospital_in_its_own_words(known: Town) -> None:
    """What the hub answers arrives at the hospital with the hospital's own patient id."""
    sent(known, "02-team-and-plan")
    known.deliver()
    response = sent(known, "10-answer-of-the-plan", "hub")
    assert response.status_code in (200, 201), response.text
    arrived = [one for one in known.deliver() if one.system == "mercy"]
    assert arrived
    assert any(
        one.resource.get("subject", {}).get("reference") == "Patient/avery" for one in arrived
    )


def test_a_reference_that_nobody_knows_is_held_until_linked(place: Town) -> None:
    """An unknown member holds the team with its reason; the Patient's arrival releases it."""
    team = {
        "resourceType": "CareTeam",
        "id": "early",
        "status": "active",
        "subject": {"reference": "Patient/late"},
        "participant": [{"role": [{"text": "Aunt"}], "member": {"reference": "Patient/late"}}],
    }
    response = place.post("mercy", team)
    assert response.status_code == 202, response.text
    assert "K001" in codes(response)
    assert place.deliver() == []
    patient = {
        "resourceType": "Patient",
        "id": "late",
        "identifier": [{"system": "http://mercy.example/mrn", "value": "L8"}],
        "name": [{"family": "Late"}],
    }
    assert place.post("mercy", patient).status_code == 201
    assert types(place.deliver()) == ["Patient", "CareTeam"]


def test_a_type_without_route_is_refused_with_its_reason(place: Town) -> None:
    """A type that no route carries is 422 with what would be carried."""
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
    }
    response = place.post("mercy", observation)
    assert response.status_code == 422
    assert codes(response) == ["R002"]


def test_reading_back(known: Town) -> None:
    """The sender reads its own resource by its own id; the operator reads all; nobody else."""
    sent(known, "02-team-and-plan")
    bundle = json.loads(sample("02-team-and-plan"))
    team = next(
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "CareTeam"
    )
    own = known.send("mercy", "GET", f"/fhir/CareTeam/{team['id']}")
    assert own.status_code == 200, own.text
    assert own.headers["etag"] == 'W/"1"'
    assert own.json()["subject"]["reference"] == team["subject"]["reference"]
    assert known.send("", "GET", f"/fhir/CareTeam/{team['id']}").status_code == 401
    assert known.send("mercy", "GET", "/fhir/CareTeam/none").status_code == 404
