"""The second act of the play: what the engine itself does to coordinate, beyond carrying."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from typing import Any

import httpx

from engine.errors import CarelaneError
from engine.samples.day import Expected, Outcome
from engine.samples.stage import Stage
from engine.store import Store

REVIEWED = {
    "coding": [
        {
            "system": "https://carelane.example/fhir/CodeSystem/records-request-status",
            "code": "reviewed",
        }
    ]
}
_REQUEST = {"system": "http://prairie.example/request", "value": "5120"}


@dataclass(frozen=True, slots=True)
class Seen:
    """Say what must be seen after a step, and where: `look` tells whether it is there yet."""

    title: str
    outcome: Outcome
    place: str
    look: Callable[[Stage, Store], bool]

    @property
    def expected(self) -> Expected:
        """Return the row of the table."""
        return Expected((), self.title, self.outcome)


def _chosen(_: Stage, store: Store) -> bool:
    """Look for the four choices in the ledger, each of another medium and with its reason."""
    records = store.read(lambda tx: list(tx.audit.records()))
    chosen = [json.loads(one.body) for one in records if one.kind == "outreach.chosen"]
    media = {one["medium"] for one in chosen[-4:] if one["reason"]}
    return media == {"fhir", "fax", "phone", "meeting"}


def _faxed(stage: Stage, _: Store) -> bool:
    return [one.read_bytes()[:5] for one in stage.faxes.glob("*.pdf")] == [b"%PDF-"]


def _to_call(_: Stage, store: Store) -> bool:
    return sum("call" in _codes(task) for task in on_record(store, "Task")) == 1


def _invited(stage: Stage, store: Store) -> bool:
    """Look for the one mail that mail clients offer to accept, and for the owner's Task."""
    mails = [message_from_bytes(one.read_bytes()) for one in stage.mails.glob("*.eml")]
    invitations = [
        part.get_payload(decode=True)
        for mail in mails
        for part in mail.walk()
        if part.get_content_type() == "text/calendar"
    ]
    asked = [b"METHOD:REQUEST" in bytes(one) for one in invitations if isinstance(one, bytes)]
    meetings = sum("meeting" in _codes(task) for task in on_record(store, "Task"))
    return (asked, meetings) == ([True], 1)


def _found(code: str) -> Callable[[Stage, Store], bool]:
    return lambda _, store: any(
        code in _codes(issue) and issue["status"] == "preliminary"
        for issue in on_record(store, "DetectedIssue")
    )


def _asked(stage: Stage, _: Store) -> bool:
    return _request(stage.systems["mercy"].holding("Task")) is not None


def _answered(stage: Stage, _: Store) -> bool:
    task = _request(stage.systems["hub"].holding("Task"))
    return task is not None and task["status"] == "completed"


def _heard(kind: str) -> Callable[[Stage, Store], bool]:
    """Look for a record of the ledger."""
    return lambda _, store: store.read(
        lambda tx: any(one.kind == kind for one in tx.audit.records())
    )


def _notified(_: Stage, store: Store) -> bool:
    """Look for a notice that is on its way to the guardian by telephone."""
    return sum("call" in _codes(task) for task in on_record(store, "Task")) > 1


def _written(stage: Stage, store: Store) -> bool:
    return write_summary(stage, store)


def _told_to_hospital(stage: Stage, _: Store) -> bool:
    """Look for the finding in the summary that the hospital gets, under the release."""
    response = stage.clients["mercy"].get(
        "/Patient/avery/$coordination-summary", params={"_format": "html"}
    )
    return "Different frequency" in response.text


SEEN: dict[str, tuple[Seen, ...]] = {
    "12-outreach-to-four": (
        Seen("Four methods chosen, each with its reason", "recorded", "ledger", _chosen),
        Seen("One fax (PDF), to the therapists", "delivered", "fax folder", _faxed),
        Seen("One phone Task, to tell the guardian", "delivered", "call list", _to_call),
        Seen("One meeting invitation, to the school", "delivered", "mail folder", _invited),
    ),
    "13-request-for-records": (
        Seen("Records requested", "delivered", "hospital", _asked),
        Seen("Records answered", "delivered", "plan", _answered),
        Seen("Records reviewed", "recorded", "ledger", _heard("records.reviewed")),
        Seen("Notice to the guardian", "delivered", "call list", _notified),
    ),
    "15-plan-of-the-plan": (
        Seen("Two plans overlap", "found", "ledger", _found("plan-overlap")),
        Seen("2 a week, 1 a week", "found", "ledger", _found("frequency-disagreement")),
        Seen("Summary on one page", "written", "summary.html", _written),
        Seen("The same to the hospital, under consent", "delivered", "hospital", _told_to_hospital),
    ),
}
"""What is to be seen after a step, by the name of its sample."""


def on_record(store: Store, type_name: str) -> list[dict[str, Any]]:
    """Return the canonical resources of a type."""
    return [
        json.loads(row.body)
        for row in store.read(lambda tx: list(tx.resources.of_type(type_name)))
        if not row.deleted
    ]


def _codes(resource: dict[str, Any]) -> set[str]:
    return {one.get("code", "") for one in resource.get("code", {}).get("coding", ())}


def _request(tasks: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    return next((one for one in tasks if _REQUEST in one.get("identifier", ())), None)


def answer_records(stage: Stage) -> None:
    """Let the hospital complete the request that it got, with the records in its output."""
    task = _request(stage.systems["mercy"].holding("Task"))
    if task is None:
        return
    output = {"type": {"text": "Summary"}, "valueString": "Speaks in two words; hears well."}
    _put(stage, "mercy", {**task, "status": "completed", "output": [output]})


def review_records(stage: Stage) -> None:
    """Let the plan say that it reviewed the answer."""
    task = _request(stage.systems["hub"].holding("Task"))
    if task is not None:
        _put(stage, "hub", {**task, "businessStatus": REVIEWED})


def _put(stage: Stage, sender: str, resource: dict[str, Any]) -> None:
    bare = {name: value for name, value in resource.items() if name != "meta"}
    response = stage.clients[sender].put(
        f"/{bare['resourceType']}/{bare['id']}",
        content=json.dumps(bare).encode(),
        headers={"Content-Type": "application/fhir+json"},
    )
    if response.is_error:
        raise CarelaneError(f"{sender} could not update a Task: {response.text[:400]}")


def write_summary(stage: Stage, store: Store) -> bool:
    """Write what the operator gets into the stage's folder, once it tells the finding."""
    member = next((one["id"] for one in on_record(store, "Patient")), "")
    for form in ("html", "pdf"):
        response = stage.clients["hub"].get(
            f"/Patient/{member}/$coordination-summary", params={"_format": form}
        )
        if response.status_code != httpx.codes.OK:
            return False
        if form == "html" and "Different frequency" not in response.text:
            return False
        (stage.folder / f"summary.{form}").write_bytes(response.content)
    return True
