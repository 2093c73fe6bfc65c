"""The inbox: submissions, what they touch, and whether one repeats another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, exists, func, or_, select, update
from sqlalchemy.sql import ClauseElement, Select

from engine.message import Message
from engine.store.answers import Question
from engine.store.database import Insert, Listing, Statement
from engine.store.rows import Duplicate, MessageRow
from engine.store.session import Session
from engine.store.tables import message, touch, unit

_ADD = Insert(message)
_LAST = Statement(lambda _: select(func.coalesce(func.max(message.c.number), 0)))
_DRAWN = Statement(
    lambda _: select(func.nextval(func.pg_get_serial_sequence("message", "number"))).select_from(
        func.generate_series(1, bindparam("count"))
    )
)
_LISTED = tuple(column for column in message.c if column.name not in ("response", "body"))
_TOUCH = Insert(touch)
_BY_ID = Statement(lambda _: select(message).where(message.c.id == bindparam("id")))
_BY_KEY = Statement(
    lambda _: select(message).where(
        message.c.system == bindparam("system"), message.c.key == bindparam("key")
    )
)
_BY_DIGEST = Statement(
    lambda _: (
        select(message)
        .where(
            message.c.system == bindparam("system"),
            message.c.digest == bindparam("digest"),
            message.c.received >= bindparam("since"),
        )
        .order_by(message.c.number.desc())
        .limit(1)
    )
)
_ANSWER = Statement(
    lambda _: (
        update(message)
        .where(message.c.id == bindparam("which"))
        .values(
            state=bindparam("state"),
            status=bindparam("status"),
            response=bindparam("response"),
        )
    )
)


def _overtaken() -> Select[*tuple[Any, ...]]:
    earlier, later = touch.alias("earlier"), touch.alias("later")
    return select(
        exists().where(
            earlier.c.number == bindparam("number"),
            later.c.system == earlier.c.system,
            later.c.resource == earlier.c.resource,
            later.c.number > earlier.c.number,
        )
    )


_OVERTAKEN = Statement(lambda _: _overtaken())
_MADE = Statement(
    lambda _: (
        select(message.c.received)
        .join(unit, unit.c.message_id == message.c.id)
        .where(unit.c.resource == bindparam("reference"), unit.c.version == bindparam("version"))
        .order_by(message.c.received.desc())
        .limit(1)
    )
)


def _heard(by: str) -> Question[tuple[str, str], bool]:
    """Ask whether anything came from a system under its key, or with its digest."""
    column = message.c[by]

    def build(_insert: Any, places: range) -> ClauseElement:
        same = (
            and_(message.c.system == bindparam(f"system{n}"), column == bindparam(f"value{n}"))
            for n in places
        )
        return select(message.c.system, column).where(or_(*same))

    listing = Listing(build, "system", "value")

    def ask(session: Session, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bool]:
        return dict.fromkeys(session.each(listing, names), True)

    return Question(ask, False)


_KEY, _DIGEST = _heard("key"), _heard("digest")


class Messages:
    """Keep submissions."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._entering: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []

    def expect(self, system: str, key: str | None, digest: str) -> None:
        """Say ahead of a turn that it will ask whether a submission is a repeat."""
        answers = self._session.answers
        answers.expect(_DIGEST, [(system, digest)])
        if key:
            answers.expect(_KEY, [(system, key)])

    def _came(self, question: Question[tuple[str, str], bool], system: str, value: str) -> bool:
        return self._session.answers.of(question, (system, value))

    def find_duplicate(
        self, system: str, key: str | None, digest: str | None, since: str
    ) -> Duplicate | None:
        """Return the message that this submission repeats, or None where it is new.

        The same key of the same system always repeats. The same digest repeats where the earlier
        one came at or after the instant `since` and nothing of that system has touched any of the
        same resources in between (A, B, A is three updates). Concurrent askers wait for each other.
        """
        if key:
            self._session.lock(f"key {system} {key}")
            if self._came(_KEY, system, key):
                row = self._session.run(_BY_KEY, {"system": system, "key": key}).one()
                found = self._message(row)
                return Duplicate(found, "key", digest is None or found.digest == digest)
        return self._same_digest(system, digest, since) if digest else None

    def _same_digest(self, system: str, digest: str, since: str) -> Duplicate | None:
        self._session.lock(f"digest {system} {digest}")
        if not self._came(_DIGEST, system, digest):
            return None
        values = {"system": system, "digest": digest, "since": since}
        row = self._session.run(_BY_DIGEST, values).first()
        if row is None:
            return None
        found = self._message(row)
        overtaken = self._session.run(_OVERTAKEN, {"number": found.number}).scalar()
        return None if overtaken else Duplicate(found, "digest", True)

    def add(
        self,
        new: Message,
        touches: Iterable[str] = (),
        *,
        correlation: str | None = None,
        state: str = "accepted",
        status: int | None = None,
        response: bytes | None = None,
    ) -> None:
        """Store a submission and which resources it touches (`Type/id`).

        An empty `new.key` means that the submission carried none. Its number is given when those
        of all submissions of a transaction are.
        """
        session = self._session
        row = {
            "id": new.id,
            "system": new.system,
            "key": new.key or None,
            "digest": new.digest,
            "received": new.received,
            "interaction": new.interaction,
            "correlation": correlation,
            "state": state,
            "status": status,
            "response": self._seal(response, new.id),
            "body": self._seal(new.body, new.id),
        }
        touched = [{"system": new.system, "resource": name} for name in sorted(set(touches))]
        self._entering.append((row, touched))
        for table in ("message", "touch"):
            session.later(table, self._enter)
        session.answers.tell(_DIGEST, (new.system, new.digest), True)
        if new.key:
            session.answers.tell(_KEY, (new.system, new.key), True)

    def _enter(self) -> None:
        """Give their numbers to the submissions that entered."""
        entering, self._entering = self._entering, []
        touches: list[dict[str, Any]] = []
        for number, (row, touched) in zip(self._numbers(len(entering)), entering, strict=True):
            row["number"] = number
            touches += ({**one, "number": number} for one in touched)
        self._session.add(_ADD, [row for row, _ in entering])
        self._session.add(_TOUCH, touches)

    def _numbers(self, count: int) -> Iterable[int]:
        if count == 0:
            return ()
        if self._session.neutral:
            last: int = self._session.fetch(_LAST, {}).scalar_one()
            return range(last + 1, last + 1 + count)
        return self._session.fetch(_DRAWN, {"count": count}).scalars()

    def _seal(self, payload: bytes | None, id: str) -> bytes | None:
        return None if payload is None else self._session.vault.seal(payload, f"message {id}")

    def _message(self, row: Sequence[Any]) -> MessageRow:
        *known, response, body = row
        owner, opened = f"message {row[1]}", self._session.vault.open
        values: list[Any] = [
            *known,
            *(
                None if stored is None else opened(bytes(stored), owner)
                for stored in (response, body)
            ),
        ]
        return MessageRow(*values)

    def received_with(self, reference: str, version: int) -> str | None:
        """Return when the message came that made a version of a resource (`Type/entity`)."""
        values = {"reference": reference, "version": version}
        found: str | None = self._session.run(_MADE, values).scalar()
        return found

    def answer(self, id: str, *, state: str, status: int, response: bytes) -> None:
        """Store the answer that the sender got, so that a repeat gets the same."""
        values = {"which": id, "state": state, "status": status}
        values["response"] = self._seal(response, id)
        self._session.run(_ANSWER, values)

    def get(self, id: str) -> MessageRow | None:
        """Return a message by its id."""
        row = self._session.run(_BY_ID, {"id": id}).first()
        return self._message(row) if row else None

    def search(
        self,
        *,
        ids: Sequence[str] | None = None,
        system: str | None = None,
        correlation: str | None = None,
        state: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 100,
    ) -> list[MessageRow]:
        """Return messages without body and answer, newest first: `since` <= received < `until`."""
        query = select(*_LISTED).order_by(message.c.received.desc()).limit(limit)
        if ids is not None:
            query = query.where(message.c.id.in_(ids))
        for column, value in (
            (message.c.system, system),
            (message.c.correlation, correlation),
            (message.c.state, state),
        ):
            if value is not None:
                query = query.where(column == value)
        if since is not None:
            query = query.where(message.c.received >= since)
        if until is not None:
            query = query.where(message.c.received < until)
        return [self._message((*row, None, None)) for row in self._session.execute(query)]
