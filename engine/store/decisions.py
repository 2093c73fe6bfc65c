"""Consent decisions as they were taken, with what each rested on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import bindparam, select

from engine.store.answers import Question
from engine.store.database import Insert, Listing
from engine.store.rows import DecisionRow
from engine.store.session import Session
from engine.store.tables import decision, unit

_ADD = Insert(decision)
_BY_ID = Listing(
    lambda _, places: select(decision).where(
        decision.c.id.in_([bindparam(f"id{place}") for place in places])
    ),
    "id",
)


def _taken(session: Session, ids: Sequence[str]) -> dict[str, Sequence[Any]]:
    return {row[0]: row for row in session.each(_BY_ID, ids)}


_TAKEN: Question[str, Sequence[Any] | None] = Question(_taken, None)
"""A decision as it is stored; none is ever changed."""


class Decisions:
    """Keep decisions; none is ever changed."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(
        self,
        unit: str,
        decision: str,
        *,
        code: str | None,
        body: dict[str, Any],
        at: str,
        delivery: str | None = None,
    ) -> str:
        """Store a decision taken at the instant `at`, for a delivery where at sending."""
        id = self._session.ids.new()
        row = {
            "id": id,
            "unit_id": unit,
            "delivery_id": delivery,
            "at": at,
            "decision": decision,
            "code": code,
            "body": self._session.vault.seal_text(orjson.dumps(body).decode(), f"decision {id}"),
        }
        self._session.add(_ADD, [row])
        return id

    def of_unit(self, unit: str) -> list[DecisionRow]:
        """Return every decision about a unit, in the order in which they were taken."""
        query = select(decision).where(decision.c.unit_id == unit).order_by(decision.c.id)
        return [self._decision(row) for row in self._session.execute(query)]

    def of_delivery(self, delivery: str) -> list[DecisionRow]:
        """Return every decision at sending of a delivery."""
        query = select(decision).where(decision.c.delivery_id == delivery).order_by(decision.c.id)
        return [self._decision(row) for row in self._session.execute(query)]

    def get(self, id: str) -> DecisionRow | None:
        """Return a decision by its id."""
        row = self._session.answers.of(_TAKEN, id)
        return self._decision(row) if row else None

    def ready(self, ids: Iterable[str]) -> None:
        """Read together decisions that will be got one by one."""
        self._session.answers.ready(_TAKEN, ids)

    def search(
        self,
        *,
        members: Sequence[str] | None = None,
        resource: str | None = None,
        message: str | None = None,
        since: str | None = None,
        until: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> list[DecisionRow]:
        """Return one page of decisions in the order in which they were taken.

        `members` are all canonical ids of one member, `resource` a canonical reference
        (`Communication/<entity>`); instants are RFC 3339 in UTC; `after` is the id of the last
        decision of the page before.
        """
        query = select(decision).where(decision.c.id > after).order_by(decision.c.id).limit(limit)
        if members is not None or resource is not None or message is not None:
            query = query.join(unit, unit.c.id == decision.c.unit_id)
        if members is not None:
            query = query.where(unit.c.member.in_(list(members)))
        if resource is not None:
            query = query.where(unit.c.resource == resource)
        if message is not None:
            query = query.where(unit.c.message_id == message)
        if since is not None:
            query = query.where(decision.c.at >= since)
        if until is not None:
            query = query.where(decision.c.at < until)
        return [self._decision(row) for row in self._session.execute(query)]

    def _decision(self, row: Sequence[Any]) -> DecisionRow:
        *plain, body = row
        opened = self._session.vault.open_text(body, f"decision {row[0]}")
        values: list[Any] = [*plain, orjson.loads(opened)]
        return DecisionRow(*values)
