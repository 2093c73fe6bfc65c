"""A consent that ends: calls and meetings are cancelled, requests held; on its day, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from outreach_town import ADDRESSES, introduce, outreach, outreach_town, settings
from outreach_town import consent as release
from test_guide_records import arrived, put, request, tracked
from valley import Valley, consent, valley

from engine.coordination.handlers import handlers
from engine.coordination.records_tasks import OWN_CATEGORY_SYSTEM
from engine.outreach.recipients import MODES, PARTICIPATION_MODE, PREFERRED_MEDIUM
from engine.store import Store
from engine.timers import TimerRunner

EVERYBODY = ("hub", "mercy", "lakeside", "clinic")
TWO_WEEKS = {"period": {"start": "2026-04-01", "end": "2026-05-14"}}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Valley]:
    """Return a valley in which everybody is known."""
    with valley(tmp_path) as built:
        built.settle()
        yield built


def sign(place: Valley, id: str = "release", **changes: Any) -> None:
    """Let a release until the fourteenth be signed, or changed."""
    signed = consent(*EVERYBODY, id=id, **changes)
    signed["provision"] |= TWO_WEEKS
    assert place.send("mercy", "PUT", f"/fhir/Consent/{id}", signed).is_success
    place.deliver(200)
    place.timers()
    place.arrived.clear()


@pytest.mark.parametrize("medium", ["phone", "meeting"])
def test_a_call_that_waits_when_the_consent_ends_is_cancelled(tmp_path: Path, medium: str) -> None:
    """Nobody reports, nothing arrives: on the day after, the Task is cancelled, without script."""
    with outreach_town(tmp_path, settings(tmp_path, mail=None)) as place:
        coding = {"system": PARTICIPATION_MODE, "code": MODES[medium]}
        wish = {"url": PREFERRED_MEDIUM, "valueCodeableConcept": {"coding": [coding]}}
        introduce(place, {"dana": ADDRESSES[medium]}, dana={"extension": [wish]})
        release(place, period={"start": "2025-09-02", "end": "2026-05-14"})
        place.post("mercy", outreach("RelatedPerson/dana"))
        place.go()
        place.clock.advance(13 * 86_400)  # the whole last day counts
        place.go()
        assert [one["status"] for one in place.current("Task")] == ["requested"]
        place.clock.advance(86_400)
        place.go()
        (task,) = place.current("Task")
        assert task["status"] == "cancelled"
        assert "input" not in task
        assert len(place.audit("outreach.withdrawn")) == 1


@pytest.mark.parametrize("how", ["revoked", "ended"])
def test_a_request_that_waits_is_held(place: Valley, how: str) -> None:
    """It is on hold here, with the reason; without a permit the provider hears nothing of it."""
    sign(place)
    told = request(place)["mercy"]
    place.deliver(100)
    if how == "revoked":
        sign(place, status="inactive")
    else:
        place.wait(20)
    task = tracked(place, str(told.task)).task
    assert task["status"] == "on-hold"
    assert task["statusReason"]["coding"][0]["code"] == "consent-withdrawn"
    assert [one for one in place.deliver(100) if one.resource["resourceType"] == "Task"] == []
    assert place.kinds("records.held") == ["records.held"] * 2


def test_a_request_that_was_held_goes_on_under_a_new_consent(place: Valley) -> None:
    """Signed anew, the request stands where it stood before."""
    sign(place)
    told = request(place)["mercy"]
    put(place, {**arrived(place)["mercy"], "status": "accepted"})
    sign(place, status="inactive")
    assert tracked(place, str(told.task)).task["status"] == "on-hold"
    sign(place, id="again", dateTime="2026-04-02T09:00:00Z")
    task = tracked(place, str(told.task)).task
    assert (task["status"], "statusReason" in task) == ("accepted", False)
    assert place.kinds("records.resumed") == ["records.resumed"] * 2


def test_what_another_consent_covers_goes_on(place: Valley) -> None:
    """One of two releases ends; what the other covers is not touched."""
    sign(place)
    place.permit(*EVERYBODY, id="second")
    told = request(place)["mercy"]
    place.deliver(100)
    place.wait(20)
    assert tracked(place, str(told.task)).stage == "requested"
    assert place.kinds("records.held") == []


def test_the_end_of_a_consent_survives_a_restart(tmp_path: Path) -> None:
    """What was to happen on the day happens in the next process, once, whatever its clock did."""
    with valley(tmp_path) as place:
        place.settle()
        sign(place)
        told = request(place)["mercy"]
        place.deliver(100)
        place.store.close()
        place.clock.advance(20 * 86_400)
        with Store.open(f"sqlite:///{tmp_path / 'carelane.db'}", clock=place.clock) as store:
            runner = TimerRunner(store, place.clock, handlers(lambda: place.project))
            runner.turn()
            place.clock.step(-15 * 86_400)
            runner.turn()
            place.clock.step(15 * 86_400)
            runner.turn()
            place.store = store
            assert tracked(place, str(told.task)).task["status"] == "on-hold"
            assert place.kinds("records.held") == ["records.held"] * 2


def wish(place: Valley) -> None:
    """Let the plan post a CommunicationRequest for records, which every provider is asked for."""
    category = {"coding": [{"system": OWN_CATEGORY_SYSTEM, "code": "records-request"}]}
    wanted = {
        "resourceType": "CommunicationRequest",
        "id": "wanted",
        "status": "active",
        "category": [category],
        "subject": {"reference": f"Patient/{place.entity('Patient/avery', 'mercy')}"},
        "payload": [{"contentString": "The last report"}],
    }
    assert place.send("hub", "PUT", "/fhir/CommunicationRequest/wanted", wanted).is_success
    place.timers()


def wanted(place: Valley) -> str:
    answer = place.send("hub", "GET", "/fhir/CommunicationRequest/wanted")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["status"])


@pytest.mark.parametrize(
    ("first", "second", "settled"),
    [("completed", "rejected", "completed"), ("failed", "rejected", "revoked")],
)
def test_a_communication_request_ends_with_its_tasks(
    tmp_path: Path, first: str, second: str, settled: str
) -> None:
    """Active while anybody is waited for; then completed, or revoked where nobody answered."""
    carried = "CareTeam, CarePlan, Communication, Task"  # the CommunicationRequest goes nowhere
    with valley(tmp_path, "unrouted: record", carried) as place:
        place.settle()
        place.permit(*EVERYBODY)
        wish(place)
        tasks = {one.system: one.resource for one in place.deliver(100)}
        assert set(tasks) >= {"mercy", "lakeside"}
        put(place, {**tasks["mercy"], "status": first})
        assert wanted(place) == "active"
        other = {**tasks["lakeside"], "status": second}
        assert place.send("lakeside", "PUT", f"/fhir/Task/{other['id']}", other).is_success
        place.timers()
        assert wanted(place) == settled
