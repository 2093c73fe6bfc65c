"""Acceptance: one submission enters the durable record whole, in one transaction, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from engine.clock import Clock, after
from engine.diagnostics import Diagnostic, operation_outcome
from engine.errors import StoreError
from engine.fhir.json import dumps, loads
from engine.gather import gather
from engine.message import Draft, Hold, Message, Next, Outcome, Reject, Resource, Unit
from engine.metrics import Metrics
from engine.parse import Limits, parse
from engine.project import Project
from engine.road.entries import Answer, Submission, answer, split
from engine.road.pipeline import Travelled, run, run_again
from engine.road.reply import message_reply
from engine.road.trip import Trip
from engine.store import NewDelivery, Store, Transaction, UnitRow
from engine.transform.crosswalk import Key


@dataclass(frozen=True, slots=True)
class Arrival:
    """Hold what a system sent: `key` is its Idempotency-Key header, `asked` the interaction."""

    system: str
    asked: str
    body: bytes
    key: str | None = None
    correlation: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """Hold the answer, the message id it is kept under, and whether it is a repeat's.

    `units` tells type and state of each resource, `decisions` verdict and code of each decision.
    """

    answer: Answer
    message: str | None
    state: str
    repeated: bool = False
    units: tuple[tuple[str, str], ...] = ()
    decisions: tuple[tuple[str, str], ...] = ()


class Intake:
    """Take submissions in; `project` may be replaced whole while it runs."""

    def __init__(
        self, project: Project, store: Store, clock: Clock, metrics: Metrics | None = None
    ) -> None:
        self.project = project
        self.metrics = metrics or Metrics()
        self._store = store
        self._clock = clock

    def submit(self, arrival: Arrival) -> Future[Accepted]:
        """Accept or refuse a submission; the future is done once the outcome is durable."""
        started = self._clock.monotonic()
        future = self._submit(arrival)
        future.add_done_callback(lambda done: self._count(arrival, started, done))
        return future

    def _count(self, arrival: Arrival, started: float, done: Future[Accepted]) -> None:
        if done.cancelled() or done.exception() is not None:
            self.metrics.received.labels(arrival.system, "failed").inc()
            return
        accepted = done.result()
        self.metrics.accepting.observe(self._clock.monotonic() - started)
        self.metrics.received.labels(arrival.system, accepted.state).inc()
        for type_name, state in accepted.units:
            self.metrics.units.labels(type_name, state).inc()
        for decision, code in accepted.decisions:
            self.metrics.decided.labels("accepting", decision, code).inc()

    def _submit(self, arrival: Arrival) -> Future[Accepted]:
        project, received = self.project, self._clock.now()
        limits = project.config.limits
        parsed = parse(arrival.body, Limits(limits.bytes, limits.depth, limits.entries))
        if parsed.tree is None:
            return self._refuse(arrival, parsed.status, parsed.diagnostics)
        if problem := _unasked(parsed.tree, arrival.asked):
            return self._refuse(arrival, 422, (problem,))
        submission = split(parsed.tree)
        if isinstance(submission, Reject):
            return self._refuse(arrival, submission.status, submission.diagnostics)
        message = Message(
            "",
            arrival.system,
            arrival.asked,
            arrival.key or _own_key(parsed.tree, submission),
            hashlib.sha256(arrival.body).hexdigest(),
            received,
            arrival.body,
        )
        return self._store.write(
            lambda tx: _accept(tx, project, message, submission, arrival.correlation)
        )

    def _refuse(
        self, arrival: Arrival, status: int, problems: Sequence[Diagnostic]
    ) -> Future[Accepted]:
        """Note a body that is no message: who sent it, its digest and what was wrong."""
        refused = Accepted(Answer(status, operation_outcome(problems)), None, "refused")
        body = {
            "digest": hashlib.sha256(arrival.body).hexdigest(),
            "bytes": len(arrival.body),
            "codes": [problem.code for problem in problems],
        }

        def note(tx: Transaction) -> Accepted:
            tx.audit.append("message.refused", body, actor=arrival.system)
            return refused

        return self._store.write(note)


def _unasked(tree: Resource, asked: str) -> Diagnostic | None:
    """Say where the body is not what the path announced (`update CareTeam/7`)."""
    verb, _, target = asked.partition(" ")
    type_name, _, id = (target or "Bundle").partition("/")
    if tree["resourceType"] != type_name:
        return Diagnostic(
            "R012",
            f"The body of this request must be a {type_name}.",
            path=f"{tree['resourceType']}.resourceType",
            expected=type_name,
            remedy=f"send this resource to /fhir/{tree['resourceType']}.",
        )
    if verb == "update" and tree.get("id") != id:
        said = "The id of the body is not the id in the path."
        return Diagnostic("R012", said, path=f"{type_name}.id")
    return None


def _own_key(tree: Resource, submission: Submission) -> str | None:
    """Return the key that the message itself carries (DESIGN section 3)."""
    identifier = tree.get("identifier") if tree["resourceType"] == "Bundle" else None
    if isinstance(identifier, dict) and isinstance(identifier.get("value"), str):
        return f"bundle {identifier.get('system', '')}|{identifier['value']}"
    header = submission.header
    if header is not None and isinstance(header.get("id"), str):
        return f"message {header['id']}"
    return None


def _accept(
    tx: Transaction,
    project: Project,
    message: Message,
    submission: Submission,
    correlation: str | None,
) -> Accepted:
    since = after(tx.now, -project.config.window)
    repeat = tx.messages.find_duplicate(message.system, message.key, message.digest, since)
    if repeat is not None and repeat.by == "key" and not repeat.same_body:
        told = Answer(409, operation_outcome([_key_reused()]))
        return Accepted(told, repeat.message.id, "refused")
    if repeat is not None and (repeat.by == "key" or repeat.message.state == "accepted"):
        told = Answer(repeat.message.status or 200, loads(repeat.message.response or b"{}"))
        return Accepted(told, repeat.message.id, "repeated", repeated=True)
    message = replace(message, id=tx.ids.new())
    facts = gather(
        tx, project, message.system, [unit.source for unit in submission.units], at=tx.now
    )
    travelled = run(submission, Trip(project, facts, message.system))
    told = _told(message, submission, travelled)
    state = _keep_message(tx, message, travelled, told, correlation)
    _keep_units(tx, message, travelled)
    _learn(tx, project, travelled, message.system)
    return Accepted(
        told,
        message.id,
        state,
        units=tuple((outcome.unit.type, _state(outcome)) for outcome in travelled.outcomes),
        decisions=tuple(_verdicts(travelled.outcomes)),
    )


def _verdicts(outcomes: Iterable[Outcome]) -> Iterable[tuple[str, str]]:
    for outcome in outcomes:
        if outcome.unit.refusal is not None:
            yield outcome.unit.refusal["decision"], outcome.unit.refusal.get("code") or ""
        for decision in outcome.unit.decisions.values():
            yield decision.decision, decision.code or ""


def _told(message: Message, submission: Submission, travelled: Travelled) -> Answer:
    if message.interaction == "process-message" and submission.header is not None:
        return message_reply(submission.header, travelled.outcomes, message.id)
    return answer(submission, travelled.outcomes, message.id)


def _key_reused() -> Diagnostic:
    return Diagnostic(
        "R005",
        "This idempotency key came before with another body.",
        expected="a new key for new content",
    )


def _keep_message(
    tx: Transaction,
    message: Message,
    travelled: Travelled,
    told: Answer,
    correlation: str | None,
) -> str:
    accepted = any(not isinstance(outcome, Reject) for outcome in travelled.outcomes)
    state = "accepted" if accepted or not travelled.outcomes else "rejected"
    touched = (f"{o.unit.type}/{o.unit.entity}" for o in travelled.outcomes if o.unit.entity)
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


def _keep_units(tx: Transaction, message: Message, travelled: Travelled) -> None:
    members = {o.unit.member for o in travelled.outcomes if o.unit.member}
    line = next(iter(members)) if len(members) == 1 else None
    for outcome in travelled.outcomes:
        row = _row(tx, message, outcome, tx.ids.new())
        tx.units.add([row])
        _follow(tx, message, outcome, row, line)


def _row(tx: Transaction, message: Message, outcome: Outcome, id: str) -> UnitRow:
    """Put the canonical resource on record and return the row that says what became of it."""
    unit = outcome.unit
    version = None
    if isinstance(outcome, Next) and unit.canonical is not None:
        version = tx.resources.put(
            unit.type,
            unit.entity,
            dumps(unit.canonical),
            member=unit.member,
            system=message.system,
        )
    name, mapping_version, mapping_hash = (unit.mapping.split(" ") + [None] * 3)[:3]
    return UnitRow(
        id=id,
        message_id=message.id,
        entry=unit.entry,
        type=unit.type,
        state=_state(outcome),
        member=unit.member,
        resource=f"{unit.type}/{unit.entity}" if unit.entity else None,
        version=version,
        reason=_reason(outcome),
        waiting_on=outcome.waiting_on if isinstance(outcome, Hold) else (),
        notes=tuple(problem.to_json() for problem in _notes(outcome)),
        mapping=name or None,
        mapping_version=mapping_version,
        mapping_hash=mapping_hash,
    )


def _state(outcome: Outcome) -> str:
    match outcome:
        case Reject():
            return "rejected"
        case Hold():
            return "held"
        case Next(unit=unit):
            return "routed" if unit.drafts else "accepted"


def _reason(outcome: Outcome) -> str | None:
    match outcome:
        case Reject(diagnostics=diagnostics):
            return diagnostics[0].code if diagnostics else None
        case Hold(reason=reason):
            return reason
        case Next():
            return None


def _notes(outcome: Outcome) -> Iterable[Diagnostic]:
    yield from outcome.unit.notes
    for draft in outcome.unit.drafts:
        yield from draft.notes
    if not isinstance(outcome, Next):
        yield from outcome.diagnostics


def _follow(
    tx: Transaction, message: Message, outcome: Outcome, row: UnitRow, line: str | None
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
    if not isinstance(outcome, Next):
        return
    for draft in unit.drafts:
        if draft.decision is not None:
            _keep_decision(tx, row.id, draft.decision)
        tx.deliveries.enqueue(
            _delivery(message, unit, row, draft, unit.member or line or str(row.resource))
        )


def _keep_decision(tx: Transaction, unit_id: str, record: Any) -> None:
    body = dict(record)
    tx.decisions.add(unit_id, body["decision"], code=body.get("code"), body=body, at=tx.now)


def _delivery(message: Message, unit: Unit, row: UnitRow, draft: Draft, member: str) -> NewDelivery:
    return NewDelivery(
        message_id=message.id,
        unit_id=row.id,
        destination=draft.destination,
        member=member,
        type=unit.type,
        body=dumps(draft.resource),
        envelope={
            "reference": draft.link,
            "entity": unit.entity,
            "version": row.version,
            "source": message.system,
            "mapping": draft.mapping,
            "obligations": list((draft.decision or {}).get("obligations", ())),
            "guarded": draft.decision is not None,
        },
    )


def _learn(tx: Transaction, project: Project, travelled: Travelled, source: str) -> None:
    """Keep the links that the message taught, and release what waited for them."""
    if not travelled.links:
        return
    if tx.crosswalk.link(dict(travelled.links), source=source):
        raise StoreError("another submission linked the same identifier, send it again")
    release_waiting(tx, project, travelled.links)


def release_waiting(tx: Transaction, project: Project, keys: Iterable[Key]) -> int:
    """Run the units again that waited for any of these keys; return how many passed."""
    waiting = tx.units.waiting_for([str(key) for key in keys])
    return sum(release(tx, project, row) for row in waiting)


def release(tx: Transaction, project: Project, row: UnitRow) -> bool:
    """Run a held unit again as things stand now; tell whether it left its hold."""
    kept = tx.messages.get(row.message_id)
    if kept is None or kept.body is None or row.state != "held":
        return False
    message = Message(
        kept.id, kept.system, kept.interaction, kept.key, kept.digest, kept.received, kept.body
    )
    parsed = parse(kept.body, Limits(len(kept.body) + 1))
    submission = split(parsed.tree) if parsed.tree is not None else None
    if not isinstance(submission, Submission):
        return False
    if _overtaken(tx, row, message):
        tx.units.move(replace(row, state="rejected", reason="overtaken"), "held")
        tx.audit.append("unit.rejected", {"reason": "overtaken"}, message=kept.id, unit=row.id)
        return True
    sources = [unit.source for unit in submission.units]
    facts = gather(tx, project, message.system, sources, at=tx.now)
    travelled = run_again(submission, row.entry, Trip(project, facts, message.system))
    outcome = travelled.outcomes[0]
    changed = _row(tx, message, outcome, row.id)
    tx.units.move(changed, "held")
    _follow(tx, message, outcome, changed, None)
    if travelled.links:
        tx.crosswalk.link(dict(travelled.links), source=message.system)
        release_waiting(tx, project, travelled.links)
    return changed.state != "held"


def _overtaken(tx: Transaction, row: UnitRow, message: Message) -> bool:
    """Tell whether a later version of the same resource was accepted while this one was held."""
    if row.resource is None:
        return False
    type_name, _, entity = row.resource.partition("/")
    current = tx.resources.get(type_name, entity)
    return current is not None and current.at > message.received
