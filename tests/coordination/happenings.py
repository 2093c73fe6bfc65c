"""The events of coordination, as they happen in the valley, and what its portal hears of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from valley import Valley, introduction, own_id

THROUGH_PORTAL = "  notifications: {through: clinic}"
EVERYBODY = ("hub", "mercy", "lakeside", "clinic")


def begin(place: Valley, consent: bool = True, guardian: bool = True, **patient: Any) -> None:
    """Let everybody be known, and wait for the next day, so that nothing is left to tell."""
    bundle = introduction(**patient)
    if not guardian:
        for entry in bundle["entry"]:
            if entry["resource"]["resourceType"] == "RelatedPerson":
                entry["resource"]["relationship"] = [{"text": "neighbour"}]
    response = place.post("mercy", bundle)
    assert response.status_code == 200, response.text
    place.deliver(200)
    if consent:
        performer = [{"reference": "RelatedPerson/dana" if guardian else "Patient/avery"}]
        place.permit(*EVERYBODY, performer=performer)
    place.wait(2)
    place.deliver(200)
    place.arrived.clear()


def put(place: Valley, resource: dict[str, Any]) -> None:
    response = place.send("mercy", "PUT", f"/fhir/{own_id(resource)}", resource)
    assert response.status_code == 201, response.text
    place.timers()


def notices(place: Valley) -> list[dict[str, Any]]:
    """Return the notices that reached the portal since last time, and that nobody else got any."""
    place.timers()
    found = [
        one
        for one in place.deliver(200)
        if one.resource["resourceType"] == "Communication"
        and "notification" in str(one.resource.get("category"))
    ]
    assert {one.system for one in found} <= {"clinic"}
    return [one.resource for one in found]


def words(notice: dict[str, Any]) -> str:
    return str(notice["payload"][0]["contentString"])


def plan(id: str = "p", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "CarePlan",
        "id": id,
        "status": "active",
        "intent": "plan",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category",
                        "code": "assess-plan",
                    }
                ]
            }
        ],
        "subject": {"reference": "Patient/avery"},
        **more,
    }


def new_plan(place: Valley) -> None:
    put(place, plan())


def new_member_of_the_team(place: Valley) -> None:
    team = introduction()["entry"][-1]["resource"]
    joined = {"role": [{"text": "Clinic"}], "member": {"reference": "Organization/clinic"}}
    put(place, {**team, "participant": [*team["participant"], joined]})


def first_outreach(place: Valley) -> None:
    put(
        place,
        {
            "resourceType": "Communication",
            "id": "first",
            "status": "completed",
            "subject": {"reference": "Patient/avery"},
            "recipient": [{"reference": "Organization/hub"}],
            "payload": [{"contentString": "Shall we talk?"}],
        },
    )


def records_asked(place: Valley) -> None:
    place.ask_for_records("2026-07-01T00:00:00.000000Z")


def records_released(place: Valley) -> None:
    records_asked(place)
    task = next(one.resource for one in place.deliver(100) if one.system == "mercy")
    place.wait(2)
    place.deliver(100)
    put(place, {**task, "status": "completed"})


HAPPENINGS: dict[str, tuple[Callable[[Valley], None], str]] = {
    "first-outreach": (first_outreach, "for the first time"),
    "new-team-member": (new_member_of_the_team, "joined the care team"),
    "records-requested": (records_asked, "asked a care provider for records"),
    "records-released": (records_released, "sent the records"),
    "plan-changed": (new_plan, "plan of care was written or changed"),
}
