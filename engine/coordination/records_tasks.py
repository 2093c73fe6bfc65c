"""A records request as a Task (HRex and CDex data request): written, read and moved on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.clock import after, instant
from engine.coordination.records_states import STATES, Stage
from engine.fhir.dates import END, moment
from engine.fhir.references import iter_references
from engine.message import Resource
from engine.rules.own_work import FOLLOW_UP

HREX = "http://hl7.org/fhir/us/davinci-hrex/CodeSystem/hrex-temp"
CDEX = "http://hl7.org/fhir/us/davinci-cdex/CodeSystem/cdex-temp"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
REQUEST = "https://carelane.example/fhir/records-request"
"""The identifier system of the requests that the engine writes."""
BUSINESS = FOLLOW_UP
"""The code system of Task.businessStatus: `overdue` and `reviewed`."""
WITHDRAWN = "consent-withdrawn"
"""Why a request is on hold here that no consent covers any more (Task.statusReason)."""
OWN_CATEGORY_SYSTEM = "https://carelane.example/fhir/CodeSystem/request-category"

_DA_VINCI = "http://hl7.org/fhir/us/davinci-"
_REQUESTS = frozenset(
    {
        "data-request",
        "data-request-code",
        "data-request-query",
        "data-request-questionnaire",
        "attachment-request-code",
        "attachment-request-questionnaire",
    }
)
_DEFAULT_CODE = {
    "coding": [{"system": "http://loinc.org", "code": "34133-9"}],
    "text": "Summary of care",
}
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say which records are asked for, as CodeableConcepts, and until when (an instant)."""

    due: str
    codes: Sequence[Mapping[str, Any]] = (_DEFAULT_CODE,)
    purpose: str = "COC"
    priority: str = "routine"


def new_task(
    id: str,
    member: str,
    requester: Mapping[str, Any],
    owner: Mapping[str, Any],
    wanted: Wanted,
    *,
    at: str,
    group: str,
    based_on: str | None = None,
) -> Resource:
    """Return a data request in canonical form.

    `requester` and `owner` are References to organizations, `group` joins the requests of one ask,
    `based_on` refers to the CommunicationRequest that it carries out. The due date stands in
    Task.restriction.period, as CDex has it.
    """
    task: Resource = {
        "resourceType": "Task",
        "id": id,
        "identifier": [{"system": REQUEST, "value": id}],
        "groupIdentifier": {"system": REQUEST, "value": group},
        "status": "requested",
        "intent": "order",
        "priority": wanted.priority,
        "code": {
            "coding": [
                {"system": HREX, "code": "data-request"},
                {"system": CDEX, "code": "data-request-code"},
            ]
        },
        "for": {"reference": f"Patient/{member}"},
        "authoredOn": at,
        "lastModified": at,
        "requester": dict(requester),
        "owner": dict(owner),
        "restriction": {"period": {"end": wanted.due}},
        "input": [
            *({"type": _concept(HREX, "data-code"), "valueCodeableConcept": dict(code)}
              for code in wanted.codes),
            {
                "type": _concept(CDEX, "purpose-of-use"),
                "valueCodeableConcept": _concept(ACT_REASON, wanted.purpose),
            },
        ],
    }  # fmt: skip
    return task | ({"basedOn": [{"reference": based_on}]} if based_on else {})


def new_communication_request(id: str, task: Resource) -> Resource:
    """Return the same request as a CommunicationRequest, for a system that takes no Tasks."""
    asked = [entry["valueCodeableConcept"] for entry in task["input"][:-1]]
    said = [concept.get("text") or concept["coding"][0]["code"] for concept in asked]
    return {
        "resourceType": "CommunicationRequest",
        "id": id,
        "identifier": [{"system": REQUEST, "value": id}],
        "groupIdentifier": task["groupIdentifier"],
        "status": "active",
        "category": [_concept(OWN_CATEGORY_SYSTEM, "records-request")],
        "priority": task["priority"],
        "subject": task["for"],
        "payload": [{"contentString": f"Please send these records: {text}"} for text in said],
        "occurrencePeriod": task["restriction"]["period"],
        "authoredOn": task["authoredOn"],
        "requester": task["requester"],
        "sender": task["owner"],
    }


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def is_request(resource: Resource) -> bool:
    """Tell whether a resource is a data or attachment request of Da Vinci (HRex, CDex, PAS)."""
    return resource["resourceType"] == "Task" and any(
        str(coding.get("system", "")).startswith(_DA_VINCI) and coding.get("code") in _REQUESTS
        for coding in _codings(resource.get("code"))
    )


def _codings(concept: Any) -> Iterable[Mapping[str, Any]]:
    listed = concept.get("coding", ()) if isinstance(concept, Mapping) else ()
    return [coding for coding in listed if isinstance(coding, Mapping)]


def stage_of(task: Resource) -> Stage:
    """Return where a request stands."""
    stage = STATES[task["status"]].stage
    if stage in ("answered", "refused") and business_of(task) == "reviewed":
        return "reviewed"
    return stage


def business_of(task: Resource) -> str | None:
    """Return our own business status of a request (`overdue`, `reviewed`), if it has one."""
    for coding in _codings(task.get("businessStatus")):
        if coding.get("system") == BUSINESS:
            return str(coding.get("code"))
    return None


def is_held(task: Resource) -> bool:
    """Tell whether a request is on hold because no consent covers it any more."""
    codings = _codings(task.get("statusReason"))
    return any((one.get("system"), one.get("code")) == (BUSINESS, WITHDRAWN) for one in codings)


def due_of(task: Resource, *, since: str, days: int) -> str:
    """Return the instant at which a request is due: the end of its restriction, else `days` later.

    `since` is when the request came. A date without a time includes its whole day, in UTC.
    """
    found = end_of((task.get("restriction") or {}).get("period"))
    return found or after(since, days * 86_400)


def end_of(period: Any) -> str | None:
    """Return the instant at which a Period ends, if it says one that can be read."""
    end = period.get("end") if isinstance(period, Mapping) else None
    covered = moment(end) if isinstance(end, str) else None
    if covered is None or covered[1] >= END:
        return None
    exact = covered[1] - covered[0] == 1
    return instant((covered[0] if exact else covered[1] - 1) / _MICRO)


def with_status(task: Resource, code: str, text: str, *, at: str) -> Resource:
    """Return the request with one of our business statuses."""
    status = {"coding": [{"system": BUSINESS, "code": code}], "text": text}
    return {**task, "businessStatus": status, "lastModified": at}


def without_status(task: Resource) -> Resource:
    """Return the request without a business status."""
    return {name: part for name, part in task.items() if name != "businessStatus"}


def reviewed(task: Resource, by: str, verdict: str, note: str | None, *, at: str) -> Resource:
    """Return the request as reviewed by a person: who, when, and what they found."""
    said = f"Reviewed: {verdict}." + (f" {note}" if note else "")
    noted = {"authorString": by, "time": at, "text": said}
    marked = with_status(task, "reviewed", f"Reviewed: {verdict}", at=at)
    return {**marked, "note": [*task.get("note", ()), noted]}


def answered(task: Resource, reference: str, *, at: str) -> Resource:
    """Return the request as completed, with `reference` (`Type/id`) among what was answered."""
    output = {"type": _concept(HREX, "data-value"), "valueReference": {"reference": reference}}
    changed = without_status(task)
    return {
        **changed,
        "status": "completed",
        "lastModified": at,
        "output": [*task.get("output", ()), output],
    }


def outputs_of(task: Resource) -> tuple[str, ...]:
    """Return the references that a request was answered with."""
    found = (one.get("reference") for _, one in iter_references({
        "resourceType": "Task", "output": task.get("output", [])
    }))  # fmt: skip
    return tuple(reference for reference in found if isinstance(reference, str))
