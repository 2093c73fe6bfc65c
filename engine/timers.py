"""The runner of durable timers: each goes off once, in the transaction that does what it means."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from engine.ahead import nothing_beforehand
from engine.clock import Clock, after, seconds_between
from engine.errors import StoreError
from engine.logs import origin
from engine.store import Store, TimerRow, Transaction

Handler = Callable[[Transaction, TimerRow], None]
"""Do what a timer means, in the transaction that records that it went off."""

Foresee = Callable[[Transaction, Sequence[TimerRow]], None]
"""Work out, on a snapshot ahead of their turn, what the handler of several timers will know."""

ATTEMPTS = 8
FIRST_WAIT = 2.0
LONGEST_REST = 30.0
BREATH = 0.05
"""Seconds between two turns at least: under load there is news after every commit."""

HEAD_START = 0.25
"""Seconds by which deliveries come first where the two run side by side."""

SHARED_REST = 0.2
"""Seconds after which to look again where another runner has what is due."""

BATCH = 32
"""How many timers go off in one transaction at most."""

LONGEST_TURN = 0.02
"""Seconds after which such a transaction takes no more: others wait for it."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Look:
    """Let handlers look ahead of the turn in which they do what is due at `now`.

    What they found they know in the turn where the record is still the same. What they read for it
    is read in the turn for all of them together.
    """

    foresights: Mapping[str, Foresee]
    now: str
    most: int
    _reads: list[Any] = field(default_factory=list)

    def asking(self, snapshot: Any) -> Iterator[None]:
        return nothing_beforehand(snapshot)

    def look(self, snapshot: Any) -> None:
        self._reads.clear()
        due = snapshot.timers.due(self.now, self.most)
        for kind, foresee in self.foresights.items():
            if timers := [timer for timer in due if timer.kind == kind]:
                with suppress(Exception), snapshot.reading() as reads:
                    foresee(snapshot, timers)
                    self._reads.append(reads)

    def reads(self) -> Iterable[Any]:
        return self._reads


@dataclass(frozen=True)
class TimerRunner:
    """Let timers go off; any number of runners may share one record.

    `foresights` work out, before the turn and on a snapshot, what handlers will know in it. A
    handler that fails is tried again later, at most `ATTEMPTS` times; what it had written is
    taken back. Nothing is lost: a timer that failed for good stays on record with its reason.
    For `lag` seconds what is due is left to those who do it anyway: a delivery reacts first to the
    message that it comes from (`engine.coordination.holding`), in the turn that it has.
    """

    store: Store
    clock: Clock
    handlers: Mapping[str, Handler]
    foresights: Mapping[str, Foresee] = field(default_factory=dict)
    lag: float = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set."""
        while not stopping.is_set():
            seen = self.store.signal.seen
            try:
                rest = await asyncio.to_thread(self.turn)
            except StoreError:
                rest = FIRST_WAIT
            except Exception as error:
                _log.error("timers.failed", **origin(error))
                rest = FIRST_WAIT
            await asyncio.sleep(BREATH)
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
        most = BATCH
        while (rest := self._until_due()) <= 0:
            went = self._several(most)
            if went == 0:
                return SHARED_REST
            most = BATCH if went is not None else 1
        return rest

    def _until_due(self) -> float:
        due = self.store.read(lambda tx: tx.timers.next_due())
        return LONGEST_REST if due is None else seconds_between(self._now(), due)

    def _now(self) -> str:
        """Return the instant whose timers go off now."""
        return after(self.clock.now(), -self.lag) if self.lag else self.clock.now()

    def _several(self, most: int) -> int | None:
        """Let up to `most` go off that are due, in one transaction; return how many did.

        None: one of them failed, nothing was done, and they are to be tried one by one. One by
        itself that fails is put off.
        """
        went: list[TimerRow] = []

        def work(tx: Transaction) -> int:
            went.clear()
            began = self.clock.monotonic()
            for timer in tx.timers.due(self._now(), most):
                if went and not tx.timers.is_waiting(timer.key):
                    continue
                went.append(timer)
                self.handlers[timer.kind](tx, timer)
                tx.timers.finish(timer.key)
                tx.audit.append("timer.done", {"key": timer.key, "kind": timer.kind})
                if self.clock.monotonic() - began > LONGEST_TURN:
                    break
            return len(went)

        ahead = _Look(self.foresights, self._now(), most)
        try:
            return self.store.write(work, ahead).result()
        except StoreError:
            raise
        except Exception as error:
            if not went:
                raise
            if most > 1:
                return None
            _log.error("timer.failed", **origin(error))
            self._failed(went[0], type(error).__name__)
            return 1

    def _failed(self, timer: TimerRow, reason: str) -> None:
        tries = timer.attempts + 1
        wait = FIRST_WAIT * 2**timer.attempts
        due = after(self.clock.now(), wait) if tries < ATTEMPTS else None

        def work(tx: Transaction) -> None:
            tx.timers.again(timer.key, due, reason)
            if due is None:
                tx.audit.append("timer.failed", {"key": timer.key, "reason": reason})

        self.store.write(work).result()
