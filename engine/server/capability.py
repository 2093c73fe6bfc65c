"""What this server can do: the CapabilityStatement of GET /fhir/metadata."""

from __future__ import annotations

from engine import __version__
from engine.message import Resource
from engine.project import Project
from engine.subscriptions.asked import PROFILE
from engine.subscriptions.topics import IG, TOPICS

_SEARCH = (("_id", "token"), ("identifier", "token"), ("patient", "reference"), ("status", "token"))
_ALWAYS = ("CareTeam", "Consent", "CarePlan", "Communication")


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
                "resource": [*(_resource(name) for name in sorted(types)), _subscription()],
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
        "versioning": "versioned",
        "updateCreate": True,
        "searchParam": [{"name": name, "type": kind} for name, kind in _SEARCH],
    }
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
