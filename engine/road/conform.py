"""The stages that check structure: as it came, as canonical, and as each destination wants it."""

from __future__ import annotations

from msgspec.structs import replace

from engine.diagnostics import Diagnostic, Severity, has_errors
from engine.message import Next, Outcome, Reject, Resource, Unit
from engine.road.trip import Trip
from engine.transform.normalise import has_illegal_id
from engine.validate import still_valid


def check_source(unit: Unit, trip: Trip) -> Outcome:
    """Refuse what is not valid in its FHIR version, or breaks the profile that it claims itself.

    Where a resource breaks its dialect's profile without claiming it, that is noted and it
    passes: canonical is plain FHIR, and each destination's profile is checked on the way out.
    """
    dialect = trip.project.config.systems[trip.system].dialect
    judged = _judged(unit, trip.project.check_version(unit.source, dialect), 422)
    if isinstance(judged, Next) and has_illegal_id(unit.source):
        taken = Diagnostic("R019", _TAKEN, Severity.INFORMATION, path=f"{unit.where}.id")
        unit = replace(unit, notes=(*unit.notes, taken))
        judged = Next(unit)
    profile = trip.project.profile_of(dialect, unit.type)
    if profile is None or not isinstance(judged, Next):
        return judged
    problems = profile.check(unit.source)
    if not problems:
        return judged
    if {profile.url, profile.base} & _claimed(unit.source):
        return _judged(unit, problems, 422)
    noted = (
        replace(problem.at(unit.where), severity=Severity.WARNING)
        for problem in problems
        if problem.severity is not Severity.INFORMATION
    )
    return Next(replace(unit, notes=(*unit.notes, *noted)))


_TAKEN = "An id with '_' was taken as its system wrote it."


def _claimed(resource: Resource) -> frozenset[str]:
    """Return the profiles that a resource says it follows, without their versions."""
    meta = resource.get("meta")
    listed = meta.get("profile", ()) if isinstance(meta, dict) else ()
    return frozenset(str(url).partition("|")[0] for url in listed)


def check_canonical(unit: Unit, trip: Trip) -> Outcome:
    """Refuse what an adapter made where it is not valid canonical FHIR."""
    if unit.canonical is None:
        return Next(unit)
    if unit.written is not None and still_valid(unit.canonical, unit.written):
        return Next(unit)
    return _judged(unit, trip.project.validate(unit.canonical), 422)


def check_draft(
    unit: Unit,
    resource: Resource,
    destination: str,
    trip: Trip,
    written: frozenset[str] | None = None,
) -> Outcome:
    """Refuse what would be sent where it is not valid in the destination's version and profile.

    `written` names what an adapter wrote itself, where all else was copied from valid canonical.
    """
    dialect = trip.project.config.systems[destination].dialect
    return _judged(unit, trip.project.check_dialect(resource, dialect, written), 422)


def _judged(unit: Unit, problems: list[Diagnostic], status: int) -> Outcome:
    if not problems or not has_errors(problems):
        return Next(unit)
    placed = tuple(
        problem.at(unit.where) for problem in problems if problem.severity is Severity.ERROR
    )
    return Reject(unit, status, placed)
