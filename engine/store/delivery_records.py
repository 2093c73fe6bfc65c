"""The outbox's table as it is read: one delivery, those of a message or member, and how many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import orjson
from sqlalchemy import func, select

from engine.deliver.outbox import DELIVERY
from engine.store.answers import rows_of
from engine.store.outbox_queries import (
    BY_ID,
    IN_STATE,
    OF_MEMBER,
    OF_UNIT,
    OPEN,
    ROW,
    WAS_DELIVERED,
)
from engine.store.rows import DeliveryRow, Depth
from engine.store.session import Session
from engine.store.tables import delivery, unit

_FINAL = sorted(state.name for state in DELIVERY.states if state.final)
HELD_OF = rows_of(OF_MEMBER["held"], [*DeliveryRow.__dataclass_fields__].index("member"))
"""What is held for a member, oldest first."""


class DeliveryRecords:
    """Read deliveries; nothing here changes one."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, id: str) -> DeliveryRow | None:
        """Return a delivery by its id."""
        row = self._session.run(BY_ID, {"id": id}).first()
        return self._delivery(row) if row else None

    def of_message(self, message: str) -> list[DeliveryRow]:
        """Return the deliveries that a message led to, in the order in which they were made."""
        query = select(*ROW).where(delivery.c.message_id == message).order_by(delivery.c.id)
        return [self._delivery(row) for row in self._session.execute(query)]

    def messages_in(
        self,
        state: str,
        limit: int,
        since: str | None = None,
        members: Sequence[str] | None = None,
    ) -> list[str]:
        """Return the messages of the newest deliveries in a state (of units about a member)."""
        query = select(delivery.c.message_id).where(IN_STATE[state])
        if since is not None:
            query = query.where(delivery.c.created >= since)
        if members is not None:
            theirs = select(unit.c.id).where(unit.c.member.in_(list(members)))
            query = query.where(delivery.c.unit_id.in_(theirs))  # no join: both have a state
        query = query.order_by(delivery.c.id.desc()).limit(limit)
        return list(self._session.execute(query).scalars())

    def of_messages(self, messages: Sequence[str]) -> list[DeliveryRow]:
        """Return the deliveries of several messages, their bodies left out."""
        query = select(*ROW[:-1]).where(delivery.c.message_id.in_(messages))
        query = query.order_by(delivery.c.id)
        return [self._delivery((*row, b"")) for row in self._session.execute(query)]

    def of_unit(self, unit: str) -> list[DeliveryRow]:
        """Return the deliveries that a unit led to."""
        return [self._delivery(row) for row in self._session.run(OF_UNIT, {"unit": unit})]

    def of_member(
        self, state: Literal["held", "waiting"], members: Sequence[str]
    ) -> list[DeliveryRow]:
        """Return what stands in a state for one member (all canonical ids), oldest first."""
        rows = (
            row
            for member in dict.fromkeys(members)
            for row in (
                self._session.answers.of(HELD_OF, member)
                if state == "held"
                else self._session.run(*OF_MEMBER[state].of([member]))
            )
        )
        return [self._delivery(row) for row in rows]

    def ready_held(self, members: Iterable[str]) -> None:
        """Read together what is held for members."""
        self._session.answers.ready(HELD_OF, members)

    def was_delivered(self, destination: str, reference: str) -> bool:
        """Tell whether a destination has been sent any version of a resource (`Type/entity`)."""
        values = {"destination": destination, "reference": reference}
        return self._session.run(WAS_DELIVERED, values).first() is not None

    def search(
        self,
        *,
        state: str | None = None,
        destination: str | None = None,
        members: Sequence[str] | None = None,
        limit: int = 100,
    ) -> list[DeliveryRow]:
        """Return deliveries, newest first."""
        query = select(*ROW).order_by(delivery.c.id.desc()).limit(limit)
        if state is not None:
            query = query.where(delivery.c.state == state)
            if state != "delivered":
                query = query.where(OPEN)
        if destination is not None:
            query = query.where(delivery.c.destination == destination)
        if members is not None:
            query = query.where(delivery.c.member.in_(members))
        return [self._delivery(row) for row in self._session.execute(query)]

    def depth(self) -> list[Depth]:
        """Return how much stands at each destination in each state that is not final."""
        query = (
            select(
                delivery.c.destination,
                delivery.c.state,
                func.count(),
                func.min(delivery.c.created),
            )
            .where(OPEN, delivery.c.state.not_in(_FINAL))
            .group_by(delivery.c.destination, delivery.c.state)
            .order_by(delivery.c.destination, delivery.c.state)
        )
        return [Depth(*row) for row in self._session.execute(query)]

    def _delivery(self, row: Sequence[Any]) -> DeliveryRow:
        *plain, envelope, body = row
        opened = self._session.vault.open(bytes(body), f"delivery {row[0]}")
        values: list[Any] = [*plain, orjson.loads(envelope), opened]
        return DeliveryRow(*values)
