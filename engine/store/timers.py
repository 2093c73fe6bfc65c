"""The timers: what is to happen once at an instant, whatever restarts in between."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import select, update
from sqlalchemy.engine import Row

from engine.store.database import Insert
from engine.store.rows import TimerRow
from engine.store.session import Session
from engine.store.tables import timer

_FIELDS = tuple(column.name for column in timer.c)


class Timers:
    """Keep timers; each goes off once."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def set(self, key: str, kind: str, due: str, body: dict[str, Any] | None = None) -> bool:
        """Set a timer for the instant `due`; False where one of this key was ever set before."""
        if self.get(key) is not None:
            return False
        now = self._session.now
        row = TimerRow(key, kind, due, "waiting", 0, None, body or {}, now, now)
        values = {name: getattr(row, name) for name in _FIELDS}
        self._session.add(_ADD, [{**values, "body": orjson.dumps(row.body).decode()}])
        self._session.work = True
        return True

    def get(self, key: str) -> TimerRow | None:
        """Return a timer by its key."""
        row = self._session.execute(select(timer).where(timer.c.key == key)).first()
        return _timer(row) if row else None

    def next(self, now: str, skip: frozenset[str] = frozenset()) -> TimerRow | None:
        """Return the first timer that is due, locked until this transaction ends, or None."""
        query = (
            select(timer)
            .where(timer.c.state == "waiting", timer.c.due <= now, timer.c.key.not_in(skip))
            .order_by(timer.c.due, timer.c.key)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        row = self._session.execute(query).first()
        return _timer(row) if row else None

    def next_due(self) -> str | None:
        """Return the instant at which the first waiting timer is due, or None."""
        query = select(timer.c.due).where(timer.c.state == "waiting").order_by(timer.c.due)
        found: str | None = self._session.execute(query.limit(1)).scalar()
        return found

    def finish(self, key: str) -> None:
        """Say that a timer went off and all it meant is done."""
        self._move(key, state="done", reason=None)

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

    def _move(self, key: str, **values: Any) -> bool:
        query = update(timer).where(timer.c.key == key, timer.c.state == "waiting")
        return bool(self._session.changed(query.values(changed=self._session.now, **values)))


_ADD = Insert(timer)


def _timer(row: Row[Any]) -> TimerRow:
    values = dict(row._mapping)
    return TimerRow(**{**values, "body": orjson.loads(values["body"])})
