"""The answer to a message: a message Bundle whose MessageHeader says how the request fared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.diagnostics import Diagnostic, operation_outcome
from engine.message import Hold, Next, Outcome, Reject, Resource
from engine.road.entries import Answer


def message_reply(header: Resource, outcomes: Iterable[Outcome], message_id: str) -> Answer:
    """Return the reply of `$process-message` (http://hl7.org/fhir/R4/messaging.html).

    `ok` where everything was accepted, `fatal-error` where an entry was refused: sending the same
    again would not help. What was said of each entry stands in one OperationOutcome.
    """
    listed = list(outcomes)
    refused = any(isinstance(outcome, Reject) for outcome in listed)
    details = f"urn:uuid:{_uuid(message_id, 1)}"
    answer: dict[str, Any] = {
        "resourceType": "MessageHeader",
        "id": message_id,
        **{name: header[name] for name in ("eventCoding", "eventUri") if name in header},
        "source": {"name": "Carelane", "endpoint": "urn:carelane"},
        "response": {
            "identifier": header.get("id", message_id),
            "code": "fatal-error" if refused else "ok",
            "details": {"reference": details},
        },
    }
    outcome = {**operation_outcome(_said(listed)), "id": _uuid(message_id, 1)}
    entries = [
        {"fullUrl": f"urn:uuid:{_uuid(message_id, 0)}", "resource": answer},
        {"fullUrl": details, "resource": outcome},
    ]
    bundle: Resource = {"resourceType": "Bundle", "id": message_id, "type": "message"}
    return Answer(200, {**bundle, "entry": entries})


def _said(outcomes: Iterable[Outcome]) -> Iterable[Diagnostic]:
    for outcome in outcomes:
        match outcome:
            case Hold(diagnostics=diagnostics) | Reject(diagnostics=diagnostics):
                yield from diagnostics
            case Next():
                pass


def _uuid(message_id: str, place: int) -> str:
    """Return an id of the entry that depends only on the message."""
    return f"{message_id[:-1]}{place}"
