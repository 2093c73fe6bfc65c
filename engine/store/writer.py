"""The one writer of a process: concurrent callers share a durable commit.

Whoever calls `submit` waits in a bounded queue. The writer thread takes all that wait, runs them
in one transaction, commits once and only then tells them. While one commit reaches the disk the
next batch gathers, so the more callers there are, the more each commit carries; whom it waits for
besides, `engine.store.company` says. Where one of them raises, all is taken back and each runs
again by itself: errors are rare, commits are not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from engine.ahead import Looking, ask_together
from engine.clock import Clock
from engine.errors import StoreError
from engine.store.company import PATIENCE, Company, Patience
from engine.store.database import Standing, breaks_transaction, flush_later, may_repeat
from engine.store.flushing import Flushing
from engine.store.ids import Ids
from engine.store.memory import Memory
from engine.store.signal import CHANNEL
from engine.store.transaction import Transaction
from engine.store.turnstile import Turns, at_once
from engine.store.vault import PLAIN, Vault

T = TypeVar("T")
Checkpoint = Callable[[str], None]
"""Is told the name of each point at which a crash would matter."""

CHECKPOINTS = ("before-commit", "after-commit", "before-answer")
_REPEATS = 8
_TRUSTING = 4
"""Of these, how many use what is remembered; the rest read anew and hold it against the end."""


class _Overtaken(Exception):  # noqa: N818 - the work is done again, nothing failed
    """Say that another process wrote, meanwhile, what this work may have remembered."""


@dataclass(slots=True)
class _Job:
    run: Callable[[Transaction], Any]
    ahead: Looking | None = None
    future: Future[Any] = field(default_factory=Future)
    result: Any = None


class Writer:
    """Run writes of one process, many to a commit."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        ids: Ids,
        *,
        committed: Callable[[int], None],
        capacity: int,
        batch: int,
        checkpoint: Checkpoint,
        vault: Vault = PLAIN,
        turn: Turns = at_once,
        looking: Engine | None = None,
        flushing: Flushing | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self._writing = Standing(engine, flush_later if flushing is not None else None)
        self._clock = clock
        self._ids = ids
        self._committed = committed
        self._checkpoint = checkpoint
        self._vault = vault
        self._turn = turn
        self._looking = Standing(looking) if looking is not None else None
        self._flushing = flushing
        self._memory = Memory()
        self._company: Company[_Job] = Company(capacity, batch, patience, clock.monotonic)
        self._thread = threading.Thread(target=self._work, name="carelane-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[Transaction], T], ahead: Looking | None = None) -> Future[T]:
        """Queue a write; StoreBusy where the queue is full, StoreError where it is closed."""
        job = _Job(run, ahead)
        self._company.join(job)
        return job.future

    @property
    def waiting(self) -> int:
        """Return how many writes wait now."""
        return len(self._company)

    def close(self) -> None:
        """Finish what was queued, then stop."""
        self._company.close()
        self._thread.join()

    def _work(self) -> None:
        while came := self._company.leave():
            jobs = [job for job in came if job.future.set_running_or_notify_cancel()]
            if jobs:
                self._look_ahead(jobs)
                self._serve(jobs)
        self._writing.drop()
        if self._looking is not None:
            self._looking.drop()

    def _look_ahead(self, jobs: list[_Job]) -> None:
        """Work out, before it is our turn, what jobs can work out from a snapshot."""
        looking = [job.ahead for job in jobs if job.ahead is not None]
        if self._looking is None or not looking:
            return
        try:
            connection = self._looking.connection()
            with connection.begin():
                known = (connection, self._clock, self._ids, self._memory, self._vault)
                snapshot = Transaction(*known)
                stamp = snapshot.recall.stamp = snapshot.audit.changes()
                self._memory.at(stamp)
                ask_together(snapshot, looking)
                for ahead in looking:
                    ahead.look(snapshot)
                self._memory.take(snapshot.recall, stamp)
        except Exception:  # all is worked out in the turn, where it is told
            self._looking.drop()

    def _serve(self, jobs: list[_Job]) -> None:
        """Commit all together; where one stands in the way, each by itself."""
        error = self._try(jobs)
        if error is None:
            return
        if len(jobs) > 1 and not breaks_transaction(error):
            for job in jobs:
                self._serve([job])
            return
        for job in jobs:
            job.future.set_exception(_told(error))

    def _try(self, jobs: list[_Job]) -> Exception | None:
        """Commit and answer; return what kept it from happening."""
        for number in range(_REPEATS):
            error, news = self._commit(jobs, self._memory if number < _TRUSTING else None)
            if error is None:
                self._committed(news)
                self._answer(jobs)
                return None
            if not (isinstance(error, _Overtaken) or may_repeat(error)):
                break
        return error

    def _answer(self, jobs: list[_Job]) -> None:
        """Tell all of a commit that it is durable, or that nobody knows."""
        failure = self._flushing.failure() if self._flushing is not None else None
        self._checkpoint("before-answer")
        for job in jobs:
            if failure is None:
                job.future.set_result(job.result)
            else:
                job.future.set_exception(_unflushed(failure))

    def _commit(self, jobs: list[_Job], memory: Memory | None) -> tuple[Exception | None, int]:
        """Commit; return what kept it from happening, or how many of the jobs gave work."""
        try:
            with self._turn(), self._writing.connection().begin():
                transaction, news = self._run(jobs, memory)
                self._checkpoint("before-commit")
            self._checkpoint("after-commit")
            self._remember(transaction, memory)
            return None, news
        except Exception as error:
            if breaks_transaction(error):
                self._writing.drop()
            return error, 0

    def _run(self, jobs: list[_Job], memory: Memory | None) -> tuple[Transaction, int]:
        connection = self._writing.connection()
        transaction = Transaction(connection, self._clock, self._ids, memory, self._vault)
        known = transaction.audit.changes()
        if memory is not None:  # else nothing counts that was worked out under the same trust
            memory.at(known)
            transaction.recall.stamp = known
        looked = [job.ahead for job in jobs if job.ahead is not None]
        transaction.answers.foresee(reads for ahead in looked for reads in ahead.reads())
        news = 0
        for job in jobs:
            transaction.work = False
            job.result = job.run(transaction)
            news += transaction.work
        transaction.flush()
        transaction.audit.seal()
        if transaction.audit.known not in (None, known) and (
            memory is not None or transaction.resources.overtaken()
        ):
            raise _Overtaken
        transaction.flush()
        if news and not transaction.neutral:
            transaction.connection.exec_driver_sql(f"NOTIFY {CHANNEL}")
        return transaction, news

    def _remember(self, transaction: Transaction, memory: Memory | None) -> None:
        """Keep what was read, under the count that this commit has left behind."""
        if memory is None:
            self._memory.forget()
            return
        found, recall = transaction.audit.known, transaction.recall
        if found is not None:
            self._memory.take(recall, found + recall.changed)


def _unflushed(error: OSError) -> StoreError:
    """Say that it was written but may not outlast the machine, so that it is sent again."""
    failure = StoreError("the disk did not confirm the write; it may be kept or lost")
    failure.__cause__ = error
    return failure


def _told(error: Exception) -> Exception:
    """Say it in the words of the store where it comes from the database."""
    if isinstance(error, _Overtaken):
        return StoreError("others wrote the same again and again; nothing of this was written")
    if not isinstance(error, SQLAlchemyError):
        return error
    if breaks_transaction(error):
        failure = StoreError("the store could not commit; nothing of this was written")
    else:
        failure = StoreError("the store refused the write; nothing of it was written")
    failure.__cause__ = error
    return failure
