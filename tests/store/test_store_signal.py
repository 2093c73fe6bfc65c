"""News of work: none is missed, between threads and between processes."""

from __future__ import annotations

import asyncio
import threading

from desk import Desk

from engine.store import Store
from engine.store.database import connect, parse_url
from engine.store.signal import Signal


def test_news_before_the_wait_ends_it_at_once() -> None:
    """What came between looking and waiting is not missed."""
    signal = Signal()
    seen = signal.seen
    signal.notify()
    assert signal.wait(seen, 0) is True
    assert asyncio.run(signal.arrived(seen, 0)) is True


def test_silence_ends_with_the_time_given() -> None:
    """Without news the wait says so."""
    signal = Signal()
    assert signal.wait(signal.seen, 0.01) is False
    assert asyncio.run(signal.arrived(signal.seen, 0.01)) is False


def test_news_wakes_the_event_loop() -> None:
    """A notification from another thread ends an asynchronous wait."""
    signal = Signal()

    async def wait() -> bool:
        threading.Timer(0.01, signal.notify).start()
        return await signal.arrived(signal.seen, 30)

    assert asyncio.run(wait()) is True


def test_enqueueing_is_news_and_reading_is_not(desk: Desk) -> None:
    """Whatever gives a worker something to do is told after it is durable."""
    seen = desk.store.signal.seen
    desk.accept()
    assert desk.store.signal.seen == seen
    desk.enqueue()
    assert desk.store.signal.seen > seen


def test_news_reaches_another_store(store_url: str) -> None:
    """A worker that waits on its own store hears of what another process enqueued."""
    with Store.open(store_url) as waits, Store.open(store_url) as writes:
        heard = []
        seen = waits.signal.seen
        waits.signal.wait(seen, 0.3)
        seen = waits.signal.seen
        thread = threading.Thread(target=lambda: heard.append(waits.signal.wait(seen, 20)))
        thread.start()
        Desk(writes).enqueue()
        thread.join(30)
    assert heard == [True]


def test_a_connection_that_a_network_swallows_is_given_up(postgresql: str) -> None:
    """PostgreSQL's silence counts as an answer after half a minute, not after two hours."""
    engine = connect(parse_url(postgresql), "write")
    with engine.connect() as connection:
        told = connection.connection.dbapi_connection.info.get_parameters()
    engine.dispose()
    idle, interval = int(told["keepalives_idle"]), int(told["keepalives_interval"])
    assert idle + interval * int(told["keepalives_count"]) <= 30
    assert int(told["tcp_user_timeout"]) <= 30_000
