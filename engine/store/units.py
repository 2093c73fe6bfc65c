"""The units: each resource of a message, its state, and what holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import orjson
from sqlalchemy import bindparam, delete, literal_column, select, update

from engine.deliver.outbox import UNIT
from engine.errors import StoreError
from engine.store.answers import Question, rows_of
from engine.store.database import Insert, Listing, Statement
from engine.store.rows import UnitRow
from engine.store.session import Session
from engine.store.tables import unit, waiting

_FIELDS = tuple(column.name for column in unit.c)
_fields_of = attrgetter(*_FIELDS)
_FIXED = frozenset({"id", "message_id", "entry", "type"})
_ADD = Insert(unit)
_WAIT = Insert(waiting, repeated=True)
_WAITING = Listing(
    lambda _, places: select(waiting.c.key, waiting.c.unit_id).where(
        waiting.c.key.in_([bindparam(f"key{n}") for n in places])
    ),
    "key",
)
_ANY_WAITING = Statement(lambda _: select(waiting.c.key).limit(1))


def _waiting(session: Session, keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    if session.neutral and session.fetch(_ANY_WAITING, {}).first() is None:
        return found
    for key, id in session.each(_WAITING, keys):
        found[key] = (*found.get(key, ()), id)
    return found


_FOR: Question[str, tuple[str, ...]] = Question(_waiting, ())
"""The units that wait for a key."""
_BY_ID = Statement(lambda _: select(unit).where(unit.c.id == bindparam("id")))
_OF_MESSAGE = Listing(
    lambda _, places: (
        select(unit)
        .where(unit.c.message_id.in_([bindparam(f"message{n}") for n in places]))
        .order_by(unit.c.message_id, unit.c.entry, unit.c.id)
    ),
    "message",
)
_OF = rows_of(_OF_MESSAGE, 1)
"""The units of a message in the order of its entries."""
_MOVE = Statement(
    lambda _: (
        update(unit)
        .where(unit.c.id == bindparam("which"), unit.c.state == bindparam("was"))
        .values({name: bindparam(name) for name in _FIELDS if name not in _FIXED})
    )
)


class Units:
    """Keep the resources of messages."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, rows: Iterable[UnitRow]) -> None:
        """Store new units; a held one is found again by each key it waits for."""
        listed = list(rows)
        self._session.answers.forget(_OF, (row.message_id for row in listed))
        self._session.add(_ADD, [self._values(row) for row in listed])
        for row in listed:
            if row.state == "held":
                self._wait(row)

    def _wait(self, row: UnitRow) -> None:
        self._session.add(_WAIT, [{"key": key, "unit_id": row.id} for key in row.waiting_on])
        self._session.answers.forget(_FOR, row.waiting_on)

    def move(self, row: UnitRow, was: str) -> bool:
        """Store a unit anew in another state; False where it is no longer in state `was`.

        Only the ways of the state table are open (`engine.deliver.outbox.UNIT`).
        """
        if row.state not in {t.next for t in UNIT.transitions if t.state == was}:
            raise StoreError(f"a unit cannot go from {was} to {row.state}")
        self._session.answers.forget(_OF, [row.message_id])
        values = {**self._values(row), "which": row.id, "was": was}
        for name in _FIXED:
            del values[name]
        if self._session.run(_MOVE, values).rowcount != 1:
            return False
        self._session.execute(delete(waiting).where(waiting.c.unit_id == row.id))
        self._session.answers.forget_all(_FOR)
        if row.state == "held":
            self._wait(row)
        return True

    def _values(self, row: UnitRow) -> dict[str, Any]:
        return {
            **dict(zip(_FIELDS, _fields_of(row), strict=True)),
            "waiting_on": orjson.dumps(row.waiting_on).decode(),
            "notes": orjson.dumps(row.notes).decode(),
            "changed": row.changed or self._session.now,
        }

    def get(self, id: str) -> UnitRow | None:
        """Return a unit by its id."""
        row = self._session.run(_BY_ID, {"id": id}).first()
        return _unit(row) if row else None

    def of_message(self, message: str) -> list[UnitRow]:
        """Return the units of a message in the order of its entries."""
        return [_unit(row) for row in self._session.answers.of(_OF, message)]

    def ready(self, messages: Iterable[str]) -> None:
        """Read together the units of messages, which will be asked for one by one."""
        self._session.answers.ready(_OF, messages)

    def waiting_for(self, keys: Iterable[str]) -> list[UnitRow]:
        """Return the held units that wait for any of these crosswalk keys, oldest first."""
        waiting_units = self._session.answers.to(_FOR, dict.fromkeys(keys)).values()
        found = {id for ids in waiting_units for id in ids}
        if not found:
            return []
        query = select(unit).where(unit.c.id.in_(found), unit.c.state == "held")
        return [_unit(row) for row in self._session.execute(query.order_by(unit.c.id))]

    def expect(self, keys: Iterable[str]) -> None:
        """Say ahead of a turn for which keys it will ask who waits."""
        self._session.answers.expect(_FOR, keys)

    def held(self, reason: str | None = None, limit: int = 1000) -> list[UnitRow]:
        """Return held units, oldest first."""
        query = select(unit).where(_HELD)
        if reason is not None:
            query = query.where(unit.c.reason == reason)
        query = query.order_by(unit.c.id).limit(limit)
        return [_unit(row) for row in self._session.execute(query)]

    def of_members(self, members: Iterable[str], limit: int = 1000) -> list[UnitRow]:
        """Return the units about a member (all canonical ids of that member), newest first."""
        query = select(unit).where(unit.c.member.in_(list(members)))
        query = query.order_by(unit.c.id.desc()).limit(limit)
        return [_unit(row) for row in self._session.execute(query)]

    def messages_of(self, members: Iterable[str], limit: int) -> list[str]:
        """Return the messages of the newest units about a member."""
        query = select(unit.c.message_id).where(unit.c.member.in_(list(members)))
        query = query.order_by(unit.c.id.desc()).limit(limit)
        return list(self._session.execute(query).scalars())

    def messages_held(self, limit: int, members: Sequence[str] | None = None) -> list[str]:
        """Return the messages of the newest units that are held (about a member)."""
        query = select(unit.c.message_id).where(_HELD).order_by(unit.c.id.desc()).limit(limit)
        if members is not None:
            query = query.where(unit.c.member.in_(list(members)))
        return list(self._session.execute(query).scalars())

    def of_messages(self, messages: Sequence[str]) -> list[UnitRow]:
        """Return the units of several messages, by message and entry."""
        query = select(unit).where(unit.c.message_id.in_(messages))
        query = query.order_by(unit.c.message_id, unit.c.entry, unit.c.id)
        return [_unit(row) for row in self._session.execute(query)]

    def counts(self) -> Mapping[str, int]:
        """Return how many units are held for each reason."""
        counts: dict[str, int] = {}
        for reason in self._session.execute(select(unit.c.reason).where(_HELD)).scalars():
            counts[reason or ""] = counts.get(reason or "", 0) + 1
        return counts


# Written out so that the index of held units serves it.
_HELD = unit.c.state == literal_column("'held'")


def _unit(row: Sequence[Any]) -> UnitRow:
    values = dict(zip(_FIELDS, row, strict=True))
    values["waiting_on"] = tuple(orjson.loads(values["waiting_on"]))
    values["notes"] = tuple(orjson.loads(values["notes"]))
    return UnitRow(**values)
