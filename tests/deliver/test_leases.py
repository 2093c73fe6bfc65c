"""What goes in one request is cut off together, when the first of its leases ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rig import Rig

from engine.deliver.leases import Leases
from engine.testing import ManualClock


def test_company_is_cut_off_when_its_first_lease_ends(tmp_path: Path) -> None:
    """Renewing one of two moves nothing, renewing both moves the end of their request."""

    async def run() -> tuple[float, float]:
        async with Rig(tmp_path) as rig:
            rows = [rig.row(rig.enqueue("hub", member)) for member in ("m1", "m2")]
        loop, clock = asyncio.get_running_loop(), ManualClock()
        leases = Leases(10.0, clock)
        held = [leases.begin(row, clock.monotonic()) for row in rows]
        async with leases.cutting(held) as cut:
            clock.advance(6)
            leases.renewed(rows[0], clock.monotonic(), True)
            one = (cut.when() or 0.0) - loop.time()
            leases.renewed(rows[1], clock.monotonic(), True)
            both = (cut.when() or 0.0) - loop.time()
        return one, both

    one, both = asyncio.run(run())
    assert one <= 4 < both <= 10
