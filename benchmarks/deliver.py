"""Measure deliveries against a bare httpx POST loop: the same bodies to the same kind of sink."""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from engine.clock import SystemClock
from engine.deliver.destination import Destination
from engine.deliver.ports import Delivery, Permit, Ruling
from engine.deliver.transport import HttpTransport
from engine.deliver.worker import Worker
from engine.message import Message
from engine.store import NewDelivery, Store, Transaction, UnitRow

COUNT = 3000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class _Sink(asyncio.Protocol):
    """Answer 200 to each request and add up the digests of the bodies."""

    def __init__(self, total: list[int]) -> None:
        self.total = total
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self.data) < end + 4 + length:
                return
            body = self.data[end + 4 : end + 4 + length]
            self.data = self.data[end + 4 + length :]
            self.total[0] += 1
            self.total[1] ^= int.from_bytes(hashlib.sha256(body).digest())
            self.transport.write(ANSWER)


def _serve(pipe: Connection) -> None:
    """Run a sink until told to end; then say how much arrived."""
    total = [0, 0]

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Sink(total), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, pipe.recv)
        pipe.send(total)

    asyncio.run(run())


@contextmanager
def _sink() -> Iterator[tuple[str, Callable[[], list[int]]]]:
    """Start a sink as a process; yield its base URL and how to end it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    process.start()
    url = f"http://127.0.0.1:{ours.recv()}/fhir"

    def end() -> list[int]:
        ours.send("end")
        total: list[int] = ours.recv()
        return total

    yield url, end
    process.join()


def _bodies() -> list[bytes]:
    def body(number: int) -> bytes:
        participants = [{"member": {"reference": f"Practitioner/{p}"}} for p in range(6)]
        team = {"resourceType": "CareTeam", "id": f"t{number}", "participant": participants}
        return json.dumps(team | {"note": [{"text": "x" * 400}]}).encode()

    return [body(number) for number in range(COUNT)]


def bare(bodies: list[bytes]) -> tuple[float, list[int]]:
    """Return posts per second of a plain loop, and what the sink got."""

    async def run(url: str) -> float:
        async with httpx.AsyncClient() as client:
            await client.post(f"{url}/CareTeam", content=bodies[0])
            started = time.perf_counter()
            for body in bodies[1:]:
                await client.post(f"{url}/CareTeam", content=body)
            return (len(bodies) - 1) / (time.perf_counter() - started)

    with _sink() as (url, end):
        return asyncio.run(run(url)), end()


def _permit(_tx: Any, _delivery: Delivery) -> Permit:
    return Permit(Ruling("permit", None, {"decision": "permit", "basis": []}))


def _fill(store: Store, bodies: list[bytes]) -> None:
    def work(tx: Transaction) -> None:
        for number, body in enumerate(bodies):
            id = f"m{number}"
            tx.messages.add(Message(id, "mercy", "bundle", id, id, tx.now, b"{}"))
            tx.units.add([UnitRow(f"u{id}", id, 0, "CareTeam", "routed", member=id)])
            tx.deliveries.enqueue(NewDelivery(id, f"u{id}", "hub", id, "CareTeam", body))

    store.write(work).result()


async def _until_empty(store: Store, arrived: list[str]) -> None:
    while True:
        seen = store.signal.seen
        if len(arrived) >= COUNT and not store.read(lambda tx: tx.deliveries.depth()):
            return
        await store.signal.arrived(seen, 1)


def durable(bodies: list[bytes], concurrency: int) -> tuple[float, list[int]]:
    """Return deliveries per second: claimed, decided, sent and recorded durably."""

    async def run(store: Store, url: str) -> float:
        hub = Destination("hub", url, concurrency=concurrency)
        arrived: list[str] = []
        worker = Worker(
            store,
            {"hub": hub},
            _permit,
            HttpTransport(),
            SystemClock(),
            delivered=lambda _tx, delivery, _own: arrived.append(delivery.id),
        )
        started = time.perf_counter()
        running = asyncio.create_task(worker.run())
        await _until_empty(store, arrived)
        rate = len(bodies) / (time.perf_counter() - started)
        worker.stop()
        await running
        return rate

    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{Path(folder) / 'record.db'}")
        _fill(store, bodies)
        with store, _sink() as (url, end):
            return asyncio.run(run(store, url)), end()


def run() -> Iterator[dict[str, Any]]:
    """Yield the row of this budget (DESIGN section 8), both sides checked equal."""
    bodies = _bodies()
    plain, got_plain = bare(bodies)
    rate, got = durable(bodies, concurrency=16)
    if got != got_plain:
        raise AssertionError(f"the sinks differ: {got[0]} and {got_plain[0]} arrived")
    yield {
        "name": "deliver.http",
        "ratio": round(rate / plain, 3),
        "against": f"a bare httpx POST loop to the same sink ({rate:.0f}/s against {plain:.0f}/s)",
        "target": 0.5,
        "better": "higher",
        "figures": {"deliveries_per_second": round(rate), "posts_per_second": round(plain)},
    }


if __name__ == "__main__":
    for row in run():
        print(row)
