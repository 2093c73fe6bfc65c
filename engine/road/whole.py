"""Between understanding and leaving: siblings of a message become one whole with those on record.

The first of them bears the whole on its way; the others share its fate. What another system says
of a whole keeps the memory of its siblings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from msgspec import structs

from engine.diagnostics import Diagnostic, has_errors
from engine.message import Hold, Next, Outcome, Reject, Resource, Unit
from engine.road.conform import check_canonical
from engine.road.identify import member_of
from engine.road.kinship import said_alike
from engine.road.sibling_names import names_at
from engine.road.trip import Trip
from engine.transform.siblings import Part, Seam, Whole

_MOVED = "This sibling is part of another whole, and cannot turn to this one."
_MOVED_REMEDY = "end it there (status entered-in-error), and send a new one."


def put_together(outcomes: Sequence[Outcome], trip: Trip) -> list[Outcome]:
    """Let siblings become one whole, and give wholes the memory that the record has of them."""
    done = list(outcomes)
    groups: dict[tuple[str, str], list[int]] = {}
    for place, outcome in enumerate(outcomes):
        unit = outcome.unit
        if not isinstance(outcome, Next) or unit.canonical is None:
            continue
        if unit.sibling and unit.entity:
            groups.setdefault((unit.type, unit.entity), []).append(place)
        elif unit.type in trip.project.sibling_types:
            done[place] = Next(_reminded(unit, trip))
    for places in groups.values():
        units = [outcomes[place].unit for place in places]
        for place, outcome in zip(places, _joined(units, trip), strict=True):
            done[place] = outcome
    return done


def with_their_bearers(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Let siblings share the fate of the one that bears their whole."""
    bearers = {outcome.unit.entry: outcome for outcome in outcomes}
    return [_like(outcome, bearers) for outcome in outcomes]


def _like(outcome: Outcome, bearers: dict[int, Outcome]) -> Outcome:
    unit = outcome.unit
    if unit.borne is None or not isinstance(outcome, Next):
        return outcome
    match bearers[unit.borne]:
        case Reject(status=status, diagnostics=problems):
            return Reject(unit, status, problems)
        case Hold(reason=reason, diagnostics=problems, waiting_on=waiting):
            return Hold(unit, reason, problems, waiting)
        case Next(unit=bearer) if not bearer.drafts:
            return Next(structs.replace(unit, borne=None))
        case _:
            return outcome


def _joined(units: Sequence[Unit], trip: Trip) -> list[Outcome]:
    """Put the siblings of one whole to those on record; one outcome for each."""
    first = units[0]
    seam = trip.project.siblings[trip.system, first.type]
    whole = _recorded(seam, first, trip)
    alike = said_alike(whole[0], seam) if whole[0] is not None else None
    moved = [alike is not None and said_alike(_told(one), seam) != alike for one in units]
    staying = [unit for unit, goes in zip(units, moved, strict=True) if not goes]
    made = _made(seam, whole[1], staying, trip) if staying else []
    others = iter(made)
    return [_refused(one) if goes else next(others) for one, goes in zip(units, moved, strict=True)]


def _made(seam: Seam, base: Whole, units: Sequence[Unit], trip: Trip) -> list[Outcome]:
    parts = list(base.parts)
    for unit in units:
        _enter(seam, parts, unit, trip)
    made = seam.put_together(Whole(tuple(parts), base.rest), units[0].entity)
    if has_errors(made.notes):
        return [Reject(one, 422, _placed(made.notes, one)) for one in units]
    bearer = structs.replace(
        units[0],
        canonical=made.resource,
        member=member_of(made.resource),
        notes=(*units[0].notes, *_placed(made.notes, units[0])),
        written=None,
        extended=True,
    )
    borne = [structs.replace(one, canonical=None, borne=bearer.entry) for one in units[1:]]
    return [check_canonical(bearer, trip), *map(Next, borne)]


def _enter(seam: Seam, parts: list[Part], unit: Unit, trip: Trip) -> None:
    """Put a sibling in the place of what is on record of it, else beside the others."""
    new = seam.part(_told(unit), {trip.system: unit.sibling}, trip.facts.received)
    place = place_of(seam, parts, unit, trip)
    if place is None:
        parts.append(new)
    else:
        parts[place] = replace(new, ids={**parts[place].ids, **new.ids})


def place_of(seam: Seam, parts: Sequence[Part], unit: Unit, trip: Trip) -> int | None:
    """Return which part on record a sibling is: by the id that its system knows it by.

    A part that never came by itself is also known by what its item is known by.
    """
    ids = names_at(seam, parts, unit.entity, trip.system, trip.facts.links)
    if unit.sibling in ids:
        return ids.index(unit.sibling)
    name = seam.names(seam.part(_told(unit)))[0]
    known = [i for i, part in enumerate(parts) if not part.ids and seam.names(part)[0] == name]
    return known[0] if known else None


def _recorded(seam: Seam, unit: Unit, trip: Trip) -> tuple[Resource | None, Whole]:
    """Return the whole on record, taken apart; what the sender said before it had siblings is old.

    Until its dialect declared siblings, each of its resources was an entity by itself.
    """
    recorded = trip.facts.wholes.get(f"{unit.type}/{unit.entity}")
    if recorded is None:
        return None, Whole(())
    whole = seam.take_apart(recorded.resource)
    if recorded.system == trip.system and not any(part.ids for part in whole.parts):
        return recorded.resource, Whole(())
    return recorded.resource, whole


def _told(unit: Unit) -> Resource:
    assert unit.canonical is not None
    return unit.canonical


def _refused(unit: Unit) -> Reject:
    problem = Diagnostic("R020", _MOVED, path=unit.where, remedy=_MOVED_REMEDY)
    return Reject(unit, 409, (problem,))


def _placed(notes: Iterable[Diagnostic], unit: Unit) -> tuple[Diagnostic, ...]:
    return tuple(note.at(unit.where) for note in notes)


def _reminded(unit: Unit, trip: Trip) -> Unit:
    """Return a whole that another system wrote with the memory of its siblings on record."""
    recorded = trip.facts.wholes.get(f"{unit.type}/{unit.entity}")
    canonical = _told(unit)
    if recorded is None:
        return unit
    seams = {one.mapping: one for (_, kind), one in trip.project.siblings.items()
             if kind == unit.type}  # fmt: skip
    for seam in seams.values():
        canonical = seam.reminded(canonical, recorded.resource)
    if canonical is unit.canonical:
        return unit
    return structs.replace(unit, canonical=canonical, written=None, extended=True)
