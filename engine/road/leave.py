"""The last stage: one draft for each destination, or one for each sibling that it keeps."""

from __future__ import annotations

from msgspec.structs import replace

from engine.message import Draft, Hold, Next, Outcome, Reject, Unit
from engine.road.addressees import legs_of
from engine.road.route import draft_for, is_left_out
from engine.road.sibling_drafts import sibling_drafts
from engine.road.trip import Trip
from engine.rules.decision import Decision


def route(unit: Unit, trip: Trip) -> Outcome:
    """Write one draft for every destination that the routes lead to and no decision keeps out."""
    if unit.borne is not None:
        return Next(unit)
    drafts: list[Draft] = []
    left_out = []
    for leg in legs_of(unit, trip):
        decision = unit.decisions.get(leg.destination)
        if decision is not None and not decision.permitted:
            continue
        made = drafts_for(unit, leg.destination, decision, trip)
        if isinstance(made, list):
            drafts += made
        elif decision is not None and is_left_out(decision, leg.destination, trip):
            left_out.append(made)
        else:
            return made
    if left_out and not drafts:
        return left_out[0]
    return Next(replace(unit, drafts=tuple(drafts)))


def drafts_for(
    unit: Unit, destination: str, decision: Decision | None, trip: Trip
) -> list[Draft] | Hold | Reject:
    """Write what goes to one destination: one draft, or as many as it keeps resources of it."""
    if (destination, unit.type) in trip.project.siblings:
        return sibling_drafts(unit, destination, decision, trip)
    made = draft_for(unit, destination, decision, trip)
    return [made] if isinstance(made, Draft) else made
