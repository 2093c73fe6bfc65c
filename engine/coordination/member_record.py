"""What the record knows of one member, made ready for a review."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.fhir.references import references_of
from engine.gather import renamed, stored
from engine.message import Resource
from engine.project import Project
from engine.road.facts import targets_of
from engine.rules.finding import kind_of
from engine.store import ResourceRow, Transaction
from engine.transform.crosswalk import IDENTITY_TYPES, Key, literal, reference_key

MOST = 2_000
"""How many resources of one member are looked at; one with more is a mistake of identity."""


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """Hold a member's current resources by type, the people they name, and where each came from.

    `systems` maps `Type/id` to the name of the system that wrote it.
    """

    member: str
    resources: Mapping[str, Sequence[Resource]]
    people: Sequence[Resource] = ()
    systems: Mapping[str, str] = field(default_factory=dict)

    def of(self, *types: str) -> list[Resource]:
        """Return the resources of these types."""
        return [resource for name in types for resource in self.resources.get(name, ())]

    @property
    def everything(self) -> list[Resource]:
        """Return all resources and the people, but for what reviews themselves wrote."""
        own = [each for listed in self.resources.values() for each in listed]
        return [*(each for each in own if kind_of(each) is None), *self.people]


def record_of(tx: Transaction, project: Project, member: str) -> MemberRecord:
    """Read everything current about a member, and whom it names."""
    rows = tx.resources.all_of_member(tx.crosswalk.same(member))
    alive = [row for row in rows if not row.deleted][:MOST]
    resources = [renamed(tx, stored(row)) for row in alive]
    _resolve(tx, project, resources)
    by_type: dict[str, list[Resource]] = {}
    for resource in resources:
        by_type.setdefault(resource["resourceType"], []).append(resource)
    people = list(_people(tx, resources))
    rows_of_people = {f"{row.type}/{row.id}": row.system for row, _ in people}
    systems = {f"{row.type}/{row.id}": row.system for row in alive} | rows_of_people
    return MemberRecord(member, by_type, [person for _, person in people], systems)


def _people(
    tx: Transaction, resources: Sequence[Resource]
) -> Iterator[tuple[ResourceRow, Resource]]:
    """Yield the people and organizations that are named, and those that they name in turn."""
    known = {f"{each['resourceType']}/{each['id']}" for each in resources}
    wanted = _named(resources) - known
    for _ in range(2):
        found = []
        for target in sorted(wanted)[:MOST]:
            kind, _, id = target.partition("/")
            row = tx.resources.get(kind, id)
            if row is not None and not row.deleted:
                found.append((row, renamed(tx, stored(row))))
        yield from found
        known |= wanted
        wanted = _named([person for _, person in found]) - known


def _named(resources: Sequence[Resource]) -> set[str]:
    targets = (target for resource in resources for target in targets_of(resource))
    return {target for target in targets if target.partition("/")[0] in IDENTITY_TYPES}


def _resolve(tx: Transaction, project: Project, resources: Sequence[Resource]) -> None:
    """Let references name what is known by now by its canonical id.

    What a plan pointed to before it arrived was kept as an absolute URL at its sender.
    """
    bases = {base: system for system, base in project.naming.bases.items()}
    waiting: dict[Key, list[Resource]] = {}
    for resource in resources:
        for reference in references_of(resource):
            target = reference.get("reference")
            absolute = isinstance(target, str) and "://" in target
            found = literal(str(target)) if absolute else None
            if found and found.base in bases:
                key = reference_key(bases[found.base], found.local)
                waiting.setdefault(key, []).append(reference)
    for key, entity in tx.crosswalk.resolve(waiting).items():
        for reference in waiting[key]:
            reference["reference"] = f"{key.type}/{entity}"
