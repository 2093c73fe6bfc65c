"""The processes of one server: forked from what is loaded, kept running, ended together.

The one that forks them only looks after them: it opens nothing, and has a single thread, so that
each of them begins like it, with the loaded project in memory that they share.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

import structlog

from engine import logs
from engine.clock import Clock
from engine.server.pipes import Leash

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
LIVED = 30.0
"""Seconds after which a process that ends is started again as if it were the first time."""

WIND_DOWN = 20.0
"""Seconds in which each must have recorded what is under way once it is told to end."""

CAN_FORK = hasattr(os, "fork")
_LOOK = 0.05
"""Seconds between two looks at who has ended, where that is all there is to wait for."""

_log = structlog.get_logger("carelane.server")


@dataclass(slots=True)
class _Kept:
    """Hold one process: what it runs, since when, and when it is to be started (again)."""

    name: str
    run: Callable[[], None]
    wait: float
    due: float
    began: float = 0.0
    pid: int | None = None


class Processes:
    """Keep one process running for each of `roles`, until SIGTERM or SIGINT.

    What ends by itself is started again, each time after twice the wait, and `failed` gets its
    name. The main thread of a process without other threads must run this.
    """

    def __init__(
        self,
        roles: Mapping[str, Callable[[], None]],
        leash: Leash,
        clock: Clock,
        *,
        failed: Callable[[str], None] = lambda name: None,
        ending: Callable[[], None] = lambda: None,
        first: float = FIRST_WAIT,
        patience: float = WIND_DOWN,
    ) -> None:
        self._kept = [_Kept(name, run, first, clock.monotonic()) for name, run in roles.items()]
        self._leash = leash
        self._clock = clock
        self._failed = failed
        self._ending = ending
        self._first = first
        self._patience = patience
        self._told = False

    def run(self) -> None:
        """Start all, look after them until told to stop, and see them end."""
        with self._woken() as woken:
            while not self._told:
                self._start_due()
                _sleep(woken, self._until_due())
                self._look()
            self._ending()
            self._leash.let_go()
            self._see_off(woken)

    @contextmanager
    def _woken(self) -> Iterator[int]:
        """Yield a pipe that has something to read once a signal has come."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        handlers = {
            signal.SIGTERM: self._tell,
            signal.SIGINT: self._tell,
            signal.SIGCHLD: lambda *_: None,
        }
        before = {number: signal.signal(number, call) for number, call in handlers.items()}
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        try:
            yield reading
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reading)
            os.close(writing)

    def _tell(self, *_: object) -> None:
        self._told = True

    def _start_due(self) -> None:
        now = self._clock.monotonic()
        for kept in self._kept:
            if kept.pid is None and kept.due <= now:
                self._start(kept)

    def _start(self, kept: _Kept) -> None:
        sys.stdout.flush()  # else what stands in its buffer would be written twice
        sys.stderr.flush()
        kept.began = self._clock.monotonic()
        try:
            kept.pid = os.fork()
        except OSError as error:
            _log.error("process.not-started", name=kept.name, error=type(error).__name__)
            self._again(kept)
            return
        if kept.pid == 0:
            self._become(kept)

    def _become(self, kept: _Kept) -> NoReturn:
        """Be the process of a role, and nothing of the one that forked it."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, _leave)
            os.setsid()  # a Ctrl-C in the terminal is for the one that looks after all
            self._leash.let_go()
            kept.run()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException as error:
            _log.error("process.failed", name=kept.name, **logs.origin(error))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _until_due(self) -> float | None:
        """Return the seconds until one must be started; None where all run."""
        due = [kept.due for kept in self._kept if kept.pid is None]
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    def _look(self) -> None:
        """See who has ended by itself; it is started again after its wait."""
        for kept in self._kept:
            code = _ended(kept)
            if code is None:
                continue
            if self._clock.monotonic() - kept.began >= LIVED:
                kept.wait = self._first
            if not self._told:
                _log.error("process.ended", name=kept.name, code=code, again_in=kept.wait)
                self._again(kept)

    def _again(self, kept: _Kept) -> None:
        self._failed(kept.name)
        kept.due = self._clock.monotonic() + kept.wait
        kept.wait = min(2 * kept.wait, LONGEST_WAIT)

    def _see_off(self, woken: int) -> None:
        """Let all record what is under way; what does not end in time is killed."""
        until = self._clock.monotonic() + self._patience
        while self._running() and self._clock.monotonic() < until:
            _sleep(woken, _LOOK)
            self._look()
        for kept in self._running():
            assert kept.pid is not None
            _log.error("process.killed", name=kept.name, pid=kept.pid)
            with suppress(ProcessLookupError):
                os.kill(kept.pid, signal.SIGKILL)
            os.waitpid(kept.pid, 0)

    def _running(self) -> list[_Kept]:
        return [kept for kept in self._kept if kept.pid is not None]


def _leave(*_: object) -> NoReturn:
    """Leave in order where nothing else waits for SIGTERM: what is open is closed."""
    sys.exit(0)


def _sleep(woken: int, seconds: float | None) -> None:
    """Sleep until a signal comes, or for so many seconds."""
    select.select([woken], [], [], seconds)
    with suppress(BlockingIOError):
        os.read(woken, 512)


def _ended(kept: _Kept) -> int | None:
    """Return how a process ended, if it did; negative by a signal."""
    if kept.pid is None:
        return None
    pid, status = os.waitpid(kept.pid, os.WNOHANG)
    if pid == 0:
        return None
    kept.pid = None
    return os.waitstatus_to_exitcode(status)
