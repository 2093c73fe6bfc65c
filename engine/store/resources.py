"""Canonical resources: the current one, every version before it, and the consent registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import and_, bindparam, or_, select, union_all
from sqlalchemy.sql import ClauseElement, ColumnElement, Select

from engine.store.answers import Question, rows_of
from engine.store.database import Insert, Listing, Statement
from engine.store.memory import ABSENT, REMEMBERED
from engine.store.rows import ResourceRow
from engine.store.session import Session
from engine.store.standing import STANDING
from engine.store.tables import history, resource


def _put(insert: Any) -> ClauseElement:
    fresh = insert(resource).values(
        {column.name: bindparam(column.name) for column in resource.c if column.name != "version"}
        | {"version": 1}
    )
    kept = ("at", "member", "system", "deleted", "body")
    changed: ClauseElement = fresh.on_conflict_do_update(
        index_elements=["type", "id"],
        set_={name: fresh.excluded[name] for name in kept} | {"version": resource.c.version + 1},
    ).returning(resource.c.version)
    return changed


_PUT = Statement(_put)
_RENEW = Insert(resource, renewed=True)
_KEEP = Insert(history)
_GET = Statement(
    lambda _: select(resource).where(
        resource.c.type == bindparam("type"), resource.c.id == bindparam("id")
    )
)
_VERSIONS = Listing(
    lambda _, places: select(history).where(
        or_(
            *(
                and_(
                    history.c.type == bindparam(f"type{n}"),
                    history.c.id == bindparam(f"id{n}"),
                    history.c.version == bindparam(f"version{n}"),
                )
                for n in places
            )
        )
    ),
    "type",
    "id",
    "version",
)
_STANDING = Listing(
    lambda _, places: select(resource.c.member, resource.c.id, resource.c.version).where(
        resource.c.member.in_([bindparam(f"member{n}") for n in places]),
        resource.c.type == "Consent",
        resource.c.deleted == 0,
    ),
    "member",
)
_OF_MEMBER = Statement(
    lambda _: (
        select(resource)
        .where(resource.c.member == bindparam("member"), resource.c.type == bindparam("type"))
        .order_by(resource.c.id)
    )
)
_ALL_OF_MEMBER = Listing(
    lambda _, places: select(*[column for column in resource.c if column.name != "body"]).where(
        resource.c.member.in_([bindparam(f"member{n}") for n in places])
    ),
    "member",
)

Name = tuple[str, str]
"""A type, and the id of a resource or of a member."""
VersionName = tuple[str, str, int]
"""A type, the id of a resource, and the number of one of its versions."""


def _versions(session: Session, names: Sequence[VersionName]) -> dict[VersionName, Sequence[Any]]:
    return {row[:3]: row for row in session.each(_VERSIONS, names)}


_VERSION: Question[VersionName, Sequence[Any] | None] = Question(_versions, None)
"""One version of a resource, also an old one."""


def _is(id: ColumnElement[str], place: int) -> ColumnElement[bool]:
    return and_(resource.c.type == bindparam(f"type{place}"), id == bindparam(f"id{place}"))


def _any_of(place: int) -> Select[*tuple[Any, ...]]:
    of_member = select(resource.c.type, resource.c.member).where(_is(resource.c.member, place))
    return select(of_member.limit(1).subquery())


def _asking(
    build: Callable[[range], ClauseElement],
) -> Callable[[Session, Sequence[Name]], dict[Name, Any]]:
    """Return what reads rows for names: each row begins with its own."""
    listing = Listing(lambda _, places: build(places), "type", "id")

    def ask(session: Session, names: Sequence[Name]) -> dict[Name, Any]:
        return {(row[0], row[1]): row for row in session.each(listing, names)}

    return ask


_CURRENT: Question[Name, Sequence[Any] | None] = Question(
    _asking(lambda places: select(resource).where(or_(*(_is(resource.c.id, n) for n in places)))),
    None,
)
"""The current version of a resource."""
_NUMBER: Question[Name, Sequence[Any]] = Question(
    _asking(
        lambda places: select(resource.c.type, resource.c.id, resource.c.version).where(
            or_(*(_is(resource.c.id, n) for n in places))
        )
    ),
    ("", "", 0),
)
"""A resource's type, id and the number of its current version."""
_any = _asking(lambda places: union_all(*(_any_of(n) for n in places)))


_ALL = rows_of(_ALL_OF_MEMBER, 4)
"""Everything current about a member, the bodies left out."""


@cache
def _has(type: str) -> Question[Name, Sequence[Any] | None]:
    """Ask for a type and a member, where anything of that type is on record about the member."""
    return Question(_any, None)


class Resources:
    """Keep canonical resources, never losing a version."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put(
        self,
        type: str,
        id: str,
        body: bytes,
        *,
        member: str | None,
        system: str,
        deleted: bool = False,
    ) -> int:
        """Store a new current version; return its version number, from 1 up."""
        values = {
            "type": type,
            "id": id,
            "at": self._session.now,
            "member": member,
            "system": system,
            "deleted": int(deleted),
            "body": self._session.vault.seal(body, f"{type}/{id}"),
        }
        self._spoil(type, id, member)
        version = self._renew(values)
        if type == "Consent":
            self._session.recall.enter(id, version)
        self._session.add(_KEEP, [{**values, "version": version}])
        self._session.answers.forget(_VERSION, [(type, id, version)])
        return version

    def _renew(self, values: dict[str, Any]) -> int:
        """Replace the current version; where nobody else writes, together with others."""
        session, name = self._session, (values["type"], values["id"])
        if not session.neutral:
            version: int = session.run(_PUT, values).scalar_one()
            return version
        answers = session.answers
        version = answers.of(_NUMBER, name)[2] + 1
        session.add(_RENEW, [{**values, "version": version}])
        answers.tell(_NUMBER, name, (*name, version))
        answers.forget(_CURRENT, [name])
        answers.forget(STANDING, [name])
        answers.forget_all(_has(name[0]), _ALL)
        return version

    def expect(self, names: Iterable[Name]) -> None:
        """Say ahead of a turn what it will put."""
        self._session.answers.expect(_NUMBER, names)

    def expect_read(self, names: Iterable[Name]) -> None:
        """Say ahead that current versions will be read; those that are remembered are not asked."""
        unread = [name for name in names if name[0] not in REMEMBERED]
        self._session.answers.expect(_CURRENT, unread)

    def expect_of_member(self, type: str, members: Iterable[str]) -> None:
        """Say ahead of a turn that it will ask whether members have anything of a type."""
        self._session.answers.expect(_has(type), [(type, member) for member in members])

    def _spoil(self, type: str, id: str, member: str | None) -> None:
        """Let nobody remember what is about to change: the record, and whose consents they are."""
        if type not in REMEMBERED:
            return
        recall = self._session.recall
        if type == "Consent":
            before = self.get(type, id)
            for name in {member, before.member if before else None} - {None}:
                recall.spoil(("consents", name))
                recall.spoil(("consents told", name))
        recall.spoil((type, id))
        recall.spoil(("told", type, id))

    def get(self, type: str, id: str) -> ResourceRow | None:
        """Return the current version."""
        recall = self._session.recall
        found: ResourceRow | None = recall.recall((type, id))
        if found is ABSENT:
            row = self._current(type, id)
            found = self._resource(row) if row else None
            if type in REMEMBERED:
                recall.keep((type, id), found)
        return found

    def _current(self, type: str, id: str) -> Sequence[Any] | None:
        if type in REMEMBERED:  # the memory knows whether it still holds
            return self._session.fetch(_GET, {"type": type, "id": id}).first()
        return self._session.answers.of(_CURRENT, (type, id))

    def latest(self, type: str, id: str) -> ResourceRow | None:
        """Return the current version, and keep it current until this transaction ends.

        For what is read, changed and put back: nobody else does so in between.
        """
        if self._session.neutral:
            return self.get(type, id)
        self._session.lock(f"resource {type}/{id}")
        row = self._session.run(_GET, {"type": type, "id": id}).first()
        return self._resource(row) if row else None

    def version(self, type: str, id: str, version: int) -> ResourceRow | None:
        """Return one version, also an old one."""
        row = self._session.answers.of(_VERSION, (type, id, version))
        return self._resource(row) if row else None

    def ready_versions(self, names: Iterable[VersionName]) -> None:
        """Read together versions that will be asked for one by one."""
        self._session.answers.ready(_VERSION, names)

    def standing(self, type: str, id: str) -> tuple[int, int]:
        """Return the current version (0 where there is none) and how many links point at it."""
        return self._session.answers.of(STANDING, (type, id))

    def ready(self, names: Iterable[Name]) -> None:
        """Read together what stands of resources that will be asked for one by one."""
        self._session.answers.ready(STANDING, names)

    def versions(self, type: str, id: str) -> list[ResourceRow]:
        """Return every version, oldest first."""
        query = select(history).where(history.c.type == type, history.c.id == id)
        return [
            self._resource(row) for row in self._session.execute(query.order_by(history.c.version))
        ]

    def of_member(self, type: str, members: Iterable[str]) -> list[ResourceRow]:
        """Return the current resources of one type about a member, ordered by id.

        `members` are all canonical ids of that one member (`Crosswalk.same`).
        """
        found: list[ResourceRow] = []
        for member in dict.fromkeys(members):
            rows = self._session.run(_OF_MEMBER, {"member": member, "type": type})
            found.extend(self._resource(row) for row in rows)
        return found

    def has_of_member(self, type: str, members: Iterable[str]) -> bool:
        """Tell whether any resource of a type about a member is on record."""
        return any(
            self._session.answers.to(_has(type), [(type, member) for member in members]).values()
        )

    def consents(self, members: Iterable[str]) -> list[ResourceRow]:
        """Return the Consents of a member as they stand now: the registry."""
        return [row for member in dict.fromkeys(members) for row in self._consents(member)]

    def _consents(self, member: str) -> list[ResourceRow]:
        recall = self._session.recall
        found: list[ResourceRow] = recall.recall(("consents", member))
        if found is ABSENT:
            rows = self._session.fetch(_OF_MEMBER, {"member": member, "type": "Consent"})
            found = [one for one in map(self._resource, rows) if not one.deleted]
            recall.keep(("consents", member), found)
        recall.rest(member, {row.id: row.version for row in found})
        return found

    def overtaken(self) -> bool:
        """Tell whether anybody else has changed the Consents that this transaction read.

        Asked while the chain's end is locked, so that no later change can come before the commit.
        """
        recall = self._session.recall
        now: dict[str, dict[str, int]] = {member: {} for member in recall.rested}
        for member, id, version in self._session.each(_STANDING, sorted(now)):
            now[member][id] = version
        return any(recall.outdated(member, versions) for member, versions in now.items())

    def all_of_member(self, members: Sequence[str]) -> list[ResourceRow]:
        """Return everything current about a member, by type and id; the bodies are left out."""
        found: list[ResourceRow] = []
        for rows in self.heads_of_member(members):
            for type_, id_, version, at, of, system, deleted in rows:
                found.append(ResourceRow(type_, id_, version, at, of, system, bool(deleted), b""))
        return sorted(found, key=lambda row: (row.type, row.id))

    def heads_of_member(self, members: Sequence[str]) -> list[Sequence[Any]]:
        """Return what `all_of_member` is made of: while it is equal, so is that."""
        return [self._session.answers.of(_ALL, member) for member in dict.fromkeys(members)]

    def ready_of_members(self, members: Iterable[str]) -> None:
        """Read together what there is about members, the bodies left out."""
        self._session.answers.ready(_ALL, members)

    def ready_has(self, type: str, members: Iterable[str]) -> None:
        """Read together whether members have anything of a type."""
        self._session.answers.ready(_has(type), [(type, member) for member in members])

    def current(self, names: Iterable[Name]) -> list[ResourceRow]:
        """Return the current versions of resources by type and id; those unknown are left out.

        For what `all_of_member` has told of, so that this is asked once, and not again in a turn.
        """
        found = _CURRENT.ask(self._session, list(names)).values()
        return [self._resource(row) for row in found if row is not None]

    def of_type(self, type: str, *, after: str = "", limit: int = 100) -> list[ResourceRow]:
        """Return one page of the current resources of a type: those with ids behind `after`."""
        query = select(resource).where(resource.c.type == type, resource.c.id > after)
        query = query.order_by(resource.c.id).limit(limit)
        return [self._resource(row) for row in self._session.execute(query)]

    def _resource(self, row: Sequence[Any]) -> ResourceRow:
        type_, id_, version, at, member, system, deleted, body = row
        opened = self._session.vault.open(bytes(body), f"{type_}/{id_}")
        return ResourceRow(type_, id_, version, at, member, system, bool(deleted), opened)
