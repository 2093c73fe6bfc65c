"""What people report about the work that the engine gave them: recorded, told to nobody new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from outreach_town import OWNER, Place, consent, introduce, outreach, outreach_town, settings

from engine.coordination.findings import TASK_SYSTEM
from engine.coordination.records_tasks import BUSINESS
from engine.outreach.tasks import KINDS
from engine.rules.finding import CODE_SYSTEM
from engine.rules.own_work import TYPES

PHONE = [{"system": "phone", "value": "+1 515 555 0117"}]
LAKESIDE = {
    "name": "Lakeside",
    "type": "Organization",
    "system": "http://hl7.org/fhir/sid/us-npi",
    "value": "1888001124",
}


def project(folder: Path, *, routed: bool, owner: dict[str, Any] = OWNER) -> dict[str, Any]:
    """Return a config in which a route to the hub carries Tasks, or none does and none may stay."""
    config = settings(folder, phone={"owner": owner})
    config["unrouted"] = "reject"
    if routed:
        config["routes"][0]["types"].append("Task")
    return config


def called(place: Place) -> dict[str, Any]:
    """Let a release be signed and a call be set up for the guardian; return the Task."""
    introduce(place, {"dana": PHONE})
    consent(place)
    place.post("mercy", outreach("RelatedPerson/dana"))
    place.go()
    (task,) = place.current("Task")
    return task


def report(place: Place, task: dict[str, Any], system: str = "mercy", **changes: Any) -> int:
    """Report about a Task as a system knows it; return the HTTP status."""
    known = place.send("mercy", "GET", f"/fhir/Task/{task['id']}").json()
    body = {**known, **changes}
    return place.send(system, "PUT", f"/fhir/Task/{task['id']}", body).status_code


def tasks_told(place: Place) -> list[str]:
    return [
        f"{one.system} {one.resource['status']}"
        for one in place.arrived
        if one.resource["resourceType"] == "Task"
    ]


@pytest.fixture(params=[True, False], ids=["routed", "unrouted"])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    with outreach_town(tmp_path, project(tmp_path, routed=request.param)) as place:
        yield place


def test_a_report_needs_no_permit_for_others(place: Place) -> None:
    """The acting system's own Task is reported on although no consent covers its owner."""
    task = called(place)
    assert report(place, task, status="completed") in (200, 201)
    place.go()
    (communication,) = place.current("Communication")
    assert communication["status"] == "completed"
    assert tasks_told(place) == []


def test_a_report_tells_nobody_who_was_not_told_before(place: Place) -> None:
    """Words put into a report stay here: the Task never travelled, so it does not travel now."""
    task = called(place)
    note = [{"text": "Words that no release covers"}]
    assert report(place, task, status="in-progress", note=note) in (200, 201)
    place.go()
    assert tasks_told(place) == []


def test_a_new_task_that_only_wears_the_code_is_judged(tmp_path: Path) -> None:
    """The rule is for what is on record: another Task with the same code needs its permit."""
    with outreach_town(tmp_path, project(tmp_path, routed=True)) as place:
        task = called(place)
        known = place.send("mercy", "GET", f"/fhir/Task/{task['id']}").json()
        bare = {name: one for name, one in known.items() if name != "identifier"}
        other = place.send("mercy", "PUT", "/fhir/Task/another", {**bare, "id": "another"})
        assert other.status_code == 403
        place.go()
        assert tasks_told(place) == []


def test_another_system_cannot_report(place: Place) -> None:
    """A Task of the same id from another system is another Task, and moves nothing here."""
    task = called(place)
    report(place, task, "hub", status="completed")
    place.go()
    assert next(o for o in place.current("Task") if o["id"] == task["id"])["status"] == "requested"
    assert place.current("Communication")[0]["status"] == "in-progress"


def test_a_report_follows_the_task_under_a_permit_only(tmp_path: Path) -> None:
    """Who was sent the Task gets the report while consent covers it, and not any more after."""
    with outreach_town(tmp_path, project(tmp_path, routed=True, owner=LAKESIDE)) as place:
        task = called(place)
        place.go()
        assert report(place, task, status="accepted") in (200, 201)
        place.go()
        assert tasks_told(place) == ["hub requested", "hub accepted"]
        consent(place, "org-lakeside", status="inactive")
        place.go()
        place.arrived.clear()
        known = place.send("mercy", "GET", f"/fhir/Task/{task['id']}").json()
        script = [{"type": {"text": "script"}, "valueString": "Words under no release"}]
        done = {**known, "status": "cancelled", "input": script}
        assert place.send("mercy", "PUT", f"/fhir/Task/{task['id']}", done).is_success
        place.go()
        assert tasks_told(place) == []


def test_own_work_is_known_by_the_codes_that_the_engine_writes() -> None:
    """Whatever the engine writes for people bears a code system that marks it as such."""
    assert {KINDS, TASK_SYSTEM, BUSINESS} == TYPES["Task"]
    assert {CODE_SYSTEM} == TYPES["DetectedIssue"]
