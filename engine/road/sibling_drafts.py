"""A whole for a destination that keeps siblings: one draft for each item, and for each that left.

What is told of an item stands in the whole as it was judged. A sibling that is no part of it any
more is judged by itself, since nothing in the whole speaks of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from engine.message import Draft, Hold, Reject, Resource, Unit
from engine.road.judge import decision_for
from engine.road.route import redacted, written
from engine.road.sibling_names import known_at, names_at
from engine.road.trip import Trip
from engine.rules.decision import Decision
from engine.transform.siblings import Part, Seam, Whole

_TAG = "carelane-sibling-"


@dataclass(frozen=True, slots=True)
class _Named:
    """Hold the parts of one version of a whole, with the ids that a destination knows them by."""

    whole: Whole
    ids: Sequence[str]

    def standing(self) -> Iterator[tuple[str, Part]]:
        return ((id, p) for id, p in zip(self.ids, self.whole.parts, strict=True) if not p.aside)

    def aside(self) -> Iterator[tuple[str, Part]]:
        return ((id, p) for id, p in zip(self.ids, self.whole.parts, strict=True) if p.aside)


def sibling_drafts(
    unit: Unit, destination: str, decision: Decision | None, trip: Trip
) -> list[Draft] | Hold | Reject:
    """Write one draft for each sibling of a whole that a destination is told of.

    Those that it has already, word for word, are marked as settled, unless all are: then somebody
    sends it all again. Where a decision is taken each is sent, since it may have changed.
    """
    seam = trip.project.siblings[destination, unit.type]
    now = _named(seam, _whole(unit), unit, destination, trip)
    made = _standing(seam, now, unit, destination, decision, trip)
    if not isinstance(made, list):
        return made
    before = _before(seam, unit, destination, trip)
    left = _left(seam, now, before, unit, destination, trip)
    for part, id in left:
        _, draft = _parting(seam, part, id, unit, destination, trip)
        if isinstance(draft, Draft):
            made.append(draft)
        elif draft is not None:
            return draft
    if before is None or decision is not None:
        return made
    return _settled(made, _told_before(seam, before, unit, destination, trip), unit, trip)


def _whole(unit: Unit) -> Resource:
    assert unit.canonical is not None
    return unit.canonical


def _named(seam: Seam, resource: Resource, unit: Unit, destination: str, trip: Trip) -> _Named:
    whole = seam.take_apart(resource)
    return _Named(whole, names_at(seam, whole.parts, unit.entity, destination, trip.facts.links))


def _before(seam: Seam, unit: Unit, destination: str, trip: Trip) -> _Named | None:
    """Return the version on record, which this one follows."""
    recorded = trip.facts.wholes.get(f"{unit.type}/{unit.entity}")
    return _named(seam, recorded.resource, unit, destination, trip) if recorded else None


# --- siblings that stand ------------------------------------------------------------------------


def _standing(
    seam: Seam, now: _Named, unit: Unit, destination: str, decision: Decision | None, trip: Trip
) -> list[Draft] | Hold | Reject:
    told = list(now.standing())
    if decision is not None:
        found = _permitted(seam, now, unit, destination, decision, trip)
        if isinstance(found, Reject):
            return found
        told = found
    drafts: list[Draft] = []
    notes = tuple(note.at(unit.where) for note in seam.stayed(now.whole))
    for id, part in told:
        resource = seam.resource(part, unit.entity)
        made = written(unit, resource, destination, decision, trip, id)
        if not isinstance(made, Draft):
            return made
        drafts.append(structs.replace(made, sibling=True, notes=(*made.notes, *notes)))
        notes = ()
    return drafts


def _permitted(
    seam: Seam, now: _Named, unit: Unit, destination: str, decision: Decision, trip: Trip
) -> list[tuple[str, Part]] | Reject:
    """Return the siblings as a permit lets them be told.

    What is redacted remembers nothing, so each item is tagged before, to know it again.
    """
    whole, one = _whole(unit), seam.plan.one
    items = list(whole.get(one) or ())
    tagged = {**whole, one: [{**item, "id": f"{_TAG}{n}"} for n, item in enumerate(items)]}
    told = redacted(unit, tagged if items else whole, destination, decision, trip)
    if isinstance(told, Reject):
        return told
    places = {
        item["id"]: index
        for index, part in enumerate(seam.take_apart(tagged).parts if items else ())
        for item in ([] if part.aside else part.items)
    }
    found: dict[int, Part] = {}
    for part in seam.take_apart(told).parts:
        if part.aside:
            continue
        index = places[part.items[0]["id"]] if part.items else 0
        own = tuple(_untagged(item, items) for item in part.items)
        before = found.get(index)
        found[index] = replace(part, items=(*before.items, *own) if before else own)
    return [(now.ids[index], part) for index, part in sorted(found.items())]


def _untagged(item: dict[str, Any], items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return an item with the id that it had before it was tagged."""
    was = items[int(str(item["id"]).removeprefix(_TAG))].get("id")
    bare = {name: value for name, value in item.items() if name != "id"}
    return bare | ({"id": was} if was else {})


# --- siblings that left -------------------------------------------------------------------------


def _left(
    seam: Seam,
    now: _Named,
    before: _Named | None,
    unit: Unit,
    destination: str,
    trip: Trip,
) -> list[tuple[Part, str]]:
    """Return the siblings that a destination has and that are no part of the whole any more."""
    known = known_at(seam, unit.entity, destination, trip.facts.links)
    found = {id: part for id, part in now.aside() if id in known}
    if before is not None:
        here = {*now.ids}
        gone = ((id, p) for id, p in zip(before.ids, before.whole.parts, strict=True))
        found |= {id: seam.closed(p) for id, p in gone if id not in here and id in known}
    return [(part, id) for id, part in found.items()]


def _parting(
    seam: Seam, part: Part, id: str, unit: Unit, destination: str, trip: Trip
) -> tuple[Decision | None, Draft | Hold | Reject | None]:
    """Write a sibling that left, under a decision of its own; None where there is no permit."""
    resource = seam.resource(part, unit.entity)
    alone = structs.replace(unit, canonical=resource, decisions={}, written=None, extended=True)
    decision = None
    if trip.project.guarded(resource):
        decision = decision_for(resource, unit.member, destination, trip)
        if not decision.permitted:
            return decision, None
    told = redacted(alone, resource, destination, decision, trip)
    if isinstance(told, Reject):
        return decision, None
    made = written(alone, told, destination, decision, trip, id)
    if isinstance(made, Draft):
        made = structs.replace(made, sibling=True, parting=True)
    return decision, made


def parting_draft(
    unit: Unit, destination: str, link: str, trip: Trip
) -> tuple[Decision | None, Draft | None]:
    """Write one sibling that left a whole again, with the decision about it as things stand."""
    seam = trip.project.siblings[destination, unit.type]
    now = _named(seam, _whole(unit), unit, destination, trip)
    before = _before(seam, unit, destination, trip)
    for part, id in _left(seam, now, before, unit, destination, trip):
        if link == f"{unit.type}/{id}":
            decision, made = _parting(seam, part, id, unit, destination, trip)
            return decision, made if isinstance(made, Draft) else None
    return None, None


# --- siblings that are there already ------------------------------------------------------------


def _told_before(
    seam: Seam, before: _Named, unit: Unit, destination: str, trip: Trip
) -> dict[str, Resource]:
    """Return what the version on record says to the destination, by the sibling's id."""
    alone = structs.replace(unit, written=None, extended=True)
    known = known_at(seam, unit.entity, destination, trip.facts.links)
    found: dict[str, Resource] = {}
    for id, part in zip(before.ids, before.whole.parts, strict=True):
        if id in known:
            made = written(alone, seam.resource(part, unit.entity), destination, None, trip, id)
            if isinstance(made, Draft):
                found[id] = made.resource
    return found


def _settled(
    drafts: list[Draft], before: dict[str, Resource], unit: Unit, trip: Trip
) -> list[Draft]:
    same = [before.get(str(draft.resource["id"])) == draft.resource for draft in drafts]
    if all(same):
        return drafts
    return [
        structs.replace(draft, settled=is_same) for draft, is_same in zip(drafts, same, strict=True)
    ]


def chosen(drafts: Sequence[Draft], link: str) -> Draft | None:
    """Return the draft of one sibling."""
    return next((draft for draft in drafts if draft.link == link), None)
