"""Codes of required bindings that the models of fhir.resources leave out or cut short."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OBSERVATION = _codes(
    "registered preliminary final amended corrected cancelled entered-in-error unknown"
)
_COMPARATOR = _codes("< <= >= >")
_WHEN = _codes(
    "MORN MORN.early MORN.late NOON AFT AFT.early AFT.late EVE EVE.early EVE.late NIGHT PHS HS "
    "WAKE C CM CD CV AC ACM ACD ACV PC PCM PCD PCV"
)
_CONTRACT = _codes(
    "amended appended cancelled disputed entered-in-error executable executed negotiable offered "
    "policy rejected renewed revoked resolved terminated"
)
_ISSUE = _codes(
    "invalid structure required value invariant security login unknown expired forbidden "
    "suppressed processing not-supported duplicate multiple-matches not-found deleted too-long "
    "code-invalid extension too-costly business-rule conflict transient lock-error no-store "
    "exception timeout incomplete throttled informational"
)
_TRANSFORM = _codes(
    "create copy truncate escape cast append translate reference dateOp uuid pointer evaluate cc "
    "c qty id cp"
)
_TASK = _codes(
    "draft requested received accepted rejected ready cancelled in-progress on-hold failed "
    "completed entered-in-error"
)
_SUPPLY = _codes("draft active suspended cancelled completed entered-in-error unknown")
_ITEM = _codes(
    "group display question boolean decimal integer date dateTime time string text url attachment "
    "reference quantity"
)
_QUANTITIES = ("Quantity", "Age", "Count", "Distance", "Duration")

R4: Mapping[str, frozenset[str]] = MappingProxyType(
    {f"{name}.comparator": _COMPARATOR for name in _QUANTITIES}
    | {
        "AuditEvent.action": _codes("C R U D E"),
        "AuditEvent.agent.network.type": _codes("1 2 3 4 5"),
        "AuditEvent.outcome": _codes("0 4 8 12"),
        "Composition.confidentiality": _codes("U L M N R V"),
        "DetectedIssue.status": _OBSERVATION,
        "Device.udiCarrier.entryType": _codes("barcode rfid manual card self-reported unknown"),
        "DeviceUseStatement.status": _codes(
            "active completed entered-in-error intended stopped on-hold"
        ),
        "DiagnosticReport.status": _OBSERVATION | {"partial", "appended"},
        "Encounter.status": _codes(
            "planned arrived triaged in-progress onleave finished cancelled entered-in-error "
            "unknown"
        ),
        "Encounter.statusHistory.status": _codes(
            "planned arrived triaged in-progress onleave finished cancelled entered-in-error "
            "unknown"
        ),
        "Observation.status": _OBSERVATION,
        "OperationOutcome.issue.code": _ISSUE,
        "Questionnaire.item.type": _ITEM | {"choice", "open-choice"},
        "RiskAssessment.status": _OBSERVATION,
        "StructureMap.group.rule.target.transform": _TRANSFORM,
        "SupplyRequest.status": _SUPPLY,
        "Task.status": _TASK,
        "Timing.repeat.when": _WHEN,
    }
)
"""By element path, for R4 (http://hl7.org/fhir/R4/terminologies-valuesets.html)."""

R5: Mapping[str, frozenset[str]] = MappingProxyType(
    {f"{name}.comparator": _COMPARATOR | {"ad"} for name in _QUANTITIES}
    | {
        "AuditEvent.action": _codes("C R U D E"),
        "Contract.contentDefinition.publicationStatus": _CONTRACT,
        "Contract.status": _CONTRACT,
        "DeviceUsage.status": _codes(
            "active completed not-done entered-in-error intended stopped on-hold"
        ),
        "Observation.status": _OBSERVATION,
        "OperationOutcome.issue.code": _ISSUE | {"success", "limited-filter"},
        "Questionnaire.item.type": _ITEM | {"coding"},
        "RiskAssessment.status": _OBSERVATION,
        "ServiceRequest.intent": _codes(
            "proposal plan directive order original-order reflex-order filler-order "
            "instance-order option"
        ),
        "StructureMap.group.rule.target.transform": _TRANSFORM,
        "SupplyRequest.status": _SUPPLY,
        "Task.status": _TASK,
        "Timing.repeat.when": _WHEN | {"IMD"},
    }
)
"""By element path, for R5 (http://hl7.org/fhir/R5/terminologies-valuesets.html)."""


def required_codes(version: str, path: str, listed: list[str] | None) -> frozenset[str] | None:
    """Return the codes that a `code` element may hold, or None where no binding is known.

    `listed` is what the model names; a list that ends in "+" says itself that it is cut short.
    """
    known = (R4 if version == "R4" else R5).get(path)
    if known is not None:
        return known
    if not listed or "+" in listed:
        return None
    return frozenset(listed)
