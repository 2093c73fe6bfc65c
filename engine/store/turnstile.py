"""Who of several processes writes to one SQLite file next: each in its turn, none starves.

SQLite lets one write at a time and has the others try again after sleeps of up to a tenth of a
second: whoever commits without a pause leaves them nothing. Two advisory locks on a file beside
the record make a turnstile: who wants to write waits in the gate for the turn, so who has just had
the turn finds the gate taken and comes after. It is a courtesy only; SQLite's own locks protect.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

try:
    import fcntl
except ImportError:  # a system without such locks: SQLite's own waiting must do
    fcntl = None  # type: ignore[assignment]

TRY_SECONDS = 0.0005
PATIENCE = 5.0
"""Seconds after which a process that holds up the others is passed by."""

_GATE, _TURN = 0, 1

Turns = Callable[[], AbstractContextManager[None]]
"""Return a block in which it is this process's turn to write."""


def at_once() -> AbstractContextManager[None]:
    """Return a block that waits for nobody: the database itself lets many write."""
    return nullcontext()


class Turnstile:
    """Take turns with the other processes that write to the record at `path`.

    After `patience` seconds it goes on without its turn, and SQLite has the word.
    """

    def __init__(self, path: str, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._file: int | None = None
        if fcntl is not None:
            with suppress(OSError):  # read-only, or full: then without
                self._file = os.open(f"{path}-turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn, and pass it on after the block."""
        until = time.monotonic() + self._patience
        self._take(_GATE, until)
        had = self._take(_TURN, until)
        self._pass_on(_GATE)
        try:
            yield
        finally:
            if had:
                self._pass_on(_TURN)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take(self, place: int, until: float) -> bool:
        if self._file is None:
            return False
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                return True
            except OSError:
                if time.monotonic() > until:
                    return False
                time.sleep(TRY_SECONDS)

    def _pass_on(self, place: int) -> None:
        if self._file is not None:
            with suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)
