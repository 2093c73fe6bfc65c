"""The tries to send: one record for each, success or not."""

from __future__ import annotations

from operator import attrgetter

from sqlalchemy import select

from engine.store.database import Insert
from engine.store.rows import AttemptRow
from engine.store.session import Session
from engine.store.tables import attempt

_ADD = Insert(attempt, repeated=True)
_FIELDS = tuple(column.name for column in attempt.c)
_values = attrgetter(*_FIELDS)


class Attempts:
    """Keep attempts; none is ever changed."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, row: AttemptRow) -> None:
        """Store an attempt; `number` is the fence of the claim under which it was made."""
        self._session.add(_ADD, [dict(zip(_FIELDS, _values(row), strict=True))])

    def of_delivery(self, delivery: str) -> list[AttemptRow]:
        """Return the attempts of a delivery in order."""
        query = select(attempt).where(attempt.c.delivery_id == delivery)
        return [AttemptRow(*row) for row in self._session.execute(query.order_by(attempt.c.number))]
