"""The chain: any change of it shows, and pruning keeps it checkable."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from desk import Desk
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from engine.store import Store, Transaction
from engine.testing import ManualClock


def append(desk: Desk, times: int = 1) -> None:
    for n in range(times):
        desk.write(lambda tx, n=n: tx.audit.append("test.happened", {"n": n}))


def tamper(url: str, *statements: str) -> None:
    made = make_url(url)
    driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[made.get_backend_name()]
    engine = create_engine(made.set(drivername=driver))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def found(desk: Desk) -> list[int]:
    return [one.sequence for one in desk.store.read(lambda tx: tx.audit.verify())]


def test_untouched_chain_is_whole(desk: Desk) -> None:
    """Nothing is reported about a chain that nobody touched, also an empty one."""
    assert found(desk) == []
    append(desk, 5)
    assert found(desk) == []


@pytest.mark.parametrize(
    ("statements", "where"),
    [
        (["UPDATE audit SET body = '{}' WHERE sequence = 3"], [3]),
        (["UPDATE audit SET at = '2026-01-01T00:00:00.000000Z' WHERE sequence = 3"], [3]),
        (["UPDATE audit SET actor = 'nobody' WHERE sequence = 1"], [1]),
        (["UPDATE audit SET message_id = 'x' WHERE sequence = 5"], [5]),
        (["DELETE FROM audit WHERE sequence = 3"], [3, 4]),
        (["DELETE FROM audit WHERE sequence = 1"], [1, 2]),
        (["DELETE FROM audit WHERE sequence = 5"], [5]),
        (["DELETE FROM audit"], [1]),
        (
            [
                "INSERT INTO audit (sequence, at, kind, actor, body, hash)"
                " VALUES (-5, '2026-01-01T00:00:00.000000Z', 'unit.routed', 'mercy', '{}', '00')"
            ],
            [1, -5, -4, 1],
        ),
        (
            [
                "UPDATE chain SET first = 4, before = (SELECT hash FROM audit WHERE sequence = 3)",
                "DELETE FROM audit WHERE sequence <= 3",
            ],
            [3],
        ),
        (
            [
                "UPDATE audit SET sequence = 99 WHERE sequence = 2",
                "UPDATE audit SET sequence = 2 WHERE sequence = 3",
                "UPDATE audit SET sequence = 3 WHERE sequence = 99",
            ],
            [2, 3, 4],
        ),
    ],
)
def test_tampering_shows(
    desk: Desk, store_url: str, statements: list[str], where: list[int]
) -> None:
    """A record that was changed, removed or moved is found at its place."""
    append(desk, 5)
    tamper(store_url, *statements)
    assert found(desk) == where


@pytest.mark.parametrize("column", ["body", "hash", "kind"])
def test_bytes_in_the_place_of_text_show(store_url: str, desk: Desk, column: str) -> None:
    """SQLite takes bytes where text belongs; that is found like any other change."""
    if not store_url.startswith("sqlite"):
        pytest.skip("PostgreSQL refuses bytes in a column of text")
    append(desk, 3)
    tamper(store_url, f"UPDATE audit SET {column} = CAST({column} AS BLOB) WHERE sequence = 2")
    assert found(desk)[0] == 2


def test_what_was_cut_off_before_a_pruning_shows(
    desk: Desk, store_url: str, clock: ManualClock
) -> None:
    """A true pruning is no excuse for records that were removed behind it."""
    append(desk, 3)
    clock.advance(60)
    append(desk, 3)
    desk.write(lambda tx: tx.audit.prune(clock.now()))
    tamper(
        store_url,
        "UPDATE chain SET first = 6, before = (SELECT hash FROM audit WHERE sequence = 5)",
        "DELETE FROM audit WHERE sequence <= 5",
    )
    assert found(desk) == [5]


def test_chain_cut_off_with_its_end_shows_against_a_note(desk: Desk, store_url: str) -> None:
    """Someone who also rewrites where the chain ends is found by an end noted before."""
    append(desk, 5)
    noted = desk.store.read(lambda tx: tx.audit.ends())
    tamper(
        store_url,
        "DELETE FROM audit WHERE sequence = 5",
        "UPDATE chain SET last = 4, hash = (SELECT hash FROM audit WHERE sequence = 4)",
    )
    assert found(desk) == []
    breaks = desk.store.read(lambda tx: tx.audit.verify(noted))
    assert [one.sequence for one in breaks] == [5]


def test_pruned_chain_stays_checkable(desk: Desk, store_url: str, clock: ManualClock) -> None:
    """Old records go, the rest still proves itself, and the pruning is on record."""
    append(desk, 3)
    clock.advance(60)
    append(desk, 2)
    assert desk.write(lambda tx: tx.audit.prune(clock.now())) == 3
    assert found(desk) == []
    records = desk.store.read(lambda tx: list(tx.audit.records()))
    assert [record.sequence for record in records] == [4, 5, 6]
    assert records[-1].kind == "ledger.pruned"
    tamper(store_url, "DELETE FROM audit WHERE sequence = 4")
    assert found(desk) == [4, 5]


def test_chain_can_be_pruned_whole(desk: Desk) -> None:
    """Pruning everything leaves a chain of one record: that of the pruning."""
    append(desk, 3)
    assert desk.write(lambda tx: tx.audit.prune("9999")) == 3
    assert found(desk) == []
    assert desk.write(lambda tx: tx.audit.prune("1999")) == 0


def test_prunings_at_once_follow_each_other(desk: Desk, store_url: str, clock: ManualClock) -> None:
    """Where two processes prune at once, the later one counts from where the first one ended."""
    if store_url.startswith("sqlite"):
        pytest.skip("one process at a time writes to SQLite")
    append(desk, 3)
    clock.advance(60)
    early = clock.now()
    append(desk, 3)
    clock.advance(60)
    with Store.open(store_url, clock=clock) as other:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

        def first(tx: Transaction) -> Future[int]:
            tx.audit.prune(clock.now(), 2)
            second = other.write(lambda tx: tx.audit.prune(early, 1))
            while not tx.connection.execute(text(waiting)).scalar_one():
                pass
            return second

        assert desk.write(first).result(30) == 1
    assert found(desk) == []


def test_processes_write_one_chain(store_url: str) -> None:
    """Records written through several stores at once form one chain without gap or fork."""
    with Store.open(store_url) as one, Store.open(store_url) as two, ThreadPoolExecutor(8) as pool:
        write = lambda store: store.write(lambda tx: tx.audit.append("test.happened")).result(30)  # noqa: E731
        list(pool.map(write, [one, two] * 30))
        assert one.read(lambda tx: tx.audit.verify()) == []
        assert one.read(lambda tx: tx.audit.ends().last) == 60
