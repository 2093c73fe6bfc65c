"""When a commit of a SQLite record is durable: one flush of its log for all that came before.

Left to itself SQLite flushes its log within each commit (`synchronous=FULL`), and all other writers
wait for the disk. Here a commit does not wait (`NORMAL`, which keeps the record whole but may lose
the last commits with the machine's power): the log is flushed right behind it, while the next work
goes on, and nobody is told of a commit before it is flushed. The log is one file, written in order,
so a flush makes durable all that was committed before, also what other processes committed and one
has read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

Tell = Callable[[OSError | None], None]
"""Is told once that what was committed is durable, or why nobody can say so."""

Flush = Callable[[], None]

MOST = 4
"""How many commits may wait for the next flush, beside those of the flush under way."""

_flush_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


def log_of(path: str) -> Flush:
    """Return what flushes the write-ahead log of the record at `path`; it raises OSError."""

    def flush() -> None:
        log = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _flush_data(log)
        finally:
            os.close(log)

    return flush


class Flushing:
    """Flush behind the commits of one process, once for all that wait.

    After a flush that failed nobody knows what the disk holds, and a later one may succeed without
    it: from then on each commit is told of the failure, until the record is opened again.
    """

    def __init__(self, flush: Flush) -> None:
        self._flush = flush
        self._waiting: list[Tell] = []
        self._failed: OSError | None = None
        self._closed = False
        self._busy = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="carelane-flush", daemon=True)
        self._thread.start()

    def behind(self, tell: Tell) -> None:
        """Have `tell` called, on another thread, once all that is committed by now is durable.

        Waits where the disk falls `MOST` commits behind.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < MOST)
            self._waiting.append(tell)
            self._changed.notify_all()

    def settle(self) -> None:
        """Wait until nothing waits for a flush: who leaves as the last takes the log along."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._busy)

    def close(self) -> None:
        """Flush what waits, tell, and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                waiting, self._waiting = self._waiting, []
                self._busy = bool(waiting)
                self._changed.notify_all()
            if not waiting:
                return
            error = self._flushed()
            with self._changed:
                self._busy = False
                self._changed.notify_all()
            for tell in waiting:
                tell(error)

    def _flushed(self) -> OSError | None:
        if self._failed is None:
            try:
                self._flush()
            except OSError as error:
                self._failed = error
        return self._failed
