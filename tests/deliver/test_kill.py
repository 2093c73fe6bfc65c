"""A worker process that is killed in the middle of a send, and its successor."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import suppress
from pathlib import Path

from rig import put
from scripted import Received, Scripted, answer, silence, wait_for

from engine.store import Store, Transaction

PROCESS = Path(__file__).parent.parent / "faults" / "process.py"


async def start(store: str, url: str) -> asyncio.subprocess.Process:
    """Start a worker as a process of its own, with leases of two seconds."""
    given = {"role": "worker", "name": "worker", "store": store, "destinations": {"hub": url}}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PROCESS), json.dumps(given), stdin=pipe, stdout=pipe
    )


def fill(tx: Transaction) -> str:
    """Give a member an active consent and one delivery."""
    consent = b'{"resourceType":"Consent","id":"m1","status":"active"}'
    tx.resources.put("Consent", "m1", consent, member="m1", system="mercy")
    return put(tx, "message-1", "hub", "m1")


async def delivered(store: Store, id: str) -> None:
    """Wait until the record says that a delivery arrived."""
    while True:
        seen = store.signal.seen
        row = store.read(lambda tx: tx.deliveries.get(id))
        if row is not None and row.state == "delivered":
            return
        await store.signal.arrived(seen, 1)


def test_what_a_killed_worker_was_sending_is_sent_again_under_its_key(tmp_path: Path) -> None:
    """SIGKILL after the request was read: the successor delivers it with the same key."""
    url = f"sqlite:///{tmp_path / 'record.db'}"

    def script(_request: Received, number: int) -> object:
        return silence if number == 0 else answer(200)

    async def run(store: Store, id: str) -> Scripted:
        async with Scripted(script) as server:  # type: ignore[arg-type]
            first = await start(url, server.url)
            await server.count(1)
            first.kill()
            await first.wait()
            second = await start(url, server.url)
            try:
                async with asyncio.timeout(60):
                    await server.count(2)
                    await delivered(store, id)
                second.terminate()
                await second.wait()
            finally:
                with suppress(ProcessLookupError):
                    second.kill()
            return server

    with Store.open(url) as store:
        id = store.write(fill).result()
        server = asyncio.run(run(store, id))
        first, second = server.received
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
        assert first.body == second.body
        decisions = store.read(lambda tx: tx.decisions.of_delivery(id))
        assert [decision.decision for decision in decisions] == ["permit", "permit"]
        assert [a.number for a in store.read(lambda tx: tx.attempts.of_delivery(id))] == [2]


def test_a_worker_that_was_stopped_past_its_lease_writes_nothing_over(tmp_path: Path) -> None:
    """SIGSTOP during a send, a successor delivers, SIGCONT: the late report changes nothing."""
    url = f"sqlite:///{tmp_path / 'record.db'}"
    late = asyncio.Event()

    def script(_request: Received, number: int) -> object:
        return wait_for(late, answer(500)) if number == 0 else answer(200)

    async def run(store: Store, id: str) -> Scripted:
        async with Scripted(script) as server:  # type: ignore[arg-type]
            first = await start(url, server.url)
            await server.count(1)
            first.send_signal(signal.SIGSTOP)
            second = await start(url, server.url)
            try:
                async with asyncio.timeout(60):
                    await delivered(store, id)
                    late.set()
                    first.send_signal(signal.SIGCONT)
                    first.terminate()
                    await first.wait()
                    second.terminate()
                    await second.wait()
            finally:
                for process in (first, second):
                    with suppress(ProcessLookupError):
                        process.kill()
            return server

    with Store.open(url) as store:
        id = store.write(fill).result()
        server = asyncio.run(run(store, id))
        row = store.read(lambda tx: tx.deliveries.get(id))
        assert row is not None
        assert (row.state, row.fence) == ("delivered", 2)
        keys = {request.headers["idempotency-key"] for request in server.received}
        assert (len(server.received), len(keys)) == (2, 1)
        assert store.read(lambda tx: tx.audit.verify()) == []
