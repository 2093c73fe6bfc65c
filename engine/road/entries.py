"""Second on the road: a Bundle or lone resource becomes Units, and their outcomes an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from engine.diagnostics import Diagnostic, Severity, operation_outcome
from engine.fhir.schema import schema
from engine.message import Hold, Next, Outcome, Reject, Resource, Unit

ACCEPTED_BUNDLES = ("transaction", "batch", "collection", "message")
_TYPES = schema("R4").resources | schema("R5").resources
_WHOLE = frozenset({"transaction"})
_REQUEST_URL = re.compile(r"(?P<type>[A-Z][A-Za-z]{2,40})(?:/(?P<id>[A-Za-z0-9\-._]+))?(?:\?.*)?")


class Submission(Struct, frozen=True):
    """Hold what was sent as Units; `refused` are entries that cannot become one.

    `whole` says that all entries stand or fall together; `kind` is the Bundle type, or None for a
    lone resource; `places` counts the entries of the Bundle.
    """

    kind: str | None
    units: tuple[Unit, ...]
    refused: tuple[Reject, ...] = ()
    places: int = 1
    header: Resource | None = None

    @property
    def whole(self) -> bool:
        return self.kind is None or self.kind in _WHOLE


def split(tree: Resource, extended: bool = True) -> Submission | Reject:
    """Split what was sent into Units; a Bundle type that is not carried is refused whole.

    `extended` is false where it is known that no extension stands anywhere in it.
    """
    if tree["resourceType"] != "Bundle":
        type_name = tree["resourceType"]
        return Submission(None, (Unit(0, type_name, type_name, tree, extended=extended),))
    whole = Unit(0, "Bundle", "Bundle", {"resourceType": "Bundle"})
    kind = tree.get("type")
    if kind not in ACCEPTED_BUNDLES:
        return Reject(
            whole,
            422,
            (
                Diagnostic(
                    "R013",
                    "This Bundle type is not accepted.",
                    path="Bundle.type",
                    expected=" | ".join(ACCEPTED_BUNDLES),
                ),
            ),
        )
    entries = tree.get("entry") or []
    if not isinstance(entries, list):
        return Reject(whole, 422, (_entry_problem("Bundle.entry", "Entries must be a list."),))
    outcomes = [_unit(index, entry, kind, extended) for index, entry in enumerate(entries)]
    units = tuple(outcome for outcome in outcomes if isinstance(outcome, Unit))
    header = None
    if kind == "message":
        first = outcomes[0] if outcomes else None
        header = first.source if isinstance(first, Unit) and first.type == "MessageHeader" else None
        if header is None:
            problem = Diagnostic(
                "R015",
                "The first entry of a message Bundle is not a MessageHeader.",
                path="Bundle.entry[0].resource",
                expected="a MessageHeader",
            )
            return Reject(whole, 422, (problem,))
        units = units[1:]
    refused = tuple(outcome for outcome in outcomes if isinstance(outcome, Reject))
    return Submission(kind, units, refused, len(entries), header)


def _unit(index: int, entry: Any, kind: str, extended: bool) -> Unit | Reject:
    where = f"Bundle.entry[{index}]"
    resource = entry.get("resource") if isinstance(entry, dict) else None
    type_name = resource.get("resourceType") if isinstance(resource, dict) else None
    full_url = entry.get("fullUrl") if isinstance(entry, dict) else None
    unit = Unit(
        index,
        f"{where}.resource",
        type_name if isinstance(type_name, str) and type_name in _TYPES else "Resource",
        resource if isinstance(resource, dict) else {},
        full_url if isinstance(full_url, str) else None,
        extended=extended,
    )
    if problem := _shape_problem(where, type_name, full_url) or _request_problem(
        where, entry, unit, kind
    ):
        status = 405 if problem.code == "R003" else 422
        return Reject(unit, status, (problem,))
    if not isinstance(type_name, str):
        return Reject(unit, 422, (_entry_problem(where, "The entry holds no resource."),))
    return unit


def _shape_problem(where: str, type_name: Any, full_url: Any) -> Diagnostic | None:
    if isinstance(type_name, str) and type_name not in _TYPES:
        path = f"{where}.resource.resourceType"
        return _entry_problem(path, "The resourceType names no resource type of FHIR.")
    if full_url is not None and not isinstance(full_url, str):
        return _entry_problem(f"{where}.fullUrl", "The fullUrl of an entry must be text.")
    return None


def _request_problem(where: str, entry: Any, unit: Unit, kind: str) -> Diagnostic | None:
    if kind not in ("transaction", "batch") or not isinstance(entry, dict):
        return None
    request = entry.get("request")
    if not isinstance(request, dict):
        return _entry_problem(f"{where}.request", f"An entry of a {kind} needs a request.")
    method = request.get("method")
    if method not in ("POST", "PUT"):
        return Diagnostic(
            "R003",
            "Only POST and PUT are carried.",
            path=f"{where}.request.method",
            expected="POST | PUT",
        )
    url = request.get("url")
    found = _REQUEST_URL.fullmatch(url) if isinstance(url, str) else None
    if not found or found["type"] != unit.type:
        return _entry_problem(
            f"{where}.request.url", "The request's url does not fit the resource of the entry."
        )
    if method == "PUT" and found["id"] and unit.source.get("id") != found["id"]:
        return _entry_problem(
            f"{where}.request.url", "The id in the request's url is not the id of the resource."
        )
    return None


def _entry_problem(path: str, message: str) -> Diagnostic:
    return Diagnostic("R012", message, path=path)


def transaction_refused(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Refuse every entry where one was refused; those that were fine say why they went along."""
    refusal = Diagnostic("R007", "Another entry of this transaction was refused.")
    return [
        outcome
        if isinstance(outcome, Reject)
        else Reject(outcome.unit, 424, (refusal.at(outcome.unit.where),))
        for outcome in outcomes
    ]


class Answer(Struct, frozen=True):
    """Hold what a sender is told: HTTP status, body and the Location of a lone resource."""

    status: int
    body: Resource
    location: str | None = None
    retry_after: int | None = None


def answer(submission: Submission, outcomes: Sequence[Outcome], message_id: str) -> Answer:
    """Compose the answer: an OperationOutcome, or a response Bundle with one entry for each."""
    if submission.kind is None:
        return _lone(outcomes[0])
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Reject)]
    if submission.whole and refusals:
        first = [refusal for refusal in refusals if refusal.status != 424]
        status = 403 if any(refusal.status == 403 for refusal in first) else 422
        body = operation_outcome(problem for refusal in first for problem in refusal.diagnostics)
        return Answer(status, body)
    by_entry = {outcome.unit.entry: entry_response(outcome) for outcome in outcomes}
    if submission.header is not None:
        by_entry.setdefault(0, {"response": {"status": "200 OK"}})
    kind = "transaction-response" if submission.kind == "transaction" else "batch-response"
    entries = [by_entry[index] for index in sorted(by_entry)]
    bundle: Resource = {"resourceType": "Bundle", "id": message_id, "type": kind}
    return Answer(200, {**bundle, "entry": entries} if entries else bundle)


def _lone(outcome: Outcome) -> Answer:
    entry = entry_response(outcome)["response"]
    return Answer(int(entry["status"][:3]), entry["outcome"], entry.get("location"))


_STATUS_TEXT = {
    201: "201 Created",
    202: "202 Accepted",
    403: "403 Forbidden",
    405: "405 Method Not Allowed",
    409: "409 Conflict",
    422: "422 Unprocessable Entity",
    424: "424 Failed Dependency",
}


def entry_response(outcome: Outcome) -> Resource:
    """Return the `Bundle.entry` that tells what became of one entry."""
    response: dict[str, Any] = {"status": _STATUS_TEXT[_status(outcome)]}
    unit = outcome.unit
    if not isinstance(outcome, Reject) and unit.entity:
        response["location"] = f"{unit.type}/{unit.entity}"
    response["outcome"] = operation_outcome(_said(outcome))
    return {"response": response}


def _status(outcome: Outcome) -> int:
    match outcome:
        case Reject(status=status):
            return status
        case Hold():
            return 202
        case Next():
            return 201


def _said(outcome: Outcome) -> tuple[Diagnostic, ...]:
    match outcome:
        case Reject(diagnostics=diagnostics):
            return diagnostics
        case Hold(unit=unit, diagnostics=diagnostics):
            held = Diagnostic(
                "R010", "The resource is held.", Severity.INFORMATION, path=unit.where
            )
            return (held, *(_softened(problem) for problem in diagnostics))
        case Next(unit=unit):
            return (Diagnostic("R009", _accepted(unit), Severity.INFORMATION, path=unit.where),)


def _accepted(unit: Unit) -> str:
    if unit.borne is not None:
        return f"The resource was accepted as part of {unit.type}/{unit.entity}."
    if not unit.drafts:
        return "The resource was recorded; no route passes it on."
    destinations = dict.fromkeys(draft.destination for draft in unit.drafts)
    return f"The resource was accepted for {', '.join(destinations)}."


def _softened(problem: Diagnostic) -> Diagnostic:
    return Diagnostic(
        problem.code,
        problem.message,
        Severity.WARNING,
        path=problem.path,
        expected=problem.expected,
        remedy=problem.remedy,
    )
