"""When a commit of a SQLite record is durable: one flush of its log, outside the turn to write.

Left to itself SQLite flushes its log within each commit (`synchronous=FULL`), and all other writers
wait for the disk. Here a commit does not wait (`NORMAL`, which keeps the record whole but may lose
the last commits with the machine's power): the log is flushed right behind it, when the next one
may write already, and nobody is told of a commit before it is flushed. The log is one file, written
in order, so a flush makes durable all that was committed before, also what other processes
committed and one has read.
"""

from __future__ import annotations

import os
from collections.abc import Callable

Flush = Callable[[], None]
"""Makes durable what was committed by now; raises FlushError where the disk failed at that.

Any other OSError, such as too many open files, says nothing of the disk.
"""

_flush_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class FlushError(OSError):
    """Say that the disk did not confirm a flush."""


def log_of(path: str) -> Flush:
    """Return what flushes the write-ahead log of the record at `path`."""

    def flush() -> None:
        log = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _flush_data(log)
        except OSError as error:
            raise FlushError(*error.args) from error
        finally:
            os.close(log)

    return flush


class Flushing:
    """Flush behind the commits of one process.

    After a flush that failed nobody knows what the disk holds, and a later one may succeed without
    it: from then on none is confirmed, until the record is opened again.
    """

    def __init__(self, flush: Flush) -> None:
        self._flush = flush
        self._failed: OSError | None = None

    def failure(self) -> OSError | None:
        """Flush; return None once all is durable, else why nobody can say so."""
        if self._failed is None:
            try:
                self._flush()
            except FlushError as error:
                self._failed = error
            except OSError as error:
                return error
        return self._failed
