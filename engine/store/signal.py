"""How workers learn that there may be something to do, without asking all the time."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from engine.store.database import LIVENESS

if TYPE_CHECKING:
    from psycopg import Connection

POLL_SECONDS = 0.2
RECONNECT_SECONDS = 1.0
CHANNEL = "carelane_work"

_log = structlog.get_logger(__name__)


class Signal:
    """Count news; wait for more.

    Read `seen` before looking for work and hand it to `wait`: news that came in between ends the
    wait at once, so none is missed. News may be false; silence may not.
    """

    def __init__(self, watch: Callable[[Signal, threading.Event], None] | None = None) -> None:
        self._condition = threading.Condition()
        self._seen = 0
        self._listeners: set[Callable[[], None]] = set()
        self._watch = watch
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def seen(self) -> int:
        """Return how much news there was."""
        return self._seen

    def notify(self, news: int = 1) -> None:
        """Wake everybody in this process: there is so much news."""
        with self._condition:
            self._seen += news
            self._condition.notify_all()
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def tell(self, listener: Callable[[], None]) -> None:
        """Call `listener` at each news of this process, in the thread that brings it."""
        with self._condition:
            self._listeners.add(listener)

    def wait(self, seen: int, timeout: float) -> bool:
        """Block until there is news after `seen`, or for `timeout` seconds; tell which."""
        self._start()
        with self._condition:
            return self._condition.wait_for(lambda: self._seen != seen, timeout)

    async def arrived(self, seen: int, timeout: float) -> bool:
        """Wait as `wait` does, without blocking the event loop."""
        self._start()
        loop = asyncio.get_running_loop()
        event = asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(event.set)

        with self._condition:
            self._listeners.add(wake)
        try:
            if self._seen == seen:
                async with asyncio.timeout(timeout):
                    await event.wait()
            return True
        except TimeoutError:
            return self._seen != seen
        finally:
            with self._condition:
                self._listeners.discard(wake)

    def close(self) -> None:
        """Stop watching other processes and wake whoever waits."""
        self._stop.set()
        self.notify()
        if self._thread is not None:
            self._thread.join(5)

    def _start(self) -> None:
        """Watch other processes from the first wait on: who never waits costs nothing."""
        with self._condition:
            if self._watch is None or self._thread is not None or self._stop.is_set():
                return
            watch = self._watch
            self._thread = threading.Thread(
                target=lambda: watch(self, self._stop), name="carelane-signal", daemon=True
            )
            self._thread.start()


def watch_file(path: str) -> Callable[[Signal, threading.Event], None]:
    """Return a watcher that notices commits of other processes to a SQLite file."""

    def watch(signal: Signal, stop: threading.Event) -> None:
        version: int | None = None
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            while not stop.wait(POLL_SECONDS):
                with suppress(sqlite3.Error):
                    (found,) = connection.execute("PRAGMA data_version").fetchone()
                    if version is not None and found != version:
                        signal.notify()
                    version = found
        finally:
            connection.close()

    return watch


def watch_channel(address: str) -> Callable[[Signal, threading.Event], None]:
    """Return a watcher that listens on a PostgreSQL channel, connecting again when it must."""

    def watch(signal: Signal, stop: threading.Event) -> None:
        import psycopg  # noqa: PLC0415 - an optional dependency

        while not stop.is_set():
            try:
                _listen(psycopg.connect(address, autocommit=True, **LIVENESS), signal, stop)
            except psycopg.Error as error:
                _log.warning("store.signal-lost", error=type(error).__name__)
                signal.notify()
                stop.wait(RECONNECT_SECONDS)

    return watch


def _listen(connection: Connection, signal: Signal, stop: threading.Event) -> None:
    with connection:
        connection.execute(f"LISTEN {CHANNEL}")
        signal.notify()
        while not stop.is_set():
            for _ in connection.notifies(timeout=0.5, stop_after=1):
                signal.notify()
