"""Whatever happens in whatever order: numbers have no gaps, and nobody is told too much."""

from __future__ import annotations

import itertools
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lane import Call, Lane, happened, lane, subscription
from valley import consent

from engine.reading import read

STATUSES = ("received", "accepted", "in-progress", "on-hold")
STEPS = (
    "move", "move", "answer", "private", "follow", "deliver", "wait", "up", "down", "lost",
    "restart", "withdraw", "permit", "renew",
)  # fmt: skip


class Story:
    """One subscriber, to whom everything happens; the laws are checked at every notification."""

    def __init__(self, place: Lane) -> None:
        self.place = place
        self.task = place.asked_for_records()
        self.id = place.active("hub", subscription("hub", content="full-resource"))
        self.place.endpoint = self.arrives
        self.mode = "up"
        self.numbers: list[int] = []
        self.instants: dict[int, set[str]] = defaultdict(set)
        self.counter = itertools.count()

    def arrives(self, call: Call) -> int | None:
        """Take a notification as a subscriber would, and hold it against the laws."""
        if self.mode == "down":
            return 0
        for event in happened(call.bundle):
            number = int(event["event-number"])
            assert call.status["events-since-subscription-start"] == str(number)
            self.numbers.append(number)
            self.instants[number].add(event["timestamp"])
        for entry in call.bundle["entry"][1:]:
            self.could_be_read(entry["resource"])
        return 0 if self.mode == "lost" else None

    def could_be_read(self, resource: dict[str, Any]) -> None:
        """Hold a resource that was told against what GET answers at this moment."""
        place = self.place
        reading = place.store.read(
            lambda tx: read(tx, place.project, "hub", resource["resourceType"], resource["id"])
        )
        assert reading.status == 200
        assert resource == reading.resource

    def step(self, name: str) -> None:
        """Let one thing happen."""
        place, count = self.place, next(self.counter)
        match name:
            case "move":
                self.put({"status": STATUSES[count % len(STATUSES)]})
            case "answer":
                output = [{"type": {"text": "records"}, "valueString": f"found {count}"}]
                self.put({"status": "completed", "output": output})
            case "private":
                place.post("clinic", {
                    "resourceType": "Task", "id": f"own{count}", "status": "requested",
                    "intent": "order", "for": {"reference": "Patient/avery"}})  # fmt: skip
            case "follow":
                place.follow()
            case "deliver":
                place.deliver()
            case "wait":
                place.clock.advance(400)
            case "up" | "down" | "lost":
                self.mode = name
            case "restart":
                place.restart()
            case "withdraw" | "permit":
                status = "inactive" if name == "withdraw" else "active"
                place.send("mercy", "PUT", "/fhir/Consent/release", {
                    **consent("hub", "mercy", "lakeside", "clinic"), "status": status,
                    "dateTime": f"2026-04-01T09:{count:02}:00Z"})  # fmt: skip
            case "renew":
                self.renew()

    def put(self, changes: dict[str, Any]) -> None:
        """Let the hospital say something of the request; without a release that is refused."""
        body = {**self.task, **changes}
        self.place.send("mercy", "PUT", f"/fhir/Task/{self.task['id']}", body)

    def renew(self) -> None:
        """Ask for the subscription anew, as a subscriber does that heard of an error."""
        body = {**subscription("hub", content="full-resource"), "id": self.id}
        assert self.place.send("hub", "PUT", f"/fhir/Subscription/{self.id}", body).is_success

    def end(self) -> None:
        """Let everything come to rest, and hold all of it against the laws."""
        self.mode = "up"
        for _ in range(4):
            self.place.clock.advance(400)
            self.place.follow()
            self.place.deliver(100)
        if self.place.state("hub", self.id) == "error":
            self.renew()
            self.place.deliver(100)
        assert self.place.state("hub", self.id) == "active"
        known = self.known()
        assert list(known) == list(range(1, len(known) + 1)), "no gaps"
        assert first_seen(self.numbers) == sorted(set(self.numbers)), "in order"
        assert all(instants == {known[number]} for number, instants in self.instants.items())

    def known(self) -> dict[int, str]:
        """Return what `$events` tells: number and instant of each event."""
        found = self.place.send("hub", "GET", f"/fhir/Subscription/{self.id}/$events").json()
        return {int(one["event-number"]): one["timestamp"] for one in happened(found)}


def first_seen(numbers: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


@settings(max_examples=5)
@given(st.lists(st.sampled_from(STEPS), min_size=4, max_size=12))
def test_numbers_have_no_gaps_and_nobody_is_told_too_much(steps: list[str]) -> None:
    """In any order of updates, consents, outages, lost answers, restarts and new handshakes:
    events are numbered without gaps, told in order, under one number each, and what is told is
    what GET answers the subscriber at that moment."""
    with tempfile.TemporaryDirectory() as folder, lane(Path(folder)) as place:
        story = Story(place)
        for name in steps:
            story.step(name)
        story.end()
