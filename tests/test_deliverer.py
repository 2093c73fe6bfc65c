"""The process that delivers beside a server: kept running, nudged, heard, and ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import town as places

from engine.clock import SystemClock
from engine.metrics import Metrics
from engine.server import create_app
from engine.server.deliverer import Deliverer, Leash
from engine.store.signal import Signal

_RUNS = """
import sys
print('"running"', flush=True)
for line in sys.stdin:
    print('["carelane_deliveries_delivered", ["hub"], 1.0]', flush=True)
"""
_DIES = "print('\"running\"', flush=True)"
_DEAF = "import time; print('\"running\"', flush=True); time.sleep(60)"


def _running(program: str, metrics: Metrics | None = None, patience: float = 30.0) -> Deliverer:
    command = (sys.executable, "-c", program)
    return Deliverer(command, metrics or Metrics(), SystemClock(), first=0.01, patience=patience)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.005)


def _with(deliverer: Deliverer, work: Callable[[Signal], Awaitable[None]]) -> None:
    async def run() -> None:
        signal = Signal()
        async with deliverer.beside(signal):
            await work(signal)

    asyncio.run(run())


def _alive(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    return True


def test_news_of_the_store_reaches_it_and_its_counters_come_back() -> None:
    """Each commit with work nudges it, and what it counts stands in the server's own figures."""
    metrics = Metrics()
    deliverer = _running(_RUNS, metrics)

    def delivered() -> float:
        return metrics.delivered.labels("hub")._value.get()

    async def work(signal: Signal) -> None:
        await _until(lambda: deliverer.condition == "running")
        signal.notify()
        await _until(lambda: delivered() == 1)

    _with(deliverer, work)
    assert delivered() == 1


def test_it_ends_with_the_server() -> None:
    """When the server stops, its input ends, and it is waited for."""
    deliverer = _running(_RUNS)
    seen: list[int | None] = []

    async def work(_signal: Signal) -> None:
        await _until(lambda: deliverer.condition == "running")
        seen.append(deliverer.pid)
        assert _alive(deliverer.pid)

    _with(deliverer, work)
    assert deliverer.condition == "ended"
    assert not _alive(seen[0])


def test_what_does_not_wind_down_is_killed() -> None:
    """A process that ignores its end is killed after a while; the server ends."""
    deliverer = _running(_DEAF, patience=0.1)

    async def work(_signal: Signal) -> None:
        await _until(lambda: deliverer.condition == "running")

    _with(deliverer, work)
    assert not _alive(deliverer.pid)


def test_it_is_started_again_when_it_ends() -> None:
    """Whatever ends it, another follows; meanwhile its condition says that it failed."""
    deliverer = _running(_DIES)
    pids: set[int | None] = set()

    async def work(_signal: Signal) -> None:
        await _until(lambda: deliverer.condition == "failing")
        await _until(lambda: (pids.add(deliverer.pid), len(pids) >= 3)[1])

    _with(deliverer, work)


def test_what_cannot_be_started_is_tried_again() -> None:
    """A command that does not exist leaves the server running, and unready."""
    deliverer = Deliverer(("/nowhere/at-all",), Metrics(), SystemClock(), first=0.01)

    async def work(_signal: Signal) -> None:
        await _until(lambda: deliverer.condition == "failing")

    _with(deliverer, work)


@pytest.mark.parametrize(
    ("condition", "status"), [("starting", 200), ("running", 200), ("failing", 503)]
)
def test_ready_tells_how_deliveries_are(tmp_path: Path, condition: str, status: int) -> None:
    """A server whose deliveries ended is not ready; one whose deliveries start is."""
    with places.town(tmp_path) as town:
        town.app = create_app(
            town.project, town.store, clock=town.clock, deliveries=lambda: condition
        )
        told = town.send("", "GET", "/readyz")
    assert (told.status_code, told.json()["deliveries"]) == (status, condition)


def test_counters_are_told_as_growth() -> None:
    """The delivering process tells by how much it counted on, each growth once."""
    mine, theirs = Metrics(), Metrics()
    said: list[list[object]] = []
    leash = Leash(mine, lambda: None, say=lambda told: (said.append(told), True)[1])
    mine.decided.labels("sending", "permit", "").inc()
    leash.tell()
    mine.decided.labels("sending", "permit", "").inc(2)
    leash.tell()
    leash.tell()
    for sample in said:
        theirs.grow(sample)
    assert len(said) == 2
    assert theirs.decided.labels("sending", "permit", "")._value.get() == 3
