"""What follows for records requests when something arrives, or when a timer of theirs goes off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.clock import after
from engine.coordination.happening import Happening
from engine.coordination.notification import notify
from engine.coordination.producing import NOBODY, produce, produced_id
from engine.coordination.records import (
    Asking,
    Tracked,
    ask,
    hand_over,
    listen,
    note_review,
    record,
    records_settings,
    request,
    requests_of,
)
from engine.coordination.records_match import ANSWERING, matching
from engine.coordination.records_providers import Provider, named, providers
from engine.coordination.records_requests import settle_asked
from engine.coordination.records_states import WAITING, in_order
from engine.coordination.records_tasks import (
    BUSINESS,
    Wanted,
    answered,
    end_of,
    is_request,
    outputs_of,
    stage_of,
    with_status,
    without_status,
)
from engine.coordination.records_timers import keep_watch, track
from engine.fhir.json import loads
from engine.gather import renamed
from engine.message import Reject, Resource
from engine.project import Project
from engine.road.identify import member_of
from engine.rules.elements import referred_type
from engine.store import ResourceRow, TimerRow, Transaction, UnitRow

_DAY = 86_400
_PEOPLE = frozenset({"Patient", "RelatedPerson"})
_NO_ANSWER = frozenset(
    {"entered-in-error", "not-done", "preparation", "registered", "cancelled", "stopped"}
)
"""The statuses of what gives nothing: not yet, not at all, or not any more."""


def concerns(tx: Transaction, project: Project, canonical: Resource) -> bool:
    """Tell whether a resource may be a request, or answer one that the member has on record."""
    return _may_concern(tx, canonical["resourceType"], member_of(canonical))


def _may_concern(tx: Transaction, type_name: str, member: str | None) -> bool:
    if type_name in ("Task", "CommunicationRequest"):
        return True
    if type_name not in ANSWERING or member is None:
        return False
    return tx.resources.has_of_member("Task", tx.crosswalk.same(member))


def expect(tx: Transaction, canonical: Resource) -> None:
    """Say, ahead of a turn, what `concerns` will ask in it."""
    member = member_of(canonical)
    if canonical["resourceType"] in ANSWERING and member is not None:
        tx.resources.expect_of_member("Task", tx.crosswalk.same(member))


def follow_records(tx: Transaction, project: Project, happening: Happening) -> None:
    """Track requests that came, move those that were answered, and ask where a person asked us."""
    for unit in happening.units:
        if unit.member is None or not _may_concern(tx, unit.type, unit.member):
            continue
        resource = _resource(tx, unit)
        if resource is None:
            continue
        if is_request(resource):
            _task_came(tx, project, happening, unit, resource)
        elif unit.type == "CommunicationRequest":
            _asked_to_ask(tx, project, happening, unit, resource)
        if unit.type in ANSWERING:
            _may_answer(tx, project, happening.message.system, unit, resource)


def _resource(tx: Transaction, unit: UnitRow) -> Resource | None:
    """Return what a unit put on record, in the version that it put there."""
    if unit.resource is None or unit.version is None:
        return None
    type_name, _, id = unit.resource.partition("/")
    row = tx.resources.version(type_name, id, unit.version)
    return renamed(tx, loads(row.body)) if row else None


def _task_came(
    tx: Transaction, project: Project, happening: Happening, unit: UnitRow, task: Resource
) -> None:
    found = request(tx, project, task["id"])
    current = tx.resources.get("Task", task["id"])
    if found is None or current is None:
        return
    system = happening.message.system
    if current.version != unit.version:
        _overtaken(tx, project, found, system, task)
        return
    body = {"task": f"Task/{task['id']}", "status": task["status"], "stage": found.stage}
    if system not in (found.asker, found.asked):
        tx.audit.append("records.stranger", body, message=unit.message_id, actor=system)
        return
    if not _follows(tx, unit, task):
        tx.audit.append("records.out-of-order", body, message=unit.message_id, actor=system)
    settle_asked(tx, project, found)
    if found.stage == "reviewed":
        _review_came(tx, project, found, system)
        return
    if found.stage in WAITING:
        track(tx, task["id"], found.due, records_settings(project).reminders)
        if found.overdue(tx.now):
            keep_watch(tx, task["id"])
        listen(tx, project, found.asked)
    if found.stage == "answered" and found.member is not None:
        notify(tx, project, found.member, "records-released", f"Task/{task['id']}")
    tx.audit.append(f"records.{found.stage}", body, message=unit.message_id, actor=system)


def _overtaken(
    tx: Transaction, project: Project, found: Tracked, system: str, task: Resource
) -> None:
    """Tell of an answer although the request has moved on before anybody looked at it."""
    if system == found.asked and stage_of(task) == "answered" and found.member is not None:
        notify(tx, project, found.member, "records-released", f"Task/{task['id']}")


def _follows(tx: Transaction, unit: UnitRow, task: Resource) -> bool:
    version = (unit.version or 1) - 1
    before = tx.resources.version("Task", task["id"], version) if version else None
    return before is None or in_order(loads(before.body)["status"], task["status"])


def _review_came(tx: Transaction, project: Project, found: Tracked, system: str) -> None:
    """Take a review from the asker; one that anybody else claims is taken back."""
    if system == found.asker:
        note_review(tx, found, system, None)
    else:
        record(tx, project, found, without_status(found.task), "unreviewed")


def _asked_to_ask(
    tx: Transaction, project: Project, happening: Happening, unit: UnitRow, asked: Resource
) -> None:
    """Ask providers on behalf of whoever sent a CommunicationRequest for records."""
    settings, system = records_settings(project), happening.message.system
    row = tx.resources.get("CommunicationRequest", asked["id"])
    if row is None or unit.member is None or not _is_of(tx, row, system):
        return
    asked = renamed(tx, loads(row.body))  # as it stands by now: it may have been taken back
    if not asks_for_records(asked, settings.categories):
        return
    source = f"CommunicationRequest/{asked['id']}"
    wanted = wanted_by(asked, after(happening.message.received, settings.due_days * _DAY))
    delivered = frozenset(
        row.destination
        for row in tx.deliveries.of_message(unit.message_id)
        if row.unit_id == unit.id
    )
    asking = Asking(unit.member, system, wanted, source, source, delivered)
    for told in ask(tx, project, asking, _whom(tx, project, asked, unit.member, system)):
        tx.audit.append("records.asked", told.to_json(), message=unit.message_id, actor=system)


def _whom(
    tx: Transaction, project: Project, asked: Resource, member: str, system: str
) -> Sequence[Provider]:
    sender = asked.get("sender")
    if isinstance(sender, Mapping):
        return named(tx, project, [sender], source=f"CommunicationRequest/{asked['id']}")
    return providers(tx, project, member, asker=system)


def asks_for_records(asked: Resource, categories: Sequence[str]) -> bool:
    """Tell whether a CommunicationRequest asks a provider for records, by its category."""
    if asked.get("status") != "active" or asked.get("doNotPerform") is True:
        return False
    parties = [asked.get("sender"), *asked.get("recipient", ())]
    if any(referred_type(one) in _PEOPLE for one in parties if isinstance(one, Mapping)):
        return False
    return any(
        f"{coding.get('system')}|{code}" in categories
        for concept in asked.get("category", ())
        for coding in concept.get("coding", ())
        for code in (coding.get("code"), "")
    )


def wanted_by(asked: Resource, otherwise: str) -> Wanted:
    """Return what a CommunicationRequest asks for; it is due at `otherwise` unless it says when."""
    said = [
        {"text": entry["contentString"]}
        for entry in asked.get("payload", ())
        if isinstance(entry.get("contentString"), str)
    ]
    moment = asked.get("occurrenceDateTime")
    due = end_of(asked.get("occurrencePeriod")) or end_of({"end": moment}) or otherwise
    priority = asked.get("priority", "routine")
    return Wanted(due, tuple(said), priority=priority) if said else Wanted(due, priority=priority)


def _may_answer(
    tx: Transaction, project: Project, system: str, unit: UnitRow, answer: Resource
) -> None:
    """Let what the asked system sent complete the requests that it names.

    What it only sends back, such as a reminder with its receipt, was never its own.
    """
    row = tx.resources.get(unit.type, answer["id"])
    if row is None or not (_gives(answer) and _gives(loads(row.body))):
        return
    known = requests_of(tx, project, str(unit.member))
    matched = {one["id"] for one in matching(answer, [found.task for found in known])}
    for found in known:
        if found.task["id"] not in matched:
            continue
        body = {"task": f"Task/{found.task['id']}", "answer": unit.resource}
        if found.asked != system:
            if found.asker != system:
                tx.audit.append("records.stranger", body, message=unit.message_id, actor=system)
            continue
        if not _is_of(tx, row, system):
            continue
        if found.stage != "withdrawn" and unit.resource not in outputs_of(found.task):
            _answer(tx, project, found, str(unit.resource), body, system, unit)


def _gives(answer: Resource) -> bool:
    """Tell whether an answer gives something by its status; of Tasks only what is done does."""
    status = answer.get("status")
    return status == "completed" if answer["resourceType"] == "Task" else status not in _NO_ANSWER


def _is_of(tx: Transaction, row: ResourceRow, system: str) -> bool:
    """Tell whether a resource was first written by this system: what comes back is not."""
    first = tx.resources.version(row.type, row.id, 1) or row
    return first.system == system


def _answer(
    tx: Transaction,
    project: Project,
    found: Tracked,
    reference: str,
    body: dict[str, Any],
    system: str,
    unit: UnitRow,
) -> None:
    outcome = hand_over(tx, project, found, answered(found.task, reference, at=tx.now), system)
    kind = "records.withheld" if isinstance(outcome, Reject) else "records.answered"
    if isinstance(outcome, Reject) and outcome.diagnostics:
        body = body | {"code": outcome.diagnostics[0].code}
    else:
        notify(tx, project, str(unit.member), "records-released", f"Task/{found.task['id']}")
        if (now := request(tx, project, found.task["id"])) is not None:
            settle_asked(tx, project, now)
    tx.audit.append(kind, body, message=unit.message_id, actor=system)


def remind(tx: Transaction, project: Project, timer: TimerRow) -> None:
    """Remind the provider of a request that is still open; the reminder needs a consent too."""
    found = _still_due(tx, project, timer)
    if found is None or found.asked is None:
        return
    task = found.task
    reminder: Resource = {
        "resourceType": "Communication",
        "id": produced_id(timer.key, "reminder"),
        "status": "in-progress",
        "basedOn": [{"reference": f"Task/{task['id']}"}],
        "category": [{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/communication-category",
            "code": "reminder",
        }]}],
        "subject": task["for"],
        "recipient": [task["owner"]],
        "sender": task["requester"],
        "payload": [{"contentString": "A request for records is still open. It is due on "
                     f"{found.due[:10]}."}],
    }  # fmt: skip
    made = produce(tx, project, found.asker, [reminder], cause=timer.key, to=found.asked)
    sent = not isinstance(made.outcomes[0], Reject)
    kind = "records.reminded" if sent else "records.reminder-refused"
    tx.audit.append(kind, {"task": f"Task/{task['id']}", "system": found.asked})


def escalate(tx: Transaction, project: Project, timer: TimerRow) -> None:
    """Mark a request as overdue, and give a named person a Task to follow it up."""
    found = _still_due(tx, project, timer)
    if found is None:
        return
    task = found.task
    record(tx, project, found, with_status(task, "overdue", "Overdue", at=tx.now), "overdue")
    follow_up: Resource = {
        "resourceType": "Task",
        "id": produced_id(timer.key, "follow-up"),
        "status": "requested",
        "intent": "order",
        "priority": "urgent",
        "code": {
            "coding": [{"system": BUSINESS, "code": "overdue"}],
            "text": "Follow up an overdue records request",
        },
        "focus": {"reference": f"Task/{task['id']}"},
        "for": task["for"],
        "authoredOn": tx.now,
        "requester": task["requester"],
        "owner": {"display": records_settings(project).escalate_to},
    }
    produce(tx, project, found.asker, [follow_up], cause=timer.key, to=NOBODY)
    keep_watch(tx, task["id"])
    tx.audit.append("records.escalated", {"task": f"Task/{task['id']}"})


def look_again(tx: Transaction, project: Project, timer: TimerRow) -> None:
    """Go on watching a request that is late still."""
    found = request(tx, project, str(timer.body["task"]))
    if found is not None and found.overdue(tx.now):
        keep_watch(tx, str(found.task["id"]))


def _still_due(tx: Transaction, project: Project, timer: TimerRow) -> Tracked | None:
    """Return the request of a timer where it is still waited for, by the same due date."""
    found = request(tx, project, str(timer.body["task"]))
    if found is None or found.stage not in WAITING or found.due != timer.body["due"]:
        return None
    return found
