"""Writing down what became of a message: units, canonical versions, decisions, deliveries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from engine.diagnostics import Diagnostic
from engine.fhir.json import dumps, loads
from engine.message import Draft, Hold, Message, Next, Outcome, Reject, Resource, Unit
from engine.road.entries import Answer
from engine.road.pipeline import Travelled
from engine.road.provisional import suspended
from engine.rules.decision import Decision
from engine.store import NewDelivery, Transaction, UnitRow


def keep_message(
    tx: Transaction,
    message: Message,
    travelled: Travelled,
    told: Answer,
    correlation: str | None,
) -> str:
    accepted = any(not isinstance(outcome, Reject) for outcome in travelled.outcomes)
    state = "accepted" if accepted or not travelled.outcomes else "rejected"
    touched = (_touched(o.unit) for o in travelled.outcomes if o.unit.entity)
    tx.messages.add(
        message,
        touched,
        correlation=correlation,
        state=state,
        status=told.status,
        response=dumps(told.body),
    )
    tx.audit.append(
        f"message.{state}",
        {"digest": message.digest, "interaction": message.interaction, "status": told.status},
        message=message.id,
        actor=message.system,
    )
    return state


def _touched(unit: Unit) -> str:
    """Return what a unit changes: of a whole kept as siblings, only its own."""
    whole = f"{unit.type}/{unit.entity}"
    return f"{whole} {unit.sibling}" if unit.sibling else whole


Grounds = Callable[[Unit, int | None], dict[str, Any] | None]
"""Says what the permits of a unit, kept as a version, rest on (`engine.grounds`)."""


def _unknown(_unit: Unit, _version: int | None) -> None:
    """Say that nobody can tell: at sending all is decided again."""


def keep_units(
    tx: Transaction, message: Message, travelled: Travelled, grounds: Grounds = _unknown
) -> None:
    members = {o.unit.member for o in travelled.outcomes if o.unit.member}
    line = next(iter(members)) if len(members) == 1 else None
    for outcome in travelled.outcomes:
        row = keep_unit(tx, message, outcome, tx.ids.new())
        tx.units.add([row])
        follow(tx, message, outcome, row, line, grounds)


def keep_unit(tx: Transaction, message: Message, outcome: Outcome, id: str) -> UnitRow:
    """Put the canonical resource on record and return the row that says what became of it."""
    unit = outcome.unit
    version = None
    if isinstance(outcome, Next) and unit.canonical is not None:
        version = _put(tx, message, unit, unit.canonical)
    elif isinstance(outcome, Hold) and unit.type == "Consent":
        version = _keep_held_consent(tx, message, outcome, id)
    name, mapping_version, mapping_hash = (unit.mapping.split(" ") + [None] * 3)[:3]
    return UnitRow(
        id=id,
        message_id=message.id,
        entry=unit.entry,
        type=unit.type,
        state=state_of(outcome),
        member=unit.member,
        resource=f"{unit.type}/{unit.entity}" if unit.entity else None,
        version=version,
        reason=_reason(outcome),
        waiting_on=outcome.waiting_on if isinstance(outcome, Hold) else (),
        notes=tuple(_notes(outcome)),
        mapping=name or None,
        mapping_version=mapping_version,
        mapping_hash=mapping_hash,
    )


def _put(tx: Transaction, message: Message, unit: Unit, canonical: Resource) -> int:
    return tx.resources.put(
        unit.type, unit.entity, dumps(canonical), member=unit.member, system=message.system
    )


def _keep_held_consent(tx: Transaction, message: Message, held: Hold, id: str) -> int | None:
    """Enter a held Consent in the registry as far as it is understood; return its version.

    What is understood whole waits only to be passed on, and counts. What can be read in part
    permits nothing. Of what cannot be read, the version on record permits nothing any more.
    """
    unit = held.unit
    if known := unit.canonical or unit.provisional:
        version = _put(tx, message, unit, known)
        _suspended(tx, message, held, id, unit.entity, version)
        return version
    versions = {}
    for entity in held.claims or (unit.entity,):
        row = tx.resources.get("Consent", entity)
        if row is not None and not row.deleted:
            body = dumps(suspended(loads(row.body), unit.source))
            put = tx.resources.put("Consent", entity, body, member=row.member, system=row.system)
            _suspended(tx, message, held, id, entity, put)
            versions[entity] = put
    return versions.get(unit.entity)


def _suspended(
    tx: Transaction, message: Message, held: Hold, id: str, entity: str, version: int
) -> None:
    if held.unit.canonical is None:
        body = {"consent": f"Consent/{entity}/_history/{version}", "reason": held.reason}
        tx.audit.append(
            "consent.suspended", body, message=message.id, unit=id, actor=message.system
        )


def state_of(outcome: Outcome) -> str:
    match outcome:
        case Reject():
            return "rejected"
        case Hold():
            return "held"
        case Next(unit=unit):
            return "routed" if unit.drafts or unit.borne is not None else "accepted"


def _reason(outcome: Outcome) -> str | None:
    match outcome:
        case Reject(diagnostics=diagnostics):
            return diagnostics[0].code if diagnostics else None
        case Hold(reason=reason):
            return reason
        case Next():
            return None


def _notes(outcome: Outcome) -> list[dict[str, Any]]:
    """Return what was noted on the way, of adapters with mapping and version (the loss record)."""
    unit = outcome.unit
    notes = _noted(unit.notes, unit.mapping)
    for draft in unit.drafts:
        for note in _noted(draft.notes, draft.mapping):
            notes.append({**note, "destination": draft.destination})
    if not isinstance(outcome, Next):
        notes += _noted(outcome.diagnostics, unit.mapping)
    return notes


def _noted(problems: Iterable[Diagnostic], mapping: str) -> list[dict[str, Any]]:
    noted = []
    for problem in problems:
        said = problem.to_json()
        if problem.code[0] == "T":
            said["mapping"] = mapping
        noted.append(said)
    return noted


def send_again(tx: Transaction, message: Message, outcome: Next, row: UnitRow, by: str) -> int:
    """Put what another mapping makes of a unit on record, and enqueue its drafts anew.

    The unit keeps its state; the audit names who asked and the mapping. Returns the deliveries.
    """
    unit = outcome.unit
    if unit.canonical is None:
        return 0
    anew = replace(row, version=_put(tx, message, unit, unit.canonical))
    for draft in unit.drafts:
        if draft.decision is not None:
            _keep_decision(tx, row.id, draft.decision)
        line = unit.member or str(row.resource)
        tx.deliveries.enqueue(_delivery(message, unit, anew, draft, line))
    body = {"mapping": unit.mapping, "version": anew.version, "deliveries": len(unit.drafts)}
    tx.audit.append("unit.replayed", body, message=message.id, unit=row.id, actor=by)
    return len(unit.drafts)


def follow(
    tx: Transaction,
    message: Message,
    outcome: Outcome,
    row: UnitRow,
    line: str | None,
    grounds: Grounds = _unknown,
) -> None:
    """Record the decisions about a unit and enqueue what goes out; note its state."""
    unit = outcome.unit
    if unit.refusal is not None:
        _keep_decision(tx, row.id, unit.refusal)
    body: dict[str, Any] = {"entry": unit.entry, "type": unit.type, "state": row.state}
    if row.reason:
        body["reason"] = row.reason
    if row.resource:
        body["resource"] = row.resource
    if unit.mapping:
        body["mapping"] = unit.mapping
    tx.audit.append(
        f"unit.{row.state}", body, message=message.id, unit=row.id, actor=message.system
    )
    leaving = {draft.destination for draft in unit.drafts} if isinstance(outcome, Next) else set()
    for destination, decision in other_decisions(unit):
        if destination not in leaving:
            _keep_decision(tx, row.id, decision.record(destination))
    if not isinstance(outcome, Next):
        return
    drafts = [draft for draft in unit.drafts if not draft.settled]
    rests = grounds(unit, row.version) if any(draft.decision for draft in drafts) else None
    for draft in drafts:
        new = _delivery(message, unit, row, draft, unit.member or line or str(row.resource))
        if draft.decision is not None:
            taken = _keep_decision(tx, row.id, draft.decision)
            if rests is not None and not (draft.sibling or draft.parting):
                new.envelope["grounds"] = {**rests, "decision": taken}
        tx.deliveries.enqueue(new)


def other_decisions(unit: Unit) -> Iterable[tuple[str, Decision]]:
    """Yield the decisions about a unit by destination, but for the one that refused it."""
    refused_at = (unit.refusal or {}).get("destination")
    for destination, decision in unit.decisions.items():
        if destination != refused_at:
            yield destination, decision


def _keep_decision(tx: Transaction, unit_id: str, record: Any) -> str:
    body = dict(record)
    return tx.decisions.add(unit_id, body["decision"], code=body.get("code"), body=body, at=tx.now)


def _delivery(message: Message, unit: Unit, row: UnitRow, draft: Draft, member: str) -> NewDelivery:
    envelope: dict[str, Any] = {
        "reference": draft.link,
        "entity": unit.entity,
        "version": row.version,
        "source": message.system,
        "mapping": draft.mapping,
        "obligations": list((draft.decision or {}).get("obligations", ())),
        "guarded": draft.decision is not None,
        "status": (unit.canonical or {}).get("status"),
    }
    if draft.sibling:
        envelope["sibling"] = True
    if draft.parting:
        envelope["parting"] = True
    return NewDelivery(
        message_id=message.id,
        unit_id=row.id,
        destination=draft.destination,
        member=member,
        type=unit.type,
        body=dumps(draft.resource),
        envelope=envelope,
    )
