"""The second act of the play: what the engine itself does to coordinate, beyond carrying."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


def _faxed(stage: Stage, _: Store) -> bool:
    return any(one.read_bytes().startswith(b"%PDF") for one in stage.faxes.glob("*.pdf"))


def _assigned(code: str) -> Callable[[Stage, Store], bool]:
    """Look for a Task of outreach: `call` or `meeting`, for somebody of the plan."""
    return lambda _, store: any(code in _codes(task) for task in on_record(store, "Task"))


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


SEEN: dict[str, tuple[Seen, ...]] = {
    "12-outreach-to-four": (
        Seen("to the therapists by fax (PDF)", "delivered", "fax folder", _faxed),
        Seen("to the guardian by phone (Task)", "delivered", "call list", _assigned("call")),
        Seen("to the school by meeting (Task)", "delivered", "calendar", _assigned("meeting")),
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
    """Write the page that the operator gets into the stage's folder, once it tells the finding."""
    member = next((one["id"] for one in on_record(store, "Patient")), "")
    response = stage.clients["hub"].get(
        f"/Patient/{member}/$coordination-summary", params={"_format": "html"}
    )
    if response.status_code != httpx.codes.OK or "Different frequency" not in response.text:
        return False
    (stage.folder / "summary.html").write_text(response.text, encoding="utf-8")
    return True
