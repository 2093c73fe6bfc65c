"""Communication.status, medium, sent and received, kept true while its recipients are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from engine.coordination.outreach_id import plan_key, task_id
from engine.fhir.json import dumps, loads
from engine.message import Resource
from engine.outreach.recipients import DISPLAYS, MODES, PARTICIPATION_MODE
from engine.store import DeliveryRow, TimerRow, Transaction

Standing = Literal["told", "open", "held", "failed", "unreachable"]
"""How one recipient stands: `unreachable` where no medium could be tried at all."""

REASON_SYSTEM = "http://terminology.hl7.org/CodeSystem/communication-not-done-reason"
NOT_REACHED = "Not every recipient could be reached by a medium that is allowed."
"""The words of the statusReason that the engine gives."""

_FINAL = ("completed", "stopped", "not-done", "entered-in-error")
_ENDED_TASKS = ("failed", "rejected", "cancelled", "entered-in-error")
_BY_PEOPLE = ("phone", "meeting")


def settle(
    tx: Transaction,
    timer: TimerRow,
    *,
    begun: bool = False,
    holding: str | None = None,
) -> None:
    """Write a new version of a planned Communication where the record is no longer true of it.

    `holding` is a delivery that this transaction is about to hold. Where its content has another
    plan by now, what becomes of the one before says nothing of it.
    """
    id = timer.key.split(" ")[1]
    row = tx.resources.get("Communication", id)
    if row is None or row.deleted:
        return
    before = loads(row.body)
    latest = tx.timers.get(plan_key(before))
    if latest is not None and latest.key != timer.key:
        return
    after = _true_of(tx, timer, before, begun, holding)
    if after == before:
        return
    version = tx.resources.put(
        "Communication", id, dumps(after), member=row.member, system=row.system
    )
    unit = tx.units.get(timer.body["unit"])
    body = {"resource": f"Communication/{id}/_history/{version}", "status": after["status"]}
    message = unit.message_id if unit is not None else None
    tx.audit.append("outreach.recorded", body, message=message, unit=timer.body["unit"])


def _true_of(
    tx: Transaction, timer: TimerRow, before: Resource, begun: bool, holding: str | None
) -> Resource:
    if before.get("status") == "entered-in-error":
        return before
    chains = [_Chain(tx, timer, entry, holding) for entry in timer.body["plan"]]
    standings = [chain.standing() for chain in chains]
    after = dict(before)
    if media := _media(before, chains):
        after["medium"] = media
    if instants := sorted(at for chain in chains for at in chain.told_at()):
        after.setdefault("sent", instants[0])
    received = [min(chain.received_at(), default="") for chain in chains]
    if received and all(received):
        after.setdefault("received", max(received))
    if before.get("status") not in _FINAL or _is_ours(before):
        _with_status(after, standings)
    return after


def _is_ours(communication: Resource) -> bool:
    reason = communication.get("statusReason")
    return isinstance(reason, dict) and reason.get("text") == NOT_REACHED


def is_ended(communication: Resource) -> bool:
    """Tell whether its source took a Communication back, so that nobody is to be told any more."""
    status = communication.get("status")
    return status == "entered-in-error" or (
        status in ("stopped", "not-done") and not _is_ours(communication)
    )


def _with_status(after: Resource, standings: list[Standing]) -> None:
    status = status_of(standings)
    after["status"] = status
    if status in ("stopped", "not-done"):
        tried = any(standing != "unreachable" for standing in standings)
        code = "system-error" if tried else "recipient-unavailable"
        coding = {"system": REASON_SYSTEM, "code": code}
        after["statusReason"] = {"coding": [coding], "text": NOT_REACHED}
    elif _is_ours(after):
        del after["statusReason"]


def status_of(standings: list[Standing]) -> str:
    """Return the Communication.status that the standings of all recipients amount to.

    `stopped` is what began and cannot be completed, `not-done` what could not even begin
    (http://hl7.org/fhir/R4/valueset-event-status.html).
    """
    if not standings or "open" in standings:
        return "in-progress"
    if "held" in standings:
        return "on-hold"
    if all(standing == "told" for standing in standings):
        return "completed"
    return "not-done" if all(one == "unreachable" for one in standings) else "stopped"


class _Chain:
    """Hold the deliveries that were to reach one recipient, one medium after the other."""

    def __init__(
        self, tx: Transaction, timer: TimerRow, entry: Mapping[str, Any], holding: str | None
    ) -> None:
        self._tx = tx
        self._holding = holding
        systems = {way["address"] for way in entry["ways"] if way["medium"] == "fhir"}
        self._first_is_fhir = bool(entry["ways"]) and entry["ways"][0]["medium"] == "fhir"
        self.rows = [
            row
            for row in tx.deliveries.of_unit(timer.body["unit"])
            if _reaches(row, entry["recipient"]) or row.destination in systems
        ]

    def standing(self) -> Standing:
        """Return how the recipient stands: told by any medium, else as the last one tried."""
        if not self.rows:
            return "unreachable"
        states = [self._state(row) for row in self.rows]
        for standing in ("open", "told", "held"):
            if standing in states:
                return standing
        return "failed"

    def _state(self, row: DeliveryRow) -> Standing:
        if row.id == self._holding or row.state == "held":
            return "held"
        if row.state in ("waiting", "leased"):
            return "open"
        if row.state != "delivered":
            return "failed"
        task = self._task(row)
        if task is None or task.get("status") == "completed":
            return "told"
        return "failed" if task.get("status") in _ENDED_TASKS else "open"

    def _task(self, row: DeliveryRow) -> Resource | None:
        if _medium(row) not in _BY_PEOPLE:
            return None
        found = self._tx.resources.get("Task", task_id(row.idempotency_key))
        return loads(found.body) if found is not None else {}

    def told_at(self) -> Iterator[str]:
        for row in self.rows:
            if self._state(row) == "told":
                yield self._instant(row)

    def received_at(self) -> Iterator[str]:
        """Yield when it was surely received: taken by a system, or said to a person."""
        for row in self.rows:
            if self._state(row) == "told" and _medium(row) in ("fhir", *_BY_PEOPLE):
                yield self._instant(row)

    def _instant(self, row: DeliveryRow) -> str:
        task = self._task(row) or {}
        done = (task.get("executionPeriod") or {}).get("end") or task.get("lastModified")
        return str(done or row.changed)

    def media(self) -> Iterator[str]:
        yield from (["fhir"] if self._first_is_fhir else [])
        for row in self.rows:
            if _medium(row) != "fhir":
                yield _medium(row)


def _reaches(row: DeliveryRow, recipient: str) -> bool:
    return bool(row.envelope.get("outreach", {}).get("recipient") == recipient)


def _medium(row: DeliveryRow) -> str:
    return str(row.envelope.get("outreach", {}).get("medium", "fhir"))


def _media(before: Resource, chains: list[_Chain]) -> list[Any]:
    """Return Communication.medium with the media that were chosen beside those stated."""
    concepts = list(before.get("medium") or ())
    known = {coding.get("code") for concept in concepts for coding in concept.get("coding") or ()}
    for medium in dict.fromkeys(one for chain in chains for one in chain.media()):
        code = MODES[medium]
        if code not in known:
            coding = {"system": PARTICIPATION_MODE, "code": code, "display": DISPLAYS[code]}
            concepts.append({"coding": [coding]})
            known.add(code)
    return concepts
