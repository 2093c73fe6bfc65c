"""The crosswalk's table: links from references and identifiers to entities, and their mergers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import and_, bindparam, func, or_, select, update
from sqlalchemy.sql import ClauseElement, Select

from engine.errors import StoreError
from engine.store.answers import Question
from engine.store.database import Insert, Listing, Statement
from engine.store.memory import ABSENT, REMEMBERED
from engine.store.rows import LinkRow
from engine.store.session import Session
from engine.store.standing import STANDING
from engine.store.tables import entity, link
from engine.transform.crosswalk import Key

T = TypeVar("T")
_ENTITY = func.coalesce(entity.c.merged_into, entity.c.id)


def _with_entity() -> Select[*tuple[Any, ...]]:
    joined = link.join(entity, entity.c.id == link.c.entity_id)
    return select(link.c.system, link.c.kind, link.c.value, _ENTITY).select_from(joined)


def _resolve(_insert: Any, places: range) -> ClauseElement:
    wanted = (
        and_(
            link.c.system == bindparam(f"system{n}"),
            link.c.kind == bindparam(f"kind{n}"),
            link.c.value == bindparam(f"value{n}"),
        )
        for n in places
    )
    return _with_entity().where(or_(*wanted))


def _known(_insert: Any, places: range) -> ClauseElement:
    names: list[Any] = [bindparam(f"entity{n}") for n in places]
    same = select(entity.c.id).where(entity.c.id.in_(names) | entity.c.merged_into.in_(names))
    found = _with_entity().where(link.c.entity_id.in_(same))
    return found.order_by(link.c.at.desc(), link.c.kind.desc(), link.c.system, link.c.value)


_RESOLVE = Listing(_resolve, *Key._fields)
_KNOWN = Listing(_known, "entity")

_FOUND = Insert(entity, repeated=True)
_LINK = Insert(link, repeated=True)
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
_CURRENT = Listing(
    lambda _, places: select(entity.c.id, _ENTITY).where(
        entity.c.id.in_([bindparam(f"entity{n}") for n in places])
    ),
    "entity",
)


def _pointed_at(session: Session, keys: Sequence[Key]) -> dict[Key, str]:
    rows = session.each(_RESOLVE, keys)
    return {Key(system, kind, value): name for system, kind, value, name in rows}


def _pointing(session: Session, names: Sequence[str]) -> dict[str, tuple[Key, ...]]:
    found: dict[str, tuple[Key, ...]] = {}
    for system, kind, value, name in session.each(_KNOWN, names):
        found[name] = (*found.get(name, ()), Key(system, kind, value))
    return found


def _standing(session: Session, names: Sequence[str]) -> dict[str, str]:
    return dict(session.each(_CURRENT, names))


ENTITY: Question[Key, str | None] = Question(_pointed_at, None)
"""The entity at which a key points, or the one that this was merged into."""
KEYS: Question[str, tuple[Key, ...]] = Question(_pointing, ())
"""Every key of an entity, the newest first."""
CURRENT: Question[str, str | None] = Question(_standing, None)
"""The entity that another is now: itself, or the one that it was merged into."""


class Crosswalk:
    """Keep which keys point at which entity."""

    def __init__(
        self, session: Session, merged: Callable[[str, str], object] = lambda stays, goes: None
    ) -> None:
        self._session = session
        self._merged = merged

    def resolve(self, keys: Iterable[Key]) -> dict[Key, str]:
        """Return the entity of each key that is known; merged ones give the entity that stayed."""
        found: dict[Key, str] = {}
        unread: list[Key] = []
        recall = self._session.recall
        for key in dict.fromkeys(keys):
            kept = recall.recall(key)
            if kept is ABSENT:
                unread.append(key)
            else:
                found[key] = kept
        for key, name in self._session.answers.to(ENTITY, unread).items():
            if name is not None:
                found[key] = name
                if key.type in REMEMBERED:
                    recall.keep(key, name)
        return found

    def expect(self, links: Mapping[Key, str]) -> None:
        """Say ahead of a turn what it will link."""
        self._session.answers.expect(ENTITY, links)
        self._session.answers.expect(CURRENT, links.values())

    def expect_asked(self, keys: Iterable[Key]) -> None:
        """Say ahead that keys will be resolved, as far as that is not remembered."""
        recall = self._session.recall
        unread = [key for key in keys if recall.recall(key) is ABSENT]
        self._session.answers.expect(ENTITY, unread)

    def expect_known(self, entities: Iterable[str]) -> None:
        """Say ahead that all keys of entities will be asked for, as far as not remembered."""
        recall = self._session.recall
        unread = [name for name in entities if recall.recall(("keys", name)) is ABSENT]
        self._session.answers.expect(KEYS, unread)

    def known(self, entities: Iterable[str]) -> dict[str, list[Key]]:
        """Return every key of each entity, the newest first, for `Links.known`."""
        found: dict[str, list[Key]] = {}
        unread: list[str] = []
        recall = self._session.recall
        for name in dict.fromkeys(entities):
            kept = recall.recall(("keys", name))
            found[name] = [] if kept is ABSENT else kept
            if kept is ABSENT:
                unread.append(name)
        for name, keys in self._session.answers.to(KEYS, unread).items():
            found[name] = list(keys)
            if any(key.type in REMEMBERED for key in keys):
                recall.keep(("keys", name), found[name])
        return found

    def of_entity(self, name: str, system: str | None = None) -> list[LinkRow]:
        """Return the links of an entity (of one system and those that hold everywhere)."""
        query = select(link).where(link.c.entity_id.in_(self.same(name)))
        if system is not None:
            query = query.where(link.c.system.in_([system, ""]))
        query = query.order_by(link.c.system, link.c.kind, link.c.value)
        return [_link(row) for row in self._session.execute(query)]

    def current(self, name: str) -> str | None:
        """Return the entity that `name` is now: itself, the one it was merged into, or None."""
        return self._session.answers.of(CURRENT, name)

    def same(self, name: str) -> tuple[str, ...]:
        """Return every canonical id of one entity: the one that stayed, then those merged."""
        kept: tuple[str, ...] = self._session.recall.recall(("same", name))
        if kept is not ABSENT:
            return kept
        stays = self.current(name)
        if stays is None:
            return (name,)
        rows = self._session.fetch(_SAME, {"entity": stays}).scalars()
        found = (stays, *(row for row in rows if row != stays))
        self._session.recall.keep(("same", name), found)
        return found

    def has_mergers(self) -> bool:
        """Tell whether any two entities were ever declared the same."""
        found = self._session.recall.recall("mergers")
        if found is ABSENT:
            found = self._session.fetch(_MERGERS, {}).first() is not None
            self._session.recall.keep("mergers", found)
        return bool(found)

    def link(self, links: Mapping[Key, str], *, source: str) -> dict[Key, str]:
        """Let keys point at entities, founding those that are new; return what was in the way.

        A key that points elsewhere already is left alone and returned with the entity that it
        points at; whether to `merge` the two is for the caller to judge.
        """
        known = self.resolve(links)
        fresh = {key: name for key, name in sorted(links.items()) if key not in known}
        if fresh and self._add(fresh, source) < len(fresh):
            known |= self.resolve(fresh)  # another process was quicker
        if not known:
            return {}
        current = self._session.answers.to(CURRENT, (links[key] for key in known))
        return {k: name for k, name in known.items() if name != (current[links[k]] or links[k])}

    def _add(self, fresh: Mapping[Key, str], source: str) -> int:
        """Add links and the entities they point at; return how many links were new."""
        session, now = self._session, self._session.now
        entities, rows = {}, []
        for key, name in fresh.items():
            entities[name] = {"id": name, "type": key.type, "created": now}
            row = {"system": key.system, "kind": key.kind, "value": key.value}
            rows.append(
                row | {"entity_id": name, "at": now, "source": source, "token": _token(key.value)}
            )
            if key.type in REMEMBERED:
                session.recall.spoil(key)
                session.recall.spoil(("keys", name))
                session.recall.spoil(("same", name))
        founded = [
            row | {"merged_into": None, "merged_at": None} for _, row in sorted(entities.items())
        ]
        if not session.neutral:  # another process may be quicker
            session.insert(_FOUND, founded)
            return session.insert(_LINK, rows)
        self._changed(fresh)
        session.add(_FOUND, founded)
        session.add(_LINK, rows)
        return len(rows)

    def _changed(self, fresh: Mapping[Key, str]) -> None:
        """Let nobody take for granted what new links change."""
        answers = self._session.answers
        answers.forget(ENTITY, fresh)
        answers.forget(CURRENT, fresh.values())
        answers.forget_all(STANDING)
        if self.has_mergers():
            answers.forget_all(KEYS)
        else:
            answers.forget(KEYS, fresh.values())

    def merge(self, stays: str, goes: str) -> None:
        """Declare two entities the same; both ids stay resolvable, and `stays` is the current one.

        Raises StoreError where one is unknown or they differ in type.
        """
        stays, goes = self._known(stays), self._known(goes)
        if stays == goes:
            return
        self._session.recall.spoil_all()
        self._session.answers.forget_all(ENTITY, KEYS, CURRENT)
        query = select(entity.c.type).where(entity.c.id.in_([stays, goes])).distinct()
        if len(self._session.execute(query).all()) != 1:
            raise StoreError("two entities of different types cannot be the same")
        self._session.execute(
            update(entity)
            .where((entity.c.id == goes) | (entity.c.merged_into == goes))
            .values(merged_into=stays, merged_at=self._session.now)
        )
        self._merged(stays, goes)

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


def batched(values: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the values in lists of at most `size`."""
    rest = iter(values)
    while page := list(islice(rest, size)):
        yield page


def _token(value: str) -> str:
    """Return what people search by: an identifier's value, a reference's id."""
    return value.rpartition("|")[2].rpartition("/")[2]


def _link(row: Any) -> LinkRow:
    system, kind, value, name, at, source, _ = row
    return LinkRow(Key(system, kind, value), name, at, source)
