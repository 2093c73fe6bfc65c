"""The order of the stages, stated once, and the loop that runs them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from engine.message import Next, Outcome, Reject, Unit
from engine.road.admit import admit
from engine.road.canonicalise import canonicalise
from engine.road.conform import check_canonical, check_source
from engine.road.entries import Submission, transaction_refused
from engine.road.facts import Facts
from engine.road.identify import Names, identify_units
from engine.road.judge import judge
from engine.road.leave import route
from engine.road.ruled import rules
from engine.road.trip import Trip
from engine.road.whole import put_together, with_their_bearers
from engine.transform.crosswalk import IDENTITY_TYPES, Key, reference_key

Stage = Callable[[Unit, Trip], Outcome]

ARRIVING: tuple[Stage, ...] = (admit, check_source)
"""What each unit passes before anyone asks who it is about."""

UNDERSTANDING: tuple[Stage, ...] = (canonicalise, check_canonical)
"""What makes it canonical, once the whole message has names."""

LEAVING: tuple[Stage, ...] = (rules, judge, route)
"""What decides whether and how it goes out, once the message's own consents are known."""


def run_again(submission: Submission, entry: int, trip: Trip) -> Travelled:
    """Run one held unit again; the message's other entries only lend their names."""
    names = _identified(submission.units, trip)
    known = trip.facts.links.known
    local = {name: to for name, to in names.local.items() if to.partition("/")[2] in known}
    unit = next(o for o in names.units if o.unit.entry == entry)
    trip = trip.with_facts(replace(trip.facts, local=local))
    outcomes = _whole(_through((*ARRIVING, *UNDERSTANDING), [unit], trip), trip)
    outcomes = _through(LEAVING, outcomes, trip)
    kept = {o.unit.entity for o in outcomes if not isinstance(o, Reject)}
    own = {key: entity for key, entity in names.links.items() if entity in kept}
    return Travelled(outcomes, own | _announced(outcomes))


class _Not(Container[str]):
    """Contain every type but those named."""

    def __init__(self, types: Container[str]) -> None:
        self._types = types

    def __contains__(self, item: object) -> bool:
        return item not in self._types


OTHER_TYPES = _Not(IDENTITY_TYPES)


class Travelled(Struct, frozen=True):
    """Hold what became of a message: one outcome for each unit, and the links it taught.

    `facts` is what was on record before it, where that is known.
    """

    outcomes: Sequence[Outcome]
    links: Mapping[Key, str]
    facts: Facts | None = None


def run(submission: Submission, trip: Trip) -> Travelled:
    """Run all units of a message over the road; nothing here reads clock, disk or network."""
    arrived = _through(ARRIVING, [Next(unit) for unit in submission.units], trip)
    names = _identified([one.unit for one in arrived if isinstance(one, Next)], trip)
    trip = trip.with_facts(_named(trip.facts, names))
    outcomes = _merge(arrived, names.units)
    outcomes = _whole(_through(UNDERSTANDING, outcomes, trip), trip)
    known = trip.facts.knowing(o.unit for o in outcomes if not isinstance(o, Reject))
    trip = trip.with_facts(known)
    outcomes, trip = _identities(outcomes, trip)
    outcomes = [*submission.refused, *_through(LEAVING, outcomes, trip, OTHER_TYPES)]
    if trip.project.sibling_types:
        outcomes = with_their_bearers(outcomes)
    if submission.whole and any(isinstance(outcome, Reject) for outcome in outcomes):
        return Travelled(transaction_refused(outcomes), {})
    kept = {o.unit.entity for o in outcomes if not isinstance(o, Reject)}
    taught = {**names.links, **_announced(outcomes)}
    return Travelled(outcomes, {key: to for key, to in taught.items() if to in kept})


def _identified(units: Sequence[Unit], trip: Trip) -> Names:
    project = trip.project
    seams = {kind: seam for (name, kind), seam in project.siblings.items() if name == trip.system}
    return identify_units(units, trip.system, project.naming, trip.facts, seams)


def _whole(outcomes: list[Outcome], trip: Trip) -> list[Outcome]:
    """Put siblings together, where any system of the project keeps some."""
    return put_together(outcomes, trip) if trip.project.sibling_types else outcomes


def run_canonical(units: Sequence[Unit], trip: Trip) -> Travelled:
    """Run units that are canonical already: what the engine writes itself leaves as all else."""
    outcomes: list[Outcome] = [Next(unit) for unit in units]
    outcomes = _through((check_canonical, *LEAVING), outcomes, trip)
    return Travelled(outcomes, _announced(outcomes))


def _identities(outcomes: Sequence[Outcome], trip: Trip) -> tuple[list[Outcome], Trip]:
    """Let the members, people and organizations leave, who refer to each other in circles.

    Each is taken to be known at its destinations once it goes there; where one cannot go after
    all, the others are written again without it.
    """
    if not any(outcome.unit.type in IDENTITY_TYPES for outcome in outcomes):
        return list(outcomes), trip
    failed: set[str] = set()
    while True:
        told = {
            key: outcome.unit.entity
            for outcome in outcomes
            if isinstance(outcome, Next) and outcome.unit.type in IDENTITY_TYPES
            if outcome.unit.entity not in failed
            for key in _names_abroad(outcome.unit, trip)
        }
        links = trip.facts.links.including(told)
        known = trip.with_facts(replace(trip.facts, links=links))
        done = _through(LEAVING, outcomes, known, IDENTITY_TYPES)
        stopped = {
            after.unit.entity
            for before, after in zip(outcomes, done, strict=True)
            if isinstance(before, Next) and not isinstance(after, Next)
        }
        if stopped <= failed:
            return done, known
        failed |= stopped


def _names_abroad(unit: Unit, trip: Trip) -> Iterator[Key]:
    """Yield under which name each destination will know a unit that it does not know yet."""
    known = {
        key.system for key in trip.facts.links.known.get(unit.entity, ()) if key.kind == "reference"
    }
    for leg in trip.project.legs(trip.system, unit.type):
        if leg.destination not in known:
            yield reference_key(leg.destination, f"{unit.type}/{unit.entity}")


def _through(
    stages: Sequence[Stage],
    outcomes: Sequence[Outcome],
    trip: Trip,
    types: Container[str] | None = None,
) -> list[Outcome]:
    return [
        _travelled(outcome.unit, stages, trip)
        if isinstance(outcome, Next) and (types is None or outcome.unit.type in types)
        else outcome
        for outcome in outcomes
    ]


def _travelled(unit: Unit, stages: Sequence[Stage], trip: Trip) -> Outcome:
    """Take one unit through the stages, as far as it gets: none looks at another unit."""
    outcome: Outcome = Next(unit)
    for stage in stages:
        outcome = stage(outcome.unit, trip)
        if not isinstance(outcome, Next):
            break
    return outcome


def _announced(outcomes: Sequence[Outcome]) -> dict[Key, str]:
    """Return under which name each destination will know the entities that go out to it."""
    return {
        reference_key(draft.destination, draft.link): outcome.unit.entity
        for outcome in outcomes
        if isinstance(outcome, Next)
        for draft in outcome.unit.drafts
    }


def _named(facts: Facts, names: Names) -> Facts:
    return replace(facts, links=facts.links.including(names.links), local=names.local)


def _merge(before: Sequence[Outcome], after: Sequence[Outcome]) -> list[Outcome]:
    """Put the later outcomes in the places of the units that were still on the road."""
    later = iter(after)
    return [next(later) if isinstance(outcome, Next) else outcome for outcome in before]
