"""The first stage: a type that no route carries stops here, or is kept without passing on."""

from __future__ import annotations

from engine.diagnostics import Diagnostic
from engine.message import Next, Outcome, Reject, Unit
from engine.road.trip import Trip
from engine.rules.own_work import is_own_work


def admit(unit: Unit, trip: Trip) -> Outcome:
    """Let a unit pass that some route carries, or that the configuration says to record.

    The acting system's people may always report about their work: it is recorded.
    """
    config = trip.project.config
    if trip.project.legs(trip.system, unit.type) or config.unrouted == "record":
        return Next(unit)
    acting = config.coordination.acting if config.coordination is not None else None
    if trip.system == acting and is_own_work(unit.source):
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
