"""The record as auditors ask for it in FHIR: AuditEvents and Provenance, rendered when asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from engine import ledger
from engine.audit import Record
from engine.audit_event import Engine, decision_event, disclosure_event, provenance
from engine.deciding import ASKED
from engine.fhir.json import loads
from engine.message import Resource
from engine.project import Project
from engine.rules.consent.policy import DEFAULT, Policy
from engine.rules.decision import Basis, Decision
from engine.store import AttemptRow, DecisionRow, DeliveryRow, Transaction, UnitRow
from engine.subscriptions.hooks import PREFIX as NOTIFIED
from engine.transform.crosswalk import literal

_DELIVERED = "delivered"
_REMOVING = frozenset({"redact", "permit-only"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say which events are asked for; what is None does not narrow.

    `member` is a canonical id or anything the crosswalk knows, `entity` a canonical reference
    (`Communication/<id>`), `message` the id of a message; instants are RFC 3339 in UTC; `after`
    is the last decision of the page before, and `limit` counts decisions.
    """

    member: str | None = None
    entity: str | None = None
    message: str | None = None
    since: str | None = None
    until: str | None = None
    after: str = ""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Hold one page of events; `after` asks for the next one, None where there is none."""

    events: tuple[Resource, ...]
    after: str | None


def events(tx: Transaction, project: Project, wanted: Wanted) -> Page:
    """Return the AuditEvents asked for, each decision before the disclosure that rests on it.

    One event for each decision, permit or not, and one for each attempt to send what a consent
    guards. On the last page come the decisions that somebody asked for (`$decide`, CDS Hooks).
    """
    members = ledger.members(tx, wanted.member) if wanted.member is not None else None
    rows = tx.decisions.search(
        members=members,
        resource=wanted.entity,
        message=wanted.message,
        since=wanted.since,
        until=wanted.until,
        after=wanted.after,
        limit=wanted.limit + 1,
    )
    page, more = rows[: wanted.limit], len(rows) > wanted.limit
    writer = _Writer(tx, project)
    found = [event for row in page for event in writer.of_decision(row)]
    if not more and wanted.entity is None and wanted.message is None:
        records = tx.audit.of_kind(ASKED, since=wanted.since, until=wanted.until)
        found += writer.of_asked(records, members)
    return Page(tuple(found), page[-1].id if more else None)


def event(tx: Transaction, project: Project, id: str) -> Resource | None:
    """Return one AuditEvent by its id."""
    decided, _, number = id.rpartition(".")
    row = tx.decisions.get(decided if number.isdigit() and decided else id)
    if row is None:
        return None
    return next((one for one in _Writer(tx, project).of_decision(row) if one["id"] == id), None)


def provenances(tx: Transaction, project: Project, target: str) -> list[Resource]:
    """Return the Provenance of each time a resource (`Communication/<id>`) was delivered.

    Each names the versions of the Consents that the permit rests on.
    """
    writer = _Writer(tx, project)
    rows = tx.decisions.search(resource=target, limit=ledger.MANY)
    made = (writer.provenance(row) for row in rows if row.delivery_id and row.decision == "permit")
    return [one for one in made if one is not None]


class _Writer:
    """Render what is on record about decisions."""

    def __init__(self, tx: Transaction, project: Project) -> None:
        self._tx = tx
        self._project = project
        server = project.config.server
        address = f"http://{server.host}:{server.port}/fhir"
        self._address = address
        self._engine = Engine({"system": "urn:ietf:rfc:3986", "value": address}, "Carelane")

    def of_decision(self, row: DecisionRow) -> Iterator[Resource]:
        """Yield the event of a decision, and of the attempt to send that it let happen."""
        unit = self._tx.units.get(row.unit_id)
        if unit is None:
            return
        source = self._source(unit)
        asked = _asked(row, unit)
        yield decision_event(
            id=row.id,
            engine=self._engine,
            decision=_decision(row),
            request=asked,
            resource=_about(unit),
            client=self._organization(source),
            address=self._base(source),
        )
        found = self._attempt(row)
        if found is not None:
            yield self._disclosure(row, unit, asked, *found)

    def of_asked(
        self, records: Iterable[Record], members: Sequence[str] | None
    ) -> Iterator[Resource]:
        """Yield the event of each decision that somebody asked for."""
        for record in records:
            body = orjson.loads(record.body)
            member = body.get("member")
            if members is not None and member not in members:
                continue
            system = self._organization(record.actor)
            patient = {"patient": {"reference": f"Patient/{member}"}} if member else {}
            yield decision_event(
                id=f"asked-{record.sequence}",
                engine=self._engine,
                decision=_as_asked(record, body),
                request={"sender": system, **patient},
                client=system,
                address=self._base(record.actor),
            )

    def provenance(self, row: DecisionRow) -> Resource | None:
        """Return the Provenance of what a permit at sending let arrive."""
        unit = self._tx.units.get(row.unit_id)
        found = self._attempt(row)
        if unit is None or found is None or found[1].outcome != _DELIVERED:
            return None
        delivery, attempt = found
        obligations = row.body.get("obligations", ())
        return provenance(
            id=row.id,
            at=attempt.ended,
            engine=self._engine,
            target={"reference": f"{self._base(delivery.destination)}/{_sent_as(delivery)}"},
            sender=self._organization(self._source(unit)),
            consents=_basis(row),
            source=_about(unit),
            redacted=any(one.get("type") in _REMOVING for one in obligations),
        )

    def _attempt(self, row: DecisionRow) -> tuple[DeliveryRow, AttemptRow] | None:
        """Return the attempt that a permit at sending let happen, once it has ended."""
        if row.delivery_id is None or row.decision != "permit":
            return None
        delivery = self._tx.deliveries.get(row.delivery_id)
        attempts = self._tx.attempts.of_delivery(row.delivery_id)
        number = row.body.get("attempt")
        made = next((one for one in attempts if one.number == number), None)
        return (delivery, made) if delivery is not None and made is not None else None

    def _disclosure(
        self,
        row: DecisionRow,
        unit: UnitRow,
        asked: Mapping[str, Any],
        delivery: DeliveryRow,
        attempt: AttemptRow,
    ) -> Resource:
        consents = _basis(row)
        return disclosure_event(
            id=f"{row.id}.{attempt.number}",
            at=attempt.ended,
            engine=self._engine,
            resource=_about(unit) or {},
            patient=asked.get("patient") or {},
            sender=self._organization(self._source(unit)),
            recipient=self._organization(delivery.destination),
            address=self._base(delivery.destination),
            own_address=self._address,
            purpose=asked.get("purpose") or (),
            consents=consents,
            authorizer=self._signer(consents),
            delivered=attempt.outcome == _DELIVERED,
        )

    def _signer(self, consents: Sequence[str]) -> Mapping[str, Any] | None:
        """Return who signed the first Consent that a permit rests on."""
        found = literal(consents[0]) if consents else None
        if found is None or not (found.version or "").isdigit():
            return None
        kept = self._tx.resources.version("Consent", found.id, int(found.version or "0"))
        performers = loads(kept.body).get("performer") if kept else None
        return performers[0] if isinstance(performers, list) and performers else None

    def _source(self, unit: UnitRow) -> str:
        message = self._tx.messages.get(unit.message_id)
        return message.system if message else ""

    def _organization(self, system: str) -> dict[str, Any]:
        known = self._project.config.systems.get(system.removeprefix(NOTIFIED))
        if known is None:
            return {"display": system}
        organization = known.organization
        identifier = {"system": organization.system, "value": organization.value}
        return {"type": "Organization", "identifier": identifier}

    def _base(self, system: str) -> str:
        known = self._project.config.systems.get(system.removeprefix(NOTIFIED))
        return known.base_url if known else "unknown.invalid"


def _decision(row: DecisionRow) -> Decision:
    """Return a decision as it was recorded."""
    body = row.body
    policy, _ = Policy.parse(body.get("policy"))
    return Decision(
        row.decision,  # type: ignore[arg-type]
        row.code,
        tuple(body.get("obligations", ())),
        tuple(Basis(**basis) for basis in body.get("basis", ())),
        row.at,
        policy or DEFAULT,
        consents=tuple(ledger.consents(row)),
    )


def _as_asked(record: Record, body: Mapping[str, Any]) -> Decision:
    policy, _ = Policy.parse(body.get("policy"))
    return Decision(
        body["decision"],
        body.get("code"),
        (),
        (),
        record.at,
        policy or DEFAULT,
        consents=tuple(body.get("basis") or body.get("consents") or ()),
    )


def _asked(row: DecisionRow, unit: UnitRow) -> dict[str, Any]:
    """Return who asked whom what for, as the record says."""
    asked = dict(row.body.get("asked") or {})
    patients = asked.pop("patient", None) or []
    if patients:
        asked["patient"] = patients[0]
    elif unit.member:
        asked["patient"] = {"reference": f"Patient/{unit.member}"}
    return asked


def _basis(row: DecisionRow) -> list[str]:
    return list(dict.fromkeys(str(one["consent"]) for one in row.body.get("basis", ())))


def _about(unit: UnitRow) -> dict[str, Any] | None:
    """Return a Reference to the version of what a decision was about."""
    if unit.resource is None:
        return None
    version = f"/_history/{unit.version}" if unit.version else ""
    return {"reference": f"{unit.resource}{version}"}


def _sent_as(delivery: DeliveryRow) -> str:
    return str(delivery.envelope.get("reference") or f"{delivery.type}/{delivery.member}")
