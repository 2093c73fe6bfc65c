"""May this recipient be told this Communication by a medium, and which words of it."""

from __future__ import annotations

from dataclasses import dataclass

from engine.gather import gather_canonical
from engine.message import Resource
from engine.outreach.recipients import Addressee
from engine.project import Leg, Project
from engine.road.facts import Facts
from engine.road.identify import member_of
from engine.road.judge import minor
from engine.rules.consent.decide import decide
from engine.rules.decision import Decision
from engine.rules.mark import is_notice
from engine.rules.redact import apply
from engine.rules.request import request_for
from engine.store import Transaction

_RESTRICTED = frozenset({"R", "V"})
_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


@dataclass(frozen=True, slots=True)
class Told:
    """Hold the decision and what may be told under it; `words` is None where nothing may be.

    `restricted` is True also where nothing is permitted: unsure is treated as restricted.
    """

    decision: Decision
    words: Resource | None
    restricted: bool
    facts: Facts


def leg_of(project: Project, source: str) -> Leg:
    """Return purpose and policy of what a source tells people: those of its first route."""
    legs = project.legs(source, "Communication")
    return legs[0] if legs else project.leg(source, "Communication", "")


def tell(
    tx: Transaction,
    project: Project,
    communication: Resource,
    who: Addressee,
    source: str,
    *,
    by: str | None = None,
) -> Told:
    """Decide about one recipient now, and carry out the obligations of a permit.

    All recipients of the Communication and the one addressed must be covered; so must be `by`,
    the system whose people carry it out (a call, a meeting), where it is not the source itself.
    """
    facts = gather_canonical(tx, project, communication, at=tx.now)
    leg, member = leg_of(project, source), member_of(communication)
    underage = minor(member, leg.policy, facts)
    told_to = [{"reference": who.reference}]
    if by is not None and by != source:
        told_to.append(project.organization(by, facts.links))
    request = request_for(
        communication,
        sender_system=project.organization(source, facts.links),
        recipient_systems=told_to,
        purpose=leg.purpose,
        supporting=facts.told_by(communication),
        table=project.labels,
        minor=underage,
    )
    consents = [
        project.compiled(consent, leg.policy) for consent in facts.consents.get(member or "", ())
    ]
    decision = decide(
        request, consents, tuple(facts.supporting.values()), at=facts.at, policy=leg.policy
    )
    if decision.decision != "permit" or _leaves_out(decision, who):
        return Told(decision, None, True, facts)
    redaction = apply(
        communication,
        decision.obligations,
        facts.told_by(communication),
        policy=decision.policy,
        table=project.labels,
        minor=underage,
    )
    words = redaction.resource
    return Told(decision, words, words is None or is_restricted(words), facts)


def _leaves_out(decision: Decision, who: Addressee) -> bool:
    return any(
        verdict.dropped and verdict.recipient.get("reference") in (who.reference, who.via)
        for verdict in decision.recipients
    )


def is_restricted(words: Resource) -> bool:
    """Tell whether content is more than normally confidential, or travels under a notice."""
    security = (words.get("meta") or {}).get("security") or ()
    levels = {one.get("code") for one in security if one.get("system") == _CONFIDENTIALITY}
    noticed = any(is_notice(entry) for entry in words.get("payload") or ())
    return bool(levels & _RESTRICTED) or noticed
