"""The stage that turns a dialect's resource into canonical FHIR."""

from __future__ import annotations

from msgspec.structs import replace

from engine.diagnostics import Diagnostic, Severity
from engine.message import Hold, Next, Outcome, Reject, Unit
from engine.road.identify import member_of
from engine.road.provisional import provisional
from engine.road.trip import Trip
from engine.transform.adapter import Result
from engine.transform.crosswalk import IDENTITY_TYPES, waiting_keys
from engine.transform.reuniting import reunited


def canonicalise(unit: Unit, trip: Trip) -> Outcome:
    """Transform to canonical; an unknown reference holds the unit, other problems refuse it."""
    dialect = trip.project.config.systems[trip.system].dialect
    adapter = trip.project.adapter(dialect, unit.type)
    result = adapter.to_canonical(unit.source, trip.crosswalk(trip.system), extended=unit.extended)
    if stopped := stop(unit, result):
        unit = replace(unit, mapping=adapter.label)
        stopped = replace(stopped, unit=unit)
        if not _needed(unit, stopped, trip):
            return _kept_as_it_came(unit, stopped)
        if isinstance(stopped, Hold) and unit.type == "Consent":
            return _denying(stopped, trip)
        return stopped
    canonical = {**(result.resource or {}), "id": unit.entity}
    before = trip.facts.before.get(f"{unit.type}/{unit.entity}")
    if before is not None:
        canonical = reunited(canonical, before, adapter.name)
    notes = (*unit.notes, *[problem.at(unit.where) for problem in result.diagnostics])
    member = member_of(canonical)
    written = result.changed(unit.source)
    extended = unit.extended or (written != frozenset() and result.may_extend())
    return Next(
        replace(
            unit,
            canonical=canonical,
            member=member,
            mapping=adapter.label,
            notes=notes,
            written=written if before is None else None,
            extended=extended or before is not None,
        )
    )


def _denying(held: Hold, trip: Trip) -> Hold:
    """Let a held Consent count for what it denies or takes back."""
    known = provisional(held.unit, trip)
    if known is None:
        return held
    return replace(held, unit=replace(held.unit, provisional=known, member=member_of(known)))


def _needed(unit: Unit, stopped: Hold | Reject, trip: Trip) -> bool:
    """Tell whether anybody waits for the canonical form of a unit that was stopped."""
    if isinstance(stopped, Reject) or unit.type in IDENTITY_TYPES or unit.type == "Consent":
        return True
    return bool(trip.project.legs(trip.system, unit.type))


def _kept_as_it_came(unit: Unit, stopped: Hold | Reject) -> Next:
    """Let a unit that no route carries be recorded although its references lead nowhere."""
    noted = (replace(problem, severity=Severity.WARNING) for problem in stopped.diagnostics)
    return Next(replace(unit, notes=(*unit.notes, *noted)))


def stop(unit: Unit, result: Result) -> Hold | Reject | None:
    """Return the Hold or Reject that an adapter's result calls for, or None where it is fine."""
    if not result.diagnostics and not result.unresolved:
        return None
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
