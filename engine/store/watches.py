"""Our own subscriptions at other systems, and the news that came by them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Row

from engine.store.rows import NewsRow, WatchRow
from engine.store.session import Session
from engine.store.tables import news, watch

_FIELDS = tuple(field.name for field in fields(WatchRow))


class Watches:
    """Keep one watch for each system, and its news until they were looked at."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self, system: str, id: str, digest: str, until: str) -> bool:
        """Start a new watch of a system in place of one that is due; False where none is.

        Until the instant `until` nobody else starts another one.
        """
        now = self._session.now
        self._session.lock(f"watch {system}")
        before = self.of_system(system)
        if before is not None and before.due > now:
            return False
        if before is not None:
            self._session.execute(delete(news).where(news.c.watch_id == before.id))
            self._session.execute(delete(watch).where(watch.c.system == system))
        self._add(system, id, "asking", digest, until)
        return True

    def want(self, system: str) -> None:
        """Have a system watched from now on, unless it is already."""
        self._session.lock(f"watch {system}")
        if self.of_system(system) is None:
            self._add(system, self._session.ids.new(), "wanted", "", self._session.now)

    def _add(self, system: str, id: str, state: str, digest: str, due: str) -> None:
        now = self._session.now
        row = WatchRow(system, id, state, None, digest, 0, 0, now, due, False, None, now, now)
        values = {name: getattr(row, name) for name in _FIELDS} | {"behind": 0}
        self._session.execute(insert(watch).values(values))
        self._session.work = True

    def get(self, id: str) -> WatchRow | None:
        """Return a watch by its id."""
        row = self._session.execute(select(watch).where(watch.c.id == id)).first()
        return _watch(row) if row else None

    def of_system(self, system: str) -> WatchRow | None:
        """Return the watch of a system."""
        row = self._session.execute(select(watch).where(watch.c.system == system)).first()
        return _watch(row) if row else None

    def active(self) -> frozenset[str]:
        """Name the systems that notify us at present."""
        query = select(watch.c.system).where(watch.c.state == "active")
        return frozenset(self._session.execute(query).scalars())

    def change(self, id: str, **values: Any) -> bool:
        """Change columns of a watch; False where it was replaced meanwhile."""
        if "behind" in values:
            values["behind"] = int(values["behind"])
        query = update(watch).where(watch.c.id == id)
        self._session.work = True
        return self._session.changed(query.values(changed=self._session.now, **values)) == 1

    def hear(self, id: str, told: int, found: Iterable[tuple[int, str | None]]) -> None:
        """Keep news by number until they were looked at; what is there already stays."""
        self._session.lock(f"news {id}")
        row = self.get(id)
        if row is None:
            return
        listed = dict(found)
        known = set(self._session.execute(
            select(news.c.number).where(news.c.watch_id == id)
        ).scalars())  # fmt: skip
        for number in sorted(listed):
            if number > row.heard and number not in known:
                values = {"watch_id": id, "number": number, "at": self._session.now}
                values["resource"] = listed[number]
                self._session.execute(insert(news).values(values))
        self.change(id, told=max(row.told, told), heard_at=self._session.now)

    def news(self, id: str, limit: int) -> list[NewsRow]:
        """Return what nobody has looked at yet, by number."""
        query = select(news).where(news.c.watch_id == id).order_by(news.c.number).limit(limit)
        return [NewsRow(*row) for row in self._session.execute(query)]

    def looked(self, id: str, heard: int) -> None:
        """Say that everything up to a number was looked at."""
        query = delete(news).where(news.c.watch_id == id, news.c.number <= heard)
        self._session.execute(query)
        self.change(id, heard=heard)


def _watch(row: Row[Any]) -> WatchRow:
    values = dict(row._mapping)
    return WatchRow(**{**values, "behind": bool(values["behind"])})
