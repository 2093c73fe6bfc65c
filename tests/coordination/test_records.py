"""Records requests, end to end: asked under consent, tracked, answered, routed back, reviewed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from valley import NPI, NUMBERS, Valley, consent, introduction, own_id, valley

from engine.coordination.producing import produce
from engine.coordination.records import Asked, Asking, Tracked, all_requests, ask, review
from engine.coordination.records_providers import providers
from engine.coordination.records_tasks import BUSINESS, OWN_CATEGORY_SYSTEM, REQUEST, Wanted
from engine.fhir.json import dumps
from engine.releasing import release_waiting
from engine.store import Transaction
from engine.transform.crosswalk import reference_key

DUE = "2026-05-15T12:00:00.000000Z"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Valley]:
    """Return a valley in which everybody is known and the release covers everybody."""
    with valley(tmp_path) as built:
        built.settle()
        built.permit("hub", "mercy", "lakeside", "clinic")
        yield built


def request(place: Valley, cause: str = "one", due: str = DUE) -> dict[str, Asked]:
    """Ask everybody for the member's records, as the command line does; by system."""
    member = place.entity("Patient/avery", "mercy")
    asking = Asking(member, "hub", Wanted(due), cause)
    told = place.store.write(
        lambda tx: ask(tx, place.project, asking, providers(tx, place.project, member, asker="hub"))
    ).result()
    return {str(one.system): one for one in told}


def asked(place: Valley, system: str = "mercy") -> dict[str, Any]:
    """Ask everybody, and return the Task as it arrived at one system."""
    request(place)
    arrived = [one.resource for one in place.deliver(100) if one.system == system]
    assert [one["resourceType"] for one in arrived] == ["Task"]
    return arrived[0]


def known(place: Valley, task: Mapping[str, Any]) -> Tracked:
    """Return a request as the engine tracks it."""
    found = place.store.read(lambda tx: list(all_requests(tx, place.project)))
    return next(one for one in found if one.task["id"] == task["id"])


def put(place: Valley, system: str, resource: Mapping[str, Any], status: int = 201) -> None:
    """Send an update as a system, and let what follows happen."""
    response = place.send(system, "PUT", f"/fhir/{own_id(resource)}", dict(resource))
    assert response.status_code == status, response.text
    place.timers()


DOCUMENT: dict[str, Any] = {
    "resourceType": "DocumentReference",
    "id": "note",
    "status": "current",
    "type": {"coding": [{"system": "http://loinc.org", "code": "34133-9"}]},
    "subject": {"reference": "Patient/avery"},
    "date": "2026-05-02T10:00:00Z",
    "content": [{"attachment": {"contentType": "text/plain", "data": "aGVsbG8="}}],
}


def test_previous_and_current_providers_are_asked_each_by_its_own_request(place: Valley) -> None:
    """The hospital is current, the therapist was; each gets its Task and nobody else's."""
    told = request(place)
    assert {name: (one.current, one.state) for name, one in told.items()} == {
        "mercy": (True, "sent"),
        "lakeside": (False, "sent"),
    }
    arrived = place.deliver(100)
    assert {(one.system, one.resource["id"]) for one in arrived} == {
        (name, one.task) for name, one in told.items()
    }
    for one in arrived:
        assert place.project.check_dialect(one.resource, "us-core") == []
    assert request(place)["mercy"].state == "already"


def test_a_provider_who_left_the_team_is_still_asked(place: Valley) -> None:
    """Who stands only in an earlier version of the team is a previous provider."""
    team = introduction()["entry"][-1]["resource"]
    put(place, "mercy", {**team, "participant": team["participant"][:1]})
    assert not request(place)["lakeside"].current


def test_encounters_and_coverage_name_providers_too(place: Valley) -> None:
    """The payor of a coverage is asked as well."""
    cover = {
        "resourceType": "Coverage",
        "id": "c1",
        "status": "cancelled",
        "beneficiary": {"reference": "Patient/avery"},
        "payor": [{"reference": "Organization/clinic"}],
    }
    put(place, "mercy", cover)
    told = request(place)["clinic"]
    assert (told.current, told.state) == (False, "sent")


@pytest.mark.parametrize(
    ("status", "stage"),
    [
        ("accepted", "accepted"),
        ("in-progress", "accepted"),
        ("on-hold", "accepted"),
        ("rejected", "refused"),
        ("failed", "refused"),
        ("completed", "answered"),
        ("requested", "requested"),
    ],
)
def test_every_hrex_status_is_tracked_and_seen_by_polling(
    place: Valley, status: str, stage: str
) -> None:
    """The asker that GETs the Task sees the status that the provider gave it."""
    task = asked(place)
    put(place, "mercy", {**task, "status": status})
    assert known(place, task).stage == stage
    seen = place.send("hub", "GET", f"/fhir/Task/{task['id']}")
    assert seen.json()["status"] == status
    assert "records.out-of-order" not in place.kinds("records.")


def test_an_answer_in_the_task_goes_to_its_asker_only(place: Valley) -> None:
    """Of the three systems that the routes lead to, only the asker gets the answered Task."""
    task = asked(place)
    put(place, "mercy", DOCUMENT)
    place.deliver(100)
    output = {
        "type": {"text": "data"},
        "valueReference": {"reference": "DocumentReference/note"},
    }
    put(place, "mercy", {**task, "status": "completed", "output": [output]})
    assert [(one.system, own_id(one.resource)) for one in place.deliver(100)] == [
        ("hub", f"Task/{task['id']}")
    ]
    assert known(place, task).stage == "answered"


def pointing(task: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return answers that name a request in every way there is."""
    target = {"reference": f"Task/{task['id']}"}
    named = {"identifier": {"system": REQUEST, "value": task["id"]}}
    message = {
        "resourceType": "Communication",
        "id": "answer",
        "status": "completed",
        "subject": {"reference": "Patient/avery"},
        "recipient": [{"reference": "Organization/hub"}],
        "payload": [{"contentString": "Here it is."}],
    }
    result = {
        "resourceType": "Task",
        "id": "answer",
        "status": "completed",
        "intent": "order",
        "for": {"reference": "Patient/avery"},
        "owner": {"reference": "Organization/mercy"},
        "requester": {"reference": "Organization/hub"},
        "output": [{"type": {"text": "records"}, "valueString": "Here."}],
    }
    document = {**DOCUMENT, "id": "answer"}
    return {
        "Communication.basedOn": {**message, "basedOn": [target]},
        "Communication.about": {**message, "about": [target]},
        "Communication.reasonReference by identifier": {
            **message,
            "about": [{"type": "Task", **named}],
        },
        "Communication.identifier": {**message, "identifier": [named["identifier"]]},
        "DocumentReference.context.related": {**document, "context": {"related": [target]}},
        "DocumentReference.identifier": {**document, "identifier": [named["identifier"]]},
        "Task.focus": {**result, "focus": target},
        "Task.basedOn": {**result, "basedOn": [target]},
        "Task.reasonReference": {**result, "reasonReference": target},
    }


@pytest.mark.parametrize("way", pointing({"id": "x"}))
@pytest.mark.parametrize("bundled", [False, True], ids=["alone", "in a Bundle"])
def test_an_answer_is_matched_and_handed_to_the_asker(
    place: Valley, way: str, bundled: bool
) -> None:
    """Whatever names the request completes it, and the asker gets the completed Task."""
    task = asked(place)
    answer = pointing(task)[way]
    if bundled:
        response = place.post(
            "mercy",
            {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": answer}]},
        )
        assert response.json()["entry"][0]["response"]["status"] == "201 Created", response.text
        place.timers()
    else:
        put(place, "mercy", answer)
    found = known(place, task)
    assert found.stage == "answered"
    entity = place.entity(f"{answer['resourceType']}/answer", "mercy")
    assert found.to_json(place.clock.now())["answers"] == [f"{answer['resourceType']}/{entity}"]
    arrived = [one.resource for one in place.deliver(200) if one.system == "hub"]
    assert task["id"] in [one["id"] for one in arrived if one["resourceType"] == "Task"]


def test_the_same_answer_twice_is_one_output(place: Valley) -> None:
    """An answer that comes again adds nothing."""
    task = asked(place)
    answer = pointing(task)["Communication.basedOn"]
    put(place, "mercy", answer)
    put(place, "mercy", {**answer, "priority": "urgent"})
    assert len(known(place, task).task["output"]) == 1


def test_nobody_else_can_answer_or_move_a_request(place: Valley) -> None:
    """What another system says about a request leaves it as it is, and is on record."""
    task = asked(place)
    answer = {**pointing(task)["Communication.identifier"], "subject": _patient(place)}
    answer["recipient"] = [{"type": "Organization", "identifier": _npi("hub")}]
    put(place, "lakeside", answer)
    assert known(place, task).stage == "requested"
    assert "records.stranger" in place.kinds("records.")


def _patient(place: Valley) -> dict[str, str]:
    return {"reference": f"Patient/{place.entity('Patient/avery', 'mercy')}"}


def _npi(name: str) -> dict[str, str]:
    return {"system": NPI, "value": NUMBERS[name]}


def test_an_answer_under_a_release_in_one_direction_is_enough(tmp_path: Path) -> None:
    """The provider may answer where the release names it as discloser and the plan as recipient."""
    with valley(tmp_path) as place:
        place.settle()
        place.permit("hub", "mercy", "lakeside")
        task = asked(place)
        one_way = consent("hub", dateTime="2026-04-02T09:00:00Z")
        sender = {
            **one_way["provision"]["actor"][0],
            "reference": {"reference": "Organization/mercy"},
        }
        sender["role"] = {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
                    "code": "performer",
                }
            ]
        }
        one_way["provision"]["actor"].append(sender)
        place.post("mercy", one_way)
        place.deliver(100)
        output = [{"type": {"text": "data"}, "valueString": "See the letter."}]
        put(place, "mercy", {**task, "status": "completed", "output": output})
        assert [one.system for one in place.deliver(100)] == ["hub"]


def test_reminders_go_once_and_the_request_is_escalated_when_due(place: Valley) -> None:
    """Seven and two days before, the provider is reminded; on the day a person gets a Task."""
    task = asked(place)
    place.wait(8)
    place.timers()
    reminders = [one for one in place.deliver(100) if one.system == "mercy"]
    assert [one.resource["resourceType"] for one in reminders] == ["Communication"]
    place.wait(5)
    assert len([one for one in place.deliver(100) if one.system == "mercy"]) == 1
    place.wait(3)
    place.wait(30)
    assert place.deliver(100) == []
    assert place.kinds("records.reminded") == ["records.reminded"] * 4
    assert place.kinds("records.escalated") == ["records.escalated"] * 2
    found = known(place, task)
    assert found.overdue(place.clock.now())
    seen = place.send("hub", "GET", "/fhir/Task?business-status=overdue").json()["entry"]
    assert task["id"] in [entry["resource"]["id"] for entry in seen]
    follow_ups = [
        entry["resource"]
        for entry in place.send("hub", "GET", "/fhir/Task?status=requested").json()["entry"]
        if str(entry["resource"].get("focus", {}).get("reference")).endswith(task["id"])
    ]
    assert [one["owner"]["display"] for one in follow_ups] == ["Care coordinator"]


def test_reminders_survive_a_restart_and_a_clock_set_back(tmp_path: Path) -> None:
    """A reminder set before a restart goes out after it, and only once whatever the clock does."""
    with valley(tmp_path) as place:
        place.settle()
        place.permit("hub", "mercy", "lakeside")
        request(place)
        place.deliver(100)
        instant = place.clock.time()
    with valley(tmp_path) as place:
        place.clock.advance(instant - place.clock.time())
        place.wait(8)
        place.clock.step(-10 * 86_400)
        place.timers()
        place.wait(10)
        assert place.kinds("records.reminded") == ["records.reminded"] * 2
        assert place.kinds("records.escalated") == []


def test_a_clock_set_forward_and_back_reminds_once(place: Valley) -> None:
    """Whatever jumps the wall clock makes, each reminder and each escalation happens once."""
    asked(place)
    for days in (40, -60, 30, -10, 40):
        place.clock.step(days * 86_400)
        place.timers()
        place.deliver(100)
    kinds = place.kinds("records.")
    assert kinds.count("records.reminded") == 4  # two for each of two providers
    assert kinds.count("records.escalated") == 2


def test_what_is_answered_or_moved_is_not_reminded_of(place: Valley) -> None:
    """After the answer no reminder goes out; a new due date moves the reminders."""
    task = asked(place)
    put(place, "mercy", {**task, "status": "rejected"})
    other = next(one for one in place.store.read(lambda tx: list(all_requests(tx, place.project)))
                 if one.asked == "lakeside")  # fmt: skip
    later = {**other.task, "restriction": {"period": {"end": "2026-06-30"}}}
    later.pop("meta")
    place.store.write(
        lambda tx: produce(tx, place.project, "hub", [later], cause="later", to="-")
    ).result()
    place.wait(20)
    assert place.kinds("records.reminded") == []
    assert place.kinds("records.escalated") == []


def test_a_review_says_who_reviewed_what(place: Valley) -> None:
    """Only an answer can be reviewed; the review is in the Task, and with its answers on record."""
    task = asked(place)

    def reviewed() -> Any:
        return place.store.write(
            lambda tx: review(
                tx, place.project, task["id"], by="P. Ortega", verdict="complete", note="All there."
            )
        ).result()

    assert reviewed().code == "G002"
    put(place, "mercy", pointing(task)["Communication.basedOn"])
    place.deliver(100)
    assert reviewed() is None
    assert reviewed().code == "G002"
    found = known(place, task)
    assert found.stage == "reviewed"
    assert found.task["note"][-1]["authorString"] == "P. Ortega"
    records = place.store.read(lambda tx: list(tx.audit.records()))
    noted = next(one for one in records if one.kind == "records.reviewed")
    assert b"P. Ortega" in str(noted.body).encode()
    entity = place.entity("Communication/answer", "mercy")
    assert f"Communication/{entity}" in str(noted.body)
    assert place.deliver(100) == []


def test_a_review_by_put_counts_from_the_asker_only(place: Valley) -> None:
    """The asker's businessStatus is a review; the provider's own is taken back."""
    task = asked(place)
    marked = {
        **task,
        "status": "failed",
        "businessStatus": {
            "coding": [{"system": BUSINESS, "code": "reviewed"}],
            "text": "Reviewed",
        },
    }
    put(place, "mercy", marked)
    assert known(place, task).stage == "refused"
    place.deliver(100)
    seen = place.send("hub", "GET", f"/fhir/Task/{task['id']}").json()
    assert "businessStatus" not in seen
    put(place, "hub", {**seen, "businessStatus": marked["businessStatus"]})
    assert known(place, task).stage == "reviewed"
    assert "records.reviewed" in place.kinds("records.")


def test_a_status_that_cannot_follow_is_noted(place: Valley) -> None:
    """A completed request that is requested again is on record as out of order."""
    task = asked(place)
    put(place, "mercy", {**task, "status": "completed"})
    put(place, "mercy", {**task, "status": "accepted"})
    assert place.kinds("records.out-of-order") == ["records.out-of-order"]


def wish(**more: Any) -> dict[str, Any]:
    """Return a CommunicationRequest that asks for records, as the clinic would send it."""
    return {
        "resourceType": "CommunicationRequest",
        "id": "wish",
        "status": "active",
        "category": [{"coding": [{"system": OWN_CATEGORY_SYSTEM, "code": "records-request"}]}],
        "payload": [{"contentString": "The last two therapy reports"}],
        **more,
    }


def test_a_communication_request_asks_all_providers(place: Valley) -> None:
    """Posted without naming anybody, it asks each provider; the asker polls and sees the answer."""
    subject = _patient(place)
    put(place, "clinic", wish(subject=subject, occurrenceDateTime="2026-06-01"))
    arrived = [one for one in place.deliver(200) if one.resource["resourceType"] == "Task"]
    found = place.store.read(lambda tx: list(all_requests(tx, place.project)))
    assert {(one.asker, one.asked) for one in found} == {
        ("clinic", "mercy"),
        ("clinic", "lakeside"),
    }
    assert {one.due for one in found} == {"2026-06-01T23:59:59.999999Z"}
    assert arrived == [], "both got the CommunicationRequest itself: nobody is asked twice"
    entity = place.entity("CommunicationRequest/wish", "clinic")
    answer = pointing({"id": "none"})["Communication.basedOn"]
    answer["basedOn"] = [{"reference": f"CommunicationRequest/{entity}"}]
    answer["recipient"] = [{"reference": "Organization/clinic"}]
    put(place, "mercy", answer)
    task = next(one for one in found if one.asked == "mercy").task
    assert known(place, task).stage == "answered"
    seen = place.send("clinic", "GET", f"/fhir/Task/{task['id']}")
    assert seen.json()["status"] == "completed", seen.text


def test_a_communication_request_to_one_provider_goes_there_only(place: Valley) -> None:
    """The provider that it names is asked, and nobody else hears of it."""
    sender = {"type": "Organization", "identifier": _npi("lakeside")}
    put(place, "clinic", wish(subject=_patient(place), sender=sender))
    assert {one.system for one in place.deliver(200)} == {"lakeside"}
    found = place.store.read(lambda tx: list(all_requests(tx, place.project)))
    assert [one.asked for one in found] == ["lakeside"]


def test_a_communication_request_of_another_kind_asks_nobody(place: Valley) -> None:
    """A wish to be called back is no records request."""
    other = wish(subject=_patient(place))
    put(place, "clinic", {**other, "category": [{"text": "please call"}]})
    assert place.store.read(lambda tx: list(all_requests(tx, place.project))) == []


def test_a_system_may_be_asked_by_communication_request(tmp_path: Path) -> None:
    """Where a system takes no Tasks it gets a CommunicationRequest, and its answer is matched."""
    settings = "  records: {form: {mercy: communication-request}}"
    with valley(tmp_path, settings) as place:
        place.settle()
        place.permit("hub", "mercy", "lakeside", "clinic")
        told = request(place)
        arrived = [one.resource for one in place.deliver(100) if one.system == "mercy"]
        assert [one["resourceType"] for one in arrived] == ["CommunicationRequest"]
        answer = pointing({"id": "x"})["Communication.basedOn"]
        answer["basedOn"] = [{"reference": f"CommunicationRequest/{arrived[0]['id']}"}]
        put(place, "mercy", answer)
        assert known(place, {"id": told["mercy"].task}).stage == "answered"


def test_a_request_that_is_held_goes_later_and_to_its_provider_only(place: Valley) -> None:
    """What was held until somebody is known travels on as the request to one system that it is."""
    member = place.entity("Patient/avery", "mercy")
    task = {
        "resourceType": "Task",
        "id": "held",
        "status": "requested",
        "intent": "order",
        "for": {"reference": f"Patient/{member}"},
        "requester": {"reference": "Practitioner/unknown"},
        "owner": {"reference": f"Organization/{place.entity('Organization/mercy', 'mercy')}"},
    }
    place.store.write(
        lambda tx: produce(tx, place.project, "hub", [task], cause="x", to="lakeside")
    ).result()
    assert place.deliver(100) == []
    someone = {"resourceType": "Practitioner", "id": "unknown", "name": [{"family": "Late"}]}
    link = {reference_key("lakeside", "Practitioner/unknown"): "unknown"}

    def learn(tx: Transaction) -> int:
        tx.resources.put("Practitioner", "unknown", dumps(someone), member=None, system="hub")
        tx.crosswalk.link(link, source="test")
        return release_waiting(tx, place.project, link)

    assert place.store.write(learn).result() == 1
    assert [(one.system, own_id(one.resource)) for one in place.deliver(100)] == [
        ("lakeside", "Task/held")
    ]
