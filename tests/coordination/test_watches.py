"""Where a system offers subscriptions, its news of our requests come by them, else by polling."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from lane import Lane, lane

from engine.coordination.records import all_requests
from engine.coordination.records_polling import RecordsPolling
from engine.store import WatchRow
from engine.subscriptions.bundles import Happened, Kind, notification
from engine.subscriptions.watching import Watching

REMOTE = "sub-17"


@dataclass
class Hospital:
    """The hospital's own server: it takes a Subscription, answers reads, and notifies."""

    place: Lane
    task: dict[str, Any]
    asked: list[tuple[str, str]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    refuses: int | None = None
    answers: httpx.Response | None = None
    down: bool = False
    events: dict[int, str] = field(default_factory=dict)
    status: str = "active"

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/fhir/")
        self.asked.append((request.method, path))
        if self.down:
            raise httpx.ConnectError("down", request=request)
        if request.method == "POST":
            self.taken.append(json.loads(request.content))
            if self.refuses:
                return httpx.Response(self.refuses)
            if self.answers is not None:
                return self.answers
            told = {**self.taken[-1], "id": REMOTE, "status": "requested"}
            return httpx.Response(201, json=told)
        if path == f"Subscription/{REMOTE}/$events":
            first, last = (int(request.url.params[name]) for name in
                           ("eventsSinceNumber", "eventsUntilNumber"))  # fmt: skip
            found = [number for number in sorted(self.events) if first <= number <= last]
            return httpx.Response(200, json=self.bundle("query-event", last, found))
        if path == f"Subscription/{REMOTE}/$status":
            entry = self.bundle("query-status", max(self.events, default=0))["entry"][0]
            bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [entry]}
            return httpx.Response(200, json=bundle)
        if path == f"Task/{self.task['id']}":
            return httpx.Response(200, json=self.task)
        return httpx.Response(404)

    def bundle(self, kind: Kind, since: int, numbers: list[int] | None = None) -> dict[str, Any]:
        """Return a notification as a server of the guide writes it."""
        row = Row(REMOTE, self.status)
        at = "2026-05-01T10:00:00.000Z"
        told = [
            Happened(number, at, {"resourceType": "Task", "id": self.events[number]})
            for number in numbers or ()
        ]
        base = "https://ehr.elsewhere.example/r4"
        return notification(row, base, kind, at=at, since=since, content="id-only", happened=told)  # type: ignore[arg-type]

    def notify(
        self, kind: Kind = "event-notification", *numbers: int, since: int | None = None,
        secret: str | None = None, body: Any = None,
    ) -> httpx.Response:  # fmt: skip
        """Notify us as our Subscription asks for it."""
        channel = self.taken[-1]["channel"]
        path = channel["endpoint"].removeprefix("https://engine.example")
        given = channel["header"][0] if secret is None else f"Authorization: {secret}"
        top = since if since is not None else max(numbers, default=0)
        told = self.bundle(kind, top, list(numbers)) if body is None else body
        header = {"Authorization": given.partition(": ")[2]}
        return self.place.send("", "POST", path, told, header)

    def counted(self, part: str) -> int:
        """Return how often we asked for something."""
        return sum(part in path for _, path in self.asked)


@dataclass
class Row:
    """What of a subscription a notification tells."""

    id: str
    state: str
    topic: str = "http://hl7.org/fhir/us/davinci-hrex/SubscriptionTopic/Task"
    version: int = 1
    reason: str | None = None


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Lane]:
    """Return a valley in which the hospital was asked, and is to notify us."""
    with lane(tmp_path, mercy={"updates": "subscription"}) as built:
        yield built


@pytest.fixture
def mercy(place: Lane) -> Hospital:
    """Return the hospital, asked for records."""
    return Hospital(place, place.asked_for_records())


def turn(mercy: Hospital, before: Callable[[Watching], None] | None = None) -> None:
    """Look after the watches once, and let what arrived be reacted to."""
    place = mercy.place
    polling = RecordsPolling(
        lambda: place.project, place.store, place.clock,
        lambda _: httpx.MockTransport(mercy.answer),
    )  # fmt: skip
    asyncio.run(Watching(lambda: place.project, place.store, place.clock, polling).turn())
    place.timers()


def poll(mercy: Hospital) -> int:
    """Let a round of polling pass."""
    place = mercy.place
    polling = RecordsPolling(
        lambda: place.project, place.store, place.clock,
        lambda _: httpx.MockTransport(mercy.answer),
    )  # fmt: skip
    return asyncio.run(polling.turn())


def watch(place: Lane) -> WatchRow:
    found = place.store.read(lambda tx: tx.watches.of_system("mercy"))
    assert found is not None
    return found


def stage(place: Lane) -> str:
    found = place.store.read(lambda tx: list(all_requests(tx, place.project)))
    return next(one.stage for one in found if one.asked == "mercy")


def subscribed(mercy: Hospital) -> None:
    """Let us subscribe, shake hands and catch up once."""
    turn(mercy)
    assert mercy.notify("handshake").status_code == 200
    turn(mercy)
    mercy.asked.clear()


def test_a_request_leads_to_a_subscription(place: Lane, mercy: Hospital) -> None:
    """A system that was asked gets our Subscription with a secret of its own; the handshake
    makes it active, and what happened before is asked for once."""
    turn(mercy)
    (wanted,) = mercy.taken
    assert wanted["criteria"].endswith("SubscriptionTopic/Task")
    assert not place.project.validate(wanted)
    assert watch(place).state == "asked"
    assert wanted["channel"]["endpoint"] == f"https://engine.example/fhir/$notify/{watch(place).id}"
    mercy.task["status"] = "accepted"
    assert mercy.notify("handshake").status_code == 200
    assert watch(place).state == "active"
    turn(mercy)
    assert stage(place) == "accepted"
    turn(mercy)
    assert mercy.counted("Task/") == 1


def test_a_notification_brings_the_task(place: Lane, mercy: Hospital) -> None:
    """What a notification names is read at the system and travels the road; a repeat does not."""
    subscribed(mercy)
    mercy.events = {1: mercy.task["id"]}
    mercy.task["status"] = "in-progress"
    assert mercy.notify("event-notification", 1).status_code == 200
    turn(mercy)
    assert stage(place) == "accepted"
    assert mercy.notify("event-notification", 1).status_code == 200
    turn(mercy)
    assert mercy.counted("Task/") == 1
    assert poll(mercy) == 0
    assert mercy.counted("Task/") == 1, "nobody polls while the subscription works"


def test_what_was_missed_is_noticed_and_asked_for(place: Lane, mercy: Hospital) -> None:
    """A gap in the numbers leads to `$events`."""
    subscribed(mercy)
    mercy.events = {1: mercy.task["id"], 2: "unrelated", 3: "unrelated"}
    mercy.task["status"] = "accepted"
    assert mercy.notify("event-notification", 3).status_code == 200
    turn(mercy)
    assert mercy.counted("$events") == 1
    assert stage(place) == "accepted"
    assert watch(place).heard == 3
    assert place.kinds("watch.missed") == ["watch.missed"]


def test_a_heartbeat_tells_of_what_was_missed(place: Lane, mercy: Hospital) -> None:
    """A sign of life with a higher number than was heard leads to `$events` as well."""
    subscribed(mercy)
    mercy.events = {1: mercy.task["id"]}
    mercy.task["status"] = "rejected"
    assert mercy.notify("heartbeat", since=1).status_code == 200
    turn(mercy)
    assert stage(place) == "refused"


def test_without_events_everything_open_is_asked_for(place: Lane, mercy: Hospital) -> None:
    """Where `$events` does not say what was missed, every open request is asked about once."""
    subscribed(mercy)
    mercy.task["status"] = "accepted"
    assert mercy.notify("heartbeat", since=7).status_code == 200
    turn(mercy)
    assert stage(place) == "accepted"
    assert watch(place).heard == 7


def test_news_stay_until_the_system_answers(place: Lane, mercy: Hospital) -> None:
    """News that cannot be looked at now are looked at later, also after a restart."""
    subscribed(mercy)
    mercy.events = {1: mercy.task["id"]}
    mercy.task["status"] = "accepted"
    assert mercy.notify("event-notification", 1).status_code == 200
    mercy.down = True
    turn(mercy)
    assert watch(place).heard == 0
    mercy.down = False
    turn(mercy)
    assert (watch(place).heard, stage(place)) == (1, "accepted")


def test_who_is_not_to_notify_us_any_more_is_told_so(place: Lane, mercy: Hospital) -> None:
    """Once config has a system report otherwise, its notifications are refused."""
    subscribed(mercy)
    config = place.project.config
    systems = {**config.systems, "mercy": replace(config.systems["mercy"], updates="reported")}
    place.project = replace(place.project, config=replace(config, systems=systems))
    place.__post_init__()
    assert mercy.notify("heartbeat").status_code == 404


@pytest.mark.parametrize("secret", ["Bearer wrong", "", "Basic x", "Bearer "])
def test_nobody_else_notifies_us(place: Lane, mercy: Hospital, secret: str) -> None:
    """Without the secret of this very subscription nothing is taken in."""
    subscribed(mercy)
    response = mercy.notify("event-notification", secret=secret)
    assert response.status_code == 401
    assert response.json()["issue"][0]["details"]["coding"][0]["code"] == "S020"
    secret = mercy.taken[-1]["channel"]["header"][0].partition(": ")[2]
    other = place.send("", "POST", "/fhir/$notify/other", {}, {"Authorization": secret})
    assert other.status_code == 401


def test_secrets_stand_nowhere(place: Lane, mercy: Hospital, tmp_path: Path) -> None:
    """Of a secret only its digest is on record."""
    subscribed(mercy)
    secret = mercy.taken[-1]["channel"]["header"][0].rpartition(" ")[2]
    assert len(secret) >= 43
    stored = b"".join(one.read_bytes() for one in tmp_path.glob("carelane.db*"))
    assert secret.encode() not in stored


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Bundle", "type": "history"},
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {}}]},
        {"resourceType": "Bundle", "type": "history", "entry": [{"resource": 5}]},
        {"resourceType": "Patient"},
        {"resourceType": "Bundle", "type": "history", "entry": [{"resource": {
            "resourceType": "Parameters", "parameter": [
                {"name": "subscription", "valueReference": {"reference": "Subscription/other"}},
                {"name": "status", "valueCode": "active"},
                {"name": "type", "valueCode": "heartbeat"}]}}]},
        {"resourceType": "Bundle", "type": "history", "entry": [{"resource": {
            "resourceType": "Parameters", "parameter": [
                {"name": "subscription", "valueReference": {"reference": f"Subscription/{REMOTE}"}},
                {"name": "status", "valueCode": "active"},
                {"name": "type", "valueCode": "event-notification"},
                {"name": "notification-event", "part": [{"name": "event-number"}]}]}}]},
        {"resourceType": "Bundle", "type": "history", "entry": {"resource": []}},
    ],
    ids=["empty", "collection", "number", "patient", "other", "unnumbered", "no list"],
)  # fmt: skip
def test_what_is_no_notification_is_refused(
    place: Lane, mercy: Hospital, body: dict[str, Any]
) -> None:
    """Anything else is refused with an OperationOutcome, and changes nothing."""
    subscribed(mercy)
    before = watch(place)
    response = mercy.notify(body=body)
    assert response.status_code == 422
    assert response.json()["resourceType"] == "OperationOutcome"
    assert watch(place) == before


def test_a_refused_subscription_is_tried_again_later_and_polled_meanwhile(
    place: Lane, mercy: Hospital
) -> None:
    """A system that takes no Subscription is polled, and asked again after `retry` seconds."""
    mercy.refuses = 422
    turn(mercy)
    turn(mercy)
    assert (watch(place).state, len(mercy.taken)) == ("error", 1)
    mercy.task["status"] = "accepted"
    assert poll(mercy) == 1
    mercy.refuses = None
    place.clock.advance(601)
    turn(mercy)
    assert (watch(place).state, len(mercy.taken)) == ("asked", 2)


@pytest.mark.parametrize(
    ("answer", "state", "remote"),
    [
        (httpx.Response(201, json={"resourceType": "Subscription", "id": "s1",
                                   "status": "active"}), "active", "s1"),
        (httpx.Response(201, headers={"Location": "Subscription/s2/_history/1"}), "asked", "s2"),
        (httpx.Response(200, json={"resourceType": "Subscription", "id": "s3"}), "asked", "s3"),
        (httpx.Response(201), "error", None),
        (httpx.Response(201, json={"resourceType": "Subscription", "id": "../../Patient"}),
         "error", None),
        (httpx.Response(201, json={"resourceType": "Subscription", "id": ".."}), "error", None),
        (httpx.Response(201, json={"resourceType": "Subscription", "id": ["s"]}), "error", None),
        (httpx.Response(201, content=b"{"), "error", None),
        (httpx.Response(201, content=b" " * 1_000_001), "error", None),
        (httpx.Response(302, headers={"Location": "http://evil.example/Subscription/x"}),
         "error", None),
        (httpx.Response(200, json={"resourceType": "OperationOutcome", "id": "x"}), "error", None),
    ],
    ids=["active", "location", "no status", "nothing", "path", "dots", "list", "broken", "large",
         "redirect", "outcome"],
)  # fmt: skip
def test_servers_answer_in_their_own_ways(
    place: Lane, mercy: Hospital, answer: httpx.Response, state: str, remote: str | None
) -> None:
    """A Subscription is taken wherever its id is told; what tells none is an error."""
    mercy.answers = answer
    turn(mercy)
    assert (watch(place).state, watch(place).remote) == (state, remote)


def test_an_error_over_there_leads_back_to_polling(place: Lane, mercy: Hospital) -> None:
    """A subscription that its server says is in error is polled for, and asked for anew."""
    subscribed(mercy)
    mercy.status = "error"
    assert mercy.notify("heartbeat").status_code == 200
    assert watch(place).state == "error"
    mercy.task["status"] = "in-progress"
    assert poll(mercy) == 1
    mercy.status = "active"
    place.clock.advance(601)
    turn(mercy)
    assert ("DELETE", f"Subscription/{REMOTE}") in mercy.asked
    assert len(mercy.taken) == 2
    assert mercy.notify("handshake").status_code == 200
    assert watch(place).state == "active"


def test_silence_is_asked_about(place: Lane, mercy: Hospital) -> None:
    """Without a sign of life for twice the heartbeat the system is asked; no answer is an error."""
    subscribed(mercy)
    place.clock.advance(1801)
    mercy.events = {1: mercy.task["id"]}
    mercy.task["status"] = "accepted"
    turn(mercy)
    assert (mercy.counted("$status"), mercy.counted("$events")) == (1, 1)
    assert (watch(place).state, stage(place)) == ("active", "accepted")
    place.clock.advance(1801)
    mercy.down = True
    turn(mercy)
    assert watch(place).state == "error"


def test_a_handshake_that_never_comes_is_not_waited_for(place: Lane, mercy: Hospital) -> None:
    """After two minutes without a handshake the subscription is asked for anew."""
    turn(mercy)
    place.clock.advance(121)
    turn(mercy)
    assert len(mercy.taken) == 2
    assert poll(mercy) == 0
    assert mercy.counted("Task/") == 1, "polled meanwhile"
