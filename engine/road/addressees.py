"""Where a request goes: to the systems of its parties only, not wherever the routes would lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from engine.message import Unit
from engine.project import Leg
from engine.road.trip import Trip
from engine.rules.elements import reference_names, references_in

_PARTIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"Task": ("owner", "requester"), "CommunicationRequest": ("sender", "recipient")}
)
_DEPTH = 3


def legs_of(unit: Unit, trip: Trip) -> tuple[Leg, ...]:
    """Return the legs that a unit takes.

    A Task or CommunicationRequest whose parties are organizations that systems speak for goes to
    those systems; any other resource, and a request that names none of them, takes every route.
    What people report about their own work goes to nobody who was not told of it before.
    """
    legs = trip.project.legs(trip.system, unit.type)
    told = trip.facts.own_work.get(f"{unit.type}/{unit.entity}")
    if told is not None:
        return tuple(leg for leg in legs if leg.destination in told)
    parties = _PARTIES.get(unit.type, ())
    if not parties or unit.canonical is None or len(legs) < 2:
        return legs
    named = {name for element in parties for name in _names(unit.canonical.get(element), trip)}
    chosen = tuple(leg for leg in legs if named & _goes_by(leg.destination, trip))
    return chosen or legs


def _goes_by(system: str, trip: Trip) -> set[str]:
    organization = trip.project.organization(system, trip.facts.links)
    return set(reference_names(organization))


def _names(element: Any, trip: Trip, depth: int = _DEPTH) -> Iterator[str]:
    """Yield what parties go by, and the organizations that they act for."""
    for reference in references_in(element):
        for name in reference_names(reference):
            yield name
            role = trip.facts.supporting.get(name) if depth else None
            if role is not None and role.get("resourceType") == "PractitionerRole":
                yield from _names(role.get("organization"), trip, depth - 1)
