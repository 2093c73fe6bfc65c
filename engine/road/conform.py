"""The stages that check structure: as it came, as canonical, and as each destination wants it."""

from __future__ import annotations

from engine.diagnostics import Diagnostic, Severity, has_errors
from engine.message import Next, Outcome, Reject, Resource, Unit
from engine.road.trip import Trip


def check_source(unit: Unit, trip: Trip) -> Outcome:
    """Refuse a resource that is not valid in the FHIR version and profile of its dialect."""
    dialect = trip.project.config.systems[trip.system].dialect
    problems = trip.project.check_dialect(unit.source, dialect)
    return _judged(unit, problems, 422)


def check_canonical(unit: Unit, trip: Trip) -> Outcome:
    """Refuse what an adapter made where it is not valid canonical FHIR."""
    if unit.canonical is None:
        return Next(unit)
    return _judged(unit, trip.project.validate(unit.canonical), 422)


def check_draft(unit: Unit, resource: Resource, destination: str, trip: Trip) -> Outcome:
    """Refuse what would be sent where it is not valid in the destination's version and profile."""
    dialect = trip.project.config.systems[destination].dialect
    return _judged(unit, trip.project.check_dialect(resource, dialect), 422)


def _judged(unit: Unit, problems: list[Diagnostic], status: int) -> Outcome:
    if not has_errors(problems):
        return Next(unit)
    placed = tuple(
        problem.at(unit.where) for problem in problems if problem.severity is Severity.ERROR
    )
    return Reject(unit, status, placed)
