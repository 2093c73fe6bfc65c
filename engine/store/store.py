"""The durable record as the edges use it: open it, write, read, wait for work."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from engine.ahead import Looking
from engine.clock import Clock, SystemClock
from engine.errors import StoreError
from engine.store.company import PATIENCE, Patience
from engine.store.database import connect, parse_url, use_wal
from engine.store.flushing import Flush, Flushing, log_of
from engine.store.ids import Ids
from engine.store.migrate import migrate
from engine.store.signal import Signal, watch_channel, watch_file
from engine.store.transaction import Transaction
from engine.store.turnstile import Turnstile, at_once
from engine.store.vault import PLAIN, Vault
from engine.store.writer import Checkpoint, Writer

T = TypeVar("T")
CAPACITY = 1024
BATCH = 128


class Store:
    """Hold the connections of one process to the record; safe to use from many threads."""

    def __init__(
        self,
        writing: Engine,
        reading: Engine,
        signal: Signal,
        clock: Clock,
        *,
        capacity: int = CAPACITY,
        batch: int = BATCH,
        checkpoint: Checkpoint = lambda name: None,
        vault: Vault = PLAIN,
        turnstile: Turnstile | None = None,
        flush: Flush | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self.clock = clock
        self.signal = signal
        self.ids = Ids(clock)
        self._writing = writing
        self._reading = reading
        self._writer = Writer(
            writing,
            clock,
            self.ids,
            committed=self._committed,
            capacity=capacity,
            batch=batch,
            checkpoint=checkpoint,
            vault=vault,
            turn=turnstile.turn if turnstile is not None else at_once,
            looking=reading if turnstile is not None else None,
            flushing=Flushing(flush) if flush is not None else None,
            patience=patience,
        )
        self._turnstile = turnstile
        self._vault = vault

    @classmethod
    def open(
        cls,
        url: str,
        *,
        clock: Clock | None = None,
        capacity: int = CAPACITY,
        batch: int = BATCH,
        checkpoint: Checkpoint = lambda name: None,
        vault: Vault = PLAIN,
        flush: Flush | None = None,
        patience: Patience = PATIENCE,
    ) -> Store:
        """Open the record at `sqlite:///path` or `postgresql://...`; bring its schema up to date.

        `capacity` bounds the writes that may wait, `batch` how many share a commit; `checkpoint`
        is told when a commit begins and ends (for tests that crash there), `vault` seals payloads,
        `flush` makes the log of a SQLite file durable (for tests of a disk that fails), `patience`
        is how long a commit waits for company. Raises StoreError.
        """
        address = parse_url(url)
        try:
            if address.get_backend_name() == "sqlite":
                path = str(address.database)
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                watch, turnstile = watch_file(path), Turnstile(path)
            else:
                plain = address.set(drivername="postgresql")
                watch = watch_channel(plain.render_as_string(hide_password=False))
                turnstile = None
            writing = connect(address, "write")
            logged = address.get_backend_name() == "sqlite" and use_wal(writing)
            migrate(writing)
        except sqlite3.Error as error:  # while a connection is made: not wrapped by SQLAlchemy
            raise StoreError(f"the store cannot be opened: {error}") from error
        except (SQLAlchemyError, OSError) as error:
            raise StoreError(f"the store cannot be opened: {_said(error)}") from error
        return cls(
            writing,
            connect(address, "read"),
            Signal(watch),
            clock or SystemClock(),
            capacity=capacity,
            batch=batch,
            checkpoint=checkpoint,
            vault=vault,
            turnstile=turnstile,
            flush=(flush or log_of(str(address.database))) if logged else None,
            patience=patience,
        )

    def write(self, run: Callable[[Transaction], T], ahead: Looking | None = None) -> Future[T]:
        """Run `run` in a durable transaction that it may share with others.

        The future gives its answer once that is on disk. An exception in `run` takes back what it
        wrote, and only that. StoreBusy is raised at once where too much waits; the future raises
        StoreError where nothing could be written. `run` may be run again, so it must change
        nothing but the transaction, and it must be quick: others wait for it. What it can work out
        before its turn comes, `ahead` of it, keeps nobody waiting.
        """
        return self._writer.submit(run, ahead)

    def read(self, run: Callable[[Transaction], T]) -> T:
        """Run `run` on one snapshot of what is durable now; it cannot write."""
        try:
            with self._reading.connect() as connection, connection.begin():
                known = (connection, self.clock, self.ids)
                return run(Transaction(*known, vault=self._vault, writable=False))
        except SQLAlchemyError as error:
            raise StoreError(f"the store cannot be read: {_said(error)}") from error

    @property
    def waiting(self) -> int:
        """Return how many writes wait now."""
        return self._writer.waiting

    def close(self) -> None:
        """Finish what was queued and let go of the database."""
        self._writer.close()
        self.signal.close()
        self._writing.dispose()
        self._reading.dispose()
        if self._turnstile is not None:
            self._turnstile.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _committed(self, news: int) -> None:
        if news:
            self.signal.notify(news)


def _said(error: BaseException) -> str:
    """Name what went wrong without the statement or its values; of a file, say which and why."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return type(getattr(error, "orig", error)).__name__
