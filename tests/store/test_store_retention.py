"""Retention: what is old goes, what is needed stays, and the chain can still be checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk import Desk, accept, add_unit

from engine.config.operations import Retention
from engine.retention import KIND, goes_off, prune, schedule
from engine.store import NewDelivery, Store, Transaction, UnitRow
from engine.testing import ManualClock
from engine.timers import TimerRunner

YEAR = 365 * 86_400
ALL = Retention(messages=30, deliveries=30, history=30, audit=60)


def arrive(tx: Transaction, member: str) -> tuple[str, str]:
    """Store a message that leads to one delivery of a resource's second version."""
    message, unit = accept(tx), tx.ids.new()
    tx.resources.put("CareTeam", member, b"1", member=member, system="mercy")
    version = tx.resources.put("CareTeam", member, b"2", member=member, system="mercy")
    resource = f"CareTeam/{member}"
    tx.units.add([UnitRow(unit, message, 0, "CareTeam", "routed", member, resource, version)])
    tx.deliveries.enqueue(NewDelivery(message, unit, "hub", member, "CareTeam", b"{}"))
    tx.resources.put("CareTeam", member, b"3", member=member, system="mercy")
    return message, unit


def test_old_payloads_go_and_the_chain_holds(desk: Desk, clock: ManualClock) -> None:
    """Bodies and replaced versions are removed; message, units and attempts stay on record."""
    message, unit = desk.write(lambda tx: arrive(tx, "m1"))
    (row,) = desk.claim()
    desk.write(lambda tx: tx.deliveries.complete(row.id, row.fence))
    clock.advance(YEAR)
    new, _ = desk.write(lambda tx: arrive(tx, "m2"))
    counts = prune(desk.store, ALL).counts
    assert (counts["messages"], counts["deliveries"], counts["history"]) == (1, 1, 2)
    assert counts["audit"] > 0

    def check(tx: Transaction) -> None:
        kept = tx.messages.get(message)
        assert kept is not None
        assert (kept.body, kept.response, kept.state) == (None, None, "accepted")
        assert [one.body for one in tx.deliveries.of_unit(unit)] == [b""]
        assert [one.version for one in tx.resources.versions("CareTeam", "m1")] == [3]
        assert [one.version for one in tx.resources.versions("CareTeam", "m2")] == [1, 2, 3]
        fresh = tx.messages.get(new)
        assert fresh is not None
        assert fresh.body is not None
        assert tx.audit.verify() == []

    desk.store.read(check)
    assert set(prune(desk.store, ALL).counts.values()) == {0}


def test_what_is_still_needed_stays(desk: Desk, clock: ManualClock) -> None:
    """A held unit keeps its message's body, a waiting delivery its body and version."""
    _, unit = desk.write(lambda tx: arrive(tx, "m1"))
    held, _ = desk.unit(state="held", reason="crosswalk-unknown", waiting_on=("k",))
    desk.write(lambda tx: tx.resources.put("Consent", "c", b"1", member="m1", system="mercy"))
    desk.write(lambda tx: tx.resources.put("Consent", "c", b"2", member="m1", system="mercy"))
    clock.advance(YEAR)
    counts = prune(desk.store, ALL).counts
    assert (counts["messages"], counts["deliveries"], counts["history"]) == (1, 0, 1)

    def check(tx: Transaction) -> None:
        kept = tx.messages.get(held)
        assert kept is not None
        assert kept.body is not None
        assert [one.body for one in tx.deliveries.of_unit(unit)] == [b"{}"]
        assert [one.version for one in tx.resources.versions("CareTeam", "m1")] == [2, 3]
        assert len(tx.resources.versions("Consent", "c")) == 2

    desk.store.read(check)


def test_nothing_goes_unless_the_project_says_so(desk: Desk, clock: ManualClock) -> None:
    """Without a policy everything is kept for ever."""
    message, _ = desk.write(add_unit)
    clock.advance(100 * YEAR)
    assert set(prune(desk.store, Retention()).counts.values()) == {0}
    kept = desk.store.read(lambda tx: tx.messages.get(message))
    assert kept is not None
    assert kept.body is not None


def test_a_timer_prunes_every_day(desk: Desk, clock: ManualClock) -> None:
    """Pruning happens once a day, however often servers start, and in steps."""

    class Settings:
        retention = ALL

    for _ in range(3):
        desk.accept()
    clock.advance(YEAR)
    runner = TimerRunner(desk.store, clock, {KIND: goes_off(lambda: Settings)})  # type: ignore[arg-type,return-value]
    for _ in range(2):
        desk.write(schedule)
    runner.turn()
    (following,) = desk.store.read(lambda tx: tx.timers.of_kind(KIND))
    assert following.due > clock.now()
    assert desk.write(lambda tx: tx.upkeep.forget_messages(clock.now(), 10)) == 0


def test_the_file_shrinks(tmp_path: Path, clock: ManualClock) -> None:
    """What was removed from a SQLite file is given back to the disk."""
    path = tmp_path / "store.db"
    with Store.open(f"sqlite:///{path}", clock=clock) as store:
        desk = Desk(store)
        for _ in range(20):
            desk.accept(body=b"x" * 200_000)
        clock.advance(YEAR)
        assert prune(store, ALL).counts["messages"] == 20
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("most", [1, 2, 100])
def test_the_chain_is_pruned_in_steps(desk: Desk, clock: ManualClock, most: int) -> None:
    """However small the steps, the chain that stays is whole."""
    for _ in range(3):
        desk.write(lambda tx: tx.audit.append("test.noted"))
    clock.advance(YEAR)
    desk.write(lambda tx: tx.audit.append("test.kept"))
    while desk.write(lambda tx: tx.audit.prune(clock.now(), most)):
        assert desk.store.read(lambda tx: tx.audit.verify()) == []
    kinds = [one.kind for one in desk.store.read(lambda tx: list(tx.audit.records()))]
    assert kinds[0] == "test.kept"
