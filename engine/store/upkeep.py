"""The record kept in order: the old is removed, payloads sealed anew, room given back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table, and_, exists, func, literal_column, or_, select, update
from sqlalchemy import delete as remove
from sqlalchemy.sql import ColumnElement

from engine.deliver.outbox import DELIVERY
from engine.store.session import Session
from engine.store.tables import (
    chain,
    decision,
    delivery,
    history,
    message,
    resource,
    subscription,
    unit,
)
from engine.store.vault import Vault, sealed_with

FINAL = tuple(state.name for state in DELIVERY.states if state.final)
_PAGES = 1000
"""Pages of a SQLite file that one step gives back to the disk."""

_INCREMENTAL = 2
"""What SQLite calls a file that can shrink (`PRAGMA auto_vacuum`)."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Say where payloads are: the table, what identifies a row, and who owns its payloads."""

    table: Table
    key: tuple[Column[Any], ...]
    payloads: tuple[Column[Any], ...]
    owner: Callable[[Any], str]


SEALED: tuple[Sealed, ...] = (
    Sealed(
        message, (message.c.id,), (message.c.body, message.c.response), lambda k: f"message {k[0]}"
    ),
    Sealed(delivery, (delivery.c.id,), (delivery.c.body,), lambda k: f"delivery {k[0]}"),
    Sealed(decision, (decision.c.id,), (decision.c.body,), lambda k: f"decision {k[0]}"),
    Sealed(
        resource,
        (resource.c.type, resource.c.id),
        (resource.c.body,),
        lambda k: f"{k[0]}/{k[1]}",
    ),
    Sealed(
        history,
        (history.c.type, history.c.id, history.c.version),
        (history.c.body,),
        lambda k: f"{k[0]}/{k[1]}",
    ),
    Sealed(
        subscription,
        (subscription.c.id,),
        (subscription.c.body, subscription.c.headers),
        lambda k: f"subscription {k[0]}",
    ),
)
"""Every column that holds a payload."""


class Upkeep:
    """Do upkeep in steps that are short enough for others to wait for."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def forget_messages(self, before: str, most: int) -> int:
        """Remove body and answer of at most so many messages received before an instant.

        A message keeps its body while one of its units is held: a release reads it again.
        """
        held = exists().where(
            unit.c.message_id == message.c.id, unit.c.state == literal_column("'held'")
        )
        old = and_(message.c.received < before, message.c.body.is_not(None), ~held)
        found = select(message.c.id).where(old).order_by(message.c.received).limit(most)
        query = update(message).where(message.c.id.in_(found))
        return self._session.changed(query.values(body=None, response=None))

    def forget_deliveries(self, before: str, most: int) -> int:
        """Empty the body of at most so many deliveries that came to an end before an instant."""
        old = and_(
            delivery.c.state.in_(FINAL),
            delivery.c.changed < before,
            func.length(delivery.c.body) > 0,
        )
        found = select(delivery.c.id).where(old).order_by(delivery.c.id).limit(most)
        query = update(delivery).where(delivery.c.id.in_(found))
        return self._session.changed(query.values(body=b""))

    def forget_history(self, before: str, most: int) -> int:
        """Remove at most so many versions that were stored before an instant and then replaced.

        The versions of Consents stay, because decisions name them, and so does whatever a
        delivery that has not come to an end is decided upon.
        """
        current = exists().where(
            resource.c.type == history.c.type,
            resource.c.id == history.c.id,
            resource.c.version == history.c.version,
        )
        needed = exists().where(
            unit.c.resource == history.c.type + "/" + history.c.id,
            unit.c.version == history.c.version,
            delivery.c.unit_id == unit.c.id,
            delivery.c.state.not_in(FINAL),
        )
        old = and_(history.c.at < before, history.c.type != "Consent", ~current, ~needed)
        key = (history.c.type, history.c.id, history.c.version)
        rows = self._session.execute(select(*key).where(old).limit(most)).all()
        for row in rows:
            self._session.execute(remove(history).where(*_is(key, row)))
        return len(rows)

    def reseal(self, kind: Sealed, after: tuple[Any, ...] | None, most: int) -> Resealed:
        """Seal one page of payloads with the active key (or none) that are sealed otherwise."""
        query = select(*kind.key, *kind.payloads).order_by(*kind.key).limit(most).with_for_update()
        if after is not None:
            query = query.where(_behind(kind.key, after))
        done, last = 0, None
        for row in self._session.execute(query).all():
            last = tuple(row[: len(kind.key)])
            fresh = self._anew(kind, last, row[len(kind.key) :])
            if fresh:
                change = update(kind.table).where(*_is(kind.key, last)).values(fresh)
                done += self._session.changed(change)
        return Resealed(done, last)

    def _anew(self, kind: Sealed, key: tuple[Any, ...], stored: Any) -> dict[str, Any]:
        owner, vault = kind.owner(key), self._session.vault
        fresh: dict[str, Any] = {}
        for column, payload in zip(kind.payloads, stored, strict=True):
            if payload is not None and _key_of(payload) != vault.active:
                fresh[column.name] = _sealed(vault, payload, owner)
        return fresh

    def probe(self) -> None:
        """Write something that changes nothing: it fails where the record cannot be written."""
        self._session.execute(update(chain).values(known=chain.c.known))

    def give_back(self) -> int:
        """Give free pages back to the disk, where the database does not do so itself.

        Returns how many are still free and could be given back by another step.
        """
        if not self._session.neutral:
            return 0
        connection = self._session.connection
        able = connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one() == _INCREMENTAL
        free: int = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one() if able else 0
        for _ in range(min(free, _PAGES)):  # Python's driver takes one step for each statement
            connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")
        return max(0, free - _PAGES)


@dataclass(frozen=True, slots=True)
class Resealed:
    """Say how many rows of a page were sealed anew; `last` is None behind the end."""

    done: int
    last: tuple[Any, ...] | None


def _key_of(payload: Any) -> str | None:
    start = payload[:80].encode() if isinstance(payload, str) else bytes(payload[:80])
    return sealed_with(start)


def _sealed(vault: Vault, payload: Any, owner: str) -> Any:
    if isinstance(payload, str):
        return vault.seal_text(vault.open_text(payload, owner), owner)
    return vault.seal(vault.open(bytes(payload), owner), owner)


def _is(key: tuple[Column[Any], ...], values: Any) -> Iterator[ColumnElement[bool]]:
    return (column == value for column, value in zip(key, values, strict=True))


def _behind(key: tuple[Column[Any], ...], values: tuple[Any, ...]) -> ColumnElement[bool]:
    """Compare whole keys: those that sort behind `values`."""
    ways = [and_(*_is(key[:n], values[:n]), key[n] > values[n]) for n in range(len(key))]
    return or_(*ways)
