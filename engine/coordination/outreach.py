"""Outreach planned and set out: for each recipient of a Communication a medium, and what follows.

A plan is the body of a timer: durable, made once for each content of a Communication, and set out
when the timer goes off. What goes by a medium is a delivery like any other, to `@fax`, `@mail`,
`@phone` or `@meeting`; it holds no content, which is written anew under the decision at sending.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from engine.config.media import Media, Preference
from engine.coordination import outreach_truth as truth
from engine.coordination.happening import Happening
from engine.coordination.outreach_decision import Told, tell
from engine.coordination.outreach_id import PLAN, address_mark, plan_key
from engine.coordination.outreach_people import addressees
from engine.deliver.ports import Delivery
from engine.fhir.json import loads
from engine.message import Resource
from engine.outreach.method import REASONS, Choice, Way, Wish, choose
from engine.outreach.recipients import Addressee, asked_media
from engine.project import Project
from engine.store import DeliveryRow, NewDelivery, TimerRow, Transaction, UnitRow

PREFIX = "@"
"""What the destination of a medium begins with; no system's name does."""

OPEN = ("preparation", "in-progress")
"""The states in which a Communication is still to be told; others only record what was."""

_KEY_LENGTH = 32


def media_of(project: Project) -> Media | None:
    """Return the media that are set up, or None where the engine only carries."""
    coordination = project.config.coordination
    return coordination.media if coordination is not None else None


def concerns(tx: Transaction, project: Project, canonical: Resource) -> bool:
    """Tell whether a resource is a Communication that somebody is still to be told."""
    return (
        canonical["resourceType"] == "Communication"
        and canonical.get("status") in OPEN
        and media_of(project) is not None
    )


def may_be_planned(project: Project, delivery: Delivery) -> bool:
    """Tell whether a delivery may belong to a plan of outreach."""
    if delivery.type != "Communication" or media_of(project) is None:
        return False
    return "outreach" in delivery.envelope or delivery.envelope.get("status", OPEN[0]) in OPEN


def react(tx: Transaction, project: Project, happening: Happening) -> None:
    """Plan outreach for every Communication of a message that is still to be told."""
    for unit in happening.units:
        if unit.type == "Communication":
            plan(tx, project, unit)


def plan(tx: Transaction, project: Project, unit: UnitRow) -> None:
    """Choose a medium for each recipient of a Communication on record; again changes nothing.

    One that a system only sends back, such as a recipient with a note, is its source's to tell.
    """
    media, message = media_of(project), tx.messages.get(unit.message_id)
    row = _version(tx, unit)
    if media is None or row is None or message is None or row.get("status") not in OPEN:
        return
    first = tx.resources.version("Communication", row["id"], 1)
    if first is not None and first.system != message.system:
        return
    if tx.timers.get(plan_key(row)) is not None:
        return
    entries = []
    for who in addressees(tx, project, row, unit):
        told = tell(tx, project, row, who, message.system)
        _record(tx, unit, told)
        choice = _choice(project, media, row, who, told)
        _note(tx, unit, who, choice)
        entries.append(_entry(who, choice))
    body = {"unit": unit.id, "source": message.system, "plan": entries}
    tx.timers.set(plan_key(row), PLAN, tx.now, body)


def _version(tx: Transaction, unit: UnitRow) -> Resource | None:
    kind, _, id = (unit.resource or "").partition("/")
    row = tx.resources.version(kind, id, unit.version) if unit.version is not None else None
    return loads(row.body) if row is not None else None


def _record(tx: Transaction, unit: UnitRow, told: Told) -> None:
    decision = told.decision
    body = decision.to_json()
    tx.decisions.add(unit.id, decision.decision, code=decision.code, body=body, at=tx.now)


def _choice(
    project: Project, media: Media, communication: Resource, who: Addressee, told: Told
) -> Choice:
    offered = media.offered()
    allowed = offered & frozenset(media.restricted) if told.restricted else offered
    priority = str(communication.get("priority", "routine"))
    return choose(
        who.party,
        offered=offered,
        allowed=allowed,
        urgency=priority,
        asked=asked_media(communication),
        wish=_wish(project, who, priority),
        restricted=told.restricted,
    )


def _wish(project: Project, who: Addressee, priority: str) -> Wish:
    coordination = project.config.coordination
    for preference in coordination.preferences if coordination is not None else ():
        if _fits(preference, who, priority):
            return Wish(preference.prefer, frozenset(preference.avoid))
    return Wish()


def _fits(preference: Preference, who: Addressee, priority: str) -> bool:
    return (
        (not preference.types or who.party.kind in preference.types)
        and (preference.identifier is None or preference.identifier in who.identifiers)
        and (preference.language is None or preference.language == who.language)
        and (not preference.priority or priority in preference.priority)
    )


def _note(tx: Transaction, unit: UnitRow, who: Addressee, choice: Choice) -> None:
    """Put the choice and its reason in the ledger, without any address."""
    body = {
        "recipient": who.reference,
        "medium": choice.medium or "none",
        "reason": choice.reason,
        "fallbacks": [{"medium": way.medium, "reason": way.reason} for way in choice.fallbacks],
        "passed_over": dict(choice.passed_over),
    }
    tx.audit.append("outreach.chosen", body, message=unit.message_id, unit=unit.id)


def _entry(who: Addressee, choice: Choice) -> dict[str, Any]:
    ways = list(choice.fallbacks)
    if choice.medium is not None:
        ways.insert(0, Way(choice.medium, choice.address or ""))
    listed = [{**way.to_json(), "address": _kept(who, way)} for way in ways]
    return {"recipient": who.reference, "via": who.via, "ways": listed}


def _kept(who: Addressee, way: Way) -> str:
    """Return what a plan keeps of an address: a system's name, else a mark to know it by."""
    return way.address if way.medium == "fhir" else address_mark(who.reference, way.address)


def set_out(tx: Transaction, project: Project, timer: TimerRow) -> None:
    """Carry out a plan: enqueue the first way of each recipient, and say so in the record."""
    unit = tx.units.get(timer.body["unit"])
    if unit is None:
        return
    for entry in timer.body["plan"]:
        enqueue(tx, unit, timer, entry, entry["ways"])
    truth.settle(tx, timer, begun=True)


def enqueue(
    tx: Transaction,
    unit: UnitRow,
    timer: TimerRow,
    entry: Mapping[str, Any],
    ways: Sequence[Mapping[str, Any]],
) -> bool:
    """Let the first of the ways that are left begin; False where none is left.

    A system's FHIR endpoint needs nothing: its own delivery is in the outbox already.
    """
    if not ways:
        return False
    way = ways[0]
    if way["medium"] == "fhir":
        return True
    key = _idempotency_key(timer, entry, way)
    if any(row.idempotency_key == key for row in tx.deliveries.of_unit(unit.id)):
        return True
    tx.deliveries.enqueue(
        NewDelivery(
            message_id=unit.message_id,
            unit_id=unit.id,
            destination=f"{PREFIX}{way['medium']}",
            member=unit.member or str(unit.resource),
            type="Communication",
            body=b"{}",
            idempotency_key=key,
            envelope={
                "reference": str(unit.resource),
                "entity": str(unit.resource).partition("/")[2],
                "version": unit.version,
                "source": timer.body["source"],
                "outreach": {
                    "plan": timer.key,
                    "recipient": entry["recipient"],
                    "via": entry["via"],
                    "medium": way["medium"],
                    "address": way["address"],
                    "left": list(ways[1:]),
                },
            },
        )
    )
    return True


def _idempotency_key(timer: TimerRow, entry: Mapping[str, Any], way: Mapping[str, Any]) -> str:
    parts = (timer.key, entry["recipient"], way["medium"], str(way["address"]))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:_KEY_LENGTH]


def fall_back(tx: Transaction, delivery: DeliveryRow, reason: str) -> None:
    """Let the next medium begin for a recipient whom one did not reach, under a new decision."""
    outreach = delivery.envelope["outreach"]
    timer, unit = tx.timers.get(outreach["plan"]), tx.units.get(delivery.unit_id)
    if timer is None or unit is None:
        return
    entry = {"recipient": outreach["recipient"], "via": outreach["via"]}
    _begin_next(tx, unit, timer, entry, outreach["left"], outreach["medium"], reason)


def fall_back_from_system(tx: Transaction, delivery: DeliveryRow, reason: str) -> None:
    """Let the next medium begin for those whom a system's FHIR endpoint was to reach."""
    unit = tx.units.get(delivery.unit_id)
    canonical = _version(tx, unit) if unit is not None else None
    timer = tx.timers.get(plan_key(canonical)) if canonical is not None else None
    if unit is None or timer is None:
        return
    for entry in timer.body["plan"]:
        way = entry["ways"][0] if entry["ways"] else {}
        if way.get("medium") == "fhir" and way.get("address") == delivery.destination:
            _begin_next(tx, unit, timer, entry, entry["ways"][1:], "fhir", reason)


def _begin_next(
    tx: Transaction,
    unit: UnitRow,
    timer: TimerRow,
    entry: Mapping[str, Any],
    ways: Sequence[Mapping[str, Any]],
    failed: str,
    reason: str,
) -> None:
    body = {"recipient": entry["recipient"], "failed": failed, "because": reason}
    if enqueue(tx, unit, timer, entry, ways):
        body |= {"medium": ways[0]["medium"], "reason": REASONS[ways[0]["reason"]]}
        tx.audit.append("outreach.fallback", body, message=unit.message_id, unit=unit.id)
    else:
        tx.audit.append("outreach.exhausted", body, message=unit.message_id, unit=unit.id)


def plan_of(tx: Transaction, delivery: DeliveryRow) -> TimerRow | None:
    """Return the plan that a delivery of a Communication belongs to, whatever it goes by."""
    outreach = delivery.envelope.get("outreach")
    if outreach is not None:
        return tx.timers.get(outreach["plan"])
    unit = tx.units.get(delivery.unit_id)
    canonical = _version(tx, unit) if unit is not None else None
    return tx.timers.get(plan_key(canonical)) if canonical is not None else None
