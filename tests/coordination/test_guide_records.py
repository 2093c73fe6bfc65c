"""The guide, third sentence: request and review records from previous or current providers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from valley import Valley, own_id, valley

from engine.coordination.records import Asked, Asking, Tracked, all_requests, ask, review
from engine.coordination.records_providers import providers
from engine.coordination.records_tasks import CDEX, OWN_CATEGORY_SYSTEM, Wanted

EVERYBODY = ("hub", "mercy", "lakeside", "clinic")
DUE = "2026-05-15T12:00:00.000000Z"
MESSAGES_TOO = "  records: {form: {lakeside: communication-request}}"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Valley]:
    """Return a valley under a release, in which one provider takes no Tasks."""
    with valley(tmp_path, MESSAGES_TOO) as built:
        built.settle()
        built.permit(*EVERYBODY)
        yield built


def request(place: Valley) -> dict[str, Asked]:
    """Let the plan ask for the member's records; return what became of it by system."""
    member = place.entity("Patient/avery", "mercy")
    asking = Asking(member, "hub", Wanted(DUE), "one")
    told = place.store.write(
        lambda tx: ask(tx, place.project, asking, providers(tx, place.project, member, asker="hub"))
    ).result()
    return {str(one.system): one for one in told}


def arrived(place: Valley) -> dict[str, dict[str, Any]]:
    """Return the resource that reached each system."""
    return {one.system: one.resource for one in place.deliver(100)}


def put(place: Valley, resource: dict[str, Any]) -> None:
    response = place.send("mercy", "PUT", f"/fhir/{own_id(resource)}", resource)
    assert response.is_success, response.text
    place.timers()


def tracked(place: Valley, id: str) -> Tracked:
    found = place.store.read(lambda tx: list(all_requests(tx, place.project)))
    return next(one for one in found if one.task["id"] == id)


def test_previous_and_current_providers_are_asked(place: Valley) -> None:
    """Who stands in the team now and whose time in it has ended are asked, each apart."""
    told = request(place)
    assert {name: (one.current, one.state) for name, one in told.items()} == {
        "mercy": (True, "sent"),
        "lakeside": (False, "sent"),
    }
    assert set(arrived(place)) == {"mercy", "lakeside"}


def test_a_request_is_a_task_in_the_shape_of_cdex(place: Valley) -> None:
    """A data request with code, purpose and due date, valid in the provider's dialect."""
    request(place)
    task = arrived(place)["mercy"]
    codings = [(one["system"], one["code"]) for one in task["code"]["coding"]]
    assert (CDEX, "data-request-code") in codings
    assert task["restriction"]["period"]["end"] == DUE
    assert [one["type"]["coding"][0]["code"] for one in task["input"]] == [
        "data-code",
        "purpose-of-use",
    ]
    assert place.project.check_dialect(task, "us-core") == []


def test_a_request_goes_as_a_communication_request_where_no_task_is_taken(place: Valley) -> None:
    """The same question, in the resource that such a system takes; a Task here tracks it."""
    told = request(place)["lakeside"]
    asked = arrived(place)["lakeside"]
    assert asked["resourceType"] == "CommunicationRequest"
    assert asked["status"] == "active"
    assert tracked(place, str(told.task)).stage == "requested"


def test_a_communication_request_that_comes_in_is_asked_on(place: Valley) -> None:
    """Who posts a CommunicationRequest for records has every provider asked."""
    category = {"coding": [{"system": OWN_CATEGORY_SYSTEM, "code": "records-request"}]}
    wanted = {
        "resourceType": "CommunicationRequest",
        "id": "wanted",
        "status": "active",
        "category": [category],
        "subject": {"reference": f"Patient/{place.entity('Patient/avery', 'mercy')}"},
        "requester": {"identifier": {"system": "http://hl7.org/fhir/sid/us-npi",
                                     "value": "1111111111"}},
        "payload": [{"contentString": "The last report"}],
    }  # fmt: skip
    response = place.send("hub", "PUT", "/fhir/CommunicationRequest/wanted", wanted)
    assert response.is_success, response.text
    place.timers()
    assert place.kinds("records.requested")


def test_a_request_is_tracked_until_it_is_answered(place: Valley) -> None:
    """Requested, accepted, answered: each step is known, and the answer is handed to who asked."""
    told = request(place)["mercy"]
    task = arrived(place)["mercy"]
    stages = [tracked(place, str(told.task)).stage]
    put(place, {**task, "status": "accepted"})
    stages.append(tracked(place, str(told.task)).stage)
    output = [{"type": {"text": "records"}, "valueString": "Here they are."}]
    put(place, {**task, "status": "completed", "output": output})
    stages.append(tracked(place, str(told.task)).stage)
    assert stages == ["requested", "accepted", "answered"]
    assert arrived(place)["hub"]["status"] == "completed"


def test_an_answer_is_reviewed_by_a_person(place: Valley) -> None:
    """Who reviewed which answer, and with what verdict, is in the Task and in the ledger."""
    told = request(place)["mercy"]
    put(place, {**arrived(place)["mercy"], "status": "completed"})
    problem = place.store.write(
        lambda tx: review(tx, place.project, str(told.task), by="Robin Vale", verdict="complete")
    ).result()
    assert problem is None
    found = tracked(place, str(told.task))
    assert found.stage == "reviewed"
    assert found.task["note"][-1]["authorString"] == "Robin Vale"
    assert "records.reviewed" in place.kinds("records.")


def test_what_is_not_answered_becomes_overdue(place: Valley) -> None:
    """Reminded twice before the date, escalated to a person on it, once each, and listed."""
    told = request(place)["mercy"]
    place.deliver(100)
    for _ in range(20):
        place.wait(1)
        place.timers()
    found = tracked(place, str(told.task))
    assert found.overdue(place.clock.now())
    assert found.task["businessStatus"]["coding"][0]["code"] == "overdue"
    kinds = place.kinds("records.")
    assert kinds.count("records.escalated") == 2  # the hospital's and the therapist's
    assert kinds.count("records.reminded") == 4
