"""Group commit: shared, durable, all or nothing, and bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from desk import Desk, accept
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from engine.errors import StoreBusy, StoreError
from engine.store import Store, Transaction
from engine.store.database import breaks_transaction, connect, parse_url


def count(store: Store) -> int:
    return len(store.read(lambda tx: tx.messages.search(limit=10_000)))


class Gate:
    """Keep the writer busy until opened, so that what comes meanwhile shares a commit."""

    def __init__(self, store: Store, first: Callable[[Transaction], object] | None = None) -> None:
        self.opened = threading.Event()
        entered = threading.Event()

        def wait(tx: Transaction) -> None:
            if first is not None:
                first(tx)
            entered.set()
            self.opened.wait(30)

        self.future = store.write(wait)
        entered.wait(30)


def test_concurrent_writes_share_a_commit(store_url: str) -> None:
    """What waits together is committed together, once."""
    seen: list[str] = []
    with Store.open(store_url, checkpoint=seen.append) as store:
        gate = Gate(store)
        futures = [store.write(accept) for _ in range(20)]
        gate.opened.set()
        assert len({future.result(30) for future in futures}) == 20
        assert seen.count("after-commit") == 2
        assert count(store) == 20


def test_each_write_of_a_commit_that_gives_work_is_news(store_url: str) -> None:
    """Whoever knows of its own news sees whether another write of its commit brought any."""
    with Store.open(store_url) as store:
        gate = Gate(store)
        seen = store.signal.seen
        futures = [
            store.write(lambda tx, give=give: setattr(tx, "work", give))
            for give in (True, False, True)
        ]
        gate.opened.set()
        for future in futures:
            future.result(30)
        assert store.signal.seen - seen == 2


def test_one_failure_takes_back_only_itself(store_url: str) -> None:
    """An exception reaches its own caller; the others' writes stand, and its own are gone."""

    def fail(tx: Transaction) -> None:
        accept(tx)
        raise ValueError("a bug")

    with Store.open(store_url) as store:
        gate = Gate(store)
        good = [store.write(accept) for _ in range(3)]
        bad = store.write(fail)
        more = store.write(accept)
        gate.opened.set()
        with pytest.raises(ValueError, match="a bug"):
            bad.result(30)
        assert all(future.result(30) for future in [*good, more])
        assert count(store) == 4
        assert store.read(lambda tx: tx.audit.verify()) == []


def test_refused_row_is_a_store_error_of_its_caller(desk: Desk) -> None:
    """Breaking a rule of the schema fails that write alone, in the words of the store."""
    desk.accept(key="k")
    with pytest.raises(StoreError, match="refused"):
        desk.accept(key="k")
    assert desk.accept(key="other")


def test_full_queue_says_busy(store_url: str) -> None:
    """Beyond its capacity the store refuses at once and says when to come again."""
    with Store.open(store_url, capacity=2) as store:
        gate = Gate(store)
        waiting = [store.write(accept), store.write(accept)]
        with pytest.raises(StoreBusy) as busy:
            store.write(accept)
        assert busy.value.retry_after > 0
        gate.opened.set()
        assert all(future.result(30) for future in waiting)


def test_closed_store_finishes_what_was_queued(store_url: str) -> None:
    """Closing loses nothing that was taken, and takes nothing more."""
    store = Store.open(store_url)
    futures = [store.write(accept) for _ in range(10)]
    store.close()
    assert all(future.result(0) for future in futures)
    with pytest.raises(StoreError):
        store.write(accept)


def test_reading_cannot_write(desk: Desk) -> None:
    """The read side refuses to change anything."""
    with pytest.raises(StoreError):
        desk.store.read(lambda tx: tx.audit.prune("9999") or tx.upkeep.forget_messages("9999", 10))
    with pytest.raises(StoreError):
        desk.store.read(accept)


def test_readers_see_one_snapshot(desk: Desk) -> None:
    """What is committed while a read runs stays invisible to it."""

    def look(tx: Transaction) -> tuple[int, int]:
        before = len(tx.messages.search())
        desk.accept()
        return before, len(tx.messages.search())

    assert desk.store.read(look) == (0, 0)
    assert count(desk.store) == 1


def test_full_disk_fails_the_whole_batch_and_heals(tmp_path: Path) -> None:
    """Where the disk takes no more, every caller is told, nothing is half done; later it works."""
    pages = {"limit": 0}

    def squeeze(name: str) -> None:
        if name == "before-commit" and pages["limit"]:
            raise AssertionError("no commit should be reached")

    with Store.open(f"sqlite:///{tmp_path}/full.db", checkpoint=squeeze) as store:
        Desk(store).accept()
        store.write(lambda tx: _limit_pages(tx, 1)).result(30)
        pages["limit"] = 1
        gate = Gate(store)
        big = [store.write(lambda tx: accept(tx, body=b"x" * 500_000)) for _ in range(3)]
        pages["limit"] = 0
        gate.opened.set()
        for future in big:
            with pytest.raises(StoreError):
                future.result(30)
        assert count(store) == 1
        assert Desk(store).accept(body=b"x" * 500_000)
        assert store.read(lambda tx: tx.audit.verify()) == []


def _limit_pages(tx: Transaction, more: int) -> None:
    now = tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    tx.connection.exec_driver_sql(f"PRAGMA max_page_count={now + more}")


def test_failure_to_begin_loses_the_whole_transaction(tmp_path: Path) -> None:
    """What the driver says where it cannot begin is told as any other failure of the database."""
    url = parse_url(f"sqlite:///{tmp_path}/begun.db")
    with connect(url, "write").connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        driver.cursor().execute("BEGIN")
        with pytest.raises(OperationalError) as caught:
            connection.begin()
    assert breaks_transaction(caught.value)


def test_lost_connection_fails_once_and_heals(postgresql: str) -> None:
    """When the database drops its connections, waiting writes fail and the next ones work."""
    admin = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    name = f"drop_{os.getpid()}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE carelane_template"))
    url = admin.url.set(database=name, drivername="postgresql")
    with Store.open(url.render_as_string(hide_password=False)) as store:
        gate = Gate(store, accept)
        with admin.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
                ),
                {"name": name},
            )
        gate.opened.set()
        with pytest.raises(StoreError):
            gate.future.result(30)
        assert Desk(store).accept()
        assert count(store) == 1
    admin.dispose()


CRASH = """
import os, signal, sys
from desk import accept
from engine.store import Store
url, point, path = sys.argv[1:]
left = [25]
def checkpoint(name):
    if name == point:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
with open(path, "a") as told, Store.open(url, checkpoint=checkpoint, batch=3) as store:
    def tell(future):
        told.write(future.result() + "\\n")
        told.flush()
    def work(tx):
        tx.audit.append("test.accepted")
        return accept(tx)
    for _ in range(500):
        store.write(work).add_done_callback(tell)
"""


@pytest.mark.parametrize("point", ["before-commit", "after-commit", "before-answer"])
def test_kill_at_a_commit_loses_nothing_acknowledged(
    store_url: str, tmp_path: Path, point: str
) -> None:
    """After SIGKILL at a commit boundary, all that was acknowledged is there; the chain holds."""
    told = tmp_path / "told"
    told.touch()
    done = subprocess.run(
        [sys.executable, "-c", CRASH, store_url, point, str(told)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    acknowledged = set(told.read_text().split())
    assert acknowledged
    with Store.open(store_url) as store:
        kept = {row.id for row in store.read(lambda tx: tx.messages.search(limit=1000))}
        assert acknowledged <= kept
        assert len(kept) - len(acknowledged) <= 3
        assert store.read(lambda tx: tx.audit.verify()) == []
        assert store.read(lambda tx: tx.audit.ends().last) == len(kept)
        assert Desk(store).accept()
