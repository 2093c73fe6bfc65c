"""Commits to a SQLite record are told of behind a flush of its log, never before it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from desk import accept

from engine.errors import StoreError
from engine.store import Store
from engine.store.flushing import FlushError, log_of


class Disk:
    """Stand for the disk: flushes wait until it is let go, and fail where it is broken."""

    def __init__(self) -> None:
        self.flushes = 0
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.broken = False
        self.failure: OSError = FlushError(5, "Input/output error")

    def flush(self) -> None:
        self.begun.set()
        assert self.let_go.wait(30)
        self.flushes += 1
        if self.broken:
            raise self.failure


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'x.db'}"


def test_nobody_is_told_before_the_flush(url: str) -> None:
    """What is committed is readable at once, but acknowledged only once the disk has it."""
    disk = Disk()
    with Store.open(url, flush=disk.flush) as store:
        future = store.write(accept)
        assert disk.begun.wait(30)
        assert len(store.read(lambda tx: tx.messages.search())) == 1
        assert not future.done()
        disk.let_go.set()
        assert future.result(30)


def test_another_process_writes_while_the_log_is_flushed(url: str) -> None:
    """The turn to write is over with the commit: a slow flush keeps no other process from it."""
    disk, own = Disk(), Disk()
    own.let_go.set()
    with Store.open(url, flush=disk.flush) as store, Store.open(url, flush=own.flush) as other:
        first = store.write(accept)
        assert disk.begun.wait(30)
        assert other.write(lambda tx: (accept(tx), len(tx.messages.search()))).result(30)[1] == 2
        assert not first.done()
        disk.let_go.set()
        assert first.result(30)


def test_a_failed_flush_is_told_and_not_forgotten(url: str) -> None:
    """After one failure no write is acknowledged until the record is opened again."""
    disk = Disk()
    disk.broken = True
    disk.let_go.set()
    with Store.open(url, flush=disk.flush) as store:
        with pytest.raises(StoreError, match="may be kept or lost"):
            store.write(accept).result(30)
        disk.broken = False
        with pytest.raises(StoreError, match="may be kept or lost"):
            store.write(accept).result(30)
    with Store.open(url, flush=disk.flush) as store:
        assert store.write(accept).result(30)


def test_a_log_that_could_not_be_opened_is_tried_again(url: str) -> None:
    """Too many open files tell nothing of the disk: that write is not acknowledged, the next is."""
    disk = Disk()
    disk.broken, disk.failure = True, OSError(24, "Too many open files")
    disk.let_go.set()
    with Store.open(url, flush=disk.flush) as store:
        with pytest.raises(StoreError, match="may be kept or lost"):
            store.write(accept).result(30)
        disk.broken = False
        assert store.write(accept).result(30)


def test_closing_flushes_first(url: str) -> None:
    """Who waits for an answer while the store closes gets it, behind a flush."""
    disk = Disk()
    store = Store.open(url, flush=disk.flush)
    future = store.write(accept)
    assert disk.begun.wait(30)
    closing = threading.Thread(target=store.close)
    closing.start()
    assert not future.done()
    disk.let_go.set()
    closing.join(30)
    assert future.result(0)
    assert disk.flushes == 1


def test_the_log_stays_until_it_is_flushed(tmp_path: Path) -> None:
    """A store that closes lets go of the record only behind the flush: the last takes the log."""
    with Store.open(f"sqlite:///{tmp_path / 'x.db'}") as store:
        future = store.write(accept)
    assert future.result(0)
    assert not (tmp_path / "x.db-wal").exists()


def test_the_log_is_what_is_flushed(tmp_path: Path) -> None:
    """The flush of a record is one of its write-ahead log, and fails where there is none."""
    flush = log_of(str(tmp_path / "x.db"))
    with pytest.raises(FileNotFoundError):
        flush()
    with Store.open(f"sqlite:///{tmp_path / 'x.db'}") as store:
        store.write(accept).result(30)
        flush()
