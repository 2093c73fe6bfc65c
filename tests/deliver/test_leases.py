"""What is sent is cut off when its lease ends, and goes on where the lease is renewed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from rig import put

from engine.deliver.leases import Lease, Leases
from engine.store import DeliveryRow, Store
from engine.testing import ManualClock

SECONDS = 0.05


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[list[DeliveryRow]]:
    """Return two claimed deliveries."""
    with Store.open(f"sqlite:///{tmp_path / 'record.db'}") as store:
        for member in ("m1", "m2"):
            store.write(lambda tx, m=member: put(tx, m, "hub", m)).result(30)
        yield store.write(lambda tx: tx.deliveries.claim("w", 2, {"hub": 2}, 30)).result(30).rows


async def send(leases: Leases, held: Sequence[Lease]) -> str:
    """Send for ever, until cut off."""
    leases.guard(held, asyncio.current_task())
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "cut off"


def test_company_is_cut_off_when_the_first_of_its_leases_ends(rows: list[DeliveryRow]) -> None:
    """Of two in one request one is renewed: the other's end is the end of both."""

    async def run() -> str:
        clock = ManualClock()
        leases = Leases(SECONDS, clock)
        held = [leases.begin(row, clock.monotonic()) for row in rows]
        sending = asyncio.create_task(send(leases, held))
        await asyncio.sleep(0)
        clock.advance(2 * SECONDS)
        leases.renewed(rows[0], clock.monotonic(), True)
        async with asyncio.timeout(10):
            return await sending

    assert asyncio.run(run()) == "cut off"


def test_a_lease_that_another_has_cuts_its_send_off(rows: list[DeliveryRow]) -> None:
    """Where a successor holds the delivery nothing is sent on; the other send goes on."""

    async def run() -> tuple[str, bool]:
        clock = ManualClock()
        leases = Leases(60.0, clock)
        held = [leases.begin(row, clock.monotonic()) for row in rows]
        first, second = (asyncio.create_task(send(leases, [lease])) for lease in held)
        await asyncio.sleep(0)
        leases.renewed(rows[0], clock.monotonic(), False)
        async with asyncio.timeout(10):
            told = await first
        done = second.done()
        second.cancel()
        return told, done

    assert asyncio.run(run()) == ("cut off", False)


def test_a_renewed_send_goes_on_behind_its_first_end(rows: list[DeliveryRow]) -> None:
    """The alarm of the first end finds the lease renewed, and is set again for the next one."""

    async def run() -> tuple[bool, str]:
        clock = ManualClock()
        leases = Leases(SECONDS, clock)
        lease = leases.begin(rows[0], clock.monotonic())
        sending = asyncio.create_task(send(leases, [lease]))
        await asyncio.sleep(0)
        clock.advance(2 * SECONDS)
        leases.renewed(rows[0], clock.monotonic(), True)
        other = leases.begin(rows[1], clock.monotonic() - 2 * SECONDS)
        async with asyncio.timeout(10):
            await send(leases, [other])  # the alarm went off: this one had ended
            goes_on = not sending.done()
            clock.advance(2 * SECONDS)
            return goes_on, await sending

    assert asyncio.run(run()) == (True, "cut off")
