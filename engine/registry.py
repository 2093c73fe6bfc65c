"""The consent registry as people ask about it: what is in force, what a revocation would stop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from msgspec.structs import replace

from engine.clock import after
from engine.fhir.dates import BEGINNING, END, Interval, moment
from engine.fhir.json import loads
from engine.gather import gather_canonical, renamed
from engine.message import Resource
from engine.project import Project
from engine.road.facts import Facts
from engine.road.identify import member_of
from engine.road.judge import decision_for
from engine.road.provisional import PROVISIONAL
from engine.road.trip import Trip
from engine.rules.consent.compile import CompiledConsent, Provision
from engine.rules.consent.explain import words_of
from engine.rules.consent.parties import Name
from engine.rules.consent.question import read_question
from engine.rules.consent.standing import Standing, standings
from engine.store import DeliveryRow, Transaction
from engine.transform.crosswalk import identifier_key, literal, reference_key

DAYS = 30
_DAY = 86_400
_MOST = 1000

_STATES = {
    "full": "in force",
    "deny-only": "denies only",
    "refusal": "refusal",
    "none": "not in force",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Hold one provision in words: `start` and `end` as they are stated, None where open."""

    path: str
    effect: str
    recipients: tuple[str, ...]
    senders: tuple[str, ...]
    purposes: tuple[str, ...]
    actions: tuple[str, ...]
    content: str
    start: str | None
    end: str | None
    in_force: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Hold one delivery on its way that would no longer be permitted."""

    delivery: str
    message: str
    resource: str
    destination: str
    state: str
    due: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """Hold one Consent of a member as it stands at an instant.

    `state` is `in force`, `denies only`, `refusal` or `not in force`, with the reason in `why`;
    `until` is the end that is stated; `ends_soon` says why it ends within 30 days, if it does;
    `stops` are the deliveries on their way that its revocation would stop.
    """

    consent: str
    system: str
    recorded: str
    status: str
    state: str
    why: str | None
    signed: str | None
    signed_by: tuple[str, ...]
    until: str | None
    ends_soon: str | None
    rules: tuple[Rule, ...]
    stops: tuple[Stop, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """Hold every Consent of a member, those in force first."""

    member: str
    ids: tuple[str, ...]
    at: str
    agreements: tuple[Agreement, ...]
    waiting: int

    def to_json(self) -> dict[str, Any]:
        """Render as plain data."""
        return asdict(self)


def members_named(tx: Transaction, project: Project, name: str) -> list[str]:
    """Return the members that `name` may mean: canonical ids, one for each.

    `name` is a canonical id, `system|value`, or `system:Type/id` (a system's own reference).
    """
    system, colon, local = name.partition(":")
    found: Iterable[str | None]
    if colon and system in project.config.systems and literal(local):
        found = tx.crosswalk.resolve([reference_key(system, local)]).values()
    elif "|" in name:
        of, _, value = name.rpartition("|")
        key = identifier_key("Patient", {"system": of, "value": value})
        found = tx.crosswalk.resolve([key] if key else []).values()
    else:
        current = tx.crosswalk.current(name.rpartition("/")[2])
        links = tx.crosswalk.find(name) if current is None else ()
        found = [current, *(tx.crosswalk.current(one.entity) for one in links if _patient(one.key))]
    return list(dict.fromkeys(one for one in found if one))


def _patient(key: Any) -> bool:
    return bool(key.type == "Patient")


def overview(tx: Transaction, project: Project, member: str, at: str) -> Overview:
    """Return what the registry holds of a member at an instant (RFC 3339 in UTC)."""
    facts = _facts(tx, project, member, at)
    consents = facts.consents.get(member, ())
    policy = project.policies[-1]
    compiled = [project.compiled(consent, policy) for consent in consents]
    now, then = (_standing(compiled, member, facts, at=t, project=project) for t in _ends(at))
    under_way = _under_way(tx, project, member, at)
    rows = {row.id: row for row in tx.resources.consents(tx.crosswalk.same(member))}
    agreements = [
        _agreement(tx, one, now[one.name], then[one.name], rows[one.resource["id"]], at, under_way)
        for one in compiled
    ]
    agreements.sort(key=lambda one: (list(_STATES.values()).index(one.state), one.consent))
    ids = tx.crosswalk.same(member)
    return Overview(member, ids, at, tuple(agreements), len(under_way))


def _ends(at: str) -> tuple[str, str]:
    return at, after(at, DAYS * _DAY)


def _facts(tx: Transaction, project: Project, member: str, at: str) -> Facts:
    reference = {"reference": f"Patient/{member}"}
    wrapped = {"resourceType": "Communication", "id": "asked", "subject": reference}
    return gather_canonical(tx, project, wrapped, at=at)


def _standing(
    consents: Sequence[CompiledConsent], member: str, facts: Facts, *, at: str, project: Project
) -> dict[str, Standing]:
    request = {"patient": {"reference": f"Patient/{member}"}}
    actors = tuple(facts.supporting.values())
    question = read_question(request, actors, at, project.policies[-1])
    return {one.consent.name: one for one in standings(consents, question)}


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """Hold a delivery that is permitted now, and how it would be decided with other consents."""

    row: DeliveryRow
    canonical: Resource
    trip: Trip

    def stopped_without(self, consent: str) -> bool:
        """Tell whether it would no longer be permitted were this Consent revoked."""
        member = member_of(self.canonical) or ""
        known = self.trip.facts.consents.get(member, ())
        left = [_revoked(one) if one.get("id") == consent else one for one in known]
        facts = replace(self.trip.facts, consents={**self.trip.facts.consents, member: left})
        trip = Trip(self.trip.project, facts, self.trip.system)
        decided = decision_for(self.canonical, member, self.row.destination, trip)
        return not decided.permitted


def _revoked(consent: Resource) -> Resource:
    return {**consent, "status": "inactive", "meta": {}}


def _under_way(tx: Transaction, project: Project, member: str, at: str) -> list[_UnderWay]:
    """Return the guarded deliveries about a member that are on their way under a permit."""
    found = []
    for state in ("waiting", "leased"):
        rows = tx.deliveries.search(state=state, members=tx.crosswalk.same(member), limit=_MOST)
        found += [row for row in rows if row.envelope.get("guarded")]
    under_way = (_read(tx, project, row, at) for row in sorted(found, key=lambda row: row.id))
    return [
        one
        for one in under_way
        if one is not None
        and decision_for(
            one.canonical, member_of(one.canonical), one.row.destination, one.trip
        ).permitted
    ]


def _read(tx: Transaction, project: Project, row: DeliveryRow, at: str) -> _UnderWay | None:
    """Return a delivery as it would be decided; None where it leaves no more as things are."""
    kept = tx.resources.version(row.type, row.envelope["entity"], row.envelope["version"])
    if kept is None or not {row.envelope["source"], row.destination} <= {*project.config.systems}:
        return None
    canonical = renamed(tx, loads(kept.body))
    facts = gather_canonical(tx, project, canonical, at=at)
    return _UnderWay(row, canonical, Trip(project, facts, row.envelope["source"]))


def _agreement(
    tx: Transaction,
    consent: CompiledConsent,
    now: Standing,
    then: Standing,
    row: Any,
    at: str,
    under_way: Sequence[_UnderWay],
) -> Agreement:
    resource = consent.resource
    name = partial(_party, tx)
    instant = moment(at) or (BEGINNING, END)
    rules = tuple(_rules(consent, name, instant))
    state = _STATES[now.mode]
    if state == "in force" and not any(rule.in_force for rule in rules if "." not in rule.path):
        state = "not in force"
    active = state in ("in force", "denies only")
    return Agreement(
        consent=consent.name,
        system=row.system,
        recorded=row.at,
        status=consent.status,
        state=state,
        why=_why(consent, now) if state != "in force" else None,
        signed=resource.get("dateTime"),
        signed_by=tuple(name(one) for one in consent.signers),
        until=_until(resource),
        ends_soon=_soon(consent, now, then, at) if active else None,
        rules=rules,
        stops=_stops(resource["id"], under_way) if active else (),
    )


def _why(consent: CompiledConsent, now: Standing) -> str:
    extensions = consent.resource.get("modifierExtension") or ()
    if any(one.get("url") == PROVISIONAL for one in extensions):
        return "a newer form of it is held and not read whole yet; `carelane ledger list " + (
            "--state held` shows it"
        )
    return now.why or "none of its provisions is in force at this time"


def _until(resource: Mapping[str, Any]) -> str | None:
    """Return the end that is stated, of the Consent or of its root."""
    for stated in (resource.get("period"), (resource.get("provision") or {}).get("period")):
        if isinstance(stated, Mapping) and stated.get("end"):
            return str(stated["end"])
    return None


def _soon(consent: CompiledConsent, now: Standing, then: Standing, at: str) -> str | None:
    """Return why a Consent ends within 30 days, if it does."""
    if then.mode != now.mode:
        return then.why or "it no longer stands as it does now"
    horizon = (moment(after(at, DAYS * _DAY)) or (BEGINNING, END))[0]
    ends = [one[1] for one in (consent.period, *(r.period for r in consent.roots)) if one]
    return "its period ends" if ends and min(ends) <= horizon else None


def _stops(consent: str, under_way: Sequence[_UnderWay]) -> tuple[Stop, ...]:
    return tuple(
        Stop(
            one.row.id,
            one.row.message_id,
            f"{one.row.type}/{one.row.envelope['entity']}",
            one.row.destination,
            one.row.state,
            one.row.due,
        )
        for one in under_way
        if one.stopped_without(consent)
    )


def _rules(consent: CompiledConsent, name: Any, at: Interval) -> Iterator[Rule]:
    base = consent.base or "deny"
    for root in consent.roots:
        yield from _rule(root, root.effect or base, name, at)


def _rule(provision: Provision, effect: str, name: Any, at: Interval) -> Iterator[Rule]:
    stated = provision.stated.get("period") or {}
    period = provision.period or (BEGINNING, END)
    yield Rule(
        path=provision.path,
        effect=effect,
        recipients=tuple(name(actor.name) for actor in provision.recipients),
        senders=tuple(name(actor.name) for actor in provision.senders),
        purposes=tuple(_codes(provision.stated.get("purpose"))),
        actions=tuple(sorted(provision.actions or ())),
        content=words_of(dict(provision.residual)),
        start=stated.get("start"),
        end=stated.get("end"),
        in_force=not provision.unreadable_period and period[0] <= at[0] < period[1],
    )
    inverse = "deny" if effect == "permit" else "permit"
    for child in provision.children:
        yield from _rule(child, child.effect or inverse, name, at)


def _codes(stated: Any) -> Iterator[str]:
    for one in stated if isinstance(stated, list) else [stated]:
        if isinstance(one, Mapping) and one.get("code"):
            yield str(one["code"])


def _party(tx: Transaction, party: Name) -> str:
    """Return a party by its reference; of an organization also its name."""
    found = literal(party.shown)
    if found is None or found.type != "Organization" or found.base is not None:
        return party.shown
    row = tx.resources.get("Organization", found.id)
    known = loads(row.body).get("name") if row else None
    return f"{known} ({party.shown})" if known else party.shown
