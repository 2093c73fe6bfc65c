"""The runner of durable timers: each goes off once, in the transaction that does what it means."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog

from engine.clock import Clock, after, seconds_between
from engine.errors import StoreError
from engine.logs import origin
from engine.store import Store, TimerRow, Transaction

Handler = Callable[[Transaction, TimerRow], None]
"""Do what a timer means, in the transaction that records that it went off."""

ATTEMPTS = 8
FIRST_WAIT = 2.0
LONGEST_REST = 30.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class TimerRunner:
    """Let timers go off; any number of runners may share one record.

    A handler that fails is tried again later, at most `ATTEMPTS` times; what it had written is
    taken back. Nothing is lost: a timer that failed for good stays on record with its reason.
    """

    store: Store
    clock: Clock
    handlers: Mapping[str, Handler]

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set."""
        while not stopping.is_set():
            seen = self.store.signal.seen
            try:
                rest = await asyncio.to_thread(self.turn)
            except StoreError:
                rest = FIRST_WAIT
            if rest > 0:
                await self._rest(seen, rest, stopping)

    async def _rest(self, seen: int, seconds: float, stopping: asyncio.Event) -> None:
        news = asyncio.create_task(self.store.signal.arrived(seen, min(seconds, LONGEST_REST)))
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({news, stop}, return_when=asyncio.FIRST_COMPLETED)
        for task in (news, stop):
            task.cancel()

    def turn(self) -> float:
        """Let everything go off that is due; return the seconds until the next one."""
        while self._one() == "went off":
            pass
        due = self.store.read(lambda tx: tx.timers.next_due())
        return LONGEST_REST if due is None else seconds_between(self.clock.now(), due)

    def _one(self) -> Literal["went off", "none"]:
        went: list[TimerRow] = []

        def work(tx: Transaction) -> TimerRow | None:
            went.clear()
            timer = tx.timers.next(self.clock.now())
            if timer is None:
                return None
            went.append(timer)
            self.handlers[timer.kind](tx, timer)
            tx.timers.finish(timer.key)
            tx.audit.append("timer.done", {"key": timer.key, "kind": timer.kind})
            return timer

        try:
            done = self.store.write(work).result()
        except StoreError:
            raise
        except Exception as error:
            _log.error("timer.failed", **origin(error))
            if not went:
                raise
            self._failed(went[0], type(error).__name__)
            return "went off"
        return "none" if done is None else "went off"

    def _failed(self, timer: TimerRow, reason: str) -> None:
        tries = timer.attempts + 1
        wait = FIRST_WAIT * 2**timer.attempts
        due = after(self.clock.now(), wait) if tries < ATTEMPTS else None

        def work(tx: Transaction) -> None:
            tx.timers.again(timer.key, due, reason)
            if due is None:
                tx.audit.append("timer.failed", {"key": timer.key, "reason": reason})

        self.store.write(work).result()
