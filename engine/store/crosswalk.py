"""The crosswalk's table: links from references and identifiers to entities, and their mergers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.sql import Select

from engine.errors import StoreError
from engine.store.database import Statement
from engine.store.rows import LinkRow
from engine.store.session import Session
from engine.store.tables import entity, link
from engine.transform.crosswalk import Key

_ENTITY = func.coalesce(entity.c.merged_into, entity.c.id)


def _with_entity() -> Select[*tuple[Any, ...]]:
    joined = link.join(entity, entity.c.id == link.c.entity_id)
    return select(link.c.system, link.c.kind, link.c.value, _ENTITY).select_from(joined)


_RESOLVE = Statement(
    lambda _: _with_entity().where(
        link.c.system == bindparam("system"),
        link.c.kind == bindparam("kind"),
        link.c.value == bindparam("value"),
    )
)
_KNOWN = Statement(
    lambda _: (
        _with_entity()
        .where(
            link.c.entity_id.in_(
                select(entity.c.id).where(
                    (entity.c.id == bindparam("entity"))
                    | (entity.c.merged_into == bindparam("entity"))
                )
            )
        )
        .order_by(link.c.at.desc(), link.c.kind.desc(), link.c.system, link.c.value)
    )
)
_FOUND = Statement(lambda insert: insert(entity).on_conflict_do_nothing())
_LINK = Statement(lambda insert: insert(link).on_conflict_do_nothing())
_SAME = Statement(
    lambda _: (
        select(entity.c.id)
        .where((entity.c.id == bindparam("entity")) | (entity.c.merged_into == bindparam("entity")))
        .order_by(entity.c.id)
    )
)
_MERGERS = Statement(
    lambda _: select(entity.c.id).where(entity.c.merged_into.is_not(None)).limit(1)
)
_CURRENT = Statement(lambda _: select(_ENTITY).where(entity.c.id == bindparam("entity")))


class Crosswalk:
    """Keep which keys point at which entity."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def resolve(self, keys: Iterable[Key]) -> dict[Key, str]:
        """Return the entity of each key that is known; merged ones give the entity that stayed."""
        found: dict[Key, str] = {}
        for key in dict.fromkeys(keys):
            values = {"system": key.system, "kind": key.kind, "value": key.value}
            row = self._session.run(_RESOLVE, values).first()
            if row:
                found[key] = row[3]
        return found

    def known(self, entities: Iterable[str]) -> dict[str, list[Key]]:
        """Return every key of each entity, the newest first, for `Links.known`."""
        return {
            name: [Key(*row[:3]) for row in self._session.run(_KNOWN, {"entity": name})]
            for name in dict.fromkeys(entities)
        }

    def of_entity(self, name: str, system: str | None = None) -> list[LinkRow]:
        """Return the links of an entity (of one system and those that hold everywhere)."""
        query = select(link).where(link.c.entity_id.in_(self.same(name)))
        if system is not None:
            query = query.where(link.c.system.in_([system, ""]))
        query = query.order_by(link.c.system, link.c.kind, link.c.value)
        return [_link(row) for row in self._session.execute(query)]

    def current(self, name: str) -> str | None:
        """Return the entity that `name` is now: itself, the one it was merged into, or None."""
        found: str | None = self._session.run(_CURRENT, {"entity": name}).scalar()
        return found

    def same(self, name: str) -> tuple[str, ...]:
        """Return every canonical id of one entity: the one that stayed, then those merged."""
        stays = self.current(name)
        if stays is None:
            return (name,)
        rows = self._session.run(_SAME, {"entity": stays}).scalars()
        return (stays, *(row for row in rows if row != stays))

    def has_mergers(self) -> bool:
        """Tell whether any two entities were ever declared the same."""
        return self._session.run(_MERGERS, {}).first() is not None

    def link(self, links: Mapping[Key, str], *, source: str) -> dict[Key, str]:
        """Let keys point at entities, founding those that are new; return what was in the way.

        A key that points elsewhere already is left alone and returned with the entity that it
        points at; whether to `merge` the two is for the caller to judge.
        """
        now = self._session.now
        for key, name in sorted(links.items()):
            base = {"id": name, "type": key.type, "created": now}
            self._session.run(_FOUND, {**base, "merged_into": None, "merged_at": None})
            row = {"system": key.system, "kind": key.kind, "value": key.value}
            row |= {"entity_id": name, "at": now, "source": source, "token": _token(key.value)}
            self._session.run(_LINK, row)
        wanted = {key: self.current(name) for key, name in links.items()}
        return {k: name for k, name in self.resolve(links).items() if name != wanted[k]}

    def merge(self, stays: str, goes: str) -> None:
        """Declare two entities the same; both ids stay resolvable, and `stays` is the current one.

        Raises StoreError where one is unknown or they differ in type.
        """
        stays, goes = self._known(stays), self._known(goes)
        if stays == goes:
            return
        query = select(entity.c.type).where(entity.c.id.in_([stays, goes])).distinct()
        if len(self._session.execute(query).all()) != 1:
            raise StoreError("two entities of different types cannot be the same")
        self._session.execute(
            update(entity)
            .where((entity.c.id == goes) | (entity.c.merged_into == goes))
            .values(merged_into=stays, merged_at=self._session.now)
        )

    def _known(self, name: str) -> str:
        if (found := self.current(name)) is None:
            raise StoreError("the crosswalk does not know one of the entities to merge")
        return found

    def find(self, value: str) -> list[LinkRow]:
        """Return the links of a reference or identifier: whole, `system|value`, or value alone."""
        token = _token(value)
        query = select(link).where(link.c.token == token)
        found = [_link(row) for row in self._session.execute(query)]
        return [row for row in found if value == token or row.key.value.endswith(value)]


def _token(value: str) -> str:
    """Return what people search by: an identifier's value, a reference's id."""
    return re.split(r"[|/]", value)[-1]


def _link(row: Any) -> LinkRow:
    system, kind, value, name, at, source, _ = row
    return LinkRow(Key(system, kind, value), name, at, source)
