"""The last stage: what goes to whom, redacted as decided, in the destination's own dialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine.diagnostics import Diagnostic
from engine.message import Draft, Hold, Next, Outcome, Reject, Resource, Unit
from engine.project import unspoken
from engine.road.addressees import legs_of
from engine.road.canonicalise import stop
from engine.road.conform import check_draft
from engine.road.judge import told_of
from engine.road.trip import Trip
from engine.rules.decision import Decision
from engine.rules.redact import carried_out


def route(unit: Unit, trip: Trip) -> Outcome:
    """Write one draft for every destination that the routes lead to and no decision keeps out."""
    drafts, left_out = [], []
    for leg in legs_of(unit, trip):
        decision = unit.decisions.get(leg.destination)
        if decision is not None and not decision.permitted:
            continue
        made = draft_for(unit, leg.destination, decision, trip)
        if isinstance(made, Draft):
            drafts.append(made)
        elif decision is not None and is_left_out(decision, leg.destination, trip):
            left_out.append(made)
        else:
            return made
    if left_out and not drafts:
        return left_out[0]
    return Next(replace(unit, drafts=tuple(drafts)))


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
    told = unit.canonical
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
    resource = _named(result.resource or {}, unit, destination, trip)
    written = result.written if whole and unit.written is not None else None
    checked = check_draft(unit, resource, destination, trip, written)
    if isinstance(checked, Reject):
        return checked
    return Draft(
        destination,
        resource,
        link=f"{unit.type}/{resource['id']}",
        mapping=f"{adapter.name} {adapter.version} {adapter.hash[:12]}",
        decision=decision.record(destination) if decision is not None else None,
        notes=tuple(problem.at(unit.where) for problem in result.diagnostics),
    )


def _named(resource: Resource, unit: Unit, destination: str, trip: Trip) -> Resource:
    """Give the resource the id under which the destination knows it, else the canonical one."""
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
