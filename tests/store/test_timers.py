"""Timers go off once, in order, whatever fails or restarts in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from empty_record import empty_record

from engine.clock import after
from engine.store import Store, TimerRow, Transaction
from engine.testing import ManualClock
from engine.timers import ATTEMPTS, TimerRunner


class Bench:
    """A store, a clock and a runner whose handler takes notes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.seen: list[str] = []
        self.failing: set[str] = set()
        self.open()

    def open(self) -> None:
        self.store = Store.open(empty_record(self.folder / "t.db"), clock=self.clock)
        self.runner = TimerRunner(self.store, self.clock, {"note": self.note})

    def note(self, tx: Transaction, timer: TimerRow) -> None:
        tx.audit.append("noted", {"key": timer.key})
        if timer.key in self.failing:
            raise RuntimeError("no")
        self.seen.append(timer.key)

    def set(self, key: str, seconds: float) -> bool:
        due = after(self.clock.now(), seconds)
        return self.store.write(lambda tx: tx.timers.set(key, "note", due, {"n": 1})).result()

    def noted(self) -> int:
        return sum(r.kind == "noted" for r in self.store.read(lambda tx: list(tx.audit.records())))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    built = Bench(tmp_path)
    yield built
    built.store.close()


def test_timers_go_off_in_order_and_only_when_due(bench: Bench) -> None:
    """What is due goes off, the earliest first; the rest says how long to wait."""
    bench.set("b", 10)
    bench.set("a", 5)
    bench.set("c", 100)
    assert bench.runner.turn() == pytest.approx(5)
    bench.clock.advance(20)
    assert bench.runner.turn() == pytest.approx(80)
    assert bench.seen == ["a", "b"]


def test_what_is_due_is_left_to_others_for_a_moment(bench: Bench) -> None:
    """Who lags behind lets those come first who do it anyway, and does what they left."""
    runner = TimerRunner(bench.store, bench.clock, {"note": bench.note}, lag=0.25)
    bench.set("theirs", 0)
    bench.set("left", 0)
    assert runner.turn() == pytest.approx(0.25)
    bench.store.write(lambda tx: tx.timers.finish("theirs")).result()
    bench.clock.advance(0.25)
    bench.set("fresh", 0)
    assert runner.turn() == pytest.approx(0.25)
    assert bench.seen == ["left"]


def test_what_is_finished_is_finished_for_whoever_asks_next(bench: Bench) -> None:
    """Timers are noted as done together, but nobody sees one wait any more meanwhile."""
    for key in ("a", "b", "c"):
        bench.set(key, 0)

    def finish(tx: Transaction) -> list[bool]:
        due = tx.timers.due(tx.now, 10)
        for timer in due[:2]:
            tx.timers.finish(timer.key)
        return [tx.timers.is_waiting(timer.key) or tx.timers.take(timer.key) for timer in due]

    assert bench.store.write(finish).result() == [False, False, True]
    assert [row.key for row in bench.store.read(lambda tx: tx.timers.of_kind("note"))] == ["c"]
    assert len(bench.store.read(lambda tx: tx.timers.of_kind("note", "done"))) == 2


def test_what_is_set_and_finished_in_one_transaction_never_goes_off(bench: Bench) -> None:
    """Both are noted together with others, but in the order in which they happened."""

    def both(tx: Transaction) -> None:
        tx.timers.set_first("a", "note", tx.now, {})
        tx.timers.set_first("b", "note", tx.now, {})
        tx.timers.finish("a")

    bench.store.write(both).result()
    bench.runner.turn()
    assert bench.seen == ["b"]


def test_a_timer_goes_off_once_although_it_is_set_twice(bench: Bench) -> None:
    """A key names one timer for good: a reminder is sent once."""
    assert bench.set("a", 0)
    bench.runner.turn()
    assert not bench.set("a", 0)
    bench.runner.turn()
    assert bench.seen == ["a"]


def test_timers_survive_a_restart_and_a_clock_set_back(bench: Bench) -> None:
    """A timer set before a restart goes off after it; a clock set back makes none go off twice."""
    bench.set("a", 60)
    bench.store.close()
    bench.open()
    bench.clock.advance(61)
    bench.runner.turn()
    bench.clock.step(-3600)
    bench.runner.turn()
    bench.clock.advance(7200)
    bench.runner.turn()
    assert bench.seen == ["a"]


def test_a_failing_handler_takes_back_what_it_wrote_and_is_tried_again(bench: Bench) -> None:
    """A failure leaves nothing half done; later tries succeed; another timer is not held up."""
    bench.failing.add("a")
    bench.set("a", 0)
    bench.set("b", 1)
    bench.clock.advance(1)
    bench.runner.turn()
    assert bench.seen == ["b"]
    assert bench.noted() == 1
    bench.failing.clear()
    bench.clock.advance(10)
    bench.runner.turn()
    assert bench.seen == ["b", "a"]


def test_a_timer_that_fails_for_good_stays_on_record(bench: Bench) -> None:
    """After the last try a timer is kept as failed, with its reason."""
    bench.failing.add("a")
    bench.set("a", 0)
    for _ in range(ATTEMPTS + 2):
        bench.runner.turn()
        bench.clock.advance(1000)
    failed = bench.store.read(lambda tx: tx.timers.of_kind("note", "failed"))
    assert [(row.key, row.reason) for row in failed] == [("a", "RuntimeError")]


def test_a_cancelled_timer_never_goes_off(bench: Bench) -> None:
    """What was answered in time is not reminded of."""
    bench.set("a", 5)
    assert bench.store.write(lambda tx: tx.timers.cancel("a")).result()
    bench.clock.advance(10)
    bench.runner.turn()
    assert bench.seen == []


def test_of_two_processes_one_has_a_timer(store_url: str) -> None:
    """Who takes a timer does what it means and finishes it; the other finds it taken or done."""

    def done(tx: Transaction, key: str) -> str | None:
        if not tx.timers.is_waiting(key) or not tx.timers.take(key):
            return None
        tx.timers.finish(key)
        return None if tx.timers.take(key) else key

    keys = [f"timer {number}" for number in range(40)]
    with Store.open(store_url) as one, Store.open(store_url) as other:
        for key in keys:
            one.write(partial(_set, key=key)).result()
        asked = [store.write(partial(done, key=key)) for key in keys for store in (one, other, one)]
        assert sorted(filter(None, [each.result() for each in asked])) == sorted(keys)
        assert one.read(lambda tx: tx.timers.next_due()) is None


def _set(tx: Transaction, key: str) -> None:
    tx.timers.set(key, "note", tx.now)


def test_what_nobody_expects_stops_no_timer(bench: Bench) -> None:
    """Whatever goes wrong once, such as a thread that cannot be started, the next turn follows."""
    turns: list[int] = []

    class Failing(TimerRunner):
        def turn(self) -> float:
            turns.append(len(turns))
            if len(turns) == 1:
                bench.store.signal.notify()
                raise RuntimeError("no thread")
            stopping.set()
            return 0.0

    async def run() -> None:
        await asyncio.wait_for(Failing(bench.store, bench.clock, {}).run(stopping), 10)

    stopping = asyncio.Event()
    asyncio.run(run())
    assert turns == [0, 1]
