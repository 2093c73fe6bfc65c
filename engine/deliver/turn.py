"""Do one turn of the worker's durable work: record results, claim what is due, decide about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    Ready,
    Ruled,
    Ruling,
    Withhold,
    nobody_counts,
    nobody_minds,
    nothing_to_read,
)
from engine.deliver.retry import Random
from engine.deliver.rivals import Rivals

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

    `at` is the instant of the claim, `renewed` names the deliveries whose lease goes on, `left` is
    how many were due and left to the next turn, which judges them ahead. `seen` counts the news
    (`engine.deliver.ports.Signal`) that the turn knew of: what came before it, and its own. What
    is due to a destination that is `full` waits for a result, not for an instant.
    """

    tasks: list[Task] = field(default_factory=list)
    renewed: frozenset[str] = frozenset()
    claimed: int = 0
    left: int = 0
    seen: int = 0
    at: str = ""
    next_due: str | None = None
    full: bool = False


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
    ready: Ready = nothing_to_read

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
        seen = foresight or Foresight(self.judge, {}, 0)

        def work(transaction: Any) -> Turned:
            self.settle(transaction, results)
            renewed = frozenset(self._renew(transaction, waning))
            if horizon is not None:
                transaction.deliveries.rearm(horizon)
            turned = self._claim(transaction, most, seen) if most else Turned()
            turned.renewed = renewed
            return turned

        return work

    def _renew(self, transaction: Any, waning: Sequence[Delivery]) -> Iterator[str]:
        for delivery in waning:
            if transaction.deliveries.extend(delivery.id, delivery.fence, self.lease):
                yield delivery.id

    def settle(self, transaction: Any, results: Sequence[Result]) -> None:
        """Record results; of what a successor holds by now, only that it was tried."""
        arrived = [_report(result) for result in results if result.event == "accept"]
        ours = transaction.deliveries.complete_all(arrived) if arrived else frozenset()
        for result in results:
            if result.attempt is not None:
                transaction.attempts.add(result.attempt)
            if result.event != "accept":
                self._end(transaction, result)
            elif _report(result) in ours:
                self.delivered(transaction, result.delivery, result.own)

    def _end(self, transaction: Any, result: Result) -> None:
        """Record one result of a delivery that did not arrive."""
        (id, fence), deliveries = _report(result), transaction.deliveries
        match result.event:
            case "retry":
                deliveries.retry(id, fence, result.due, result.reason)
            case "return":
                deliveries.give_back(id, fence)
            case "die":
                policy = self._destination(result.delivery).retry.poison
                if deliveries.dead(id, fence, result.reason, policy):
                    self.gave_up(transaction, result.delivery, result.reason or "")

    def _claim(self, transaction: Any, most: Mapping[str, int], foresight: Foresight) -> Turned:
        deliveries, fits = transaction.deliveries, foresight.fitting(transaction)
        fronts = deliveries.fronts(tuple(most))
        found = deliveries.claim(self.name, self.batch, most, self.lease, fits, fronts)
        claimed = found.rows
        turned = Turned(claimed=len(claimed), left=foresight.left, at=transaction.now)
        self._read_together(transaction, claimed)
        rivals = Rivals(deliveries, claimed, found.others)
        rulings: list[tuple[Delivery, Ruling]] = []
        for delivery in claimed:
            verdict = None
            if self._may_go(transaction, delivery, rivals):
                verdict = self._verdict(transaction, delivery, foresight.verdict)
            if verdict is not None and verdict.ruling is not None:
                rulings.append((delivery, verdict.ruling))
            if isinstance(verdict, Permit):
                body = delivery.body if verdict.body is None else verdict.body
                turned.tasks.append(Task(delivery, body))
            else:
                rivals.leave(delivery)
        self._record(transaction, rulings)  # together: a judge may look at earlier decisions
        if claimed:  # whatever was decided may have put something out, or let something go
            fronts = deliveries.fronts(tuple(most))
        turned.next_due, turned.full = fronts.next_due(found.full), bool(found.full)
        return turned

    def _read_together(self, transaction: Any, claimed: Sequence[Delivery]) -> None:
        """Let what the judge asks be read at once; where that fails it reads it one by one."""
        try:
            self.ready(transaction, claimed)
        except Exception as error:
            if transaction.spoilt_by(error):
                raise
            _log.error("deliver.not-read-together", error=type(error).__name__)

    def _may_go(self, transaction: Any, delivery: Delivery, rivals: Rivals) -> bool:
        """Tell whether no other version of the same resource stands in the way."""
        match rivals.way(delivery):
            case "outdated":
                transaction.deliveries.supersede(delivery.id, delivery.fence)
                return False
            case "barred":
                due = after(transaction.now, PAUSE)
                transaction.deliveries.give_back(delivery.id, delivery.fence, due)
                return False
        return True

    def _verdict(
        self, transaction: Any, delivery: Delivery, judge: Judge
    ) -> Permit | Withhold | None:
        """Ask the judge and do what keeps it back; None where it could not be decided."""
        try:
            verdict = judge(transaction, delivery)
        except Exception as error:
            if transaction.spoilt_by(error):
                raise
            _log.error("deliver.judge-failed", delivery=delivery.id, error=type(error).__name__)
            self._undecided(transaction, delivery)
            return None
        if isinstance(verdict, Withhold):
            transaction.deliveries.hold(delivery.id, delivery.fence, verdict.reason)
        return verdict

    def _record(self, transaction: Any, rulings: Iterable[tuple[Delivery, Ruling]]) -> None:
        """Record what was decided about each delivery: with it becomes durable what may leave."""
        for delivery, ruling in rulings:
            transaction.decisions.add(
                delivery.unit_id,
                ruling.decision,
                code=ruling.code,
                body={**ruling.body, "attempt": delivery.fence},
                at=transaction.now,
                delivery=delivery.id,
            )
            self.ruled(ruling)

    def _undecided(self, transaction: Any, delivery: Delivery) -> None:
        answer = Answer("again", "D011")
        now = transaction.now
        self.settle(transaction, [self._again(delivery, answer, now, None)])


def _report(result: Result) -> tuple[str, int]:
    return result.delivery.id, result.delivery.fence


def _attempt(delivery: Delivery, answer: Answer, started: str, ended: str) -> Attempt:
    record = answer.record()
    note = orjson.dumps(record).decode() if len(record) > 2 else None
    outcome = answer.code or "delivered"
    return Attempt(delivery.id, delivery.fence, started, ended, answer.status, outcome, note)
