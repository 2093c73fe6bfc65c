"""What goes to one destination: redacted as decided, and written in its own dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from engine.diagnostics import Diagnostic
from engine.message import Draft, Hold, Reject, Resource, Unit
from engine.project import unspoken
from engine.road.canonicalise import stop
from engine.road.conform import check_draft
from engine.road.judge import told_of
from engine.road.sibling_references import referring
from engine.road.trip import Trip
from engine.rules.decision import Decision
from engine.rules.redact import carried_out


def is_left_out(decision: Decision, destination: str, trip: Trip) -> bool:
    """Tell whether a permit leaves the destination itself out (`partial_recipients: drop`)."""
    dropped = [verdict.recipient for verdict in decision.recipients if verdict.dropped]
    if not dropped:
        return False
    organization = trip.project.organization(destination, trip.facts.links)
    names = {organization.get("reference"), str(organization["identifier"])}
    return any(names & {one.get("reference", ""), str(one.get("identifier"))} for one in dropped)


def draft_for(
    unit: Unit, destination: str, decision: Decision | None, trip: Trip
) -> Draft | Hold | Reject:
    """Carry obligations out, transform to the destination's dialect, and check the result."""
    if unit.canonical is None:
        raise AssertionError("a unit is made canonical before it is routed")
    told = redacted(unit, unit.canonical, destination, decision, trip)
    if isinstance(told, Reject):
        return told
    return written(unit, told, destination, decision, trip)


def redacted(
    unit: Unit, told: Resource, destination: str, decision: Decision | None, trip: Trip
) -> Resource | Reject:
    """Return what a permit lets a destination be told of a canonical resource."""
    if decision is not None:
        if is_left_out(decision, destination, trip):
            return _refused(unit, decision, destination, "consent-recipient")
        policy = decision.policy
        redaction = carried_out(
            told_of(told, unit.member, policy, trip), decision.obligations, policy
        )
        if redaction.resource is None:
            return _refused(unit, decision, destination, "consent-denied")
        told = redaction.resource
    return told


def written(
    unit: Unit,
    told: Resource,
    destination: str,
    decision: Decision | None,
    trip: Trip,
    id: str | None = None,
) -> Draft | Hold | Reject:
    """Write what a destination may be told in its dialect, under `id` or the id it knows, checked.

    References to what it keeps as siblings lead to them.
    """
    if trip.project.sibling_types:
        told = referring(told, destination, trip)
    systems = trip.project.config.systems
    dialect = systems[destination].dialect
    foreign = systems[trip.system].dialect != dialect
    adapter = trip.project.adapters.get(dialect, unit.type)
    if adapter is None:
        return Reject(unit, 422, (unspoken(dialect, unit.type).at(unit.where),))
    whole = told is unit.canonical
    extended = unit.extended or not whole
    result = adapter.to_dialect(
        told, trip.crosswalk(destination), extended=extended, foreign=foreign
    )
    if stopped := stop(unit, result):
        return stopped if isinstance(stopped, Reject) else _untold(stopped, destination)
    resource = _named(result.resource or {}, unit, destination, trip, id)
    changed = result.changed(told) if whole and unit.written is not None else None
    checked = check_draft(unit, resource, destination, trip, changed)
    if isinstance(checked, Reject):
        return checked
    return Draft(
        destination,
        resource,
        link=f"{unit.type}/{resource['id']}",
        mapping=f"{adapter.name} {adapter.version} {adapter.hash[:12]}",
        decision=decision.record(destination) if decision is not None else None,
        notes=tuple([problem.at(unit.where) for problem in result.diagnostics]),
    )


def _named(
    resource: Resource, unit: Unit, destination: str, trip: Trip, id: str | None
) -> Resource:
    """Give the resource the id under which the destination knows it, else the canonical one."""
    if id is not None:
        return {**resource, "id": id}
    for key in trip.facts.links.known.get(unit.entity, ()):
        if key.kind == "reference" and key.system == destination and key.type == unit.type:
            return {**resource, "id": key.value.partition("/")[2]}
    return {**resource, "id": unit.entity}


def _untold(held: Hold, destination: str) -> Hold:
    problems: Sequence[Any] = [
        Diagnostic(
            "K003",
            f"{destination} does not know whom this refers to.",
            path=problem.path,
            remedy=f"link it for {destination}, or route the resource it refers to as well.",
        )
        for problem in held.diagnostics
    ]
    return replace(held, diagnostics=tuple(problems))


def _refused(unit: Unit, decision: Decision, destination: str, code: str) -> Reject:
    """Refuse what a permit leaves nothing of, or nobody to tell it to."""
    problem = Diagnostic(code, "The consent does not cover this disclosure.", path=unit.where)
    return Reject(replace(unit, refusal=decision.record(destination)), 403, (problem,))
