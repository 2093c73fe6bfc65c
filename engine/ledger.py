"""The durable record as people ask about it: lists, one message in full, is it whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeVar

from msgspec import structs

from engine.audit import Break, Ends, Record
from engine.deliver.outbox import DELIVERY
from engine.store import AttemptRow, DecisionRow, DeliveryRow, MessageRow, Transaction, UnitRow

MESSAGE_STATES = frozenset({"accepted", "rejected"})

STATES = MESSAGE_STATES | {"held"} | {known.name for known in DELIVERY.states}
"""What messages, their units and their deliveries can be asked for by."""
MANY = 10_000
NEWEST = 500
PAGE = 200


@dataclass(frozen=True, slots=True)
class Question:
    """Say which messages are asked for; what is None does not narrow.

    `member` is a canonical id or anything the crosswalk knows (a reference, `system|value`, a bare
    identifier); `state` is one of a message, a unit or a delivery; instants are RFC 3339 in UTC.
    """

    member: str | None = None
    message: str | None = None
    correlation: str | None = None
    system: str | None = None
    state: str | None = None
    since: str | None = None
    until: str | None = None
    limit: int = 50


_ANY = Question()


@dataclass(frozen=True, slots=True)
class Line:
    """Hold one message in a list, with what became of its resources and deliveries."""

    message: MessageRow
    units: tuple[UnitRow, ...]
    deliveries: tuple[DeliveryRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Render as plain data without any payload."""
        return {
            **_message(self.message),
            "units": [structs.asdict(unit) for unit in self.units],
            "deliveries": [_delivery(delivery) for delivery in self.deliveries],
        }


@dataclass(frozen=True, slots=True)
class DeliveryTrace:
    """Hold one delivery with the decisions at sending and the attempts."""

    delivery: DeliveryRow
    decisions: tuple[DecisionRow, ...]
    attempts: tuple[AttemptRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Render as plain data without any payload."""
        return {
            **_delivery(self.delivery),
            "decisions": [_plain(decision) for decision in self.decisions],
            "attempts": [_plain(attempt) for attempt in self.attempts],
        }


@dataclass(frozen=True, slots=True)
class UnitTrace:
    """Hold one resource of a message with the decisions at acceptance and its deliveries."""

    unit: UnitRow
    decisions: tuple[DecisionRow, ...]
    deliveries: tuple[DeliveryTrace, ...]

    def to_json(self) -> dict[str, Any]:
        """Render as plain data without any payload."""
        return {
            **structs.asdict(self.unit),
            "decisions": [_plain(decision) for decision in self.decisions],
            "deliveries": [delivery.to_json() for delivery in self.deliveries],
        }


@dataclass(frozen=True, slots=True)
class Trace:
    """Hold everything that is on record about one message, from arrival to delivery."""

    message: MessageRow
    units: tuple[UnitTrace, ...]
    records: tuple[Record, ...]

    def to_json(self) -> dict[str, Any]:
        """Render as plain data without any payload."""
        return {
            **_message(self.message),
            "units": [unit.to_json() for unit in self.units],
            "records": [_plain(record) for record in self.records],
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say whether the chain is whole; `ends` is what to note elsewhere for the next check."""

    ends: Ends
    breaks: tuple[Break, ...]

    @property
    def whole(self) -> bool:
        """Tell whether nothing was changed, removed or moved."""
        return not self.breaks

    def to_json(self) -> dict[str, Any]:
        """Render as plain data."""
        return {
            "whole": self.whole,
            "first": self.ends.first,
            "last": self.ends.last,
            "hash": self.ends.hash,
            "breaks": [_plain(found) for found in self.breaks],
        }


def lines(tx: Transaction, question: Question) -> list[Line]:
    """Return the messages asked for, newest first.

    A state of units or deliveries is looked for among the newest `MANY` in that state, or
    `NEWEST` where nothing else narrows.
    """
    found = _found(tx, question)
    ids = [row.id for row in found]
    units = _by_message(tx.units.of_messages(ids))
    deliveries = _by_message(tx.deliveries.of_messages(ids))
    return [
        Line(row, tuple(units.get(row.id, ())), tuple(deliveries.get(row.id, ()))) for row in found
    ]


class _Part(Protocol):
    """Show a part of a message."""

    @property
    def message_id(self) -> str: ...


P = TypeVar("P", bound=_Part)


def _by_message(parts: Iterable[P]) -> dict[str, list[P]]:
    found: dict[str, list[P]] = {}
    for part in parts:
        found.setdefault(part.message_id, []).append(part)
    return found


def _found(tx: Transaction, question: Question) -> list[MessageRow]:
    ids = _narrowed(tx, question)
    if ids is None:
        return _search(tx, question, None, question.limit)
    found: list[MessageRow] = []
    for start in range(0, len(ids), PAGE):  # the ids of messages sort by the time they were made
        found += _search(tx, question, ids[start : start + PAGE], question.limit - len(found))
        if len(found) >= question.limit:
            break
    return found


def _search(
    tx: Transaction, question: Question, ids: Sequence[str] | None, limit: int
) -> list[MessageRow]:
    return tx.messages.search(
        ids=ids,
        system=question.system,
        correlation=question.correlation,
        state=question.state if question.state in MESSAGE_STATES else None,
        since=question.since,
        until=question.until,
        limit=limit,
    )


def _narrowed(tx: Transaction, question: Question) -> list[str] | None:
    """Return the ids that member, message and state leave, newest first; None: all of them."""
    sets: list[set[str]] = []
    if question.message is not None:
        found = whose(tx, question.message)
        sets.append({found} if found else set())
    about = members(tx, question.member) if question.member is not None else None
    if question.state is not None and question.state not in MESSAGE_STATES:
        sets.append(set(_in_state(tx, question, about)))
    elif about is not None:
        sets.append(set(tx.units.messages_of(about, MANY)))
    return sorted(set.intersection(*sets), reverse=True) if sets else None


def _in_state(tx: Transaction, question: Question, about: Sequence[str] | None) -> Iterable[str]:
    state = str(question.state)
    alone = replace(question, state=None, limit=_ANY.limit) == _ANY
    most = max(NEWEST, question.limit) if alone else MANY
    if state == "held":
        yield from tx.units.messages_held(most, about)
    if state in {known.name for known in DELIVERY.states}:
        yield from tx.deliveries.messages_in(state, most, question.since, about)


def members(tx: Transaction, name: str) -> Sequence[str]:
    """Return every canonical id that `name` may mean (see `Question.member`)."""
    bare = name.rpartition("/")[2]
    if tx.crosswalk.current(bare) is not None:
        return tx.crosswalk.same(bare)
    found = {link.entity for link in tx.crosswalk.find(name)}
    return sorted({same for entity in found for same in tx.crosswalk.same(entity)})


def whose(tx: Transaction, id: str) -> str | None:
    """Return the message that `id` is, or that the unit or delivery `id` belongs to."""
    if tx.messages.get(id):
        return id
    if unit := tx.units.get(id):
        return unit.message_id
    delivery = tx.deliveries.get(id)
    return delivery.message_id if delivery else None


def trace(tx: Transaction, id: str) -> Trace | None:
    """Return everything on record about a message, given its id or that of a part of it."""
    found = whose(tx, id)
    message = tx.messages.get(found) if found else None
    if message is None:
        return None
    units = tuple(_unit(tx, unit) for unit in tx.units.of_message(message.id))
    return Trace(message, units, tuple(tx.audit.of_message(message.id)))


def _unit(tx: Transaction, unit: UnitRow) -> UnitTrace:
    decisions = [row for row in tx.decisions.of_unit(unit.id) if row.delivery_id is None]
    deliveries = tuple(
        DeliveryTrace(
            row,
            tuple(tx.decisions.of_delivery(row.id)),
            tuple(tx.attempts.of_delivery(row.id)),
        )
        for row in tx.deliveries.of_unit(unit.id)
    )
    return UnitTrace(unit, tuple(decisions), deliveries)


def verify(tx: Transaction, known: Ends | None = None) -> Verdict:
    """Check the whole chain, also against an end of it that was noted elsewhere."""
    return Verdict(tx.audit.ends(), tuple(tx.audit.verify(known)))


def consents(decision: DecisionRow) -> list[str]:
    """Return the versions of Consents that a decision rests on, as its record names them."""
    named = [*decision.body.get("basis", ()), *decision.body.get("considered", ())]
    return list(dict.fromkeys(str(entry["consent"]) for entry in named if entry.get("consent")))


def _message(row: MessageRow) -> dict[str, Any]:
    return _plain(replace(row, body=None, response=None), leave=("body", "response"))


def _delivery(row: DeliveryRow) -> dict[str, Any]:
    return _plain(replace(row, body=b""), leave=("body",))


def _plain(row: Any, leave: Sequence[str] = ()) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name not in leave}
