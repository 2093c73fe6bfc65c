"""The seven promises of the design, one section each; every test here could break one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from town import REPOSITORY, TOKENS, Arrived, Town, environment, town_after

from engine.samples.bundles import sample
from engine.samples.running import free_port
from engine.store import Store
from engine.testing import ManualClock

PATIENT = {
    "resourceType": "Patient",
    "id": "ada",
    "identifier": [{"system": "http://mercy.example/mrn", "value": "A1"}],
    "name": [{"family": "Example"}],
    "birthDate": "1980-02",
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    """Return a town that knows the sample people and their signed consent."""
    with town_after(tmp_path, "01-who-is-who", "04-signed-consent") as built:
        yield built


def outreach(number: int = 1, **more: Any) -> dict[str, Any]:
    """Return the sample outreach under another id."""
    base: dict[str, Any] = json.loads(sample("05-outreach"))
    base["identifier"][0]["value"] = base["id"] = f"outreach-{number}"
    return {**base, **more}


# 1. What was acknowledged is never lost.


def started(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a real server process that takes in but does not deliver."""
    command = [sys.executable, "-m", "engine", "serve", "--no-deliver", "--port", str(port)]
    command += ["--processes", "1"]
    more = environment(f"sqlite:///{folder / 'killed.db'}")
    return subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **more})


def up(url: str, process: subprocess.Popen[bytes]) -> None:
    transport = httpx.HTTPTransport(retries=5)
    with httpx.Client(transport=transport) as client:
        for _ in range(300):
            assert process.poll() is None, "the server ended"
            try:
                if client.get(f"{url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                continue
    raise AssertionError("the server did not come up")


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """A server killed without warning has on disk everything that it acknowledged."""
    port = free_port()
    process = started(tmp_path, port)
    try:
        up(f"http://127.0.0.1:{port}", process)
        headers = {"Authorization": f"Bearer {TOKENS['mercy']}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            acknowledged = [
                client.post("/fhir/Patient", json={**PATIENT, "id": f"p{number}"}).headers[
                    "x-message-id"
                ]
                for number in range(20)
            ]
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait(10)
    with Store.open(f"sqlite:///{tmp_path / 'killed.db'}", clock=ManualClock()) as store:
        kept = {row.id for row in store.read(lambda tx: tx.messages.search(limit=100))}
        waiting = store.read(lambda tx: tx.deliveries.search(state="waiting"))
        assert store.read(lambda tx: tx.audit.verify()) == []
    assert set(acknowledged) <= kept
    assert {row.message_id for row in waiting} == set(acknowledged)


# 2. Same destination and same member: in order of acceptance.


def test_one_members_updates_arrive_in_order_and_block_nobody_else(place: Town) -> None:
    """A member whose first delivery fails waits in order; another member's goes through."""
    other = {**PATIENT, "id": "bea", "identifier": [{"system": "x:y", "value": "2"}]}
    refused = {"ada": 1}

    def script(seen: Arrived) -> httpx.Response | None:
        family = seen.resource.get("name", [{}])[0].get("family", "")
        if family.startswith("Example") and refused["ada"]:
            refused["ada"] -= 1
            return httpx.Response(503)
        return None

    place.script = script
    for number in (1, 2, 3):
        place.post("mercy", {**PATIENT, "name": [{"family": f"Example {number}"}]})
    place.post("mercy", {**other, "name": [{"family": "Bea"}]})
    first = [one.resource["name"][0]["family"] for one in place.deliver()]
    assert first == ["Bea"]
    place.clock.advance(60)
    then = [one.resource["name"][0]["family"] for one in place.deliver()]
    assert then == ["Example 1", "Example 2", "Example 3"]


# 3. The same submission twice is accepted once.


def test_the_same_key_gets_the_first_answer(place: Town) -> None:
    """A repeat under the same key is answered as before and delivered once."""
    first = place.send("mercy", "POST", "/fhir/Patient", PATIENT, {"Idempotency-Key": "k1"})
    again = place.send("mercy", "POST", "/fhir/Patient", PATIENT, {"Idempotency-Key": "k1"})
    assert again.headers["idempotency-replayed"] == "true"
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.headers["location"] == again.headers["location"]
    assert first.headers["x-message-id"] == again.headers["x-message-id"]
    assert len(place.deliver()) == 1


@pytest.mark.parametrize(("gender", "status"), [("female", 201), ("bogus", 422)])
def test_a_repeat_outlives_what_was_answered(place: Town, gender: str, status: int) -> None:
    """Once retention took the answer, it says whether the submission was accepted, and no more."""
    body, key = {**PATIENT, "gender": gender}, {"Idempotency-Key": "k1"}
    place.send("mercy", "POST", "/fhir/Patient", body, key)
    place.clock.advance(86_400)
    place.store.write(lambda tx: tx.upkeep.forget_messages(tx.now, 10)).result()
    again = place.send("mercy", "POST", "/fhir/Patient", body, key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (status, "true")
    assert again.json()["resourceType"] == "OperationOutcome"
    assert ("location" in again.headers) == (status == 201)


def test_a_refusal_is_repeated_under_its_key_and_looked_at_anew_without_one(place: Town) -> None:
    """The same key gets the first answer for good; an equal body alone is another try."""
    wrong, key = {**PATIENT, "gender": "bogus"}, {"Idempotency-Key": "k1"}
    first = place.send("mercy", "POST", "/fhir/Patient", wrong, key)
    again = place.send("mercy", "POST", "/fhir/Patient", wrong, key)
    anew = place.send("mercy", "POST", "/fhir/Patient", wrong)
    assert [one.status_code for one in (first, again, anew)] == [422, 422, 422]
    assert again.headers["x-message-id"] == first.headers["x-message-id"]
    assert anew.headers["x-message-id"] != first.headers["x-message-id"]


def test_an_equal_body_under_another_key_is_one_submission(place: Town) -> None:
    """Within the window the digest counts, whatever the key."""
    answers = [
        place.send("mercy", "POST", "/fhir/Patient", PATIENT, {"Idempotency-Key": key})
        for key in ("k1", "k2")
    ]
    assert len({one.headers["x-message-id"] for one in answers}) == 1
    assert len(place.deliver()) == 1


@pytest.mark.parametrize(
    "place_of_key", ["Idempotency-Key", "Bundle.identifier", "MessageHeader.id"]
)
def test_a_conflict_names_the_key(place: Town, place_of_key: str) -> None:
    """Who sent no header is told which element was taken for the key."""
    header = {"Idempotency-Key": "k1"} if place_of_key == "Idempotency-Key" else {}
    for gender in ("male", "female"):
        known = {**PATIENT, "gender": gender}
        entry = [{"resource": known, "request": {"method": "PUT", "url": "Patient/ada"}}]
        body = {"resourceType": "Bundle", "type": "batch", "entry": entry}
        if place_of_key == "Bundle.identifier":
            body["identifier"] = {"system": "urn:x", "value": "b1"}
        if place_of_key == "MessageHeader.id":
            event = {"eventUri": "urn:e", "source": {"endpoint": "urn:s"}}
            first = {"resource": {"resourceType": "MessageHeader", "id": "h1", **event}}
            body = {**body, "type": "message", "entry": [first, {"resource": known}]}
        told = place.send("mercy", "POST", "/fhir", body, header)
    assert told.status_code == 409
    assert place_of_key in told.json()["issue"][0]["diagnostics"]


def test_the_same_key_with_other_content_is_a_conflict(place: Town) -> None:
    """A key cannot be used for something else."""
    place.send("mercy", "POST", "/fhir/Patient", PATIENT, {"Idempotency-Key": "k1"})
    changed = {**PATIENT, "gender": "female"}
    again = place.send("mercy", "POST", "/fhir/Patient", changed, {"Idempotency-Key": "k1"})
    assert again.status_code == 409


def test_equal_bodies_are_one_submission_unless_something_came_between(place: Town) -> None:
    """A, A is one update; A, B, A is three."""
    changed = {**PATIENT, "gender": "female"}
    for body in (PATIENT, PATIENT, changed, PATIENT):
        assert place.post("mercy", body).status_code == 201
    assert [one.resource.get("gender") for one in place.deliver()] == [None, "female", None]


def test_every_attempt_bears_the_same_key(place: Town) -> None:
    """A destination can tell a second attempt from a second delivery."""
    keys: list[str] = []

    def script(seen: Arrived) -> httpx.Response | None:
        keys.append(seen.key)
        return httpx.Response(503) if len(keys) == 1 else None

    place.script = script
    place.post("mercy", PATIENT)
    place.deliver()
    place.clock.advance(60)
    place.deliver()
    assert len(keys) == 2
    assert keys[0]
    assert keys[0] == keys[1]


# 4. No Communication leaves without a permit decided at sending, on record before it leaves.


def test_the_permit_is_on_record_before_the_bytes_leave(place: Town) -> None:
    """When the destination sees a Communication, the record already holds the permit for it."""
    seen: list[list[str]] = []

    def script(arrived: Arrived) -> httpx.Response | None:
        if arrived.resource["resourceType"] == "Communication":
            rows = place.store.read(
                lambda tx: [
                    decision
                    for row in tx.deliveries.search(state="leased")
                    for decision in tx.decisions.of_delivery(row.id)
                ]
            )
            seen.append([row.decision for row in rows])
            assert rows[0].body["basis"][0]["consent"].startswith("Consent/")
            assert "/_history/" in rows[0].body["basis"][0]["consent"]
        return None

    place.script = script
    assert place.post("mercy", outreach()).status_code == 201
    place.deliver()
    assert seen == [["permit"]]


@pytest.mark.parametrize("wrapped", ["contained", "nested"])
def test_a_communication_does_not_leave_inside_something_else(place: Town, wrapped: str) -> None:
    """What holds a Communication is guarded like one: a revoked consent stops it too."""
    assert place.send("mercy", "POST", "/fhir", sample("08-revocation")).status_code == 200
    place.deliver()
    inner = {name: value for name, value in outreach().items() if name != "meta"}
    middle = {"resourceType": "Parameters", "parameter": [{"name": "x", "resource": inner}]}
    plan = json.loads(sample("02-team-and-plan"))["entry"][-1]["resource"]
    held = inner if wrapped == "contained" else middle
    carrier = {
        **plan,
        "contained": [{**held, "id": "c1"}],
        "supportingInfo": [{"reference": "#c1"}],
    }
    response = place.post("mercy", carrier)
    assert response.status_code == 403, response.text
    assert place.deliver() == []


def test_without_its_sender_a_communication_is_held(place: Town) -> None:
    """What came from a system that was taken out of the project waits, once, for a person."""
    for name in ("01-who-is-who", "04-signed-consent"):
        place.send("mercy", "POST", "/fhir", sample(name))
    place.deliver(200)
    place.send("mercy", "POST", "/fhir/Communication", sample("05-outreach"))
    config = place.project.config
    systems = {name: one for name, one in config.systems.items() if name != "mercy"}
    place.project = replace(place.project, config=replace(config, systems=systems))
    place.deliver()
    rows = place.store.read(lambda tx: tx.deliveries.search(limit=100))
    (found,) = [row for row in rows if row.type == "Communication"]
    assert (found.state, found.reason, found.attempts) == ("held", "sender-removed", 1)


# 5. No silent loss.


def test_an_unknown_element_stops_the_message_with_its_path(place: Town) -> None:
    """What FHIR does not know is refused, with the path and the nearest name."""
    response = place.post("mercy", {**outreach(), "recipent": []})
    assert response.status_code == 422
    assert response.json()["issue"][0]["expression"] == ["Communication.recipent"]
    assert "recipient" in response.json()["issue"][0]["diagnostics"]


# 6. Whatever is sent is valid.


def test_whatever_is_sent_is_valid_for_its_destination(place: Town) -> None:
    """Every body that reached a destination passes that destination's version and profile."""
    place.send("mercy", "POST", "/fhir", sample("02-team-and-plan"))
    place.post("mercy", outreach())
    arrived = place.deliver()
    assert len(arrived) >= 4
    for one in arrived:
        dialect = place.project.config.systems[one.system].dialect
        problems = place.project.check_dialect(one.resource, dialect)
        assert [p for p in problems if p.severity == "error"] == []


# 7. Errors are FHIR.


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/fhir", b"{"),
        ("POST", "/fhir", b"[]"),
        ("POST", "/fhir/Nonsense", b"{}"),
        ("DELETE", "/fhir/Patient/1", None),
        ("GET", "/elsewhere", None),
        ("GET", "/fhir/Patient/unknown", None),
    ],
)
def test_every_failure_is_an_operation_outcome(
    place: Town, method: str, path: str, body: bytes | None
) -> None:
    """Each failure has a code, plain words, and no trace of the program."""
    response = place.send("mercy", method, path, body)
    assert 400 <= response.status_code < 500
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["diagnostics"]
    assert "Traceback" not in response.text
    assert response.headers["content-type"].startswith("application/fhir+json")
