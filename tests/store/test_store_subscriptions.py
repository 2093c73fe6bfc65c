"""Subscriptions on record, on both databases: numbers, places, secrets, watches and news."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from desk import Desk, add_unit

from engine.store import Store, SubscriptionRow, Transaction
from engine.store.subscriptions import KEPT
from engine.store.vault import Vault, new_key
from engine.testing import ManualClock

LATER = "2027-01-01T00:00:00.000000Z"


def subscription(tx: Transaction, id: str = "s1", **known: object) -> SubscriptionRow:
    """Store a subscription whose fields are made up where the test does not care."""
    message, unit = add_unit(tx)
    values: dict[str, object] = {
        "id": id, "system": "hub", "state": "active", "topic": "t", "version": 1,
        "created": tx.now, "changed": tx.now, "ends": None, "since": tx.subscriptions.end(),
        "events": 0, "reason": None, "message_id": message, "unit_id": unit,
        "body": b'{"a": 1}', "headers": b'[["X", "secret"]]', **known,
    }  # fmt: skip
    row = SubscriptionRow(**values)  # type: ignore[arg-type]
    tx.subscriptions.add(row)
    return row


def count(tx: Transaction, version: int, id: str = "s1") -> tuple[int, str] | None:
    return tx.subscriptions.count(id, tx.now, "Task/t1", version)


def test_what_was_stored_is_read_back(desk: Desk) -> None:
    """A subscription comes back as it was, and is found by its system and while it lives."""
    row = desk.write(subscription)
    assert desk.store.read(lambda tx: tx.subscriptions.get("s1")) == row
    assert desk.store.read(lambda tx: tx.subscriptions.of_system("hub")) == [row]
    assert desk.store.read(lambda tx: tx.subscriptions.live()) == [row]
    assert "secret" not in repr(row)
    assert desk.write(lambda tx: tx.subscriptions.move("s1", "off", "ended", was=["active"]))
    assert not desk.write(lambda tx: tx.subscriptions.move("s1", "error", None, was=["active"]))
    assert desk.store.read(lambda tx: tx.subscriptions.live()) == []


def test_each_version_has_one_number(desk: Desk) -> None:
    """Numbers go up by one; the same version of the same resource never gets a second one."""
    desk.write(subscription)
    assert desk.write(lambda tx: [count(tx, n) for n in (1, 2, 2, 1, 3)]) == [
        (1, "active"), (2, "active"), None, None, (3, "active"),
    ]  # fmt: skip
    events = desk.store.read(lambda tx: tx.subscriptions.events("s1", 2, 9, 5))
    assert [(one.number, one.version) for one in events] == [(2, 2), (3, 3)]
    row = desk.store.read(lambda tx: tx.subscriptions.get("s1"))
    assert row is not None
    assert row.events == 3


def test_a_write_that_is_taken_back_uses_no_number(desk: Desk) -> None:
    """What was not durable leaves no gap."""
    desk.write(subscription)

    def fails(tx: Transaction) -> None:
        count(tx, 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        desk.write(fails)
    assert desk.write(lambda tx: count(tx, 2)) == (1, "active")


def test_the_oldest_events_make_room(desk: Desk) -> None:
    """Only the last events of a subscription stay on record."""
    desk.write(lambda tx: subscription(tx, events=KEPT + 99))
    desk.write(lambda tx: count(tx, 1))
    for version in range(2, 102):
        desk.write(lambda tx, n=version: count(tx, n))
    events = desk.store.read(lambda tx: tx.subscriptions.events("s1", 1, 2 * KEPT, 200))
    assert [events[0].number, events[-1].number] == [KEPT + 100, KEPT + 200]


def test_many_writers_leave_no_gap(store_url: str, clock: ManualClock) -> None:
    """Two processes that number events at once never give a number twice, nor leave one out."""
    with Store.open(store_url, clock=clock) as one, Store.open(store_url, clock=clock) as other:
        Desk(one).write(subscription)

        def work(store: Store, versions: range) -> None:
            for version in versions:
                store.write(lambda tx, n=version: count(tx, n)).result(30)

        threads = [
            threading.Thread(target=work, args=(store, versions))
            for store, versions in ((one, range(1, 21)), (other, range(11, 31)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        events = one.read(lambda tx: tx.subscriptions.events("s1", 1, 100, 100))
        assert [event.number for event in events] == list(range(1, 31))
        assert {event.version for event in events} == set(range(1, 31))


def test_the_place_in_the_ledger_moves_forward_only(desk: Desk) -> None:
    """The first subscription begins at the ledger's end; from there reading goes forward."""
    desk.write(lambda tx: tx.audit.append("before"))
    row = desk.write(subscription)
    start = desk.store.read(lambda tx: tx.subscriptions.position())
    assert start == row.since > 0
    desk.write(lambda tx: tx.subscriptions.read_to(start + 5))
    desk.write(lambda tx: tx.subscriptions.read_to(start + 2))
    desk.write(lambda tx: subscription(tx, "s2"))
    assert desk.store.read(lambda tx: tx.subscriptions.position()) == start + 5


def test_one_reader_follows_the_ledger(store_url: str, clock: ManualClock) -> None:
    """Who reads the ledger on finds the records of its kinds behind a place; on PostgreSQL
    nobody else does meanwhile."""
    with Store.open(store_url, clock=clock) as store:
        desk = Desk(store)
        start = desk.write(subscription).since
        desk.write(lambda tx: [tx.audit.append(kind) for kind in ("a.b", "c.d", "a.b")])

        def read(tx: Transaction) -> tuple[bool, list[str]]:
            found = tx.audit.between(start, tx.subscriptions.end(), ["a.b"])
            return tx.subscriptions.mine(), [one.kind for one in found]

        assert desk.write(read) == (True, ["a.b", "a.b"])
        desk.write(lambda tx: tx.subscriptions.move("s1", "off", None, was=["active"]))
        assert not store.read(lambda tx: tx.subscriptions.is_live())
        desk.write(lambda tx: tx.subscriptions.again("s1"))
        row = store.read(lambda tx: tx.subscriptions.get("s1"))
        assert row is not None
        assert row.since == store.read(lambda tx: tx.subscriptions.position()) > start


def test_what_a_subscription_holds_is_sealed(tmp_path: Path, clock: ManualClock) -> None:
    """With a key neither the resource nor its headers stand in the file, and both open again."""
    vault = Vault({"k": new_key()}, "k")
    url = f"sqlite:///{tmp_path}/sealed.db"
    with Store.open(url, clock=clock, vault=vault) as store:
        row = Desk(store).write(subscription)
        assert store.read(lambda tx: tx.subscriptions.get("s1")) == row
    assert b"secret" not in (tmp_path / "sealed.db").read_bytes()


def test_one_watch_is_begun_at_a_time(desk: Desk, clock: ManualClock) -> None:
    """Who begins a watch keeps others from it until it is due again; the old one is gone then."""
    desk.write(lambda tx: tx.watches.want("mercy"))
    wanted = desk.store.read(lambda tx: tx.watches.of_system("mercy"))
    assert wanted is not None
    assert wanted.state == "wanted"
    until = "2026-05-01T10:02:00.000000Z"
    assert desk.write(lambda tx: tx.watches.begin("mercy", "w1", "d1", until))
    assert not desk.write(lambda tx: tx.watches.begin("mercy", "w2", "d2", until))
    desk.write(lambda tx: tx.watches.hear("w1", 3, [(1, "Task/1"), (3, None)]))
    clock.advance(121)
    assert desk.write(lambda tx: tx.watches.begin("mercy", "w2", "d2", LATER))
    assert desk.store.read(lambda tx: tx.watches.get("w1")) is None
    assert desk.store.read(lambda tx: tx.watches.news("w1", 9)) == []
    desk.write(lambda tx: tx.watches.want("mercy"))
    kept = desk.store.read(lambda tx: tx.watches.of_system("mercy"))
    assert kept is not None
    assert (kept.id, kept.behind) == ("w2", False)


def test_news_stay_until_they_were_looked_at(desk: Desk) -> None:
    """News are kept once by number, and only those behind what was looked at."""
    desk.write(lambda tx: tx.watches.begin("mercy", "w1", "d1", LATER))
    desk.write(lambda tx: tx.watches.change("w1", state="active", behind=True))
    assert desk.store.read(lambda tx: tx.watches.active()) == {"mercy"}
    desk.write(lambda tx: tx.watches.hear("w1", 2, [(2, "Task/2"), (1, "Task/1")]))
    desk.write(lambda tx: tx.watches.hear("w1", 2, [(2, "Task/other")]))
    news = desk.store.read(lambda tx: tx.watches.news("w1", 9))
    assert [(one.number, one.resource) for one in news] == [(1, "Task/1"), (2, "Task/2")]
    desk.write(lambda tx: tx.watches.looked("w1", 2))
    desk.write(lambda tx: tx.watches.hear("w1", 3, [(2, "Task/2"), (3, None)]))
    left = desk.store.read(lambda tx: tx.watches.news("w1", 9))
    assert [(one.number, one.resource) for one in left] == [(3, None)]
    row = desk.store.read(lambda tx: tx.watches.get("w1"))
    assert row is not None
    assert (row.heard, row.told, row.behind) == (2, 3, True)
