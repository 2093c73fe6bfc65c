"""Between store and road: what is on record of wholes that some system keeps as siblings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from engine.fhir.json import loads
from engine.fhir.references import references_of
from engine.gather import gather_canonical, renamed
from engine.message import Message, Resource, Unit
from engine.project import Project
from engine.road.entries import Submission
from engine.road.facts import Facts, Recorded, targets_of
from engine.road.identify import Names, identify_units
from engine.road.kinship import GROUP, alike, group_key
from engine.store import ResourceRow, Transaction, UnitRow
from engine.transform.crosswalk import Key, Links


def with_wholes(
    tx: Transaction, project: Project, message: Message, units: Sequence[Unit], facts: Facts
) -> Facts:
    """Return facts with the wholes on record that a message's resources are part of or name.

    Nothing is read where no system of the project keeps siblings.
    """
    types = project.sibling_types
    if not types:
        return facts
    system = message.system
    seams = {kind: seam for (name, kind), seam in project.siblings.items() if name == system}
    names = identify_units(units, system, project.naming, facts, seams)
    facts = _knowing(tx, facts, [key for key in names.links if key.kind == GROUP])
    if tx.crosswalk.has_mergers():
        facts = _merged(tx, project, message.system, names, facts)
    names = identify_units(units, system, project.naming, facts, seams)
    own = {(o.unit.type, o.unit.entity) for o in names.units if o.unit.type in types}
    named = {one for unit in units for one in _named(project, system, unit.source, facts)}
    rows = [tx.resources.latest(kind, entity) for kind, entity in sorted(own) if entity]
    mine = _recorded(tx, rows)
    for recorded in mine.values():
        facts = _knowing_all(tx, project, recorded.resource, facts)
    rows = [tx.resources.get(kind, entity) for kind, entity in sorted(named - own)]
    return replace(facts, wholes=mine | _recorded(tx, rows), received=message.received)


def with_named_wholes(
    tx: Transaction, project: Project, canonical: Resource, facts: Facts
) -> Facts:
    """Return facts with the wholes that a canonical resource names, and whom it names aside."""
    types = project.sibling_types
    if not types:
        return facts
    targets = (target.partition("/") for target in targets_of(canonical))
    rows = [tx.resources.get(name, id) for name, _, id in targets if name in types]
    facts = _knowing_all(tx, project, canonical, facts)
    return replace(facts, wholes=_recorded(tx, rows))


def with_version_before(
    tx: Transaction, project: Project, canonical: Resource, version: int, facts: Facts
) -> Facts:
    """Return facts with the version of a whole before `version` as well, for what left it then."""
    facts = with_named_wholes(tx, project, canonical, facts)
    row = tx.resources.version(canonical["resourceType"], canonical["id"], version - 1)
    before = _recorded(tx, [row])
    for recorded in before.values():
        facts = _knowing_all(tx, project, recorded.resource, facts)
    return replace(facts, wholes={**facts.wholes, **before})


def _knowing(tx: Transaction, facts: Facts, groups: Iterable[Key]) -> Facts:
    """Return facts that know which wholes the siblings of a message are, and all their names."""
    found = tx.crosswalk.resolve(groups)
    if not found:
        return facts
    known = tx.crosswalk.known(found.values())
    entities = {key: entity for entity, keys in known.items() for key in keys}
    links = facts.links
    return replace(
        facts, links=Links({**links.entities, **entities, **found}, {**links.known, **known})
    )


def _merged(tx: Transaction, project: Project, system: str, names: Names, facts: Facts) -> Facts:
    """Return facts in which a sibling finds the whole of a member whose record was merged since."""
    found: dict[Key, str] = {}
    for outcome in names.units:
        unit = outcome.unit
        seam = project.siblings.get((system, unit.type))
        if seam is None or not unit.sibling:
            continue
        crosswalk = project.crosswalk(system, facts.links, names.local)
        said = alike(seam, unit.source, crosswalk)
        if not all(said):
            continue
        own = group_key(system, seam, [str(one) for one in said])
        if own in facts.links.entities:
            continue
        before = [group_key(system, seam, other) for other in _former(tx, said)]
        known = tx.crosswalk.resolve(before)
        if entity := next((known[key] for key in before if key in known), None):
            found[own] = entity
    if not found:
        return facts
    keys = tx.crosswalk.known(found.values())
    links = facts.links
    entities = {key: entity for entity, pointing in keys.items() for key in pointing}
    return replace(
        facts, links=Links({**links.entities, **entities, **found}, {**links.known, **keys})
    )


def _former(tx: Transaction, said: Sequence[str | None]) -> Iterable[list[str]]:
    """Yield what siblings said when a record that they name had another id."""
    for place, text in enumerate(said):
        kind, _, entity = str(text).partition("/")
        for other in tx.crosswalk.same(entity):
            if other != entity:
                yield [str(one) if i != place else f"{kind}/{other}" for i, one in enumerate(said)]


def _knowing_all(tx: Transaction, project: Project, whole: Resource, facts: Facts) -> Facts:
    """Return facts that know whom a whole on record names, and the siblings that stand beside it.

    Its other parts leave again with what a message says of one.
    """
    kind, entity = whole["resourceType"], whole["id"]
    told = [whole]
    for seam in {
        seam.mapping: seam for (_, name), seam in project.siblings.items() if name == kind
    }.values():
        told += [seam.resource(part, entity) for part in seam.take_apart(whole).parts if part.aside]
    for one in told:
        facts = facts.joined(gather_canonical(tx, project, one, at=facts.at))
    return facts


def _named(
    project: Project, system: str, source: Resource, facts: Facts
) -> Iterable[tuple[str, str]]:
    for reference in references_of(source):
        for key in project.naming.reference_keys(system, reference):
            entity = facts.links.entities.get(key)
            if entity is not None and key.type in project.sibling_types:
                yield key.type, entity


def _recorded(tx: Transaction, rows: Iterable[ResourceRow | None]) -> dict[str, Recorded]:
    return {
        f"{row.type}/{row.id}": Recorded(renamed(tx, loads(row.body)), row.system)
        for row in rows
        if row is not None and not row.deleted
    }


def last_heard(
    project: Project,
    current: ResourceRow,
    message: Message,
    submission: Submission,
    row: UnitRow,
) -> str:
    """Return when the content was received that is on record of a message's sibling, or ""."""
    seam = project.siblings[message.system, row.type]
    unit = next((one for one in submission.units if one.entry == row.entry), None)
    if unit is None:
        return ""
    names = identify_units([unit], message.system, project.naming, Facts(""), {row.type: seam})
    return seam.last_heard(loads(current.body), message.system, names.units[0].unit.sibling)
