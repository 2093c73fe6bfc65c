"""Calls and meetings of outreach are Tasks: each has an owner, who reports, and a consent."""

from __future__ import annotations

from email import message_from_bytes
from pathlib import Path
from typing import Any

import icalendar
import pytest
from outreach_town import (
    DANA,
    FAX,
    MAIL,
    OWNER,
    PHONE,
    Mailbox,
    Place,
    communication,
    consent,
    introduce,
    outreach,
    outreach_town,
    prefers,
    ready_for,
    settings,
)


def test_a_call_is_a_task_and_its_report_ends_the_communication(place: Place) -> None:
    """The Task has owner, due time and script; completed, the Communication is completed."""
    introduce(place, {"dana": PHONE})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    (task,) = place.current("Task")
    assert task["owner"]["display"] == OWNER["name"]
    assert task["restriction"]["period"]["end"] > task["authoredOn"]
    assert communication(place)["status"] == "in-progress"
    assert _report(place, task, "completed").status_code in (200, 201)
    place.go()
    record = communication(place)
    assert record["status"] == "completed"
    assert record["received"]


def test_a_call_that_failed_falls_back(place: Place) -> None:
    """A Task that ends as failed lets the next medium begin."""
    introduce(place, {"dana": [{**PHONE[0], "rank": 1}, *FAX]})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    (task,) = place.current("Task")
    _report(place, task, "failed")
    place.go()
    assert len(place.faxes()) == 1
    assert communication(place)["status"] == "completed"


@pytest.mark.parametrize("medium", ["phone", "meeting"])
def test_a_call_that_consent_no_longer_covers_is_taken_back(place: Place, medium: str) -> None:
    """A revocation cancels the Task that waits for its owner and takes the script out of it."""
    recipient = ready_for(place, medium)
    consent(place)
    place.post("mercy", outreach(recipient))
    place.go()
    consent(place, "org-lakeside", status="inactive")
    place.go()
    (task,) = place.current("Task")
    assert task["status"] == "cancelled"
    assert "input" not in task
    assert len(place.audit("outreach.withdrawn")) == 1
    assert communication(place)["status"] == "stopped"


@pytest.mark.parametrize("covered", [True, False])
def test_a_task_travels_only_where_consent_covers_its_owner(tmp_path: Path, covered: bool) -> None:
    """Where a route leads on, the hub gets it if the release covers the owner; else it stays."""
    config = settings(tmp_path)
    config["routes"][0]["types"].append("Task")
    npi = {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1888001124"}
    owner = {"name": "Lakeside", "type": "Organization", **npi}
    config["coordination"]["media"]["phone"]["owner"] = owner if covered else OWNER
    with outreach_town(tmp_path, config) as place:
        introduce(place, {"dana": PHONE})
        consent(place)
        place.post("mercy", outreach(DANA))
        place.go()
        place.go()
        tasks = [one for one in place.arrived if one.resource["resourceType"] == "Task"]
        assert [one.system for one in tasks] == (["hub"] if covered else [])
        assert place.by_medium() == [("phone", "delivered")]
        assert len(place.current("Task")) == 1


def _report(place: Place, task: dict[str, Any], status: str) -> Any:
    answer = place.send("mercy", "GET", f"/fhir/Task/{task['id']}")
    assert answer.status_code == 200, answer.text
    body = {**answer.json(), "status": status}
    return place.send("mercy", "PUT", f"/fhir/Task/{task['id']}", body)


def test_a_meeting_is_a_task_with_an_invitation_by_mail(place: Place, mailbox: Mailbox) -> None:
    """Who has a mailbox gets the invitation; the owner has it in the Task."""
    introduce(place, {"dana": MAIL}, dana=prefers("meeting"))
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    (task,) = place.current("Task")
    kinds = {one["type"]["coding"][0]["code"] for one in task["input"]}
    assert "invitation" in kinds
    (envelope,) = mailbox.got
    assert isinstance(envelope.content, bytes)
    parts = {part.get_content_type(): part for part in message_from_bytes(envelope.content).walk()}
    calendar = icalendar.Calendar.from_ical(parts["text/calendar"].get_payload(decode=True))
    assert calendar["METHOD"] == "REQUEST"
