"""What this server can do: the CapabilityStatement of GET /fhir/metadata."""

from __future__ import annotations

from engine import __version__
from engine.message import Resource
from engine.project import Project
from engine.rules.consent_consult import HOOK
from engine.subscriptions.asked import PROFILE
from engine.subscriptions.topics import IG, TOPICS

_SEARCH = (("_id", "token"), ("identifier", "token"), ("patient", "reference"), ("status", "token"))
_ALWAYS = ("CareTeam", "Consent", "CarePlan", "Communication")
_AUDITED = {
    "AuditEvent": (
        "Decisions and disclosures, rendered from the ledger; for the operator's system.",
        ("read", "search-type"),
        (("patient", "reference"), ("entity", "reference"), ("date", "date")),
    ),
    "Provenance": (
        "Where each delivery of a target came from, and which Consent it rests on; for the "
        "operator's system.",
        ("search-type",),
        (("target", "reference"),),
    ),
}


def capability(project: Project, base: str, at: str) -> Resource:
    """Return the CapabilityStatement (http://hl7.org/fhir/R4/capabilitystatement.html)."""
    types = dict.fromkeys(_ALWAYS)
    for system in project.config.systems:
        types.update(dict.fromkeys(t for t in project.carried(system) if t != "*"))
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": at,
        "kind": "instance",
        "instantiates": [f"{IG}/CapabilityStatement/backport-subscription-server-r4"],
        "software": {"name": "Carelane", "version": __version__},
        "implementation": {"description": "Carelane integration engine", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "security": {
                    "description": "Each system authenticates by its own bearer token. A "
                    "Communication is refused unless an active Consent covers it."
                },
                "documentation": "CDS Hooks 2.0: GET "
                f"{base.removesuffix('/fhir')}/cds-services lists `{HOOK}`.",
                "resource": [
                    *(_resource(name) for name in sorted(types)),
                    _subscription(),
                    *(_audited(name) for name in _AUDITED if name not in types),
                ],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
                "operation": [
                    {
                        "name": "process-message",
                        "definition": "http://hl7.org/fhir/OperationDefinition/"
                        "MessageHeader-process-message",
                    }
                ],
            }
        ],
    }


def _resource(name: str) -> Resource:
    resource: Resource = {
        "type": name,
        "interaction": [{"code": code} for code in ("read", "create", "update", "search-type")],
        "versioning": "no-version",  # meta.versionId stays as its sender wrote it
        "updateCreate": True,
        "searchParam": [{"name": name, "type": kind} for name, kind in _SEARCH],
    }
    for given, kind in _AUDITED[name][2] if name in _AUDITED else ():
        if given not in dict(_SEARCH):
            resource["searchParam"].append({"name": given, "type": kind})
    if name == "Task":
        resource["searchParam"].append({"name": "business-status", "type": "token"})
    if name == "Patient":
        definition = (
            "https://carelane.example/fhir/OperationDefinition/Patient-coordination-summary"
        )
        operation = {"name": "coordination-summary", "definition": definition}
        resource["operation"] = [operation]
    if name == "Consent":
        definition = "https://carelane.example/fhir/OperationDefinition/Consent-decide"
        resource["operation"] = [{"name": "decide", "definition": definition}]
    return resource


def _audited(name: str) -> Resource:
    """Return what is offered of the record for auditors."""
    about, interactions, search = _AUDITED[name]
    return {
        "type": name,
        "documentation": about,
        "interaction": [{"code": code} for code in interactions],
        "searchParam": [{"name": given, "type": kind} for given, kind in search],
    }


def _subscription() -> Resource:
    """Return what is offered of subscriptions, with the topics that there are."""
    topics = f"{IG}/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
    search = (("_id", "token"), ("status", "token"), ("url", "uri"), ("topic", "string"))
    return {
        "extension": [{"url": topics, "valueCanonical": url} for url in TOPICS],
        "type": "Subscription",
        "supportedProfile": [PROFILE],
        "documentation": "Each system sees its own subscriptions only. Channels: rest-hook.",
        "interaction": [
            {"code": code} for code in ("read", "create", "update", "delete", "search-type")
        ],
        "versioning": "no-version",
        "updateCreate": False,
        "searchParam": [{"name": name, "type": kind} for name, kind in search],
        "operation": [
            {
                "name": name,
                "definition": f"{IG}/OperationDefinition/backport-subscription-{name}",
            }
            for name in ("status", "events")
        ],
    }
