"""Do one turn of the worker's durable work: record results, claim what is due, decide about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
import structlog

from engine.clock import after
from engine.deliver.answer import Answer
from engine.deliver.destination import Destination, Destinations
from engine.deliver.foresight import Foresight
from engine.deliver.ports import (
    Delivered,
    Delivery,
    GaveUp,
    Judge,
    Permit,
    Ruled,
    Ruling,
    Withhold,
    nobody_counts,
    nobody_minds,
)
from engine.deliver.retry import Random
from engine.errors import StoreError

_log = structlog.get_logger(__name__)

Event = Literal["accept", "retry", "die", "return"]
"""What ends a lease (see `engine.deliver.outbox.DELIVERY`)."""

APART = "D013"
"""The code of a delivery that failed in company and goes alone the next time."""

PAUSE = 0.25
"""Seconds that a delivery gives way to another version of its resource that is under way."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Hold one try to send as it is recorded; `number` is the fence under which it was made."""

    delivery_id: str
    number: int
    started: str
    ended: str
    status: int | None
    outcome: str
    note: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """Hold what became of one claimed delivery, ready to be recorded.

    `due` is the instant of the next attempt, `reason` a diagnostic code; without an `attempt`
    nothing was tried.
    """

    delivery: Delivery
    event: Event
    attempt: Attempt | None = None
    due: str | None = None
    reason: str | None = None
    own: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """Hold one delivery that may leave: its permit is durable once the turn is."""

    delivery: Delivery
    body: bytes


@dataclass(slots=True)
class Turned:
    """Hold what a turn gave: what to send, how many were claimed, when the next one is due.

    `at` is the instant of the claim, `renewed` names the deliveries whose lease goes on.
    """

    tasks: list[Task] = field(default_factory=list)
    renewed: frozenset[str] = frozenset()
    claimed: int = 0
    at: str = ""
    next_due: str | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """Do the durable half of the worker's duty.

    `lease` is in seconds: how long a claim holds without a result; `batch` bounds one claim.
    """

    name: str
    judge: Judge
    delivered: Delivered
    destinations: Destinations
    random: Random
    lease: float
    batch: int
    gave_up: GaveUp = nobody_minds
    ruled: Ruled = nobody_counts

    def conclude(self, delivery: Delivery, answer: Answer, started: str, ended: str) -> Result:
        """Return the result that an answer amounts to under the destination's retry policy."""
        attempt = _attempt(delivery, answer, started, ended)
        if answer.result == "accepted":
            return Result(delivery, "accept", attempt, own=answer.own)
        if answer.result == "refused":
            return Result(delivery, "die", attempt, reason=answer.code)
        if answer.code == APART:  # its company's fault, perhaps: no policy counts that
            return Result(delivery, "retry", attempt, ended, APART)
        return self._again(delivery, answer, ended, attempt)

    def _again(
        self, delivery: Delivery, answer: Answer, now: str, attempt: Attempt | None
    ) -> Result:
        policy = self._destination(delivery).retry
        due = policy.next_due(delivery.attempts, now, self.random, answer.wait, answer.few)
        if due is None:
            return Result(delivery, "die", attempt, reason="D009")
        return Result(delivery, "retry", attempt, due, answer.code)

    def _destination(self, delivery: Delivery) -> Destination:
        return self.destinations[delivery.destination]

    def turn(
        self,
        results: Sequence[Result],
        most: Mapping[str, int],
        horizon: str | None = None,
        waning: Sequence[Delivery] = (),
        foresight: Foresight | None = None,
    ) -> Callable[[Any], Turned]:
        """Return the work of one turn; all of it is durable together or nothing is.

        `most` is how many leases each destination may have at once. After the wall clock was set
        back, `horizon` is the instant behind which no lease or retry can really end. `waning` are
        deliveries under way whose leases are to last longer; `foresight` has judged ahead.
        """
        verdict = self.judge if foresight is None else foresight.verdict

        def work(transaction: Any) -> Turned:
            for result in results:
                self.settle(transaction, result)
            renewed = frozenset(self._renew(transaction, waning))
            if horizon is not None:
                transaction.deliveries.rearm(horizon)
            turned = self._claim(transaction, most, verdict) if most else Turned()
            turned.renewed = renewed
            return turned

        return work

    def _renew(self, transaction: Any, waning: Sequence[Delivery]) -> Iterator[str]:
        for delivery in waning:
            if transaction.deliveries.extend(delivery.id, delivery.fence, self.lease):
                yield delivery.id

    def settle(self, transaction: Any, result: Result) -> bool:
        """Record one result; False where a successor holds the delivery by now."""
        ours = self._report(transaction.deliveries, result)
        if result.attempt is not None:
            transaction.attempts.add(result.attempt)
        if ours and result.event == "accept":
            self.delivered(transaction, result.delivery, result.own)
        if ours and result.event == "die":
            self.gave_up(transaction, result.delivery, result.reason or "")
        return ours

    def _report(self, deliveries: Any, result: Result) -> bool:
        id, fence = result.delivery.id, result.delivery.fence
        match result.event:
            case "accept":
                ours = deliveries.complete(id, fence)
            case "retry":
                ours = deliveries.retry(id, fence, result.due, result.reason)
            case "die":
                policy = self._destination(result.delivery).retry.poison
                ours = deliveries.dead(id, fence, result.reason, policy)
            case "return":
                ours = deliveries.give_back(id, fence)
        return bool(ours)

    def _claim(self, transaction: Any, most: Mapping[str, int], judge: Judge) -> Turned:
        claimed = transaction.deliveries.claim(self.name, self.batch, most, self.lease)
        turned = Turned(claimed=len(claimed), at=transaction.now)
        for delivery in claimed:
            if self._may_go(transaction, delivery) and (
                task := self._decide(transaction, delivery, judge)
            ):
                turned.tasks.append(task)
        turned.next_due = transaction.deliveries.next_due(tuple(most))
        return turned

    def _may_go(self, transaction: Any, delivery: Delivery) -> bool:
        """Tell whether no other version of the same resource stands in the way.

        A resource of several members stands in several lines, and a line's earlier delivery may be
        released after its later ones: an older version must never follow a newer one. Of what goes
        as siblings, each follows its own only.
        """
        deliveries, version = transaction.deliveries, delivery.envelope.get("version")
        if version is None:
            return True
        reference = f"{delivery.type}/{delivery.envelope['entity']}"
        link = delivery.envelope["reference"] if delivery.envelope.get("sibling") else ""
        newer = deliveries.newer(delivery.destination, reference, version, link)
        if newer == "delivered":
            deliveries.supersede(delivery.id, delivery.fence)
            return False
        if newer is not None or deliveries.other_under_way(delivery, reference, version):
            due = after(transaction.now, PAUSE)
            deliveries.give_back(delivery.id, delivery.fence, due)
            return False
        return True

    def _decide(self, transaction: Any, delivery: Delivery, judge: Judge) -> Task | None:
        """Ask the judge and record what it says; only what it permits becomes a task."""
        try:
            verdict = judge(transaction, delivery)
        except StoreError:
            raise
        except Exception as error:
            _log.error("deliver.judge-failed", delivery=delivery.id, error=type(error).__name__)
            self._undecided(transaction, delivery)
            return None
        if verdict.ruling is not None:
            _record(transaction, delivery, verdict.ruling)
            self.ruled(verdict.ruling)
        return self._carry_out(transaction, delivery, verdict)

    def _carry_out(
        self, transaction: Any, delivery: Delivery, verdict: Permit | Withhold
    ) -> Task | None:
        if isinstance(verdict, Withhold):
            transaction.deliveries.hold(delivery.id, delivery.fence, verdict.reason)
            return None
        return Task(delivery, delivery.body if verdict.body is None else verdict.body)

    def _undecided(self, transaction: Any, delivery: Delivery) -> None:
        answer = Answer("again", "D011")
        now = transaction.now
        self.settle(transaction, self._again(delivery, answer, now, None))


def _record(transaction: Any, delivery: Delivery, ruling: Ruling) -> None:
    transaction.decisions.add(
        delivery.unit_id,
        ruling.decision,
        code=ruling.code,
        body={**ruling.body, "attempt": delivery.fence},
        at=transaction.now,
        delivery=delivery.id,
    )


def _attempt(delivery: Delivery, answer: Answer, started: str, ended: str) -> Attempt:
    record = answer.record()
    note = orjson.dumps(record).decode() if len(record) > 2 else None
    outcome = answer.code or "delivered"
    return Attempt(delivery.id, delivery.fence, started, ended, answer.status, outcome, note)
