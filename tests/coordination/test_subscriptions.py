"""Systems subscribe, are notified in order, and only of what they may read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lane import SECRET, Lane, happened, lane

from engine.subscriptions.topics import HREX_TASK


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Lane]:
    """Return the valley whose systems may subscribe."""
    with lane(tmp_path) as built:
        yield built


def test_a_handshake_makes_a_subscription_active(place: Lane) -> None:
    """A posted Subscription is requested, and active once its endpoint took the handshake."""
    id = place.subscribe("hub")
    assert place.state("hub", id) == "requested"
    place.deliver()
    (call,) = place.calls
    assert call.url == "https://hub.example/hooks/tasks"
    assert call.headers["authorization"] == SECRET
    assert call.bundle["type"] == "history"
    assert call.status["type"] == "handshake"
    assert call.status["status"] == "requested"
    assert call.status["subscription"] == {
        "reference": f"https://engine.example/fhir/Subscription/{id}"
    }
    assert call.status["events-since-subscription-start"] == "0"
    assert place.state("hub", id) == "active"


def test_what_becomes_of_a_request_is_told_by_number(place: Lane) -> None:
    """Each update of a Task is one event with the next number, and its focus can be read."""
    task = place.asked_for_records()
    place.active("hub")
    place.moves(task, "accepted")
    place.moves(task, "in-progress")
    calls = place.notified()
    assert [call.numbers for call in calls] == [["1"], ["2"]]
    assert [call.status["events-since-subscription-start"] for call in calls] == ["1", "2"]
    assert {call.status["topic"] for call in calls} == {HREX_TASK}
    (event,) = happened(calls[0].bundle)
    path = event["focus"]["reference"].removeprefix("https://engine.example")
    read = place.send("hub", "GET", path)
    assert read.status_code == 200
    assert read.json()["status"] == "in-progress"
    assert all(len(call.bundle["entry"]) == 1 for call in calls)
