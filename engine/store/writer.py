"""The one writer of a process: concurrent callers share a durable commit.

Whoever calls `submit` waits in a bounded queue. The writer thread takes all that wait, runs each
in one transaction, commits once and only then tells them. While one commit reaches the disk the
next batch gathers, so the more callers there are, the more each commit carries.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from engine.clock import Clock
from engine.errors import StoreBusy, StoreError
from engine.store.database import breaks_transaction, may_repeat
from engine.store.ids import Ids
from engine.store.transaction import Transaction

T = TypeVar("T")
Checkpoint = Callable[[str], None]
"""Is told the name of each point at which a crash would matter."""

CHECKPOINTS = ("before-commit", "after-commit", "before-answer")
_REPEATS = 5


@dataclass(slots=True)
class _Job:
    run: Callable[[Transaction], Any]
    future: Future[Any] = field(default_factory=Future)
    result: Any = None
    error: BaseException | None = None


class _Broken(Exception):  # noqa: N818 - never leaves this module
    """Carry an error that took the whole transaction with it."""

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause
        super().__init__()


class Writer:
    """Run writes of one process, many to a commit."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        ids: Ids,
        *,
        committed: Callable[[bool], None],
        capacity: int,
        batch: int,
        checkpoint: Checkpoint,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._ids = ids
        self._committed = committed
        self._batch = batch
        self._checkpoint = checkpoint
        self._queue: queue.Queue[_Job | None] = queue.Queue(capacity)
        self._connection: Connection | None = None
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="carelane-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[Transaction], T]) -> Future[T]:
        """Queue a write; StoreBusy where the queue is full, StoreError where it is closed."""
        job = _Job(run)
        with self._closing:
            if self._closed:
                raise StoreError("the store is closed")
            try:
                self._queue.put_nowait(job)
            except queue.Full:
                raise StoreBusy(retry_after=1.0) from None
        return job.future

    @property
    def waiting(self) -> int:
        """Return how many writes wait now."""
        return self._queue.qsize()

    def close(self) -> None:
        """Finish what was queued, then stop."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            jobs, last = self._gather()
            if jobs:
                self._serve(jobs)
            if last:
                self._disconnect()
                return

    def _gather(self) -> tuple[list[_Job], bool]:
        jobs: list[_Job] = []
        found = self._queue.get()
        while found is not None:
            if found.future.set_running_or_notify_cancel():
                jobs.append(found)
            if len(jobs) >= self._batch:
                return jobs, False
            try:
                found = self._queue.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True

    def _serve(self, jobs: list[_Job]) -> None:
        error: BaseException | None = None
        for _ in range(_REPEATS):
            try:
                work = self._commit(jobs)
            except _Broken as broken:
                error = broken.cause
                if may_repeat(error):
                    continue
                break
            self._checkpoint("before-answer")
            self._committed(work)
            for job in jobs:
                _answer(job)
            return
        failure = StoreError("the store could not commit; nothing of this was written")
        failure.__cause__ = error
        for job in jobs:
            job.future.set_exception(failure)

    def _commit(self, jobs: list[_Job]) -> bool:
        try:
            connection = self._connect()
            with connection.begin():
                work = self._run(connection, jobs)
                self._checkpoint("before-commit")
            self._checkpoint("after-commit")
            return work
        except _Broken:
            self._disconnect()
            raise
        except Exception as error:
            self._disconnect()
            raise _Broken(error) from error

    def _run(self, connection: Connection, jobs: list[_Job]) -> bool:
        if len(jobs) == 1:
            return self._run_alone(connection, jobs[0])
        whole = Transaction(connection, self._clock, self._ids)
        for job in jobs:
            connection.exec_driver_sql("SAVEPOINT job")
            one = self._run_one(connection, job)
            if one is None:
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT job")
            else:
                whole.audit.give(one.audit.take())
                whole.work |= one.work
            connection.exec_driver_sql("RELEASE SAVEPOINT job")
        return _sealed(whole)

    def _run_alone(self, connection: Connection, job: _Job) -> bool:
        one = self._run_one(connection, job)
        if one is None:
            transaction = connection.get_transaction()
            assert transaction is not None
            transaction.rollback()
            return False
        return _sealed(one)

    def _run_one(self, connection: Connection, job: _Job) -> Transaction | None:
        """Run one job; None where it failed and what it wrote must be taken back."""
        transaction = Transaction(connection, self._clock, self._ids)
        job.error = None
        try:
            job.result = job.run(transaction)
            return transaction
        except Exception as error:
            if breaks_transaction(error):
                raise _Broken(error) from error
            job.error = error
            return None

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _disconnect(self) -> None:
        """Drop the connection: after an error nobody knows what state it is in."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()
            with suppress(Exception):
                connection.close()


def _sealed(transaction: Transaction) -> bool:
    transaction.audit.seal()
    if transaction.work and not transaction.neutral:
        transaction.connection.exec_driver_sql("NOTIFY carelane_work")
    return transaction.work


def _answer(job: _Job) -> None:
    if job.error is None:
        job.future.set_result(job.result)
    elif isinstance(job.error, SQLAlchemyError):
        failure = StoreError("the store refused the write; nothing of it was written")
        failure.__cause__ = job.error
        job.future.set_exception(failure)
    else:
        job.future.set_exception(job.error)
