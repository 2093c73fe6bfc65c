"""The stage of the rules: without a permit for every destination, a guarded resource stops."""

from __future__ import annotations

from dataclasses import replace

from engine.message import Next, Outcome, Reject, Resource, Unit
from engine.road.facts import Facts
from engine.road.trip import Trip
from engine.rules.consent.decide import decide
from engine.rules.consent.policy import Policy
from engine.rules.decision import Decision
from engine.rules.labels import is_minor
from engine.rules.request import request_for


def judge(unit: Unit, trip: Trip) -> Outcome:
    """Decide for each destination; one deny refuses the unit, since every recipient must pass."""
    if unit.canonical is None or not trip.project.guarded(unit.canonical):
        return Next(unit)
    legs = trip.project.legs(trip.system, unit.type)
    decisions = {
        leg.destination: decision_for(unit.canonical, unit.member, leg.destination, trip)
        for leg in legs
    }
    for decision in decisions.values():
        if decision.decision != "permit":
            problem = decision.diagnostic().at(unit.where)
            return Reject(replace(unit, refusal=decision.to_json()), 403, (problem,))
    return Next(replace(unit, decisions=decisions))


def decision_for(canonical: Resource, member: str | None, destination: str, trip: Trip) -> Decision:
    """Decide whether a canonical resource may go to one destination at the instant of the facts."""
    project, facts = trip.project, trip.facts
    leg = project.leg(trip.system, canonical["resourceType"], destination)
    request = request_for(
        canonical,
        sender_system=project.organization(trip.system, facts.links),
        recipient_systems=[project.organization(destination, facts.links)],
        purpose=leg.purpose,
        supporting=facts.told_by(canonical),
        table=project.labels,
        minor=minor(member, leg.policy, facts),
    )
    actors = tuple(facts.supporting.values())
    consents = [
        project.compiled(consent, leg.policy) for consent in facts.consents.get(member or "", ())
    ]
    return decide(request, consents, actors, at=facts.at, policy=leg.policy)


def minor(member: str | None, policy: Policy, facts: Facts) -> bool:
    """Tell whether the member is a minor now: their confidential services have own labels."""
    patient = facts.supporting.get(f"Patient/{member}")
    return patient is not None and is_minor(patient, facts.at, policy.majority_age, policy.zone)
