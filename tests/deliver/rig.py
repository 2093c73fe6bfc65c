"""A worker on a real store with a clock that stands still, for tests that watch it deliver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from empty_record import empty_record

from engine.deliver.destination import Destination
from engine.deliver.ports import (
    Delivered,
    Delivery,
    Judge,
    Permit,
    Ready,
    Ruling,
    nothing_more,
    nothing_to_read,
)
from engine.deliver.retry import RetryPolicy
from engine.deliver.transport import HttpTransport, Transport
from engine.deliver.worker import Settings, Worker
from engine.message import Message
from engine.store import AttemptRow, DeliveryRow, NewDelivery, Store, Transaction, UnitRow
from engine.testing import ManualClock

PATIENCE = 10.0
"""Real seconds after which a test that waits for something gives up."""

QUICK = RetryPolicy(attempts=3, first=1, factor=2, jitter=0)
PERMIT = Ruling("permit", None, {"decision": "permit"})


def permit(_tx: Any, _delivery: Delivery) -> Permit:
    """Permit everything, with a ruling on record."""
    return Permit(PERMIT)


@dataclass(slots=True)
class Call:
    """Hold one call of a timer until its time comes or it is taken back."""

    at: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass(slots=True)
class Timers:
    """Call back when the clock that stands still is moved."""

    clock: ManualClock
    calls: list[Call] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, seconds: float, callback: Callable[[], None]) -> Call:
        call = Call(self.clock.monotonic() + seconds, callback)
        self.calls.append(call)
        self.asked.set()
        self.fire()
        return call

    def fire(self) -> None:
        """Call back whatever is due."""
        due = [call for call in self.calls if call.at <= self.clock.monotonic()]
        self.calls = [call for call in self.calls if call not in due and not call.cancelled]
        for call in due:
            if not call.cancelled:
                call.callback()


class Rig:
    """Hold a store, a clock, and the workers that a test starts on them."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.timers = Timers(self.clock)
        self.store = self.opened(empty_record(folder / "record.db"))
        self._running: dict[Worker, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Rig:
        return self

    async def __aexit__(self, *_error: object) -> None:
        for worker in list(self._running):
            await self.stop(worker)
        self.store.close()

    def opened(self, address: str) -> Store:
        """Return the record at an address."""
        return Store.open(address, clock=self.clock)

    def destination(self, name: str, url: str, **more: Any) -> Destination:
        """Return a destination with a quick retry policy."""
        return Destination(name, url, **{"retry": QUICK, "timeout": 5.0, **more})

    def start(
        self,
        *destinations: Destination,
        judge: Judge = permit,
        transport: Transport | None = None,
        delivered: Delivered = nothing_more,
        ready: Ready = nothing_to_read,
        settings: Settings | None = None,
    ) -> Worker:
        """Start a worker on the running loop."""
        worker = Worker(
            self.store,
            {destination.name: destination for destination in destinations},
            judge,
            transport or HttpTransport(),
            self.clock,
            delivered=delivered,
            ready=ready,
            settings=settings,
            random=lambda: 0.0,
            timer=self.timers,
        )
        self._running[worker] = asyncio.create_task(worker.run())
        return worker

    async def stop(self, worker: Worker) -> None:
        """Let a worker shut down, and pass on what it raised."""
        worker.stop()
        await self._running.pop(worker)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.timers.fire()

    async def advance_to_next(self) -> None:
        """Wait until a worker rests for a time, and let that time pass."""
        self.advance(await self.rest())

    async def rest(self) -> float:
        """Wait until a worker rests for a time; return for how many seconds."""
        async with asyncio.timeout(PATIENCE):
            while not (calls := [call for call in self.timers.calls if not call.cancelled]):
                self.timers.asked.clear()
                await self.timers.asked.wait()
        return min(call.at for call in calls) - self.clock.monotonic()

    def enqueue(
        self,
        destination: str,
        member: str = "m1",
        body: bytes | None = None,
        envelope: dict[str, Any] | None = None,
    ) -> str:
        """Put one delivery into the outbox; return its id."""

        def work(tx: Transaction) -> str:
            return put(tx, self.store.ids.new(), destination, member, body, envelope)

        return self.store.write(work).result()

    def row(self, id: str) -> DeliveryRow:
        """Return a delivery as it stands."""
        found = self.store.read(lambda tx: tx.deliveries.get(id))
        assert found
        return found

    def attempts(self, id: str) -> list[AttemptRow]:
        """Return the attempts of a delivery."""
        return self.store.read(lambda tx: tx.attempts.of_delivery(id))

    async def until(self, states: Mapping[str, str]) -> None:
        """Wait until each delivery is in its state."""
        await self.until_true(lambda: all(self.row(i).state == s for i, s in states.items()))

    async def until_true(self, holds: Callable[[], bool]) -> None:
        """Wait for commits until something holds."""
        async with asyncio.timeout(PATIENCE):
            while True:
                seen = self.store.signal.seen
                if holds():
                    return
                await self.store.signal.arrived(seen, PATIENCE)


def put(
    tx: Transaction,
    id: str,
    destination: str,
    member: str,
    body: bytes | None = None,
    envelope: dict[str, Any] | None = None,
) -> str:
    """Store a message with one unit and one delivery; return the delivery's id."""
    tx.messages.add(Message(id, "mercy", "bundle", id, id, tx.now, b"{}"))
    tx.units.add([UnitRow(f"u{id}", id, 0, "CareTeam", "routed", member=member)])
    body = body or b'{"resourceType":"CareTeam","id":"%s"}' % id.encode()
    new = NewDelivery(id, f"u{id}", destination, member, "CareTeam", body, envelope or {})
    return tx.deliveries.enqueue(new)
