"""What is kept for auditors in FHIR: AuditEvent of decisions and disclosures, Provenance of sends.

The AuditEvents follow IHE Basic Audit Log Patterns (BALP): the authorization decision by consent,
and the privacy disclosure as its source and as its recipient record it. They hold references,
codes and addresses, and nothing of the content.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from engine.message import Resource
from engine.rules.consent.codings import ACT_REASON, key_of, listed, mappings
from engine.rules.decision import Decision

BALP = "https://profiles.ihe.net/ITI/BALP"
SOURCE_PROFILE = f"{BALP}/StructureDefinition/IHE.BasicAudit.PrivacyDisclosure.Source"
RECIPIENT_PROFILE = f"{BALP}/StructureDefinition/IHE.BasicAudit.PrivacyDisclosure.Recipient"
DECISION_PROFILE = f"{BALP}/StructureDefinition/IHE.BasicAudit.AuthZconsent"
DIAGNOSTIC = "https://carelane.example/fhir/CodeSystem/diagnostic"

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_ENTITY = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_TYPES = "http://hl7.org/fhir/resource-types"
_LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
_PARTICIPANT = "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type"

Side = Literal["source", "recipient"]


@dataclass(frozen=True, slots=True)
class Engine:
    """Name the engine itself, as the observer of what it records.

    `identifier` is its own (`{"system", "value"}`), `site` what people call the installation.
    """

    identifier: Mapping[str, str]
    site: str | None = None

    def who(self) -> dict[str, Any]:
        """Return the engine as a logical reference."""
        return {"type": "Device", "identifier": dict(self.identifier)}

    def source(self, kind: str) -> dict[str, Any]:
        """Return `AuditEvent.source`; `kind` is a code of security-source-type."""
        site = {"site": self.site} if self.site else {}
        system = "http://terminology.hl7.org/CodeSystem/security-source-type"
        return {**site, "observer": self.who(), "type": [{"system": system, "code": kind}]}


def disclosure_event(
    *,
    id: str,
    at: str,
    engine: Engine,
    resource: Mapping[str, Any],
    patient: Mapping[str, Any],
    sender: Mapping[str, Any],
    recipient: Mapping[str, Any],
    address: str,
    own_address: str,
    purpose: Sequence[Mapping[str, Any]] = (),
    consents: Sequence[str] = (),
    authorizer: Mapping[str, Any] | None = None,
    delivered: bool = True,
    side: Side = "source",
) -> Resource:
    """Return the AuditEvent of one disclosure, sent (`side="source"`) or received.

    `resource` is a Reference to what was sent, `patient`, `sender`, `recipient` and `authorizer`
    (the member, or who signed) are References; `address` is where the other side was reached,
    `own_address` where the engine answers (URL, host name or IP). `consents` are the Consents that
    the permit rests on. (IHE BALP, AuditPrivacyDisclosureSource and ...Recipient.)
    """
    sending = side == "source"
    ours, theirs = _network(own_address), _network(address)
    agents = [
        _agent(
            _coded(_DCM, "110153"), engine.who() if sending else sender, ours if sending else theirs
        ),
        _agent(
            _coded(_DCM, "110152"),
            recipient if sending else engine.who(),
            theirs if sending else ours,
        ),
        _agent(
            _coded("http://snomed.info/sct", "159541003"), sender if sending else recipient, None
        ),
    ]
    if authorizer:
        agents.append(_agent(_coded("http://snomed.info/sct", "429577009"), authorizer, None))
    told = {"what": _bare(resource), "type": {"system": _ENTITY, "code": "2"}}
    return {
        "resourceType": "AuditEvent",
        "id": id,
        "meta": {"profile": [SOURCE_PROFILE if sending else RECIPIENT_PROFILE]},
        "type": {"system": _DCM, "code": "110106" if sending else "110107"},
        "subtype": [{"system": _LIFECYCLE, "code": "disclose"}],
        "action": "R" if sending else "C",
        "recorded": at,
        "outcome": "0" if delivered else "4",
        **_purpose("purposeOfEvent", purpose),
        "agent": agents,
        "source": engine.source("4"),
        "entity": [
            _patient(patient),
            {**told, "role": {"system": _ROLE, "code": "3"}},
            *_consents(consents),
        ],
    }


def decision_event(
    *,
    id: str,
    engine: Engine,
    decision: Decision,
    request: Mapping[str, Any],
    resource: Mapping[str, Any] | None = None,
    client: Mapping[str, Any] | None = None,
    address: str = "localhost",
) -> Resource:
    """Return the AuditEvent of one consent decision, permit or not.

    `request` is the question as it was asked; `resource` a Reference to what it was about;
    `client` the system that asked, at `address`. Where no consent was there to decide by, the
    event cannot name one and claims no BALP profile. (IHE BALP, AuthZconsent.)
    """
    permitted = decision.permitted
    consents = basis_of(decision) or list(dict.fromkeys(decision.consents))
    recipients = [dict(one) for one in mappings(request.get("recipient"))]
    asked = client or next(iter(mappings(request.get("sender"))), {})
    event: Resource = {
        "resourceType": "AuditEvent",
        "id": id,
        "type": {"system": _DCM, "code": "110113"},
        "subtype": [{"system": f"{BALP}/CodeSystem/AuthZsubType", "code": "AuthZ-Consent"}],
        "action": "E",
        "recorded": decision.at,
        "outcome": "0" if permitted else "8",
        "outcomeDesc": decision.decision if permitted else decision.code or decision.decision,
        **_purpose("purposeOfEvent", mappings(request.get("purpose"))),
        "agent": [
            _agent(_coded(_DCM, "110150"), asked, _network(address)),
            *_recipients(recipients, request),
            _agent(
                _coded(
                    "http://terminology.hl7.org/CodeSystem/extra-security-role-type", "authserver"
                ),
                engine.who(),
                None,
            ),
        ],
        "source": engine.source("6"),
        "entity": [
            *([_patient(request["patient"])] if request.get("patient") else []),
            *_consents(consents),
        ],
    }
    if consents and request.get("patient") and recipients:
        meta = {"profile": [DECISION_PROFILE]}
        event = {"resourceType": "AuditEvent", "id": id, "meta": meta, **event}
    if resource:
        event["extension"] = [{"url": ABOUT_EXTENSION, "valueReference": _bare(resource)}]
    return event


ABOUT_EXTENSION = "https://carelane.example/fhir/StructureDefinition/decision-about"
"""What a decision was about: BALP closes the entities of a decision, so it stands beside them."""


def provenance(
    *,
    id: str,
    at: str,
    engine: Engine,
    target: Mapping[str, Any],
    sender: Mapping[str, Any],
    consents: Sequence[str] = (),
    source: Mapping[str, Any] | None = None,
    policies: Sequence[str] = (),
    redacted: bool = False,
) -> Resource:
    """Return the Provenance of what was sent, naming each Consent it rests on.

    `target` and `source` are References to the resource as sent and as it came (a `revision` of
    it was sent where `redacted`); `policies` are URIs of the policies in force; `consents` go in
    as entities of role `source`, with version.
    """
    entities = [{"role": "source", "what": {"reference": consent}} for consent in consents]
    if source:
        entities.append({"role": "revision" if redacted else "source", "what": _bare(source)})
    return {
        "resourceType": "Provenance",
        "id": id,
        "target": [_bare(target)],
        "recorded": at,
        **({"policy": list(policies)} if policies else {}),
        "activity": _coded(_LIFECYCLE, "transmit"),
        "agent": [
            {
                "type": _coded(_PARTICIPANT, "transmitter"),
                "who": engine.who(),
                "onBehalfOf": _bare(sender),
            }
        ],
        **({"entity": entities} if entities else {}),
    }


def basis_of(decision: Decision) -> list[str]:
    """Return the versioned Consents that a decision rests on, each once, in order."""
    return list(dict.fromkeys(basis.consent for basis in decision.basis))


def _coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def _agent(
    kind: dict[str, Any],
    who: Mapping[str, Any],
    network: dict[str, str] | None,
    *,
    requestor: bool = False,
) -> dict[str, Any]:
    agent = {"type": kind, "who": _bare(who), "requestor": requestor}
    return agent | ({"network": network} if network else {})


def _recipients(
    recipients: Sequence[Mapping[str, Any]], request: Mapping[str, Any]
) -> Iterable[dict[str, Any]]:
    """Yield the user and the user's organization: first and last recipient of the request."""
    if not recipients:
        return
    kind = _coded("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP")
    user = _agent(kind, recipients[0], None, requestor=True)
    yield user | _purpose("purposeOfUse", mappings(request.get("purpose")))
    kind = _coded("http://terminology.hl7.org/CodeSystem/v3-RoleClass", "PROV")
    yield _agent(kind, recipients[-1], None)


def _bare(reference: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Reference without words: literal reference, type and first identifier."""
    out = {name: reference[name] for name in ("reference", "type") if reference.get(name)}
    if identifier := next(mappings(reference.get("identifier")), None):
        kept = {name: identifier[name] for name in ("system", "value") if identifier.get(name)}
        out |= {"identifier": kept} if kept else {}
    return out or {"display": "not stated"}


def _patient(patient: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "what": _bare(patient),
        "type": {"system": _ENTITY, "code": "1"},
        "role": {"system": _ROLE, "code": "1"},
    }


def _consents(consents: Iterable[str]) -> list[dict[str, Any]]:
    return [
        {"what": {"reference": consent}, "type": {"system": _TYPES, "code": "Consent"}}
        for consent in consents
    ]


def _purpose(name: str, purposes: Iterable[Any]) -> dict[str, Any]:
    keys = [key_of(one, ACT_REASON) for purpose in purposes for one in _codings(purpose)]
    found = [_coded(key.system, key.code) for key in keys if key]
    return {name: found} if found else {}


def _codings(purpose: Any) -> Sequence[Any]:
    if isinstance(purpose, Mapping) and "coding" in purpose:
        return listed(purpose["coding"])
    return [purpose]


def _network(address: str) -> dict[str, str]:
    """Return an address with its kind: 1 host name, 2 IP address, 5 URI (network-type)."""
    if "://" in address:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        return {"address": f"{parts.scheme}://{host}{parts.path}", "type": "5"}
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return {"address": address, "type": "1"}
    return {"address": address, "type": "2"}
