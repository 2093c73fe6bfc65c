"""The subscriptions of systems and their events, numbered without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Row

from engine.store.rows import EventRow, SubscriptionRow
from engine.store.session import Session
from engine.store.tables import chain, reader, subscription, subscription_event

LIVE = ("requested", "active", "error")
"""The states in which events count."""

KEPT = 10_000
"""How many events of one subscription stay on record at most."""

_NAME = "subscriptions"
_PRUNED_EVERY = 100


class Subscriptions:
    """Keep subscriptions; each event of one has the next number, for good."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, row: SubscriptionRow) -> None:
        """Store a new subscription; events count from the present end of the ledger on."""
        self._from_here()
        self._session.execute(insert(subscription).values(self._sealed(row)))

    def again(self, id: str) -> None:
        """Let the events of a subscription that was off count from the ledger's end on."""
        since = self._from_here()
        query = update(subscription).where(subscription.c.id == id)
        self._session.execute(query.values(since=since))

    def _from_here(self) -> int:
        """Return the end of the ledger, to which reading leaps where nobody has wanted it."""
        self._session.lock(_NAME)
        end = self.end()
        if not self.is_live():
            self.read_to(end, back=True)
        return end

    def change(self, row: SubscriptionRow) -> None:
        """Store a subscription anew, but for what only `count` and `move` change."""
        values = self._sealed(row)
        for name in ("id", "system", "created", "since", "events"):
            del values[name]
        query = update(subscription).where(subscription.c.id == row.id)
        self._session.execute(query.values(values))

    def move(self, id: str, state: str, reason: str | None, *, was: Sequence[str]) -> bool:
        """Let a subscription be in another state; False where it is in none of `was`."""
        query = update(subscription).where(
            subscription.c.id == id, subscription.c.state.in_(list(was))
        )
        values = {"state": state, "reason": reason, "changed": self._session.now}
        return self._session.changed(query.values(values)) == 1

    def get(self, id: str) -> SubscriptionRow | None:
        """Return a subscription by its id."""
        row = self._session.execute(select(subscription).where(subscription.c.id == id)).first()
        return self._row(row) if row else None

    def of_system(self, system: str, limit: int = 1000) -> list[SubscriptionRow]:
        """Return what a system subscribed to, the oldest first."""
        query = select(subscription).where(subscription.c.system == system)
        query = query.order_by(subscription.c.created, subscription.c.id).limit(limit)
        return [self._row(row) for row in self._session.execute(query)]

    def live(self) -> list[SubscriptionRow]:
        """Return the subscriptions whose events count."""
        query = select(subscription).where(subscription.c.state.in_(LIVE))
        return [self._row(row) for row in self._session.execute(query.order_by(subscription.c.id))]

    def is_live(self) -> bool:
        """Tell whether the events of any subscription count."""
        query = select(subscription.c.id).where(subscription.c.state.in_(LIVE)).limit(1)
        return self._session.execute(query).first() is not None

    def count(self, id: str, at: str, resource: str, version: int) -> tuple[int, str] | None:
        """Give the event about a version of a resource the next number; return it and the state.

        None where there is an event about this version already.
        """
        self._session.lock(f"subscription {id}")
        event = subscription_event
        known = select(event.c.number).where(
            event.c.subscription_id == id,
            event.c.resource == resource,
            event.c.version == version,
        )
        if self._session.execute(known).first() is not None:
            return None
        query = update(subscription).where(subscription.c.id == id)
        query = query.values(events=subscription.c.events + 1)
        returned = query.returning(subscription.c.events, subscription.c.state)
        number, state = self._session.execute(returned).one()
        values = {"subscription_id": id, "number": number, "at": at, "resource": resource}
        self._session.execute(insert(event).values(values | {"version": version}))
        if number % _PRUNED_EVERY == 0:
            old = delete(event).where(event.c.subscription_id == id)
            self._session.execute(old.where(event.c.number <= number - KEPT))
        return int(number), str(state)

    def event(self, id: str, number: int) -> EventRow | None:
        """Return one event of a subscription."""
        return next(iter(self.events(id, number, number, 1)), None)

    def events(self, id: str, first: int, last: int, limit: int) -> list[EventRow]:
        """Return the events of a subscription from one number to another, in order."""
        event = subscription_event
        query = select(event).where(
            event.c.subscription_id == id, event.c.number >= first, event.c.number <= last
        )
        query = query.order_by(event.c.number).limit(limit)
        return [EventRow(*row) for row in self._session.execute(query)]

    def mine(self) -> bool:
        """Let nobody else read on until this transaction ends; False where somebody else does."""
        return self._session.try_lock(_NAME)

    def end(self) -> int:
        """Return the number of the last record of the ledger."""
        found: int | None = self._session.execute(select(chain.c.last)).scalar()
        return found or 0

    def position(self) -> int:
        """Return up to which record the ledger was read."""
        query = select(reader.c.sequence).where(reader.c.name == _NAME)
        found: int | None = self._session.execute(query).scalar()
        return found or 0

    def read_to(self, sequence: int, *, back: bool = False) -> None:
        """Say that the ledger was read up to a record; never backwards, unless told so."""
        query = update(reader).where(reader.c.name == _NAME)
        if not back:
            query = query.where(reader.c.sequence <= sequence)
        if self._session.changed(query.values(sequence=sequence)) == 0 and back:
            self._session.execute(insert(reader).values(name=_NAME, sequence=sequence))

    def _sealed(self, row: SubscriptionRow) -> dict[str, Any]:
        seal, owner = self._session.vault.seal, f"subscription {row.id}"
        values: dict[str, Any] = {
            column.name: getattr(row, column.name) for column in subscription.c
        }
        values["body"] = seal(row.body, owner)
        values["headers"] = None if row.headers is None else seal(row.headers, owner)
        return values

    def _row(self, row: Row[Any]) -> SubscriptionRow:
        *plain, body, headers = list[Any](row)
        owner, opened = f"subscription {row[0]}", self._session.vault.open
        secrets = None if headers is None else opened(bytes(headers), owner)
        values: list[Any] = [*plain, opened(bytes(body), owner), secrets]
        return SubscriptionRow(*values)
