"""The play on its stage: each step is sent, its outcome awaited, and compared with what it must be.

What arrived is asked of the sample systems, not of the engine; only states and reasons are read
from the engine's record.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from engine.samples.bundles import sample
from engine.samples.day import DAY, NOWHERE, Expected, Step
from engine.samples.guide import SEEN, Seen, answer_records, review_records
from engine.samples.stage import TITLES, Stage
from engine.samples.system import Arrival, Outage
from engine.store import Store, UnitRow
from engine.store.rows import DeliveryRow

PATIENCE = 20.0
"""How many seconds to wait for one outcome."""

_UNDER_WAY = ("waiting", "leased")


@dataclass(frozen=True, slots=True)
class Happening:
    """Say what became of some resources of one step, and what should have.

    `message` is the id under which the ledger has the step.
    """

    step: int
    message: str
    sender: str
    expected: Expected
    outcome: str
    why: str
    arrived: str

    @property
    def as_expected(self) -> bool:
        """Tell whether outcome and reason are right, and only what was delivered has arrived."""
        wanted = self.expected
        right = (self.outcome, self.why) == (wanted.outcome, wanted.why)
        return right and (self.arrived == NOWHERE) == (wanted.outcome in ("rejected", "held"))


@dataclass(frozen=True, slots=True)
class _Sent:
    """Hold a step with the message that it became and the codes its entries were refused with."""

    number: int
    step: Step
    message: str
    refusals: dict[int, str]


Told = Callable[[int, Step, int], None]
"""Hear of a step: its number, what was sent, and the HTTP status of the engine's answer."""


def play(
    stage: Stage, store: Store, told: Told = lambda number, step, status: None
) -> list[Happening]:
    """Play the whole day; `told` hears of each step as soon as it is answered."""
    sent, seen = [], list[Happening]()
    for number, step in enumerate(DAY, start=1):
        if step.hub == "goes down":
            stage.systems["hub"].fail(Outage(times=10_000, retry_after=1))
        sent.append(_send(stage, number, step, told))
        if step.hub == "goes down":
            _refused_once(stage)
            continue
        if step.hub == "is back":
            stage.systems["hub"].fail(None)
        _settle(store, [one.message for one in sent])
        seen += _watched(stage, store, sent[-1])
    carried = [happening for one in sent for happening in _happenings(stage, store, one)]
    return sorted([*carried, *seen], key=lambda one: one.step)


def _watched(stage: Stage, store: Store, sent: _Sent) -> Iterator[Happening]:
    """Wait for everything that is to be seen after a step, and let people do their part."""
    for one in SEEN.get(sent.step.sample, ()):
        yield _watch(stage, store, sent, one)
        if one.title == "Records requested":
            answer_records(stage)
        if one.title == "Records answered":
            review_records(stage)


def _watch(stage: Stage, store: Store, sent: _Sent, one: Seen) -> Happening:
    there = _until(lambda: one.look(stage, store))
    outcome, place = (one.outcome, one.place) if there else ("not seen", NOWHERE)
    return Happening(sent.number, sent.message, sent.step.sender, one.expected, outcome, "", place)


def _send(stage: Stage, number: int, step: Step, told: Told) -> _Sent:
    response = stage.send(step.sender, step.target, sample(step.sample))
    told(number, step, response.status_code)
    return _Sent(number, step, response.headers.get("x-message-id", ""), _refusals(response))


def _refusals(response: httpx.Response) -> dict[int, str]:
    """Return the code of each refused entry, by its index; a lone resource is entry 0."""
    body = response.json()
    if body.get("resourceType") != "Bundle":
        return {0: _code(body)} if response.is_error else {}
    answers = [entry.get("response", {}) for entry in body.get("entry", ())]
    return {
        index: _code(answer.get("outcome", {}))
        for index, answer in enumerate(answers)
        if not str(answer.get("status", "")).startswith("2")
    }


def _code(outcome: dict[str, Any]) -> str:
    """Return the first coded detail of an OperationOutcome: what the sender is told."""
    for issue in outcome.get("issue", ()):
        for coding in issue.get("details", {}).get("coding", ()):
            return str(coding.get("code", ""))
    return json.dumps(outcome)[:60]


def _refused_once(stage: Stage) -> None:
    """Wait until the hub has turned the waiting Communication away."""
    hub = stage.systems["hub"]
    _until(lambda: any(one.status == httpx.codes.SERVICE_UNAVAILABLE for one in hub.attempts()))


def _settle(store: Store, messages: Sequence[str]) -> None:
    """Wait until no delivery of these messages is under way."""

    def settled() -> bool:
        rows = store.read(
            lambda tx: [row for message in messages for row in tx.deliveries.of_message(message)]
        )
        return all(row.state not in _UNDER_WAY for row in rows)

    _until(settled)


def _until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not (there := true()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return there


def _happenings(stage: Stage, store: Store, sent: _Sent) -> Iterator[Happening]:
    units, deliveries = store.read(
        lambda tx: (tx.units.of_message(sent.message), tx.deliveries.of_message(sent.message))
    )
    for expected in sent.step.expected:
        mine = [unit for unit in units if unit.type in expected.types]
        results = {_result(stage, sent, unit, deliveries) for unit in mine}
        outcome, why, arrived = _common(results)
        yield Happening(
            sent.number, sent.message, sent.step.sender, expected, outcome, why, arrived
        )


def _common(results: set[tuple[str, str, str]]) -> tuple[str, str, str]:
    """Return the one result that several resources share, or say that they differ."""
    if len(results) == 1:
        return next(iter(results))
    if not results:
        return "not recorded", "", NOWHERE
    outcomes, whys, places = zip(*sorted(results), strict=True)
    joined = [", ".join(sorted(set(filter(None, each)))) for each in (outcomes, whys, places)]
    return joined[0], joined[1], joined[2]


def _result(
    stage: Stage, sent: _Sent, unit: UnitRow, deliveries: Sequence[DeliveryRow]
) -> tuple[str, str, str]:
    """Return outcome, why and where it arrived, for one resource."""
    if unit.state == "rejected":
        return "rejected", sent.refusals.get(unit.entry, ""), NOWHERE
    if unit.state == "held":
        return "held", unit.reason or "", NOWHERE
    mine = [delivery for delivery in deliveries if delivery.unit_id == unit.id]
    if not mine:
        return unit.state, "", NOWHERE
    mine = [delivery for delivery in mine if delivery.destination in TITLES]
    places = [TITLES[one.destination] for one in mine if _arrival(stage, one) is not None]
    states = sorted({one.state for one in mine})
    reasons = sorted({one.reason for one in mine if one.reason and one.state != "delivered"})
    return ", ".join(states), ", ".join(reasons), ", ".join(places) or NOWHERE


def _arrival(stage: Stage, delivery: DeliveryRow) -> Arrival | None:
    """Return the write that a sample system accepted for a delivery, if there was one."""
    for one in stage.systems[delivery.destination].attempts():
        same = one.headers.get("idempotency-key") == delivery.idempotency_key
        if same and one.status < httpx.codes.MULTIPLE_CHOICES:
            return one
    return None
