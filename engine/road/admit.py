"""The first stage: a type that no route carries stops here, or is kept without passing on."""

from __future__ import annotations

from engine.diagnostics import Diagnostic
from engine.message import Next, Outcome, Reject, Unit
from engine.road.trip import Trip


def admit(unit: Unit, trip: Trip) -> Outcome:
    """Let a unit pass that some route carries, or that the configuration says to record."""
    if trip.project.legs(trip.system, unit.type) or trip.project.config.unrouted == "record":
        return Next(unit)
    carried = ", ".join(trip.project.carried(trip.system)) or "nothing"
    problem = Diagnostic(
        "R002",
        f"No route carries {unit.type} from {trip.system}.",
        path=unit.where,
        expected=carried,
        remedy="ask the operator to add the type to a route, or leave it out.",
    )
    return Reject(unit, 422, (problem,))
