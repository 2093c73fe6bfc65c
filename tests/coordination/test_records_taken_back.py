"""What was taken back, or only comes back from the other side, moves no records request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_records import DOCUMENT, asked, known, pointing, put, wish
from valley import Valley, own_id, valley

REQUESTER = {
    "subject": {"reference": "Patient/avery"},
    "requester": {"reference": "Organization/mercy"},
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Valley]:
    """Return a valley in which everybody is known and the release covers everybody."""
    with valley(tmp_path) as built:
        built.settle()
        built.permit("hub", "mercy", "lakeside", "clinic")
        yield built


def wished(place: Valley, **more: Any) -> None:
    """Send a CommunicationRequest for records as the hospital; nothing reacts to it yet."""
    resource = wish(**REQUESTER, **more)
    assert place.send("mercy", "PUT", f"/fhir/{own_id(resource)}", resource).status_code == 201


def test_a_reminder_that_comes_back_is_no_answer(place: Valley) -> None:
    """The provider sends the reminder back with its receipt: the request stays open."""
    task = asked(place)
    place.wait(8)
    (reminder,) = (
        one.resource
        for one in place.deliver(200)
        if one.system == "mercy" and one.resource["resourceType"] == "Communication"
    )
    put(place, "mercy", {**reminder, "status": "completed", "received": "2026-05-09T10:00:00Z"})
    assert known(place, task).stage == "requested"
    assert "records.answered" not in place.kinds("records.")


def document(task: dict[str, Any], status: str) -> dict[str, Any]:
    related = {"related": [{"reference": f"Task/{task['id']}"}]}
    return {**DOCUMENT, "status": status, "context": related}


def message(task: dict[str, Any], status: str) -> dict[str, Any]:
    return {**pointing(task)["Communication.basedOn"], "status": status}


def result(task: dict[str, Any], status: str) -> dict[str, Any]:
    return {**pointing(task)["Task.basedOn"], "status": status}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (document, "entered-in-error"),
        (message, "entered-in-error"),
        (message, "not-done"),
        (message, "preparation"),
        (result, "in-progress"),
        (result, "rejected"),
    ],
)
def test_what_gives_nothing_is_no_answer(
    place: Valley, answer: Callable[[dict[str, Any], str], dict[str, Any]], status: str
) -> None:
    """What says of itself that it is an error, or not done, completes no request."""
    task = asked(place)
    put(place, "mercy", answer(task, status))
    assert known(place, task).stage == "requested"


def test_an_answer_taken_back_before_anybody_looked_is_none(place: Valley) -> None:
    """A document that is an error by the time it is reacted to completes no request."""
    task = asked(place)
    for status in ("current", "entered-in-error"):
        sent = place.send("mercy", "PUT", "/fhir/DocumentReference/note", document(task, status))
        assert sent.status_code == 201, sent.text
    place.timers()
    assert known(place, task).stage == "requested"


def test_a_wish_taken_back_before_anybody_looked_asks_nobody(place: Valley) -> None:
    """A CommunicationRequest that is revoked by the time it is reacted to asks no provider."""
    wished(place)
    wished(place, status="revoked")
    place.timers()
    assert "records.requested" not in place.kinds("records.")
    assert "Task" not in {one.resource["resourceType"] for one in place.deliver(200)}


def test_a_wish_that_comes_back_asks_nobody_on_behalf_of_who_sent_it_back(place: Valley) -> None:
    """A provider updates the CommunicationRequest that reached it: it asks for nothing itself."""
    wished(place)
    place.timers()
    came = next(
        one.resource
        for one in place.deliver(200)
        if one.system == "lakeside" and one.resource["resourceType"] == "CommunicationRequest"
    )
    before = place.kinds("records.")
    put(place, "lakeside", {**came, "note": [{"text": "seen"}]})
    assert place.kinds("records.") == before
