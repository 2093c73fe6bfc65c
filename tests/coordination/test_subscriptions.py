"""Systems subscribe, are notified in order, and only of what they may read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lane import SECRET, Call, Lane, happened, lane, subscription
from typer.testing import CliRunner
from valley import consent
from valley import project as valley_project

from engine.cli import build
from engine.errors import StoreError
from engine.events import Wanted, events
from engine.store import Store
from engine.subscriptions.asked import MASK
from engine.subscriptions.following import ENOUGH
from engine.subscriptions.lifecycle import line_of
from engine.subscriptions.topics import HREX_TASK, TOPICS, as_markdown

COMMUNICATION = next(topic.url for topic in TOPICS.values() if topic.type == "Communication")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Lane]:
    """Return the valley whose systems may subscribe."""
    with lane(tmp_path) as built:
        yield built


def codes(response: Any) -> list[str]:
    """Return the codes of an OperationOutcome."""
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    return [issue["details"]["coding"][0]["code"] for issue in outcome["issue"]]


def test_a_handshake_makes_a_subscription_active(place: Lane) -> None:
    """A posted Subscription is requested, and active once its endpoint took the handshake."""
    id = place.subscribe("hub")
    assert place.state("hub", id) == "requested"
    place.deliver()
    (call,) = place.calls
    assert call.url == "https://hub.example/hooks/tasks"
    assert call.headers["authorization"] == SECRET
    assert call.headers["content-type"] == "application/fhir+json"
    assert call.bundle["type"] == "history"
    assert call.status["type"] == "handshake"
    assert call.status["status"] == "requested"
    assert call.status["subscription"] == {
        "reference": f"https://engine.example/fhir/Subscription/{id}"
    }
    assert call.status["events-since-subscription-start"] == "0"
    assert not place.project.validate(call.bundle)
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


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"criteria": "Task?status=completed"}, "S001"),
        ({"filters": ["Task?colour=red"]}, "S002"),
        ({"filters": ["Patient?status=x"]}, "S002"),
        ({"filters": ["Task?status:not=draft"]}, "S002"),
        ({"filters": ["Task?"]}, "S002"),
        ({"filters": ["Task?status="]}, "S002"),
        ({"content": "everything"}, "S004"),
        ({"content": "full-resource", "endpoint": "http://hub.example/hooks/x"}, "S003"),
        ({"header": ["Host: internal"]}, "S005"),
        ({"header": ["X: a\r\nY: b"]}, "S005"),
        ({"header": [f"X: {MASK}"]}, "S005"),
        ({"header": ["no colon"]}, "S005"),
        ({"status": "error"}, "S006"),
        ({"status": "off"}, "S006"),
        ({"end": "2020-01-01T00:00:00Z"}, "S006"),
        ({"heartbeat": 1}, "S008"),
        ({"heartbeat": "often"}, None),
        ({"timeout": 0}, "S008"),
        ({"modifierExtension": [{"url": "http://x.example/not"}]}, None),
        ({"implicitRules": "http://x.example/not"}, "S009"),
        ({"status": "bogus"}, None),
        ({"reason": None}, None),
        ({"channel": {"type": "email", "endpoint": "mailto:x@hub.example"}}, "S004"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    place: Lane, changes: dict[str, Any], code: str | None
) -> None:
    """What is not understood or not offered is refused with a code, never ignored."""
    resource = {
        name: value for name, value in subscription("hub", **changes).items() if value is not None
    }
    response = place.post("hub", resource)
    assert response.status_code == 422, response.text
    found = codes(response)
    assert code is None or code in found
    assert place.send("hub", "GET", "/fhir/Subscription").json()["total"] == 0


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://mercy.example/hooks/x",
        "https://hub.example/other",
        "https://hub.example/hooksmore",
        "https://hub.example/hooks/../admin",
        "https://hub.example/hooks/%2e%2e/admin",
        "https://hub.example/hooks/./x",
        "https://hub.example//hooks/x",
        "http://hub.example/hooks/x",
        "https://hub.example:8443/hooks/x",
        "https://hub.example@127.0.0.1/hooks/x",
        "https://user:secret@hub.example/hooks/x",
        "https://hub.example.evil.example/hooks/x",
        "https://hub.example\\@evil.example/hooks/x",
        "https://hub.example/hooks/x#fragment",
        "https://hub.example /hooks/x",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "//hub.example/hooks/x",
        "hub.example/hooks",
        "https://[::1]/hooks/x",
        "https://hub.example:notaport/hooks",
        "https://" + "a" * 3000,
    ],
)
def test_notifications_go_only_to_configured_places(place: Lane, endpoint: str) -> None:
    """An endpoint outside of the system's `hooks` is refused, however it is written."""
    response = place.post("hub", subscription("hub", endpoint=endpoint))
    assert response.status_code == 422
    assert {"S003"} & set(codes(response)) or response.status_code == 422
    place.deliver()
    assert place.calls == []


def test_a_system_without_hooks_cannot_subscribe(tmp_path: Path) -> None:
    """Where config names no place to notify a system at, it may not subscribe."""
    with lane(tmp_path, clinic={"hooks": "[]"}) as place:
        response = place.post("clinic", subscription("clinic"))
        assert (response.status_code, codes(response)) == (403, ["S010"])


def test_strangers_are_refused(place: Lane) -> None:
    """Without a known token nobody subscribes or looks at subscriptions."""
    id = place.subscribe("hub")
    for method, path in (
        ("POST", "/fhir/Subscription"),
        ("GET", "/fhir/Subscription"),
        ("GET", f"/fhir/Subscription/{id}"),
        ("PUT", f"/fhir/Subscription/{id}"),
        ("DELETE", f"/fhir/Subscription/{id}"),
        ("GET", f"/fhir/Subscription/{id}/$events"),
        ("GET", "/fhir/Subscription/$status"),
    ):
        response = place.send("", method, path, subscription("hub"))
        assert (response.status_code, codes(response)) == (401, ["R001"])


def test_each_system_sees_its_own_only(place: Lane) -> None:
    """Another system's subscription looks like none, whatever is asked of it."""
    id = place.subscribe("hub")
    body = {**subscription("mercy"), "id": id}
    for method, path, sent in (
        ("GET", f"/fhir/Subscription/{id}", None),
        ("PUT", f"/fhir/Subscription/{id}", body),
        ("DELETE", f"/fhir/Subscription/{id}", None),
        ("GET", f"/fhir/Subscription/{id}/$status", None),
        ("GET", f"/fhir/Subscription/{id}/$events", None),
        ("GET", "/fhir/Subscription/none", None),
    ):
        response = place.send("mercy", method, path, sent)
        assert (response.status_code, codes(response)) == (404, ["R006"])
    assert place.send("mercy", "GET", "/fhir/Subscription").json()["total"] == 0
    assert place.send("mercy", "GET", "/fhir/Subscription/$status").json()["total"] == 0
    for query, count in (("", 1), ("?status=requested", 1), ("?status=active", 0),
                         (f"?_id={id}", 1), ("?url=https://hub.example/hooks/tasks", 1),
                         ("?url=https://hub.example", 0), (f"?topic={HREX_TASK}", 1)):  # fmt: skip
        assert place.send("hub", "GET", f"/fhir/Subscription{query}").json()["total"] == count
    strict = {"Prefer": "handling=strict"}
    assert place.send("hub", "GET", "/fhir/Subscription?x=1", None, strict).status_code == 400


def test_secrets_are_not_read_back(place: Lane, capsys: pytest.CaptureFixture[str]) -> None:
    """The value of a header is in no answer, no record of the ledger and no log; a masked value
    that is sent back keeps it."""
    id = place.active("hub")
    read = place.send("hub", "GET", f"/fhir/Subscription/{id}")
    assert read.json()["channel"]["header"] == [f"Authorization: {MASK}"]
    changed = place.send("hub", "PUT", f"/fhir/Subscription/{id}", {
        **read.json(), "status": "requested", "reason": "another",
    })  # fmt: skip
    assert changed.status_code == 200
    place.deliver()
    assert [call.headers["authorization"] for call in place.calls] == [SECRET]
    bad = place.post("hub", subscription("hub", header=[f"Host: {SECRET}"]))
    told = [read.text, changed.text, bad.text, capsys.readouterr().out, capsys.readouterr().err]
    told += [one.body for one in place.store.read(lambda tx: list(tx.audit.records()))]
    rows = place.store.read(lambda tx: tx.deliveries.search(destination="notify:hub"))
    told += [repr(row) for row in rows]
    messages = place.store.read(lambda tx: [tx.messages.get(row.message_id) for row in rows])
    told += [repr(one) for one in messages]
    told += [repr(place.store.read(lambda tx: tx.subscriptions.get(id)))]
    assert "dont-tell-anybody" not in " ".join(told)


def test_the_same_submission_makes_one_subscription(place: Lane) -> None:
    """A repeated POST gets the first answer; after a DELETE the same body is a new one."""
    first = place.post("hub", subscription("hub"))
    again = place.post("hub", subscription("hub"))
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert first.headers["location"].endswith(f"/fhir/Subscription/{first.json()['id']}")
    gone = place.send("hub", "DELETE", f"/fhir/Subscription/{first.json()['id']}")
    assert gone.status_code == 204
    assert place.post("hub", subscription("hub")).json()["id"] != first.json()["id"]


def test_an_idempotency_key_names_one_submission(place: Lane) -> None:
    """The same key with the same body repeats, with another body it is refused."""
    key = {"Idempotency-Key": "k1"}
    first = place.send("hub", "POST", "/fhir/Subscription", subscription("hub"), key)
    again = place.send("hub", "POST", "/fhir/Subscription", subscription("hub"), key)
    assert again.json() == first.json()
    other = place.send(
        "hub", "POST", "/fhir/Subscription", subscription("hub", reason="other"), key
    )
    assert (other.status_code, codes(other)) == (409, ["R005"])


def test_there_are_only_so_many(place: Lane) -> None:
    """A system cannot have more subscriptions than `limits.subscriptions`."""
    most = place.project.config.limits.subscriptions
    for number in range(most):
        place.subscribe("hub", subscription("hub", reason=f"number {number}"))
    response = place.post("hub", subscription("hub", reason="one more"))
    assert (response.status_code, codes(response)) == (422, ["S007"])


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


def test_an_endpoint_that_stays_away_ends_in_error_and_comes_back(place: Lane) -> None:
    """After the last try the subscription is in error: events count on, `$events` has them, and
    a new handshake lets notifications go on with the next number."""
    task = place.asked_for_records()
    id = place.active("hub")
    place.endpoint = lambda _: 0
    place.moves(task, "received")
    place.follow()
    for _ in range(12):
        place.deliver()
        place.clock.advance(400)
    resource = place.send("hub", "GET", f"/fhir/Subscription/{id}").json()
    assert (resource["status"], "error" in resource) == ("error", True)
    place.moves(task, "accepted")
    place.follow()
    assert not _standing(place, id)
    place.endpoint = None
    place.deliver()
    assert place.calls == []
    status = place.send("hub", "GET", f"/fhir/Subscription/{id}/$status").json()
    parameters = status["entry"][0]["resource"]["parameter"]
    assert {"name": "status", "valueCode": "error"} in parameters
    assert {"name": "events-since-subscription-start", "valueString": "2"} in parameters
    (error,) = [one for one in parameters if one["name"] == "error"]
    assert error["valueCodeableConcept"]["coding"][0]["code"] == "no-response"
    missed = place.send("hub", "GET", f"/fhir/Subscription/{id}/$events").json()
    assert [one["event-number"] for one in happened(missed)] == ["1", "2"]
    body = {**resource, "status": "requested"}
    assert place.send("hub", "PUT", f"/fhir/Subscription/{id}", body).status_code == 200
    place.moves(task, "in-progress")
    place.notified()
    assert [call.status["type"] for call in place.calls] == ["handshake", "event-notification"]
    assert place.calls[0].status["events-since-subscription-start"] == "2"
    assert place.calls[1].numbers == ["3"]


def _standing(place: Lane, id: str) -> list[str]:
    rows = place.store.read(
        lambda tx: tx.deliveries.search(destination="notify:hub", members=[line_of(id)])
    )
    return [row.state for row in rows if row.state in ("waiting", "leased", "held")]


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


def test_a_refusing_endpoint_is_told_apart(place: Lane) -> None:
    """An endpoint that answers with a refusal leads to the error `error-response`."""
    id = place.subscribe("hub")
    place.endpoint = lambda _: 410
    place.deliver()
    assert place.state("hub", id) == "error"
    row = place.store.read(lambda tx: tx.subscriptions.get(id))
    assert row is not None
    assert row.reason == "error-response"


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


def test_heartbeats_come_by_the_clock(place: Lane) -> None:
    """A sign of life goes out once in each period; none piles up behind a dead endpoint."""
    id = place.active("hub", subscription("hub", heartbeat=60))
    for _ in range(2):
        place.clock.advance(60)
        place.timers()
        place.deliver()
    assert [call.status["type"] for call in place.calls] == ["heartbeat", "heartbeat"]
    assert [call.status["events-since-subscription-start"] for call in place.calls] == ["0", "0"]
    place.endpoint = lambda _: 503
    for _ in range(3):
        place.clock.advance(60)
        place.timers()
        place.deliver()
    assert _standing(place, id) == ["waiting"]
    assert len(place.calls) == 2


def test_a_subscription_ends_when_it_said(place: Lane) -> None:
    """At its `end` a subscription is off, and nothing is sent any more."""
    task = place.asked_for_records()
    id = place.active("hub", subscription("hub", end="2026-05-20T10:00:00+02:00", heartbeat=600))
    place.clock.advance(20 * 86_400)
    place.timers()
    assert place.state("hub", id) == "off"
    place.deliver()
    place.calls.clear()
    place.moves(task, "accepted")
    assert place.notified() == []


def test_a_deleted_subscription_is_gone(place: Lane) -> None:
    """After a DELETE nothing is sent, also not what waited, and it cannot be read."""
    task = place.asked_for_records()
    id = place.active("hub")
    place.moves(task, "accepted")
    place.follow()
    assert place.send("hub", "DELETE", f"/fhir/Subscription/{id}").status_code == 204
    place.deliver()
    place.moves(task, "in-progress")
    assert place.notified() == []
    assert place.send("hub", "GET", f"/fhir/Subscription/{id}").status_code == 404
    assert place.send("hub", "DELETE", f"/fhir/Subscription/{id}").status_code == 404


def test_a_subscriber_may_end_it_by_its_status(place: Lane) -> None:
    """An update to `off` ends a subscription; another one to `requested` revives it."""
    id = place.active("hub")
    body = {**subscription("hub"), "id": id}
    off = place.send("hub", "PUT", f"/fhir/Subscription/{id}", {**body, "status": "off"})
    assert (off.status_code, off.json()["status"]) == (200, "off")
    assert place.send("hub", "PUT", f"/fhir/Subscription/{id}", body).status_code == 200
    place.deliver()
    assert place.state("hub", id) == "active"


def test_the_status_of_several_is_told_at_once(place: Lane) -> None:
    """`$status` on the type answers about the asker's own, by id and status."""
    active, other = place.active("hub"), place.subscribe("hub", subscription("hub", reason="two"))
    place.subscribe("mercy")

    def told(*parameters: dict[str, Any]) -> set[str]:
        body: dict[str, Any] = {"resourceType": "Parameters"}
        if parameters:
            body["parameter"] = list(parameters)
        answer = place.send("hub", "POST", "/fhir/Subscription/$status", body)
        assert answer.status_code == 200
        found = answer.json()
        assert not place.project.validate(found)
        parts = [one["resource"]["parameter"] for one in found.get("entry", ())]
        named = (part["valueReference"]["reference"] for one in parts for part in one
                 if part["name"] == "subscription")  # fmt: skip
        return {one.rpartition("/")[2] for one in named}

    assert told() == {active, other}
    assert told({"name": "id", "valueId": active}) == {active}
    assert told({"name": "status", "valueCode": "requested"}) == {other}
    assert told({"name": "id", "valueId": active}, {"name": "status", "valueCode": "off"}) == set()


def test_the_command_lists_both_sides(place: Lane, tmp_path: Path) -> None:
    """`carelane subscriptions` tells how each subscription stands; 1 where one is in error."""
    (tmp_path / "own").mkdir()
    valley_project(tmp_path / "own")
    config = tmp_path / "own" / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("sqlite:///carelane.db", f"sqlite:///{place.file}"))
    id = place.active("hub")
    until = "2027-01-01T00:00:00.000000Z"
    place.store.write(lambda tx: tx.watches.begin("mercy", "w1", "d1", until)).result()
    shown = CliRunner().invoke(build("subscriptions"), ["subscriptions", "-c", str(config)])
    assert shown.exit_code == 0, shown.output
    assert id in shown.output
    assert "asking" in shown.output
    place.store.write(lambda tx: tx.subscriptions.move(id, "error", "no-response", was=["active"]))
    given = ["subscriptions", "-c", str(config), "--json"]
    listed = CliRunner().invoke(build("subscriptions"), given)
    assert listed.exit_code == 1
    assert {(one["of"], one["state"]) for one in json.loads(listed.stdout)} == {
        ("hub", "error"), ("us", "asking"),
    }  # fmt: skip


def test_what_happened_while_it_was_off_is_no_event(place: Lane) -> None:
    """A subscription that is revived counts on from its last number, from then on."""
    task = place.asked_for_records()
    id = place.active("hub")
    place.moves(task, "received")
    assert [call.numbers for call in place.notified()] == [["1"]]
    body = {**subscription("hub"), "id": id}
    place.send("hub", "PUT", f"/fhir/Subscription/{id}", {**body, "status": "off"})
    place.moves(task, "accepted")
    assert place.notified() == []
    place.send("hub", "PUT", f"/fhir/Subscription/{id}", body)
    place.moves(task, "in-progress")
    assert [call.numbers for call in place.notified()] == [[], ["2"]]


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


def test_what_config_no_longer_allows_is_not_sent(place: Lane) -> None:
    """The endpoint is held against `hooks` at each sending; where it does not fit, it ends."""
    id = place.subscribe("hub")
    config = place.project.config
    hub = replace(config.systems["hub"], hooks=("https://hub.example/elsewhere",))
    systems = {**config.systems, "hub": hub}
    place.project = replace(place.project, config=replace(config, systems=systems))
    place.deliver()
    assert place.calls == []
    assert place.state("hub", id) == "off"


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


def test_the_capability_statement_lists_topics(place: Lane) -> None:
    """GET /metadata tells of subscriptions, their operations and every topic."""
    found = place.send("", "GET", "/fhir/metadata").json()
    paths = [one.path for one in place.project.validate(found)]
    assert paths in ([], ["CapabilityStatement.format[0]"])  # a mime type is right there
    (entry,) = [one for one in found["rest"][0]["resource"] if one["type"] == "Subscription"]
    assert {one["valueCanonical"] for one in entry["extension"]} == set(TOPICS)
    assert [one["name"] for one in entry["operation"]] == ["status", "events"]


def test_docs_show_the_topics(repository: Path) -> None:
    """docs/subscriptions.md has the table of topics as it is."""
    assert as_markdown() in (repository / "docs/subscriptions.md").read_text()
