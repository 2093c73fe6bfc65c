"""Outreach at the moment of sending: decided again, written anew, and what became of it."""

from __future__ import annotations

from engine.coordination import outreach, outreach_truth
from engine.coordination.outreach_decision import Told, tell
from engine.coordination.outreach_id import address_mark
from engine.coordination.outreach_people import addressee_of
from engine.deliver.ports import Delivery, Permit, Ruling, Withhold
from engine.fhir.json import loads
from engine.message import Resource
from engine.outreach.dispatch import Dispatch, name, notices, paragraphs
from engine.outreach.method import usable
from engine.outreach.recipients import Addressee, name_in
from engine.outreach.tasks import due_of, start_of
from engine.project import Project
from engine.road.identify import member_of
from engine.rules.consent.codings import mappings
from engine.store import DeliveryRow, Transaction

WITHDRAWN = "consent-withdrawn"
ENDED = "communication-ended"
MOVED = "address-changed"
RESTRICTED = "medium-restricted"
SENDER_GONE = "sender-removed"
"""Why a delivery is held that came from a system which the project no longer has."""


def judge(tx: Transaction, project: Project, delivery: Delivery) -> Permit | Withhold:
    """Decide about what goes by a medium, and write it as it may be told now."""
    envelope = delivery.envelope
    outreach_of = envelope["outreach"]
    row = tx.resources.version("Communication", envelope["entity"], envelope["version"])
    current = tx.resources.get("Communication", envelope["entity"])
    media = outreach.media_of(project)
    if row is None or current is None or media is None:
        return Withhold("record-missing")
    if _is_taken_back(tx, loads(current.body), outreach_of["via"]):
        return _withhold(tx, delivery, ENDED)
    if envelope["source"] not in project.config.systems:
        return _withhold(tx, delivery, SENDER_GONE)
    communication: Resource = loads(row.body)
    who, medium = _who(tx, project, delivery, communication), outreach_of["medium"]
    told = tell(tx, project, communication, who, envelope["source"], by=_by(project, delivery))
    ruling = Ruling(told.decision.decision, told.decision.code, told.decision.to_json())
    if told.words is None:
        return _withhold(tx, delivery, WITHDRAWN, ruling)
    if told.restricted and medium not in media.restricted:
        return _pass_over(tx, delivery, RESTRICTED, ruling)
    address = _address(who, outreach_of["address"], restricted=told.restricted)
    if address is None:
        return _pass_over(tx, delivery, MOVED, ruling)
    dispatch = _dispatch(tx, project, delivery, told, told.words, who, address)
    return Permit(ruling, dispatch.encoded())


def _is_taken_back(tx: Transaction, communication: Resource, via: str) -> bool:
    """Tell whether its source ended a Communication, or took this entry of `recipient` out."""
    if outreach_truth.is_ended(communication):
        return True
    kind, _, id = via.partition("/")
    names = {via, *(f"{kind}/{one}" for one in tx.crosswalk.same(id) if id)}
    listed = {one.get("reference") or "" for one in mappings(communication.get("recipient"))}
    return names.isdisjoint(listed)


def _withhold(
    tx: Transaction, delivery: Delivery, reason: str, ruling: Ruling | None = None
) -> Withhold:
    """Hold a delivery and let the record of the Communication say so."""
    if (timer := tx.timers.get(delivery.envelope["outreach"]["plan"])) is not None:
        outreach_truth.settle(tx, timer, holding=delivery.id)
    return Withhold(reason, ruling)


def _pass_over(tx: Transaction, delivery: Delivery, reason: str, ruling: Ruling) -> Withhold:
    """Hold a delivery whose medium may not be used any more, and try the next one."""
    if (row := tx.deliveries.get(delivery.id)) is not None:
        outreach.fall_back(tx, row, reason)
    return _withhold(tx, delivery, reason, ruling)


def _address(who: Addressee, mark: str, *, restricted: bool) -> str | None:
    """Return the address that was chosen, if it is still on record: numbers get other owners."""
    for point in who.party.points:
        address = usable(point)
        open_to_it = point.use != "old" and (point.theirs or not restricted)
        if address and open_to_it and address_mark(who.reference, address) == mark:
            return address
    return None


def _dispatch(
    tx: Transaction,
    project: Project,
    delivery: Delivery,
    told: Told,
    words: Resource,
    who: Addressee,
    address: str,
) -> Dispatch:
    outreach_of, priority = delivery.envelope["outreach"], str(words.get("priority", "routine"))
    media, member = outreach.media_of(project), member_of(words)
    patient = told.facts.supporting.get(f"Patient/{member}", {})
    medium = outreach_of["medium"]
    due = meeting = ""
    if medium == "phone" and media is not None and media.phone is not None:
        due = due_of(media.phone, priority, tx.now)
    if medium == "meeting" and media is not None and media.meeting is not None:
        meeting = start_of(media.meeting, priority, _planned_at(tx, delivery))
        if meeting <= tx.now:  # it began, or was released, long after the plan was made
            meeting = start_of(media.meeting, priority, tx.now)
    return Dispatch(
        medium,
        delivery.idempotency_key,
        delivery.envelope["entity"],
        tx.now,
        address,
        name(who.name),
        who.reference,
        name(_sender(project, delivery.envelope["source"])),
        member,
        name(name_in(patient)),
        name(str(patient.get("birthDate", ""))),
        paragraphs(words),
        notices(words),
        priority,
        who.language,
        who.interpreter,
        due,
        meeting,
        tuple((words.get("meta") or {}).get("security") or ()),
        delivery.id,
        delivery.envelope["source"],
    )


def _planned_at(tx: Transaction, delivery: Delivery) -> str:
    """Return when the plan was made: a meeting is proposed for the same time at every attempt."""
    timer = tx.timers.get(delivery.envelope["outreach"]["plan"])
    return timer.created if timer is not None else tx.now


def _sender(project: Project, source: str) -> str:
    system = project.config.systems[source]
    return system.organization.name or system.title or source


def why_not(tx: Transaction, project: Project, delivery: DeliveryRow) -> str | None:
    """Return why what a call or meeting is still to say may not be said now, or None."""
    envelope = delivery.envelope
    current = tx.resources.get("Communication", envelope["entity"])
    if current is None or _is_taken_back(tx, loads(current.body), envelope["outreach"]["via"]):
        return ENDED
    if envelope["source"] not in project.config.systems:
        return SENDER_GONE
    verdict = _told_now(tx, project, delivery)
    return None if verdict is not None and verdict.words is not None else WITHDRAWN


def _told_now(tx: Transaction, project: Project, delivery: Delivery) -> Told | None:
    envelope = delivery.envelope
    row = tx.resources.version("Communication", envelope["entity"], envelope["version"])
    if row is None:
        return None
    communication: Resource = loads(row.body)
    who = _who(tx, project, delivery, communication)
    return tell(tx, project, communication, who, envelope["source"], by=_by(project, delivery))


def _who(
    tx: Transaction, project: Project, delivery: Delivery, communication: Resource
) -> Addressee:
    outreach_of = delivery.envelope["outreach"]
    return addressee_of(tx, project, communication, outreach_of["recipient"], outreach_of["via"])


def _by(project: Project, delivery: Delivery) -> str | None:
    """Return the system whose people do it, where it is done by people."""
    coordination = project.config.coordination
    by_people = delivery.envelope["outreach"]["medium"] in ("phone", "meeting")
    return coordination.acting if coordination is not None and by_people else None


def delivered(tx: Transaction, delivery: DeliveryRow) -> None:
    """Let the record of a Communication say that somebody was told, by whatever medium."""
    if (timer := outreach.plan_of(tx, delivery)) is not None:
        outreach_truth.settle(tx, timer)


def gave_up(tx: Transaction, delivery: DeliveryRow, reason: str) -> None:
    """Try the next medium where one failed for good, and let the record say how it stands."""
    if "outreach" in delivery.envelope:
        outreach.fall_back(tx, delivery, reason)
    else:
        outreach.fall_back_from_system(tx, delivery, reason)
    if (timer := outreach.plan_of(tx, delivery)) is not None:
        outreach_truth.settle(tx, timer)
