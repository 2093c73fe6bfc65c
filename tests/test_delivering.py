"""What delivers beside a server: no part of it ends by itself without anybody noticing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import town as places

from engine.cli.serving import delivering
from engine.metrics import Metrics
from engine.sending import Sending
from engine.store import Store
from engine.testing import ManualClock


class BrokenError(RuntimeError):
    """Say what no part of the engine expects."""


class Clock(ManualClock):
    """Fail once it is broken."""

    broken = False

    def monotonic(self) -> float:
        if self.broken:
            raise BrokenError
        return super().monotonic()


def test_deliveries_that_fail_do_not_pass_for_running(tmp_path: Path) -> None:
    """Where a worker ends by itself, whoever runs it is told, so that another follows."""
    clock = Clock()

    async def deliver(store: Store) -> None:
        failed = asyncio.Event()
        sending = Sending(places.loaded(), Metrics())
        async with delivering(sending, store, clock, failed=failed.set):
            clock.broken = True
            store.signal.notify()
            await asyncio.wait_for(failed.wait(), 10)

    with Store.open(f"sqlite:///{tmp_path}/record.db") as store:
        asyncio.run(deliver(store))
