"""What the engine itself writes: canonical resources that leave over the same road as any other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from engine.coordination import outreach
from engine.fhir.json import dumps, loads
from engine.gather import gather_canonical
from engine.keeping import keep_message, keep_units
from engine.message import Message, Outcome, Resource, Unit
from engine.project import Project
from engine.road.entries import Submission, answer
from engine.road.facts import Facts
from engine.road.identify import member_of
from engine.road.pipeline import Travelled, run_canonical
from engine.road.trip import Trip
from engine.store import Transaction

_ID_LENGTH = 32
_PRODUCED = "produce "
_TO = " -> "
NOBODY = "-"
"""What `to` says where something is put on record and goes to no system."""


@dataclass(frozen=True, slots=True)
class Produced:
    """Hold the ledger's message id of what was produced, and what became of each resource."""

    message: str
    outcomes: Sequence[Outcome]


def produced_id(cause: str, what: str) -> str:
    """Return the canonical id of what `cause` gives rise to: the same at every try."""
    return hashlib.sha256(f"produced|{cause}|{what}".encode()).hexdigest()[:_ID_LENGTH]


def produce(
    tx: Transaction,
    project: Project,
    system: str,
    resources: Sequence[Resource],
    *,
    cause: str,
    to: str | None = None,
) -> Produced:
    """Write canonical resources on behalf of `system`: judged, routed and kept like a submission.

    Every resource needs its id (`produced_id`); references are canonical. `cause` names what gave
    rise to it (a unit, a timer) and stands in the ledger. With `to`, the routes lead to that system
    only (`NOBODY`: nowhere); it never widens them.
    """
    body = dumps(
        {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": resource} for resource in resources],
        }
    )
    message = Message(
        tx.ids.new(),
        system,
        f"{_PRODUCED}{cause}{_TO}{to}" if to else f"{_PRODUCED}{cause}",
        None,
        hashlib.sha256(body).hexdigest(),
        tx.now,
        body,
    )
    units = tuple(_unit(index, resource) for index, resource in enumerate(resources))
    travelled = _travel(tx, project, message, units)
    told = answer(
        Submission("collection", units, places=len(units)), travelled.outcomes, message.id
    )
    keep_message(tx, message, travelled, told, cause)
    keep_units(tx, message, travelled)
    tx.crosswalk.link(dict(travelled.links), source="engine")
    for row in tx.units.of_message(message.id):
        if row.type == "Communication" and row.state in ("accepted", "routed"):
            outreach.plan(tx, project, row)
    return Produced(message.id, travelled.outcomes)


def is_produced(message: Message) -> bool:
    """Tell whether the engine wrote a message itself: its resources are canonical."""
    return message.interaction.startswith(_PRODUCED)


def produce_again(tx: Transaction, project: Project, message: Message, entry: int) -> Travelled:
    """Let one held resource of a produced message travel again, to where it was meant to go."""
    resource = loads(message.body)["entry"][entry]["resource"]
    return _travel(tx, project, message, (_unit(entry, resource),))


def addressed(project: Project, to: str | None) -> Project:
    """Return the project with routes that lead to one system only, where they led there before."""
    if to is None:
        return project
    config = project.config
    routes = tuple(
        replace(route, to=(to,) if {to, "*"} & set(route.to) and to in config.systems else ())
        for route in config.routes
    )
    return replace(project, config=replace(config, routes=routes), _legs={})


def _travel(
    tx: Transaction, project: Project, message: Message, units: Sequence[Unit]
) -> Travelled:
    _, _, to = message.interaction.partition(_TO)
    facts = _facts(tx, project, [unit.source for unit in units])
    return run_canonical(units, Trip(addressed(project, to or None), facts, message.system))


def _unit(index: int, resource: Resource) -> Unit:
    kind = resource["resourceType"]
    return Unit(
        index,
        f"Bundle.entry[{index}].resource",
        kind,
        resource,
        entity=resource["id"],
        member=member_of(resource),
        canonical=resource,
    )


def _facts(tx: Transaction, project: Project, resources: Iterable[Resource]) -> Facts:
    """Read what all of the resources refer to, as one set of facts."""
    facts = Facts(tx.now)
    for resource in resources:
        facts = facts.joined(gather_canonical(tx, project, resource, at=tx.now))
    return facts
