"""What the record knows of one member, made ready for a review."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.coordination.studies import Names, Studied, Studies, Version
from engine.fhir.references import literals_stated
from engine.gather import stored
from engine.message import Resource
from engine.project import Project
from engine.rules.finding import kind_of
from engine.store import ResourceRow, Transaction
from engine.transform.crosswalk import Key, reference_key

MOST = 2_000
"""How many resources of one member are looked at; one with more is a mistake of identity.

What reviews wrote themselves counts for none: what they do not know of they would write again.
"""

_UNCOUNTED = frozenset({"DetectedIssue", "Task"})

MOST_TOGETHER = 256
"""How many resources of several members are read at once."""

Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """Hold a member's current resources by type, the people they name, and where each came from.

    `systems` maps `Type/id` to the name of the system that wrote it. `stamp` names all that the
    record consists of; None where that may still be taken back.
    """

    member: str
    resources: Mapping[str, Sequence[Resource]]
    people: Sequence[Resource] = ()
    systems: Mapping[str, str] = field(default_factory=dict)
    stamp: Hashable = None

    def of(self, *types: str) -> list[Resource]:
        """Return the resources of these types."""
        return [resource for name in types for resource in self.resources.get(name, ())]

    @property
    def everything(self) -> list[Resource]:
        """Return all resources and the people, but for what reviews themselves wrote."""
        own = [each for listed in self.resources.values() for each in listed]
        return [*(each for each in own if kind_of(each) is None), *self.people]


def record_of(
    tx: Transaction, project: Project, member: str, studies: Studies | None = None
) -> MemberRecord:
    """Read everything current about a member, and whom it names.

    With `studies`, what is known is not decoded again: then nobody may change the resources.
    """
    return _Reading(tx, project, studies if studies is not None else Studies()).record(member)


def study(tx: Transaction, project: Project, members: Sequence[str], studies: Studies) -> None:
    """Read together what is not known yet of the versions that reviews of members will look at.

    `members` are all canonical ids of each. What is too much at once is left to each review.
    """
    reading = _Reading(tx, project, studies)
    rows = reading.alive(members)
    unknown = [(row.type, row.id) for row in rows if studies.get(_version(row)) is None]
    reading.study(unknown[:MOST_TOGETHER])


@dataclass(frozen=True, slots=True)
class _Known:
    """Hold a record that was read, with all that it rests on but for the people it names.

    People, their links and all mergers are counted in `changes` (`Recall.stamp`); `heads` are the
    current versions about the member, `links` what references into somebody's server meant.
    """

    project: Project
    changes: int
    heads: Sequence[Sequence[object]]
    links: Mapping[Key, str | None]
    record: MemberRecord

    def holds(self, tx: Transaction, project: Project, heads: Sequence[Sequence[object]]) -> bool:
        """Tell whether it would read the same now."""
        if self.project is not project or self.changes != tx.recall.stamp or self.heads != heads:
            return False
        now = tx.crosswalk.resolve(self.links)
        return all(now.get(key) == name for key, name in self.links.items())


def known_record(tx: Transaction, project: Project, member: str, studies: Studies) -> MemberRecord:
    """Return what `record_of` would, read once for all who look while nothing of it changes.

    Where this transaction has changed who is who, or wrote any of it, it is read anew.
    """
    changes = tx.recall.stamp
    if changes is None or tx.recall.changed:
        return record_of(tx, project, member, studies)
    heads = tx.resources.heads_of_member(tx.crosswalk.same(member))
    known: _Known | None = studies.record(member)
    if known is not None and known.holds(tx, project, heads):
        return known.record
    reading = _Reading(tx, project, studies)
    record = reading.record(member)
    if record.stamp is not None:
        studies.keep_record(member, _Known(project, changes, heads, reading.links, record))
    return record


class _Reading:
    """Read the record for one review."""

    def __init__(self, tx: Transaction, project: Project, studies: Studies) -> None:
        self.tx = tx
        self.project = project
        self.studies = studies
        self.links: dict[Key, str | None] = {}
        """What the references into somebody's server mean that were asked for."""

    def record(self, member: str) -> MemberRecord:
        """Return the record of a member."""
        own = self.of_member(member)
        names = self.names_in(own)
        own = [one.naming(names) for one in own]
        people, names_of_people = self.people_of(own)
        by_type: dict[str, list[Resource]] = {}
        for one in own:
            by_type.setdefault(one.version.type, []).append(one.resource)
        every = [*own, *people]
        systems = {f"{one.version.type}/{one.version.id}": one.system for one in every}
        stamp = self.stamp(member, every, {**names_of_people, **names})
        return MemberRecord(member, by_type, [one.resource for one in people], systems, stamp)

    def of_member(self, member: str) -> list[Studied]:
        """Return everything current about a member, by type and id."""
        alive = _bounded(self.alive(self.tx.crosswalk.same(member)))
        known = {(row.type, row.id): self.studies.get(_version(row)) for row in alive}
        known |= self.study([name for name, studied in known.items() if studied is None])
        return [studied for studied in known.values() if studied is not None]

    def alive(self, members: Sequence[str]) -> list[ResourceRow]:
        """Return what is current about members and not deleted; the bodies are left out."""
        rows = self.tx.resources.all_of_member(members)
        return [row for row in rows if not row.deleted]

    def study(self, names: Sequence[Name]) -> dict[Name, Studied | None]:
        """Read the current versions of resources, by type and id."""
        rows = self.tx.resources.current(names) if names else ()
        return {(row.type, row.id): None if row.deleted else self._study(row) for row in rows}

    def _study(self, row: ResourceRow) -> Studied:
        """Decode one version; what this transaction wrote itself may be taken back: not kept."""
        texts = literals_stated(row.body)
        studied = Studied.of(_version(row), row.system, stored(row), texts)
        if row.at != self.tx.now:
            self.studies.keep(studied, len(row.body))
        return studied

    def names_in(self, own: Iterable[Studied]) -> Names:
        """Return the references that mean somebody by now under another name.

        What a plan pointed to before it arrived was kept as an absolute URL at its sender; and of
        records that were merged since, all have the one id that is current.
        """
        names = self._merged(own)
        elsewhere = [one for one in own if one.absolute]
        if not elsewhere:
            return names
        bases = {base: system for system, base in self.project.naming.bases.items()}
        waiting: dict[Key, list[str]] = {}
        for one in elsewhere:
            for text, found in one.absolute.items():
                if found.base in bases:
                    key = reference_key(bases[found.base], found.local)
                    waiting.setdefault(key, []).append(text)
        linked = self.tx.crosswalk.resolve(waiting)
        self.links = {key: linked.get(key) for key in waiting}
        for key, entity in linked.items():
            names |= dict.fromkeys(waiting[key], f"{key.type}/{entity}")
        return names

    def _merged(self, own: Iterable[Studied]) -> dict[str, str]:
        crosswalk = self.tx.crosswalk
        if not crosswalk.has_mergers():
            return {}
        local = {text: found for one in own for text, found in one.local.items()}
        now = {text: crosswalk.current(found.id) for text, found in local.items()}
        names = {text: f"{local[text].type}/{id}" for text, id in now.items() if id}
        return {text: name for text, name in names.items() if text != name}

    def people_of(self, own: Sequence[Studied]) -> tuple[list[Studied], Names]:
        """Return the people and organizations that are named, and those that they name in turn.

        And the references in them that mean somebody by now under another name.
        """
        known = {f"{one.version.type}/{one.version.id}" for one in own}
        people: list[Studied] = []
        names: dict[str, str] = {}
        naming = own
        for _ in range(2):
            wanted = frozenset[str]().union(*(one.people for one in naming)) - known
            found = [one for one in map(self._person, sorted(wanted)[:MOST]) if one is not None]
            names |= self._merged(found)
            naming = [one.naming(names) for one in found]
            people += naming
            known |= wanted
        return people, names

    def _person(self, target: str) -> Studied | None:
        kind, _, id = target.partition("/")
        row = self.tx.resources.get(kind, id)
        if row is None or row.deleted:
            return None
        return self.studies.get(_version(row)) or self._study(row)

    def stamp(self, member: str, every: Iterable[Studied], names: Names) -> Hashable:
        """Name all that a record consists of; None where this transaction wrote of it itself."""
        versions = tuple(one.version for one in every)
        if any(version.at == self.tx.now for version in versions):
            return None
        return member, versions, frozenset(names.items())


def _bounded(rows: Iterable[ResourceRow]) -> Iterator[ResourceRow]:
    """Yield what a review looks at, in the same order."""
    room = MOST
    for row in rows:
        uncounted = row.type in _UNCOUNTED
        room -= not uncounted
        if uncounted or room >= 0:
            yield row


def _version(row: ResourceRow) -> Version:
    return Version(row.type, row.id, row.version, row.at)
