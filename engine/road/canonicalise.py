"""The stage that turns a dialect's resource into canonical FHIR."""

from __future__ import annotations

from dataclasses import replace

from engine.diagnostics import Diagnostic, Severity
from engine.message import Hold, Next, Outcome, Reject, Unit
from engine.road.identify import member_of
from engine.road.trip import Trip
from engine.transform.adapter import Result
from engine.transform.crosswalk import waiting_keys


def canonicalise(unit: Unit, trip: Trip) -> Outcome:
    """Transform to canonical; an unknown reference holds the unit, other problems refuse it."""
    dialect = trip.project.config.systems[trip.system].dialect
    adapter = trip.project.adapter(dialect, unit.type)
    result = adapter.to_canonical(unit.source, trip.crosswalk(trip.system))
    if stopped := stop(unit, result):
        return stopped
    canonical = {**(result.resource or {}), "id": unit.entity}
    notes = (*unit.notes, *(problem.at(unit.where) for problem in result.diagnostics))
    mapping = f"{adapter.name} {adapter.version} {adapter.hash[:12]}"
    return Next(
        replace(
            unit, canonical=canonical, member=member_of(canonical), mapping=mapping, notes=notes
        )
    )


def stop(unit: Unit, result: Result) -> Hold | Reject | None:
    """Return the Hold or Reject that an adapter's result calls for, or None where it is fine."""
    errors = [
        problem.at(unit.where)
        for problem in result.diagnostics
        if problem.severity is Severity.ERROR
    ]
    others = [problem for problem in errors if problem.code != "K001"]
    if others:
        return Reject(unit, 422, tuple(errors))
    if result.unresolved:
        return Hold(
            unit,
            "crosswalk-unknown",
            tuple(errors) or (_unknown(unit),),
            waiting_keys(result.unresolved),
        )
    return None


def _unknown(unit: Unit) -> Diagnostic:
    return Diagnostic("K001", "A reference is not known to the crosswalk.", path=unit.where)
