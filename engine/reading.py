"""Reading back: what a system may see of the record, in its own dialect and under consent."""

from __future__ import annotations

from dataclasses import dataclass

from engine.diagnostics import Diagnostic, Severity
from engine.gather import gather_canonical, renamed, stored
from engine.message import Resource, Unit
from engine.project import Project
from engine.road.identify import member_of
from engine.road.judge import decision_for
from engine.road.leave import drafts_for
from engine.road.trip import Trip
from engine.rules.decision import Decision
from engine.store import ResourceRow, Transaction
from engine.transform.crosswalk import reference_key
from engine.wholes import with_named_wholes


@dataclass(frozen=True, slots=True)
class Reading:
    """Hold what a reader is told: the resource and its version, or why not (with HTTP status).

    `decision` is what that rests on, where a rule guards the resource against this reader.
    """

    status: int
    resource: Resource | None = None
    version: int | None = None
    problems: tuple[Diagnostic, ...] = ()
    decision: Decision | None = None


_REQUESTS = frozenset({"Task", "CommunicationRequest"})
_NOT_FOUND = Reading(
    404,
    problems=(Diagnostic("R006", "Nothing is known here under this id, or not for this reader."),),
)


def read(tx: Transaction, project: Project, system: str, type_name: str, id: str) -> Reading:
    """Return one resource as `system` may see it; `id` is the system's own or the canonical one.

    A system sees what it sent and, under a permit decided now, what was delivered to it; a system
    that `reads: all` (the operator) sees everything. What it may not see looks like what is absent.
    """
    own = tx.crosswalk.resolve([reference_key(system, f"{type_name}/{id}")])
    entity = next(iter(own.values()), None) or tx.crosswalk.current(id) or id
    reference = f"{type_name}/{entity}"
    if (system, type_name) not in project.siblings:
        return reading_of(tx, project, system, reference)
    row = _readable(tx, project, system, reference)
    found = told_each(tx, project, system, row) if row is not None else [_NOT_FOUND]
    return next((one for one in found if one.resource and one.resource["id"] == id), found[0])


def reading_of(tx: Transaction, project: Project, system: str, reference: str) -> Reading:
    """Return one resource as `system` may see it, by its canonical reference (`Type/entity`)."""
    row = _readable(tx, project, system, reference)
    return told(tx, project, system, row) if row is not None else _NOT_FOUND


def _readable(tx: Transaction, project: Project, system: str, reference: str) -> ResourceRow | None:
    type_name, _, entity = reference.partition("/")
    row = tx.resources.get(type_name, entity)
    if row is None or row.deleted or not may_read(tx, project, system, row):
        return None
    return row


def may_read(tx: Transaction, project: Project, system: str, row: ResourceRow) -> bool:
    """Tell whether a resource is the system's own, came to it, or it is the operator's system.

    A request stays its asker's own to look at, whoever has moved it on since.
    """
    if row.system == system or project.config.systems[system].reads == "all":
        return True
    if row.type in _REQUESTS:
        first = tx.resources.version(row.type, row.id, 1)
        if first is not None and first.system == system:
            return True
    return tx.deliveries.was_delivered(system, f"{row.type}/{row.id}")


def told(tx: Transaction, project: Project, system: str, row: ResourceRow) -> Reading:
    """Return a stored resource as `system` is told it: in its dialect, under a permit taken now.

    Of a whole that it keeps as siblings this is the first.
    """
    return told_each(tx, project, system, row)[0]


def told_each(tx: Transaction, project: Project, system: str, row: ResourceRow) -> list[Reading]:
    """Return what `system` keeps in place of a stored resource: of most types the one resource."""
    canonical = renamed(tx, stored(row))
    facts = gather_canonical(tx, project, canonical, at=tx.now)
    facts = with_named_wholes(tx, project, canonical, facts)
    trip = Trip(project, facts, row.system)
    unit = Unit(0, row.type, row.type, canonical, entity=row.id, canonical=canonical)
    decision = None
    own = row.system == system or project.config.systems[system].reads == "all"
    if not own and project.guarded(canonical):
        decision = decision_for(canonical, member_of(canonical), system, trip)
        if decision.decision != "permit":
            return [Reading(403, problems=(decision.diagnostic(),), decision=decision)]
    made = drafts_for(unit, system, decision, trip)
    if isinstance(made, list):
        found = [Reading(200, one.resource, row.version, decision=decision) for one in made]
        return found or [_NOT_FOUND]
    problems = tuple(p for p in made.diagnostics if p.severity is Severity.ERROR)
    return [Reading(422, problems=problems, decision=decision)]
