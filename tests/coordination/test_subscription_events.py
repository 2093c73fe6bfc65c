"""Subscribers are notified of events in order, by number, and only of what they may read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from lane import Call, Lane, codes, happened, lane, subscription
from valley import consent

from engine.errors import StoreError
from engine.events import Wanted, events
from engine.store import Store
from engine.subscriptions.following import ENOUGH
from engine.subscriptions.topics import HREX_TASK, TOPICS

COMMUNICATION = next(topic.url for topic in TOPICS.values() if topic.type == "Communication")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Lane]:
    """Return the valley whose systems may subscribe."""
    with lane(tmp_path) as built:
        yield built


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
    assert place.notified() == []


@pytest.mark.parametrize("content", ["empty", "id-only", "full-resource"])
def test_content_is_as_asked_for(place: Lane, content: str) -> None:
    """Empty tells numbers only, id-only the focus, full-resource what GET would answer."""
    task = place.asked_for_records()
    place.active("hub", subscription("hub", content=content))
    place.moves(task, "accepted")
    (call,) = place.notified()
    (event,) = happened(call.bundle)
    assert not place.project.validate(call.bundle)
    assert ("focus" in event, "topic" in call.status) == ((content != "empty"),) * 2
    if content == "full-resource":
        (entry,) = call.bundle["entry"][1:]
        path = entry["fullUrl"].removeprefix("https://engine.example")
        assert entry["resource"] == place.send("hub", "GET", path).json()
        assert entry["request"]["method"] == "PUT"
    else:
        assert len(call.bundle["entry"]) == 1


def test_what_the_reader_may_not_see_is_told_by_its_number_only(place: Lane) -> None:
    """Where the consent is gone when the notification is sent, no id and no content is in it."""
    task = place.asked_for_records()
    id = place.active("hub", subscription("hub", content="full-resource"))
    answer = {"output": [{"type": {"text": "records"}, "valueString": "what was found"}]}
    place.moves({**task, **answer}, "completed")
    assert place.follow() == 1
    withdrawn = place.send("mercy", "PUT", "/fhir/Consent/release", {
        **consent("hub", "mercy", "lakeside", "clinic"), "status": "inactive",
    })  # fmt: skip
    assert withdrawn.status_code in (200, 201), withdrawn.text
    place.deliver(100)
    (call,) = [one for one in place.calls if one.numbers]
    (event,) = happened(call.bundle)
    assert sorted(event) == ["event-number", "timestamp"]
    assert len(call.bundle["entry"]) == 1
    assert "what was found" not in json.dumps(call.bundle)
    rows = place.store.read(lambda tx: tx.deliveries.search(destination="notify:hub"))
    decided = place.store.read(
        lambda tx: [one for row in rows for one in tx.decisions.of_delivery(row.id)]
    )
    assert [one.decision for one in decided] == ["no-consent"], (
        "each decision at sending is on record"
    )
    assert place.send("hub", "GET", f"/fhir/Subscription/{id}/$events").status_code == 200


def test_nobody_hears_of_what_is_not_theirs(place: Lane) -> None:
    """A system that neither sent a Task nor got it has no event, not even a number."""
    task = place.asked_for_records()
    id = place.active("clinic")
    place.moves(task, "accepted")
    assert place.notified() == []
    status = place.send("clinic", "GET", f"/fhir/Subscription/{id}/$status").json()
    parameters = status["entry"][0]["resource"]["parameter"]
    assert {"name": "events-since-subscription-start", "valueString": "0"} in parameters


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["Task?status=accepted"], ["1"]),
        (["Task?status=accepted,completed", "code=data-request"], ["1"]),
        (["Task?code=http://hl7.org/fhir/us/davinci-hrex/CodeSystem/hrex-temp|data-request"],
         ["1", "2"]),
        (["Task?code=http://loinc.org|data-request"], []),
        (["Task?patient=Patient/unknown"], []),
        (["Task?owner:identifier=http://hl7.org/fhir/sid/us-npi|2222222222"], ["1", "2"]),
        (["Task?owner:identifier=http://hl7.org/fhir/sid/us-npi|3333333333"], []),
    ],
)  # fmt: skip
def test_filters_narrow(place: Lane, filters: list[str], expected: list[str]) -> None:
    """All filter criteria must hold; numbers stay without gaps."""
    task = place.asked_for_records()
    place.active("hub", subscription("hub", filters=filters))
    place.moves(task, "accepted")
    place.moves(task, "in-progress")
    assert [one for call in place.notified() for one in call.numbers] == expected


def test_filters_speak_of_members_as_the_subscriber_does(place: Lane) -> None:
    """A reference in a filter is the subscriber's own."""
    task = place.asked_for_records()
    place.active("mercy", subscription("mercy", filters=["Task?patient=Patient/avery"]))
    place.moves(task, "accepted")
    assert [one for call in place.notified() for one in call.numbers] == ["1"]


def test_order_is_kept_while_the_endpoint_is_away(place: Lane) -> None:
    """What could not be sent is sent later, in order and with the same numbers."""
    task = place.asked_for_records()
    place.active("hub")
    place.endpoint = lambda _: 503
    for status in ("received", "accepted", "in-progress"):
        place.moves(task, status)
    assert place.notified() == []
    place.endpoint = None
    place.clock.advance(400)
    place.deliver(100)
    assert [call.numbers for call in place.calls] == [["1"], ["2"], ["3"]]


def test_a_notification_that_may_have_arrived_is_repeated_with_its_number(place: Lane) -> None:
    """Where the answer was lost, the same event comes again under the same number."""
    task = place.asked_for_records()
    place.active("hub")
    seen: list[Call] = []

    def lost(call: Call) -> int | None:
        seen.append(call)
        return 0 if len(seen) == 1 else None

    place.endpoint = lost
    place.moves(task, "accepted")
    place.notified()
    place.clock.advance(400)
    place.deliver(100)
    assert [call.numbers for call in seen] == [["1"], ["1"]]
    assert seen[0].bundle["entry"] == seen[1].bundle["entry"]
    keys = {call.headers["idempotency-key"] for call in seen}
    assert len(keys) == 1


def test_many_subscriptions_are_followed_in_short_steps(place: Lane) -> None:
    """More events than one step numbers are numbered by the next ones, each subscription's own."""
    task = place.asked_for_records()
    ids = [place.subscribe("hub", subscription("hub", reason=f"{n}")) for n in range(18)]
    for status in ("received", "accepted", "in-progress", "on-hold"):
        place.moves(task, status)
    assert place.follow() == 4 * len(ids) > ENOUGH
    for id in ids:
        rows = place.store.read(lambda tx, id=id: tx.subscriptions.events(id, 1, 99, 99))
        assert [row.number for row in rows] == [1, 2, 3, 4]


def test_events_are_there_by_number(place: Lane) -> None:
    """`$events` answers a range, in the content asked for, by GET and by POST."""
    task = place.asked_for_records()
    id = place.active("hub")
    for status in ("received", "accepted", "in-progress"):
        place.moves(task, status)
    place.follow()
    path = f"/fhir/Subscription/{id}/$events"
    some = place.send("hub", "GET", f"{path}?eventsSinceNumber=2&eventsUntilNumber=2").json()
    assert [one["event-number"] for one in happened(some)] == ["2"]
    assert not place.project.validate(some)
    asked = {"resourceType": "Parameters", "parameter": [
        {"name": "eventsSinceNumber", "valueString": "3"},
        {"name": "content", "valueCode": "full-resource"}]}  # fmt: skip
    rest = place.send("hub", "POST", path, asked).json()
    assert [one["event-number"] for one in happened(rest)] == ["3"]
    assert rest["entry"][1]["resource"]["status"] == "in-progress"
    broken = {"resourceType": "Parameters", "parameter": [5]}
    assert place.send("hub", "POST", path, broken).status_code == 422
    wrong = place.send("hub", "GET", f"{path}?eventsSinceNumber=-1")
    assert (wrong.status_code, codes(wrong)) == (400, ["R012"])


@pytest.mark.parametrize("moment", ["before-commit", "after-commit"])
def test_a_crash_while_events_are_numbered_changes_nothing(place: Lane, moment: str) -> None:
    """Wherever the step from ledger to outbox is cut off, each event has one number and one
    notification after the restart."""
    task = place.asked_for_records()
    place.active("hub")
    place.moves(task, "received")
    place.moves(task, "accepted")
    place.timers()
    place.store.close()
    armed = [False]

    def crash(at: str) -> None:
        if armed and armed[0] and at == moment:
            armed.clear()
            raise RuntimeError("crash")

    place.store = Store.open(f"sqlite:///{place.file}", clock=place.clock, checkpoint=crash)
    armed[0] = True
    with suppress(RuntimeError, StoreError):
        place.follow()
    assert armed == [], "it did crash"
    place.restart()
    assert [call.numbers for call in place.notified()] == [["1"], ["2"]]


def test_notifications_are_in_the_record_of_disclosures(place: Lane) -> None:
    """What a permit let a notification tell is a disclosure to the subscriber's organization."""
    task = place.asked_for_records()
    place.active("hub", subscription("hub", content="full-resource"))
    answer = {"output": [{"type": {"text": "records"}, "valueString": "what was found"}]}
    place.moves({**task, **answer}, "completed")
    (call,) = place.notified()
    assert "what was found" in json.dumps(call.bundle)
    rows = place.store.read(lambda tx: tx.deliveries.search(destination="notify:hub"))
    row = next(row for row in rows if row.envelope["kind"] == "event-notification")
    wanted = Wanted(message=row.message_id)
    found = place.store.read(lambda tx: events(tx, place.project, wanted)).events
    assert any(
        "1111111111" in json.dumps(one["agent"]) and one["id"].count(".") == 1 for one in found
    )


def test_a_communication_is_told_to_whom_it_reached(place: Lane) -> None:
    """A system hears of a Communication once it was delivered to it, with what it may read."""
    place.settle()
    place.permit("hub", "mercy", "lakeside", "clinic")
    place.active("lakeside", subscription("lakeside", criteria=COMMUNICATION))
    sent = place.post("mercy", {
        "resourceType": "Communication", "id": "c1", "status": "completed",
        "subject": {"reference": "Patient/avery"},
        "sender": {"reference": "Organization/mercy"},
        "recipient": [{"reference": "Organization/lakeside"}],
        "payload": [{"contentString": "Please call."}],
        "sent": "2026-05-01T10:00:00Z",
    })  # fmt: skip
    assert sent.status_code in (200, 201), sent.text
    assert place.notified() == []
    calls = place.notified()
    assert [call.numbers for call in calls] == [["1"]]
    (event,) = happened(calls[0].bundle)
    path = event["focus"]["reference"].removeprefix("https://engine.example")
    assert place.send("lakeside", "GET", path).status_code == 200


def test_a_restart_goes_on_where_it_was(place: Lane) -> None:
    """After a restart no event is lost, and none has another number."""
    task = place.asked_for_records()
    id = place.active("hub")
    place.moves(task, "received")
    place.timers()
    place.restart()
    place.moves(task, "accepted")
    place.follow()
    before = place.send("hub", "GET", f"/fhir/Subscription/{id}/$events").json()
    place.restart()
    assert place.follow() == 0
    place.deliver(100)
    assert [call.numbers for call in place.calls] == [["1"], ["2"]]
    after = place.send("hub", "GET", f"/fhir/Subscription/{id}/$events").json()
    assert happened(after) == happened(before)
