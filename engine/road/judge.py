"""The stage of the rules: without a permit for every destination, a guarded resource stops."""

from __future__ import annotations

from msgspec.structs import replace

from engine.message import Next, Outcome, Reject, Resource, Unit
from engine.road.addressees import legs_of
from engine.road.facts import Facts
from engine.road.trip import Trip
from engine.rules.consent.policy import Policy
from engine.rules.decision import Decision
from engine.rules.labels import is_minor
from engine.rules.told import Told


def judge(unit: Unit, trip: Trip) -> Outcome:
    """Decide for each destination; one deny refuses the unit, since every recipient must pass.

    What people report about their own work is theirs to report: it stays here where a decision
    denies that it goes further.
    """
    if unit.canonical is None or not trip.project.guarded(unit.canonical):
        return Next(unit)
    legs = legs_of(unit, trip)
    decisions = {
        leg.destination: decision_for(unit.canonical, unit.member, leg.destination, trip)
        for leg in legs
    }
    own = f"{unit.type}/{unit.entity}" in trip.facts.own_work
    for destination, decision in decisions.items():
        if decision.decision != "permit" and not own:
            problem = decision.diagnostic().at(unit.where)
            record = decision.record(destination)
            return Reject(replace(unit, refusal=record, decisions=decisions), 403, (problem,))
    return Next(replace(unit, decisions=decisions))


def decision_for(canonical: Resource, member: str | None, destination: str, trip: Trip) -> Decision:
    """Decide whether a canonical resource may go to one destination at the instant of the facts."""
    project, facts = trip.project, trip.facts
    leg = project.leg(trip.system, canonical["resourceType"], destination)
    consents = [
        project.compiled(consent, leg.policy) for consent in facts.consents.get(member or "", ())
    ]
    return project.answers.answer(
        told_of(canonical, member, leg.policy, trip),
        consents,
        project.directory(facts.supporting, facts.at, leg.policy),
        sender_system=project.organization(trip.system, facts.links),
        recipient_systems=[project.organization(destination, facts.links)],
        purpose=leg.purpose,
        at=facts.at,
        policy=leg.policy,
    )


def told_of(canonical: Resource, member: str | None, policy: Policy, trip: Trip) -> Told:
    """Return what a resource tells, labelled for the age that its member has under a policy."""
    return trip.told(canonical, minor(member, policy, trip.facts))


def minor(member: str | None, policy: Policy, facts: Facts) -> bool:
    """Tell whether the member is a minor now: their confidential services have own labels."""
    patient = facts.supporting.get(f"Patient/{member}")
    return patient is not None and is_minor(patient, facts.at, policy.majority_age, policy.zone)
