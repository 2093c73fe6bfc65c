"""The timers: what is to happen once at an instant, whatever restarts in between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import bindparam, select, tuple_, update

from engine.store.answers import Question
from engine.store.crosswalk import batched
from engine.store.database import Insert, Listing, Statement
from engine.store.rows import TimerRow
from engine.store.session import Session
from engine.store.tables import timer

_FIELDS = tuple(column.name for column in timer.c)
_PAGE = 64
_ADD = Insert(timer, repeated=True)
_BY_KEY = Listing(
    lambda _, places: select(timer).where(timer.c.key.in_([bindparam(f"key{n}") for n in places])),
    "key",
)
_TAKE = Statement(
    lambda _: (
        select(timer.c.key)
        .where(timer.c.key == bindparam("key"), timer.c.state == "waiting")
        .with_for_update(skip_locked=True)
    )
)
_DUE = Statement(
    lambda _: (
        select(timer)
        .where(timer.c.state == "waiting", timer.c.due <= bindparam("now"))
        .order_by(timer.c.due, timer.c.key)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )
)
_WAITING = Statement(
    lambda _: (
        select(timer)
        .where(
            timer.c.state == "waiting",
            timer.c.kind == bindparam("kind"),
            tuple_(timer.c.due, timer.c.key) > tuple_(bindparam("due"), bindparam("key")),
        )
        .order_by(timer.c.due, timer.c.key)
        .limit(bindparam("most"))
    )
)
_NEXT_DUE = Statement(
    lambda _: select(timer.c.due).where(timer.c.state == "waiting").order_by(timer.c.due).limit(1)
)
_FINISH = Listing(
    lambda _, places: (
        update(timer)
        .where(timer.c.key.in_([bindparam(f"which{n}") for n in places]))
        .where(timer.c.state == "waiting")
        .values(state="done", reason=None, changed=bindparam("now"))
    ),
    "which",
)


def _by_key(session: Session, keys: Sequence[str]) -> dict[str, Sequence[Any]]:
    return {row[0]: row for row in session.each(_BY_KEY, keys)}


_SET: Question[str, Sequence[Any] | None] = Question(_by_key, None)
"""The timer of a key."""


class Timers:
    """Keep timers; each goes off once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._finished: list[str] = []

    def set(self, key: str, kind: str, due: str, body: dict[str, Any] | None = None) -> bool:
        """Set a timer for the instant `due`; False where one of this key was ever set before."""
        self._session.answers.forget(_SET, [key])
        added = self._session.insert(_ADD, [self._row(key, kind, due, body)])
        self._session.work |= bool(added)
        return bool(added)

    def set_first(self, key: str, kind: str, due: str, body: dict[str, Any]) -> None:
        """Set a timer under a key that is known to be new: sent together with other rows."""
        self._session.answers.forget(_SET, [key])
        self._session.add(_ADD, [self._row(key, kind, due, body)])
        self._session.work = True

    def _row(self, key: str, kind: str, due: str, body: dict[str, Any] | None) -> dict[str, Any]:
        now, text = self._session.now, orjson.dumps(body or {}).decode()
        row = (key, kind, due, "waiting", 0, None, text, now, now)
        return dict(zip(_FIELDS, row, strict=True))

    def get(self, key: str) -> TimerRow | None:
        """Return a timer by its key."""
        row = self._session.answers.of(_SET, key)
        return _timer(row) if row else None

    def ready(self, keys: Iterable[str]) -> None:
        """Read together timers that will be got one by one."""
        self._session.answers.ready(_SET, keys)

    def is_waiting(self, key: str) -> bool:
        """Tell whether a timer of this key is still to go off."""
        found = self.get(key)
        return found is not None and found.state == "waiting"

    def take(self, key: str) -> bool:
        """Lock a waiting timer until this transaction ends; False where another has it."""
        if self._session.neutral:
            return self.is_waiting(key)
        return self._session.run(_TAKE, {"key": key}).first() is not None

    def due(self, now: str, most: int) -> list[TimerRow]:
        """Return the first timers that are due, locked until this transaction ends."""
        rows = list(self._session.run(_DUE, {"now": now, "most": most}))
        for row in rows:
            self._session.answers.tell(_SET, row[0], row)
        return [_timer(row) for row in rows]

    def next_due(self) -> str | None:
        """Return the instant at which the first waiting timer is due, or None."""
        found: str | None = self._session.run(_NEXT_DUE, {}).scalar()
        return found

    def finish(self, key: str) -> None:
        """Say that a timer went off and all it meant is done; noted together with others."""
        self._session.later("timer", self._finish)
        self._session.answers.forget(_SET, [key])
        self._finished.append(key)

    def _finish(self) -> None:
        finished, self._finished = self._finished, []
        self._session.flush({"timer"})  # one of them may have been set first in this transaction
        for page in batched(finished, _PAGE):
            statement, which = _FINISH.of(page)
            self._session.run(statement, which | {"now": self._session.now})

    def cancel(self, key: str) -> bool:
        """Let a waiting timer never go off; False where none waits under this key."""
        return self._move(key, state="cancelled", reason=None)

    def again(self, key: str, due: str | None, reason: str) -> None:
        """Say that what a timer meant failed: it goes off again at `due`, or never (None)."""
        state = "failed" if due is None else "waiting"
        values: dict[str, Any] = {"attempts": timer.c.attempts + 1}
        self._move(key, state=state, reason=reason, **values, **({"due": due} if due else {}))

    def amend(self, key: str, body: dict[str, Any]) -> bool:
        """Replace what a waiting timer carries; False where none waits under this key."""
        return self._move(key, body=orjson.dumps(body).decode())

    def of_kind(self, kind: str, state: str = "waiting", limit: int = 1000) -> list[TimerRow]:
        """Return the timers of a kind, the first due first."""
        query = select(timer).where(timer.c.kind == kind, timer.c.state == state)
        query = query.order_by(timer.c.due, timer.c.key).limit(limit)
        return [_timer(row) for row in self._session.execute(query)]

    def waiting(self, kind: str, after: TimerRow | None = None, most: int = 500) -> list[TimerRow]:
        """Return a page of the timers of a kind that wait, the first due first, behind `after`."""
        values = {
            "kind": kind,
            "due": after.due if after is not None else "",
            "key": after.key if after is not None else "",
            "most": most,
        }
        return [_timer(row) for row in self._session.run(_WAITING, values)]

    def _move(self, key: str, **values: Any) -> bool:
        self._session.answers.forget(_SET, [key])
        query = update(timer).where(timer.c.key == key, timer.c.state == "waiting")
        return bool(self._session.changed(query.values(changed=self._session.now, **values)))


def _timer(row: Sequence[Any]) -> TimerRow:
    values = dict(zip(_FIELDS, row, strict=True))
    return TimerRow(**{**values, "body": orjson.loads(values["body"])})
