"""Company: a commit waits a moment for as many as lately came together, and never for long."""

from __future__ import annotations

import threading
import time

import pytest
from desk import accept

from engine.errors import StoreBusy, StoreError
from engine.store import Store, Transaction
from engine.store.company import Company, Patience
from engine.testing import ManualClock

LONG = Patience(next=30.0, whole=60.0)
SHORT = Patience(next=0.001, whole=0.002)


def company_of(clock: ManualClock, patience: Patience, *waiting: int) -> Company[int]:
    """Return a company in which some wait already."""
    company: Company[int] = Company(1000, 200, patience, clock.monotonic)
    for one in waiting:
        company.join(one)
    return company


def joined(company: Company[int], *waiting: int) -> list[int]:
    """Let some wait, and return who leaves."""
    for one in waiting:
        company.join(one)
    return company.leave()


def test_all_that_wait_leave_together() -> None:
    """Whoever is there already is taken, in order of arrival, up to the most."""
    company = company_of(ManualClock(), LONG, *range(250))
    assert company.leave() == [*range(200)]
    assert company_of(ManualClock(), LONG, 1, 2, 3).leave() == [1, 2, 3]


class Scripted(Company[int]):
    """Is joined by one more whenever it has waited two seconds for somebody, as often as told."""

    def __init__(self, more: int, patience: Patience) -> None:
        self.clock = ManualClock()
        self.more = more
        super().__init__(1000, 200, patience, self.clock.monotonic)

    def _wait(self, wanted: int, seconds: float | None) -> None:
        if seconds is not None:
            self.clock.advance(min(2.0, seconds))
            if self.more:
                self.more -= 1
                self._waiting.append(0)


def test_who_is_alone_waits_for_nobody() -> None:
    """The first, and whoever was alone twice, leaves at once."""
    company = Scripted(0, LONG)
    assert [joined(company, number) for number in range(3)] == [[0], [1], [2]]
    assert company.clock.monotonic() == 0.0


def test_nobody_is_waited_for_once_all_have_come() -> None:
    """As many as last time are enough: the wait is not begun."""
    company = Scripted(0, LONG)
    joined(company, 1, 2)
    assert joined(company, 3, 4) == [3, 4]
    assert company.clock.monotonic() == 0.0


def test_fuller_of_two_companies_counts() -> None:
    """One small company between two full ones does not end the waiting; two do."""
    company = Scripted(0, LONG)
    joined(company, 1, 2)
    waits = []
    for number in range(4):
        assert joined(company, number) == [number]
        waits.append(company.clock.monotonic())
    assert waits == [2.0, 4.0, 4.0, 4.0]


def test_waiting_ends_when_nobody_comes() -> None:
    """Who comes while others are awaited prolongs the wait; the first pause ends it."""
    company = Scripted(3, LONG)
    joined(company, *range(100))
    assert joined(company, 1) == [1, 0, 0, 0]
    assert company.clock.monotonic() == 8.0


def test_waiting_ends_in_all() -> None:
    """A trickle that always just makes it does not keep anybody back beyond the whole time."""
    company = Scripted(1000, Patience(next=3.0, whole=10.0))
    joined(company, *range(100))
    assert len(joined(company, 1)) == 6
    assert company.clock.monotonic() == 10.0


def test_full_company_says_busy() -> None:
    """Beyond the capacity nobody joins, and who is there stays."""
    company: Company[int] = Company(2, 10, LONG, ManualClock().monotonic)
    company.join(1)
    company.join(2)
    with pytest.raises(StoreBusy):
        company.join(3)
    assert company.leave() == [1, 2]


def test_closed_company_lets_nobody_join() -> None:
    """Who waits still leaves, in companies of the usual size; then there is nobody."""
    company = company_of(ManualClock(), LONG, *range(201))
    company.close()
    with pytest.raises(StoreError):
        company.join(0)
    assert [len(company.leave()) for _ in range(3)] == [200, 1, 0]


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
        closing = time.monotonic()
    assert alone.result(0)
    assert time.monotonic() - closing < LONG.next
