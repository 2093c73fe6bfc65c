"""A subscription becomes active, falls into error, comes back and ends, and tells so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lane import SECRET, Lane, happened, lane, subscription
from typer.testing import CliRunner
from valley import project as valley_project

from engine.cli import build
from engine.subscriptions.lifecycle import line_of


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


def test_a_refusing_endpoint_is_told_apart(place: Lane) -> None:
    """An endpoint that answers with a refusal leads to the error `error-response`."""
    id = place.subscribe("hub")
    place.endpoint = lambda _: 410
    place.deliver()
    assert place.state("hub", id) == "error"
    row = place.store.read(lambda tx: tx.subscriptions.get(id))
    assert row is not None
    assert row.reason == "error-response"


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
