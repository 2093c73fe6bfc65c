"""Between store and road: reads, in one transaction, the Facts that a message's stages may see."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from engine.fhir.dates import ALWAYS, BEGINNING, END, instants_in, moment
from engine.fhir.json import reread
from engine.fhir.references import distinct, references_of
from engine.message import Resource, Unit
from engine.road.facts import ACTOR_TYPES, Facts, targets_of
from engine.road.identify import own_keys
from engine.rules.own_work import TYPES as WORK
from engine.rules.own_work import is_own_work
from engine.store.memory import REMEMBERED
from engine.transform.crosswalk import Key, Links, literal, reference_key

if TYPE_CHECKING:
    from engine.project import Project
    from engine.store import ResourceRow, Transaction

T = TypeVar("T")
Target = tuple[str, str]
"""Type and canonical id of what is referred to."""

_MOST_ACTORS = 500
_MOST_ORGANIZATIONS = 5_000
_MOST_CONTENT = 200
_MOST_JOINTLY = 64


def gather(
    tx: Transaction,
    project: Project,
    system: str,
    units: Sequence[Unit],
    *,
    at: str,
) -> Facts:
    """Read what the units of one message, sent by `system`, refer to."""
    own = [key for unit in units for key in own_keys(unit, system, project.naming)]
    around = _around(tx, own, _referred(project, system, units))
    own_work = _own_work(tx, project, system, units, around.links)
    if not any(project.guarded(unit.source) for unit in units):
        return Facts(at, around.links, own_work=own_work)
    facts = _judgeable(tx, at, around.links, around.people, around.things)
    return replace(facts, own_work=own_work) if own_work else facts


def asking(tx: Transaction, project: Project, system: str, units: Sequence[Unit]) -> Iterator[None]:
    """Say, round by round, what will be asked about the resources of a message themselves.

    Those they refer to are mostly remembered; the resources themselves differ for each message, so
    it is worth while to ask about those of many messages together (`engine.ahead`).
    """
    own = [key for unit in units for key in own_keys(unit, system, project.naming)]
    tx.crosswalk.expect_asked(own)
    yield
    entities = tx.crosswalk.resolve(own)
    tx.crosswalk.expect_known(entities.values())
    tx.resources.expect_read(
        (key.type, entity)
        for key, entity in entities.items()
        if key.type in project.adapted_types and key.type not in project.sibling_types
    )
    yield


def _own_work(
    tx: Transaction, project: Project, system: str, units: Sequence[Unit], links: Links
) -> dict[str, frozenset[str]]:
    """Return what the acting system reports of the work that the engine wrote for its people."""
    coordination = project.config.coordination
    if coordination is None or coordination.acting != system:
        return {}
    found: dict[str, frozenset[str]] = {}
    for unit in units:
        type_name, id = unit.type, unit.source.get("id")
        if type_name not in WORK or not isinstance(id, str):
            continue
        entity = links.entities.get(reference_key(system, f"{type_name}/{id}"))
        first = tx.resources.version(type_name, entity, 1) if entity else None
        if first is not None and first.system == system and is_own_work(reread(first.body)):
            reference = f"{type_name}/{entity}"
            told = (name for name in project.config.systems if name != system)
            found[reference] = frozenset(
                name for name in told if tx.deliveries.was_delivered(name, reference)
            )
    return found


def gather_canonical(
    tx: Transaction, project: Project, canonical: Resource, *, at: str, judged: bool = False
) -> Facts:
    """Read what one canonical resource refers to, before it goes to a destination.

    `judged` asks for what a decision needs also where no rule guards the type.
    """
    targets = set(_targets([canonical])) | {(canonical["resourceType"], canonical["id"])}
    known = tx.crosswalk.known(entity for _, entity in targets)
    organizations = tx.crosswalk.resolve(project.organization_keys())
    found = {key: entity for entity, keys in known.items() for key in keys}
    links = Links(found, known).including(organizations)
    if not judged and not project.guarded(canonical):
        return Facts(at, links)
    targets |= {("Organization", entity) for entity in organizations.values()}
    return _judgeable(tx, at, links, *_parted(targets))


def _referred(project: Project, system: str, units: Iterable[Unit]) -> tuple[Key, ...]:
    """Return the keys of whom units refer to, and of the systems' organizations, each once."""
    keys: dict[Key, None] = dict.fromkeys(project.organization_keys())
    for unit in units:
        for reference in distinct(references_of(unit.source, extended=unit.extended)):
            for key in project.naming.reference_keys(system, reference):
                keys[key] = None
    return tuple(keys)


class _Around(Struct, frozen=True):
    """Hold what keys point at: `people` of the types that are remembered, and other `things`.

    `others` are keys of which nobody says when what they point at changes.
    """

    links: Links
    people: frozenset[Target]
    things: frozenset[Target]
    others: Sequence[Key] = ()

    @classmethod
    def of(
        cls, tx: Transaction, entities: Mapping[Key, str], others: Sequence[Key] = ()
    ) -> _Around:
        """Return what is around some entities, with all other keys that point at them."""
        known = tx.crosswalk.known(entities.values())
        merged = {key: entity for entity, pointing in known.items() for key in pointing}
        links = Links({**merged, **entities}, known)
        return cls(links, *_parted((key.type, to) for key, to in links.entities.items()), others)

    def with_more(self, more: _Around) -> _Around:
        """Return what is around these and others."""
        here, there = self.links, more.links
        links = Links({**here.entities, **there.entities}, {**here.known, **there.known})
        return _Around(links, self.people | more.people, self.things | more.things)


def _parted(targets: Iterable[Target]) -> tuple[frozenset[Target], frozenset[Target]]:
    """Return those of the types that are remembered, and all others."""
    every = frozenset(targets)
    people = frozenset([target for target in every if target[0] in REMEMBERED])
    return people, every - people


def _around(tx: Transaction, own: Iterable[Key], referred: tuple[Key, ...]) -> _Around:
    """Read what keys point at; the same people are referred to by message after message."""

    def read() -> _Around:
        people = [key for key in referred if key.type in REMEMBERED]
        others = [key for key in referred if key.type not in REMEMBERED]
        return _Around.of(tx, tx.crosswalk.resolve(people), others)

    people = _jointly(tx, "around", referred, read)
    found = tx.crosswalk.resolve([*own, *people.others])
    return people.with_more(_Around.of(tx, found)) if found else people


def _judgeable(
    tx: Transaction, at: str, links: Links, people: frozenset[Target], things: Collection[Target]
) -> Facts:
    """Read what a decision looks at: the members' consents, the actors, and the content."""
    circle = _circle(tx, people)
    content = _content(tx, things) if things else {}
    return Facts(at, links, circle.consents, circle.actors, content, turns=circle.first_turn(at))


def _circle(tx: Transaction, people: frozenset[Target]) -> _Circle:
    if tx.crosswalk.has_mergers():
        return _Circle.of(tx, people)
    return _jointly(tx, "circle", people, lambda: _Circle.of(tx, people))


def _jointly(tx: Transaction, name: str, named: Collection[Any], read: Callable[[], T]) -> T:
    """Return what the writer remembers of all that is named, unless that is too much to keep."""
    return tx.recall.jointly((name, named), read) if len(named) <= _MOST_JOINTLY else read()


class _Circle(Struct, frozen=True):
    """Hold what a decision looks at of some people; it is shared, so nobody may change it.

    `turns` are the times of day that anybody in it speaks of, in order.
    """

    consents: Mapping[str, Sequence[Resource]]
    actors: Mapping[str, Resource]
    turns: Sequence[int]

    @classmethod
    def of(cls, tx: Transaction, people: Collection[Target]) -> _Circle:
        told = {entity: _consents(tx, entity) for kind, entity in people if kind == "Patient"}
        every = [one for found in told.values() for one in found]
        named = (target for one in every for target in one.targets)
        actors = _actors(tx, {one for one in (*people, *named) if one[0] in ACTOR_TYPES})
        turns = {turn for one in (*every, *actors.values()) for turn in one.turns}
        return cls(
            {entity: [one.resource for one in found] for entity, found in told.items()},
            {name: one.resource for name, one in actors.items()},
            sorted(turns),
        )

    def first_turn(self, at: str) -> int:
        """Return the first time of day after `at` that it speaks of; where unknown, long ago."""
        if BEGINNING in self.turns[:1]:
            return BEGINNING
        now = (moment(at) or ALWAYS)[0]
        return next((turn for turn in self.turns if turn >= now), END)


class _Told(Struct, frozen=True):
    """Hold a resource on record with what it refers to; it is shared, so nobody may change it."""

    resource: Resource
    targets: tuple[Target, ...]
    turns: tuple[int, ...]

    @classmethod
    def of(cls, resource: Resource) -> _Told:
        said = {name: part for name, part in resource.items() if name != "meta"}
        turns = dict.fromkeys(instants_in(said))
        return cls(resource, tuple(dict.fromkeys(_targets([resource]))), tuple(turns))


def _remembered(tx: Transaction, name: Hashable, read: Callable[[], T]) -> T:
    """Return what the writer remembers; once records were merged, names are looked up each time."""
    return read() if tx.crosswalk.has_mergers() else tx.recall.once(name, read)


def _content(tx: Transaction, wanted: Collection[Target]) -> dict[str, Resource]:
    rows = (tx.resources.get(kind, entity) for kind, entity in sorted(wanted)[:_MOST_CONTENT])
    return {
        f"{row.type}/{row.id}": renamed(tx, stored(row)) for row in rows if row and not row.deleted
    }


def _consents(tx: Transaction, member: str) -> list[_Told]:
    """Return the member's consents, also those recorded under an id that was merged into it."""

    def read() -> list[_Told]:
        rows = tx.resources.consents(tx.crosswalk.same(member))
        return [_Told.of(renamed(tx, _as_of(row, member))) for row in rows]

    return _remembered(tx, ("consents told", member), read)


def _as_of(row: ResourceRow, member: str) -> Resource:
    consent: Resource = stored(row)
    if row.member != member and isinstance(consent.get("patient"), dict):
        consent["patient"] = {**consent["patient"], "reference": f"Patient/{member}"}
    return consent


def renamed(tx: Transaction, resource: Resource) -> Resource:
    """Let a resource read from the record name everybody by the id that is current.

    Records that were merged since it was written have one id now; without this a Consent that
    denies somebody by the old id would miss them. Changes the tree that it is given.
    """
    if tx.crosswalk.has_mergers():
        for reference in references_of(resource):
            target = reference.get("reference")
            found = literal(target) if isinstance(target, str) else None
            if found and found.base is None and (now := tx.crosswalk.current(found.id)):
                reference["reference"] = f"{found.type}/{now}"
    return resource


def stored(row: ResourceRow) -> Resource:
    """Return a stored resource with the version and instant that the store gave it."""
    resource: dict[str, Any] = reread(row.body)
    meta = resource.get("meta")
    kept = meta if isinstance(meta, dict) else {}
    resource["meta"] = {**kept, "versionId": str(row.version), "lastUpdated": row.at}
    return resource


def _actors(tx: Transaction, wanted: Collection[Target]) -> dict[str, _Told]:
    """Read actors and whom they name, level by level, so many of each type.

    An organization that is not read hides those above it, which a consent may deny: however many
    members a group has, they must not keep one out.
    """
    found: dict[str, _Told] = {}
    room = {**dict.fromkeys(ACTOR_TYPES, _MOST_ACTORS), "Organization": _MOST_ORGANIZATIONS}
    frontier = wanted
    while frontier:
        fresh: list[_Told] = []
        for type_name, entity in sorted(frontier):
            if f"{type_name}/{entity}" in found or not room[type_name]:
                continue
            if told := _told(tx, type_name, entity):
                found[f"{type_name}/{entity}"] = told
                room[type_name] -= 1
                fresh.append(told)
        frontier = {one for told in fresh for one in told.targets if one[0] in ACTOR_TYPES}
    return found


def _told(tx: Transaction, type_name: str, entity: str) -> _Told | None:
    def read() -> _Told | None:
        resource = _actor(tx, type_name, entity)
        return None if resource is None else _Told.of(resource)

    return _remembered(tx, ("told", type_name, entity), read)


def _actor(tx: Transaction, type_name: str, entity: str) -> Resource | None:
    """Return an actor on record; of merged records, with the identifiers of all of them."""
    if not tx.crosswalk.has_mergers():
        row = tx.resources.get(type_name, entity)
        return stored(row) if row else None
    rows = [tx.resources.get(type_name, id) for id in tx.crosswalk.same(entity)]
    records = [renamed(tx, stored(row)) for row in rows if row]
    if not records:
        return None
    identifiers = [one for record in records for one in record.get("identifier", ())]
    return {**records[0], "id": entity} | ({"identifier": identifiers} if identifiers else {})


def _targets(resources: Iterable[Resource]) -> Iterable[Target]:
    for resource in resources:
        for target in targets_of(resource):
            kind, _, entity = target.partition("/")
            yield kind, entity
