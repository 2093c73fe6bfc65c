"""Acceptance: one submission enters the durable record whole, in one transaction, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from engine.carried import with_carried
from engine.clock import Clock, after
from engine.coordination.reactions import expect_reactions, react_later
from engine.diagnostics import Diagnostic, Severity, operation_outcome
from engine.errors import StoreError
from engine.fhir.json import loads
from engine.gather import asking, gather
from engine.grounds import grounds_of
from engine.keeping import keep_message, keep_units, other_decisions, state_of
from engine.message import Message, Next, Outcome, Reject, Resource
from engine.metrics import Metrics
from engine.parse import Limits, nul_problem, parse
from engine.pressure import Pressure
from engine.project import Project
from engine.releasing import release_waiting
from engine.road.around import around
from engine.road.entries import Answer, Submission, answer, split
from engine.road.identify import with_keys
from engine.road.pipeline import Travelled, run
from engine.road.reply import message_reply
from engine.road.trip import Trip
from engine.store import Ahead, MessageRow, Store, Transaction
from engine.wholes import with_wholes

_LONGEST = 600
"""Characters of a key, of four bytes each at most; an entry of an index has room for 2,704."""


class Arrival(Struct, frozen=True):
    """Hold what a system sent: `key` is its Idempotency-Key header, `asked` the interaction."""

    system: str
    asked: str
    body: bytes
    key: str | None = None
    correlation: str | None = None


class Accepted(Struct, frozen=True):
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
        config = project.config
        self._pressure = Pressure(store, clock, config.limits.outbox, config.systems)

    def submit(self, arrival: Arrival) -> Future[Accepted]:
        """Accept or refuse a submission; the future is done once the outcome is durable."""
        started = self._clock.monotonic()
        future = self._submit(arrival)
        future.add_done_callback(lambda done: self._count(arrival, started, done))
        return future

    def _count(self, arrival: Arrival, started: float, done: Future[Accepted]) -> None:
        try:
            accepted = done.result()
        except Exception:
            self.metrics.received.labels(arrival.system, "failed").inc()
            return
        self.metrics.accepting.observe(self._clock.monotonic() - started)
        self.metrics.received.labels(arrival.system, accepted.state).inc()
        for type_name, state in accepted.units:
            self.metrics.units.labels(type_name, state).inc()
        for decision, code in accepted.decisions:
            self.metrics.decided.labels("accepting", decision, code).inc()

    def _submit(self, arrival: Arrival) -> Future[Accepted]:
        project, received = self.project, self._clock.now()
        limits = project.config.limits
        if problem := nul_problem(arrival.body):
            return self._refuse(arrival, 400, (problem,))
        parsed = parse(arrival.body, Limits(limits.bytes, limits.depth, limits.entries))
        if parsed.tree is None:
            return self._refuse(arrival, parsed.status, parsed.diagnostics)
        if problem := _unasked(parsed.tree, arrival.asked):
            return self._refuse(arrival, 422, (problem,))
        submission = split(parsed.tree, parsed.extended)
        if isinstance(submission, Reject):
            return self._refuse(arrival, submission.status, submission.diagnostics)
        if problems := around(parsed.tree):
            return self._refuse(arrival, 422, problems)
        units = with_keys(submission.units, arrival.system, project.naming)
        submission = replace(submission, units=units)
        self._pressure.yields(
            leg.destination for unit in units for leg in project.legs(arrival.system, unit.type)
        )
        message = Message(
            "",
            arrival.system,
            arrival.asked,
            arrival.key or _own_key(parsed.tree, submission),
            hashlib.sha256(arrival.body).hexdigest(),
            received,
            arrival.body,
        )
        ahead = Ahead(
            lambda tx: _ahead(tx, project, message, submission),
            lambda tx: asking(tx, project, message.system, units),
        )
        return self._store.write(
            lambda tx: _accept(tx, project, message, submission, arrival.correlation, ahead), ahead
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
        return _bounded("bundle", f"{identifier.get('system', '')}|{identifier['value']}")
    header = submission.header
    if header is not None and isinstance(header.get("id"), str):
        return f"message {header['id']}"
    return None


def _bounded(kind: str, name: str) -> str:
    """Return a key as it is kept: one that no index of PostgreSQL holds, as its digest."""
    kept = name if len(name) <= _LONGEST else hashlib.sha256(name.encode()).hexdigest()
    return f"{kind} {kept}"


def _accept(
    tx: Transaction,
    project: Project,
    message: Message,
    submission: Submission,
    correlation: str | None,
    ahead: Ahead[Travelled],
) -> Accepted:
    since = after(tx.now, -project.config.window)
    repeat = tx.messages.find_duplicate(message.system, message.key, message.digest, since)
    if repeat is not None and repeat.by == "key" and not repeat.same_body:
        told = Answer(409, operation_outcome([_key_reused(message.key)]))
        return Accepted(told, repeat.message.id, "refused")
    if repeat is not None and (repeat.by == "key" or repeat.message.state == "accepted"):
        return Accepted(_told_before(tx, repeat.message), repeat.message.id, "repeated", True)
    message = replace(message, id=tx.ids.new())
    travelled = ahead.still(tx) or _travelled(tx, project, message, submission)
    told = _told(message, submission, travelled)
    state = keep_message(tx, message, travelled, told, correlation)
    keep_units(tx, message, travelled, partial(grounds_of, tx, project, travelled))
    _learn(tx, project, travelled, message.system)
    if project.config.coordination is not None and state == "accepted":
        kept = (one.unit for one in travelled.outcomes if isinstance(one, Next))
        react_later(tx, project, message.id, kept)
    return Accepted(
        told,
        message.id,
        state,
        units=tuple((outcome.unit.type, state_of(outcome)) for outcome in travelled.outcomes),
        decisions=tuple(_verdicts(travelled.outcomes)),
    )


def _travelled(
    tx: Transaction, project: Project, message: Message, submission: Submission
) -> Travelled:
    """Let a submission travel the road with what is on record; nothing is written."""
    facts = gather(tx, project, message.system, submission.units, at=tx.now)
    facts = with_wholes(tx, project, message, submission.units, facts)
    facts = with_carried(tx, project, message.system, submission.units, facts)
    return replace(run(submission, Trip(project, facts, message.system)), facts=facts)


def _ahead(
    tx: Transaction, project: Project, message: Message, submission: Submission
) -> Travelled:
    """Let a submission travel ahead of its turn; say what the turn will ask besides."""
    travelled = _travelled(tx, project, message, submission)
    units = [outcome.unit for outcome in travelled.outcomes]
    tx.messages.expect(message.system, message.key, message.digest)
    tx.crosswalk.expect(travelled.links)
    tx.units.expect(str(key) for key in travelled.links)
    tx.resources.expect((unit.type, unit.entity) for unit in units if unit.canonical is not None)
    if project.config.coordination is not None:
        expect_reactions(tx, units)
    return travelled


def _verdicts(outcomes: Iterable[Outcome]) -> Iterable[tuple[str, str]]:
    for outcome in outcomes:
        if outcome.unit.refusal is not None:
            yield outcome.unit.refusal["decision"], outcome.unit.refusal.get("code") or ""
        for _, decision in other_decisions(outcome.unit):
            yield decision.decision, decision.code or ""


def _told(message: Message, submission: Submission, travelled: Travelled) -> Answer:
    if message.interaction == "process-message" and submission.header is not None:
        return message_reply(submission.header, travelled.outcomes, message.id)
    return answer(submission, travelled.outcomes, message.id)


def _told_before(tx: Transaction, row: MessageRow) -> Answer:
    """Return the first answer to a submission that is repeated."""
    status = row.status or 200
    if row.response is None:
        return Answer(status, operation_outcome([_forgotten(status)]), _location(tx, row))
    return Answer(status, loads(row.response), _location(tx, row))


def _location(tx: Transaction, row: MessageRow) -> str | None:
    """Return what the Location of the first answer named: a resource that came alone."""
    if not row.interaction.startswith(("create ", "update ")) or row.status not in (201, 202):
        return None
    return next((unit.resource for unit in tx.units.of_message(row.id)), None)


def _forgotten(status: int) -> Diagnostic:
    """Say what is left of an answer whose time to be kept is over."""
    if status < 400:
        return Diagnostic("R009", "This came before and was accepted.", Severity.INFORMATION)
    return Diagnostic(
        "R005",
        "This idempotency key came before and was refused; why is no longer kept.",
        expected="a new key",
    )


_KEYS = {"header": "Idempotency-Key", "bundle": "Bundle.identifier", "message": "MessageHeader.id"}
"""Where the key of a submission stands, by the first word under which it is kept."""


def _key_reused(key: str | None) -> Diagnostic:
    place = _KEYS[(key or "header").partition(" ")[0]]
    return Diagnostic(
        "R005",
        f"This idempotency key ({place}) came before with another body.",
        path=place if "." in place else None,
        expected="a new key for new content",
    )


def _learn(tx: Transaction, project: Project, travelled: Travelled, source: str) -> None:
    """Keep the links that the message taught, and release what waited for them."""
    if not travelled.links:
        return
    if tx.crosswalk.link(dict(travelled.links), source=source):
        raise StoreError("another submission linked the same identifier, send it again")
    release_waiting(tx, project, travelled.links)
