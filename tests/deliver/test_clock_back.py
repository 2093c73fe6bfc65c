"""A wall clock that is set back one hour in the middle of everything changes no order."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rig import Rig
from scripted import Received, Scripted, answer, wait_for

HOUR = 3600


def test_order_and_ledger_survive_an_hour_set_back(tmp_path: Path) -> None:
    """What is accepted before, during and after goes out in order, at once, and the chain holds."""
    release = asyncio.Event()

    def script(_request: Received, number: int) -> object:
        return wait_for(release, answer(200)) if number == 1 else answer(200)

    async def run() -> None:
        async with Scripted(script) as server, Rig(tmp_path) as rig:  # type: ignore[arg-type]
            ids = [rig.enqueue("hub", "m1") for _ in range(2)]
            rig.start(rig.destination("hub", server.url))
            await server.count(2)
            rig.clock.step(-HOUR)  # while the second is under way
            ids += [rig.enqueue("hub", member) for member in ("m1", "m2", "m1")]
            release.set()
            await rig.until(dict.fromkeys(ids, "delivered"))
            line = [id for id in ids if rig.row(id).member == "m1"]
            arrived = [request.headers["x-request-id"] for request in server.received]
            assert [id for id in arrived if id in line] == line
            assert len(arrived) == len(set(arrived)) == len(ids)
            assert rig.store.read(lambda tx: tx.audit.verify()) == []

    asyncio.run(run())
