"""The guide's first sentence over all media and producers: nothing goes out before a release."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from happenings import plan
from lane import lane, subscription
from valley import CARRIED, Valley, consent, introduction, own_id, valley

from engine.fhir.json import loads

EVERYBODY = ("hub", "mercy", "lakeside", "clinic")
OWNER = '{name: Robin Vale, system: "urn:staff", value: "RV-1"}'
SETTINGS = """  media:
    fax: {{folder: faxes}}
    mail: {{folder: mails, from: care@hub.example}}
    phone: {{owner: {owner}}}
    meeting: {{owner: {owner}, organizer: care@hub.example}}
  preferences: [{{types: [RelatedPerson], prefer: [{medium}]}}]
  notifications: {{events: [plan-changed], through: clinic}}
structure_only: [DetectedIssue]
"""
CATEGORIES = "http://hl7.org/fhir/us/core/CodeSystem/careplan-category"
XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">.</div>'
SECRET = "Speech and family support"


def outreach(place: Valley) -> None:
    """Send a Communication that is to be told to the guardian, and to the plan."""
    place.post(
        "mercy",
        {
            "resourceType": "Communication",
            "id": "outreach",
            "meta": {
                "security": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
                        "code": "N",
                    }
                ]
            },
            "status": "in-progress",
            "subject": {"reference": "Patient/avery"},
            "sender": {"reference": "Organization/mercy"},
            "recipient": [{"reference": "RelatedPerson/dana"}],
            "payload": [{"contentString": "Shall we talk?"}],
        },
    )


def request(place: Valley) -> None:
    """Ask the providers for the member's records."""
    place.ask_for_records("2026-07-01T00:00:00.000000Z")


def answer(place: Valley) -> None:
    """Send records that answer a request."""
    place.post(
        "mercy",
        {
            "resourceType": "Task",
            "id": "answer",
            "status": "completed",
            "intent": "order",
            "for": {"reference": "Patient/avery"},
            "owner": {"reference": "Organization/mercy"},
            "requester": {"reference": "Organization/hub"},
            "output": [{"type": {"text": "records"}, "valueString": "Here."}],
        },
    )


def change_of_plan(place: Valley) -> None:
    """Send a plan, of which the guardian is to hear."""
    place.post("mercy", plan(title=SECRET))


def two_plans(place: Valley) -> None:
    """Send plans of two systems that disagree, so that a finding is written."""
    for system, times in (("mercy", 2), ("lakeside", 1)):
        detail = {
            "kind": "ServiceRequest",
            "status": "scheduled",
            "code": {"text": "Speech therapy"},
            "scheduledTiming": {"repeat": {"frequency": times, "period": 1, "periodUnit": "wk"}},
        }
        member = place.entity("Patient/avery", "mercy")
        subject = "Patient/avery" if system == "mercy" else f"Patient/{member}"
        plan = {
            "resourceType": "CarePlan",
            "id": "therapy",
            "text": {"status": "generated", "div": XHTML},
            "status": "active",
            "intent": "plan",
            "category": [{"coding": [{"system": CATEGORIES, "code": "assess-plan"}]}],
            "subject": {"reference": subject},
            "activity": [{"detail": detail}],
        }
        response = place.send(system, "PUT", "/fhir/CarePlan/therapy", plan)
        assert response.is_success, response.text


def reminder(place: Valley) -> None:
    """Ask under a release, which ends again where there is none to be; then let days pass."""
    covered = bool(place.store.read(lambda tx: tx.resources.of_type("Consent")))
    if not covered:
        place.permit(*EVERYBODY)
    request(place)
    place.deliver(200)
    if not covered:
        place.permit(*EVERYBODY, status="inactive")
    place.arrived.clear()
    place.wait(58)


def wish(place: Valley) -> None:
    """Post a CommunicationRequest that says something."""
    place.post(
        "mercy",
        {
            "resourceType": "CommunicationRequest",
            "status": "active",
            "subject": {"reference": "Patient/avery"},
            "recipient": [{"reference": "Organization/hub"}],
            "payload": [{"contentString": SECRET}],
        },
    )


def arrived(place: Valley) -> int:
    """Count what is under the consent rule and reached any system."""
    kinds = ("Communication", "CommunicationRequest", "Task", "DetectedIssue")
    return sum(one.resource["resourceType"] in kinds for one in place.arrived)


def faxes(place: Valley) -> int:
    return len(list(place.project.config.root.glob("faxes/*.pdf")))


def findings(place: Valley) -> int:
    """Count the findings that reached any system."""
    return sum(one.resource["resourceType"] == "DetectedIssue" for one in place.arrived)


def mails(place: Valley) -> int:
    return len(list(place.project.config.root.glob("mails/*.eml")))


def tasks(code: str) -> Callable[[Valley], int]:
    """Count the calls or meetings on record."""

    def count(place: Valley) -> int:
        rows = place.store.read(lambda tx: list(tx.resources.of_type("Task")))
        found: list[dict[str, Any]] = [loads(row.body) for row in rows]
        return sum(code in str(one.get("code")) for one in found)

    return count


def told_in_summary(place: Valley) -> int:
    """Count how often another provider reads in the summary what the hospital planned."""
    member = place.entity("Patient/avery", "mercy")
    path = f"/fhir/Patient/{member}/$coordination-summary?_format="
    forms = [place.send("lakeside", "GET", path + form).text for form in ("html", "json")]
    assert (SECRET in forms[0]) == (SECRET in forms[1])
    return forms[0].count(SECRET)


GOING_OUT: dict[str, tuple[str, Callable[[Valley], None], Callable[[Valley], int]]] = {
    "FHIR": ("phone", outreach, arrived),
    "fax": ("fax", outreach, faxes),
    "mail": ("mail", outreach, mails),
    "phone": ("phone", outreach, tasks("'call'")),
    "meeting": ("meeting", outreach, tasks("'meeting'")),
    "records request": ("phone", request, arrived),
    "records reminder": ("phone", reminder, arrived),
    "communication request": ("phone", wish, arrived),
    "finding": ("phone", two_plans, findings),
    "records answer": ("phone", answer, arrived),
    "notification": ("phone", change_of_plan, arrived),
    "summary": ("phone", change_of_plan, told_in_summary),
}


@pytest.mark.parametrize("covered", [False, True], ids=["no consent", "consent"])
@pytest.mark.parametrize("what", GOING_OUT)
def test_nothing_goes_out_without_consent(tmp_path: Path, what: str, covered: bool) -> None:
    """By every medium and from every producer: something under a release, and nothing without."""
    medium, produce, count = GOING_OUT[what]
    settings = SETTINGS.format(owner=OWNER, medium=medium)
    with valley(tmp_path, settings, f"{CARRIED}, DetectedIssue") as place:
        begin(place, covered)
        produce(place)
        for _ in range(4):
            place.timers()
            place.deliver(200)
        assert bool(count(place)) == covered
        if not covered:
            assert (arrived(place), faxes(place), mails(place)) == (0, 0, 0)
            assert (tasks("'call'")(place), tasks("'meeting'")(place)) == (0, 0)


def begin(place: Valley, covered: bool) -> None:
    """Let everybody be known, the guardian with every address, and the release be signed."""
    place.settle()
    dana = next(
        entry["resource"]
        for entry in introduction()["entry"]
        if entry["resource"]["resourceType"] == "RelatedPerson"
    )
    telecom = [{"system": kind, "value": "+1 555 010 2030"} for kind in ("phone", "fax")]
    telecom.append({"system": "email", "value": "dana@home.example"})
    response = place.send("mercy", "PUT", f"/fhir/{own_id(dana)}", {**dana, "telecom": telecom})
    assert response.is_success, response.text
    if covered:
        place.permit(*EVERYBODY)
    place.timers()
    place.deliver(200)
    place.arrived.clear()


@pytest.mark.parametrize("covered", [False, True], ids=["no consent", "consent"])
def test_no_subscriber_is_told_without_consent(tmp_path: Path, covered: bool) -> None:
    """A notification holds the resource under the release, and does not once that ended."""
    with lane(tmp_path) as place:
        task = place.asked_for_records()
        place.active("hub", subscription("hub", content="full-resource"))
        found = [{"type": {"text": "records"}, "valueString": SECRET}]
        place.moves({**task, "output": found}, "completed")
        assert place.follow() == 1
        if not covered:
            ended = {**consent(*EVERYBODY), "status": "inactive"}
            assert place.send("mercy", "PUT", "/fhir/Consent/release", ended).is_success
        place.deliver(100)
        (told,) = [call.bundle for call in place.calls if call.numbers]
        assert (SECRET in json.dumps(told)) == covered
