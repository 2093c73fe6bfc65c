"""Company: a commit waits a moment for as many as lately came together, and never for long."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from desk import accept

from engine.store import Store, Transaction
from engine.store.company import Company, Patience
from engine.testing import ManualClock

LONG = Patience(next=30.0, whole=60.0)
SHORT = Patience(next=0.001, whole=0.002)


def gathered(company: Company, waiting: queue.Queue[int]) -> list[int]:
    """Return who shares the next commit."""
    found = [waiting.get(timeout=30)]
    while True:
        try:
            found.append(company.next(waiting, len(found)))
        except queue.Empty:
            company.left(len(found))
            return found


class Scripted(queue.Queue[int]):
    """Hold what waits, then give what a script gives for a wait of so many seconds, if anything."""

    def __init__(self, waiting: queue.Queue[int], script: Callable[[float], int | None]) -> None:
        super().__init__()
        self._waiting = waiting
        self._script = script

    def get(self, block: bool = True, timeout: float | None = None) -> int:
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            found = self._script(timeout) if block and timeout is not None else None
            if found is None:
                raise
            return found


def queued(*numbers: int) -> queue.Queue[int]:
    waiting: queue.Queue[int] = queue.Queue()
    for number in numbers:
        waiting.put(number)
    return waiting


def test_all_that_wait_share_a_commit() -> None:
    """Whoever is there already is taken, without a limit of company."""
    assert gathered(Company(LONG, ManualClock().monotonic), queued(1, 2, 3)) == [1, 2, 3]


def test_who_is_alone_waits_for_nobody() -> None:
    """A first commit, and one after two lonely ones, leaves at once."""
    company = Company(LONG, ManualClock().monotonic)
    for number in range(3):
        assert gathered(company, queued(number)) == [number]


def test_nobody_is_waited_for_once_all_have_come() -> None:
    """As many as last time are enough: the wait of half a minute is not begun."""
    company = Company(LONG, ManualClock().monotonic)
    gathered(company, queued(1, 2))
    assert gathered(company, queued(3, 4)) == [3, 4]


def test_fuller_of_two_commits_counts() -> None:
    """One small commit between two full ones does not end the waiting; two do."""
    company = Company(SHORT, ManualClock().monotonic)
    waits: list[float] = []

    def nobody(timeout: float) -> None:
        waits.append(timeout)

    gathered(company, queued(1, 2))
    assert gathered(company, Scripted(queued(3), nobody)) == [3]
    assert gathered(company, Scripted(queued(4), nobody)) == [4]
    assert len(waits) == 2
    assert gathered(company, Scripted(queued(5), nobody)) == [5]
    assert len(waits) == 2


def test_waiting_ends_in_all() -> None:
    """A trickle that always just makes it does not keep a commit back beyond the whole time."""
    clock = ManualClock()
    company = Company(Patience(next=3.0, whole=10.0), clock.monotonic)
    gathered(company, queued(*range(100)))

    def trickle(timeout: float) -> int | None:
        clock.advance(min(2.0, timeout))
        return 1

    assert len(gathered(company, Scripted(queued(0), trickle))) == 6
    assert clock.monotonic() == 10.0


def together(store: Store) -> None:
    """Let two writes share a commit."""
    entered, opened = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        entered.set()
        opened.wait(30)

    gate = store.write(hold)
    entered.wait(30)
    pair = [store.write(accept), store.write(accept)]
    opened.set()
    gate.result(30)
    for future in pair:
        future.result(30)


def test_expected_company_shares_the_commit(store_url: str) -> None:
    """Who comes a moment later joins the commit of the first, where two came together before."""
    seen: list[str] = []
    with Store.open(store_url, checkpoint=seen.append, patience=LONG) as store:
        together(store)
        seen.clear()
        first = store.write(accept)
        second = store.write(accept)
        assert first.result(30) != second.result(30)
        assert seen.count("after-commit") == 1


def test_company_that_stays_away_is_given_up(store_url: str) -> None:
    """A write is done all the same where nobody joins it."""
    with Store.open(store_url, patience=SHORT) as store:
        together(store)
        assert store.write(accept).result(30)


def test_closing_waits_for_nobody(store_url: str) -> None:
    """A store that closes commits what it has, whomever else it expected."""
    with Store.open(store_url, patience=LONG) as store:
        together(store)
        alone = store.write(accept)
    assert alone.result(0)
