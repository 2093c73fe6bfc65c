"""Who is to be told by a Communication, as they are on record now, and what reaches them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.fhir.dates import moment, overlaps, period
from engine.gather import gather_canonical
from engine.message import Resource
from engine.outreach.method import Party
from engine.outreach.recipients import Addressee, addressee
from engine.project import Project
from engine.road.facts import Facts
from engine.road.identify import member_of
from engine.road.judge import minor
from engine.rules.consent.codings import mappings
from engine.store import Transaction, UnitRow

_MOST = 100
_MOST_PARENTS = 4


def addressees(
    tx: Transaction, project: Project, communication: Resource, unit: UnitRow
) -> list[Addressee]:
    """Return everybody to be told, each once; a team stands for those who belong to it now."""
    facts = gather_canonical(tx, project, communication, at=tx.now)
    served = {row.destination for row in tx.deliveries.of_unit(unit.id)}
    told = _Told(tx, project, communication, facts, served)
    found: dict[str, Addressee] = {}
    for recipient in mappings(communication.get("recipient")):
        via = str(recipient.get("reference") or "")
        for reference in told.meant(via):
            if reference not in found and reference != told.sender and len(found) < _MOST:
                found[reference] = told.person(reference, via)
    return list(found.values())


def addressee_of(
    tx: Transaction, project: Project, communication: Resource, recipient: str, via: str
) -> Addressee:
    """Return one recipient as they are on record now."""
    facts = gather_canonical(tx, project, communication, at=tx.now)
    return _Told(tx, project, communication, facts, set()).person(recipient, via)


class _Told:
    """Hold what is known while the recipients of one Communication are looked up."""

    def __init__(
        self,
        tx: Transaction,
        project: Project,
        communication: Resource,
        facts: Facts,
        served: set[str],
    ) -> None:
        self._tx = tx
        self._project = project
        self._facts = facts
        self._contained: dict[str, Resource] = {
            f"#{one.get('id')}": dict(one) for one in mappings(communication.get("contained"))
        }
        self._systems = {
            reference: name
            for name in project.config.systems
            if name in served
            and (reference := project.organization(name, facts.links).get("reference"))
        }
        self._served = served
        policy = project.policies[-1]
        self._minor = minor(member_of(communication), policy, facts)
        self.sender = (communication.get("sender") or {}).get("reference")

    def meant(self, via: str) -> Iterator[str]:
        """Yield whom an entry of `recipient` means: itself, or the team's present members."""
        team = self._resource(via)
        if team is None or team["resourceType"] != "CareTeam":
            yield via
            return
        now = moment(self._facts.at)
        for one in mappings(team.get("participant")):
            stated = period(one["period"]) if "period" in one else None
            if "period" in one and (not stated or not now or not overlaps(stated, now)):
                continue
            member = (one.get("member") or {}).get("reference")
            if isinstance(member, str) and not member.startswith("CareTeam/"):
                yield member

    def person(self, reference: str, via: str) -> Addressee:
        resource = self._resource(reference)
        if resource is None:
            return Addressee(reference, via, Party(reference.partition("/")[0]))
        employer = self._resource((resource.get("practitioner") or {}).get("reference") or "")
        coordination = self._project.config.coordination
        phone = coordination.media.phone if coordination and coordination.media else None
        found = addressee(
            resource,
            via,
            at=self._facts.at,
            system=self._system(reference, resource),
            languages=phone.languages if phone is not None else (),
            minor=self._minor and resource["resourceType"] == "Patient",
            employer=employer,
        )
        return replace(found, reference=reference)

    def _resource(self, reference: str) -> Resource | None:
        return self._contained.get(reference) or self._facts.supporting.get(reference)

    def _system(self, reference: str, resource: Resource) -> str | None:
        """Return the configured system that serves a recipient and is sent the resource."""
        kind = resource["resourceType"]
        if kind == "Organization":
            return self._of_organization(reference)
        if kind == "PractitionerRole":
            return self._of_organization((resource.get("organization") or {}).get("reference"))
        if kind == "Practitioner" and (row := self._tx.resources.get(kind, str(resource["id"]))):
            return row.system if row.system in self._served else None
        return None

    def _of_organization(self, reference: str | None) -> str | None:
        for _ in range(_MOST_PARENTS):
            if reference is None or reference in self._systems:
                break
            parent = (self._resource(reference) or {}).get("partOf") or {}
            reference = parent.get("reference")
        return self._systems.get(reference) if reference is not None else None
