"""Without consent nothing leaves by any producer of records requests, and nothing is released."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from valley import Valley, consent, valley

from engine.coordination.records import Asked, Asking, all_requests, ask
from engine.coordination.records_providers import providers
from engine.coordination.records_tasks import OWN_CATEGORY_SYSTEM, Wanted

EVERYBODY = ("hub", "mercy", "lakeside", "clinic")
DUE = "2026-05-15T12:00:00.000000Z"


@pytest.fixture(params=["task", "communication-request"])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Valley]:
    """Return a valley in which everybody is known, and requests go out in one form or the other."""
    with valley(tmp_path, f"  records: {{form: {{mercy: {request.param}}}}}") as built:
        built.settle()
        yield built


def request_records(place: Valley) -> list[Asked]:
    member = place.entity("Patient/avery", "mercy")
    asking = Asking(member, "hub", Wanted(DUE), "one")
    return place.store.write(
        lambda tx: ask(tx, place.project, asking, providers(tx, place.project, member, asker="hub"))
    ).result()


def revoke(place: Valley) -> None:
    place.permit(*EVERYBODY, status="inactive", dateTime="2026-04-02T09:00:00Z")


def with_request(place: Valley) -> dict[str, Any]:
    """Ask under a release that ends afterwards; return the hospital's request."""
    place.permit(*EVERYBODY)
    request_records(place)
    place.deliver(100)
    place.arrived.clear()
    found = place.store.read(lambda tx: list(all_requests(tx, place.project)))
    revoke(place)
    return next(one.task for one in found if one.asked == "mercy")


def command_line(place: Valley) -> None:
    assert {one.state for one in request_records(place)} == {"refused"}


def posted(place: Valley) -> None:
    wish = {
        "resourceType": "CommunicationRequest",
        "status": "active",
        "category": [{"coding": [{"system": OWN_CATEGORY_SYSTEM, "code": "records-request"}]}],
        "subject": {"reference": "Patient/avery"},
        "payload": [{"contentString": "Everything"}],
    }
    assert place.post("mercy", wish).status_code == 403


def posted_without_words(place: Valley) -> None:
    """A request that carries no content itself is no way around: the Tasks it causes do."""
    wish = {
        "resourceType": "CommunicationRequest",
        "status": "active",
        "category": [{"coding": [{"system": OWN_CATEGORY_SYSTEM, "code": "records-request"}]}],
        "subject": {"reference": "Patient/avery"},
        "sender": {"reference": "Organization/lakeside"},
    }
    assert place.post("mercy", wish).status_code == 201
    place.timers()
    sent = [
        one for one in place.deliver(100) if one.resource["resourceType"] != wish["resourceType"]
    ]
    assert sent == []
    place.arrived.clear()


def reminder(place: Valley) -> None:
    with_request(place)
    place.wait(8)
    assert set(place.kinds("records.remind")) == {"records.reminder-refused"}


def escalation(place: Valley) -> None:
    with_request(place)
    place.wait(20)
    assert "records.escalated" in place.kinds("records.")


def answer_in_the_task(place: Valley) -> None:
    task = with_request(place)
    answered = {
        "resourceType": "Task",
        "id": task["id"],
        "status": "completed",
        "intent": "order",
        "code": task["code"],
        "for": {"reference": "Patient/avery"},
        "owner": {"reference": "Organization/mercy"},
        "requester": {"reference": "Organization/hub"},
        "output": [{"type": {"text": "data"}, "valueString": "Diagnosis"}],
    }
    place.send("mercy", "PUT", f"/fhir/Task/{task['id']}", answered)
    place.timers()
    seen = place.send("hub", "GET", f"/fhir/Task/{task['id']}")
    assert "Diagnosis" not in seen.text


def answer_in_a_document(place: Valley) -> None:
    task = with_request(place)
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": "Patient/avery"},
        "identifier": task["identifier"],
        "content": [{"attachment": {"contentType": "text/plain", "data": "aGVsbG8="}}],
    }
    assert place.post("mercy", document).status_code == 403
    place.timers()


def answer_in_a_binary(place: Valley) -> None:
    with_request(place)
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": "aGVsbG8="}
    assert place.post("mercy", binary).status_code in (403, 422)


@pytest.mark.parametrize(
    "act",
    [
        command_line,
        posted,
        posted_without_words,
        reminder,
        escalation,
        answer_in_the_task,
        answer_in_a_document,
        answer_in_a_binary,
    ],
)
def test_without_consent_nothing_leaves(place: Valley, act: Callable[[Valley], None]) -> None:
    """Whatever would produce something, no system gets anything without a release in force."""
    act(place)
    assert [(one.system, one.resource["resourceType"]) for one in place.deliver(100)] == []


def test_a_release_for_others_is_none(place: Valley) -> None:
    """A provider whom the release does not name is not asked, the one it names is."""
    place.post("mercy", consent("hub", "mercy"))
    place.deliver(100)
    told = {one.system: one.state for one in request_records(place)}
    assert told == {"mercy": "sent", "lakeside": "refused"}
    assert {one.system for one in place.deliver(100)} == {"mercy"}
