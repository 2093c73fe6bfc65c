"""What the engine itself writes: canonical resources that leave over the same road as any other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from engine.fhir.json import dumps
from engine.gather import gather_canonical
from engine.keeping import keep_message, keep_units
from engine.message import Message, Outcome, Resource, Unit
from engine.project import Project
from engine.road.entries import Submission, answer
from engine.road.facts import Facts
from engine.road.identify import member_of
from engine.road.pipeline import run_canonical
from engine.road.trip import Trip
from engine.store import Transaction

_ID_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Produced:
    """Hold the ledger's message id of what was produced, and what became of each resource."""

    message: str
    outcomes: Sequence[Outcome]


def produced_id(cause: str, what: str) -> str:
    """Return the canonical id of what `cause` gives rise to: the same at every try."""
    return hashlib.sha256(f"produced|{cause}|{what}".encode()).hexdigest()[:_ID_LENGTH]


def produce(
    tx: Transaction, project: Project, system: str, resources: Sequence[Resource], *, cause: str
) -> Produced:
    """Write canonical resources on behalf of `system`: judged, routed and kept like a submission.

    Every resource needs its id (`produced_id`); references are canonical. `cause` names what gave
    rise to it (a unit, a timer) and stands in the ledger.
    """
    facts = _facts(tx, project, resources)
    units = tuple(_unit(index, resource) for index, resource in enumerate(resources))
    travelled = run_canonical(units, Trip(project, facts, system))
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
        f"produce {cause}",
        None,
        hashlib.sha256(body).hexdigest(),
        tx.now,
        body,
    )
    told = answer(
        Submission("collection", units, places=len(units)), travelled.outcomes, message.id
    )
    keep_message(tx, message, travelled, told, cause)
    keep_units(tx, message, travelled)
    tx.crosswalk.link(dict(travelled.links), source="engine")
    return Produced(message.id, travelled.outcomes)


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


def _facts(tx: Transaction, project: Project, resources: Sequence[Resource]) -> Facts:
    """Read what all of the resources refer to, as one set of facts."""
    facts = Facts(tx.now)
    for resource in resources:
        facts = facts.joined(gather_canonical(tx, project, resource, at=tx.now))
    return facts
